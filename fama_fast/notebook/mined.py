"""The result of a run in Python: tables, a page, a picture, and what a notebook shows of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fama_fast import notebook_html as html
from fama_fast.errors import DataError, shortened
from fama_fast.ledger.ledger import Ledger
from fama_fast.mining.run.setup import data_again, ledger_place
from fama_fast.mining.verdict.results import MiningResult, figures_of, funnel_line
from fama_fast.number_text import signed
from fama_fast.panel import Panel
from fama_fast.report.content import from_run
from fama_fast.signal import Monitor, SignalPool, SignalStream, monitor

if TYPE_CHECKING:
    import polars as pl

    from fama_fast.mining.config import MiningConfig
    from fama_fast.panel.dataset import Dataset
    from fama_fast.panel.source import Source
    from fama_fast.report.content import Content
    from fama_fast.types import FloatArray

_SHOWN = 30  # rows of the table in a notebook


@dataclass(frozen=True)
class Mined(MiningResult):
    """A `MiningResult` with its tables, its page and its picture.

    Attributes:
        config: the settings of the run. source: the data that it was given; None where its settings name them.
    """

    config: MiningConfig | None = field(default=None, repr=False, compare=False)
    source: Source | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, result: MiningResult, config: MiningConfig, source: Source | None) -> Mined:
        """The same result."""
        known = {f.name: getattr(result, f.name) for f in dataclasses.fields(result)}
        return cls(**known, config=config, source=source)

    def table(self) -> pl.DataFrame:
        """One row a pool or factor and split: what it is, whether it holds, RankIC and its t, IC, spread and net in
        basis points a day, turnover, the expression."""
        import polars as pl

        columns = {
            "pool": pl.String,
            "holds": pl.Boolean,
            "split": pl.String,
            **dict.fromkeys(("rank_ic", "rank_ic_t", "ic", "spread", "net", "turnover"), pl.Float64),
            "expression": pl.String,
        }
        return pl.DataFrame(figures_of(self.to_dict()), schema=columns)

    def report(self, path: str | Path = "report.html") -> Path:
        """Write the run as one HTML page, which opens from disk and works offline; returns its path.

        Raises:
            ConfigError: the extra `report` is not installed. StoreError: the ledger is gone. OutputError: the page
                cannot be written.
        """
        from fama_fast.report import write

        place = Path(path)
        write(self._content, place)
        return place

    def signal(self, data: Any = None, *, wide: bool = False, threads: int | None = None) -> FloatArray:
        """(T, N) the combined signal of the pool that the verdict judged, on the run's data or on others.

        Args:
            data: a panel, or what one is made of (see `load_market_data`). wide: of the wide pool.

        Raises:
            DataError: there is no pool, or the run's data cannot be had again.
        """
        known: Any = data if data is not None else self.source
        pool = self._pool(wide)
        return pool.signal(self._again if known is None else _loaded(known), threads=threads)

    def stream(self, data: Any, *, wide: bool = False, threads: int = 1) -> SignalStream:
        """The combined signal one new date at a time: `stream(history).push(date, rows)`, with the bits of `signal`.

        Args:
            data: the history so far: a panel, or what one is made of. wide: of the wide pool.
        """
        return SignalStream(self._pool(wide), _in_memory(data), threads=threads)

    def monitor(self, data: Any, *, wide: bool = False, window: int = 60, threads: int | None = None) -> Monitor:
        """RankIC, IC, spread and net spread of the signal since the run's data ended, beside what was promised.

        Args:
            data: with the dates since, and what windows need before them. window: dates of the rolling means.

        Raises:
            DataError: there is no pool, or no date since.
        """
        options: dict[str, Any] = {"pool": self._pool(wide), "window": window, "threads": threads}
        return monitor(self.to_dict(), _in_memory(data), **options)

    def _pool(self, wide: bool) -> SignalPool:
        assert self.config is not None
        with Ledger.open(ledger_place(self.config), create=False) as ledger:
            return SignalPool.of_run(ledger, ledger.get_run(self.run_id), "wide" if wide else "list")

    @property
    def _again(self) -> Panel | Dataset:
        assert self.config is not None
        with Ledger.open(ledger_place(self.config), create=False) as ledger:
            run = ledger.get_run(self.run_id)
        return data_again(self.config, run.data, run.source)

    def plot(self) -> Any:
        """The cumulative RankIC of the factors over all dates that were looked at, as an Altair chart.

        Raises:
            ConfigError: the extra `report` is not installed. DataError: there is no factor, or the data cannot be had
                again.
        """
        from fama_fast.report.page import cumulative_chart

        content = self._content
        if content.study is None:
            raise DataError(f"there is nothing to draw: {content.not_supplied.get('figures', 'no factor was found')}")
        return cumulative_chart(content)

    @cached_property
    def _content(self) -> Content:
        assert self.config is not None
        with Ledger.open(ledger_place(self.config), create=False) as ledger:
            run = ledger.get_run(self.run_id)
            if run.test_opened_at is not None:
                ledger.log_look(run.data_hash, "report", run.id)
            why = ""
            source: Any = self.source
            if source is None:
                try:
                    source = data_again(self.config, run.data, run.source)
                except DataError as error:
                    why = str(error)
            if source is not None and not isinstance(source, Panel):
                source, why = None, "the data were read in parts, and a report needs them in memory"
            return from_run(ledger, run, source, no_panel=why)

    def __repr__(self) -> str:
        run = f"run {self.run_id}: " if self.run_id else ""
        return f"Mined({run}{self.verdict.status.value}, {len(self.factors)} factors of {self.candidates} candidates)"

    def _repr_html_(self) -> str:
        document = self.to_dict()
        rows = []
        figures = figures_of(document)
        for row in figures[:_SHOWN]:
            what = row["pool"] or shortened(row["expression"], 160)
            holds = "" if row["holds"] is None else "yes" if row["holds"] else "no"
            numbers = [signed(row["rank_ic"]), signed(row["rank_ic_t"], 2), signed(row["ic"])]
            rows.append([what, row["split"], holds, *numbers, signed(row["spread"], 1), signed(row["net"], 1)])
        head = ["", "split", "holds", "RankIC", "t", "IC", "spread, bp a day", "net"]
        facts = {
            "run": self.run_id or None,
            "data": f"{self.data['source']}, {self.data['dates']} dates x {self.data['symbols']} symbols",
            "search": f"{funnel_line(document)}; ended: {self.stop}",
        }
        table = html.table(head, rows, texts=3, more=len(figures) - _SHOWN) if rows else ""
        splits = [s for s in ("train", "valid", "test") if any(r["split"] == s and not r["pool"] for r in figures)]
        each = {s: [r["rank_ic"] for r in figures if r["split"] == s and not r["pool"]] for s in splits}
        kept = {s: [float("nan") if v is None else v for v in values] for s, values in each.items()}
        chart = html.lines(kept, "RankIC of the factors, in their order") if len(self.factors) > 1 else ""
        return html.card(self.verdict.headline, facts, html.notes(self.verdict.statements), chart, table)


def _loaded(data: Any) -> Panel | Dataset:
    from fama_fast.data import load_market_data
    from fama_fast.panel.dataset import Dataset

    return data if isinstance(data, Panel | Dataset) else load_market_data(data)


def _in_memory(data: Any) -> Panel:
    """A panel of what is given.

    Raises:
        DataError: data that are read in parts.
    """
    found = _loaded(data)
    if not isinstance(found, Panel):
        raise DataError(f"{found.source} is read in parts: this takes data in memory (load_market_data)")
    return found
