"""Counts of each round of a run, made once.

A round never changes after it is committed, so what was counted is kept and a refresh asks only about new rounds: a
page that is open on a long run costs the database next to nothing.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fama_fast.ledger import schema

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEPT_RUNS = 500


@dataclass
class Round:
    """Counts of one committed round.

    Attributes:
        stopped: candidates by gate; None is those admitted. seconds: evaluation time, summed over candidates.
        best: highest oriented training RankIC among those it admitted; None when it admitted none.
    """

    number: int
    stopped: dict[str | None, int] = field(default_factory=dict)
    seconds: float = 0.0
    best: float | None = None

    @property
    def proposed(self) -> int:
        return sum(self.stopped.values())

    @property
    def admitted(self) -> int:
        return self.stopped.get(None, 0)

    @property
    def rate(self) -> float | None:
        """Candidates a second of evaluation; None where no time was taken."""
        return self.proposed / self.seconds if self.seconds > 0.0 else None


class Tallies:
    """Counts of rounds by run, made as rounds appear; may be called from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str], tuple[Round, ...]] = OrderedDict()

    def rounds(self, c: sa.Connection, run_id: str, started_at: str, committed: int) -> tuple[Round, ...]:
        """Rounds 1 to `committed` of a run that had something to count.

        `started_at` tells a run from another of its id in a database that was exchanged meanwhile.
        """
        key = (run_id, started_at)
        with self._lock:
            known = self._known.get(key, ())
        last = known[-1].number if known else 0
        if last > committed:
            known, last = (), 0
        if last < committed:
            known += _counted(c, run_id, last, committed)
        with self._lock:
            if len(self._known.get(key, ())) <= len(known) or last == 0:
                self._known[key] = known
            self._known.move_to_end(key)
            while len(self._known) > _KEPT_RUNS:
                self._known.popitem(last=False)
        return known


def _counted(c: sa.Connection, run_id: str, after: int, to: int) -> tuple[Round, ...]:
    t = schema.candidates.c
    best = sa.func.max(sa.case((t.gate.is_(None), t.score)))
    query = (
        sa.select(t.round, t.gate, sa.func.count(), sa.func.sum(t.seconds), best)
        .where(t.run_id == run_id, t.round > after, t.round <= to)
        .group_by(t.round, t.gate)
        .order_by(t.round)
    )
    out: dict[int, Round] = {}
    for number, gate, n, seconds, score in c.execute(query):
        entry = out.setdefault(int(number), Round(int(number)))
        entry.stopped[gate] = int(n)
        entry.seconds += float(seconds or 0.0)
        if score is not None and (entry.best is None or score > entry.best):
            entry.best = float(score)
    return tuple(out.values())


@dataclass(frozen=True)
class Totals:
    """Counts of all rounds of a run together; `stopped`, `best` and `rate` as in `Round`."""

    proposed: int = 0
    admitted: int = 0
    stopped: dict[str | None, int] = field(default_factory=dict)
    best: float | None = None
    seconds: float = 0.0

    @property
    def rate(self) -> float | None:
        return self.proposed / self.seconds if self.seconds > 0.0 else None


def totals(rounds: Sequence[Round]) -> Totals:
    """The sum of the counts of rounds."""
    stopped: dict[str | None, int] = {}
    for entry in rounds:
        for gate, n in entry.stopped.items():
            stopped[gate] = stopped.get(gate, 0) + n
    scores = [entry.best for entry in rounds if entry.best is not None]
    return Totals(
        proposed=sum(stopped.values()),
        admitted=stopped.get(None, 0),
        stopped=stopped,
        best=max(scores, default=None),
        seconds=sum(entry.seconds for entry in rounds),
    )


def curve(rounds: Sequence[Round]) -> list[dict[str, Any]]:
    """Cumulative rows for the chart of the search: candidates proposed, best score, factors admitted, seconds."""
    rows: list[dict[str, Any]] = []
    tried, admitted, seconds, best = 0, 0, 0.0, None
    for entry in rounds:
        tried += entry.proposed
        admitted += entry.admitted
        seconds += entry.seconds
        if entry.best is not None and (best is None or entry.best > best):
            best = entry.best
        rows.append({"tried": tried, "best": best, "admitted": admitted, "seconds": round(seconds, 3)})
    return rows
