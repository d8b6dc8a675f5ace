"""Group membership as codes, checked once: kernels take a code for a place in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from fama_fast.arguments import frozen, numbers, shown
from fama_fast.errors import DataError, listed

if TYPE_CHECKING:
    from fama_fast.types import FloatArray


@dataclass(frozen=True)
class GroupField:
    """Group membership.

    Attributes:
        codes: (T, N) float64, the place in `labels`, NaN where there is no group; a read-only copy of what was given.
        labels: the groups' names.

    Raises:
        DataError: a code that is none of 0, 1, ... len(labels) - 1, or an array of something else.
    """

    codes: FloatArray
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", _labels(self.labels))
        object.__setattr__(self, "codes", group_codes(self.codes, len(self.labels), "group codes"))

    def __repr__(self) -> str:
        t, n = self.codes.shape
        return f"GroupField({t} dates x {n} symbols, labels {listed(self.labels, 8)})"

    @property
    def n(self) -> int:
        """Number of groups."""
        return len(self.labels)

    @classmethod
    def view(cls, codes: FloatArray, labels: tuple[str, ...]) -> Self:
        """A group field from codes known to be right, such as some rows of a group field's: neither checked nor
        copied."""
        group = object.__new__(cls)
        object.__setattr__(group, "codes", frozen(codes))
        object.__setattr__(group, "labels", labels)
        return group


def _labels(labels: Any) -> tuple[str, ...]:
    if isinstance(labels, str) or not hasattr(labels, "__iter__"):
        raise DataError(f"group labels must be a list of names, not {shown(labels)}")
    return tuple(str(label) for label in labels)


def group_codes(codes: Any, n_labels: int, name: str) -> FloatArray:
    """(T, N) group codes as a read-only float64 copy, after a check of each: kernels take a code for a place in memory.

    Raises:
        DataError: a code that is none of 0, 1, ... n_labels - 1 nor NaN, with its row and column.
    """
    out: FloatArray = numbers(codes, name, ndim=2, copy=True)
    with np.errstate(invalid="ignore"):
        wrong = ~((out >= 0.0) & (out < n_labels) & (np.floor(out) == out) | np.isnan(out))
    if bool(wrong.any()):
        count, (row, column) = np.count_nonzero(wrong), map(int, np.argwhere(wrong)[0])
        right = f"whole numbers from 0 to {n_labels - 1}, one a label, or NaN" if n_labels else "NaN: there is no label"
        raise DataError(
            f"{name} must be {right}: {count} are not, the first {out[row, column]:g} in row {row}, column {column}"
        )
    out.flags.writeable = False
    return out.view()  # a view of what is read-only cannot be made writeable again
