"""Mining data larger than memory: the run of the same data in memory, to the bit, or one clear message."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

import fama_fast as ff
from fama_fast.cli import main
from fama_fast.data import PlantedSignal, SimulationSpec, simulate, to_frame
from fama_fast.engine import budget, daily_rank_ic, ranks_on
from fama_fast.engine.alpha import Alpha
from fama_fast.errors import ConfigError, DataError, UnknownName
from fama_fast.evaluation import SortedRows
from fama_fast.ledger.ledger import Ledger
from fama_fast.library import Factor, make_factor
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.measure.cluster_scorer import open_market
from fama_fast.mining.measure.combination import FactorPool
from fama_fast.mining.measure.market import Market
from fama_fast.mining.progress.plain import NoProgress
from fama_fast.mining.run.mine import mine
from fama_fast.mining.run.stopping import StopRequest
from fama_fast.panel import Panel, digest
from fama_fast.panel.dataset import Dataset, Reader
from fama_fast.target import GivenLabels, ReturnLabels
from tests.unit.ops.test_random_expressions import random_alphas

SYMBOLS, DATES = 30, 520
SMALL = "1800kB"  # a few chunks of dates for every pass
LAYOUTS = ("file", "shuffled", "hive")
SIGNAL = PlantedSignal("-RANK(TS_MEAN(VOLUME, 5))", 0.12)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What decoding takes whatever the data's size would be most of a test's budget."""
    monkeypatch.setattr(budget, "_FIXED", 0)
    monkeypatch.setattr(digest, "_FIXED", 0)


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    spec = SimulationSpec(n_symbols=SYMBOLS, n_dates=DATES, missing=0.03, late_listing=0.2, seed=3, signals=(SIGNAL,))
    panel = simulate(spec)
    member = np.random.default_rng(0).random(panel.shape) < 0.9
    row = pl.int_range(pl.len())
    return to_frame(panel.replace(universe=member)).with_columns(
        volume=pl.when(row == 777).then(float("inf")).otherwise(pl.col("volume")),
        nothing=pl.lit(None, dtype=pl.Float64),
    )


