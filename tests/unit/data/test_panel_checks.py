"""The quality checks on a loaded panel find what those on its rows find, and a run counts them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
import yaml

from fama_fast.cli import main
from fama_fast.data import SimulationSpec, load_market_data, quality_report, simulate, to_frame
from fama_fast.data.quality.panel_checks import bytes_needed, panel_findings
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.run.data_quality import quality_line, quality_of

if TYPE_CHECKING:
    from pathlib import Path


def warty(seed: int) -> pl.DataFrame:
    """Rows with a bit of everything that can be wrong with one."""
    rng = np.random.default_rng(seed)
    frame = to_frame(simulate(SimulationSpec(n_symbols=12, n_dates=80, seed=seed, missing=0.05, late_listing=0.3)))
    n = frame.height

    def some(share: float) -> pl.Series:
        return pl.Series(rng.random(n) < share)

    frame = frame.with_columns(
        pl.when(some(0.02)).then(pl.col("close") * 1.5).otherwise(pl.col("close")).alias("close"),
        pl.when(some(0.02)).then(pl.col("low") * 0.5).otherwise(pl.col("high")).alias("high"),
        pl.when(some(0.02)).then(None).otherwise(pl.col("open")).alias("open"),
        pl.when(some(0.02)).then(0.0).when(some(0.02)).then(-5.0).otherwise(pl.col("volume")).alias("volume"),
        pl.when(some(0.3)).then(None).otherwise(pl.Series(rng.normal(size=n))).alias("news"),
    )
    frame = frame.with_columns(pl.when(some(0.01)).then(0.0).otherwise(pl.col("close")).alias("close"))
    flat = some(0.02)
    names = ("open", "high", "low")
    return frame.with_columns(pl.when(flat).then(pl.col("close")).otherwise(pl.col(c)).alias(c) for c in names)


@pytest.mark.parametrize("seed", range(4))
def test_a_panel_shows_the_warts_of_its_rows(seed: int) -> None:
    frame = warty(seed)
    of_rows = {f.check: f for f in quality_report(frame).findings}
    of_panel = {f.check: f for f in panel_findings(load_market_data(frame))}
    assert of_panel
    assert {"gaps", "jumps", "missing_values", "flat_bars", "high_below_low"} <= set(of_panel)
    for name, found in of_panel.items():
        assert found == of_rows[name], name
    assert set(of_rows) - set(of_panel) <= {"unused_columns", "notes", "files", "thin_dates"}


def test_names_that_no_table_holds_and_panels_without_prices_are_checked() -> None:
    panel = simulate(SimulationSpec(n_symbols=5, n_dates=30, seed=1))
    from fama_fast.panel import Panel

    odd = Panel(panel.dates, ["a\udc80b", "A", "B", "C", "D"], {"X": panel["CLOSE"]})
    assert [f.check for f in panel_findings(odd)] == [
        f.check for f in panel_findings(Panel(panel.dates, list("EABCD"), {"X": panel["CLOSE"]}))
    ]
    assert panel_findings(Panel(panel.dates[:1], ["A"], {"X": [[np.nan]]})) == ()


def test_a_panel_of_float32_is_checked_as_what_it_is() -> None:
    frame = warty(1)
    exact, rounded = (panel_findings(load_market_data(frame, dtype=d)) for d in ("float64", "float32"))
    assert [(f.check, f.count) for f in exact] == [(f.check, f.count) for f in rounded]


def test_intraday_rows_are_named_with_their_time() -> None:
    panel = simulate(SimulationSpec(n_symbols=6, n_dates=40, seed=1))
    hours = panel.dates[0].astype("datetime64[us]") + np.arange(40) * np.timedelta64(90, "m")
    from fama_fast.panel import Panel

    bars = Panel(hours, panel.symbols, {"CLOSE": panel["CLOSE"], "VOLUME": np.where(panel["VOLUME"] > 0, 0.0, np.nan)})
    found = {f.check: f for f in panel_findings(bars)}
    assert found["zero_volume"] == next(f for f in quality_report(to_frame(bars)).findings if f.check == "zero_volume")
    assert "01:30:00" in " ".join(found["zero_volume"].examples) or "00:00:00" in found["zero_volume"].examples[0]


FORKED = """
import os, sys
import polars as pl
from fama_fast.data import SimulationSpec, simulate, to_frame
from fama_fast.data.quality.panel_checks import panel_findings
panel = simulate(SimulationSpec(n_symbols=6, n_dates=80, seed=1))
to_frame(panel).group_by("symbol").agg(pl.col("close").mean()).lazy().collect()  # threads that no fork takes along
child = os.fork()
if not child:
    os._exit(len(panel_findings(panel)))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != len(panel_findings(panel)))
