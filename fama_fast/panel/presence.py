"""Presence of symbols on each date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from fama_fast.panel.groups import GroupField
    from fama_fast.types import BoolArray, FloatArray


class DensePanel(Protocol):
    """Protocol of a panel, as far as those that stand below it read one."""

    @property
    def dates(self) -> Any:
        """(T,) datetime64."""

    @property
    def symbols(self) -> Any:
        """(N,) str."""

    @property
    def shape(self) -> tuple[int, int]:
        """(T dates, N symbols)."""

    @property
    def supplied_fields(self) -> tuple[str, ...]:
        """Numeric fields that the data carries."""

    @property
    def fields(self) -> tuple[str, ...]:
        """Supplied fields, then those that can be derived from them."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the fields."""

    @property
    def source(self) -> str:
        """Where the data came from."""

    @property
    def layout(self) -> str:
        """How they lay there."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What ingestion counted and let pass."""

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the group fields."""

    @property
    def universe(self) -> BoolArray | None:
        """(T, N) members, or None."""

    def group(self, name: str) -> GroupField:
        """Codes and labels of a group field."""

    def __getitem__(self, name: str) -> FloatArray:
        """(T, N) values of a field."""


def trading(panel: DensePanel) -> BoolArray:
    """(T, N) bool: symbols present in the data that date: with a close, or any field if there is none."""
    if "CLOSE" in panel.supplied_fields:
        return np.isfinite(panel["CLOSE"])
    present = np.zeros(panel.shape, dtype=np.bool_)
    for name in panel.supplied_fields:
        present |= np.isfinite(panel[name])
    return present
