"""Where dates come from: a panel in memory, or a data set of which parts are read.

Both have the same axes, names and sessions (`dates`, `symbols`, `shape`, `dtype`, `fields`, `supplied_fields`,
`groups`, `has_universe`, `sessions`, `slice_dates`). `fama_fast.engine.chunks` walks over the dates of either; a panel
without a memory budget is one chunk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from fama_fast.errors import DataError
from fama_fast.panel.dataset import Dataset
from fama_fast.panel.panel import Panel

if TYPE_CHECKING:
    from fama_fast.panel.market_data import MarketData

Source = Panel | Dataset


def source_of(data: Source | MarketData | None, *, in_parts: bool = False) -> Source:
    """The source that data of any kind are: a panel or data set itself, or a panel that is made of a path or frames.

    Args:
        data: as `ingest.panel_from_data` takes them. in_parts: a path is opened as a data set, of which parts are read
            as they are needed.

    Raises:
        DataError: data that cannot be read; the message says how to give them.
    """
    if hasattr(data, "supplied_fields"):
        return cast("Source", data)
    if data is None:
        from fama_fast.panel.market_data import TAKEN

        raise DataError(f"there are no data: give a Panel, a Dataset, {TAKEN}")
    from fama_fast.panel.ingest import panel_from_data
    from fama_fast.panel.market_data import is_path

    return Dataset(data) if in_parts and is_path(data) else panel_from_data(data)
