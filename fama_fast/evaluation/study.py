"""All figures of a factor that a report shows.

`StudyData` holds what a factor is measured against (labels by horizon, groups, liquidity, style controls), prepared
once for any number of factors; `study` measures one factor's values. A figure that the data cannot give is absent, and
`not_supplied` says why.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.arguments import shown
from fama_fast.errors import ConfigError, DataError
from fama_fast.evaluation import inference
from fama_fast.evaluation.breakdown import by_group, by_period, liquidity_groups
from fama_fast.evaluation.daily import daily_by_horizon
from fama_fast.evaluation.decay import decay_curve, half_life
from fama_fast.evaluation.ic import rank_ic
from fama_fast.evaluation.performance import DAYS_A_YEAR
from fama_fast.evaluation.portfolios import (
    Groups,
    bucket_returns,
    capacity,
    distinct_values,
    hold,
    long_short_weights,
    quantile_buckets,
    top_k_weights,
    waiting_weights,
)
from fama_fast.evaluation.residual import average_ranks, residual_values, style_controls
from fama_fast.evaluation.rows import SortedRows, chosen_rows, mask_matrix, matrix
from fama_fast.evaluation.score import trading
from fama_fast.evaluation.study_settings import StudySettings
from fama_fast.evaluation.turnover import rank_autocorrelation, share
from fama_fast.number_text import signed
from fama_fast.types import STANDARD_GROUPS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fama_fast.evaluation.performance import Path
    from fama_fast.panel import Panel
    from fama_fast.types import BoolArray, FloatArray, Rows


@dataclass(frozen=True, repr=False)
class StudyData:
    """The market data that factors are measured against, prepared once.

    Attributes:
        dates: (T,) datetime64. symbols: (N,). labels: sorted forward returns (T, N) by horizon. daily_returns: those
            of one day, for the decay. earned: (T, N) one-day returns that portfolios earn; None: those.
        tradable: (T, N) bool, whether the position of each date can be entered and left, or None.
        universe: (T, N) bool or None. present: who counts for coverage without a universe. groups, liquidity: for the
            breakdowns, or None. dollar_volume: (T, N) trailing mean, or None.
        controls: (K, T, N) centred ranks of the styles, with `control_names`. not_supplied: reason by figure.
    """

    dates: Any
    symbols: Any
    labels: Mapping[int, SortedRows]
    daily_returns: SortedRows
    earned: FloatArray | None = None
    tradable: BoolArray | None = None
    universe: BoolArray | None = None
    present: BoolArray | None = None
    groups: Groups | None = None
    liquidity: Groups | None = None
    dollar_volume: FloatArray | None = None
    controls: FloatArray | None = None
    control_names: tuple[str, ...] = ()
    settings: StudySettings = field(default_factory=StudySettings)
    threads: int | None = None
    not_supplied: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        held = ", ".join(map(str, self.labels))
        return f"StudyData({len(self.dates)} dates x {len(self.symbols)} symbols, horizons {held})"

    @classmethod
    def from_panel(
        cls, panel: Panel, settings: StudySettings | None = None, *, threads: int | None = None
    ) -> StudyData:
        """Labels, groups, liquidity and controls of a panel.

        Raises:
            UnknownName: the panel has no CLOSE.
        """
        from fama_fast.engine import evaluate

        chosen = settings or StudySettings()
        missing: dict[str, str] = {}
        target = chosen.predicted
        made = {
            h: target.values(panel, h, min_members=chosen.min_members, threads=threads)
            for h in target.keys
            if isinstance(h, int)
        }
        labels = {h: SortedRows.of(y, threads=threads) for h, y in made.items()}
        short = target.over_one_row()
        one_day = labels.get(1) or SortedRows.of(
            short.values(panel, min_members=chosen.min_members, threads=threads), threads=threads
        )
        earned = None
        if not target.is_default:
            earned = short.untouched().values(panel, min_members=chosen.min_members, threads=threads)
        groups, missing_groups = groups_of(panel, chosen)
        if groups is None:
            missing["by sector"] = missing_groups
        volume, liquidity = None, None
        if "VOLUME" in panel:
            volume = evaluate(["TS_MEAN(CLOSE * VOLUME, 20, min_periods=10)"], panel, threads=threads)[0]
            liquidity = liquidity_groups(
                volume, buckets=chosen.liquidity_buckets, universe=panel.universe, threads=threads
            )
        else:
            missing["by liquidity"] = missing["capacity"] = "the data has no VOLUME"
        names, controls = style_controls(panel, threads=threads)
        return cls(
            dates=panel.dates,
            symbols=panel.symbols,
            labels=labels,
            daily_returns=one_day,
            earned=earned,
            tradable=target.enterable(panel, threads=threads),
            universe=panel.universe,
            present=None if panel.universe is not None else trading(panel),
            groups=groups,
            liquidity=liquidity,
            dollar_volume=volume,
            controls=controls,
            control_names=names,
            settings=chosen,
            threads=threads,
            not_supplied=missing,
        )

    @classmethod
    def from_returns(
        cls,
        dates: Any,
        symbols: Any,
        daily_returns: Any,
        *,
        labels: Mapping[int, Any] | None = None,
        universe: Any = None,
        groups: Groups | None = None,
        dollar_volume: Any = None,
        settings: StudySettings | None = None,
        threads: int | None = None,
    ) -> StudyData:
        """From arrays alone: one-day forward returns (T, N), and labels of longer horizons where there are any.

        Without labels of their own, horizons above 1 are left out. Style controls need prices: see `from_panel`.
        """
        chosen = settings or StudySettings()
        one_day = SortedRows.of(daily_returns, threads=threads, name="daily returns")
        returns = {1: one_day} | {
            h: SortedRows.of(y, threads=threads, name=f"labels of {h} days") for h, y in (labels or {}).items()
        }
        missing = {"residual": "style controls need prices"}
        if groups is None:
            missing["by sector"] = "no groups were given"
        liquidity = None
        shape = one_day.values.shape
        dates, symbols = np.asarray(dates), np.asarray(symbols)
        if dates.dtype.kind != "M" or (dates.shape, symbols.shape) != ((shape[0],), (shape[1],)):
            raise DataError(
                f"dates and symbols must be those of the returns, {shape[0]} dates (datetime64) x {shape[1]}"
            )
        universe = None if universe is None else mask_matrix(universe, shape)
        volume = None if dollar_volume is None else matrix(dollar_volume, "dollar volume")
        if volume is None:
            missing["by liquidity"] = missing["capacity"] = "no dollar volume was given"
        else:
            liquidity = liquidity_groups(volume, buckets=chosen.liquidity_buckets, universe=universe, threads=threads)
        for h in chosen.horizons:
            if h not in returns:
                missing[f"horizon {h}"] = "no labels of that horizon were given"
        return cls(
            dates=dates,
            symbols=symbols,
            labels=dict(sorted(returns.items())),
            daily_returns=one_day,
            universe=universe,
            groups=groups,
            liquidity=liquidity,
            dollar_volume=volume,
            settings=chosen,
            threads=threads,
            not_supplied=missing,
        )


def groups_of(panel: Panel, settings: StudySettings) -> tuple[Groups | None, str]:
    """The groups of the sector figures, or the reason why there are none."""
    wanted = STANDARD_GROUPS if settings.group is None else (settings.group.upper(),)
    name = next((g for g in wanted if g in panel.groups), None)
    if name is None:
        return None, f"the data has no group field {' or '.join(wanted)}"
    groups = panel.group(name)
    return Groups.view(groups.codes, groups.labels), ""


@dataclass(frozen=True, repr=False)
class FactorStudy:
    """All figures of one factor, oriented by `sign`; see `study` for what each part is.

    Attributes:
        figures: plain data, ready for JSON. daily: (T,) series over all dates for figures and pools: "rank_ic",
            "long_short" (gross), "turnover".
    """

    sign: int
    figures: dict[str, Any]
    daily: dict[str, FloatArray]

    def __repr__(self) -> str:
        first = self.figures["horizons"][0]
        return f"FactorStudy(sign {self.sign:+d}, RankIC {signed(first['rank_ic'])} at {first['horizon']} days)"


def study(values: Any, data: StudyData, *, rows: Rows | None = None, sign: int = 1) -> FactorStudy:
    """Compute all figures of one factor over some dates.

    Args:
        values: (T, N), known at each date's close. rows: the dates to summarise (all by default), as a slice or by
            number; windows and portfolios still run over the whole. sign: +1 or -1, the direction the factor is used
            in. Take it from other dates than these (from training): a sign chosen here flatters every figure.

    Returns:
        `figures` holds horizons (IC, RankIC, std, ICIR, hit rate, Newey-West t, stationary bootstrap interval at each),
        by_year, by_month, by_sector, by_liquidity, decay (curve, half_life), turnover, rank_autocorrelation, coverage,
        quantiles (annualised mean return of each bucket, and less the mean of all), long_short, long_short_neutral,
        top_k (`Performance` each), capacity, residual, and not_supplied.

    Raises:
        DataError: shapes differ. ConfigError: a sign that is not +1 or -1.
    """
    if not isinstance(sign, int | np.integer) or isinstance(sign, bool) or sign not in (1, -1):
        raise ConfigError(f"the sign of a factor must be 1 or -1, not {shown(sign)}")
    chosen, threads = data.settings, data.threads
    part = chosen_rows(rows, len(data.dates))
    array = matrix(values) * sign
    if array.shape != data.daily_returns.values.shape:
        raise DataError(f"values have shape {array.shape}, the data {data.daily_returns.values.shape}")
    x = SortedRows.of(array, data.universe, threads=threads)
    inside = np.where(data.universe, x.values, np.nan) if data.universe is not None else x.values
    members = SortedRows.made(inside, x.order, x.count) if data.universe is not None else x
    by_horizon = daily_by_horizon(x, data.labels, data.universe, present=data.present, threads=threads)
    first = min(by_horizon)
    one = by_horizon[first]
    figures: dict[str, Any] = {"sign": sign, "horizons": []}
    for h, series in by_horizon.items():
        low, high = inference.stationary_bootstrap_interval(
            series.rank_ic[part],
            confidence=chosen.confidence,
            resamples=chosen.resamples,
            horizon=h,
            seed=chosen.seed,
        )
        figures["horizons"].append(
            {
                "horizon": h,
                **series.summary(rows, h).as_dict(),
                "rank_ic_std": inference.std(series.rank_ic[part]),
                "ic_std": inference.std(series.ic[part]),
                "rank_ic_low": low,
                "rank_ic_high": high,
            }
        )
    dates = data.dates[part]
    figures["by_year"] = by_period(one.rank_ic[part], dates, "year", horizon=first)
    figures["by_month"] = by_period(one.rank_ic[part], dates, "month", horizon=first)
    label = data.labels[first]
    if data.groups is not None:
        figures["by_sector"] = by_group(members, label, data.groups, rows=rows, horizon=first, threads=threads)
    if data.liquidity is not None:
        figures["by_liquidity"] = by_group(members, label, data.liquidity, rows=rows, horizon=first, threads=threads)
    curve = decay_curve(members, data.daily_returns, days=chosen.decay_days, rows=rows, threads=threads)
    figures["decay"] = {"curve": curve.tolist(), "half_life": half_life(curve)}
    figures["turnover"] = inference.mean(one.turnover[part])
    figures["coverage"] = inference.mean(one.coverage[part])
    figures["rank_autocorrelation"] = inference.mean(rank_autocorrelation(members, threads=threads)[part])
    portfolios, paths = _portfolios(members, data, rows)
    figures |= portfolios
    if data.controls is not None and len(data.control_names):
        figures["residual"] = _residual(members, data, label, rows, first)
    figures["not_supplied"] = dict(data.not_supplied)
    few = _few_values(members, part, chosen.quantiles, threads)
    if few:
        figures["not_supplied"]["quantiles"] = few
    daily = {"rank_ic": one.rank_ic, "turnover": one.turnover} | {name: path.gross for name, path in paths.items()}
    return FactorStudy(sign, figures, daily)


def _portfolios(x: SortedRows, data: StudyData, rows: Rows | None) -> tuple[dict[str, Any], dict[str, Path]]:
    chosen, threads = data.settings, data.threads
    part = slice(None) if rows is None else rows
    returns = data.daily_returns.values if data.earned is None else data.earned

    def reached(weights: FloatArray) -> FloatArray:
        return weights if data.tradable is None else waiting_weights(weights, data.tradable, returns)

    figures: dict[str, Any] = {}
    paths: dict[str, Path] = {}
    buckets = quantile_buckets(x, quantiles=chosen.quantiles, threads=threads)
    able = buckets if data.tradable is None else np.where(data.tradable, buckets, 0)
    earned = bucket_returns(able, returns, quantiles=chosen.quantiles, threads=threads)[part]
    filled = np.isfinite(earned)
    # Of the buckets that have a name: a factor of few values leaves some empty.
    level = share(np.where(filled, earned, 0.0).sum(axis=1), np.count_nonzero(filled, axis=1))
    figures["quantiles"] = [
        {
            "quantile": q + 1,
            "annual_return": inference.mean(earned[:, q]) * DAYS_A_YEAR,
            "annual_excess": inference.mean(earned[:, q] - level) * DAYS_A_YEAR,
        }
        for q in range(chosen.quantiles)
    ]
    weights = reached(long_short_weights(buckets, quantiles=chosen.quantiles))
    paths["long_short"] = hold(weights, returns, threads=threads)
    if data.dollar_volume is not None:
        figures["capacity"] = capacity(weights[part], data.dollar_volume[part], participation=chosen.participation)
    if data.groups is not None:
        neutral = quantile_buckets(x, quantiles=chosen.quantiles, groups=data.groups, threads=threads)
        paths["long_short_neutral"] = hold(
            reached(long_short_weights(neutral, quantiles=chosen.quantiles)), returns, threads=threads
        )
    k = max(1, min(chosen.top_k, x.values.shape[1] // 10))
    paths["top_k"] = hold(
        reached(top_k_weights(x, k=k, n_drop=min(chosen.n_drop, k), threads=threads)), returns, threads=threads
    )
    for name, path in paths.items():
        figures[name] = path.performance(rows, chosen.costs_bp).as_dict()
    figures["top_k"]["k"] = k
    return figures, paths


def _few_values(x: SortedRows, part: Rows, quantiles: int, threads: int | None) -> str:
    """The reason why buckets are empty: on many dates the factor has fewer different values than there are buckets."""
    values, cells = distinct_values(x, threads=threads)[part], x.count[part]
    held = values[cells >= quantiles]
    few = np.count_nonzero(held < quantiles)
    if few <= _FEW_DATES * held.size:
        return ""
    return (
        f"on {few} of {held.size} dates the factor has fewer than {quantiles} different values (down to {held.min()}): "
        "the lowest is the bottom bucket, the highest the top one, and buckets between are empty"
    )


def _residual(x: SortedRows, data: StudyData, label: SortedRows, rows: Rows | None, horizon: int) -> dict[str, Any]:
    part = slice(None) if rows is None else rows
    left = residual_values(average_ranks(x, threads=data.threads), data.controls, data.groups, threads=data.threads)
    series = rank_ic(left, label, threads=data.threads)[part]
    return {
        "rank_ic": inference.mean(series),
        "rank_icir": inference.information_ratio(series),
        "rank_ic_t": inference.newey_west_t(series, horizon=horizon),
        "after": [*data.control_names, *(["sector"] if data.groups is not None else [])],
    }


_FEW_DATES = 0.05  # share of dates from which on it is said
