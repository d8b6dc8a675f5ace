"""From expressions and a panel to a table of scores.

This is where the evaluation meets the engine: expressions are compiled, evaluated in batches so that memory
stays bounded, and summarised over the dates asked for. It knows nothing of mining or of the command line.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fama_fast.arguments import whole
from fama_fast.data.labels import MIN_MEMBERS, Horizon, Sessions, check_days, read_horizon
from fama_fast.data.splits import date_splits
from fama_fast.errors import ConfigError, DataError, ExpressionError, FamaError, nearest_name
from fama_fast.evaluation.ic import MIN_PAIRS
from fama_fast.evaluation.spread import BPS, COST_BPS
from fama_fast.panel.presence import trading as trading  # noqa: PLC0414  (part of this module's interface)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import polars as pl

    from fama_fast.engine import Alpha
    from fama_fast.evaluation.daily import Daily
    from fama_fast.panel.market_data import MarketData
    from fama_fast.panel.source import Source
    from fama_fast.target import Target

    Day = str | dt.date | np.datetime64 | None


class DailyFigures(Protocol):
    """Computes daily figures of alphas on data that it knows, elsewhere than in this process."""

    def __call__(
        self,
        alphas: Sequence[Alpha],
        target: Target,
        *,
        min_coverage: float | None,
        min_pairs: int,
        min_members: int,
    ) -> Iterable[Mapping[Any, Daily]]:
        """By the target's keys, of each alpha in order; every date of the data."""


SPLIT_NAMES = ("train", "valid", "test")
DEFAULT_FRACTIONS = (0.6, 0.2, 0.2)


def score(
    expressions: str | Alpha | Sequence[str | Alpha],
    panel: Source | MarketData,
    *,
    horizon: Horizon | Sequence[Horizon] | None = None,
    entry_lag: int | None = None,
    target: Target | str | Mapping[str, Any] | None = None,
    split: str | None = None,
    splits: str | Sequence[float] | None = None,
    start: Day = None,
    end: Day = None,
    dialect: str = "fama",
    min_coverage: float | None = None,
    min_pairs: int = MIN_PAIRS,
    min_members: int = MIN_MEMBERS,
    cost_bps: float = COST_BPS,
    threads: int | None = None,
    memory_budget: int | float | str | None = None,
    cluster: DailyFigures | None = None,
) -> pl.DataFrame:
    """Scores of expressions against forward returns, or another target.

    A factor known at the close of t is entered at the close of t + entry_lag and left `horizon` days later.
    Values are computed over the whole panel (so windows are warm), masked to its universe, and summarised
    over the dates asked for.

    Args:
        expressions: texts or compiled alphas; one alone may be given bare.
        panel: a `Panel`, or a `Dataset` of which parts are read; or what a panel is made of: a path, a frame, wide
            frames by field (see `load_market_data`). With a memory budget the data at a path are read in parts.
        horizon: days held (bars of intraday data), or sessions such as "1 session"; or several of them: one row each.
            1 by default.
        entry_lag: days (bars) between knowing and entering; 1 by default, 0 is the same close.
        target: what is predicted, where it is not the close's return: a `Target`, its returns, or a mapping of its
            settings. Of returns and a column `horizon` in the table is how many rows they are held.
        split: "train", "valid" or "test" of the date split; None is all dates, or all three when `splits` is
            given.
        splits: the fractions, "60/20/20" (default) or (0.6, 0.2, 0.2). Splits are purged for the longest
            horizon, so the horizons of one table are compared over the same dates.
        start, end: score only dates in [start, end], both included, splitting what is inside. With an end, no
            label reaches past it.
        dialect: of the texts. min_coverage: see `fama_fast.engine.evaluate`. min_pairs: see `rank_ic`.
        min_members: dates on which a universe has fewer members are not scored.
        cost_bps: what trading costs, in hundredths of a percent of what is traded.
        threads: cores to use, all by default.
        memory_budget: bytes, or "800MB": dates are taken in chunks that fit (see `fama_fast.engine.evaluate`).
        cluster: who computes the daily figures, in place of this process (`fama_fast.cluster.scoring`); same bits.

    Returns:
        One row per expression, split and horizon: expression (as given), canonical, split (only when splits
        are asked for), horizon (text where one is in sessions), and the figures of `FactorScores`; of them the spread
        and the net as `spread_bp` and `net_bp`, in hundredths of a percent a day (a bar of intraday data): what the
        horizon earns divided by its rows.

    Raises:
        FamaError: an expression does not compile, or names what the panel lacks: the error shows which one.
        ConfigError: a horizon, lag, split or date that makes no sense; an expression that reads the label.
        DataError: no dates are left.
    """
    import polars as pl

    from fama_fast.panel.source import source_of
    from fama_fast.target import Target

    given = None if horizon is None else _horizons(horizon)
    if entry_lag is not None:
        _check_lag(entry_lag)
    chosen = Target.read(target).with_short_form(given, entry_lag)
    panel = source_of(panel, in_parts=memory_budget is not None)
    ahead = chosen.ahead(panel.sessions)
    windows = score_windows(panel, ahead, split=split, splits=splits, start=start, end=end)
    alphas = compile_all(expressions, panel, dialect=dialect)
    _check_column(alphas, chosen)
    texts = [alpha.canonical for alpha in alphas]  # what cannot be written is said before anything is computed
    whole(min_members, "min_members", 0)
    options: dict[str, Any] = {"min_coverage": min_coverage, "min_pairs": min_pairs, "min_members": min_members}
    found: Iterable[Mapping[Any, Daily]]
    if cluster is not None:
        found = cluster(alphas, chosen, **options)
    else:
        from fama_fast.evaluation.chunked import daily_in_chunks

        found = daily_in_chunks(alphas, panel, chosen, memory_budget=memory_budget, threads=threads, **options)
    by_split = split is not None or splits is not None
    as_text = any(isinstance(h, Sessions) for h in ahead)
    spans, held = chosen.overlap(panel.sessions), chosen.held(panel.sessions)
    rows: list[dict[str, Any]] = []
    for alpha, text, daily in zip(alphas, texts, found, strict=True):
        for name, of_horizon in windows:
            for h in ahead:
                row: dict[str, Any] = {"expression": alpha.text, "canonical": text}
                if by_split:
                    row["split"] = name
                figures = daily[h].summary(of_horizon[h], spans[h], cost_bps).as_dict()
                for figure in ("spread", "net"):
                    figures[f"{figure}_bp"] = figures.pop(figure) * BPS / held[h]
                rows.append({**row, "horizon": str(h) if as_text else h, **figures})
    return pl.DataFrame(rows, schema=_schema(by_split, as_text, pl))


