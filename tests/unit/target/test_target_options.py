"""The options of `score`, `mine` and `report` that say what is predicted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fama_fast as ff
from fama_fast.cli import main
from fama_fast.cli.targets import target_given
from fama_fast.data import to_frame
from fama_fast.target import Target
from tests.support.target_panel import target_panel

OPEN = "LEAD(OPEN, 2) / LEAD(OPEN, 1) - 1"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("options") / "market.parquet"
    to_frame(target_panel()).write_parquet(file)
    return str(file)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    out = capsys.readouterr()
    return code, out.out, out.err


def test_score(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--target", OPEN, "--neutralize", "SECTOR", "--neutralize", "LOG(VOLUME)", "--tradable", "HIGH > LOW"]
    code, out, _ = run(capsys, "score", "-DELTA(CLOSE, 3)", "--data", path, *options, "--winsorize", "0.05", "--json")
    target = Target(returns=OPEN, neutralize=["SECTOR", "LOG(VOLUME)"], tradable="HIGH > LOW", winsorize=0.05)
    table = ff.score("-DELTA(CLOSE, 3)", ff.load_market_data(path), target=target)
    assert code == 0
    assert json.loads(out)[0]["rank_ic"] == pytest.approx(table["rank_ic"][0], abs=1e-15)
    code, plain, _ = run(capsys, "score", "-DELTA(CLOSE, 3)", "--data", path, "--json")
    assert json.loads(plain) != json.loads(out)


def test_score_in_parts_reads_what_the_target_needs(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["score", "RANK(CLOSE)", "--data", path, "--neutralize", "INDUSTRY", "--tradable", "VOLUME > 0", "--json"]
    whole = run(capsys, *options)
    parts = run(capsys, *options, "--memory-budget", "60MB")
    assert parts[:2] == whole[:2]
    assert whole[0] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target", "LEAD(OPEN, 2"], "is not closed"),
        (["--target", "LEAD(OPN, 2)"], "did you mean OPEN"),
        (["--target", "CLOSE / OPEN"], "known today"),
        (["--target", OPEN, "--horizon", "5"], "contradicts the target"),
        (["--neutralize", "INDUSTY"], "did you mean INDUSTRY"),
        (["--winsorize", "0.6"], "below 0.5"),
        (["--tradable", "a-share"], "'S000' has none"),
    ],
)
def test_what_is_wrong_is_one_message(
    path: str, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    code, out, err = run(capsys, "score", "CLOSE", "--data", path, *options)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_mine_and_report(path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    search = ["--rounds", "1", "--seed", "1", "--quiet", "--output", "run.json"]
    code, out, err = run(capsys, "mine", "--data", path, *search, "--target", OPEN, "--tradable", "HIGH > LOW")
    assert code in (0, 1), err
    assert "labels left out: not tradable at entry" in out
    document = json.loads((tmp_path / "run.json").read_text())
    assert document["settings"]["target"]["returns"] == OPEN
    assert any("not tradable at entry" in text for text in document["data"]["warnings"])
    (tmp_path / "some.txt").write_text("-DELTA(CLOSE, 3)\n")
    figures = [
        run(capsys, "report", "some.txt", "--data", path, "--markdown", *options)[1]
        for options in ([], ["--target", OPEN], ["--tradable", "HIGH > LOW"])
    ]
    assert len(set(figures)) == 3
    code, _, err = run(capsys, "mine", "--data", path, "--target", OPEN, "--horizon", "5")
    assert code == 2
    assert "contradicts the target" in err


def test_options_are_laid_over_a_run_s_target() -> None:
    base = Target(horizons=[5], neutralize=["SECTOR"])
    nothing = {"returns": None, "neutralize": None, "tradable": None, "winsorize": None}
    assert target_given(base, **nothing) is base
    assert target_given(None, **nothing) is None
    assert target_given(base, **{**nothing, "winsorize": 0.1}) == Target(
        horizons=[5], neutralize=["SECTOR"], winsorize=0.1
    )
    assert target_given(base, **{**nothing, "returns": OPEN}) == Target(returns=OPEN, neutralize=["SECTOR"])


def test_score_counts_what_could_not_be_entered(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    panel = ff.load_market_data(path)
    plain, able = Target().values(panel), Target(tradable="HIGH > LOW").values(panel)
    known = np.isfinite(plain) if panel.universe is None else np.isfinite(plain) & panel.universe
    left = known & ~np.isfinite(able)
    assert left.any()
    for first, options in ((0, []), (0, ["--memory-budget", "100MB"]), (30, ["--start", str(panel.dates[30])[:10]])):
        code, _, err = run(capsys, "score", "CLOSE", "--data", path, "--tradable", "HIGH > LOW", *options)
        assert code == 0, err
        assert f"warning: {left[first:].sum():,} of {known[first:].sum():,} labels left out: not tradable" in err
    assert "left out" not in run(capsys, "score", "CLOSE", "--data", path)[2]
