"""Where dates come from: a panel in memory, or a data set of which parts are read.

Both have the same axes, names and sessions (`dates`, `symbols`, `shape`, `dtype`, `fields`, `supplied_fields`,
`groups`, `has_universe`, `sessions`, `slice_dates`). `fama_fast.engine.chunks` walks over the dates of either; a panel
without a memory budget is one chunk.
"""

from __future__ import annotations

from fama_fast.panel.dataset import Dataset
from fama_fast.panel.panel import Panel

Source = Panel | Dataset
