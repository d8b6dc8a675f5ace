"""Weights of a run's pool fitted again on later data, when somebody asks for it.

The rule is that of the run: ridge regression of the label on the ranks of the same formulas, its penalty chosen by
walking forward over the run's training rows and all that came after (`mining.measure.combination`). Weights that are
known on a date use no label that ends after it, and make the signal of later dates only. On the last date before the
run's test that gives the weights of the run, where there is no embargo.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.arguments import whole
from fama_fast.errors import ConfigError, DataError
from fama_fast.factor_store import Fit
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.measure.combination import FactorPool
from fama_fast.mining.measure.market import Market
from fama_fast.mining.measure.market_rows import MIN_ROWS, Rows
from fama_fast.signal.pool import members_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fama_fast.library.factor import Factor
    from fama_fast.mining.config import MiningConfig
    from fama_fast.panel.source import Source
    from fama_fast.signal.pool import SignalPool


def refitted(
    pool: SignalPool,
    document: Mapping[str, Any],
    data: Source,
    until: int,
    *,
    every: int | None = None,
    last: int | None = None,
    threads: int | None = None,
) -> SignalPool:
    """The pool with weights fitted on the data up to a date, for the dates after it.

    Args:
        pool: of the short list of the run. document: the run's result document. data: with the run's training dates.
        until: row of the data's last date that is used. every: fit again after so many dates, up to row `last`
            (default: the data's last): the weights walk forward.

    Raises:
        ConfigError: a wide pool, or a number of dates that is none. DataError: a date that the run's own weights know
            more than, data that begin after the run's training, too few dates.
    """
    if pool.by_lookback:
        raise ConfigError(
            "the weights of a wide pool come from figures of every formula that was measured: mine again in place of "
            "--refit, or refit the short list"
        )
    factors, _ = members_of(document, f"run {pool.run}")
    config = config_from_dict(document["settings"])
    config = config.model_copy(update={"run": config.run.model_copy(update={"threads": threads})})
    end = data.shape[0] - 1 if last is None else last
    step = None if every is None else whole(every, "every", 1)
    rows = [until] if step is None else [*range(until, max(end, until + 1), step)]
    _check(document, pool, data, until)
    later = tuple(_fit(document, factors, config, data, row) for row in rows)
    return replace(pool, later=(*pool.later, *later))


def _check(document: Mapping[str, Any], pool: SignalPool, data: Source, until: int) -> None:
    splits, dates = document["splits"], _days(data)
    if dates[0] > np.datetime64(splits["train"]["first"]):
        raise DataError(
            f"{data.source} begins on {dates[0]}: to fit weights again takes the data that the run was trained on, "
            f"from {splits['train']['first']} on"
        )
    test = np.datetime64(splits["test"]["first"])
    valid = np.datetime64(splits["valid"]["last"])
    served = int(np.count_nonzero(dates < test if pool.fitted == "test" else dates <= valid))
    if until + 1 < served:
        raise DataError(
            f"the run's own weights know data up to {dates[served - 1]}, which is more than a fit on data up to "
            f"{dates[until]} would: take that date or a later one"
        )


def _fit(document: Mapping[str, Any], factors: list[Factor], config: MiningConfig, data: Source, until: int) -> Fit:
    splits, dates = document["splits"], _days(data)
    stop = until + 1
    reach = config.predicted.rows_ahead(data.sessions)
    first, last = (int(np.searchsorted(dates, np.datetime64(splits["train"][key]))) for key in ("first", "last"))
    begin = int(np.searchsorted(dates, np.datetime64(splits["valid"]["first"])))
    rows = Rows(slice(first, last + 1), slice(begin, stop - reach), slice(stop, stop))
    if rows.valid.stop - rows.valid.start < MIN_ROWS or rows.train.stop - rows.train.start < MIN_ROWS:
        raise DataError(f"{data.source}: up to {dates[until]} there are too few dates to fit weights on")
    market = Market(data.slice_dates(0, stop), config, rows=rows)
    weights, penalty = FactorPool(market, config.pool).fitted(factors)
    since = np.datetime64(data.dates[until], "us").astype(np.int64) + 1
    taught = f"data up to {dates[until]} (signals up to {dates[stop - reach - 1]}), penalty {penalty:g}"
    return Fit(int(since), taught, tuple(weights.tolist()))


def _days(data: Source) -> Any:
    return np.asarray(data.dates).astype("datetime64[D]")
