"""Shared by commands for data larger than memory: the option, and opening data that are read in parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fama_fast.cli.common import load_needed, open_panel, say_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.engine import Alpha
    from fama_fast.panel import Panel
    from fama_fast.panel.dataset import Dataset
    from fama_fast.panel.reading import Reading

MemoryBudget = Annotated[
    str | None,
    typer.Option(
        "--memory-budget",
        metavar="SIZE",
        help="Work on dates in chunks within this much memory, e.g. 800MB; data are then read part by part.",
        show_default=False,
    ),
]


def open_source(
    data: str | None,
    memory_budget: str | None,
    *,
    universe: str | None,
    groups: str | Sequence[str] | None,
    reading: Reading,
    needed_by: Sequence[Alpha],
    opened: Panel | Dataset | None = None,
) -> Panel | Dataset:
    """Open a panel; or, with a budget and data that are more than one CSV file, a data set that is read in parts.

    `opened` is taken as it is, in place of what the rest names. Warnings are noted; `say_warnings` after the work notes
    what reading the parts brought up.

    Raises:
        ConfigError: a budget that is no size. DataError: the data are missing or cannot be used.
    """
    if memory_budget is not None:
        from fama_fast.engine.budget import parse_bytes

        parse_bytes(memory_budget)
    if opened is not None:
        say_data(opened)
        return opened
    from fama_fast.panel.io.folder import one_csv

    if memory_budget is None or data is None or one_csv(data):
        return open_panel(data, universe=universe, groups=groups, reading=reading, needed_by=needed_by)
    from fama_fast.data import scan_market_data

    source = load_needed(scan_market_data, data, needed_by, universe=universe, groups=groups, **reading.options())
    say_data(source)
    return source
