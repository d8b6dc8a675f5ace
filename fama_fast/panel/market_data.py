"""The kinds of market data that a caller may give."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, Union

if TYPE_CHECKING:
    import polars as pl


class PandasFrame(Protocol):
    """Protocol of a pandas data frame, as far as it is used here."""

    @property
    def columns(self) -> Any:
        """The names."""

    @property
    def index(self) -> Any:
        """The rows' labels."""


class ArrowStream(Protocol):
    """Protocol of a table that gives its columns through the Arrow PyCapsule interface."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """A capsule with a stream of record batches."""


MarketData = Union[str, Path, "pl.DataFrame", "pl.LazyFrame", PandasFrame, ArrowStream, Mapping[str, Any]]
"""A path or URI, a long frame, or wide frames by the names of their fields."""

TAKEN = "a path, a Polars or pandas data frame, an Arrow table, or a dict of wide frames by their fields"
"""The kinds of market data, for messages."""


def is_path(data: MarketData | None) -> TypeGuard[str | Path]:
    """Whether data are given by a path or URI, rather than in memory."""
    return isinstance(data, str | Path)
