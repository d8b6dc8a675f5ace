"""Finds finished runs on the same kind of data, and the formulas that they measured in training.

Nothing of a run's end is read but its splits: no verdict, no result on validation, none on a test.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fama_fast.ledger import schema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fama_fast.ledger.ledger import Ledger
    from fama_fast.ledger.records import RunRecord

_RUNS = 50  # the latest ones
_SEED = re.compile(r"\bseed \d+, \d+ symbols x \d+ days(, )?")
_BARS = ((600.0, "intraday"), (150.0, "daily"), (30.0, "weekly"), (8.0, "monthly"), (0.0, "rarer"))


@dataclass(frozen=True)
class Measured:
    """A formula of an earlier run, in the direction of training: canonical text, the objective in training counted as a
    RankIC, the gate that stopped it (None: admitted), and the fields and groups of its data."""

    canonical: str
    score: float
    gate: str | None
    fields: tuple[str, ...]
    groups: tuple[str, ...]


def kind_of_data(source: str, data: Mapping[str, Any] | None, config: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """What two runs share where the experience of one says something to the other: market, bars, target, objective.

    The market is the place that the data were read from, with its universe, or the simulator's signals; so a file that
    has grown since is the same market, and another file is another. None where a run of an older version does not say.

    Args:
        source: of the data. data: a run's `data_record`. config: its configuration document.
    """
    if data is None:
        return None
    splits, paths = config.get("splits", {}), config.get("paths", {})
    return (
        _SEED.sub("", source),
        paths.get("universe"),
        _bars(data),
        splits.get("horizon"),
        splits.get("entry_lag"),
        repr(sorted((config.get("target") or {}).items())),
        config.get("objective", "rank_ic"),
    )


def _bars(data: Mapping[str, Any]) -> str:
    first, last = (date.fromisoformat(str(data[key])[:10]) for key in ("first", "last"))
    years = (last - first).days / 365.25
    a_year = math.inf if years <= 0.0 else (int(data["dates"]) - 1) / years
    return next(name for least, name in _BARS if a_year >= least)


def alike_before(ledger: Ledger, run: RunRecord, test_first: str) -> list[str]:
    """Ids of the latest runs on this kind of data that had ended before this one began, newest first.

    Left out are runs whose test begins later than this one's: what they measured would know what is to be tested.

    Args:
        test_first: first date of this run's test split, as YYYY-MM-DD.
    """
    own = kind_of_data(run.source, run.data, run.config)
    if own is None:
        return []
    t = schema.runs.c
    query = (
        sa.select(t.id, t.source, t.data, t.config)
        .where(t.id != run.id, t.finished_at.is_not(None), t.finished_at < run.started_at)
        .order_by(t.finished_at.desc(), t.id)
    )
    found: list[str] = []
    with ledger.transaction() as c:
        alike = [row.id for row in c.execute(query) if kind_of_data(row.source, row.data, row.config) == own]
        for run_id in alike:
            summary = c.execute(sa.select(t.summary).where(t.id == run_id)).scalar()
            # Its labels reach to the first date of its own test at most: the purge sees to that.
            began = (summary or {}).get("splits", {}).get("test", {}).get("first")
            if began is not None and str(began)[:10] <= test_first:
                found.append(run_id)
            if len(found) == _RUNS:
                break
    return found


def measured_formulas(ledger: Ledger, run_ids: Sequence[str], most: int) -> list[Measured]:
    """The latest formulas that runs measured on all training dates, each once, newest first."""
    t, runs = schema.candidates.c, schema.runs.c
    query = (
        sa.select(t.fingerprint, t.canonical, t.score, t.gate, runs.data)
        .join(schema.runs, runs.id == t.run_id)
        .where(t.run_id.in_(run_ids), t.score.is_not(None), t.canonical.is_not(None))
        .order_by(t.id.desc())
    )
    found: dict[str, Measured] = {}
    with ledger.transaction() as c:
        for row in c.execute(query):
            if len(found) == most:
                break
            if row.fingerprint not in found:
                names = tuple(row.data.get("fields", ())), tuple(row.data.get("groups", ()))
                found[row.fingerprint] = Measured(row.canonical, abs(float(row.score)), row.gate, *names)
    return list(found.values())
