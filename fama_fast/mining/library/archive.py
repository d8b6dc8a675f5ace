"""The search archive, kept between rounds: good candidates by niche, rankings seen, and success rates of moves.

The archive holds the best of every niche, admitted or not: it is what a searcher breeds from. A niche is a
group of candidates whose daily RankICs move together. With labels that are mostly noise, the correlation of
two such series is close to the mean correlation of the two rankings, and it costs no values.

Everything is a function of the candidates in their order; nothing reads the clock or draws at random.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.evaluation.ic import coverage_adjusted
from fama_fast.proposals.protocol import ONE_MODEL, Elite, SearchView

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fama_fast.engine import Alpha
    from fama_fast.mining.candidate import Candidate
    from fama_fast.types import FloatArray

CAPACITY = 60  # elites kept
NICHE = 0.7  # |correlation| of daily RankICs above which two candidates share a niche
PER_NICHE = 4  # elites of one niche
_MEMORY_OF_MOVES = 0.9  # decay a round of the record of a move
_MOST_PAID = 5.0  # times the usual earning that one child credits its move with: one find is no rate
_PARSIMONY = 3.0  # a parent pays this many times what admission charges a node: long ones mostly fit noise
# Standard errors that a parent's RankIC is held below its mean: what has few distinct values a date (a sector's mean)
# has RankICs that vary much, and the best of many such is chance.
_CAUTION = 2.0
# Gates whose losers are no parents. What has values for few has the RankIC of few, the highest of all, and children
# that do the same (docs/decisions/004-parents-of-the-search.md). What ranks as an earlier one did would fill its niche
# with copies.
_NO_PARENTS = frozenset({"coverage", "fingerprint"})
_STUCK_AFTER = 400  # candidates without a better best: the search restarts
_RESTART_LENGTH = 150  # candidates of a restart


def series_hash(series: FloatArray) -> str:
    """16 hex digits of the rankings behind daily RankICs (T,): equal for a factor, its negative and any increasing
    function of it.

    RankIC depends on values through their ranks alone and changes sign with them, so equal rankings have equal
    series. Different rankings of N symbols agree on a date by chance only, and here would have to on every one.
    """
    known = series[np.isfinite(series) & (np.round(series, 9) != 0.0)]
    sign = -1.0 if known.size and known[0] < 0.0 else 1.0
    rounded = np.round(sign * series, 9) + 0.0
    rounded[~np.isfinite(rounded)] = np.inf  # one kind of missing
    return hashlib.blake2b(rounded.tobytes(), digest_size=8).hexdigest()


def unit_series(series: FloatArray) -> FloatArray:
    """Daily RankICs less their mean, missing days 0, of unit length (all 0 when they do not vary)."""
    there = np.isfinite(series)
    centred = np.where(there, series - (series[there].mean() if there.any() else 0.0), 0.0)
    length = math.sqrt(float(np.add.reduce(centred * centred)))
    out: FloatArray = centred / length if length > 0.0 else centred
    return out


@dataclass
class _Record:
    """Counts, decayed by round, of how often a move was made, and what it was credited with."""

    tried: float = 0.0
    paid: float = 0.0


def _rates(records: Mapping[str, _Record]) -> dict[str, float]:
    """What each was credited with a try; with few tries near the mean of all."""
    usual = (sum(r.paid for r in records.values()) + 1.0) / (sum(r.tried for r in records.values()) + 10.0)
    return {name: (r.paid + 10.0 * usual) / (r.tried + 10.0) for name, r in records.items()}


@dataclass
class SearchArchive:
    """The best candidates of every niche, hashes of the rankings that were met, and the records of moves.

    Attributes:
        elites: best first. series: unit daily RankICs of the training rows by fingerprint, of the elites.
        ranking_hashes: rankings that were met. records: by move. since_gain: candidates since the best one was found.
    """

    elites: list[Elite] = field(default_factory=list)
    series: dict[str, FloatArray] = field(default_factory=dict)
    ranking_hashes: set[str] = field(default_factory=set)
    records: dict[str, _Record] = field(default_factory=dict)
    since_gain: int = 0

    def view(self) -> SearchView:
        """The part of the archive that a proposer is shown."""
        models = {name: r for name, r in self.records.items() if name.startswith(ONE_MODEL)}
        moves = {name: r for name, r in self.records.items() if name not in models}
        rates = tuple(sorted((_rates(moves) | _rates(models)).items()))  # models may be paid by another measure
        stuck = self.since_gain >= _STUCK_AFTER and self.since_gain % _STUCK_AFTER < _RESTART_LENGTH
        return SearchView(tuple(self.elites), rates, stuck, frozenset(self.ranking_hashes))

    def consider(self, elite: Elite, series: FloatArray) -> bool:
        """Take a candidate into the archive if it is among the best of its niche; returns whether it was."""
        if elite.fingerprint in self.series or not math.isfinite(elite.fitness):
            return False
        if len(self.elites) >= CAPACITY and elite.fitness <= self.elites[-1].fitness:
            return False  # whichever niche it is of
        own = unit_series(series)
        near = [e for e in self.elites if abs(float(np.add.reduce(self.series[e.fingerprint] * own))) > NICHE]
        if len(near) >= PER_NICHE:
            worst = near[-1]
            if elite.fitness <= worst.fitness:
                return False
            self._drop(worst)
        elif len(self.elites) >= CAPACITY:
            worst = self.elites[-1]
            if elite.fitness <= worst.fitness:
                return False
            self._drop(worst)
        if not self.elites or elite.fitness > self.elites[0].fitness:
            self.since_gain = 0
        self.elites.append(elite)
        self.elites.sort(key=lambda e: (-e.fitness, e.fingerprint))
        self.series[elite.fingerprint] = own
        return True

    def _drop(self, elite: Elite) -> None:
        self.elites.remove(elite)
        del self.series[elite.fingerprint]

    def learn(
        self,
        candidates: Sequence[Candidate],
        train: slice,
        penalty: float,
        earnings: Mapping[str, float] | None = None,
        *,
        models_only: bool = False,
    ) -> None:
        """Update with a round's candidates: measured ones are considered for the archive, and the moves that made them
        are credited.

        Args:
            earnings: what the wide pool earns by each of its formulas, by fingerprint; a move is credited with its
                children's, as multiples of the usual one. None: with those that were admitted. models_only: so is one
                of several language models alone, and moves with those that were admitted.
        """
        usual = 0.0 if not earnings else math.fsum(earnings.values()) / len(earnings)
        for record in self.records.values():
            record.tried *= _MEMORY_OF_MOVES
            record.paid *= _MEMORY_OF_MOVES
        for candidate in candidates:
            if candidate.alpha is None:
                if candidate.proposal.origin.startswith(ONE_MODEL):  # what a model gets wrong it has tried
                    self.records.setdefault(candidate.proposal.origin, _Record()).tried += 1.0
                continue
            self.since_gain += 1
            if candidate.series is not None and candidate.gate not in _NO_PARENTS:
                series = candidate.series[train]
                alpha, scored_coverage = candidate.compiled, candidate.scored_coverage
                elite = elite_of(alpha, series, penalty, scored_coverage, fingerprint=candidate.fingerprint)
                self.consider(elite, series)
            record = self.records.setdefault(candidate.proposal.origin, _Record())
            record.tried += 1.0
            if earnings is None or (models_only and not candidate.proposal.origin.startswith(ONE_MODEL)):
                record.paid += candidate.admitted
            elif usual > 0.0:
                record.paid += min(_MOST_PAID, earnings.get(candidate.fingerprint, 0.0) / usual)

    def to_dict(self) -> dict[str, Any]:
        """Plain data; the series follow from the elites and the data."""
        return {
            "elites": [[e.fingerprint, e.canonical, e.score, e.nodes, e.fitness] for e in self.elites],
            # One text: every round writes thousands, and a list of them is looked through and encoded one by one.
            "prints": " ".join(sorted(self.ranking_hashes)),
            "records": {name: [r.tried, r.paid] for name, r in sorted(self.records.items())},
            "since_gain": self.since_gain,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], measure: Callable[[Sequence[str]], FloatArray]) -> SearchArchive:
        """The archive that `to_dict` described; `measure` gives the training rows' daily RankICs of canonical texts."""
        elites = [Elite(*row) for row in data["elites"]]
        series = measure([e.canonical for e in elites])
        return cls(
            elites,
            {e.fingerprint: unit_series(s) for e, s in zip(elites, series, strict=True)},
            set(_listed(data["prints"])),
            {name: _Record(*row) for name, row in data["records"].items()},
            data["since_gain"],
        )


