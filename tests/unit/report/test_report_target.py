"""A report says what its figures are measured against, and options are laid over a run's target."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fama_fast.cli import main
from fama_fast.data import to_frame
from fama_fast.target import Target
from fama_fast.target.words import in_words
from tests.support.target_panel import target_panel

OPEN = "LEAD(OPEN, 2) / LEAD(OPEN, 1) - 1"


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (Target(), "the close's return over 1 row, entered 1 row later"),
        (
            Target(horizons=[1, 5, "2 sessions"], entry_lag=0),
            "the close's return over 1 row, 5 rows and 2 sessions, entered at the same close",
        ),
        (Target(column="MINE", reach=5), "column MINE, which looks 5 rows ahead"),
        (
            Target(returns=OPEN, tradable="A_SHARE", winsorize=0.01, beta=60, neutralize=["SECTOR", "LOG(VOLUME)"]),
            (
                f"{OPEN}; only of bars that can be entered (a-share); held within each date's outer 1%; less beta over "
                "60 days times the date's mean; neutral to SECTOR, LOG(VOLUME)"
            ),
        ),
    ],
)
def test_in_words(target: Target, words: str) -> None:
    assert in_words(target) == words


def test_a_report_names_the_target(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    to_frame(target_panel()).write_parquet("market.parquet")
    mined = ["mine", "--data", "market.parquet", "--rounds", "1", "--seed", "1", "--quiet", "--output", "run.json"]
    assert main([*mined, "--target", OPEN]) in (0, 1)
    capsys.readouterr()

    def said(*options: str) -> str:
        assert main(["report", "run.json", "--markdown", *options]) == 0
        return capsys.readouterr().out

    assert f"Predicted: {OPEN}." in said()
    # Laid over the run's, as `score` does it.
    assert f"Predicted: {OPEN}; held within each date's outer 5%." in said("--winsorize", "0.05")
    assert "Predicted: LEAD(CLOSE, 3) / CLOSE - 1." in said("--target", "LEAD(CLOSE, 3) / CLOSE - 1")
    assert main(["report", "run.json", "--output", "run.html"]) == 0
    assert f"<bdi>{OPEN}</bdi>" in Path("run.html").read_text()
    assert "target" in json.loads(Path("run.json").read_text())["settings"]
