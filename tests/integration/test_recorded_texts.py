"""Texts that a run recorded are read with the names of its data, however close these are to standard ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
import yaml

import fama_fast as ff
from fama_fast.cli import main
from fama_fast.data import SimulationSpec, simulate
from fama_fast.engine import compile_recorded
from fama_fast.errors import ExpressionError, UnknownName
from fama_fast.lang import parse, to_text, writable
from fama_fast.library import FactorSet
from fama_fast.mining.run.mine import mine
from fama_fast.mining.verdict.control import sizes_of
from fama_fast.proposals.protocol import Vocabulary

if TYPE_CHECKING:
    from pathlib import Path

# Columns that are one slip from a standard field, a group, an operator, an alias of a dialect, or a derived field.
FIELDS = (
    *("vol", "returns", "rets", "adv", "close1", "open2", "volumes", "vwap1", "hi", "lo", "clos", "ret_1"),
    *("adv20", "adv05", "cap", "caps", "rank", "max", "ts_mean", "delay", "and", "or", "indneutralize", "sect"),
)
GROUPS = ("sectors", "industri", "subindustries", "group_rank")
TEXTS = (
    "RANK(VOL)",
    "CORREL(RETURNS, RETS, 5)",
    "TS_MEAN(ADV, 5) / ADV20",
    "RANK(RANK) - MAX(MAX, VWAP1)",
    "GROUP_RANK(SECT, SECTORS)",
    "GROUP_NEUTRALIZE(TS_MEAN(TS_MEAN, 3), GROUP_RANK)",
    "IF_ELSE(AND > OR, CLOSE1, OPEN2)",
    "VOL && OR || AND",
    "-DELAY(DELAY, 2) * CAPS ^ 2",
)


def market_file(path: Path, *, symbols: int = 24, dates: int = 260) -> Path:
    """A simulated market with columns of awkward names, one of which foretells returns."""
    panel = simulate(SimulationSpec(n_symbols=symbols, n_dates=dates, seed=3))
    rng = np.random.default_rng(1)
    t, n = panel.shape
    frame: dict[str, Any] = {"date": np.repeat(panel.dates, n), "symbol": np.tile(panel.symbols.astype(str), t)}
    for name in ("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME"):
        frame[name.lower()] = panel[name].ravel()
    ahead = np.nan_to_num(ff.forward_returns(panel))
    for number, name in enumerate(FIELDS):
        noise = rng.standard_normal((t, n))
        frame[name] = (ahead / np.std(ahead) * (0.25 if number % 4 == 0 else 0.0) + noise).ravel()
    for name in GROUPS:
        frame[name] = np.tile([f"{name}{i % 3}" for i in range(n)], t)
    pl.DataFrame(frame).filter(pl.col("close").is_finite()).write_parquet(path)
    return path


@pytest.mark.parametrize("text", TEXTS)
def test_a_recorded_text_reads_back_without_its_data(text: str) -> None:
    known = {"fields": [*map(str.upper, FIELDS), "CLOSE", "VOLUME"], "groups": [g.upper() for g in GROUPS]}
    written = ff.compile(text, **known)
    read = compile_recorded(written.canonical)
    assert read.node is written.node
    assert read.canonical == written.canonical
    assert compile_recorded(text, **known).node is written.node


@pytest.mark.parametrize("text", ["RANK(VOL", "NO_SUCH(CLOSE)", "DELAY(VOL, -1)", "RANK(VOL, VOL)"])
def test_what_is_wrong_with_a_recorded_text_beside_its_names_is_said(text: str) -> None:
    with pytest.raises(ExpressionError):
        compile_recorded(text)


def test_a_text_that_a_person_writes_is_still_checked_for_slips() -> None:
    with pytest.raises(UnknownName, match="CLOZE"):
        ff.compile("RANK(CLOZE)")
    with pytest.raises(UnknownName) as caught:
        compile_recorded("RANK(CLOZE)", fields=["CLOSE"], groups=[])
    assert caught.value.suggestion == "CLOSE"


def test_sizes_of_recorded_candidates_are_counted_with_their_names() -> None:
    vocabulary = Vocabulary(("CLOSE", "VOL"), ("SECTORS",))
    assert sizes_of(["RANK(VOL)", None, "GROUP_RANK(VOL, SECTORS)"], vocabulary) == {2: 1, 3: 1}


@pytest.mark.parametrize("name", ["NAN", "TRUE", "FALSE", "NOT", "PX LAST", "1D", "A.B", "CLOSE) + (OPEN", "收盘", ""])
def test_names_that_an_expression_cannot_write(name: str) -> None:
    assert not writable(name)


@pytest.mark.parametrize("name", [*FIELDS, *GROUPS, "STEP", "INF", "E", "X_1"])
def test_names_that_an_expression_can_write_read_back(name: str) -> None:
    assert writable(name.upper())
    node = parse(f"-{name} - RANK(1 / {name})", fields=[name], groups=[])
    assert parse(to_text(node), fields=[name], groups=[]) is node


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return market_file(tmp_path_factory.mktemp("market") / "market.parquet")


CONFIG = """
k: 4
l: 2
run: {rounds: 2, candidates: 16, seed: 2, patience: 100}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text(CONFIG, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("options", [(), ("--memory-budget", "200MB")], ids=["in memory", "in parts"])
def test_a_run_over_awkward_names_ends_with_a_verdict_and_everything_reads_it(
    here: Path, market: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    data = str(market)
    code = main(["mine", "--config", "run.yaml", "--data", data, "--output", "out.yaml", *options])
    err = capsys.readouterr().err
    assert code in (0, 1), err
    document = yaml.safe_load((here / "out.yaml").read_text(encoding="utf-8"))
    names = {n.upper() for n in (*FIELDS, *GROUPS)}
    texts = [f["canonical"] for f in document["factors"]]
    used = {n for t in texts for n in (*compile_recorded(t).fields, *compile_recorded(t).groups)} & names
    assert used, "no factor uses an awkward name"
    best = max(document["factors"], key=lambda f: f["scores"]["train"]["rank_ic"])

    assert main(["runs", "export", "last", "--output", "set.yaml"]) == 0
    assert sorted(f.canonical for f in FactorSet.from_yaml(here / "set.yaml")) == sorted(texts)
    for command in (
        ["report", "last", "--output", "report.html"],
        ["report", "out.yaml", "--output", "file.html"],
        ["report", "set.yaml", "--data", data, "--output", "set.html"],
        ["report", "last", "--markdown"],
        ["runs", "show", "last", "--candidates"],
        ["runs", "report", "last"],
        ["runs", "lineage", "last", "best"],
        ["runs", "lineage", "last", best["canonical"].lower()],
        ["runs", "lineage", "last"],
        ["runs", "export", "last", "--output", "all.parquet"],
        ["score", "set.yaml", "--data", data],
        ["compute", "set.yaml", "--data", data, "--output", "values.parquet"],
        ["compute", "set.yaml", "--data", data, "--store", "store"],
        ["compute", "--store", "store", "--append", "--data", data],
    ):
        assert main(command) == 0, (command, capsys.readouterr().err)
    assert "not supplied: the data of the run cannot be read" not in capsys.readouterr().err


def test_a_killed_run_over_awkward_names_goes_on_as_if_it_had_not_been(
    here: Path, market: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fama_fast.ledger.ledger import Ledger

    real, calls = Ledger.commit_round, []

    def interrupted(*arguments: Any, **keywords: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(*arguments, **keywords)

    whole = ["mine", "--config", "run.yaml", "--data", str(market), "-q", "--rounds", "3"]
    monkeypatch.setattr(Ledger, "commit_round", interrupted)
    assert main([*whole, "--ledger", "cut.sqlite"]) == 130
    monkeypatch.setattr(Ledger, "commit_round", real)
    code = main(["mine", "--resume", "last", "--ledger", "cut.sqlite", "--output", "resumed.yaml", "-q"])
    assert code in (0, 1), capsys.readouterr().err
    assert main([*whole, "--output", "whole.yaml"]) == code
    resumed, untouched = (
        yaml.safe_load((here / name).read_text(encoding="utf-8")) for name in ("resumed.yaml", "whole.yaml")
    )
    del resumed["record"], untouched["record"]
    assert resumed == untouched


def test_a_library_of_awkward_names_is_started_from_and_added_to(
    here: Path, market: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "cache.yaml").write_text(
        yaml.safe_dump({"schema": 1, "factors": ["RANK(VOL)", "GROUP_RANK(ADV, SECTORS)", "RANK(CLOZE)"]}),
        encoding="utf-8",
    )
    (here / "cached.yaml").write_text(CONFIG + "paths: {factor_cache: cache.yaml}\n", encoding="utf-8")
    assert main(["mine", "--config", "cached.yaml", "--data", str(market), "--rounds", "1"]) in (0, 1)
    out = capsys.readouterr().out
    assert "scored 2 factors from the factor cache" in out
    assert "left out of the library: RANK(CLOZE): the data has no field 'CLOZE'" in out
    kept = [f.canonical for f in FactorSet.from_yaml(here / "cache.yaml")]
    assert kept[:2] == ["RANK(VOL)", "GROUP_RANK(ADV, SECTORS)"]


def test_columns_that_no_expression_can_name_are_said_and_left_out(tmp_path: Path) -> None:
    panel = simulate(SimulationSpec(n_symbols=20, n_dates=260, seed=3))
    panel = panel.replace(fields={"nan": panel["CLOSE"], "px last": panel["CLOSE"], "not": panel["OPEN"]})
    notes: list[str] = []
    settings = {
        "run": {"rounds": 1, "candidates": 12},
        "paths": {"output_dir": str(tmp_path)},
        "control": {"random": True},
    }
    from fama_fast.mining.progress.plain import NoProgress

    class Told(NoProgress):
        def note(self, text: str) -> None:
            notes.append(text)

    mine(settings, panel=panel, progress=Told())
    assert "warning: not used, for an expression cannot name them: 'NAN', 'PX LAST', 'NOT'" in notes


def test_a_column_that_looks_like_a_slip_is_none_for_who_has_the_data(market: Path) -> None:
    import fama_fast.polars_namespace  # noqa: F401  (registers it)

    frame = (
        pl.read_parquet(market).select("date", "symbol", "close", "vol", "rank", "sectors").rename({"vol": "returns"})
    )
    grid = ff.complete_grid(frame)
    texts = {"a": "RANK(RETURNS)", "b": "RANK(RANK) + RET", "c": "GROUP_RANK(CLOSE, SECTORS)"}
    panel = ff.load_market_data(frame)
    expected = ff.evaluate(list(texts.values()), panel)
    for made in (grid.fama.with_alphas(texts), grid.lazy().fama.with_alphas(texts).collect()):
        for name, values in zip(texts, expected, strict=True):
            got = made.sort("date", "symbol")[name].to_numpy().reshape(panel.shape)
            np.testing.assert_allclose(got, values, rtol=1e-12)
    for data in (panel, frame, frame.to_pandas()):
        table = ff.AlphaTransformer(texts).fit_transform(data)
        assert table.shape[1] == 3
    for data in (panel, frame):
        with pytest.raises(UnknownName, match="RETURNZ"):
            ff.AlphaTransformer("RANK(RETURNZ)").fit(data)
    with pytest.raises(UnknownName, match="VOLUMES"):
        grid.fama.with_alphas({"a": "RANK(VOLUMES)"})
