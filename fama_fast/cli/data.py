"""`fama-fast data`: look at market data, or make some.

`check` reports on quality, `describe` on contents as loaded, `convert` (in `cli.convert`) writes them as Parquet,
`simulate` writes a simulated market, `fetch` (in `cli.fetch`) gets one from public sources. Polars and the engine are
imported when a command runs.
"""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fama_fast.cli.common import AsJson, Groups, Universe, note, print_table
from fama_fast.cli.convert import convert
from fama_fast.cli.fetch import fetch
from fama_fast.cli.reading import takes_reading
from fama_fast.errors import EXIT_USAGE, ConfigError
from fama_fast.panel.reading import PLAIN, Reading
from fama_fast.terminal import say, say_json

if TYPE_CHECKING:
    from fama_fast.data import PlantedSignal, SimulationSpec
    from fama_fast.panel import Panel

Source = Annotated[
    str,
    typer.Argument(metavar="PATH", help="Market data: a Parquet or CSV file, folder or glob, or a qlib folder."),
]
_WHOLE_CELLS = 4_000_000  # a simulation of more is written in pieces
_PIECE_CELLS = 1_000_000

OutputPath = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write, .parquet or .csv.")]


def register(app: typer.Typer) -> None:
    """Add the sub-commands."""
    data = typer.Typer(
        name="data",
        help="Check, describe, convert, simulate or fetch market data.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    data.command("check")(takes_reading(check))
    data.command("describe")(takes_reading(describe))
    data.command("convert")(takes_reading(convert))
    data.command("simulate")(simulate)
    data.command("fetch")(fetch)
    app.add_typer(data)


def check(
    path: Source,
    jump: Annotated[
        float, typer.Option("--jump", min=0.0, help="Report close-to-close moves beyond this (0.2 is 20%).")
    ] = 0.2,
    as_json: AsJson = False,
    *,
    reading: Reading = PLAIN,
) -> None:
    """Report duplicate keys, impossible bars, jumps, gaps, missing values and signs of survivorship.

    The exit code is 2 when the data cannot be used as it is; warnings and notes leave it 0.
    """
    from fama_fast.data import quality_report

    report = quality_report(path, jump=jump, **reading.options())
    if as_json:
        say_json(report.as_dict())
    else:
        say(f"{report.source}: {report.layout + ': ' if report.layout else ''}{report.size}")
        say(f"fields: {', '.join(report.fields) or 'none'}; groups: {', '.join(report.groups) or 'none'}")
        rows = [
            {
                "severity": f.severity,
                "count": f.count,
                "check": f.check,
                "finding": f"{f.message}: {'; '.join(f.examples)}" if f.examples else f.message,
            }
            for f in report.findings
        ]
        print_table(rows, long_column="finding")
        if not rows:
            print("nothing to report")
    if not report.ok:
        sys.stdout.flush()
        note(f"error: {path}: {len(report.errors)} error(s): the data cannot be loaded as it is")
        raise typer.Exit(EXIT_USAGE)


def describe(
    path: Source,
    universe: Universe = None,
    groups: Groups = None,
    as_json: AsJson = False,
    *,
    reading: Reading = PLAIN,
) -> None:
    """Say what a run would see: size, fields with their coverage, groups, universe, hash."""
    from fama_fast.data import load_market_data

    panel = load_market_data(path, universe=universe, groups=groups, **reading.options())
    about = _about(panel)
    if as_json:
        say_json(about)
        return
    layout = f"{panel.layout}: " if panel.layout else ""
    say(
        f"{panel.source}: {layout}{about['n_dates']:,} dates x {about['n_symbols']:,} symbols "
        f"({about['first_date']}..{about['last_date']}), hash {about['data_hash']}"
    )
    if about["universe"] is not None:
        members = about["universe"]
        print(f"universe: {members['least']} to {members['most']} members a day, {members['mean']:.1f} on average")
    print_table(about["fields"])
    if about["groups"]:
        print()
        print_table(about["groups"])
    for warning in panel.warnings:
        note(f"warning: {warning}")


def _about(panel: Panel) -> dict[str, Any]:
    import numpy as np

    n_dates, n_symbols = panel.shape
    fields = []
    for name in panel.fields:
        values = panel[name]
        present = np.isfinite(values)
        known = values[present]
        fields.append(
            {
                "field": name,
                "derived": "no" if name in panel.supplied_fields else "yes",
                "coverage": float(present.mean()),
                "least": float(known.min()) if known.size else None,
                "median": float(np.median(known)) if known.size else None,
                "most": float(known.max()) if known.size else None,
            }
        )
    groups = []
    for name in panel.groups:
        group = panel.group(name)
        groups.append(
            {
                "group": name,
                "labels": len(group.labels),
                "coverage": float(np.isfinite(group.codes).mean()),
                "first_labels": ", ".join(group.labels[:4]) + (", ..." if len(group.labels) > 4 else ""),
            }
        )
    universe = None
    if panel.universe is not None:
        members = panel.universe.sum(axis=1)
        universe = {"least": int(members.min()), "most": int(members.max()), "mean": float(members.mean())}
    return {
        "source": panel.source,
        "layout": panel.layout,
        "n_dates": n_dates,
        "n_symbols": n_symbols,
        "first_date": str(panel.dates[0]),
        "last_date": str(panel.dates[-1]),
        "data_hash": panel.data_hash,
        "fields": fields,
        "groups": groups,
        "universe": universe,
        "warnings": list(panel.warnings),
    }


def simulate(
    output: OutputPath,
    symbols: Annotated[int, typer.Option("--symbols", min=1, help="Symbols.")] = 200,
    dates: Annotated[int, typer.Option("--dates", min=1, help="Trading days.")] = 756,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of every random draw.")] = 0,
    signal: Annotated[
        list[str] | None,
        typer.Option(
            "--signal",
            metavar="EXPR:RANKIC",
            help="Plant a signal: the return of day t + 2 carries EXPR of day t with this mean RankIC. "
            "May be given several times; without it the data are pure noise.",
            show_default=False,
        ),
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            metavar="KIND",
            help="symmetric, or martingale: volatility and skewness differ by symbol, and nothing pays.",
        ),
    ] = "symmetric",
    start: Annotated[str, typer.Option("--start", metavar="DATE", help="First day.")] = "2015-01-01",
    sectors: Annotated[int, typer.Option("--sectors", min=1, help="Sectors.")] = 8,
    late_listing: Annotated[float, typer.Option("--late", help="Share of symbols that list late.")] = 0.05,
    missing: Annotated[float, typer.Option("--missing", help="Share of rows missing.")] = 0.002,
    as_json: AsJson = False,
) -> None:
    """Write simulated daily bars with sectors, the same for the same options.

    Volatility clusters, volume follows moves, some symbols list late and some days are missing.
    """
    from fama_fast.atomic import ensure_writable
    from fama_fast.cli.common import check_ending
    from fama_fast.data import SimulationSpec, to_frame, write_frame
    from fama_fast.data import simulate as run

    # Before the work, not after it.
    check_ending(output, (".parquet", ".pq", ".csv"))
    ensure_writable(output)
    spec = SimulationSpec(
        n_symbols=symbols,
        n_dates=dates,
        seed=seed,
        start=_day(start),
        sectors=sectors,
        late_listing=late_listing,
        missing=missing,
        signals=tuple(_signal(text) for text in signal or ()),
        kind=kind,
    )
    if signal or kind != "symmetric" or symbols * dates <= _WHOLE_CELLS or output.suffix.lower() == ".csv":
        frame = to_frame(run(spec))
        write_frame(frame, output)
        rows = frame.height
    else:
        rows = _write_in_pieces(spec, output)
    if as_json:
        say_json({"output": str(output), "rows": rows, "source": spec.source})
    else:
        say(f"{spec.source}: {rows:,} rows written to {output}")


