"""How many labels of a target nobody could have entered, counted in a pass over the dates."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fama_fast.data.labels import MIN_MEMBERS
from fama_fast.engine.budget import DEFAULT_BUDGET, Schedule, parse_bytes
from fama_fast.engine.chunks import chunks
from fama_fast.panel import Panel
from fama_fast.target.labels import LeftOut, TargetLabels

if TYPE_CHECKING:
    from fama_fast.panel.source import Source
    from fama_fast.target import Target

_SHARE = 4  # at most this part of a budget is for the rows at hand


def left_out(
    source: Source,
    target: Target,
    *,
    first: int = 0,
    min_members: int = MIN_MEMBERS,
    memory_budget: int | float | str | None = None,
    threads: int | None = None,
) -> LeftOut:
    """Labels of the rows from `first` on that `tradable` leaves out, of how many; of all horizons together.

    Raises:
        As `Target.labels`; DataError: from reading.
    """
    total = LeftOut()
    if target.tradable is None:
        return total
    budget = DEFAULT_BUDGET if memory_budget is None else parse_bytes(memory_budget)
    dates, symbols = source.shape
    for made in target.labels(source, min_members=min_members).values():
        assert isinstance(made, TargetLabels)
        # What is done to labels that are there changes no count.
        plain = replace(made, winsorize=None, beta=None, neutral=None)
        fields, groups = list(plain.fields), list(plain.groups)
        row = symbols * (plain.cell_bytes + 8 * (len(fields) + len(groups)))
        rows = budget // _SHARE // row - plain.rows_before - plain.rows_after
        in_memory = isinstance(source, Panel)
        core = dates if in_memory else max(1, min(dates, rows))
        schedule = Schedule(core, 0, plain.rows_after, (), 0, counted=not in_memory, rows_before=plain.rows_before)
        for loaded in chunks(source, schedule, fields, groups, first):
            total += plain.made(loaded, loaded.start, loaded.stop, threads)[1]
    return total
