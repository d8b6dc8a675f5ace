"""`fama-fast signal`: what a run's pool says of each symbol today, and what to hold by it."""

from __future__ import annotations

import enum
from pathlib import Path  # noqa: TC003  (typer reads annotations)
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fama_fast.cli.common import Groups, Threads, Universe, check_ending, note
from fama_fast.cli.given import Given, JudgedRun, LedgerPath, read_given
from fama_fast.cli.reading import takes_reading
from fama_fast.errors import ConfigError, DataError
from fama_fast.panel.reading import PLAIN, Reading

if TYPE_CHECKING:
    import polars as pl

    from fama_fast.panel import Panel
    from fama_fast.signal import SignalPool

ENDINGS = (".parquet", ".csv")
_SHOWN = 10  # names of either end that are printed


class Portfolio(enum.StrEnum):
    """What is held by a signal."""

    LONG_SHORT = "long-short"
    TOP_K = "top-k"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("signal")(takes_reading(signal))


def signal(
    source: JudgedRun,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="PATH",
            help="Parquet or CSV file, folder or glob, or a qlib folder (default: the run's own data).",
            show_default=False,
        ),
    ] = None,
    date: Annotated[
        str | None, typer.Option("--date", metavar="D", help="The date (default: the last one of the data).")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="D", help="Every date from this one on, to --date.", show_default=False),
    ] = None,
    wide: Annotated[
        bool, typer.Option("--wide", help="Of the wide pool: every formula that was measured, not the short list.")
    ] = False,
    portfolio: Annotated[
        Portfolio, typer.Option("--portfolio", help="long-short: best against worst bucket; top-k: the best alone.")
    ] = Portfolio.LONG_SHORT,
    quantiles: Annotated[int, typer.Option("--quantiles", metavar="N", help="Buckets of long-short.")] = 10,
    k: Annotated[int, typer.Option("-k", metavar="N", help="Names of top-k.")] = 50,
    buffer: Annotated[
        int, typer.Option("--buffer", metavar="N", help="Names of top-k that are replaced a date, at most.")
    ] = 5,
    neutral: Annotated[
        str | None,
        typer.Option("--neutral", metavar="GROUP", help="Long-short within each group of it.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Write all names: .parquet or .csv.", show_default=False),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(
            "--store", metavar="DIR", help="Keep the signal of every date in a factor store.", show_default=False
        ),
    ] = None,
    append: Annotated[bool, typer.Option("--append", help="Add the dates that the --store lacks.")] = False,
    refit: Annotated[
        str | None,
        typer.Option(
            "--refit",
            metavar="D|latest",
            help="Fit the weights again on data up to that date, for the dates after it; latest: the last date before "
            "those that are asked for, or that the --store lacks.",
            show_default=False,
        ),
    ] = None,
    refit_every: Annotated[
        int | None,
        typer.Option("--refit-every", metavar="N", help="And again after every N dates.", show_default=False),
    ] = None,
    universe: Universe = None,
    groups: Groups = None,
    ledger: LedgerPath = None,
    threads: Threads = None,
    *,
    reading: Reading = PLAIN,
) -> None:
    """Compute a run's combined signal, ranks and target weights, of the last date unless options say others.

    The signal is that of the pool that the verdict judged, with the weights that it had: of the test where that was
    opened, else of validation; they are never fitted again unless --refit says so. Without --data it is computed on
    the run's own data.
    """
    if output is not None:
        check_ending(output, ENDINGS)
    if append and store is None:
        raise ConfigError("--append adds to a factor store: name it with --store")
    if refit_every is not None and refit is None:
        raise ConfigError("--refit-every goes on from a first date: give that with --refit")
    given = read_given([source], ledger=ledger)
    pool = signal_pool(source, given, ledger, wide=wide)
    opened = opened_panel(given, data, universe, groups, reading)
    first, last = _rows(opened, since, date)
    if refit is not None:
        pool = _refitted(pool, given, opened, refit, refit_every, (first, last), store if append else None, threads)
    if store is not None:
        pool = _kept(pool, opened, store, append=append, threads=threads)
    held = {"kind": portfolio.value, "quantiles": quantiles, "k": k, "buffer": buffer}
    frame = _frame(pool, opened, first, last, threads, neutral, held)
    _tell(pool, opened, first, last)
    if output is not None:
        write_table(frame, output)
        note(f"wrote {len(frame):,} rows to {output}")
    _show(frame)


