"""A factor's text points upwards, everywhere: mined, exported, computed and scored it is one thing with one RankIC.

Also what earlier versions wrote, with a sign beside the text: ledgers, results and factor sets.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

import fama_fast as ff
from fama_fast.cli import main
from fama_fast.engine import compile_recorded
from fama_fast.errors import StoreError
from fama_fast.evaluation.ranks import centred_ranks
from fama_fast.ledger.ledger import Ledger
from fama_fast.library import FactorSet, make_factor, seed_factors
from fama_fast.mining.run.mine import mine
from tests.support.older_ledger import age, known_then, old_document, old_set


@pytest.fixture(scope="module")
def document(mined: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((mined / "out.yaml").read_text(encoding="utf-8"))
    assert sum("proposed" in f for f in found["factors"]) >= 3, "too few were turned round to show anything"
    assert sum("proposed" not in f for f in found["factors"]) >= 3
    return found


@pytest.fixture
def here(mined: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder to work in."""
    shutil.copytree(mined, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def out_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(list(arguments)) in (0, 1), capsys.readouterr().err
    return capsys.readouterr().out


def test_a_mined_factor_is_its_canonical_text_with_its_own_identity(document: dict[str, Any]) -> None:
    for entry in document["factors"]:
        alpha = compile_recorded(entry["expression"])
        assert entry["expression"] == entry["canonical"] == alpha.canonical
        assert entry["fingerprint"] == alpha.fingerprint
        assert "sign" not in entry
        assert entry["scores"]["train"]["rank_ic"] > 0.0
        if "proposed" in entry:
            assert compile_recorded(entry["proposed"]).oriented(-1).fingerprint == alpha.fingerprint


def test_no_text_has_piled_up_signs_or_digits_that_nobody_meant(
    here: Path, document: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    printed = [(here / "out.yaml").read_text(encoding="utf-8")]
    printed += [out_of(capsys, "runs", *rest) for rest in (("show", "last"), ("export", "last"), ("lineage", "last"))]
    printed.append(out_of(capsys, "report", "last", "--markdown"))
    for text in printed:
        assert not re.search(r"-1 \* \(|--\w|-\(-", text)
    for entry in document["factors"]:
        for number in re.findall(r"\d+\.\d+", entry["canonical"]):
            assert float(f"{float(number):.6g}") == float(number), entry["canonical"]


def test_every_exported_factor_scores_in_training_what_the_run_says(
    here: Path, document: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["runs", "export", "last", "--output", "set.yaml"]) == 0
    said = {f["canonical"]: f["scores"]["train"] for f in document["factors"]}
    assert {f.canonical: f.scores["train"] for f in FactorSet.from_yaml(here / "set.yaml")} == said
    splits = document["splits"]["train"]
    for what in ("out.yaml", "last"):  # with the run's data, label, splits and coverage
        rows = json.loads(out_of(capsys, "score", what, "--split", "train", "--json"))
        assert {r["canonical"]: r["rank_ic"] for r in rows} == {c: s["rank_ic"] for c, s in said.items()}
        assert all(r["rank_ic"] > 0.0 for r in rows)
        assert {r["n_days"] for r in rows} <= set(range(splits["days"] + 1))
    assert main(["compute", "last", "--output", "values.parquet"]) == 0
    values = pl.read_parquet("values.parquet")
    assert values.columns == ["date", "symbol", *said]
    panel = ff.load_market_data("panel.parquet")
    labels = ff.forward_returns(panel, horizon=2)
    days = panel.dates.astype("datetime64[D]").astype(str)
    rows_of_train = slice(*(int(np.flatnonzero(days == splits[k])[0]) + (k == "last") for k in ("first", "last")))
    for text, scores in said.items():
        daily = ff.rank_ic(dense(values, text, panel), labels)[rows_of_train]
        assert float(daily[np.isfinite(daily)].mean()) == scores["rank_ic"]


def dense(values: pl.DataFrame, column: str, panel: ff.Panel) -> np.ndarray:
    """(T, N) of a column of a long frame."""
    out = np.full(panel.shape, np.nan)
    row = {d: i for i, d in enumerate(panel.dates.astype("datetime64[D]").astype(str))}
    place = {str(s): i for i, s in enumerate(panel.symbols)}
    for date, symbol, value in values.select("date", "symbol", column).iter_rows():
        out[row[str(date)[:10]], place[symbol]] = np.nan if value is None else value
    return out


def test_the_mean_of_ranks_of_what_was_exported_is_the_pool_of_the_report(
    here: Path, document: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["runs", "export", "last", "--output", "set.yaml"]) == 0
    panel = ff.load_market_data("panel.parquet")
    values = ff.evaluate([f.canonical for f in FactorSet.from_yaml("set.yaml")], panel, min_coverage=0.9)
    # In single precision, as the run has them: many sums of ranks of 60 symbols tie but for their last bits.
    ranks = np.array([centred_ranks(v, None).astype(np.float32) for v in values], dtype=np.float64)
    there = np.isfinite(ranks).sum(axis=0)
    pool = np.where(there > 0, np.nansum(ranks, axis=0) / np.maximum(there, 1), np.nan)
    daily = ff.rank_ic(pool, ff.forward_returns(panel, horizon=2))
    days = panel.dates.astype("datetime64[D]").astype(str)
    valid = document["splits"]["valid"]
    inside = daily[(days >= valid["first"]) & (days <= valid["last"])]
    said = document["verdict"]["pool"]["valid"]["other_models"]["equal"]["rank_ic"]
    assert float(np.nanmean(inside)) == pytest.approx(said, abs=1e-12)
    assert said > 0.0


def test_the_ledger_holds_texts_figures_and_parents_in_one_direction(mined: Path, document: dict[str, Any]) -> None:
    with Ledger.open(mined / "runs" / "ledger.sqlite", create=False) as ledger:
        run = ledger.get_run("last")
        rows = ledger.candidates(run.id)
        start = ledger.starting_factors(run.id)
        steps = ledger.chain_steps(run.id)
        results = ledger.results(run.id)
    assert {r["sign"] for r in rows} <= {1, None}
    measured = [r for r in rows if "train" in r["scores"]]
    assert all(r["scores"]["train"]["rank_ic"] is None or r["scores"]["train"]["rank_ic"] >= 0.0 for r in measured)
    for row in rows:
        if row["canonical"]:
            assert compile_recorded(row["canonical"]).fingerprint == row["fingerprint"]
    turned = [r for r in rows if "as_proposed" in (r["extra"] or {})]
    assert len(turned) >= 10
    for row in turned:
        assert compile_recorded(row["text"]).oriented(-1).fingerprint == row["fingerprint"]
        assert row["extra"]["as_proposed"]["canonical"] == compile_recorded(row["text"]).canonical
    proposed = {r["fingerprint"]: r for r in measured}
    for entry in document["factors"]:
        row = proposed[entry["fingerprint"]]
        assert row["canonical"] == entry["canonical"]
        assert row["score"] == entry["scores"]["train"]["rank_ic"]
        assert results[entry["fingerprint"]]["train"]["rank_ic"] == row["score"]
    # Seeds that training turned are members under their own texts, and children know their parents.
    seeds = {f.fingerprint for f in seed_factors()}
    assert any(f.fingerprint not in seeds for f in start)
    known = {f.fingerprint for f in start} | {r["fingerprint"] for r in rows}
    assert {p for r in rows for p in r["parents"]} <= known
    assert {s.fingerprint for _, s in steps} <= known


def test_a_candidate_is_shown_with_the_formula_that_its_figure_is_of(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = out_of(capsys, "runs", "show", "last", "--candidates").splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("round\t"))
    names = lines[at].split("\t")
    shown = [dict(zip(names, line.split("\t"), strict=True)) for line in lines[at + 1 : at + 101]]
    with Ledger.open("runs/ledger.sqlite", create=False) as ledger:
        rows = ledger.candidates(ledger.get_run("last").id)
    assert [s["expression"] for s in shown] == [r["canonical"] or r["text"] for r in rows]
    turned = [s for s, r in zip(shown, rows, strict=True) if "as_proposed" in r["extra"]]
    assert turned
    assert all(float(s["train"]) >= 0.0 for s in turned if s["train"] != "-")


def test_the_negative_of_a_member_is_no_new_factor(tmp_path: Path) -> None:
    texts = ("RANK(TS_MEAN(VOLUME, 5))", "-RANK(TS_MEAN(VOLUME, 5))", "RANK(CLOSE / OPEN)", "-RANK(CLOSE / OPEN)")
    flipped = ("TS_MEAN(CLOSE - OPEN, 3) / CLOSE", "TS_MEAN(OPEN - CLOSE, 3) / CLOSE")
    (tmp_path / "texts.txt").write_text("\n".join((*texts, *flipped)), encoding="utf-8")
    result = mine(
        {
            "proposer": "replay",
            "paths": {"replay": str(tmp_path / "texts.txt"), "output_dir": str(tmp_path)},
            "run": {"rounds": 1, "candidates": 6},
            "gates": {"min_t": 0.0, "min_rank_ic": 0.0, "max_correlation": 1.0},
            "control": {"random": False},
            "data": {"simulator": {"symbols": 40, "dates": 200, "seed": 1}},
        }
    )
    with Ledger.open(tmp_path / "ledger.sqlite", create=False) as ledger:
        rows = ledger.candidates("last" and result.run_id)
    by_text = {r["text"]: r for r in rows}
    for text, negative in ((texts[0], texts[1]), (texts[2], texts[3])):
        assert by_text[negative]["gate"] == "duplicate", by_text[text]
    assert all(f.score >= 0.0 for f in result.factors)
    assert len({f.fingerprint for f in result.factors}) == len(result.factors)


# What earlier versions wrote


def test_a_factor_set_with_signs_is_read_as_the_factors_themselves(here: Path) -> None:
    assert main(["runs", "export", "last", "--output", "set.yaml"]) == 0
    data = yaml.safe_load((here / "set.yaml").read_text(encoding="utf-8"))
    now, before = FactorSet.from_dict(data), FactorSet.from_dict(old_set(data))
    assert before.fingerprints == now.fingerprints
    for a, b in zip(before, now, strict=True):
        assert (a.canonical, a.proposed) == (b.canonical, b.proposed)
        for split in b.scores:
            assert known_then(a.scores[split]) == pytest.approx(known_then(b.scores[split]), rel=1e-12)
    assert "sign" not in yaml.safe_dump(before.to_dict())
    assert FactorSet.from_dict(before.to_dict()) == before


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"expression": "RANK(CLOSE)", "sign": 2}, "sign must be 1 or -1"),
        ({"expression": "RANK(CLOSE)", "sign": "-1"}, "sign must be 1 or -1"),
        ({"expression": "-RANK(CLOSE)", "proposed": "RANK(OPEN)"}, "of which the expression is not the negative"),
        ({"expression": "RANK(CLOSE)", "proposed": "RANK(CLOSE)"}, "of which the expression is not the negative"),
        ({"expression": "RANK(CLOSE)", "proposed": "RANK("}, "proposed is not valid"),
        ({"expression": "RANK(CLOSE)", "proposed": "-RANK(CLOSE)", "sign": -1}, "one or the other"),
        ({"expression": "RANK(CLOSE)", "proposed": 5}, "proposed must be text"),
    ],
)
def test_a_direction_that_makes_no_sense_is_refused(entry: dict[str, Any], words: str) -> None:
    with pytest.raises(StoreError, match=words):
        FactorSet.from_dict({"factors": [entry]})


