"""`fama-fast compute`: values of expressions, written to a file."""

from __future__ import annotations

import enum
from pathlib import Path  # noqa: TC003  (typer reads annotations)
from typing import TYPE_CHECKING, Annotated

import typer

from fama_fast.cli.common import (
    EXPRESSION_COMMAND,
    DataPath,
    Dialect,
    Groups,
    Universe,
    check_ending,
    note,
    reject_options,
    say_warnings,
)
from fama_fast.cli.given import LedgerPath, read_given
from fama_fast.cli.large import MemoryBudget, open_source
from fama_fast.cli.reading import takes_reading
from fama_fast.errors import ConfigError
from fama_fast.panel.reading import PLAIN, Reading

if TYPE_CHECKING:
    import polars as pl

    from fama_fast.panel import Panel
    from fama_fast.panel.dataset import Dataset
    from fama_fast.types import FloatArray

ENDINGS = (".parquet", ".csv")


class Layout(enum.StrEnum):
    """Layouts of values in the output file."""

    LONG = "long"
    WIDE = "wide"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compute", context_settings=EXPRESSION_COMMAND)(takes_reading(compute))


def compute(
    ctx: typer.Context,
    expressions: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="EXPR|FILE|RUN",
            help="Expressions, 'name: expression', files of them (text, one a line; a run's result, an exported run, a "
            "factor set), or a run of the ledger ('last').",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help="Where to write: .parquet or .csv; or a new folder, which gets Parquet files.",
            show_default=False,
        ),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(
            "--store",
            metavar="DIR",
            help="Keep the values in a factor store, a new folder or, with --append, one that is there.",
            show_default=False,
        ),
    ] = None,
    append: Annotated[
        bool,
        typer.Option(
            "--append", help="Add the dates that the store lacks, and expressions that it lacks on all dates."
        ),
    ] = False,
    rebuild: Annotated[
        bool,
        typer.Option("--rebuild", help="As --append, and compute again what changed history or settings touch."),
    ] = False,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Read all stored dates' data to compare, also of files that look unchanged."),
    ] = False,
    data: DataPath = None,
    layout: Annotated[
        Layout,
        typer.Option("--format", help="long: date, symbol, a column a factor; wide: date by symbol, one factor."),
    ] = Layout.LONG,
    dialect: Dialect = "fama",
    universe: Universe = None,
    groups: Groups = None,
    memory_budget: MemoryBudget = None,
    ledger: LedgerPath = None,
    *,
    reading: Reading = PLAIN,
) -> None:
    """Compute the values of expressions and write them, to a file (--output) or a factor store (--store).

    A long file has the rows of the data (symbols with a close that date) and every other cell with a value;
    missing values are null. A column is called by the name that its expression was given, else by its canonical text;
    what it holds is in the metadata of a Parquet file (key fama_fast) and beside a CSV file (values.csv.json). Factors
    of a run are computed from the run's data, unless --data names others.
    """
    from fama_fast.engine import evaluate
    from fama_fast.engine.outputs import Writer, about, beside, write_frame

    expressions = expressions or []
    reject_options(expressions, ctx)
    if store is not None:
        from fama_fast.cli.store import compute_into_store

        if output is not None or layout is Layout.WIDE:
            raise ConfigError("--store keeps values in its own form: leave out --output and --format")
        compute_into_store(
            store,
            expressions,
            data=data,
            dialect=dialect,
            universe=universe,
            groups=groups,
            reading=reading,
            memory_budget=memory_budget,
            ledger=ledger,
            append=append,
            rebuild=rebuild,
            verify=verify,
        )
        return
    for wanted, option in ((append, "--append"), (rebuild, "--rebuild"), (verify, "--verify")):
        if wanted:
            raise ConfigError(f"{option} is for a factor store: give its folder with --store")
    if output is None:
        raise ConfigError("say where the values go: --output FILE, or --store DIR")
    if not expressions:
        raise ConfigError("say what to compute: expressions, or files of them")
    if layout is Layout.WIDE or output.suffix:
        check_ending(output, ENDINGS)
    asked = read_given(expressions, ledger=ledger)
    alphas = asked.compiled(dialect)  # mistakes show before the data are read
    names = asked.columns(alphas)
    Writer(output, names, days=True)  # a place that cannot be written shows before the work
    if layout is Layout.WIDE and len(names) != 1:
        raise ConfigError(f"--format wide holds one factor, not {len(names)}: use --format long")
    if layout is Layout.WIDE and memory_budget is not None:
        raise ConfigError("--format wide holds all dates at once: use --format long with --memory-budget")
    chosen = asked.data(data, universe=universe, groups=groups, reading=reading, parts=memory_budget is not None)
    source = open_source(chosen.data, memory_budget, needed_by=alphas, **chosen.options())
    compiled, coverage = asked.compiled(dialect, source), asked.min_coverage
    if layout is Layout.WIDE:
        values = evaluate(compiled, source, min_coverage=coverage)[0]
        frame = wide_frame(source, values)
        write_frame(frame, output, about(names, compiled, source, coverage))
        rows, columns = frame.height, frame.width
    else:
        written = evaluate(
            compiled, source, min_coverage=coverage, memory_budget=memory_budget, output=output, names=names
        )
        rows, columns = written.rows, len(written.columns) + 2
    say_warnings(source)
    said = f" (what they hold: {beside(output)})" if output.suffix.lower() == ".csv" else ""
    note(f"wrote {output}: {rows} rows, {columns} columns{said}")


def wide_frame(panel: Panel | Dataset, values: FloatArray) -> pl.DataFrame:
    """A frame with a column of dates and one column for each symbol.

    Raises:
        ConfigError: a symbol is called `date`.
    """
    import polars as pl

    from fama_fast.panel.labelled import plain_dates

    symbols = [str(s) for s in panel.symbols]
    if "date" in symbols:
        raise ConfigError("a symbol is called 'date': use --format long")
    columns = {s: pl.Series(s, values[:, i], nan_to_null=True) for i, s in enumerate(symbols)}
    return pl.DataFrame({"date": pl.Series("date", plain_dates(panel.dates)), **columns})
