"""A finding of a data-quality check, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ERROR, WARNING, NOTE = "error", "warning", "note"
SHOWN = 5
RETURNED = 0.1  # a glitch comes back to within 10% of where it left
DEFAULT_JUMP = 0.2


@dataclass(frozen=True)
class Finding:
    """One kind of defect in the data: how often it occurs, in words, with examples.

    `severity` is error, warning or note. `details` has each of them in plain values, where all are listed.
    """

    check: str
    severity: str
    count: int
    message: str
    examples: tuple[str, ...] = ()
    details: tuple[dict[str, Any], ...] = ()


def value_text(value: float | None) -> str:
    """A value of a row as text in an example."""
    return "missing" if value is None else f"{value:.10g}"