@pytest.fixture(scope="module")
def folder(frame: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same rows in three layouts, with and without a universe, and files that join symbols."""
    place = tmp_path_factory.mktemp("data")
    frame.write_parquet(place / "members.parquet", row_group_size=997)
    plain = frame.drop("in_universe")
    plain.write_parquet(place / "file.parquet", row_group_size=997)
    (place / "shuffled").mkdir()
    mixed = plain.sample(fraction=1.0, shuffle=True, seed=1)
    for i, part in enumerate(mixed.iter_slices(len(mixed) // 3 + 1)):
        part.write_parquet(place / "shuffled" / f"{i}.parquet", row_group_size=1013)
    for (year,), part in plain.group_by(pl.col("date").dt.year()):
        into = place / "hive" / f"year={year}"
        into.mkdir(parents=True)
        part.write_parquet(into / "rows.parquet", row_group_size=641)
    names = plain["symbol"].unique().sort().to_list()
    spells = [f"{s},,{'2016-03-01' if i % 7 == 3 else ''}" for i, s in enumerate(names[:-1])]
    (place / "index.csv").write_text("symbol,start,end\n" + "\n".join(spells), encoding="utf-8")
    groups = [f"{s},{'abc'[i % 3]},{'xy'[i % 2]}" for i, s in enumerate(names[:-2])]
    (place / "groups.csv").write_text("symbol,sector,style\n" + "\n".join(groups), encoding="utf-8")
    return place


@pytest.fixture(autouse=True)
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The quality of the data is looked at where the budget has room for all of them at once (`test_panel_checks`),
    which says nothing of the search."""
    monkeypatch.setattr("fama_fast.mining.run.mine.quality_of", lambda *_: {"checked": False, "why": "not here"})


def settings(data: Path, output: Path, **more: Any) -> dict[str, Any]:
    """A small run; `more` by dotted key."""
    out: dict[str, Any] = {
        "k": 4,
        "l": 2,
        "run": {"wanted": 6, "rounds": 2, "candidates": 20, "seed": 5, "threads": 2},
        "gates": {"max_lookback": 60},
        "css": {"n_dates": 16},
        "paths": {"market_data": str(data), "output_dir": str(output)},
    }
    for dotted, value in more.items():
        *sections, key = dotted.split("__")
        at = out
        for section in sections:
            at = at.setdefault(section, {})
        at[key] = value
    return out


def place(folder: Path, layout: str) -> Path:
    return folder / layout if layout in ("shuffled", "hive") else folder / f"{layout}.parquet"


def told(output: Path, document: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The result document and the ledger's rows, without what may differ between equal runs."""
    assert document.pop("record")
    with Ledger.open(str(output / "ledger.sqlite"), create=False) as ledger:
        rows = ledger.candidates(ledger.get_run("last").id)
    return document, [{k: v for k, v in row.items() if k not in ("run_id", "seconds", "timings")} for row in rows]


def both(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, memory: str, **more: Any
) -> tuple[dict[str, Any], list[int]]:
    """The run in memory, held equal to the run in parts; and how many dates each read of the latter took."""
    whole = mine(settings(data, tmp_path / "whole", **more)).to_dict()
    reads: list[int] = []
    read = Reader.read

    def watched(self: Reader, start: int, stop: int) -> Panel:
        reads.append(stop - start)
        return read(self, start, stop)

    with monkeypatch.context() as patch:
        patch.setattr(Reader, "read", watched)
        patch.setattr(Dataset, "panel", None)  # what loads all of it
        parts = mine(settings(data, tmp_path / "parts", run__memory_budget=memory, **more)).to_dict()
    expected = told(tmp_path / "whole", whole)
    assert told(tmp_path / "parts", parts) == expected
    return expected[0], reads


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_run_in_parts_is_the_run_in_memory(
    layout: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, reads = both(tmp_path, place(folder, layout), monkeypatch, SMALL, run__rounds=3)
    assert len(found["factors"]) >= 3
    assert found["verdict"]["control"]["random_formulas"]["candidates"] > 0
    assert found["verdict"]["holding"]
    assert found["verdict"]["pool"]["test"]["rank_ic"] > 0.0  # the test split was opened
    assert "VOLUME: 1 infinite values taken as missing" in found["data"]["warnings"]
    assert len(reads) > 60  # passes of several chunks
    assert np.median(reads) < DATES / 3


def test_objectives_shuffled_labels_and_a_universe_work_in_parts(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = both(
        tmp_path,
        place(folder, "members"),
        monkeypatch,
        "2MB",
        objectives=["rank_ic", "turnover", "decay", "stability"],
        control={"random": False, "shuffle": 2},
        run__candidates=12,
        run__seed=4,
    )
    assert found["data"]["universe"]
    assert len(found["front"]) >= 2
    assert len(found["verdict"]["control"]["shuffled_labels"]["pool_valid_rank_ic"]) == 2


@pytest.mark.parametrize(
    "objective", [pytest.param("ic", marks=pytest.mark.slow), pytest.param("spread", marks=pytest.mark.slow), "net"]
)
def test_whatever_is_climbed_a_run_in_parts_is_the_run_in_memory(
    objective: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels of three days, so that what is traded reaches over the borders of chunks and blocks."""
    more: dict[str, Any] = {
        "objective": objective,
        "cost_bps": 1.0,
        "splits": {"horizon": 3},
        "control": {"shuffle": 1},
    }
    loose = {"max_lookback": 60, "min_rank_ic": 0.005, "min_t": 1.0}
    found, _ = both(tmp_path, place(folder, "members"), monkeypatch, "2MB", gates=loose, **more)
    assert found["settings"]["objective"] == objective
    for factor in found["factors"]:
        train = factor["scores"]["train"]
        assert (train["objective"], train["objective_t"]) == (train[objective], train[f"{objective}_t"])
        assert train["score"] >= 0.005
    assert found["factors"]


def test_files_that_join_symbols_and_settings_of_data_work_in_parts(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = both(
        tmp_path,
        place(folder, "file"),
        monkeypatch,
        SMALL,
        paths__universe=str(folder / "index.csv"),
        paths__groups=str(folder / "groups.csv"),
        data__start="2015-02-02",
        splits={"horizon": 3, "entry_lag": 0, "embargo": 2},
        run__min_coverage=0.8,
        racing={"enabled": False},
        pool={"model": "equal", "refit": 10},
    )
    assert found["data"]["groups"] == ["SECTOR", "INDUSTRY", "STYLE"]
    assert any("never members" in w for w in found["data"]["warnings"])
    assert any("SECTOR of the data is replaced" in w for w in found["data"]["warnings"])


@pytest.mark.slow
@pytest.mark.parametrize("layout", [*LAYOUTS, "members"])
def test_a_data_set_has_the_hash_and_the_warnings_of_its_panel(layout: str, folder: Path) -> None:
    panel = ff.load_market_data(str(place(folder, layout)))
    cells = SYMBOLS * DATES
    for memory in (1, 16 * SYMBOLS * 60, 3 * 8 * cells, 1 << 30):  # a column a pass, a few, all
        data = ff.scan_market_data(str(place(folder, layout)))
        data.read_through(memory)
        assert data.data_hash == panel.data_hash
        assert data.warnings == panel.warnings


def test_every_missing_value_is_one_to_the_hash(tmp_path: Path, frame: pl.DataFrame) -> None:
    other = np.array([0xFFF8000000000123], dtype=np.uint64).view(np.float64)[0]
    close = frame["close"].to_numpy().copy()
    close[5:9] = [np.nan, other, -other, 1.0]
    odd = frame.with_columns(close=pl.Series(close))
    odd.write_parquet(tmp_path / "odd.parquet")
    path = str(tmp_path / "odd.parquet")
    assert ff.scan_market_data(path).data_hash == ff.load_market_data(path).data_hash
    odd.with_columns(
        close=pl.col("close") + pl.when(pl.int_range(pl.len()) == 99).then(1e-9).otherwise(0)
    ).write_parquet(path)
    assert ff.scan_market_data(path).data_hash != Panel.from_frame(odd).data_hash


@pytest.fixture(scope="module")
def alphas() -> list[Alpha]:
    long = ("TS_MEAN(CLOSE, 150)", "EMA(CLOSE, 60)", "HUMP(RANK(CLOSE))", "GROUP_RANK(TS_RANK(VWAP, 90), SECTOR)")
    return [*random_alphas(24, 4), *map(ff.compile, long)]


@pytest.mark.parametrize("layout", ["file", "members"])
def test_daily_figures_and_sampled_ranks_on(layout: str, folder: Path, alphas: list[Alpha]) -> None:
    panel, data = ff.load_market_data(str(place(folder, layout))), ff.scan_market_data(str(place(folder, layout)))
    sink = SortedRows.of(ff.forward_returns(panel))
    labels = ReturnLabels.of(data, 1, 1)
    expected = daily_rank_ic(alphas, panel, sink)  # type: ignore[arg-type]
    for memory in (2_000_000, 1 << 30):
        found = daily_rank_ic(alphas, data, labels, budget=memory, threads=2)
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])
    rows = np.array([3, 40, 41, 300, 519])
    for some, ranks in zip(ranks_on(alphas, data, rows, budget=2_000_000), ranks_on(alphas, panel, rows), strict=True):
        np.testing.assert_array_equal(some, ranks)


def test_history_may_begin_later(folder: Path, alphas: list[Alpha]) -> None:
    """A cut of the data has its windows anchored at its own first row, in chunks too."""
    path = str(place(folder, "members"))
    panel, data = ff.load_market_data(path), ff.scan_market_data(path)
    whole = SortedRows.of(ff.forward_returns(panel))
    rows = slice(200, 380)
    own = SortedRows(whole.values[rows], whole.order[rows], whole.count[rows])
    asked = np.arange(100, 180)
    expected, counts = daily_rank_ic(alphas, panel.slice_dates(200, 380), own, rows=asked)  # type: ignore[arg-type]
    found = daily_rank_ic(alphas, data, ReturnLabels.of(data, 1, 1), budget=2_000_000, first=300, last=380, floor=200)
    np.testing.assert_array_equal(found[0], expected[:, asked])
    np.testing.assert_array_equal(found[1], counts[:, asked])


def test_labels_some_rows_later(folder: Path) -> None:
    from fama_fast.engine.budget import Schedule
    from fama_fast.engine.chunks import chunks

    data = ff.scan_market_data(str(place(folder, "file")))
    whole = ff.forward_returns(ff.load_market_data(str(place(folder, "file"))), horizon=2, entry_lag=1)
    made, given = ReturnLabels.of(data, 2, 1).later(5), GivenLabels(whole).later(5)
    expected = np.full(whole.shape, np.nan)
    expected[:-5] = whole[5:]
    assert given.rows_after == 0
    for loaded in chunks(data, Schedule(70, 0, made.rows_after, (), 0), ["CLOSE"], []):
        own = slice(loaded.start, loaded.stop)
        np.testing.assert_array_equal(made.rows(loaded, loaded.start, loaded.stop), expected[own])
        np.testing.assert_array_equal(given.rows(loaded, loaded.start, loaded.stop), expected[own])


def _factors(market: Market, texts: list[str]) -> list[Factor]:
    alphas = [ff.compile(t) for t in texts]
    return [
        make_factor(a.text, sign=-1 if np.nanmean(s) < 0 else 1)
        for a, s in zip(alphas, market.measure(alphas).rank_ic, strict=True)
    ]


@pytest.mark.parametrize("layout", ["file", "members"])
def test_a_pool_in_parts_grows_shrinks_and_is_tested_as_one_in_memory(layout: str, folder: Path) -> None:
    path = str(place(folder, layout))
    config = config_from_dict({"gates": {"max_lookback": 60}, "run": {"wanted": 5, "memory_budget": SMALL}})
    one, two = Market(ff.load_market_data(path), config), Market(ff.scan_market_data(path), config)
    pools = FactorPool(one, config.pool), FactorPool(two, config.pool)
    a, b, c, d = _factors(one, ["TS_MEAN(VOLUME, 5)", "DELTA(CLOSE, 3)", "CLOSE / TS_MAX(CLOSE, 30)", "RANK(VOLUME)"])
    for factors in ([a], [a, b, c], [c, a], [c, a, d]):
        in_memory, in_parts = (p.valid(factors) for p in pools)
        assert in_parts.scores == in_memory.scores
        assert in_parts.weights == in_memory.weights
        for model, figures in in_memory.daily.items():
            for name in ("rank_ic", "ic", "coverage", "turnover"):
                np.testing.assert_array_equal(getattr(in_parts.daily[model], name), getattr(figures, name))
    for factors in ([a, d], [b, c]):  # known ones, and others' rivals
        in_memory, in_parts = (p.test(factors) for p in pools)
        assert in_parts.scores == in_memory.scores
        assert in_parts.weights == in_memory.weights
    assert two.open_test([a, b]) == one.open_test([a, b])


def test_only_the_opening_of_the_test_reads_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_from_dict({"gates": {"max_lookback": 60}, "run": {"wanted": 2, "memory_budget": SMALL}})
    data = ff.scan_market_data(str(place(folder, "file")))
    last: list[np.datetime64] = []
    read = Reader.read

    def watched(self: Reader, start: int, stop: int) -> Panel:
        found = read(self, start, stop)
        last.append(found.dates[-1])
        return found

    monkeypatch.setattr(Reader, "read", watched)
    market = Market(data, config)
    factors = _factors(market, ["TS_MEAN(VOLUME, 5)", "DELTA(CLOSE, 3)"])
    alphas = [ff.compile(f.canonical) for f in factors]
    list(market.vectors(alphas))
    market.figures(alphas[0], 5)
    FactorPool(market, config.pool).valid(factors)
    assert max(last) < data.dates[market.rows.test.start]
    market.open_test(factors)
    assert max(last) == data.dates[-1]


class _StopAfter(NoProgress):
    def __init__(self, rounds: int) -> None:
        self.stop, self.rounds = StopRequest(), rounds

    def phase(self, text: str) -> None:
        if text.startswith(f"round {self.rounds}:"):
            self.stop.ask("enough")


@pytest.mark.parametrize(
    ("memory", "objective"),
    [("3MB", "rank_ic"), (None, "rank_ic"), (None, "net"), pytest.param("3MB", "spread", marks=pytest.mark.slow)],
)
def test_a_run_in_parts_resumes_within_another_budget_or_in_memory(
    memory: str | None, objective: str, folder: Path, tmp_path: Path
) -> None:
    data = place(folder, "file")
    more: dict[str, Any] = {"objective": objective, "cost_bps": 1.0}
    whole = mine(settings(data, tmp_path / "whole", **more)).to_dict()
    config = settings(data, tmp_path / "parts", run__memory_budget=SMALL, **more)
    watch = _StopAfter(1)
    assert mine(config, progress=watch, stop=watch.stop).verdict.status.value == "interrupted"
    again = mine(settings(data, tmp_path / "parts", run__memory_budget=memory, **more), resume="last").to_dict()
    assert told(tmp_path / "parts", again) == told(tmp_path / "whole", whole)


def test_a_changed_file_cannot_be_resumed(frame: pl.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "prices.parquet"
    plain = frame.drop("in_universe")
    plain.write_parquet(path)
    config = settings(path, tmp_path / "runs", run__memory_budget=SMALL, run__candidates=6)
    watch = _StopAfter(1)
    mine(config, progress=watch, stop=watch.stop)
    one = pl.when(pl.int_range(pl.len()) == 4000).then(pl.col("open") * 1.5).otherwise(pl.col("open"))
    plain.with_columns(open=one).write_parquet(path)
    with pytest.raises(ConfigError, match=r"was made on other data: .*prices\.parquet with hash"):
        mine(config, resume="last")
    plain.write_parquet(path)
    assert mine(config, resume="last").rounds == 2


def test_a_budget_too_small_says_the_least_that_would_do(folder: Path, tmp_path: Path) -> None:
    data = place(folder, "file")
    config = settings(data, tmp_path / "runs", run__memory_budget="300kB", run__rounds=1)
    with pytest.raises(ConfigError, match=r"memory_budget of 300kB is too small: mining .* 121 rows") as raised:
        mine(config)
    assert not (tmp_path / "runs").exists()
    least = re.search(r"at least (\S+):", str(raised.value))
    assert least
    config["run"]["memory_budget"] = least[1]
    assert mine(config).rounds == 1


def test_a_formula_too_wide_ends_the_run_which_a_larger_budget_resumes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(place(folder, "file"), tmp_path / "runs", run__memory_budget=SMALL, run__candidates=6)

    class Watch(NoProgress):
        def phase(self, text: str) -> None:
            if text.startswith("round 2:"):
                monkeypatch.setattr(budget, "_FIXED", 5_000_000)  # from now on chunks need more

    with pytest.raises(ConfigError, match=r"too small.* held besides.*1 rounds are kept, to go on: .* --resume") as end:
        mine(config, progress=Watch())
    assert re.search(r"memory_budget of 1800kB is too small: one chunk .* needs at least \d{4}kB", str(end.value))
    config["run"]["memory_budget"] = "9MB"
    again = mine(config, resume="last").to_dict()
    monkeypatch.setattr(budget, "_FIXED", 0)
    whole = mine(settings(place(folder, "file"), tmp_path / "whole", run__candidates=6)).to_dict()
    assert told(tmp_path / "runs", again) == told(tmp_path / "whole", whole)


def test_data_that_are_wrong_are_met_before_a_run_is_recorded(frame: pl.DataFrame, tmp_path: Path) -> None:
    twice = pl.concat([frame.drop("in_universe"), frame.drop("in_universe").tail(1).with_columns(close=pl.lit(1.0))])
    twice.write_parquet(tmp_path / "twice.parquet")
    with pytest.raises(DataError, match="in more than one row"):
        mine(settings(tmp_path / "twice.parquet", tmp_path / "runs", run__memory_budget=SMALL))
    frame.select("date", "symbol", "open").write_parquet(tmp_path / "open.parquet")
    with pytest.raises(UnknownName, match="no field 'CLOSE'"):
        mine(settings(tmp_path / "open.parquet", tmp_path / "runs", run__memory_budget=SMALL))
    frame.with_columns(close=pl.lit(None, dtype=pl.Float64)).write_parquet(tmp_path / "none.parquet")
    with pytest.raises(DataError, match="no forward return is known in the train split"):
        mine(settings(tmp_path / "none.parquet", tmp_path / "runs", run__memory_budget=SMALL))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"paths": {}}, "the simulator makes its market in memory"),
        ({"paths": {"market_data": "prices.csv"}}, "prices.csv is CSV, and only Parquet"),
        ({"cluster": "local:2"}, r"cluster\.address: workers hold the data in memory"),
        ({"run": {"memory_budget": "much"}}, r"run\.memory_budget.*must be bytes or a size"),
        ({"run": {"memory_budget": 0}}, r"run\.memory_budget.*must be bytes or a size"),
    ],
)
def test_what_cannot_be_read_in_parts_is_refused(more: dict[str, Any], message: str, folder: Path) -> None:
    config: dict[str, Any] = {"run": {"memory_budget": "1GB"}, "paths": {"market_data": str(folder / "file.parquet")}}
    with pytest.raises(ConfigError, match=message):
        mine(config | more)


def test_a_panel_in_memory_has_no_budget_and_a_data_set_no_need_of_one(folder: Path, tmp_path: Path) -> None:
    path = str(place(folder, "file"))
    with pytest.raises(ConfigError, match="the panel given is in memory already"):
        mine({"run": {"memory_budget": "1GB"}}, panel=ff.load_market_data(path))
    config = config_from_dict(settings(Path(path), tmp_path))
    with open_market(ff.scan_market_data(path), config, given=True, library=()) as market:
        assert isinstance(market.whole, Dataset)
        assert market.budget.total == budget.DEFAULT_BUDGET


def test_the_command_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    # What decoding takes, for this is the program as it is.
    monkeypatch.setattr(budget, "_FIXED", 24 << 20)
    data = str(place(folder, "hive"))
    common = ["mine", "--data", data, "--rounds", "1", "--seed", "2", "--threads", "2", "--quiet"]
    code = main([*common, "--output", "whole.yaml"])
    assert main([*common, "--memory-budget", "60MB", "--output", "parts.yaml", "--ledger", "parts.sqlite"]) == code
    documents = [yaml.safe_load(Path(name).read_text(encoding="utf-8")) for name in ("whole.yaml", "parts.yaml")]
    for document in documents:
        assert document.pop("record")
    assert documents[0] == documents[1]
    capsys.readouterr()
    assert main([*common, "--memory-budget", "1MB", "--output", "no.yaml", "--ledger", "no.sqlite"]) == 2
    assert re.fullmatch(r"error: memory_budget of .* is too small.*\n", capsys.readouterr().err)
    assert main(["mine", "--memory-budget", "1GB", "--ledger", "no.sqlite"]) == 2
    assert "fama-fast data simulate --output" in capsys.readouterr().err
    assert not Path("no.yaml").exists()
    assert not Path("no.sqlite").exists()
