"""The verdict's sentences, made from figures that are handed in; unwelcome figures are not left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.mining.objective import OBJECTIVES
from fama_fast.mining.verdict.findings import Status
from fama_fast.mining.verdict.measures import in_units, interval_in_units

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fama_fast.mining.verdict.control import Control, WideControl
    from fama_fast.mining.verdict.findings import Evidence, FactorVerdict, Tried, WidePoolFindings
    from fama_fast.mining.verdict.luck import Luck

NAN = float("nan")


def headline(
    status: Status,
    factors: Sequence[FactorVerdict],
    tried: Tried,
    *,
    level: float,
    tested: Evidence | None,
    control: Control,
    could_show: Mapping[str, float],
    valid: Evidence | None = None,
    horizon: int = 1,
) -> str:
    """At most two sentences for the whole run; they begin with the status."""
    holding = [f for f in factors if f.holds]
    if not holding or tested is None:
        if not factors:
            text = f"nothing found: no candidate of {tried.here} passed the gates"
        else:
            those = (
                "the one new factor does not hold"
                if len(factors) == 1
                else f"none of the {len(factors)} new factors holds"
            )
            counted = f"false discovery rate {level:g} over {tried.total} measured candidates"
            text = f"nothing found: {those} on validation ({counted}); the test split stays closed"
        return f"{text}. {_could(could_show, horizon)}." if could_show else text
    agree = sum(1 for f in holding if f.test_t is not None and f.test_t > 0.0)
    held = f"{len(holding)} of {len(factors)} new factors hold{'s' if len(holding) == 1 else ''} on validation"
    judged = _judged(tested)
    spread = "" if tested.objective == "spread" else f", {_spread(tested)}"
    figures = f"pool on the test split: {judged}{spread}; {agree} of {len(holding)} in the same direction"
    if status is Status.NOT_CONFIRMED:
        word = "contradicts" if tested.level < 0.0 else "does not confirm"
        return f"not confirmed: {held}, but the test {word} ({figures})"
    if status is Status.DOES_NOT_PAY:
        where = " on validation" if tested.pays else ""
        own = f"; {_spread(valid)} on validation" if where and valid is not None else ""
        return (
            f"ranks, but does not pay: {held} and the test agrees, but its spread{where} is not above zero "
            f"({figures}{own})"
        )
    if status is Status.NOT_BETTER:
        return (
            f"found, but no better than random formulas: {held} and the test agrees ({figures}). On validation "
            f"{_random_pool(control)} {'do as well' if not _worse(control) else 'do better'}: the difference is "
            f"{interval_in_units(tested.objective, control.gain, horizon)} (95% interval)."
        )
    if control.beaten is None:
        rest = "It was not compared with random formulas"
    elif not control.admitted:
        rest = "Of the random formulas none passed the gates"
    else:
        rest = f"On validation it is better than {_random_pool(control)}"
    return f"found: {held} and the test agrees and pays ({figures}). {rest}."


def _judged(pool: Evidence) -> str:
    name = pool.objective
    t = pool.scores.get("objective_t", pool.scores.get(f"{name}_t", NAN))
    return (
        f"{OBJECTIVES[name].label} {in_units(name, pool.level, pool.horizon)}, 95% interval "
        f"{interval_in_units(name, pool.interval, pool.horizon)}, t {t:+.2f}"
    )


def _spread(pool: Evidence) -> str:
    return (
        f"spread {in_units('spread', pool.scores.get('spread'), pool.horizon)}, 95% interval "
        f"{interval_in_units('spread', pool.spread_interval, pool.horizon)}"
    )


def _could(could_show: Mapping[str, float], horizon: int) -> str:
    """The least that would have been found."""
    parts = [
        f"a {OBJECTIVES[name].label} of {in_units(name, value, horizon).lstrip('+')}"
        for name, value in could_show.items()
    ]
    return f"With 80% power this panel and so many trials could have shown {' or '.join(parts)}"


def _random_pool(control: Control) -> str:
    return f"{control.chosen} random formula{'s' if control.chosen != 1 else ''} chosen by the same rule"


def _worse(control: Control) -> bool:
    return len(control.gain) == 2 and control.gain[1] < 0.0


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
    luck: Luck | None = None,
    could_show: Mapping[str, float] | None = None,
    objective: str = "rank_ic",
    horizon: int = 1,
    wide: WidePoolFindings | None = None,
) -> tuple[str, ...]:
    """One sentence each on the number of trials, validation, luck, the null controls and the test."""
    out = [_bar(tried, level)]
    if valid is not None:
        out.append(_validation(factors, luck, valid))
        out += _by_horizon("validation", valid)
    if wide is not None:
        out.append(_wide(wide, control.wide, test_level, objective, horizon))
    if luck is not None:
        out.append(_luck(luck))
    if control.candidates:
        out.append(_random(control, objective, horizon))
    if control.null:
        out.append(_shuffled(control, valid, objective, horizon))
    if tested is not None:
        out.append(_test(tested, test_level, openings, control))
        out += _by_horizon("the test", tested)
    if shrinkage is not None:
        out.append(
            f"From training to test the factors that hold kept {shrinkage:.0%} of their {OBJECTIVES[objective].label}"
            + (": less than half, so expect less still." if shrinkage < 0.5 else ".")
        )
    if could_show:
        out.append(f"{_could(could_show, horizon)}.")
    return tuple(out)


def wide_headline(status: Status, wide: WidePoolFindings, control: Control, *, horizon: int = 1) -> str:
    """At most two sentences for a run whose wide pool earned more than its factors."""
    assert wide.test is not None
    name, random = wide.test.objective, control.wide
    pool = f"the wide pool of {_formulas(wide)} holds on validation"
    spread = "" if name == "spread" else f", {_spread(wide.test)}"
    figures = f"on the test split: {_judged(wide.test)}{spread}"
    if status is Status.NOT_CONFIRMED:
        word = "contradicts" if wide.test.level < 0.0 else "does not confirm"
        return f"not confirmed: {pool}, but the test {word} ({figures})"
    if status is Status.DOES_NOT_PAY:
        where = " on validation" if wide.test.pays else ""
        own = f"; {_spread(wide.valid)} on validation" if where else ""
        return (
            f"ranks, but does not pay: {pool} and the test agrees, but its spread{where} is not above zero "
            f"({figures}{own})"
        )
    if status is Status.NOT_BETTER:
        assert random is not None
        do = "do better" if len(random.gain) == 2 and random.gain[1] < 0.0 else "do as well"
        return (
            f"found, but no better than random formulas: {pool} and the test agrees ({figures}). On validation as many "
            f"random formulas, pooled alike, {do}: the difference is "
            f"{interval_in_units(name, random.gain, horizon)} (95% interval)."
        )
    if random is None:
        rest = "It was not compared with random formulas"
    elif not random.formulas:
        rest = "No random formula passed the gates that it takes to be measured"
    else:
        rest = f"On validation it is better than as many random formulas, pooled alike ({random.formulas})"
    return f"found: {pool} and the test agrees and pays ({figures}). {rest}."


def _formulas(wide: WidePoolFindings) -> str:
    known = f" ({wide.seeds} of them known before)" if wide.seeds else ""
    return f"{wide.formulas:,} formula{'s' if wide.formulas != 1 else ''}{known}"


def _wide(wide: WidePoolFindings, control: WideControl | None, test_level: float, objective: str, horizon: int) -> str:
    """The wide pool: what it was expected to be, is on validation and the test, and beside random formulas."""
    pool = wide.valid
    spread = "" if objective == "spread" else f" and {_spread(pool)}"
    text = f"The wide pool of {_formulas(wide)} has {_judged(pool)}{spread} on validation, one-sided p {pool.p:.2g}"
    if wide.expected == wide.expected:
        text += f" (expected, counted as a RankIC: {wide.expected:+.4f}, standard error {wide.error:.4f})"
    if wide.test is not None:
        text += (
            f"; refitted, {_judged(wide.test)} on the test, one-sided p {wide.test.p:.2g} (level {test_level:.2g}), "
            f"{_spread(wide.test)}, net {in_units('net', wide.test.scores.get('net'), wide.test.horizon)}"
        )
    if control is not None and control.formulas:
        word = OBJECTIVES[objective].label
        text += (
            f"; {control.formulas:,} random formulas pooled alike have {word} "
            f"{in_units(objective, control.pool_valid.get(objective), horizon)} on validation, as many of the run's "
            f"{in_units(objective, control.own_valid.get(objective), horizon)} (95% interval of the difference over "
            f"dates: {interval_in_units(objective, control.gain, horizon)})"
        )
        if control.pool_test:
            text += (
                f"; on the test they have {in_units(objective, control.pool_test.get(objective), horizon)}, the run's "
                f"{in_units(objective, control.own_test.get(objective), horizon)} (difference "
                f"{interval_in_units(objective, control.test_gain, horizon)}, of the spread "
                f"{interval_in_units('spread', control.test_spread_gain, horizon)} bp a day)"
            )
    return text + "."


def _bar(tried: Tried, level: float) -> str:
    earlier = f", {tried.elsewhere} of them by earlier runs on these data" if tried.elsewhere else ""
    return (
        f"{tried.total} different candidates were measured{earlier}; each p-value is adjusted for all of them "
        f"(Benjamini-Hochberg, false discovery rate {level:g}), in training and on validation."
    )


def _validation(factors: Sequence[FactorVerdict], luck: Luck | None, valid: Evidence) -> str:
    best = min((f.valid_p for f in factors), default=NAN)
    spread = "" if valid.objective == "spread" else f" and {_spread(valid)}"
    text = (
        f"The pool of {len(factors)} new factor{'s' if len(factors) != 1 else ''} has {_judged(valid)}{spread} on "
        f"validation; lowest adjusted p of a factor {best:.2g}"
    )
    if valid.deflated is not None and valid.deflated == valid.deflated:
        trials = "" if luck is None else f" of {luck.clusters} independent trials"
        text += f"; probability that the Sharpe ratio of its spread is more than the luck{trials}: {valid.deflated:.2f}"
    return text + "."


def _by_horizon(split: str, pool: Evidence) -> list[str]:
    """What the pool has at each horizon, where there are several."""
    parts = [
        f"{days}: RankIC {in_units('rank_ic', found.get('rank_ic'))}, "
        f"spread {in_units('spread', found.get('spread'), int(days))}"
        for days, found in pool.horizons.items()
    ]
    return [f"On {split}, by rows held: {'; '.join(parts)}."] if parts else []


def _luck(luck: Luck) -> str:
    some = f"{luck.sampled} of " if luck.sampled < luck.measured else ""
    text = (
        f"The best of {some}{luck.measured} candidates on validation is luck with p {luck.reality_check:.2g} (Reality "
        f"Check), {luck.spa:.2g} (SPA), {luck.step_down:.2g} (step-down maximum t)"
    )
    if luck.overfitting is not None:
        text += f"; probability that choosing the best overfits: {luck.overfitting:.2f}"
    return text + "."


def _random(control: Control, objective: str, horizon: int) -> str:
    if not control.admitted:
        return f"Of {control.candidates} random formulas of the same sizes none passed the same gates."
    word = OBJECTIVES[objective].label
    text = (
        f"Of {control.candidates} random formulas of the same sizes {control.admitted} passed the same gates; the pool "
        f"of {control.chosen}, chosen by the same rule as the run's"
        + (f" ({control.topped_up} of them for their training score)" if control.topped_up else "")
        + f", has {word} {in_units(objective, control.pool_valid.get(objective), horizon)} on validation"
    )
    if control.own_valid:
        text += f", the run's {in_units(objective, control.own_valid.get(objective), horizon)}"
    if len(control.gain) == 2:
        low, high = control.gain
        better = "better" if low > 0.0 else ("worse" if high < 0.0 else "not distinguishable")
        text += (
            f". The run's pool is {better} on validation (95% interval of the difference, over dates and "
            f"{control.draws} draws: {interval_in_units(objective, control.gain, horizon)}"
        )
        if objective != "spread":
            text += f"; of the spread {interval_in_units('spread', control.spread_gain, horizon)} bp a day"
        text += ")"
    return text + "."


def _shuffled(control: Control, valid: Evidence | None, objective: str, horizon: int) -> str:
    own = 0.0 if valid is None else valid.scores.get(objective, 0.0)
    highest, ours = (in_units(objective, value, horizon) for value in (max(control.null), own))
    return (
        f"Selected anew on shuffled labels {len(control.null)} times, the pool reached at most {highest} on "
        f"validation against {ours} (p {control.null_p:.2g})."
    )


def _test(tested: Evidence, level: float, openings: int, control: Control) -> str:
    before = f", after {openings} other openings on these data" if openings else ""
    text = (
        f"The test split was opened once{before}: {_judged(tested)}, one-sided p {tested.p:.2g} (level {level:.2g}); "
        f"{_spread(tested)}, net {in_units('net', tested.scores.get('net'), tested.horizon)}"
    )
    if control.pool_test:
        name = tested.objective
        text += (
            f"; the random formulas' pool {in_units(name, control.pool_test.get(name), tested.horizon)}, the run's "
            f"of that number {in_units(name, control.own_test.get(name), tested.horizon)}"
        )
    return text + "."
