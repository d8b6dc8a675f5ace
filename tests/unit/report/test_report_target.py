"""A report says what its figures are measured against, and options are laid over a run's target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fama_fast.cli import main
from fama_fast.data import to_frame
from fama_fast.report import Content, write
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


def test_a_page_names_the_target(tmp_path: Path) -> None:
    data = {"source": "here", "dates": 9, "symbols": 3, "first": "2020-01-01", "last": "2020-01-09", "hash": "ab"}
    for predicted in ("column <MINE>, which looks 5 rows ahead", ""):
        content = Content("A run", "here", data=data, predicted=predicted, not_supplied={"verdict": "none"})
        write(content, tmp_path / "run.html")
        page = (tmp_path / "run.html").read_text()
        assert ("What is predicted: <bdi>column &lt;MINE&gt;, which looks 5 rows ahead</bdi>." in page) == bool(
            predicted
        )


def test_options_speak_the_dialect_of_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    to_frame(target_panel()).write_parquet("market.parquet")
    Path("run.yaml").write_text("target: {returns: 'Ref($open, -2) / Ref($open, -1) - 1', dialect: qlib}\n")
    mined = ["mine", "--config", "run.yaml", "--data", "market.parquet", "--rounds", "1", "--quiet"]
    assert main([*mined, "--output", "run.json"]) in (0, 1)
    capsys.readouterr()
    assert main(["report", "run.json", "--markdown", "--tradable", "$volume > 0"]) == 0
    assert "Predicted: Ref($open, -2) / Ref($open, -1) - 1; only of bars that can be entered ($volume" in (
        capsys.readouterr().out
    )
    assert main(["report", "run.json", "--markdown", "--tradable", "VOLUME > 0"]) == 2
    assert "did you mean $VOLUME" in capsys.readouterr().err
