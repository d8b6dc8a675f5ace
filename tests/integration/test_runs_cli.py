"""`fama-fast runs export` and `runs lineage` on a small ledger made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from fama_fast.cli import main
from fama_fast.ledger.ledger import Ledger
from tests.unit.ledger.test_lineage import family


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    with Ledger.open(tmp_path / "runs" / "ledger.sqlite") as ledger:
        family(ledger)
    return tmp_path


@pytest.mark.parametrize("name", ["c.csv", "c.parquet", "c.json"])
def test_every_candidate_is_exported(here: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "export", "last", "--output", name]) == 0
    assert f"wrote 7 candidates to {name}" in capsys.readouterr().err
    if name.endswith("json"):
        rows = json.loads((here / name).read_text(encoding="utf-8"))
        assert rows[0]["scores"] == {"train": {"rank_ic": 0.03}}
        assert rows[2]["parents"] == ["a", "s2"]
    else:
        frame = pl.read_csv(here / name) if name.endswith("csv") else pl.read_parquet(here / name)
        rows = frame.to_dicts()
        assert rows[0]["train_rank_ic"] == 0.03
        assert json.loads(rows[2]["parents"]) == ["a", "s2"]
        assert rows[4]["train_rank_ic"] is None
    assert [r["fingerprint"] for r in rows] == ["a", "e", "b", "c", "d", "a", "f"]
    assert [r["occurrence"] for r in rows] == [1, 1, 1, 1, 1, 2, 1]
    assert (rows[0]["score"], rows[0]["sign"], rows[1]["gate"]) == (0.03, 1, "training")
    assert {p.name for p in here.iterdir()} == {"runs", name}


def test_what_cannot_be_exported_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "export", "last", "--output", "c.xlsx"]) == 2
    assert "must end in .yaml, .yml, .csv, .parquet, .json" in capsys.readouterr().err
    assert main(["runs", "export", "last", "--output", "nowhere/c.csv"]) == 2
    assert "the folder nowhere does not exist" in capsys.readouterr().err
    assert {p.name for p in here.iterdir()} == {"runs"}


def test_lineage_of_a_factor_a_prompt_and_the_chains(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "lineage", "last", "CANON(c)"]) == 0
    path, ancestors = capsys.readouterr().out.split("ancestors:\n")
    assert [line.split("\t")[-1] for line in path.splitlines()[2:]] == ["SEED(1)", "CANON(a)", "CANON(b)", "CANON(c)"]
    assert len(ancestors.splitlines()) == 6
    assert main(["runs", "lineage", "last", "best", "--json"]) == 0
    assert [k["fingerprint"] for k in json.loads(capsys.readouterr().out)["path"]] == ["s1", "a", "b", "c"]
    assert main(["runs", "lineage", "last", "--prompt", "p1"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2 + 7
    assert main(["runs", "lineage", "last", "--json"]) == 0
    assert [c["chain"] for c in json.loads(capsys.readouterr().out)] == [0, 1, 2]
    assert main(["runs", "lineage", "last", "zzz"]) == 2
    assert "has no factor 'zzz'" in capsys.readouterr().err
    assert main(["runs", "lineage", "last", "best", "--round", "1"]) == 2
    assert "not several" in capsys.readouterr().err


def test_a_ledger_of_a_later_layout_is_refused_by_its_version(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(here / "runs" / "ledger.sqlite")) as c:
        c.execute("update meta set value = '7' where key = 'version'")
        c.commit()
    assert main(["runs", "list"]) == 2
    err = capsys.readouterr().err
    assert "its layout is version 7, this program knows up to version 4" in err
    assert err.count("error:") == 1
