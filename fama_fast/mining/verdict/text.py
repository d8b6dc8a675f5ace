"""The verdict's sentences, made from figures that are handed in; unwelcome figures are not left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.mining.verdict.control import Control
    from fama_fast.mining.verdict.findings import Evidence, FactorVerdict, Tried

NAN = float("nan")


def headline(
    status: str, factors: Sequence[FactorVerdict], tried: Tried, *, level: float, tested: Evidence | None
) -> str:
    """One sentence for the whole run, which begins with the status."""
    holding = [f for f in factors if f.holds]
    if not holding or tested is None:
        if not factors:
            return f"nothing found: no candidate of {tried.here} passed the gates"
        those = (
            "the one new factor does not hold" if len(factors) == 1 else f"none of the {len(factors)} new factors holds"
        )
        counted = f"false discovery rate {level:g} over {tried.total} measured candidates"
        return f"nothing found: {those} on validation ({counted}); the test split stays closed"
    agree = sum(1 for f in holding if f.test_t is not None and f.test_t > 0.0)
    rank_ic = tested.scores.get("rank_ic", NAN)
    figures = (
        f"pool on the test split: RankIC {rank_ic:+.4f}, 95% interval {_interval(tested.interval)}, "
        f"t {tested.scores.get('rank_ic_t', NAN):+.2f}; {agree} of {len(holding)} in the same direction"
    )
    held = f"{len(holding)} of {len(factors)} new factors hold{'s' if len(holding) == 1 else ''} on validation"
    if status == "found":
        return f"found: {held} and the test agrees ({figures})"
    word = "contradicts" if rank_ic < 0.0 else "does not confirm"
    return f"not confirmed: {held}, but the test {word} ({figures})"


def statements(
    factors: Sequence[FactorVerdict],
    tried: Tried,
    *,
    level: float,
    test_level: float,
    openings: int,
    valid: Evidence | None,
    tested: Evidence | None,
    shrinkage: float | None,
    control: Control,
) -> tuple[str, ...]:
    """One sentence each on the number of trials, validation, the null controls and the test."""
    out = [_bar(tried, level)]
    if valid is not None:
        out.append(_validation(factors, tried, valid))
    if control.candidates:
        out.append(_random(control, valid))
    if control.null:
        out.append(_shuffled(control, valid))
    if tested is not None:
        out.append(_test(tested, test_level, openings, control))
    if shrinkage is not None:
        out.append(
            f"From training to test the factors that hold kept {shrinkage:.0%} of their RankIC"
            + (": less than half, so expect less still." if shrinkage < 0.5 else ".")
        )
    return tuple(out)


def _interval(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:+.4f} to {bounds[1]:+.4f}"


def _bar(tried: Tried, level: float) -> str:
    earlier = f", {tried.elsewhere} of them by earlier runs on these data" if tried.elsewhere else ""
    return (
        f"{tried.total} different candidates were measured{earlier}; each p-value is adjusted for all of them "
        f"(Benjamini-Hochberg, false discovery rate {level:g}), in training and on validation."
    )


def _validation(factors: Sequence[FactorVerdict], tried: Tried, valid: Evidence) -> str:
    best = min((f.valid_p for f in factors), default=NAN)
    text = (
        f"The pool of {len(factors)} new factor{'s' if len(factors) != 1 else ''} has RankIC "
        f"{valid.scores.get('rank_ic', NAN):+.4f} on validation (95% interval {_interval(valid.interval)}); "
        f"lowest adjusted p of a factor {best:.2g}"
    )
    if valid.deflated is not None and valid.deflated == valid.deflated:
        text += (
            f"; probability that its Sharpe ratio is more than the luck of {tried.total} trials: {valid.deflated:.2f}"
        )
    return text + "."


def _random(control: Control, valid: Evidence | None) -> str:
    if not control.admitted:
        return f"Of {control.candidates} random formulas of the same sizes none passed the same gates."
    text = (
        f"Of {control.candidates} random formulas of the same sizes {control.admitted} passed the same gates; their "
        f"pool has RankIC {control.pool_valid.get('rank_ic', NAN):+.4f} on validation, the best alone "
        f"{control.best_valid if control.best_valid is not None else NAN:+.4f}"
    )
    if len(control.gain) == 2 and valid is not None:
        low, high = control.gain
        better = "better" if low > 0.0 else ("worse" if high < 0.0 else "not distinguishable")
        text += f". The run's pool is {better} on validation (95% interval of the difference {low:+.4f} to {high:+.4f})"
    return text + "."


def _shuffled(control: Control, valid: Evidence | None) -> str:
    highest = max(control.null)
    own = 0.0 if valid is None else valid.scores.get("rank_ic", 0.0)
    return (
        f"Selected anew on shuffled labels {len(control.null)} times, the pool reached at most {highest:+.4f} on "
        f"validation against {own:+.4f} (p {control.null_p:.2g})."
    )


def _test(tested: Evidence, level: float, openings: int, control: Control) -> str:
    before = f", after {openings} other openings on these data" if openings else ""
    text = (
        f"The test split was opened once{before}: RankIC {tested.scores.get('rank_ic', NAN):+.4f}, 95% interval "
        f"{_interval(tested.interval)}, one-sided p {tested.p:.2g} (level {level:.2g})"
    )
    if control.pool_test:
        text += f"; the random formulas' pool {control.pool_test.get('rank_ic', NAN):+.4f}"
    return text + "."
