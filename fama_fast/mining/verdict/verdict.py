"""Judges a run: training and validation tested with all candidates counted, the test split opened once.

A new factor holds when the run's objective is significant in training and, in the same direction, on validation, each
after Benjamini-Hochberg over every different candidate that was ever measured on these data: those of this run
and, as tests without success, those of earlier runs in the ledger. So running again with another seed buys no free
shots. The test is opened where a factor holds, for the short list as one pool, or for what holds where there is no
short list; each opening of the test by another set of factors leaves
less of the level to the next (`spent_level`). What the test agrees with must
also pay, with the 95% interval of its spread above zero there and on validation, and be better on validation than
random formulas of the same number, chosen by the same rule. Words follow the test, never the hope. Files are unknown
here.

The wide pool of every measured formula is judged beside them, by the same endings: it goes to the test where its
objective on validation is above zero at a level of its own, for it is one pool and was chosen by nobody.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fama_fast.evaluation import benjamini_hochberg, luck_deflated_sharpe, mean_test, p_value, studentised_interval
from fama_fast.ledger.records import was_measured
from fama_fast.library.factor import score_of
from fama_fast.mining.verdict.control import Control
from fama_fast.mining.verdict.findings import (
    Evidence,
    FactorVerdict,
    Status,
    Tried,
    Verdict,
    WidePoolFindings,
)
from fama_fast.mining.verdict.measures import judged_series

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from fama_fast.library.factor import Factor
    from fama_fast.mining.config import MiningConfig
    from fama_fast.mining.measure.combination import Model, PoolScores
    from fama_fast.mining.verdict.luck import Luck

    Scores = Mapping[str, Mapping[str, float]]

NAN = float("nan")


def one_sided(t: float) -> float:
    """p-value of t against the null "not above zero"; 1 where t is not known."""
    if not math.isfinite(t):
        return 1.0
    half = p_value(t) / 2.0
    return half if t > 0.0 else 1.0 - half


def spent_level(level: float, openings: int) -> float:
    """The level of the test's next opening: level / (k (k + 1)) for the k-th, so that all together never exceed it.

    Alpha spending (Foster and Stine 2008) with the summable weights 1/(k (k + 1)).
    """
    k = openings + 1
    return level / (k * (k + 1))


def judge_factors(
    new: Sequence[Factor],
    candidates: Iterable[tuple[str | None, Scores]],
    level: float,
    *,
    elsewhere: Collection[str] = (),
) -> tuple[list[FactorVerdict], Tried]:
    """Test each new factor against the bar, with the number of trials counted.

    Args:
        new: the factors that the run found. candidates: (fingerprint, scores) of every candidate of the run, in the
            direction of its training; one that a cheap look at the data stopped counts as tested without success.
        level: false discovery rate. elsewhere: fingerprints that only earlier runs measured on the same data.
    """
    measured = [(f, scores) for f, scores in candidates if was_measured(scores)]
    others = len(elsewhere)
    train = np.ones(len(measured) + others)
    valid = np.ones(len(measured) + others)
    place: dict[str, int] = {}
    ts: list[tuple[float, float]] = []
    for i, (fingerprint, scores) in enumerate(measured):
        t_train, t_valid = (objective_t(scores, split) for split in ("train", "valid"))
        ts.append((t_train, t_valid))
        train[i] = p_value(t_train) if math.isfinite(t_train) else 1.0
        valid[i] = one_sided(t_valid)
        if fingerprint is not None:
            place.setdefault(fingerprint, i)
    adjusted_train, adjusted_valid = benjamini_hochberg(train), benjamini_hochberg(valid)
    out = []
    for factor in new:
        at = place.get(factor.fingerprint)
        if at is None:
            continue
        p_train, p_valid = float(adjusted_train[at]), float(adjusted_valid[at])
        out.append(
            FactorVerdict(
                factor.fingerprint,
                ts[at][0],
                p_train,
                ts[at][1],
                p_valid,
                holds=p_train <= level and p_valid <= level,
            )
        )
    return out, Tried(len(measured), others)


def _figure(scores: Scores, split: str, name: str) -> float:
    value = scores.get(split, {}).get(name)
    return NAN if value is None else float(value)


def objective_t(scores: Scores, split: str) -> float:
    """t of the objective; of the RankIC in scores that know no objective."""
    t = _figure(scores, split, "objective_t")
    return t if math.isfinite(t) else _figure(scores, split, "rank_ic_t")


def evidence(
    pool: PoolScores | None, config: MiningConfig, *, horizon: int, trials: float | None = None
) -> Evidence | None:
    """Figures of a pool with intervals and p-value; with the number of independent `trials`, the deflated Sharpe ratio
    of its daily spread."""
    return None if pool is None else evidence_of(pool, config, config.pool.model, horizon=horizon, trials=trials)


def evidence_of(
    pool: PoolScores, config: MiningConfig, model: Model, *, horizon: int, trials: float | None = None
) -> Evidence:
    """The same of one of its models."""
    objective = config.objective
    daily = pool.daily[model]
    series, spread = judged_series(daily, objective, config), daily.spread
    deflated = None
    if trials is not None:
        deflated = luck_deflated_sharpe(spread, trials=max(1.0, trials), horizon=horizon)
    return Evidence(
        scores=pool.scores[model],
        others={name: figures for name, figures in pool.scores.items() if name != model},
        interval=studentised_interval(series, horizon=horizon),
        p=mean_test(series, horizon=horizon).p,
        deflated=deflated,
        weights=pool.weights,
        objective=objective,
        spread_interval=studentised_interval(spread, horizon=horizon),
        horizon=horizon,
        horizons=pool.horizons.get(model, {}),
    )


def conclude(
    judged: Sequence[FactorVerdict],
    tried: Tried,
    *,
    level: float,
    test_level: float,
    openings: int = 0,
    factors: Mapping[str, Factor],
    test: Scores,
    valid: Evidence | None = None,
    tested: Evidence | None = None,
    control: Control | None = None,
    luck: Luck | None = None,
    could_show: Mapping[str, float] | None = None,
    objective: str = "rank_ic",
    horizon: int = 1,
    wide: WidePoolFindings | None = None,
) -> Verdict:
    """The verdict, made once the test of what holds is known: the better of what the factors and the wide pool earn.

    Args:
        factors: the new factors by fingerprint. test: test scores by fingerprint; empty when nothing holds, for
            then the test stays closed. valid, tested, luck, could_show, wide: see `Verdict`. Where factors and wide
            pool both go to the test each has half of its level, so that luck has no more chances than with one.
    """
    from fama_fast.mining.verdict import text as sentences

    factor_verdicts = tuple(
        FactorVerdict(
            f.fingerprint,
            f.train_t,
            f.train_p,
            f.valid_t,
            f.valid_p,
            f.holds,
            objective_t(test, f.fingerprint) if f.fingerprint in test else None,
        )
        for f in judged
    )
    holding = [f for f in factor_verdicts if f.holds]
    control, could_show = control or Control(), dict(could_show or {})
    if holding and wide is not None and wide.stands:
        test_level /= 2.0
    status = _earned(tested if holding else None, valid, test_level, control.beaten)
    wide_status = Status.NOTHING_FOUND
    if wide is not None and wide.stands:
        wide_beats = None if control.wide is None else control.wide.beaten
        wide_status = _earned(wide.test, wide.valid, test_level, wide_beats)
    shrinkage = _shrinkage([factors[f.fingerprint] for f in holding], test)
    by_wide = _WORTH.index(wide_status) > _WORTH.index(status)
    status = wide_status if by_wide else status
    return Verdict(
        status,
        sentences.wide_headline(status, wide, control, horizon=horizon)
        if by_wide and wide is not None
        else sentences.headline(
            status,
            factor_verdicts,
            tried,
            level=level,
            tested=tested,
            valid=valid,
            control=control,
            could_show=could_show,
            horizon=horizon,
        ),
        sentences.statements(
            factor_verdicts,
            tried,
            level=level,
            test_level=test_level,
            openings=openings,
            valid=valid,
            tested=tested,
            shrinkage=shrinkage,
            control=control,
            luck=luck,
            could_show=could_show,
            objective=objective,
            horizon=horizon,
            wide=wide,
        ),
        level,
        test_level,
        tried,
        openings,
        factor_verdicts,
        valid,
        tested,
        shrinkage,
        control,
        luck,
        could_show,
        objective,
        horizon,
        wide,
    )


_WORTH = (Status.NOTHING_FOUND, Status.NOT_CONFIRMED, Status.DOES_NOT_PAY, Status.NOT_BETTER, Status.FOUND)


def _earned(tested: Evidence | None, valid: Evidence | None, test_level: float, beaten: bool | None) -> Status:
    """What a pool earns that went to the test, or did not: the words of the verdict."""
    if tested is None:
        return Status.NOTHING_FOUND
    if tested.p > test_level:
        return Status.NOT_CONFIRMED
    if not tested.pays or (valid is not None and not valid.pays):
        # One interval of 95% is above zero by luck once in 40 markets that rank and do not pay; two, hardly ever.
        return Status.DOES_NOT_PAY
    return Status.NOT_BETTER if beaten is False else Status.FOUND


def _shrinkage(holding: Sequence[Factor], test: Scores) -> float | None:
    """Mean objective on test over that in training, counted as RankICs."""
    before = [f.score for f in holding]
    after = [score_of({"train": dict(test.get(f.fingerprint, {}))}) for f in holding]
    if not holding or not all(math.isfinite(x) for x in (*before, *after)) or sum(before) <= 0.0:
        return None
    return sum(after) / sum(before)


def not_judged(level: float, test_level: float) -> Verdict:
    """The verdict between the end of the search and its judgement: no claim, no count, the test closed."""
    headline = "not judged: the search is over, its verdict was not reached; the test split is not in this result"
    return Verdict(Status.NOT_JUDGED, headline, (), level, test_level, Tried(0))


def interrupted(factors: Sequence[FactorVerdict], tried: Tried, *, level: float, test_level: float) -> Verdict:
    """The verdict on a run that was stopped on request: figures so far, no claim, the test closed."""
    holding = sum(1 for f in factors if f.holds)
    headline = (
        f"interrupted: {holding} of {len(factors)} new factors hold on validation so far; the test split stays "
        "closed until the run is resumed and ends"
    )
    return Verdict(Status.INTERRUPTED, headline, (), level, test_level, tried, factors=tuple(factors))
