"""Names that are on their way out: each still works, warns once, and says what to use instead and when it goes.

How long a name stays is in `docs/RELEASING.md`. A test fails when the version has come in which a name goes.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from typing import Any


def deprecated(old: str, instead: str, *, gone_in: str, stacklevel: int = 2) -> None:
    """Warn that `old` goes in version `gone_in`, and name what to use `instead`.

    Args:
        stacklevel: as in `warnings.warn`; 2 is whoever called the function that calls this one.
    """
    message = f"{old} is deprecated and goes in fama_fast {gone_in}: use {instead}"
    warnings.warn(message, DeprecationWarning, stacklevel=stacklevel + 1)


def moved(name: str, old: str, new: str, *, gone_in: str) -> Any:
    """The value of `name` from the module `new`, for the `__getattr__` of the module `old`; warns once a name.

        def __getattr__(name: str) -> Any:
            return moved(name, __name__, "fama_fast.integrations", gone_in="0.3")

    Raises:
        AttributeError: the new module has no such name.
    """
    if name.startswith("__"):
        raise AttributeError(f"module {old!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(new), name)
    deprecated(f"{old}.{name}", f"{new}.{name}", gone_in=gone_in, stacklevel=3)
    setattr(sys.modules[old], name, value)
    return value