"""


def test_a_process_that_was_forked_checks_its_data_too() -> None:
    import subprocess
    import sys

    subprocess.run([sys.executable, "-c", FORKED], check=True, timeout=120)


def settings(**run: Any) -> Any:
    return config_from_dict({"run": run})


def test_checks_that_do_not_fit_are_not_made_and_that_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from fama_fast.data import scan_market_data

    panel = simulate(SimulationSpec(n_symbols=20, n_dates=50, seed=1))
    monkeypatch.setattr("fama_fast.mining.run.data_quality.MOST_BYTES", 1000)
    found = quality_of(panel, settings())
    needed = bytes_needed(50, 20)
    assert found == {"checked": False, "why": f"they take {-(-needed // 1000)}kB, more than there is for them (1kB)"}
    assert quality_line(found, "x.csv").endswith("'fama-fast data check x.csv' makes them")
    to_frame(panel).write_parquet(tmp_path / "p.parquet")
    data = scan_market_data(tmp_path / "p.parquet")
    small = quality_of(data, settings(memory_budget="100kB"))
    assert not small["checked"]
    assert "run.memory_budget allows (100kB)" in small["why"]
    monkeypatch.undo()
    assert quality_of(data, settings(memory_budget="10MB")) == quality_of(panel, settings())


CONFIG = "run: {rounds: 1, candidates: 8, seed: 2}\ncontrol: {random: false}\n"


def test_a_run_counts_what_the_checks_find_and_its_report_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text(CONFIG, encoding="utf-8")
    frame = to_frame(simulate(SimulationSpec(n_symbols=20, n_dates=260, seed=3)))
    frame.with_columns(high=pl.when(pl.col("open") > pl.col("open").quantile(0.99)).then(0.01).otherwise("high"))
    frame = frame.with_columns(volume=pl.when(pl.int_range(pl.len()) % 97 == 0).then(0.0).otherwise(pl.col("volume")))
    frame.write_parquet("market.parquet")
    zero = frame.filter(pl.col("volume") == 0).height
    assert main(["mine", "--config", "run.yaml", "--data", "market.parquet", "--output", "out.yaml"]) in (0, 1)
    out = capsys.readouterr().out
    (line,) = [text for text in out.splitlines() if text.startswith("quality checks: ")]
    assert f"zero_volume {zero:,}" in line
    document = yaml.safe_load((tmp_path / "out.yaml").read_text(encoding="utf-8"))
    found = {f["check"]: f for f in document["data"]["quality"]["findings"]}
    assert found["zero_volume"]["count"] == zero
    assert found["zero_volume"]["message"] == "rows with volume zero"
    assert main(["report", "last"]) == 0
    assert f"warning, {zero:,}: <bdi>rows with volume zero" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert main(["mine", "--config", "run.yaml", "--data", "market.parquet", "--json", "-q"]) in (0, 1)
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert first["data"]["quality"] == document["data"]["quality"]


def test_a_run_in_parts_whose_budget_the_checks_exceed_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text(CONFIG, encoding="utf-8")
    to_frame(simulate(SimulationSpec(n_symbols=20, n_dates=260, seed=3))).write_parquet("market.parquet")
    monkeypatch.setattr("fama_fast.data.quality.panel_checks.bytes_needed", lambda *_: 10**9)
    command = ["mine", "--config", "run.yaml", "--data", "market.parquet", "--memory-budget", "100MB"]
    assert main([*command, "--output", "out.yaml"]) in (0, 1), capsys.readouterr().err
    assert "quality checks not made: they take " in capsys.readouterr().out
    document = yaml.safe_load((tmp_path / "out.yaml").read_text(encoding="utf-8"))
    assert document["data"]["quality"]["checked"] is False
    assert main(["report", "last", "--markdown"]) == 0
    assert "Quality checks were not made: they take " in capsys.readouterr().out