def _write_in_pieces(spec: SimulationSpec, output: Path) -> int:
    """A market that need not fit in memory, by date, a row group a piece; gives the number of rows."""
    import polars as pl
    import pyarrow.parquet as pq

    from fama_fast.atomic import atomic_write
    from fama_fast.data import to_frame
    from fama_fast.data.simulator.pieces import simulate_pieces

    rows = 0
    with atomic_write(output) as temporary:
        writer: Any = None
        try:
            for panel in simulate_pieces(spec, max(1, _PIECE_CELLS // spec.n_symbols)):
                table = to_frame(panel).to_arrow(compat_level=pl.CompatLevel.oldest())
                if writer is None:
                    texts = ["date", "symbol", "sector", "industry"]
                    writer = pq.ParquetWriter(
                        temporary, table.schema, compression="zstd", compression_level=1, use_dictionary=texts
                    )
                writer.write_table(table, row_group_size=table.num_rows)
                rows += table.num_rows
        finally:
            if writer is not None:
                writer.close()
    return rows


def _day(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"--start must be a date such as 2015-01-01, not {text!r}") from error


def _signal(text: str) -> PlantedSignal:
    from fama_fast.data import PlantedSignal

    # The last colon, for a conditional expression has colons of its own.
    expression, colon, figure = text.rpartition(":")
    try:
        rank_ic = float(figure)
    except ValueError:
        colon = ""
    if not colon:
        raise ConfigError(f"--signal must be an expression and a RankIC, such as 'RANK(VOLUME):0.03', not {text!r}")
    return PlantedSignal(expression.strip(), rank_ic)
