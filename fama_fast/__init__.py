"""fama_fast: formulaic-alpha mining with an alpha language, a fast panel engine and an honest search.

    import fama_fast as ff
    panel = ff.load_market_data("prices.parquet")
    ff.score(["RANK(DELTA(CLOSE, 5)) * -1"], panel)

Names below are imported when first used, so that `import fama_fast` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fama_fast._version import __version__

if TYPE_CHECKING:
    from fama_fast.backends.polars_expr import complete_grid
    from fama_fast.data import date_splits, forward_returns, load_market_data, scan_market_data, simulate
    from fama_fast.engine.alpha import Alpha, compile
    from fama_fast.engine.evaluate import compute_factor_values, evaluate
    from fama_fast.errors import (
        ArgumentError,
        ClusterError,
        ConfigError,
        DataError,
        ExpressionError,
        FamaError,
        LimitError,
        OutputError,
        ParseError,
        ProposerError,
        StoreError,
        UnknownName,
        WindowError,
    )
    from fama_fast.evaluation.alphalens import to_alphalens
    from fama_fast.evaluation.anywhere import study
    from fama_fast.evaluation.ic import ic, rank_ic
    from fama_fast.evaluation.score import score
    from fama_fast.exporting import export
    from fama_fast.factor_store import open_store, update_store
    from fama_fast.integrations import AlphaTransformer, alpha_expr
    from fama_fast.lang.define import define
    from fama_fast.library import Factor, FactorSet, list_seed_alphas
    from fama_fast.library.alpha101 import alpha101
    from fama_fast.notebook import mine
    from fama_fast.panel import GroupField, Panel
    from fama_fast.target import Target

_HOME = {
    "Alpha": "engine",
    "AlphaTransformer": "integrations",
    "ArgumentError": "errors",
    "ClusterError": "errors",
    "ConfigError": "errors",
    "DataError": "errors",
    "ExpressionError": "errors",
    "Factor": "library",
    "FactorSet": "library",
    "FamaError": "errors",
    "GroupField": "panel",
    "LimitError": "errors",
    "OutputError": "errors",
    "Panel": "panel",
    "ParseError": "errors",
    "ProposerError": "errors",
    "StoreError": "errors",
    "Target": "target",
    "UnknownName": "errors",
    "WindowError": "errors",
    "alpha101": "library",
    "alpha_expr": "integrations",
    "compile": "engine",
    "complete_grid": "backends.polars_expr",
    "compute_factor_values": "engine",
    "date_splits": "data",
    "define": "lang.define",
    "evaluate": "engine",
    "export": "exporting",
    "forward_returns": "data",
    "ic": "evaluation",
    "list_seed_alphas": "library",
    "load_market_data": "data",
    "scan_market_data": "data",
    "mine": "notebook",
    "open_store": "factor_store",
    "rank_ic": "evaluation",
    "score": "evaluation",
    "simulate": "data",
    "study": "evaluation.anywhere",
    "to_alphalens": "evaluation.alphalens",
    "update_store": "factor_store",
}

__all__ = [
    "Alpha",
    "AlphaTransformer",
    "ArgumentError",
    "ClusterError",
    "ConfigError",
    "DataError",
    "ExpressionError",
    "Factor",
    "FactorSet",
    "FamaError",
    "GroupField",
    "LimitError",
    "OutputError",
    "Panel",
    "ParseError",
    "ProposerError",
    "StoreError",
    "Target",
    "UnknownName",
    "WindowError",
    "__version__",
    "alpha101",
    "alpha_expr",
    "compile",
    "complete_grid",
    "compute_factor_values",
    "date_splits",
    "define",
    "evaluate",
    "export",
    "forward_returns",
    "ic",
    "list_seed_alphas",
    "load_market_data",
    "mine",
    "open_store",
    "rank_ic",
    "scan_market_data",
    "score",
    "simulate",
    "study",
    "to_alphalens",
    "update_store",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'fama_fast' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"fama_fast.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
