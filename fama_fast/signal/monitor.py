"""Whether a run's signal still does what its verdict promised, on the dates since the run's data ended.

The promise is what the verdict says of the pool on the split that was judged: a mean with its 95% interval. Since then
there is a series of daily figures. `below` means that the mean since then is less than the promised one, at a level of
5%, with the uncertainty of both; anything else is within what was promised. How many dates it takes to tell a signal
that is worth nothing by now from the promise, four times in five, is said beside it: before that, `within` says little.
Whoever looks often is misled more often than 5% of the time.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.arguments import whole
from fama_fast.engine.chunks import Loaded
from fama_fast.errors import DataError
from fama_fast.evaluation import Daily, daily, mean_test, studentised_interval
from fama_fast.evaluation.inference import NAN, present
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.measure.horizons import averaged, over_longest
from fama_fast.mining.objective import OBJECTIVES
from fama_fast.mining.verdict.measures import in_units, interval_in_units, judged_series
from fama_fast.signal.pool import SignalPool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fama_fast.mining.config import MiningConfig
    from fama_fast.panel import Panel
    from fama_fast.types import FloatArray

LEVEL = 0.05  # at which a signal is called below its promise
POWER = 0.8  # with which one that is worth nothing is told from it
WINDOW = 60  # dates of the rolling mean
LEAST = 20  # dates before which nothing is said
_NORMAL = 1.959964  # of a 95% interval


@dataclass(frozen=True)
class Watched:
    """One measure, promised and since.

    Attributes:
        name: of the measure: rank_ic, ic, spread, net. promised: its mean on the judged split; promised_interval: 95%,
            NaN twice where the verdict has none. since: mean on the new dates; interval: 95%. days: new dates that
            have a figure. rolling: mean of the last `Monitor.window` of them. status: within, below, early or unknown
            (no interval was promised). p: one-sided, of "no less than promised". needed: dates that it takes to tell
            a signal worth nothing from the promise; None: no number does.
    """

    name: str
    promised: float
    promised_interval: tuple[float, float]
    since: float
    interval: tuple[float, float]
    days: int
    rolling: float
    status: str
    p: float
    needed: int | None


@dataclass(frozen=True)
class Monitor:
    """A run's signal since its data ended.

    Attributes:
        run: id. pool: which, in words. split: that the promise is of. objective: the measure that decides `status`.
        horizon: dates that a label spans. window: dates of the rolling means. dates: (D,) the new ones.
        measures: by name. daily, rolling: (D,) series by name; NaN where a date has no figure, and before the window
            is full.
    """

    run: str
    pool: str
    split: str
    objective: str
    horizon: int
    window: int
    dates: Any
    measures: dict[str, Watched]
    daily: dict[str, FloatArray]
    rolling: dict[str, FloatArray]

    @property
    def status(self) -> str:
        """That of the objective: within, below, early or unknown."""
        return self.measures[self.objective].status

    @property
    def sentences(self) -> list[str]:
        """What it comes to, in words, the objective first."""
        rest = [m for name, m in self.measures.items() if name != self.objective]
        return [_said(m, self.horizon) for m in (self.measures[self.objective], *rest)]

    def as_dict(self) -> dict[str, Any]:
        """Plain data; series by date."""
        days = [str(day)[:19] for day in self.dates]
        series = [
            {"date": day, **{f"{k}{e}": float(s[k][i]) for s, e in self._series for k in s}}
            for i, day in enumerate(days)
        ]
        return {
            "run": self.run,
            "pool": self.pool,
            "split": self.split,
            "objective": self.objective,
            "status": self.status,
            "horizon": self.horizon,
            "window": self.window,
            "first": days[0],
            "last": days[-1],
            "measures": {name: asdict(m) for name, m in self.measures.items()},
            "sentences": self.sentences,
            "daily": series,
        }

    @property
    def _series(self) -> tuple[tuple[dict[str, FloatArray], str], ...]:
        return (self.daily, ""), (self.rolling, "_rolling")


def monitor(
    document: Mapping[str, Any],
    data: Panel,
    *,
    pool: SignalPool | None = None,
    window: int = WINDOW,
    threads: int | None = None,
) -> Monitor:
    """A run's signal on the dates of some data whose labels were not known when the run's data ended.

    Args:
        document: the result document of the run. data: with those dates, and enough before them for the windows.
        pool: of the run, by default the short list. window: dates of the rolling mean.

    Raises:
        DataError: no date since the run, or no pool. ExpressionError: a field that a formula reads is absent.
    """
    window = whole(window, "window", 1)
    pool = pool or SignalPool.of_document(document)
    config = config_from_dict(document["settings"])
    promise = document["verdict"]["wide" if pool.by_lookback else "pool"][pool.fitted]
    dates = np.asarray(data.dates).astype("datetime64[D]")
    ended = np.datetime64(document["data"]["last"])
    first = max(0, int(np.searchsorted(dates, ended, side="right")) - config.predicted.rows_ahead(data.sessions))
    found, horizon = _figures(pool, config, data, first, data.shape[0], threads)
    known = np.flatnonzero(np.isfinite(found.rank_ic))
    if not known.size or dates[-1] <= ended:
        raise DataError(
            f"{data.source} ends on {dates[-1]} and the data of run {pool.run} on {ended}: no date since then has a "
            "return to compare with; give data that go on"
        )
    first, found = first + int(known[0]), _rows(found, slice(int(known[0]), int(known[-1]) + 1))
    series = {name: judged_series(found, name, config) for name in OBJECTIVES}
    then = _again(pool, document, config, data, threads)
    measures = {}
    rolling = {name: _rolling(values, window) for name, values in series.items()}
    for name, values in series.items():
        interval = promise.get(f"{name}_interval")
        if interval is None and then is not None:
            interval = studentised_interval(judged_series(then, name, config), horizon=horizon)
        judged = int(document["splits"][pool.fitted]["days"])
        measures[name] = _watched(
            name, promise.get(name, NAN), tuple(interval or (NAN, NAN)), judged, values, horizon, window
        )
    return Monitor(
        pool.run,
        pool.name,
        "test" if pool.fitted == "test" else "validation",
        config.objective,
        horizon,
        window,
        data.dates[first : first + len(found.rank_ic)],
        measures,
        series,
        rolling,
    )


def _figures(
    pool: SignalPool, config: MiningConfig, data: Panel, first: int, last: int, threads: int | None
) -> tuple[Daily, int]:
    """Daily figures of the signal on the rows [first, last), and the dates over which labels overlap."""
    target = config.predicted
    held = target.held(data.sessions)
    longest = max(held.values())
    warm = max(0, first - longest)  # what is traded on a date hangs on those before
    signal = pool.signal(data, warm, last, threads=threads)
    universe = None if data.universe is None else data.universe[warm:last]
    whole_data = Loaded(0, len(data.dates), [(0, data)], 0, counted=False)
    parts = []
    for key, made in target.labels(data, min_members=config.splits.min_members).items():
        labels = made.rows(whole_data, warm, last, threads)
        own = daily(signal, labels, universe, span=held[key], threads=threads)
        parts.append(over_longest(own, longest / held[key]))
    return _rows(averaged(parts), slice(first - warm, None)), longest


def _again(
    pool: SignalPool, document: Mapping[str, Any], config: MiningConfig, data: Panel, threads: int | None
) -> Daily | None:
    """Daily figures on the dates of the test, for intervals that the verdict did not need; None where it was not opened
    or the data do not have all of them."""
    if pool.fitted != "test":
        return None
    split, dates = document["splits"]["test"], np.asarray(data.dates).astype("datetime64[D]")
    first, last = np.searchsorted(dates, [np.datetime64(split["first"]), np.datetime64(split["last"]) + 1])
    if last - first != split["days"] or first == 0:
        return None
    reach = config.predicted.rows_ahead(data.sessions)
    return _figures(pool, config, data, int(first), int(last) - reach, threads)[0]


def _rows(found: Daily, rows: slice) -> Daily:
    return Daily(**{name: values[rows] for name, values in vars(found).items()})


def _rolling(series: FloatArray, window: int) -> FloatArray:
    """(D,) mean of the last `window` figures up to each date; NaN before there are as many."""
    out = np.full(len(series), NAN)
    at = np.flatnonzero(np.isfinite(series))
    for i in range(window - 1, len(at)):
        out[at[i]] = np.add.reduce(series[at[i - window + 1 : i + 1]]) / window
    return out


def _watched(
    name: str,
    promised: float,
    interval: tuple[float, float],
    judged: int,
    series: FloatArray,
    horizon: int,
    window: int,
) -> Watched:
    from scipy.special import stdtr

    known = present(series)
    now = mean_test(known, horizon=horizon)
    own = studentised_interval(known, horizon=horizon)
    error = (interval[1] - interval[0]) / 2.0 / _NORMAL
    last = known[-window:]
    rolling = float(np.add.reduce(last) / len(last)) if len(known) >= window else NAN
    p, status = NAN, "unknown"
    if math.isfinite(promised) and math.isfinite(error):
        status = "early"
        if now.days >= LEAST and math.isfinite(now.error):
            p = float(stdtr(now.freedom, (now.mean - promised) / math.hypot(error, now.error)))
            status = "below" if p < LEVEL else "within"
    needed = dates_to_tell(promised, error, judged)
    return Watched(name, promised, interval, now.mean, own, now.days, rolling, status, p, needed)


def dates_to_tell(promised: float, error: float, judged: int) -> int | None:
    """New dates after which a mean of nothing is told from the promised one, with `POWER` at `LEVEL`; None: no number
    is enough, for the promise is too uncertain itself.

    Args:
        promised: mean over `judged` dates, with its standard error.
    """
    from scipy.special import ndtri

    if not (math.isfinite(promised) and math.isfinite(error)) or promised <= 0.0:
        return None
    bar = promised / float(ndtri(1.0 - LEVEL) + ndtri(POWER))
    left = bar * bar - error * error
    return math.ceil(judged * error * error / left) if left > 0.0 else None


def _said(m: Watched, horizon: int) -> str:
    """One measure in words."""
    label = OBJECTIVES[m.name].label
    now = f"{label} {in_units(m.name, m.since, horizon)} on {m.days:,} dates since the run"
    if all(math.isfinite(bound) for bound in m.interval):
        now += f" (95% interval {interval_in_units(m.name, m.interval, horizon)})"
    if m.status == "unknown":
        return f"{now}; promised {in_units(m.name, m.promised, horizon)}, of which the verdict knows no interval."
    promise = (
        f"promised {in_units(m.name, m.promised, horizon)} "
        f"(95% interval {interval_in_units(m.name, m.promised_interval, horizon)})"
    )
    outcome = {
        "within": "within the promise",
        "below": f"below the promise (p {m.p:.2g})",
        "early": f"too early to say ({LEAST} dates at least)",
    }[m.status]
    if m.promised <= 0.0:
        tell = "The verdict promised nothing: there is no mean above zero to fall below"
    elif m.needed is None:
        tell = "No number of dates would tell a signal worth nothing from this promise: it is too uncertain itself"
    else:
        more = m.needed - m.days
        tell = f"It takes {m.needed:,} dates to tell a signal worth nothing from this promise, four times in five"
        tell += f": {more:,} more" if more > 0 else ""
    return f"{now}; {promise}: {outcome}. {tell}."
