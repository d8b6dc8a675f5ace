"""Measure how often each statistic of the verdict rejects at 5%: on nulls, and on planted effects.

    python -m benches.statistics
    python -m benches.statistics --nulls 200 --dates 300

Each null is looked at both ways up (x and -x), as a one-sided test may; planted effects are given in standard errors of
the best candidate's mean. Prints two tables in Markdown and says which sizes are not in 4 to 6%; exit code 1 then.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from benches.statistics.nulls import NULLS
from fama_fast.evaluation import newey_west_t, overfitting_probability
from fama_fast.evaluation.inference import stationary_bootstrap_interval
from fama_fast.evaluation.mean_tests import mean_test, studentised_interval
from fama_fast.evaluation.selection_tests import independent_trials, luck_deflated_sharpe, selection_tests

if TYPE_CHECKING:
    from fama_fast.types import FloatArray

_LEVEL = 0.05
_ONE_SIDED = 1.6448536
HELD = (
    "t of the mean",
    "95% interval of the mean",
    "95% interval of a difference, with draws",
    "deflated Sharpe ratio",
    "Reality Check",
    "SPA",
    "step-down max-t",
)
BESIDE = ("Newey-West t, normal limit", "95% interval, percentile bootstrap")
EFFECTS = (3.0, 4.0, 5.0, 6.0)


def rejections(daily: FloatArray, horizon: int, resamples: int, seed: int, one: int = 0) -> dict[str, bool]:
    """By statistic: whether it rejects at 5% on (dates, candidates); those of one series look at column `one`."""
    first = daily[:, one]
    low, high = studentised_interval(first, horizon=horizon, resamples=resamples, seed=seed)
    plain = stationary_bootstrap_interval(first, horizon=horizon, resamples=resamples, seed=seed)
    # The control of a difference: a pool whose level is a draw too, of which eight are known.
    rng = np.random.default_rng([seed, 2])
    spread = mean_test(first, horizon=horizon).error
    drawn = rng.normal(0.0, spread, 9)
    wide = studentised_interval(first + drawn[0], horizon=horizon, resamples=resamples, seed=seed, draws=drawn[1:])
    best = daily[:, np.argmax([mean_test(x, horizon=horizon).t for x in daily.T])]
    trials = independent_trials(daily, seed=seed).clusters
    many = selection_tests(daily, horizon=horizon, resamples=resamples, seed=seed)
    assert many is not None
    return {
        HELD[0]: mean_test(first, horizon=horizon).p <= _LEVEL,
        HELD[1]: not low <= 0.0 <= high,
        HELD[2]: not wide[0] <= 0.0 <= wide[1],
        HELD[3]: luck_deflated_sharpe(best, trials=trials, horizon=horizon) > 1.0 - _LEVEL,
        HELD[4]: many.reality_check <= _LEVEL,
        HELD[5]: many.spa <= _LEVEL,
        HELD[6]: float(many.step_down[many.best]) <= _LEVEL,
        BESIDE[0]: newey_west_t(first, horizon=horizon) > _ONE_SIDED,
        BESIDE[1]: not plain[0] <= 0.0 <= plain[1],
    }


def sizes(nulls: int, dates: int, candidates: int, resamples: int) -> dict[str, dict[str, float]]:
    """By statistic and kind of null: the share of rejections."""
    out: dict[str, dict[str, float]] = defaultdict(dict)
    for number, (name, (draw, horizon)) in enumerate(NULLS.items()):
        counts: dict[str, int] = defaultdict(int)
        for seed in range(nulls):
            daily = draw(np.random.default_rng([number, seed]), dates, candidates)
            # An interval is the same either way up, so the other way it is that of another series.
            for one, turned in enumerate((daily, -daily)):
                for statistic, rejects in rejections(turned, horizon, resamples, seed, one).items():
                    counts[statistic] += rejects
        for statistic, count in counts.items():
            out[statistic][name] = count / (2 * nulls)
        print(f"{name}: done", file=sys.stderr, flush=True)
    return out


def powers(planted: int, dates: int, candidates: int, resamples: int) -> dict[str, dict[str, float]]:
    """By statistic and planted effect: the least share of rejections over all kinds of series; and the least deflated
    Sharpe ratio of a pool whose Newey-West t came out above 5."""
    out: dict[str, dict[str, float]] = defaultdict(dict)
    least = 1.0
    for effect in EFFECTS:
        for number, (draw, horizon) in enumerate(NULLS.values()):
            counts: dict[str, int] = defaultdict(int)
            for seed in range(planted):
                daily = draw(np.random.default_rng([number, seed, 1]), dates, candidates)
                daily[:, 0] += effect / math.sqrt(dates)
                for statistic, rejects in rejections(daily, horizon, resamples, seed).items():
                    counts[statistic] += rejects
                if newey_west_t(daily[:, 0], horizon=horizon) > 5.0:
                    trials = independent_trials(daily, seed=seed).clusters
                    least = min(least, luck_deflated_sharpe(daily[:, 0], trials=trials, horizon=horizon))
            for statistic, count in counts.items():
                known = out[statistic].get(f"{effect:g}", 1.0)
                out[statistic][f"{effect:g}"] = min(known, count / planted)
        print(f"planted, {effect:g} standard errors: done", file=sys.stderr, flush=True)
    out["least deflated Sharpe ratio where t > 5"] = {"": least}
    return out


def overfitting(nulls: int, dates: int, candidates: int) -> float:
    """Mean probability of backtest overfitting over nulls: 1/2 is right."""
    draw = NULLS["iid"][0]
    found = [
        overfitting_probability(draw(np.random.default_rng([9, s]), dates, candidates), blocks=10) for s in range(nulls)
    ]
    return float(np.mean([f.probability for f in found]))


def table(title: str, columns: list[str], rows: dict[str, dict[str, float]], names: tuple[str, ...]) -> str:
    """A Markdown table of shares in percent."""
    lines = [f"| {title} | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    lines += [f"| {name} | " + " | ".join(f"{100.0 * rows[name][c]:.1f}%" for c in columns) + " |" for name in names]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """0 when every size that is to hold is in 4 to 6%, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m benches.statistics", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nulls", type=int, default=1000, help="of each kind (default %(default)s)")
    parser.add_argument("--planted", type=int, default=100, help="series with an effect (default %(default)s)")
    parser.add_argument("--dates", type=int, default=500, help="default %(default)s")
    parser.add_argument("--candidates", type=int, default=10, help="default %(default)s")
    parser.add_argument("--resamples", type=int, default=199, help="of every bootstrap (default %(default)s)")
    given = parser.parse_args(arguments)
    found = sizes(given.nulls, given.dates, given.candidates, given.resamples)
    print(table("rejections at 5%", list(NULLS), found, HELD + BESIDE))
    wrong = [f"{s} on {n}" for s in HELD for n, share in found[s].items() if not 0.04 <= share <= 0.06]
    print("\nsizes outside 4 to 6%: " + ("; ".join(wrong) or "none"))
    power = powers(given.planted, given.dates, given.candidates, given.resamples)
    print("\n" + table("power, by effect in standard errors", [f"{e:g}" for e in EFFECTS], power, HELD))
    least = power["least deflated Sharpe ratio where t > 5"][""]
    print(f"\nleast deflated Sharpe ratio of a planted series with t > 5: {least:.3f}")
    print(f"mean probability of backtest overfitting on nulls: {overfitting(50, given.dates, given.candidates):.2f}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