def _listed(ranking_hashes: str | Sequence[str]) -> Sequence[str]:
    """Ranking hashes as a list, which earlier versions stored; later ones store them as one text."""
    return ranking_hashes.split() if isinstance(ranking_hashes, str) else ranking_hashes


def elite_of(
    alpha: Alpha, series: FloatArray, penalty: float, scored_coverage: float = 1.0, *, fingerprint: str | None = None
) -> Elite:
    """The archive entry of a candidate, from its daily RankICs over the training rows.

    `alpha` is what was proposed, `fingerprint` that of the factor, where it is the negative. `penalty` is the RankIC
    that each node costs at admission, `scored_coverage` what the RankICs are taken for. Days without a RankIC count as
    days without skill: otherwise whatever hardly ever has a value would win by chance.
    """
    there = np.isfinite(series)
    known = np.where(there, series, 0.0)
    total, days = abs(float(np.add.reduce(known))), max(1, series.size)
    score = total / max(1, int(there.sum()))
    spread = max(0.0, float(np.add.reduce(known * known)) / days - (total / days) ** 2)
    fitness = (
        coverage_adjusted(total / days - _CAUTION * math.sqrt(spread / days), scored_coverage)
        - _PARSIMONY * penalty * alpha.n_nodes
    )
    return Elite(fingerprint or alpha.fingerprint, alpha.canonical, score, alpha.n_nodes, fitness)
