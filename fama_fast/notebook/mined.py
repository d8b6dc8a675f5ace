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
from fama_fast.signal import SignalPool

if TYPE_CHECKING:
    import polars as pl

    from fama_fast.mining.config import MiningConfig
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
        from fama_fast.data import load_market_data
        from fama_fast.panel.dataset import Dataset

        assert self.config is not None
        with Ledger.open(ledger_place(self.config), create=False) as ledger:
            run = ledger.get_run(self.run_id)
            pool = SignalPool.of_run(ledger, run, "wide" if wide else "list")
            known: Any = data if data is not None else self.source
            if known is None:
                known = data_again(self.config, run.data, run.source)
        if not isinstance(known, Panel | Dataset):
            known = load_market_data(known)
        return pool.signal(known, threads=threads)

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
