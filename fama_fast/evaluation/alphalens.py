"""alphalens's `factor_data`: reads one as something to study, and makes one of factor values.

`factor_data` is the pandas frame that `alphalens.utils.get_clean_factor_and_forward_returns` returns: an index of
`date` and `asset`; forward returns in columns called by their period (`1D`, `5D`); `factor`; `group` where there is
one; and `factor_quantile`. Source: alphalens-reloaded 0.4, `alphalens/utils.py`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.arguments import shown, whole
from fama_fast.data.labels import check_days, forward_returns
from fama_fast.errors import ConfigError, DataError, listed
from fama_fast.evaluation.laid_out import PERIOD, is_factor_data, laid_out
from fama_fast.evaluation.portfolios import Groups, quantile_buckets
from fama_fast.evaluation.rows import SortedRows
from fama_fast.evaluation.study import StudyData
from fama_fast.evaluation.study_settings import StudySettings
from fama_fast.panel.labelled import pandas_long

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from fama_fast.panel import Panel
    from fama_fast.types import FloatArray

_DAYS = re.compile(r"([1-9]\d*)D\Z")
_OWN = ("date", "asset", "factor", "factor_quantile", "group")


def read_factor_data(
    data: Any, settings: StudySettings | None = None, *, threads: int | None = None
) -> tuple[FloatArray, StudyData]:
    """The factor of a `factor_data`, and what it is measured against: its own forward returns and groups.

    Args:
        data: the frame. settings: of the study; its horizons become the periods that there are.

    Returns:
        (T, N) values over the frame's dates and assets, and the data of the study.

    Raises:
        DataError: no returns of one day, which portfolios earn; periods that are not whole days; keys that cannot be
            read.
    """
    import polars as pl

    from fama_fast.panel import Panel
    from fama_fast.panel.io.frames import polars_frame

    frame = polars_frame(data)
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    if frame is None or not is_factor_data(frame.columns):
        have = shown(data) if frame is None else f"columns {listed(frame.columns)}"
        raise DataError(
            f"alphalens's factor_data has the columns factor, factor_quantile and periods such as 1D, not {have}"
        )
    periods = {c: _DAYS.match(c) for c in frame.columns if c not in _OWN and PERIOD.match(c)}
    odd = [c for c, days in periods.items() if days is None]
    if odd:
        raise DataError(f"factor_data: returns over {odd[0]} cannot be studied: make it with periods of whole days")
    days = {int(found[1]): column for column, found in periods.items() if found is not None}
    if 1 not in days:
        raise DataError(
            "factor_data: there are no returns of one day, which portfolios earn: make it with periods=(1, ...)"
        )
    grouped = "group" in frame.columns
    columns = [
        pl.col("factor").cast(pl.Float64),
        *(pl.col(c).cast(pl.Float64).alias(f"return_{h}") for h, c in days.items()),
    ]
    if grouped:
        columns.append(pl.col("group").cast(pl.String))
    panel = Panel.from_frame(
        frame.select("date", pl.col("asset").alias("symbol"), *columns), groups=["GROUP"] * grouped
    )
    groups = panel.group("GROUP") if grouped else None
    chosen = replace(settings or StudySettings(), horizons=tuple(sorted(days)))
    study_data = StudyData.from_returns(
        panel.dates,
        panel.symbols,
        panel["RETURN_1"],
        labels={h: panel[f"RETURN_{h}"] for h in days},
        groups=None if groups is None else Groups.view(groups.codes, groups.labels),
        settings=chosen,
        threads=threads,
    )
    return panel["FACTOR"], study_data


def to_alphalens(
    values: Any,
    panel: Panel,
    *,
    periods: Sequence[int] = (1, 5, 10),
    quantiles: int = 5,
    entry_lag: int = 0,
    group: str | None = None,
) -> pd.DataFrame:
    """Factor values as alphalens's `factor_data`, for its tear sheets.

    Args:
        values: of one factor, known at each date's close: an array (T, N), or a frame of any kind that `study` takes.
        panel: with the field CLOSE.
        periods: days held, in the columns `1D`, `5D`, ...
        quantiles: buckets of `factor_quantile`, as `pandas.qcut` cuts them but for ties (see `quantile_buckets`).
        entry_lag: days between knowing and entering; 0 as alphalens has it, 1 as this package does.
        group: the group field in the column `group`.

    Returns:
        A pandas frame; rows with a missing value, return or group are left out, as alphalens does.

    Raises:
        DataError: values of another shape or of several factors; none is left. ConfigError: periods or quantiles out of
            range; pandas is not installed. UnknownName: no such group.
    """
    import polars as pl

    if not isinstance(periods, list | tuple | range) or not periods:
        raise ConfigError(f"periods must be days of at least 1, such as (1, 5), not {shown(periods)}")
    for days in periods:
        check_days(days, "a period", 1)
    check_days(entry_lag, "the entry lag", 0)
    whole(quantiles, "quantiles", 2)
    columns: dict[str, Any] = {f"{h}D": forward_returns(panel, h, entry_lag) for h in dict.fromkeys(periods)}
    found = laid_out(values, panel.dates, panel.symbols, {})
    if len(found) != 1:
        raise DataError(f"factor_data is of one factor, and there are {len(found)}: {listed(found)}")
    array = next(iter(found.values()))
    able = np.isfinite(array)
    for returns in columns.values():
        able &= np.isfinite(returns)
    codes = None if group is None else panel.group(group)
    if codes is not None:
        able &= np.isfinite(codes.codes)
    rows = SortedRows.of(np.where(able, array, np.nan), panel.universe)
    buckets = quantile_buckets(rows, quantiles=quantiles).astype(np.float64)
    extra = {"factor_quantile": np.where(buckets > 0, buckets, np.nan)}
    if codes is not None:
        extra["group"] = codes.codes
    table = panel.to_polars({**columns, "factor": array, **extra}).drop_nulls()
    if table.is_empty():
        raise DataError("there is no date with values, returns and buckets: alphalens has nothing to show")
    casts = [pl.col("factor_quantile").cast(pl.Int64)]
    if codes is not None:
        names = dict(enumerate(codes.labels))
        casts.append(pl.col("group").cast(pl.Int64).replace_strict(names, return_dtype=pl.String))
    order = [*columns, "factor", *(["group"] if codes is not None else []), "factor_quantile"]
    table = table.with_columns(casts).with_columns(pl.col("date").cast(pl.Datetime("ns")))
    return pandas_long(table).rename_axis(["date", "asset"])[order]