def signal_pool(source: str, given: Given, ledger: str | None, *, wide: bool) -> SignalPool:
    """The pool of the one run that is given.

    Raises:
        DataError: it is no run, or one without such a pool. ConfigError: the wide pool of a file.
    """
    from fama_fast.ledger.ledger import Ledger
    from fama_fast.mining.config_file import load_config
    from fama_fast.mining.run.setup import ledger_place
    from fama_fast.signal import SignalPool

    read = next(iter(given.sources.values()), None)
    if read is None or (read.document is None and read.run is None):
        raise DataError(f"{source} is neither a run nor the result of one: only a verdict's pool has weights")
    if not wide and read.document is not None:
        return SignalPool.of_document(read.document)
    if read.run is None:
        raise ConfigError("the weights of a wide pool are in the ledger: name the run in place of a file")
    with Ledger.open(ledger_place(load_config(None, {"ledger": ledger})), create=False) as store:
        return SignalPool.of_run(store, read.run, "wide" if wide else "list")


def result_document(given: Given) -> dict[str, Any]:
    """The result document of the one run that is given, whose pool is known to be there."""
    read = next(iter(given.sources.values()))
    document = read.document if read.document is not None else read.run and read.run.summary
    assert document
    return document


def opened_panel(given: Given, data: str | None, universe: str | None, groups: str | None, reading: Reading) -> Panel:
    """The data that the options name, or the run's own, in memory."""
    from fama_fast.cli.common import open_panel
    from fama_fast.panel import Panel

    choice = given.data(data, universe=universe, groups=groups, reading=reading)
    if choice.opened is None:
        return open_panel(choice.data, universe=choice.universe, groups=choice.groups, reading=choice.reading)
    assert isinstance(choice.opened, Panel)  # data in parts are not asked for
    return choice.opened


def _refitted(
    pool: SignalPool,
    given: Given,
    data: Panel,
    refit: str,
    every: int | None,
    rows: tuple[int, int],
    store: Path | None,
    threads: int | None,
) -> SignalPool:
    """The pool with weights fitted again, as the options say; `store` is one that dates are added to.

    Raises:
        ConfigError, DataError: see `refitted`; no such date.
    """
    import numpy as np

    from fama_fast.factor_store import open_store
    from fama_fast.signal import refitted

    first, last = rows
    until = first - 1
    if refit != "latest":
        until = _row(data, refit)
    elif store is not None:
        ended = np.datetime64(open_store(store).dates[-1], "us")
        until = int(np.searchsorted(data.dates.astype("datetime64[us]"), ended, side="right")) - 1
    if until < 0:
        raise DataError(f"{data.source} has no date before {str(data.dates[0])[:10]} to fit weights on")
    end = data.shape[0] - 1 if store is not None else last - 1
    return refitted(pool, result_document(given), data, until, every=every, last=end, threads=threads)


def _kept(pool: SignalPool, data: Panel, store: Path, *, append: bool, threads: int | None) -> SignalPool:
    """Put the signal of all dates into a factor store; returns the pool with the weights that are there."""
    from dataclasses import replace

    from fama_fast.factor_store import open_store, update_store

    name = "signal_wide" if pool.by_lookback else "signal"
    made = pool.combination(data)
    options: dict[str, Any] = {"append": append, "min_coverage": pool.min_coverage, "threads": threads}
    done = update_store(store, data, signal=(name, made), **options)
    if not done.changed:
        note(f"{store}: nothing to do, the store has the signal of all dates up to {done.last}")
    else:
        added = f"{done.dates_added:,} dates added, {done.rows:,} rows written"
        note(f"{store}: {added}; now {done.first} to {done.last}, column {name}")
    kept = open_store(store).factor(name).combination
    assert kept is not None
    places = [kept.forms.index(form) for form in pool.forms]
    later = tuple(replace(fit, weights=tuple(fit.weights[i] for i in places)) for fit in kept.fits[1:])
    return replace(pool, later=later)


