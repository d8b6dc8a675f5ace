"""Records how market data were loaded, as plain data kept with them, so that they can be loaded again later.

A panel or data set that was loaded from a path, or simulated, knows its `origin`; one that was made in memory, or
changed since, has none. Callers that load by an origin compare the hash: files change.
"""

from __future__ import annotations

import datetime as dt
import functools
import inspect
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from fama_fast.panel import Panel
    from fama_fast.panel.dataset import Dataset

P = ParamSpec("P")
Loaded = TypeVar("Loaded", "Panel", "Dataset")

_FILES = ("path", "groups", "universe")


def remembered(load: Callable[P, Loaded]) -> Callable[P, Loaded]:
    """Decorator of a loading function whose results record the arguments that it was called with."""
    signature = inspect.signature(load)

    @functools.wraps(load)
    def loaded(*arguments: P.args, **named: P.kwargs) -> Loaded:
        result = load(*arguments, **named)
        result.origin = origin_of(signature.bind(*arguments, **named).arguments)
        return result

    return loaded


def origin_of(call: Mapping[str, Any]) -> dict[str, Any] | None:
    """The arguments of `load_market_data` as plain data, its `options` among them; None where they are not: data in
    memory, or a type of numbers of one's own.
    """
    flat = {**{k: v for k, v in call.items() if k != "options"}, **call.get("options", {})}
    out: dict[str, Any] = {}
    for name, value in flat.items():
        if value is None and name != "path":
            continue
        if name == "simulation":
            out[name] = _plain(asdict(value))
        elif name == "dtype":
            out[name] = getattr(value, "__name__", None) or str(value)
        elif name in _FILES:
            out[name] = _place(name, value)
        else:
            out[name] = _plain(value)
        if out[name] is None and value is not None:
            return None
    return out


def _place(name: str, value: Any) -> Any:
    """A path, or several, made absolute; the name of a column or index as it is; None of anything else."""
    if isinstance(value, str | Path):
        text = str(value)
        names_no_file = name == "universe" and not (isinstance(value, Path) or Path(text).is_file())
        return text if "://" in text or names_no_file else str(Path(text).expanduser().absolute())
    if name == "groups" and isinstance(value, list | tuple):
        return [_place(name, v) for v in value]
    return None


def _plain(value: Any) -> Any:
    """The value as plain data: strings, numbers, lists and mappings; dates as text; None of anything else."""
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, str | bool | int | float):
        return value
    return [_plain(v) for v in value] if hasattr(value, "__iter__") else None
