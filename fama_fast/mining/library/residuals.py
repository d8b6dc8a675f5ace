"""Residuals of rejected candidates beside library members: estimates of what each would add to the pool, best first.

A candidate too like a member of the library is rejected, though part of it may be new: what is left of its ranks
when those of the member are regressed out. That can be estimated without computing a value. With correlations r of the
rankings on the sampled dates and daily RankICs c, the residual of candidate x beside member m has daily RankICs
(c_x - r_xm c_m) / sqrt(1 - r_xm^2) and correlations (r_xk - r_xm r_mk) / sqrt(1 - r_xm^2) with any other k (partial
correlation). What it adds to the pool is the slope of the pool's fit in its direction: ridge weights are
(R + a I)^-1 m, so what they leave of a factor with correlations r and daily RankICs c is the mean of c - b'C for
b = (R + a I)^-1 r, and that it is a mean of days gives its standard error too.

The estimate takes the correlation of all dates for that of each, and the residual for its ranks. It is no substitute
for the score: what is proposed goes through all gates. How often it was right, and what residuals added to pools:
docs/decisions/003-residuals-of-rejected-candidates.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.evaluation.rank_correlation import one_thread
from fama_fast.mining.pools.wide import CONTRIBUTION_PENALTY
from fama_fast.proposals.protocol import ResidualPair

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fama_fast.mining.candidate import Candidate
    from fama_fast.mining.config import MiningConfig
    from fama_fast.mining.library.view import LibraryView
    from fama_fast.types import FloatArray

CAPACITY = 120  # rejected candidates kept
SHOWN = 40
_GATES = frozenset({"correlation", "admission"})  # that turn away what is like a member
_COPY = 0.99  # |correlation| beyond which nothing is left
_CAUTION = 2.0  # standard errors that a contribution is held below its mean
_OPERATORS = 3  # nodes that a residual has beside its operands


def contributions(
    series: FloatArray, correlations: FloatArray, pool: FloatArray, within: FloatArray, penalty: float
) -> FloatArray:
    """(X, T) daily RankICs of each candidate that the ridge pool leaves unexplained.

    Args:
        series: (X, T) daily RankICs of the candidates. correlations: (X, K) with the pool's factors.
        pool: (K, T) the factors' daily RankICs. within: (K, K) their correlations. penalty: the pool's.
    """
    if not len(pool):
        return series
    slopes = np.linalg.solve(within + penalty * np.eye(len(within)), correlations.T)
    return series - slopes.T @ pool


@dataclass
class _Kept:
    """A rejected candidate as it was proposed, with its direction; `series` are its daily RankICs over the training
    rows in that direction, 0 where it has none."""

    canonical: str
    nodes: int
    sign: int
    series: FloatArray


@dataclass
class ResidualArchive:
    """Rejected candidates whose residuals may be new, and the pairs that the next round may propose, best first.

    Attributes:
        kept: by fingerprint; their rank vectors are in the library's. used: pairs that were proposed. shown: what a
            proposer is shown; no two of these residuals are alike.
    """

    kept: dict[str, _Kept] = field(default_factory=dict)
    used: set[tuple[str, str]] = field(default_factory=set)
    shown: tuple[ResidualPair, ...] = ()

    def update(self, candidates: Sequence[Candidate], library: LibraryView, train: slice, config: MiningConfig) -> None:
        """Take in a round's candidates, and drop those whose residual beside today's library is negligible.

        The rank vectors of those that passed the training gates must be in `library.vectors`.
        """
        offered = {(pair.fingerprint, pair.beside) for pair in self.shown}
        for c in candidates:
            self.used |= offered & {c.proposal.parents}
            if c.gate in _GATES and c.vector is not None and c.series is not None:
                known = np.nan_to_num(c.series[train])
                self.kept[c.fingerprint] = _Kept(c.compiled.canonical, c.nodes, c.sign, known)
        members = [m for m in library.members if m.series is not None]
        if not self.kept or not members:
            self.kept, self.shown = {}, ()
            return
        gates, names = config.gates, list(self.kept)
        ids = [m.factor.fingerprint for m in members]
        vectors = library.vectors
        own = np.stack([self.kept[n].series for n in names])
        theirs = np.stack([np.nan_to_num(m.series[train]) for m in members if m.series is not None])
        among, across, within = vectors.table(names, names), vectors.table(names, ids), vectors.table(ids, ids)
        nearest = np.abs(across).argmax(axis=1)
        r = across[np.arange(len(names)), nearest]
        rest = np.sqrt(np.maximum(1.0 - r * r, 1.0 - _COPY * _COPY))[:, None]
        series = (own - r[:, None] * theirs[nearest]) / rest
        partial = (across - r[:, None] * within[nearest]) / rest
        mined = [i for i, m in enumerate(members) if m.mined]
        penalty = CONTRIBUTION_PENALTY if config.pool.ridge == "auto" else config.pool.ridge
        with one_thread():
            added = contributions(series, partial[:, mined], theirs[mined], within[np.ix_(mined, mined)], penalty)
        score, t = _level(series)
        gain, gain_t = _level(added)
        nodes = np.array([self.kept[n].nodes for n in names]) + [members[j].nodes for j in nearest] + _OPERATORS
        fitness = gain * (1.0 - _CAUTION / np.maximum(gain_t, 1e-12)) - gates.complexity_penalty * nodes
        good = (
            (np.abs(r) < _COPY)
            & (np.abs(partial).max(axis=1) <= gates.max_correlation)
            & (score - gates.complexity_penalty * nodes >= gates.min_rank_ic)
            & (t >= gates.min_t)
            & (nodes <= gates.max_nodes)
            & (fitness > 0.0)
            & [(n, ids[j]) not in self.used for n, j in zip(names, nearest, strict=True)]
        )
        order = [i for i in sorted(range(len(names)), key=lambda i: (-fitness[i], names[i])) if good[i]][:CAPACITY]
        # Correlations of the residuals: one of several that are alike is enough.
        cross = r[:, None] * across[:, nearest].T
        alike = (among - cross - cross.T + np.outer(r, r) * within[np.ix_(nearest, nearest)]) / (rest * rest.T)
        chosen: list[int] = []
        for i in order:
            if len(chosen) < SHOWN and all(abs(alike[i, k]) <= gates.max_correlation for k in chosen):
                chosen.append(i)
        self.shown = tuple(
            ResidualPair(
                names[i],
                self.kept[names[i]].canonical,
                ids[nearest[i]],
                members[nearest[i]].factor.as_proposed[0],
                float(fitness[i]),
            )
            for i in chosen
        )
        self.kept = {names[i]: self.kept[names[i]] for i in order}

    def to_dict(self) -> dict[str, Any]:
        """Plain data; the series follow from the texts and the data."""
        return {
            "kept": [[name, k.canonical, k.nodes, k.sign] for name, k in self.kept.items()],
            "used": sorted(self.used),
            "shown": [[s.fingerprint, s.canonical, s.beside, s.beside_canonical, s.fitness] for s in self.shown],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], measure: Callable[[Sequence[str]], FloatArray]) -> ResidualArchive:
        """The archive that `to_dict` described; `measure` gives the training rows' daily series of canonical texts, as
        training turned them."""
        rows = data.get("kept", ())
        measured = measure([canonical for _, canonical, _, _ in rows])
        return cls(
            {
                name: _Kept(canonical, nodes, sign, np.nan_to_num(series))
                for (name, canonical, nodes, sign), series in zip(rows, measured, strict=True)
            },
            {(x, beside) for x, beside in data.get("used", ())},
            tuple(ResidualPair(*row) for row in data.get("shown", ())),
        )


def _level(series: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(|mean|, its t) of each of some daily series (X, T), as if days were independent."""
    mean = np.abs(series.mean(axis=1))
    error = series.std(axis=1) / math.sqrt(series.shape[1])
    return mean, mean / np.maximum(error, 1e-12)
