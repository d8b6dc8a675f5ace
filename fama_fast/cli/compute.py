"""`fama-fast compute`: values of expressions, written to a file."""

from __future__ import annotations

import enum
from pathlib import Path  # noqa: TC003  (typer reads annotations)
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fama_fast.cli.common import (
    EXPRESSION_COMMAND,
    DataPath,
    Dialect,
    Groups,
    Universe,
    check_ending,
    note,
    open_panel,
    read_expressions,
    reject_options,
)
from fama_fast.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from fama_fast.panel import Panel
    from fama_fast.types import FloatArray

ENDINGS = (".parquet", ".csv")


class Layout(enum.StrEnum):
    """How values lie in the file."""

    LONG = "long"
    WIDE = "wide"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compute", context_settings=EXPRESSION_COMMAND)(compute)


def compute(
    ctx: typer.Context,
    expressions: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE|EXPR",
            help="Expressions, 'name: expression', or files of them: text, one a line, or a factor YAML.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", metavar="FILE", help="Where to write: .parquet or .csv.", show_default=False),
    ],
    data: DataPath = None,
    layout: Annotated[
        Layout,
        typer.Option("--format", help="long: date, symbol, a column a factor; wide: date by symbol, one factor."),
    ] = Layout.LONG,
    dialect: Dialect = "fama",
    universe: Universe = None,
    groups: Groups = None,
) -> None:
    """Compute the values of expressions and write them.

    A long file has the rows of the data (symbols with a close that date) and every other cell with a value;
    missing values are null.
    """
    from fama_fast.atomic import atomic_write, ensure_writable
    from fama_fast.engine import evaluate
    from fama_fast.evaluation.score import compile_all

    reject_options(expressions, ctx)
    ending = check_ending(output, ENDINGS)
    ensure_writable(output)
    named = read_expressions(expressions)
    if layout is Layout.WIDE and len(named) != 1:
        raise ConfigError(f"--format wide holds one factor, not {len(named)}: use --format long")
    texts = [e.text for e in named]
    alphas = compile_all(texts, dialect=dialect)  # mistakes show before the data are read
    panel = open_panel(data, universe=universe, groups=groups, needed_by=alphas)
    values = evaluate(compile_all(texts, panel, dialect=dialect), panel)
    by_name = {e.name: v for e, v in zip(named, values, strict=True)}
    frame = long_frame(panel, by_name) if layout is Layout.LONG else wide_frame(panel, values[0])
    with atomic_write(output) as temporary:
        if ending == ".csv":
            frame.write_csv(temporary)
        else:
            frame.write_parquet(temporary)
    note(f"wrote {output}: {frame.height} rows, {frame.width} columns")


def _dates(panel: Panel) -> Any:
    """The dates for Polars: days where all are midnights, else microseconds."""
    days = panel.dates.astype("datetime64[D]")
    return days if bool((days == panel.dates).all()) else panel.dates.astype("datetime64[us]")


def long_frame(panel: Panel, values: Mapping[str, FloatArray]) -> pl.DataFrame:
    """Columns date, symbol and one a factor, by date and symbol.

    Rows are the cells where the data have a symbol (a close, or any field without one) or a factor has a
    value.
    """
    import numpy as np
    import polars as pl

    from fama_fast.evaluation.score import trading

    keep = trading(panel)
    for array in values.values():
        keep = keep | np.isfinite(array)
    row, column = np.nonzero(keep)
    symbols = pl.Series("symbol", [str(s) for s in panel.symbols])
    return pl.DataFrame(
        {
            "date": pl.Series("date", _dates(panel)).gather(row),
            "symbol": symbols.gather(column),
            **{name: pl.Series(name, array[keep], nan_to_null=True) for name, array in values.items()},
        }
    )


def wide_frame(panel: Panel, values: FloatArray) -> pl.DataFrame:
    """A column of dates and one a symbol.

    Raises:
        ConfigError: a symbol is called `date`.
    """
    import polars as pl

    symbols = [str(s) for s in panel.symbols]
    if "date" in symbols:
        raise ConfigError("a symbol is called 'date': use --format long")
    columns = {s: pl.Series(s, values[:, i], nan_to_null=True) for i, s in enumerate(symbols)}
    return pl.DataFrame({"date": pl.Series("date", _dates(panel)), **columns})
