"""`fama-fast signal`: what a run's pool says of each symbol today, and what to hold by it."""

from __future__ import annotations

import enum
from pathlib import Path  # noqa: TC003  (typer reads annotations)
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fama_fast.cli.common import Groups, Threads, Universe, check_ending, note
from fama_fast.cli.given import Given, LedgerPath, read_given
from fama_fast.cli.reading import takes_reading
from fama_fast.errors import ConfigError, DataError
from fama_fast.panel.reading import PLAIN, Reading

if TYPE_CHECKING:
    import polars as pl

    from fama_fast.panel import Panel
    from fama_fast.panel.dataset import Dataset
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
    source: Annotated[
        str,
        typer.Argument(
            metavar="RUN|FILE",
            help="Run id, the beginning of one, or 'last'; or the result document of a run.",
            show_default=False,
        ),
    ],
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
    universe: Universe = None,
    groups: Groups = None,
    ledger: LedgerPath = None,
    threads: Threads = None,
    *,
    reading: Reading = PLAIN,
) -> None:
    """Compute a run's combined signal, ranks and target weights, of the last date unless options say others.

    The signal is that of the pool that the verdict judged, with the weights that it had: of the test where that was
    opened, else of validation. Without --data it is computed on the run's own data.
    """
    from fama_fast.cli.common import open_panel

    if output is not None:
        check_ending(output, ENDINGS)
    given = read_given([source], ledger=ledger)
    pool = _pool(source, given, ledger, wide=wide)
    choice = given.data(data, universe=universe, groups=groups, reading=reading)
    opened = (
        choice.opened
        if choice.opened is not None
        else open_panel(choice.data, universe=choice.universe, groups=choice.groups, reading=choice.reading)
    )
    first, last = _rows(opened, since, date)
    held = {"kind": portfolio.value, "quantiles": quantiles, "k": k, "buffer": buffer}
    frame = _frame(pool, opened, first, last, threads, neutral, held)
    weights = f"weights fitted on {'training and validation' if pool.fitted == 'test' else 'training'}"
    note(f"run {pool.run}: {pool.name}, {len(pool.forms):,} formula{'s' * (len(pool.forms) != 1)}, {weights}")
    if output is not None:
        _write(frame, output)
        note(f"wrote {len(frame):,} rows to {output}")
    _show(frame)


def _pool(source: str, given: Given, ledger: str | None, *, wide: bool) -> SignalPool:
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


def _rows(data: Panel | Dataset, since: str | None, date: str | None) -> tuple[int, int]:
    """The rows [first, last) that are asked for.

    Raises:
        DataError: no such date, with the nearest one there is.
    """
    last = _row(data, date) if date is not None else data.shape[0] - 1
    first = _row(data, since) if since is not None else last
    if first > last:
        raise ConfigError(f"--since {since} is behind --date {date}")
    return first, last + 1


def _row(data: Panel | Dataset, day: str) -> int:
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
    data: Panel | Dataset,
    first: int,
    last: int,
    threads: int | None,
    neutral: str | None,
    held: dict[str, Any],
) -> pl.DataFrame:
    """One row a date and symbol that has a signal, best first."""
    import numpy as np
    import polars as pl

    from fama_fast.panel import Panel
    from fama_fast.signal import positions

    assert isinstance(data, Panel)  # data in parts are not asked for
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


def _write(frame: pl.DataFrame, output: Path) -> None:
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