_FIGURES = (
    *("rank_ic", "rank_icir", "ic", "icir", "hit_rate", "coverage", "turnover", "n_days", "rank_ic_t", "ic_t"),
    *("spread_bp", "spread_t", "net_bp", "net_t", "traded"),
)


def _schema(by_split: bool, as_text: bool, pl: Any) -> dict[str, Any]:
    head = {"expression": pl.String, "canonical": pl.String} | ({"split": pl.String} if by_split else {})
    figures = {name: pl.Int64 if name == "n_days" else pl.Float64 for name in _FIGURES}
    return head | {"horizon": pl.String if as_text else pl.Int64} | figures


def compile_all(
    expressions: str | Alpha | Sequence[str | Alpha],
    panel: Source | None = None,
    *,
    dialect: str = "fama",
    any_names: bool = False,
) -> list[Alpha]:
    """Compile texts against the panel's fields and groups; alphas pass unchanged.

    any_names: without a panel, let every name be a column: the data will be asked for it when they are open.

    Raises:
        FamaError: of the kind the compiler raised; its text shows the expression that failed.
    """
    from fama_fast.engine import Alpha, compile, compile_recorded

    items = [expressions] if isinstance(expressions, (str, Alpha)) else list(expressions)
    known: dict[str, Any] = {} if panel is None else {"fields": panel.fields, "groups": panel.groups}
    alphas = []
    for item in items:
        if isinstance(item, str):
            try:
                read = compile_recorded if any_names and panel is None else compile
                alphas.append(read(item, dialect=dialect, **known))
            except ExpressionError as error:
                if error.text:
                    raise
                raise type(error)(f"{error.message} in {shorten(item)}", suggestion=error.suggestion) from error
            except FamaError as error:
                raise type(error)(f"{error} in {shorten(item)}") from error
        else:
            alphas.append(item)
    return alphas


