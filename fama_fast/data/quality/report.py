"""The data-quality report: errors, warnings and notes about a set of market data, counted and named.

What makes data unusable (unreadable keys, text for prices) raises; two rows for one key are an error in the
report, with their rows; everything else is a warning or a note. Nothing is mended.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Unpack

import polars as pl

from fama_fast.data.quality.finding import DEFAULT_JUMP, ERROR, NOTE, WARNING, Finding
from fama_fast.data.quality.row_checks import CHECKS, Table
from fama_fast.errors import ConfigError, DataError
from fama_fast.panel.choose import choose_rows
from fama_fast.panel.columns import assign_columns
from fama_fast.panel.ingest import collect_schema, group_fields
from fama_fast.panel.market_data import MarketData, is_path
from fama_fast.panel.reading import ReadingOptions, reading_of
from fama_fast.panel.scan import collect, scan
from fama_fast.panel.values import field_values

if TYPE_CHECKING:
    from fama_fast.panel.choose import Chosen
    from fama_fast.panel.grid import Grid


@dataclass(frozen=True)
class QualityReport:
    """The findings of `quality_report`, with the size of the data.

    `fields` and `groups` are the names in expressions; dates are ISO text; `layout` is how the data lie at `source`,
    empty for a plain file.
    """

    source: str
    layout: str
    n_rows: int
    n_symbols: int
    n_dates: int
    first_date: str
    last_date: str
    fields: tuple[str, ...]
    groups: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that make the data unusable."""
        return tuple(f for f in self.findings if f.severity == ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Findings that a reader should look at."""
        return tuple(f for f in self.findings if f.severity == WARNING)

    @property
    def size(self) -> str:
        """Rows, symbols, dates and their span, in words."""
        span = f"{self.first_date}..{self.last_date}"
        return f"{self.n_rows:,} rows, {self.n_symbols:,} symbols, {self.n_dates:,} dates ({span})"

    @property
    def ok(self) -> bool:
        """Whether the data can be loaded."""
        return not self.errors

    def count(self, check: str) -> int:
        """How often the named check found something; 0 if it did not."""
        return sum(f.count for f in self.findings if f.check == check)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "ok": self.ok}

    def to_text(self) -> str:
        """The report as plain lines, for a log."""
        lines = [
            f"{self.source}: {self.layout + ': ' if self.layout else ''}{self.size}",
            f"fields: {', '.join(self.fields) or 'none'}; groups: {', '.join(self.groups) or 'none'}",
        ]
        for f in self.findings:
            examples = f": {'; '.join(f.examples)}" if f.examples else ""
            lines.append(f"{f.severity:<8}{f.count:>10,}  {f.message}{examples}")
        if not self.findings:
            lines.append("nothing to report")
        return "\n".join(lines)


def quality_report(
    data: MarketData,
    *,
    jump: float = DEFAULT_JUMP,
    **options: Unpack[ReadingOptions],
) -> QualityReport:
    """Run all quality checks on long market data (anything that `load_market_data` takes).

    Args:
        jump: size of a close-to-close move (0.2 is 20%) beyond which it is reported.
        options: how the data are read, as for `load_market_data`.

    Raises:
        DataError: data that cannot be read at all: a missing or corrupt file, no rows, null or unreadable
            keys, text in place of numbers.
        ConfigError: a jump that is not positive.
    """
    if not jump > 0:
        raise ConfigError(f"jump must be positive, not {jump!r}")
    how = reading_of(**options)
    scanned = scan(data, how)
    lazy, locate, source = scanned.frame, scanned.locate, str(data) if is_path(data) else "frame"
    columns = assign_columns(collect_schema(lazy, source), reading=how, source=source)
    frame = collect(lazy.select(columns.needed), source)
    if frame.is_empty():
        raise DataError(f"{source}: no rows")
    chosen = choose_rows(frame, columns, how, source, locate)
    rows, grid = chosen.rows, chosen.grid
    values = [pl.Series(name, field_values(rows.table, columns, name, source, rows.locate)) for name in columns.fields]
    groups, no_groups = group_fields(rows.table, columns, grid, all_of_them=True)

    findings = _of_rows(chosen, source)
    findings += [Finding("files", WARNING, 1, text) for text in scanned.warnings]
    findings += [Finding("unused_columns", WARNING, 1, text) for text in (*columns.unused, *no_groups)]
    findings += [Finding("notes", NOTE, 1, text) for text in columns.notes]
    keys = [rows.dates.alias("date"), rows.symbols.alias("symbol")]
    table = _prepare(pl.DataFrame([*keys, *values]), grid, jump)
    findings += [f for f in (check(table) for check in CHECKS) if f is not None]
    return QualityReport(
        source=source,
        layout=scanned.layout,
        n_rows=len(rows.numbers),
        n_symbols=grid.shape[1],
        n_dates=grid.shape[0],
        first_date=str(grid.dates[0]),
        last_date=str(grid.dates[-1]),
        fields=tuple(columns.fields),
        groups=tuple(groups),
        findings=tuple(findings),
    )


def _of_rows(chosen: Chosen, source: str) -> list[Finding]:
    """Findings about the keys of rows."""
    findings: list[Finding] = []
    try:
        chosen.duplicated.refuse(source)
    except DataError as error:
        keys, text = error.details["count"], str(error)
        findings.append(
            Finding(
                "duplicate_keys",
                ERROR,
                keys,
                text.removeprefix(f"{source}: {keys:,} "),
                details=tuple(error.details["duplicates"]),
            )
        )
    counts = (
        ("clock", chosen.clock, 1),
        ("left_out_dates", chosen.dropped, 1),
        ("thin_dates", chosen.thin, int(chosen.attendance.thin.sum())),
        ("left_out_rows", chosen.duplicated.warnings, chosen.duplicated.same + chosen.duplicated.dropped),
    )
    return findings + [Finding(check, WARNING, count, text) for check, texts, count in counts for text in texts]


def _prepare(raw: pl.DataFrame, grid: Grid, jump: float) -> Table:
    fields = [c for c in raw.columns if c not in ("date", "symbol")]
    rows = raw.with_columns(
        pl.Series("day", grid.cells // grid.shape[1]),
        *(pl.when(pl.col(f).is_finite()).then(pl.col(f)).alias(f) for f in fields),
    ).sort("symbol", "day")
    spans = rows.group_by("symbol").agg(
        pl.col("day").min().alias("first"),
        pl.col("day").max().alias("last"),
        # A day that occurs twice is one day.
        pl.col("day").n_unique().alias("n"),
    )
    return Table(rows, spans, raw, grid.shape[0], jump)
