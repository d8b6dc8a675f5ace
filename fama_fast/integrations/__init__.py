"""Alphas inside other people's tools: Polars queries and scikit-learn pipelines.

Each tool is imported only when its part is asked for. This package knows neither scores nor mining.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fama_fast.integrations.namespace import alpha_expr
    from fama_fast.integrations.transformer import AlphaTransformer

_HOME = {"AlphaTransformer": "transformer", "alpha_expr": "namespace"}

__all__ = ["AlphaTransformer", "alpha_expr"]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