def shorten(text: str, width: int = 100) -> str:
    """`text` on one line, cut to `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: width - 3]}..."


def _check_column(alphas: Sequence[Alpha], target: Target) -> None:
    """Refuses an expression that reads the label itself."""
    for alpha in alphas:
        if target.column is not None and target.column.upper() in alpha.required_fields:
            raise ConfigError(f"{shorten(alpha.text)} reads {target.column}, the column that is predicted")


def _horizons(horizon: Horizon | Sequence[Horizon]) -> tuple[int | Sessions, ...]:
    many: Sequence[Any] = [horizon]
    if isinstance(horizon, list | tuple | np.ndarray) and np.ndim(horizon):
        many = list(horizon)
    for h in many:
        if isinstance(h, int) and h < 1:
            raise ConfigError(f"a horizon must be at least 1 day, not {h}")
    found = tuple(dict.fromkeys(read_horizon(h) for h in many))
    if not found:
        raise ConfigError("give at least one horizon")
    return found


def _check_lag(entry_lag: int) -> None:
    if isinstance(entry_lag, int) and entry_lag < 0:
        raise ConfigError(f"the entry lag must be at least 0 days, not {entry_lag}")
    check_days(entry_lag, "the entry lag", 0)


def parse_fractions(splits: str | Sequence[float] | None) -> tuple[float, float, float]:
    """Train, validation and test fractions from "60/20/20", (60, 20, 20) or (0.6, 0.2, 0.2); they are
    normalised.

    Raises:
        ConfigError: not three positive numbers.
    """
    if splits is None:
        return DEFAULT_FRACTIONS
    try:
        parts = [float(p) for p in (splits.split("/") if isinstance(splits, str) else splits)]
    except (TypeError, ValueError):
        parts = []
    if len(parts) != 3 or not all(np.isfinite(p) and p > 0 for p in parts):
        raise ConfigError(f"splits must be three positive numbers such as 60/20/20, not {splits!r}")
    total = sum(parts)
    return parts[0] / total, parts[1] / total, parts[2] / total


def _split_name(split: str) -> str:
    name = {"validation": "valid"}.get(split.lower(), split.lower())
    if name not in SPLIT_NAMES:
        near = nearest_name(split, SPLIT_NAMES)
        hint = f"; did you mean {near}?" if near else ""
        raise ConfigError(f"unknown split {split!r}: it is one of {', '.join(SPLIT_NAMES)}{hint}")
    return name


def _day(value: Day, name: str) -> Any:
    if value is None:
        return None
    try:
        day = dt.date.fromisoformat(value if isinstance(value, str) else str(value)[:10])
    except ValueError:
        raise ConfigError(f"{name} must be a date such as 2016-12-31, not {value!r}") from None
    return np.datetime64(day, "D")


def score_windows(
    panel: Source,
    ahead: Mapping[Any, int],
    *,
    split: str | None = None,
    splits: str | Sequence[float] | None = None,
    start: Day = None,
    end: Day = None,
) -> list[tuple[str | None, Mapping[Any, slice]]]:
    """The rows to summarise: (split name or None, rows by horizon), in the order of the splits.

    Args:
        ahead: rows that each label looks ahead, by horizon. The others: as of `score`.

    Raises:
        ConfigError: an unknown split, fractions or dates that make no sense.
        DataError: no dates are inside [start, end].
    """
    days = panel.dates.astype("datetime64[D]")
    low, high = _day(start, "start"), _day(end, "end")
    first = 0 if low is None else int(np.searchsorted(days, low, "left"))
    stop = days.size if high is None else int(np.searchsorted(days, high, "right"))
    if first >= stop:
        asked = f"{low if low is not None else '...'} to {high if high is not None else '...'}"
        raise DataError(f"no dates from {asked}: the data runs from {days[0]} to {days[-1]}")
    reach = {h: rows if high is not None else 0 for h, rows in ahead.items()}
    if split is None and splits is None:
        return [(None, {h: slice(first, max(first, stop - reach[h])) for h in ahead})]
    names = SPLIT_NAMES if split is None else (_split_name(split),)
    cut = date_splits(
        stop - first,
        reach=max(1, *ahead.values()),
        fractions=parse_fractions(splits),
        sessions=panel.sessions[first:stop] - panel.sessions[first],
    )
    windows: list[tuple[str | None, Mapping[Any, slice]]] = []
    for name in names:
        inside: slice = getattr(cut, name)
        a, b = first + inside.start, first + inside.stop
        windows.append((name, {h: slice(a, max(a, min(b, stop - reach[h]))) for h in ahead}))
    return windows
