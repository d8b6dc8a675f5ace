"""A library of one's own, `library: PATH`: what is read of a folder, what counts once, what is recorded and refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import fama_fast as ff
from fama_fast.errors import ConfigError, DataError, FamaError, StoreError
from fama_fast.library import FactorCache, FactorSet, make_factor
from fama_fast.library.published import LIBRARIES
from fama_fast.mining.config_file import load_config
from fama_fast.mining.run.starting import save_factors, starting_library

REVERSAL, RANGE, FLOW = "-RANK(DELTA(CLOSE, 5))", "RANK(HIGH / LOW)", "RANK(TS_MEAN(VOLUME, 5) / VOLUME)"


def write_set(path: Path, *texts: str, **more: Any) -> Path:
    FactorSet(make_factor(text, **more) for text in texts).to_yaml(path)
    return path


def canonical(*texts: str) -> list[str]:
    return [ff.compile(text).canonical for text in texts]


def test_a_folder_has_all_its_files_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "b.txt").write_text(f"# ideas\nrange: {RANGE}\n\n{REVERSAL}  # once more\n", encoding="utf-8")
    write_set(folder / "a.yaml", REVERSAL)
    (folder / "C.json").write_text(json.dumps({"factors": [FLOW, RANGE]}), encoding="utf-8")
    (folder / "d.csv").write_text("canonical,gate\nRANK(OPEN / CLOSE),\nRANK(LOW / CLOSE),training\n", encoding="utf-8")
    (folder / "README.md").write_text("RANK(", encoding="utf-8")
    (folder / ".hidden.yaml").write_text("factors: [", encoding="utf-8")
    (folder / "below").mkdir()
    write_set(folder / "below" / "e.yaml", "RANK(VOLUME)")
    found = starting_library(None, str(folder))
    assert [f.canonical for f in found.factors] == canonical(FLOW, RANGE, REVERSAL, "RANK(OPEN / CLOSE)")
    assert found.source == f"4 files of the folder {folder}"
    assert [(Path(f.path).name, f.factors) for f in found.files] == [
        ("C.json", 2),
        ("a.yaml", 1),
        ("b.txt", 0),
        ("d.csv", 1),
    ]
    left, twice = found.notes
    assert left == f"{folder / 'd.csv'}: the 1 candidates that were admitted; 1 were not"
    again = ", ".join(f"{text} of b.txt" for text in canonical(RANGE, REVERSAL))
    assert twice == f"library: 2 factors that came before count once ({again})"
    for file in found.record()["files"]:
        content = Path(file["path"]).read_bytes()
        assert file["hash"] == hashlib.blake2b(content, digest_size=16).hexdigest()


def test_the_folder_of_a_factor_cache_and_of_computed_values_can_be_one(tmp_path: Path) -> None:
    FactorCache(tmp_path / "cache").save(FactorSet([make_factor(RANGE)]))
    assert [f.canonical for f in starting_library(None, str(tmp_path / "cache")).factors] == canonical(RANGE)
    panel = ff.load_market_data(None)
    ff.evaluate([FLOW], panel, output=tmp_path / "values.csv")
    found = starting_library(None, f"{tmp_path}/")
    assert [f.canonical for f in found.factors] == canonical(FLOW)
    assert [Path(f.path).name for f in found.files] == ["values.csv"]


def test_a_factor_of_another_language_keeps_it(tmp_path: Path) -> None:
    file = write_set(tmp_path / "q.yaml", "Mean($close, 5) / $close", dialect="qlib", hypothesis="reversal")
    (factor,) = starting_library(None, str(file)).factors
    assert factor.canonical == ff.compile("TS_MEAN(CLOSE, 5, min_periods=1) / CLOSE").canonical
    assert (factor.provenance["dialect"], factor.hypothesis) == ("qlib", "reversal")


def test_a_name_wins_over_a_file_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("alpha101", "ideas"):
        (tmp_path / name).mkdir()
        write_set(tmp_path / name / "a.yaml", RANGE)
    write_set(tmp_path / "alpha101.yaml", FLOW)

    def read(library: str) -> str:
        (tmp_path / "run.yaml").write_text(yaml.safe_dump({"library": library}), encoding="utf-8")
        chosen = load_config("run.yaml").library
        assert load_config(None, {"library": library}).library == chosen
        return chosen

    assert read("alpha101") == "alpha101"
    assert read("./alpha101") == read("alpha101/") == str(tmp_path / "alpha101")
    assert read("alpha101.yaml") == str(tmp_path / "alpha101.yaml")
    assert read("ideas") == str(tmp_path / "ideas")
    for name in LIBRARIES:
        assert read(name) == name
    with pytest.raises(ConfigError, match=r"library must be one of seeds, .*, not 'idea' \(a file or folder"):
        read("idea")
    with pytest.raises(ConfigError, match="did you mean gtja191"):
        read("gtja192")


def test_a_path_in_a_configuration_is_looked_for_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "run.yaml").write_text("library: ideas.yaml", encoding="utf-8")
    monkeypatch.chdir(tmp_path / "here")
    write_set(tmp_path / "here" / "ideas.yaml", RANGE)
    assert load_config(tmp_path / "conf" / "run.yaml").library == str(tmp_path / "here" / "ideas.yaml")
    write_set(tmp_path / "conf" / "ideas.yaml", FLOW)
    assert load_config(tmp_path / "conf" / "run.yaml").library == str(tmp_path / "conf" / "ideas.yaml")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.yaml", "factors: ['RANK(OPEN)', 'RANK(OPEN +']", "a.yaml, entry 2 (RANK(OPEN +): the expression is"),
        ("a.yaml", "factors: ['RANK(CLOSE)']\nfactor: 1", "a.yaml: unknown key 'factor' (did you mean factors?)"),
        ("a.yaml", "", "a.yaml: the file is empty"),
        ("a.txt", "RANK(CLOSE)\n\nsecond: RANK(\n", "a.txt, line 3 (RANK(): the expression is not valid"),
        ("a.csv", "canonical\nRANK(CLOSE)\nRANK(\n", "a.csv, row 2 (RANK(): the expression is not valid"),
        ("a.csv", "date,symbol,close\n2020-01-01,A,1\n", "a.csv holds no factors: a table of them has a column"),
        ("a.json", '{"factors": [', "a.json, line 1, column 14: not JSON"),
        ("a.txt", "# nothing yet\n", "a.txt holds no expression"),
        ("a.yaml", "factors: []", "there is no factor in"),
        ("a.md", "RANK(CLOSE)", "has no file of factors (.yaml, .yml, .json, .jsonl, .csv, .parquet, .pq, .txt)"),
    ],
)  # fmt: skip
def test_what_is_wrong_names_file_and_row(tmp_path: Path, name: str, content: str, words: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(FamaError) as caught:
        starting_library(None, str(tmp_path))
    assert words in str(caught.value)


def test_a_path_that_is_not_there_is_told_the_nearest(tmp_path: Path) -> None:
    write_set(tmp_path / "ideas.yaml", RANGE)
    with pytest.raises(DataError) as caught:
        starting_library(None, str(tmp_path / "idaes.yaml"))
    assert str(caught.value) == (
        f"library: there is no file or folder {tmp_path / 'idaes.yaml'}; did you mean {tmp_path / 'ideas.yaml'}?"
    )
    with pytest.raises(DataError, match=r"\(nor the folder"):
        starting_library(None, str(tmp_path / "gone" / "ideas.yaml"))


def test_a_cache_that_was_empty_gets_the_library_only_as_the_run_began_with_it(tmp_path: Path) -> None:
    file, cache = write_set(tmp_path / "ideas.yaml", RANGE), str(tmp_path / "cache.yaml")
    record = starting_library(cache, str(file)).record()
    write_set(file, RANGE, FLOW)
    with pytest.raises(StoreError, match=r"ideas\.yaml was changed since the run started from it"):
        save_factors(cache, [make_factor(REVERSAL)], str(file), record)
    assert not Path(cache).exists()
    write_set(file, RANGE)
    save_factors(cache, [make_factor(REVERSAL)], str(file), record)
    assert [f.canonical for f in FactorCache(cache).load()] == canonical(RANGE, REVERSAL)
