"""The ranges of the parameters of a defined operator, found by trying values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.ops.spec import MAX_WINDOW, Parameter
from fama_fast.types import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fama_fast.ir import Param


_EXAMPLE_FIELDS = ("CLOSE", "VOLUME", "OPEN", "HIGH", "LOW")


def probe_value(p: Parameter, window: int) -> Param:
    if not p.required:
        default: Param = p.default
        return default
    if p.kind is Kind.WINDOW:
        return window
    if p.kind is Kind.FLAG:
        return True
    if p.kind is Kind.COUNT:
        return max(1, int(p.minimum or 1))
    low, high = p.minimum, p.maximum
    if low is not None and high is not None:
        return (low + high) / 2.0
    return max(1.0, low if low is not None else 1.0) if high is None else min(1.0, high)


def edge_between(bad: int, good: int, fits: Callable[[int], bool]) -> int:
    """The last value that fits on the way from one that does to one that does not."""
    while abs(good - bad) > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    return good


def example_of(name: str, parameters: Sequence[Parameter]) -> str:
    fields = iter(_EXAMPLE_FIELDS * (1 + len(parameters) // len(_EXAMPLE_FIELDS)))
    words = []
    for p in parameters:
        if p.kind is Kind.SERIES:
            words.append(next(fields))
        elif p.kind is Kind.GROUP:
            words.append("SECTOR")
        elif p.required:
            value = probe_value(p, min(max(20, int(p.minimum or 1)), int(p.maximum or MAX_WINDOW)))
            words.append(str(value).upper() if isinstance(value, bool) else f"{value:g}")
    return f"{name}({', '.join(words)})"
