"""The README's examples run, in order, as a reader would paste them; its commands exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import fama_fast as ff
from fama_fast import ops
from fama_fast.data import SimulationSpec, simulate, to_frame
from tests.support.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    frame = to_frame(simulate(SimulationSpec(n_symbols=12, n_dates=80, seed=1)))
    frame.write_parquet(tmp_path / "prices.parquet")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_python_examples_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    try:
        for block in blocks("python"):
            exec(compile(block, "README.md", "exec"), names)
    finally:
        ops.unregister("TS_RANGE")
    assert capsys.readouterr().out.startswith("-RANK(DELTA(CLOSE, 5)) 5 ('CLOSE',)")
    result = names["result"]
    dense = names["values"]
    assert result.height == dense.size  # type: ignore[attr-defined]


def test_commands_exist_and_take_these_options(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from fama_fast.cli import main

    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("fama-fast")]
    assert len(lines) >= 7
    for line in lines:
        command = shlex.split(line, comments=True)[1:]
        if command[0] in ("mine", "report", "runs", "signal"):
            continue  # run at length by their own tests
        code = main(command)
        expected = 2 if "CLOZE" in line else 0
        assert code == expected, line
    assert "did you mean CLOSE?" in capsys.readouterr().err


def test_speed_table_names_operators() -> None:
    for name in re.findall(r"\b(?:TS|GROUP)_[A-Z]+\b", README):
        if name != "TS_RANGE":
            assert ops.find(name) is not None, name
    assert ff.compile("RANK(CLOSE)").canonical == "RANK(CLOSE)"
