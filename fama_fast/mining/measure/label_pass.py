"""A pass over the mining rows that makes their labels and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.engine.budget import Schedule
from fama_fast.engine.chunks import chunks
from fama_fast.target.labels import TargetLabels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fama_fast.engine.chunks import Loaded
    from fama_fast.mining.measure.pass_budget import PassBudget
    from fama_fast.panel.source import Source
    from fama_fast.target import LabelRows
    from fama_fast.target.labels import LeftOut
    from fama_fast.types import FloatArray


def label_chunks(
    panel: Source, made: LabelRows, budget: PassBudget, threads: int | None
) -> Iterator[tuple[Loaded, FloatArray, LeftOut | None]]:
    """The labels of all rows, chunk by chunk, with the chunk's closes; and how many of them could not be entered, None
    of labels that are not asked whether they could."""
    core = budget.survey_rows(*panel.shape, made)
    counted = budget.total is not None
    schedule = Schedule(core, 0, made.rows_after, (), 0, counted=counted, rows_before=made.rows_before)
    fields = list(dict.fromkeys([*made.fields, *(["CLOSE"] if "CLOSE" in panel.supplied_fields else [])]))
    for loaded in chunks(panel, schedule, fields, list(made.groups)):
        if isinstance(made, TargetLabels):
            labels, left = made.made(loaded, loaded.start, loaded.stop, threads)
            yield loaded, labels, left
        else:
            labels = made.rows(loaded, loaded.start, loaded.stop, threads)
            yield loaded, labels, None
        del labels
