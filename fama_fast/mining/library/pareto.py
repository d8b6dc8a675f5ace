"""Admission by several objectives: the new factors are a Pareto front, and the run keeps its least crowded part.

Where `objectives` are set they take the place of the admission gate's single figure. A candidate enters when no new
factor is at least as good in every objective and better in one; new factors that it is so much better than leave;
when there are more than wanted, the most crowded leaves. Non-dominated sorting and crowding distance are those of
NSGA-II (Deb, Pratap, Agarwal and Meyarivan 2002, IEEE Transactions on Evolutionary Computation 6). All figures are
of training rows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.evaluation import mean

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from fama_fast.library.factor import Factor
    from fama_fast.mining.candidate import Candidate
    from fama_fast.mining.library.view import LibraryView
    from fama_fast.mining.measure.market import Market
    from fama_fast.types import BoolArray, FloatArray

    Figures = Mapping[str, float]

DECAY_DAYS = 5
MIN_DAYS_OF_YEAR = 20
SPLIT = "objectives"  # where a factor's scores keep its figures

# What each objective is, and whether more of it is better.
OBJECTIVES: dict[str, tuple[str, bool]] = {
    "rank_ic": ("oriented RankIC", True),
    "stability": (f"lowest oriented RankIC of a calendar year with at least {MIN_DAYS_OF_YEAR} dates", True),
    "turnover": ("daily turnover of ranks", False),
    "decay": (f"oriented RankIC left {DECAY_DAYS} days later", True),
    "novelty": ("1 - largest |correlation| with another library member, at admission", True),
}


def non_dominated_fronts(values: FloatArray) -> list[list[int]]:
    """Rows of (n, m) `values`, more is better, by front: the first is not dominated, the next only by the first, ...

    A row dominates another when it is at least as good in every column and better in one; NaN is worse than any
    number.
    """
    v = np.where(np.isnan(values), -np.inf, values)
    no_worse: BoolArray = np.all(v[:, None, :] >= v[None, :, :], axis=2)
    better: BoolArray = np.any(v[:, None, :] > v[None, :, :], axis=2)
    dominates = np.logical_and(no_worse, better)
    dominators = dominates.sum(axis=0)
    left = np.ones(len(v), dtype=np.bool_)
    fronts: list[list[int]] = []
    while left.any():
        front = np.flatnonzero(left & (dominators == 0))
        fronts.append([int(i) for i in front])
        left[front] = False
        dominators = dominators - dominates[front].sum(axis=0)
    return fronts


def crowding_distance(values: FloatArray) -> FloatArray:
    """(n,) for each row of one front the sum over columns of the gap between its neighbours, relative to the range.

    Infinite for the rows that are first or last in a column: the ends of the front are kept.
    """
    n, m = values.shape
    out = np.zeros(n)
    for j in range(m):
        order = np.argsort(values[:, j], kind="stable")
        column = values[order, j]
        out[order[[0, -1]]] = np.inf
        span = column[-1] - column[0]
        if span > 0.0:
            out[order[1:-1]] += (column[2:] - column[:-2]) / span
    return out


def measure(
    market: Market,
    candidate: Candidate,
    library: LibraryView,
    names: Sequence[str],
    *,
    without: Collection[str] = (),
) -> Figures:
    """The objectives of a measured candidate on the training rows, in their own units (turnover: less is better).

    `without` are fingerprints of members that novelty is not held against: those to be replaced.
    """
    rows = market.rows.train
    daily, later = market.figures(candidate.compiled, DECAY_DAYS if "decay" in names else 0)
    series = daily.turned(candidate.sign).rank_ic[rows]
    figures = {"rank_ic": mean(series), "turnover": mean(daily.turnover[rows])}
    if "stability" in names:
        years = market.panel.dates[rows].astype("datetime64[Y]")
        by_year = [series[years == y] for y in np.unique(years)]
        enough = [mean(s) for s in by_year if np.count_nonzero(np.isfinite(s)) >= MIN_DAYS_OF_YEAR]
        figures["stability"] = min(enough, default=figures["rank_ic"])
    if "decay" in names:
        # Labels of the last training dates, shifted, would be those of validation: they are left out.
        inside = slice(rows.start, max(rows.start, rows.stop - DECAY_DAYS))
        figures["decay"] = candidate.sign * mean(later[inside])
    if "novelty" in names:
        assert candidate.vector is not None
        others = np.array([m.factor.fingerprint not in without for m in library.members], dtype=np.bool_)
        correlations = np.abs(library.correlations(candidate.fingerprint, candidate.vector))[others]
        figures["novelty"] = 1.0 - float(correlations.max(initial=0.0))
    return {name: figures[name] for name in names}


def matrix(figures: Sequence[Figures], names: Sequence[str]) -> FloatArray:
    """(n, m) objectives of the factors with signs such that more is better."""
    rows = [[f[name] if OBJECTIVES[name][1] else -f[name] for name in names] for f in figures]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(names))


def with_figures(factor: Factor, figures: Figures) -> Factor:
    """A copy of the factor with its objectives among its scores."""
    return replace(factor, scores={**factor.scores, SPLIT: dict(figures)})


def place(
    front: Sequence[Factor], newcomer: Figures, names: Sequence[str], wanted: int, *, rivals: Collection[str] = ()
) -> tuple[str | None, tuple[str, ...]]:
    """Decide whether a candidate joins the front, and which members leave it.

    Args:
        rivals: fingerprints of the members that are too like the newcomer: they cannot stay together, so the
            newcomer must be at least as good in every objective.

    Returns:
        (why it is refused, or None; fingerprints of the members that leave for it).
    """
    values = matrix([*(f.scores[SPLIT] for f in front), newcomer], names)
    own = len(front)
    for i, member in enumerate(front):
        if not (values[own] > values[i]).any():
            return f"no better than {member.canonical} in any objective", ()
        if member.fingerprint in rivals and (values[i] > values[own]).any():
            return f"too close to {member.canonical} and not better in every objective", ()
    first = [i for i in non_dominated_fronts(values)[0] if i == own or front[i].fingerprint not in rivals]
    left = [i for i in range(len(front)) if i not in first]
    while len(first) > wanted:
        distance = crowding_distance(values[first])
        # Of equally crowded ones the latest goes.
        worst = first[len(first) - 1 - int(np.argmin(distance[::-1]))]
        if worst == own:
            return f"the front has {wanted} members and this is its most crowded place", ()
        first.remove(worst)
        left.append(worst)
    return None, tuple(front[i].fingerprint for i in sorted(left))


def front_rows(factors: Sequence[Factor], names: Sequence[str]) -> list[dict[str, Any]]:
    """The front for the result document, by falling crowding distance (None: an end of the front)."""
    if not factors:
        return []
    distance = crowding_distance(matrix([f.scores[SPLIT] for f in factors], names))
    order = sorted(range(len(factors)), key=lambda i: (-distance[i], i))
    return [
        {
            "fingerprint": factors[i].fingerprint,
            "expression": factors[i].canonical,
            "objectives": dict(factors[i].scores[SPLIT]),
            "crowding": float(distance[i]) if np.isfinite(distance[i]) else None,
        }
        for i in order
    ]
