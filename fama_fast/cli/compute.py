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
    read_expressions,
    reject_options,
    say_warnings,
)
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
    """How values lie in the file."""

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
            metavar="FILE|EXPR",
            help="Expressions, 'name: expression', or files of them: text, one a line, or a factor YAML.",
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
    *,
    reading: Reading = PLAIN,
) -> None:
    """Compute the values of expressions and write them, to a file (--output) or a factor store (--store).

    A long file has the rows of the data (symbols with a close that date) and every other cell with a value;
    missing values are null.
    """
    from fama_fast.engine import evaluate
    from fama_fast.engine.outputs import Writer
    from fama_fast.evaluation.score import compile_all

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
            append=append,
            rebuild=rebuild,
            verify=verify,
        )
        return
    for given, option in ((append, "--append"), (rebuild, "--rebuild"), (verify, "--verify")):
        if given:
            raise ConfigError(f"{option} is for a factor store: give its folder with --store")
    if output is None:
        raise ConfigError("say where the values go: --output FILE, or --store DIR")
    if not expressions:
        raise ConfigError("say what to compute: expressions, or files of them")
    if layout is Layout.WIDE or output.suffix:
        check_ending(output, ENDINGS)
    named = read_expressions(expressions)
    names = tuple(e.name for e in named)
    Writer(output, names, days=True)  # a place that cannot be written shows before the work
    if layout is Layout.WIDE and len(named) != 1:
        raise ConfigError(f"--format wide holds one factor, not {len(named)}: use --format long")
    if layout is Layout.WIDE and memory_budget is not None:
        raise ConfigError("--format wide holds all dates at once: use --format long with --memory-budget")
    texts = [e.text for e in named]
    alphas = compile_all(texts, dialect=dialect, any_names=True)  # mistakes show before the data are read
    source = open_source(data, memory_budget, universe=universe, groups=groups, reading=reading, needed_by=alphas)
    compiled = compile_all(texts, source, dialect=dialect)
    if layout is Layout.WIDE:
        rows, columns = _write_wide(source, evaluate(compiled, source)[0], output)
    else:
        written = evaluate(compiled, source, memory_budget=memory_budget, output=output, names=names)
        rows, columns = written.rows, len(written.columns) + 2
    say_warnings(source)
    note(f"wrote {output}: {rows} rows, {columns} columns")


def _write_wide(panel: Panel | Dataset, values: FloatArray, output: Path) -> tuple[int, int]:
    from fama_fast.atomic import atomic_write

    frame = wide_frame(panel, values)
    with atomic_write(output) as temporary:
        if output.suffix.lower() == ".csv":
            frame.write_csv(temporary)
        else:
            frame.write_parquet(temporary)
    return frame.height, frame.width


def wide_frame(panel: Panel | Dataset, values: FloatArray) -> pl.DataFrame:
    """A column of dates and one a symbol.

    Raises:
        ConfigError: a symbol is called `date`.
    """
    import polars as pl

    from fama_fast.engine.outputs import plain_dates

    symbols = [str(s) for s in panel.symbols]
    if "date" in symbols:
        raise ConfigError("a symbol is called 'date': use --format long")
    columns = {s: pl.Series(s, values[:, i], nan_to_null=True) for i, s in enumerate(symbols)}
    return pl.DataFrame({"date": pl.Series("date", plain_dates(panel.dates)), **columns})
