"""Dense market data in memory.

Names are loaded when first used: how data are read (`panel.reading`) must not cost an import of NumPy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fama_fast.panel.groups import GroupField
    from fama_fast.panel.panel import Panel

__all__ = ["GroupField", "Panel"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("fama_fast.panel.panel"), name)


def __dir__() -> list[str]:
    return __all__
