"""The documentation is what the code says: generated pages are up to date, and every example of an operator runs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import fama_fast as ff
from fama_fast import ops
from fama_fast.cli import docs, main
from fama_fast.ir import postorder
from tests.integration.test_polars_namespace import SPECS, market
from tests.support.paths import ROOT


def test_the_pages_are_what_the_registry_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert docs.main(["--check", "--root", str(ROOT)]) == 0, f"run make docs: {capsys.readouterr().err}"


def test_pages_are_written_and_differences_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "docs").mkdir()
    language = tmp_path / "docs" / "language.md"
    language.write_text(f"before\n{docs.BEGIN}\nold\n{docs.END}\nafter\n", encoding="utf-8")
    where = ["--root", str(tmp_path)]
    shutil.copy(ROOT / ".importlinter", tmp_path)
    assert docs.main(["--check", *where]) == 1
    assert "run make docs" in capsys.readouterr().err
    assert docs.main(where) == 0
    assert docs.main(["--check", *where]) == 0
    readme = language.read_text(encoding="utf-8")
    assert readme.startswith("before\n")
    assert readme.endswith("\nafter\n")
    page = tmp_path / "docs" / "operators.md"
    page.write_text(page.read_text(encoding="utf-8").replace("The mean over", "The median over"), encoding="utf-8")
    assert docs.main(["--check", *where]) == 1
    language.write_text("no markers", encoding="utf-8")
    assert docs.main(where) == 1
    assert "needs the lines" in capsys.readouterr().err


def test_the_reference_has_all_of_every_entry() -> None:
    page = docs.operator_reference()
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", page, flags=re.MULTILINE | re.DOTALL))
    assert set(sections) == set(SPECS)
    for name, spec in SPECS.items():
        flat = " ".join(sections[name].split())
        for text in (
            spec.signature,
            spec.doc,
            spec.example,
            spec.source,
            spec.missing,
            spec.no_min_periods,
            spec.notes,
            *spec.aliases,
        ):
            assert " ".join(text.split()) in flat, (name, text)
    table = docs.families_table()
    assert re.findall(r"`(\w+)`", table) == [s.name for f in docs._by_family().values() for s in f]


def test_the_command_prints_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ops", "--markdown"]) == 0
    assert capsys.readouterr().out == docs.operator_reference()
    assert main(["ops", "ts_mean", "--markdown"]) == 0
    assert capsys.readouterr().out == docs.operator_entry(ops.get("TS_MEAN"))
    assert main(["ops", "--markdown", "--json"]) == 2


def test_lookbacks_in_words_are_the_rules() -> None:
    from fama_fast.proposals.operator_text import describe

    words = {name: describe(spec)["lookback"] for name, spec in SPECS.items()}
    assert words["DELAY"] == "d"
    assert words["TS_MEAN"] == "d - 1"
    assert words["RANK"] == "0"
    for name, text in words.items():
        spec = SPECS[name]
        match = re.fullmatch(r"(?:(\w+)(?: ([+-]) (\d+))?)", text)
        if spec.lookback is None or match is None or match[1].isdigit():
            continue
        values = {p.name: 30 if p.name == match[1] else p.default if not p.required else 3 for p in spec.statics}
        rest = int(f"{match[2] or '+'}{match[3] or 0}")
        assert spec.lookback(values) == 30 + rest, name


@pytest.mark.parametrize("name", SPECS)
def test_every_example_runs(name: str) -> None:
    alpha = ff.compile(SPECS[name].example, groups=market().groups)
    assert any(n.op == name for n in postorder(ff.lang.parse(SPECS[name].example, groups=market().groups)))
    values = alpha.evaluate(market())
    assert values.shape == market().shape
    assert np.isfinite(values).any()