def test_another_dialect_with_a_sign_becomes_the_package_s_own() -> None:
    (found,) = FactorSet.from_dict(
        {"factors": [{"expression": "rank(delta(close, 2.7))", "sign": -1, "provenance": {"dialect": "alpha101"}}]}
    )
    assert found.expression == found.canonical == "-RANK(DELTA(CLOSE, 2))"
    assert "dialect" not in found.provenance
    assert make_factor("rank(delta(close, 2.7))", dialect="alpha101", sign=-1) == found


def test_an_old_result_is_reported_as_a_new_one(
    here: Path, document: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    now = out_of(capsys, "report", "out.yaml", "--markdown")
    (here / "old.yaml").write_text(yaml.safe_dump(old_document(document), sort_keys=False), encoding="utf-8")
    assert out_of(capsys, "report", "old.yaml", "--markdown") == now
    rows = [json.loads(out_of(capsys, "score", name, "--json")) for name in ("out.yaml", "old.yaml")]
    assert rows[0] == rows[1]
    assert [r["expression"] for r in rows[0]] == [f["expression"] for f in document["factors"]]


@pytest.mark.parametrize(
    "command",
    [
        ("runs", "show", "last", "--candidates"),
        ("runs", "report", "last"),
        ("runs", "export", "last"),
        ("runs", "lineage", "last"),
        ("report", "last", "--markdown"),
        ("mine", "--resume", "last"),
    ],
    ids=" ".join,
)
def test_an_old_ledger_is_shown_as_a_new_one(
    here: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    now = out_of(capsys, *command)
    age(here / "runs" / "ledger.sqlite")
    before = out_of(capsys, *command)
    if command[1] != "export":
        assert before == now
        return
    a, b = (yaml.safe_load(text) for text in (before, now))
    assert [f["expression"] for f in a["factors"]] == [f["expression"] for f in b["factors"]]
    assert [f["fingerprint"] for f in a["factors"]] == [f["fingerprint"] for f in b["factors"]]
    for x, y in zip(a["factors"], b["factors"], strict=True):
        for split in y["scores"]:
            assert known_then(x["scores"][split]) == pytest.approx(known_then(y["scores"][split]), rel=1e-12)


def test_a_factor_of_an_old_ledger_is_found_by_today_s_names(
    here: Path, document: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    entry = next(f for f in document["factors"] if "proposed" in f)
    names = (entry["expression"], entry["fingerprint"], entry["fingerprint"][:12], entry["proposed"])
    now = [k["expression"] for k in json.loads(out_of(capsys, "runs", "lineage", "last", names[0], "--json"))["path"]]
    assert now[-1] == entry["expression"]
    age(here / "runs" / "ledger.sqlite")
    for name in names:
        found = json.loads(out_of(capsys, "runs", "lineage", "last", name, "--json"))["path"]
        assert [k["expression"] for k in found] == now


def test_a_run_that_an_earlier_version_began_is_not_gone_on_with(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(here / "runs")
    stopped = ["--config", "run.yaml", "--data", "panel.parquet", "--quiet"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fama_fast.mining.run.ending.Ending.conclude", interrupt)
        assert main(["mine", *stopped]) == 130
    age(here / "runs" / "ledger.sqlite")
    capsys.readouterr()
    assert main(["mine", "--resume", "last", *stopped]) == 2
    said = capsys.readouterr().err
    assert "begun by a version that kept a sign beside each factor" in said
    assert "Traceback" not in said
    assert main(["runs", "export", "last"]) == 0


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt
