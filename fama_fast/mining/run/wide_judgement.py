"""Judges a run's wide pool: what it is on validation, beside one of random formulas, and on the test.

The random formulas are those that the control measured. Both pools begin with the starting library; of the formulas
behind it the first ones of each are compared, as many as the smaller pool has, in the order that they were proposed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fama_fast.evaluation.mean_tests import studentised_interval
from fama_fast.mining.verdict.control import WideControl
from fama_fast.mining.verdict.findings import WidePoolFindings
from fama_fast.mining.verdict.measures import judged_series
from fama_fast.mining.verdict.verdict import evidence_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.mining.config import MiningConfig
    from fama_fast.mining.pools.wide import WidePool
    from fama_fast.mining.verdict.findings import Evidence
    from fama_fast.types import FloatArray


def wide_findings(pool: WidePool, config: MiningConfig) -> WidePoolFindings | None:
    """The pool on validation, with the test closed; None of a pool without formulas."""
    if not pool.size:
        return None
    fit, _ = pool.judged("valid")
    return WidePoolFindings(
        formulas=pool.size,
        seeds=pool.seeds,
        penalty=fit.penalty,
        power=fit.power,
        expected=fit.expected,
        error=fit.error,
        valid=_evidence(pool, config, "valid"),
        level=config.wide.level,
    )


def with_test(
    findings: WidePoolFindings, pool: WidePool, config: MiningConfig, beside: WideControl | None = None
) -> WidePoolFindings:
    """The same with the test, refitted on training and validation. This opens the test split.

    Args:
        beside: what will be asked for on the test next: its part of the pool is forecast in the same pass.
    """
    if beside is not None and beside.formulas and findings.stands:
        pool.judged_with("test", beside.formulas)
    return replace(findings, test=_evidence(pool, config, "test"))


def _evidence(pool: WidePool, config: MiningConfig, split: str) -> Evidence:
    found = evidence_of(pool.judged(split)[1], config, "ridge", horizon=pool.market.horizon)
    return replace(found, weights={})  # one for each of thousands of formulas: they are in the ledger


def wide_scores(pool: WidePool, findings: WidePoolFindings | None) -> dict[str, dict[str, dict[str, float]]]:
    """For the ledger: scores of the pool by split under the name of its set of formulas; and of each formula, under its
    fingerprint, its weight as of the last fit, that of its ranks as they are (`scaled`), its place and its sign."""
    if findings is None:
        return {}
    last = "valid" if findings.test is None else "test"
    splits = {"valid": findings.valid, "test": findings.test}
    own = {split: dict(found.scores) for split, found in splits.items() if found is not None}
    if not findings.stands:
        own.pop("test", None)  # it was measured where others opened the test, and claims nothing there
    fit, judged = pool.judged(last)
    each = zip(pool.members, judged.weights.values(), pool.of_ranks(fit).tolist(), strict=True)
    formulas = {
        m.fingerprint: {"wide": {"weight": weight, "scaled": scaled, "place": place, "sign": m.sign}}
        for place, (m, weight, scaled) in enumerate(each)
    }
    return {pool.identity: own, **formulas}


def wide_control(ours: WidePool, theirs: WidePool, config: MiningConfig) -> WideControl:
    """The run's pool beside that of random formulas, of as many, over the validation dates."""
    count = min(ours.size - ours.seeds, theirs.size - theirs.seeds)
    if not count:
        return WideControl(0)
    random, own, (gain, spread_gain) = _beside(ours, theirs, count, "valid", config)
    return WideControl(count, random, own, gain, spread_gain)


def wide_control_on_test(control: WideControl, ours: WidePool, theirs: WidePool, config: MiningConfig) -> WideControl:
    """The same with the test, both pools refitted on training and validation. This opens the test split."""
    if not control.formulas:
        return control
    random, own, (gain, spread_gain) = _beside(ours, theirs, control.formulas, "test", config)
    return replace(control, pool_test=random, own_test=own, test_gain=gain, test_spread_gain=spread_gain)


def _beside(
    ours: WidePool, theirs: WidePool, count: int, split: str, config: MiningConfig
) -> tuple[dict[str, float], dict[str, float], list[tuple[float, ...]]]:
    """Scores of random formulas and of the run's, and the intervals of the difference in objective and spread."""
    own, random = (pool.first(count).judged(split)[1] for pool in (ours, theirs))
    gains = []
    for name in (config.objective, "spread"):
        a, b = (judged_series(scored.daily["ridge"], name, config) for scored in (own, random))
        gains.append(interval(a - b, ours.market.horizon))
    return random.scores["ridge"], own.scores["ridge"], gains


def interval(difference: FloatArray, horizon: int, draws: Sequence[float] = ()) -> tuple[float, ...]:
    """95% interval of a mean difference; empty where there is none, a point where nothing varies."""
    known = difference[np.isfinite(difference)]
    if known.size and (known == known[0]).all():
        return float(known[0]), float(known[0])
    low, high = studentised_interval(difference, horizon=horizon, draws=draws)
    return (low, high) if np.isfinite(low) else ()
