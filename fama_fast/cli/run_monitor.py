"""`fama-fast monitor`: whether a run's signal still does what its verdict promised, on the dates since."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  (typer reads annotations)
from typing import TYPE_CHECKING, Annotated

import typer

from fama_fast.cli.common import AsJson, Groups, Threads, Universe, check_ending, note, print_table
from fama_fast.cli.given import JudgedRun, LedgerPath, read_given
from fama_fast.cli.reading import takes_reading
from fama_fast.cli.run_signal import ENDINGS, opened_panel, result_document, signal_pool
from fama_fast.errors import EXIT_NOTHING_FOUND
from fama_fast.panel.reading import PLAIN, Reading

if TYPE_CHECKING:
    from fama_fast.signal import Monitor


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("monitor")(takes_reading(monitor))


def monitor(
    source: JudgedRun,
    data: Annotated[
        str,
        typer.Option(
            "--data",
            metavar="PATH",
            help="Data that go on after the run's own ended, with what came before as far as windows look back.",
            show_default=False,
        ),
    ],
    wide: Annotated[bool, typer.Option("--wide", help="Of the wide pool, not the short list.")] = False,
    window: Annotated[int, typer.Option("--window", metavar="N", min=1, help="Dates of the rolling means.")] = 60,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="FILE", help="Write the daily and rolling series: .parquet or .csv.", show_default=False
        ),
    ] = None,
    universe: Universe = None,
    groups: Groups = None,
    ledger: LedgerPath = None,
    threads: Threads = None,
    as_json: AsJson = False,
    *,
    reading: Reading = PLAIN,
) -> None:
    """Compare a run's signal since the run's data ended with what its verdict promised.

    RankIC, IC, spread and net spread of the new dates stand beside the promised mean and its 95% interval, with the
    number of dates that it takes to tell. The exit code is 1 where the run's objective is below its promise.
    """
    from fama_fast.signal import monitor as watch
    from fama_fast.terminal import say, say_json, say_prose

    if output is not None:
        check_ending(output, ENDINGS)
    given = read_given([source], ledger=ledger)
    pool = signal_pool(source, given, ledger, wide=wide)
    panel = opened_panel(given, data, universe, groups, reading)
    found = watch(result_document(given), panel, pool=pool, window=window, threads=threads)
    if output is not None:
        _write(found, output)
        note(f"wrote {len(found.dates):,} dates to {output}")
    if as_json:
        say_json(found.as_dict())
    else:
        first, last = (str(day)[:10] for day in found.dates[[0, -1]])
        say(f"run {found.run}, {found.pool}: {found.status}; {len(found.dates):,} dates, {first} to {last}")
        print_table(_table(found))
        say_prose(*found.sentences)
    if found.status == "below":
        raise typer.Exit(EXIT_NOTHING_FOUND)


def _table(found: Monitor) -> list[dict[str, object]]:
    """One row a measure, as people read them."""
    from fama_fast.mining.objective import OBJECTIVES
    from fama_fast.mining.verdict.measures import in_units, interval_in_units

    def shown(name: str, value: float) -> str:
        return in_units(name, value, found.horizon, unit=False)

    return [
        {
            "measure": OBJECTIVES[name].label + (", bp a day" if OBJECTIVES[name].in_returns else ""),
            "promised": shown(name, m.promised),
            "interval": "-" if m.status == "unknown" else interval_in_units(name, m.promised_interval, found.horizon),
            "since": shown(name, m.since),
            f"last {found.window}": shown(name, m.rolling),
            "days": m.days,
            "needed": "-" if m.needed is None else f"{m.needed:,}",
            "outcome": m.status,
        }
        for name, m in found.measures.items()
    ]


def _write(found: Monitor, output: Path) -> None:
    import polars as pl

    from fama_fast.cli.run_signal import write_table

    rolling = {f"{name}_rolling": values for name, values in found.rolling.items()}
    write_table(pl.DataFrame({"date": found.dates, **found.daily, **rolling}).fill_nan(None), output)
