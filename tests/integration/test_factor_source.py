"""Whatever the package writes is read by every command that takes factors, and columns say what they hold.

A damaged file is one clear error.
"""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow.parquet as pq
import pytest
import yaml

import fama_fast as ff
from fama_fast.cli import main
from fama_fast.data import SimulationSpec, simulate
from fama_fast.errors import ConfigError, DataError, FamaError, StoreError
from fama_fast.library import FactorSet
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.run.factor_source import names_a_run, read_factors
from fama_fast.mining.run.mine import mine
from fama_fast.mining.verdict.document import read_document
from fama_fast.mining.verdict.results import markdown, plain_lines
from fama_fast.panel import Panel
from fama_fast.report import from_document
from fama_fast.report.summary import markdown_summary
from tests.support.paths import GOLDEN

if TYPE_CHECKING:
    from collections.abc import Iterator

OLDER = GOLDEN / "older"


@pytest.fixture
def here(mined: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder of a run to work in."""
    shutil.copytree(mined, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def document(mined: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((mined / "out.yaml").read_text(encoding="utf-8"))
    return found


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[str, str]:
    capsys.readouterr()
    assert main([str(a) for a in arguments]) in (0, 1), capsys.readouterr().err
    found = capsys.readouterr()
    return found.out, found.err


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one message of a command that is refused."""
    capsys.readouterr()
    assert main([str(a) for a in arguments]) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err.startswith("error: ")
    assert "Traceback" not in found.err
    return found.err


# One function reads all of it


def test_every_format_gives_the_same_factors(
    here: Path, document: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = [f["canonical"] for f in document["factors"]]
    data = ("--data", "panel.parquet")
    for name in ("set.yaml", "all.csv", "all.parquet", "all.json"):
        run(capsys, "runs", "export", "last", "--output", name)
    lines, _ = run(capsys, "mine", "--resume", "last", "--json", "--output", "out.json")
    (here / "lines.jsonl").write_text(lines, encoding="utf-8")
    for name in ("scores.csv", "scores.parquet", "scores.json"):
        run(capsys, "score", "set.yaml", *data, "--horizon", 1, "--horizon", 5, "--output", name)
    for name in ("values.csv", "values.parquet"):
        run(capsys, "compute", "set.yaml", *data, "--output", name)
    (here / "texts.txt").write_text("\n".join(wanted), encoding="utf-8")
    run_id = document["record"]["run"]
    same = ["out.yaml", "out.json", "lines.jsonl", "set.yaml", "last", run_id, run_id[:17], "texts.txt"]
    same += ["scores.csv", "scores.parquet", "scores.json", "values.csv", "values.parquet"]
    expected = None
    for name in same:
        assert [f.canonical for f in read_factors(name).factors] == wanted, name
    for name in ("all.csv", "all.parquet", "all.json"):
        ended_with = read_factors(name)
        assert [f.canonical for f in ended_with.factors] == wanted
        assert f"the {len(wanted)} candidates that the run ended with; " in ended_with.note
    for name in ("out.json", "lines.jsonl", "set.yaml", "last", "values.parquet"):
        rows = json.loads(run(capsys, "score", name, *data, "--horizon", 2, "--json")[0])
        expected = expected or rows
        # A set of factors does not know with which coverage of windows they were mined.
        assert [r["expression"] for r in rows] == [r["expression"] for r in expected]
    for name in ("out.json", "set.yaml", "all.parquet", "texts.txt", "scores.csv"):
        text, _ = run(capsys, "report", name, "--markdown")
        assert all(f"`{t}`".replace("|", "\\|") in text for t in wanted)


def test_factors_of_a_run_are_scored_as_it_found_them(
    here: Path, document: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = run(capsys, "score", "last", "--split", "valid", "--json")
    assert f"no --data given: the data of run {document['record']['run']}, " in err
    rows = json.loads(out)
    assert {r["horizon"] for r in rows} == {2}
    for row, entry in zip(rows, document["factors"], strict=True):
        assert row["rank_ic"] == entry["scores"]["valid"]["rank_ic"]
        assert row["n_days"] == entry["scores"]["valid"]["n_days"]
    plain = json.loads(run(capsys, "score", "out.yaml", "--horizon", 1, "--entry-lag", 0, "--json")[0])
    assert {r["horizon"] for r in plain} == {1}
    mixed = json.loads(run(capsys, "score", "RANK(CLOSE)", "last", "--json")[0])
    assert mixed[0]["expression"] == "RANK(CLOSE)"
    assert len(mixed) == len(rows) + 1


def test_the_simulated_market_of_a_run_is_simulated_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = {
        "data": {"simulator": {"symbols": 30, "dates": 220, "seed": 9}},
        "run": {"rounds": 1, "candidates": 20, "seed": 1},
        "gates": {"min_t": 0.0, "min_rank_ic": 0.0},
        "control": {"random": False},
    }
    result = mine({**config, "paths": {"output_dir": "runs"}})
    rows = json.loads(run(capsys, "score", "last", "--split", "train", "--json")[0])
    assert [r["rank_ic"] for r in rows] == [f.score for f in result.factors]
    made = simulate(SimulationSpec(n_symbols=30, n_dates=220, seed=9))
    panel = Panel(made.dates, made.symbols, {f: made[f] for f in made.supplied_fields}, source="made in Python")
    mine({**config, "paths": {"output_dir": "runs"}}, panel=panel)
    message = refused(capsys, "score", "last")
    assert "cannot be read again (the run was made on data in memory (made in Python)" in message
    assert message.endswith("name them with --data\n")
    loaded = ff.load_market_data(None, simulation=SimulationSpec(n_symbols=25, n_dates=220, seed=10))
    result = mine({**config, "paths": {"output_dir": "runs"}}, panel=loaded)
    rows = json.loads(run(capsys, "score", "last", "--split", "train", "--json")[0])
    assert [r["rank_ic"] for r in rows] == [f.score for f in result.factors]
    assert "can be said of those that --data names" in refused(capsys, "score", "last", "--universe", "u.csv")


def test_runs_that_differ_are_not_scored_as_one(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, section, key, value in (
        ("other", "splits", "horizon", 3),
        ("elsewhere", "paths", "market_data", "gone.parquet"),
    ):
        data = yaml.safe_load((here / "out.yaml").read_text(encoding="utf-8"))
        data["settings"][section][key], data["record"]["run"] = value, name
        if name == "elsewhere":
            text = yaml.safe_dump(data).replace(data["data"]["hash"], "ab" * 16)
            data = yaml.safe_load(text)
        (here / f"{name}.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    words = "run other differ in splits.horizon (2, 3): say which with --horizon"
    assert words in refused(capsys, "score", "out.yaml", "other.yaml")
    words = "were mined on different data: name them with --data"
    assert words in refused(capsys, "score", "out.yaml", "elsewhere.yaml")


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("last", True),
        ("20261130T065419-ba5e7f", True),
        ("20261130T0654", True),
        ("20261130", True),
        ("LAST", False),
        ("RANK(last)", False),
        ("2026", False),
        ("CLOSE", False),
        ("20261130 + CLOSE", False),
    ],
)
def test_what_names_a_run(text: str, is_one: bool) -> None:
    assert names_a_run(text) is is_one


# Columns say what they hold


def test_columns_are_called_by_name_or_formula_and_say_what_they_hold(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("reversal: -1 * RANK(DELTA(CLOSE, 5))", "ts_mean(close,  3)", "WINSORIZE_QUANTILE(RET, 0.1*0.75)")
    names = ["reversal", "TS_MEAN(CLOSE, 3)", "WINSORIZE_QUANTILE(RET, 0.075)"]
    panel = ff.load_market_data("panel.parquet")
    wanted = ff.evaluate(list(names[1:]), panel)
    for output in ("v.parquet", "v.csv", "folder"):
        run(capsys, "compute", *given, "--data", "panel.parquet", "--output", output)
        if output == "v.csv":
            frame, said = pl.read_csv(output), json.loads(Path("v.csv.json").read_text(encoding="utf-8"))
        else:
            path = output if output == "v.parquet" else next(Path(output).iterdir())
            frame = pl.read_parquet(path)
            said = json.loads(pq.read_schema(path).metadata[b"fama_fast"])
        assert frame.columns == ["date", "symbol", *names]
        assert frame[names[1]].null_count() == int((wanted[0] != wanted[0])[~(panel["CLOSE"] != panel["CLOSE"])].sum())
        assert list(said["columns"]) == names
        assert said["columns"]["reversal"] == {
            "name": "reversal",
            "expression": "-1 * RANK(DELTA(CLOSE, 5))",
            "dialect": "fama",
            "canonical": "-RANK(DELTA(CLOSE, 5))",
            "fingerprint": ff.compile("-RANK(DELTA(CLOSE, 5))").fingerprint,
        }
        assert said["columns"]["TS_MEAN(CLOSE, 3)"]["name"] is None
        assert (said["data"]["source"], said["data"]["symbols"]) == (panel.source, 60)
        assert said["data"]["last"] == str(panel.dates[-1])[:10]
    run(capsys, "compute", given[0], "--data", "panel.parquet", "--format", "wide", "--output", "wide.parquet")
    assert "reversal" in json.loads(pq.read_schema("wide.parquet").metadata[b"fama_fast"])["columns"]
    run(capsys, "compute", "ABS($close)", "--dialect", "qlib", "--data", "panel.parquet", "--output", "q.parquet")
    (column,) = json.loads(pq.read_schema("q.parquet").metadata[b"fama_fast"])["columns"].values()
    assert (column["expression"], column["dialect"], column["canonical"]) == ("ABS($close)", "qlib", "ABS(CLOSE)")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("RANK(CLOSE)", "rank(close)"), "rank(close) is RANK(CLOSE) once more: leave one out, or give each a name"),
        (("a: RANK(CLOSE)", "a: OPEN"), "the name 'a' is taken"),
        (("date: RANK(CLOSE)",), "the name 'date' is taken"),
        (("CLOSE: RANK(CLOSE)", "CLOSE"), "CLOSE is RANK(CLOSE) once more"),
    ],
)
def test_columns_that_clash_are_refused(
    here: Path, capsys: pytest.CaptureFixture[str], given: tuple[str, ...], words: str
) -> None:
    assert words in refused(capsys, "compute", *given, "--data", "panel.parquet", "--output", "v.parquet")
    assert not (here / "v.parquet").exists()


def test_a_failed_computation_leaves_neither_values_nor_note(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {p.name for p in here.iterdir()}
    refused(capsys, "compute", "RANK(EARNINGS)", "--data", "panel.parquet", "--output", "v.csv")
    assert {p.name for p in here.iterdir()} == before


def test_a_store_calls_its_columns_so_too_and_goes_on_with_those_of_before(
    here: Path, document: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [f["canonical"] for f in document["factors"][:3]]
    (here / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    run(capsys, "compute", "texts.txt", "--data", "panel.parquet", "--store", "store")
    assert list(ff.open_store("store").scan().collect_schema()) == ["date", "symbol", *texts]
    assert ff.open_store("store").scan([texts[1]]).collect().columns == ["date", "symbol", texts[1]]
    panel = ff.load_market_data("panel.parquet")
    ff.update_store("old", panel.slice_dates(0, 300), texts, names=["f1", "f2", "f3"])  # as earlier versions named them
    _, err = run(capsys, "compute", "texts.txt", "VOLUME", "--data", "panel.parquet", "--store", "old", "--append")
    assert "20 dates added, 1 factors added (VOLUME)" in err
    assert list(ff.open_store("old").scan().collect_schema()) == ["date", "symbol", "f1", "f2", "f3", "VOLUME"]
    run(capsys, "compute", "last", "--store", "mined")
    stored = ff.open_store("mined")
    assert [f.name for f in stored.factors] == [f["canonical"] for f in document["factors"]]


# What earlier versions wrote


def test_files_of_an_earlier_version_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    data = yaml.safe_load((OLDER / "result.yaml").read_text(encoding="utf-8"))
    assert sorted(f["sign"] for f in data["factors"]) == [-1, -1, 1]
    assert [e["sign"] for e in data["front"]]
    found = read_factors(OLDER / "result.yaml")
    assert all(f.score > 0.0 for f in found.factors)
    assert [f.fingerprint for f in found.factors] == [f.fingerprint for f in read_factors(OLDER / "set.yaml").factors]
    assert {f.fingerprint for f in found.factors} <= {
        f.fingerprint for f in read_factors(OLDER / "candidates.csv").factors
    }
    rows = json.loads(run(capsys, "score", OLDER / "result.yaml", "--split", "train", "--json")[0])
    for row, factor in zip(rows, found.factors, strict=True):
        assert row["rank_ic"] == pytest.approx(factor.score, rel=1e-12)
    text, _ = run(capsys, "report", OLDER / "result.yaml", "--markdown")
    assert all(f"`{f.canonical}`" in text for f in found.factors)
    assert "-1 * (" not in text


# Damage


def paths(data: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every key of a document; of a list the first two entries stand for all."""
    pairs = data.items() if isinstance(data, dict) else enumerate(data[:2]) if isinstance(data, list) else ()
    for key, value in pairs:
        yield (*above, key)
        yield from paths(value, (*above, key))


def changed(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy with one value exchanged, or left out."""
    out = copy.deepcopy(data)
    part = out
    for key in path[:-1]:
        part = part[key]
    if value is DROP:
        del part[path[-1]]
    else:
        part[path[-1]] = value
    return out


DROP = object()
ALTERED = (DROP, None, "x", -1, 3.5, True, [], {}, ["x"], {"x": 1})
# Figures that are not defined for every factor, and gates that a run may lack.
MAY_LACK = (
    *("rank_ic", "rank_icir", "rank_ic_t", "ic", "icir", "ic_t", "hit_rate", "coverage", "turnover", "n_days"),
    *("spread", "spread_t", "net", "net_t", "traded"),
)


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((OLDER / "result.yaml").read_text(encoding="utf-8"))
    gap = {"check": "gaps", "severity": "note", "count": 1, "message": "days without a row", "examples": ["A (1)"]}
    found["data"]["quality"] = {"checked": True, "findings": [gap]}  # what results hold since
    found["record"]["data"] = {"given": False, "origin": None}
    return found


def test_any_key_of_a_result_may_be_missing_or_altered_and_it_is_one_clear_error(whole: dict[str, Any]) -> None:
    """Every key, dropped and exchanged for other things: read as it is, or refused with the key's name."""
    read_document(whole, "run.yaml")
    silent, refusals = [], 0
    for path in paths(whole):
        # Settings are read by the configuration's own checks, which have tests of their own.
        for value in ALTERED[:3] if path[0] == "settings" else ALTERED:
            try:
                document, _ = read_document(changed(whole, path, value), "run.yaml")
                markdown_summary(from_document(document, None))
                plain_lines(document)
                markdown(document)
            except FamaError as error:
                refusals += 1
                message = str(error)
                assert message.startswith("run.yaml: "), message
                assert len(message.splitlines()) <= 3
                assert len(message) < 600
                named = [str(key) for key in path if not isinstance(key, int)]
                if value is DROP and path[-2:-1] != ("funnel",) and not isinstance(path[-1], int):
                    assert named[-1] in message, (path, message)
            else:
                if value is DROP and not isinstance(path[-1], int):
                    silent.append(path)
    assert refusals > 1500
    spoken = [p for p in silent if p[-1] not in MAY_LACK and p[:2] != ("search", "funnel") and p[-2] != "objectives"]
    assert {".".join(map(str, p)) for p in spoken} <= {
        "verdict.pool.valid.rank_ic_interval",
        "verdict.pool.test.rank_ic_interval",
        "verdict.pool.valid.deflated_sharpe",
        "verdict.pool.valid.other_models.equal",
        "verdict.pool.test.other_models.equal",
        "verdict.control.random_formulas.pool_valid_gain_interval",
        *(f"factors.{i}.scores.objectives" for i in range(3)),
        "data.quality",  # and these two results of before lack
        "record.data",
        "record.data.origin",
        *(f"front.{i}.sign" for i in range(3)),  # the factor's own says it
        # Where and how a run happened, which results of before had.
        *("settings.run.threads", "settings.llm.timeout_s", "settings.llm.max_retries", "settings.llm.concurrency"),
    }


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("data", "hash"), DROP, "data.hash is missing"),
        (("factors", 1, "fingerprint"), DROP, "factors[1].fingerprint is missing"),
        (("factors", 1, "canonical"), DROP, "factors[1].canonical is missing"),
        (("factors", 0, "canonical"), "RANK(OPEN)", "the stored canonical 'RANK(OPEN)' is not that of the expression"),
        (("factors", 0, "expression"), "RANK(OPEN", "factors[0] (RANK(OPEN): the expression is not valid"),
        (("factors", 0, "fingerprint"), "0" * 32, "is no factor of this pool"),
        (("factors", 0, "scores", "train"), DROP, "factors[0].scores.train is missing"),
        (("factors", 0, "scores", "train", "rank_ic"), DROP, "factors[0].scores.train.rank_ic is missing"),
        (("factors", 0, "scores", "valid", "ic"), "high", "factors[0].scores.valid.ic must be a number, found 'high'"),
        (("factors", 0, "sign"), 0, "factors[0].sign must be 1 or -1, found '0'"),
        (("verdict", "status"), "splendid", "verdict.status is 'splendid', which is none of found; found, but no"),
        (("verdict", "holding"), "all", "verdict.holding must be a list, found 'all'"),
        (("splits", "train", "last"), "2015-13-01", "splits.train.last must be a date such as 2016-12-31"),
        (("splits", "valid", "first"), "2010-01-01", "is 2010-01-01, not after the last date of train"),
        (("search", "candidates"), 3, "search.funnel adds up to 36, search.candidates is 3"),
        (("settings", "splits", "horizon"), DROP, "settings.splits.horizon is missing"),
        (("settings", "splits", "horizn"), 5, "unknown key splits.horizn"),
        (("settings", "run", "seed"), "one", "run.seed must be a whole number"),
        (("schema",), 2, "schema 2 is not known here (this version reads 1)"),
        (("factors", 0, "proposd"), "RANK(CLOSE)", "factors[0].proposd is no key (did you mean proposed?)"),
    ],
    ids=lambda v: ".".join(map(str, v)) if isinstance(v, tuple) else "",
)  # fmt: skip
def test_what_is_wrong_with_a_result_is_said_with_its_path(
    whole: dict[str, Any], path: tuple[Any, ...], value: Any, words: str
) -> None:
    with pytest.raises(StoreError) as caught:
        read_document(changed(whole, path, value), "run.yaml")
    assert words in str(caught.value)


def test_a_wrong_key_inside_a_list_of_settings_is_named() -> None:
    signal = {"expression": "RANK(CLOSE)", "rank_ic": 0.1, "rank_icc": 0.2}
    with pytest.raises(ConfigError, match=r"unknown key data\.simulator\.signals\.0\.rank_icc; did you mean"):
        config_from_dict({"data": {"simulator": {"signals": [signal]}}})


def test_a_key_written_wrongly_is_named_with_the_right_one(whole: dict[str, Any]) -> None:
    data = copy.deepcopy(whole)
    data["factors"][2]["fingerprnt"] = data["factors"][2].pop("fingerprint")
    with pytest.raises(StoreError, match=r"factors\[2\]\.fingerprint is missing \(there is 'fingerprnt'"):
        read_document(data, "run.yaml")


def test_keys_of_a_later_version_stay(whole: dict[str, Any]) -> None:
    data = copy.deepcopy(whole) | {"weather": "fine"}
    data["data"]["moon"] = 7
    document, _ = read_document(data, "run.yaml")
    assert (document["weather"], document["data"]["moon"]) == ("fine", 7)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("gone.yaml", None, "the file gone.yaml does not exist"),
        ("gone.parquet", None, "the file gone.parquet does not exist"),
        ("empty.yaml", b"", "empty.yaml: the file is empty"),
        ("half.json", b'{"verdict": {"status": "fou', "half.json, line 1, column 24: not JSON"),
        ("half.yaml", b"verdict: {status: found\nfactors: [", "half.yaml, line 2, column"),
        ("latin.yaml", b"factors: [RANK(CLOSE)] # \xe9", "cannot read latin.yaml: it is not UTF-8 text"),
        ("cut.jsonl", b'{"event": "start"}\n{"event": "round"}\n', "its last line is no 'end' of a run"),
        ("list.json", b"[1, 2]", "list.json: expected a mapping with the keys schema, factors"),
        ("rows.json", b'[{"expression": "CLOSE"}]', "rows.json, row 1: the column 'canonical' is missing"),
        ("bad.csv", b"canonical,gate\nRANK(CLOSE),\nRANK(,\n", "bad.csv, row 2 (RANK(): the expression is not valid"),
        ("sign.csv", b"canonical,gate,sign\nRANK(CLOSE),,2\n", "sign.csv, row 1: sign must be 1 or -1, found '2'"),
        ("no.csv", b"canonical,gate\nRANK(CLOSE),training\n", "no.csv holds no factor"),
        ("prices.csv", b"date,symbol,close\n2020-01-01,A,1\n", "prices.csv holds no factors: a table of them"),
        ("broken.parquet", b"PAR1 but not really", "cannot read broken.parquet"),
        ("nothing.txt", b"# nothing\n", "nothing.txt holds no expression"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["score", "compute", "report"])
def test_a_file_that_holds_no_factors_says_why(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    name: str,
    content: bytes | None,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    more = ("--output", "v.parquet") if command == "compute" else ()
    message = refused(capsys, command, name, *more)
    if command == "report" and name == "no.csv":
        words = "there is no factor in it to report on"
    assert words in message
    assert {p.name for p in tmp_path.iterdir()} <= {name}


def test_no_such_run_names_the_nearest(
    here: Path, document: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = document["record"]["run"]
    wrong = f"{run_id[:-1]}{'0' if run_id[-1] != '0' else '1'}"
    assert f"no run '{wrong}'; did you mean {run_id}?" in refused(capsys, "score", wrong)
    shutil.rmtree(here / "runs")
    assert "there is no such file" in refused(capsys, "score", "last")
    with pytest.raises(DataError):
        read_factors("gone.yaml")
    assert FactorSet(read_factors("out.yaml").factors)