def _tell(pool: SignalPool, data: Panel, first: int, last: int) -> None:
    """Say which weights made the dates [first, last)."""
    import numpy as np

    count = len(pool.forms)
    note(f"run {pool.run}: {pool.name}, {count:,} formula{'s' * (count != 1)}, weights fitted on {pool.taught}")
    moments = data.dates[first:last].astype("datetime64[us]").astype(np.int64)
    begins = [fit.since for fit in pool.later if fit.since is not None]
    which = np.searchsorted(np.array(begins, dtype=np.int64), moments, side="right")
    for i, fit in enumerate(pool.later, start=1):
        days = data.dates[first:last][which == i]
        if len(days):
            span = " to ".join(dict.fromkeys(str(day)[:10] for day in days[[0, -1]]))
            note(f"{span}: weights fitted again on {fit.taught}")


def _rows(data: Panel, since: str | None, date: str | None) -> tuple[int, int]:
    """The rows [first, last) that are asked for.

    Raises:
        DataError: no such date, with the nearest one there is.
    """
    last = _row(data, date) if date is not None else data.shape[0] - 1
    first = _row(data, since) if since is not None else last
    if first > last:
        raise ConfigError(f"--since {since} is behind --date {date}")
    return first, last + 1


def _row(data: Panel, day: str) -> int:
    import numpy as np

    try:
        wanted = np.datetime64(day)
    except ValueError as error:
        raise ConfigError(f"{day!r} is no date: write it as 2026-11-27") from error
    dates = np.asarray(data.dates).astype("datetime64[us]")
    found = np.flatnonzero(np.asarray(data.dates).astype(wanted.dtype) == wanted)
    if len(found):
        return int(found[-1])
    gap = np.abs(dates - wanted.astype("datetime64[us]"))
    raise DataError(f"{data.source} has no date {day}: the nearest is {str(data.dates[int(gap.argmin())])[:10]}")


def _frame(
    pool: SignalPool,
    data: Panel,
    first: int,
    last: int,
    threads: int | None,
    neutral: str | None,
    held: dict[str, Any],
) -> pl.DataFrame:
    """One row a date and symbol that has a signal, best first."""
    import numpy as np
    import polars as pl

    from fama_fast.signal import positions

    values = pool.signal(data, first, last, threads=threads)
    part = data.slice_dates(first, last, copy=False)
    groups = None if neutral is None else part.group(neutral)
    found = positions(values, groups=groups, universe=part.universe, **held)
    row, column = np.nonzero(np.isfinite(found.rank) | (found.weight != 0.0))
    frame = pl.DataFrame(
        {
            "date": np.asarray(part.dates)[row],
            "symbol": [part.symbols[at] for at in column.tolist()],
            "signal": values[row, column],
            "rank": found.rank[row, column],
            "weight": found.weight[row, column],
        }
    )
    return frame.with_columns(pl.col("signal", "rank").fill_nan(None)).sort("date", "rank", "symbol", nulls_last=True)


def write_table(frame: pl.DataFrame, output: Path) -> None:
    """Write a table as CSV or Parquet, by the ending."""
    from fama_fast.atomic import atomic_write

    with atomic_write(output) as temporary:
        if output.suffix.lower() == ".csv":
            frame.write_csv(temporary)
        else:
            frame.write_parquet(temporary)


def _show(frame: pl.DataFrame) -> None:
    """The best and the worst names of the last date."""
    last = frame.filter(frame["date"] == frame["date"].max()) if len(frame) else frame
    if not len(last):
        print("no symbol has a signal")
        return
    print(f"{str(last['date'][0])[:10]}: {len(last):,} symbols")
    print(f"{'rank':>7}  {'symbol':<14}{'signal':>10}{'weight':>10}")
    for at, row in enumerate(last.iter_rows(named=True)):
        if len(last) > 2 * _SHOWN and _SHOWN <= at < len(last) - _SHOWN:
            if at == _SHOWN:
                print(f"{'...':>7}")
            continue
        rank = "-" if row["rank"] is None else f"{row['rank']:g}"
        value = "-" if row["signal"] is None else f"{row['signal']:+.4g}"
        print(f"{rank:>7}  {row['symbol']:<14}{value:>10}{row['weight']:>+10.4f}")
