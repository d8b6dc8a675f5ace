"""The harness of the discovery benchmark: exact origins; levels, pools and intervals beside slow oracles; resuming;
every kind of arm end to end on a small market."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import fama_fast as ff
from benches.discovery import arms, intervals, levels, planted, pools, runner, studies, tables
from benches.discovery.__main__ import main
from benches.discovery.formulas import drawn, fresh, published, reader
from benches.discovery.levels import MISSING, Bank, Cells
from benches.discovery.origins import Origin, origins, years_of
from benches.discovery.runner import jobs_of, rows, rows_of
from benches.mining.runner import append, finished
from fama_fast.data import PlantedSignal, SimulationSpec, simulate
from fama_fast.engine import ranks_on
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.pools.correlations import GrowingCorrelations

if TYPE_CHECKING:
    from pathlib import Path

    from fama_fast.panel import Panel
from fama_fast.passes import ranking_hash

SIGNAL = "RANK(CLOSE / TS_MEAN(CLOSE, 10))"


@pytest.fixture(scope="module")
def panel() -> Panel:
    """Four years and a bit of a small market, some of whose symbols are members at a time."""
    whole = simulate(SimulationSpec(n_symbols=40, n_dates=1150, seed=5, signals=(PlantedSignal(SIGNAL, 0.08),)))
    members = np.random.default_rng(1).random(whole.shape) < 0.8
    fields = {name: np.array(whole[name]) for name in studies.FIELDS}
    return ff.Panel(fields=fields, dates=whole.dates, symbols=whole.symbols, universe=members)


def test_the_splits_of_a_run_are_exactly_whole_years(panel: Panel) -> None:
    year = years_of(panel.dates.astype("datetime64[D]"))
    found = origins(panel, 0)
    first = int(year[0])
    assert [o.year for o in found] == [y for y in range(first + 2, int(year[-1]) + 1) if np.sum(year == y) >= 100]
    assert len(found) >= 2
    for o in found:
        for horizon in (1, 5, 20):
            config = config_from_dict({"splits": {"fractions": o.fractions, "horizon": horizon}})
            cut = o.checked(panel, config)
            reach = horizon + 1
            split = o.rows(reach)
            assert set(year[: split.train.stop + reach]) == set(range(first, o.year - 1))
            assert set(year[split.valid.start : split.valid.stop + reach]) == {o.year - 1}
            assert set(year[split.test]) == {o.year}
            assert np.sum(year == o.year) == split.test.stop - split.test.start
            assert cut.shape[0] == split.test.stop
    with pytest.raises(RuntimeError, match="the splits of"):
        replace(found[0], valid=found[0].valid - 40).checked(
            panel, config_from_dict({"splits": {"fractions": found[0].fractions}})
        )
    with pytest.raises(SystemExit, match="1999 is no test year of these data"):
        origins(panel, 0, [1999])


def test_every_size_of_data_is_cut_at_the_row_that_was_asked_for() -> None:
    from fama_fast.data import date_splits

    for stop in range(600, 3200, 97):
        o = Origin(2000, stop // 2 - 7, stop - 243, stop)
        found = date_splits(stop, fractions=tuple(o.fractions), reach=6)  # type: ignore[arg-type]
        assert (found.train, found.valid, found.test) == (o.rows(6).train, o.rows(6).valid, o.rows(6).test)


def oracle_levels(values: Any, members: Any) -> Any:
    """(T, N) levels cell by cell; MISSING where there is none."""
    out = np.full(values.shape, MISSING, dtype=np.int64)
    for t in range(len(values)):
        there = [i for i in range(values.shape[1]) if members[t, i] and math.isfinite(values[t, i])]
        for i in there:
            below = sum(values[t, j] < values[t, i] for j in there)
            same = sum(values[t, j] == values[t, i] for j in there)
            rank = below + (same + 1) / 2
            out[t, i] = round(63.0 * (2.0 * rank - len(there) - 1.0) / len(there))
    return out


def test_levels_are_ranks_in_whole_numbers() -> None:
    rng = np.random.default_rng(3)
    values = rng.integers(0, 9, (12, 17)).astype(float)
    values[2, 3:9], values[4], values[5] = np.nan, np.nan, 3.0
    values[6, 0] = np.inf
    members = rng.random(values.shape) < 0.7
    members[7] = False
    cells = Cells(np.flatnonzero(members.ravel()), np.concatenate(([0], np.cumsum(members.sum(axis=1)))), values.shape)
    found = cells.levels(cells.shares(np.where(np.isfinite(values), values, np.nan)))
    want = oracle_levels(values, members)
    assert found.tolist() == want[members].tolist()
    assert found[cells.rows(5, 6)].tolist() == [0] * int(members[5].sum())
    back = cells.grid(found[cells.rows(2, 9)].astype(float), 2, 9)
    assert np.array_equal(np.isfinite(back), members[2:9])
    assert np.array_equal(cells.on([1, 3]), np.concatenate([np.arange(*cells.start[i : i + 2]) for i in (1, 3)]))
    assert len(cells.until(4)) == cells.start[4]


def test_daily_figures_are_means_of_products_of_ranks(panel: Panel) -> None:
    texts = ["RANK(CLOSE)", SIGNAL, "CORREL(CLOSE, VOLUME, 10)", "0 * RET"]
    cells, alphas = Cells.of(panel), reader("mined", panel)(texts)
    every = np.stack([cells.levels(r) for r in ranks_on(alphas, panel, np.arange(panel.shape[0]))])
    labels = {h: ff.forward_returns(panel, horizon=h) for h in (1, 5)}
    labels[5][300] = np.nan
    ranks = [levels.label_ranks(y, cells, panel.universe) for y in labels.values()]
    part = slice(40, 700)
    found = levels.daily_figures(every, ranks, cells, part)
    assert found.shape == (2, 4, 660)
    for i, y in enumerate(labels.values()):
        label = np.full(panel.shape, np.nan)
        label.ravel()[cells.flat] = ranks[i]
        for k, values in enumerate(ff.evaluate(texts, panel)):
            level = np.full(panel.shape, MISSING, dtype=float)
            level.ravel()[cells.flat] = every[k]
            for t in range(40, 700, 13):
                inside = np.flatnonzero(panel.universe[t])
                x = [0.0 if level[t, j] == MISSING else level[t, j] / 126.0 for j in inside]
                z = [0.0 if math.isnan(label[t, j]) else label[t, j] for j in inside]
                want = 12.0 * sum(p * q for p, q in zip(x, z, strict=True)) / len(inside)
                if t != 300:
                    assert found[i, k, t - 40] == pytest.approx(want, abs=2e-6)
            if k < 2:  # nearly every member has a value, so it is near the RankIC
                own = np.where(panel.universe, values, np.nan)[part]
                exact = ff.rank_ic(own, np.where(panel.universe, y, np.nan)[part])
                assert np.nanmean(found[i, k]) == pytest.approx(np.nanmean(exact), rel=0.06)
    assert np.isnan(found[1, :, 260]).all()
    assert np.isfinite(found[0]).all()
    product = levels.products(every, cells.on(range(100, 300)))
    whole = np.where(every == MISSING, 0, every).astype(np.int64)[:, cells.rows(100, 300)]
    assert np.array_equal(product, whole @ whole.T)
    deviation = pools.deviations(product.astype(float), whole.shape[1])
    assert deviation[:3] == pytest.approx(whole[:3].std(axis=1) / 126.0 * math.sqrt(12.0), rel=1e-3)
    assert deviation[3] == 1.0


def test_a_bank_goes_on_where_it_was_and_refuses_other_formulas(panel: Panel, tmp_path: Path) -> None:
    texts, cells = drawn(panel, 0, 30, level_free=True), Cells.of(panel)
    assert texts[:12] == drawn(panel, 0, 12, level_free=True)
    assert all(not ff.compile(t).level_dependence for t in texts)
    assert texts != drawn(panel, 1, 30, level_free=True)
    read = reader("random", panel)
    whole = Bank(tmp_path / "whole", cells)
    whole.extend(texts, read, panel, 1)
    first = Bank(tmp_path / "parts", cells)
    first.extend(texts[:25], read, panel, 1)
    with (tmp_path / "parts" / "levels.i8").open("ab") as file:
        file.write(b"half of a formula")  # a crash while writing
    again = Bank(tmp_path / "parts", cells)
    calls: list[str] = []

    def watched(some: Any) -> Any:
        calls.extend(some)
        return read(some)

    again.extend(texts, watched, panel, 1)
    assert calls == texts[25:]
    assert np.array_equal(again.levels(), whole.levels())
    with pytest.raises(SystemExit, match="holds other formulas"):
        again.extend([*texts[:3], "RANK(CLOSE)"], read, panel, 1)
    with pytest.raises(SystemExit, match="cells"):
        Bank(tmp_path / "parts", cells.until(100))


def test_fresh_formulas_are_those_that_the_gates_let_read(panel: Panel) -> None:
    texts = fresh(panel, 0, 240)
    assert texts[:50] == fresh(panel, 0, 50)
    assert texts[:120] != fresh(panel, 1, 120)
    alphas = [ff.compile(text, fields=panel.fields) for text in texts]
    assert len({ranking_hash(a.node) for a in alphas}) == 240
    assert not any(a.level_dependence for a in alphas)
    lookbacks = [a.lookback for a in alphas]
    assert 120 < max(lookbacks) <= 250


def oracle_weights(r: Any, m: Any, a: float, p: float) -> Any:
    s = np.diag((np.abs(m) / np.abs(m).mean()) ** p)
    return s @ np.linalg.inv(s @ r @ s + a * np.eye(len(m))) @ s @ m


def test_weights_are_those_of_the_formula() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(-63, 64, (6, 500)).astype(np.float64)
    x[5] = 0.4 * x[0] + 0.6 * x[1]
    r = pools.correlations(x @ x.T)
    length = np.sqrt((x * x).sum(axis=1))
    assert np.allclose(r, (x @ x.T) / np.outer(length, length))
    series = (0.02 + rng.normal(0, 0.05, (6, 400))).astype(np.float32)
    series[2, 150:260] = np.nan
    parts = (slice(0, 300), slice(304, 390))
    found = pools.fit(r, series, parts, 1, 4)
    m = np.nanmean(np.concatenate([series[:, p] for p in parts], axis=1).astype(float), axis=1)
    assert found.weights == pytest.approx(oracle_weights(r, m, found.penalty, found.power), rel=1e-9)
    assert math.isfinite(found.expected)
    nothing = pools.fit(r, np.full((6, 400), np.nan, dtype=np.float32), parts, 1, 4)
    assert nothing.weights.tolist() == [0.0] * 6


def test_known_correlations_solve_like_those_that_grow() -> None:
    rng = np.random.default_rng(1)
    own = rng.integers(-63, 64, (300, 900)).astype(np.int8)
    grown = GrowingCorrelations(900)
    grown.add(own)
    known = pools.KnownCorrelations(pools.correlations(own.astype(float) @ own.T.astype(float)))
    assert known.size == grown.size
    assert known.matrix() == pytest.approx(grown.matrix(), abs=1e-6)
    scale, w = rng.random(300), rng.normal(size=(300, 3))
    lower = np.tril_indices(300)
    assert known.system(scale, 0.3, np.float64)[lower] == pytest.approx(
        grown.system(scale, 0.3, np.float64)[lower], abs=1e-6
    )
    assert known.variances(w) == pytest.approx(grown.variances(w), rel=1e-5)


def test_a_year_is_judged_with_its_own_dates_alone(panel: Panel) -> None:
    cells, test, stop, span = Cells.of(panel), 600, 700, 5
    labels = ff.forward_returns(panel, horizon=span)
    alphas = reader("random", panel)(["RANK(CLOSE)", SIGNAL])
    every = np.stack([cells.levels(r) for r in ranks_on(alphas, panel, np.arange(panel.shape[0]))])
    judged = pools.Judged.of(labels, panel.universe, test, stop, span, 1)
    w = np.array([[0.5, 1.0], [0.0, 2.0]])
    one, other = pools.forecasts(every, w, cells, judged.first, judged.stop)
    assert one.shape == (105, panel.shape[1])
    slow = np.where(every == MISSING, 0, every).astype(float)
    want = cells.grid((w @ slow)[0][cells.rows(595, 700)], 595, 700)
    there = np.isfinite(one)
    assert np.allclose(one[there], want[there], rtol=1e-6)
    middle = (slow == 0).all(axis=0)[cells.rows(595, 700)].astype(float)
    assert np.array_equal(~there & panel.universe[595:700], cells.grid(middle, 595, 700) == 1.0)
    figures = judged.figures(other, 1)
    y = np.where(panel.universe, labels, np.nan)[test:stop]
    assert figures["rank_ic"] == pytest.approx(np.nanmean(ff.rank_ic(other[5:], y)), abs=1e-12)
    assert figures["days"] == 100
    assert figures["net"] == pytest.approx(figures["spread"] - 10.0 * figures["traded"], abs=0.02)


def test_intervals_are_those_of_a_slow_bootstrap() -> None:
    rng = np.random.default_rng(4)
    d = rng.normal(0.01, 0.02, (5, 3))
    d[2, 1] = np.nan
    centre, low, high = intervals.interval(d, 500)
    again = np.random.default_rng(0)
    years, seeds = again.integers(0, 5, (500, 5)), again.integers(0, 3, (500, 3))
    drawn_ = [np.nanmean([d[y, s] for y in ys for s in ss]) for ys, ss in zip(years, seeds, strict=True)]
    assert centre == pytest.approx(np.nanmean(d))
    assert (low, high) == pytest.approx(tuple(np.quantile(drawn_, (0.025, 0.975))))
    assert math.isnan(intervals.interval(d[:1])[1])
    assert math.isnan(intervals.interval(np.full((3, 2), np.nan))[0])


def test_arms_are_paired_by_year_and_seed() -> None:
    mined = {(y, s): 0.1 * y + s for y in (1, 2) for s in (0, 1, 2)}
    fixed = {(y, 0): 0.1 * y for y in (1, 2, 3)}
    other = {(y, s): 0.1 * y for y in (1, 2) for s in (1, 2, 3)}
    assert intervals.paired(mined, fixed) == pytest.approx(np.array([[0, 1, 2], [0, 1, 2]]))
    assert intervals.paired(mined, other) == pytest.approx(np.array([[1, 2], [1, 2]]))


def test_features_to_match_lie_between_the_points_of_the_curve() -> None:
    sizes, curve = (1, 10, 100, 1000), (0.01, 0.03, 0.028, 0.05)
    assert intervals.to_match(sizes, curve, 0.005) == 1.0
    assert intervals.to_match(sizes, curve, 0.03) == pytest.approx(10.0)
    assert intervals.to_match(sizes, curve, 0.02) == pytest.approx(math.sqrt(10.0))
    assert intervals.to_match(sizes, curve, 0.04) == pytest.approx(math.sqrt(100.0 * 1000.0))  # not by the dip at 100
    assert intervals.to_match(sizes, curve, 0.051) == math.inf
    assert intervals.at_size(sizes, curve, math.sqrt(10.0)) == pytest.approx(0.02)
    assert intervals.at_size(sizes, curve, 5000) == 0.05


@dataclass(frozen=True)
class Small(studies.Study):
    """A study of a panel in memory."""

    own: Any = None

    def panel(self) -> Panel:
        return self.own


@pytest.fixture
def small(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(studies.STUDIES, "small", Small("small", "a small market", "none", horizons=(1, 5), own=panel))
    monkeypatch.setattr(arms, "FIRST_YEAR", 0)
    return "small"


def jobs(small: str, panel: Panel, cache: Path, results: Any, *, seeds: int = 1) -> list[arms.Job]:
    years = [o.year for o in origins(panel, 0)]
    asked = ("alpha158", "random-free", "mined")
    return jobs_of(small, asked, range(seeds), (1, 5), years, 40, 1, cache, results)


def test_fixed_arms_and_a_search_end_to_end(small: str, panel: Panel, tmp_path: Path) -> None:
    left = jobs(small, panel, tmp_path, [])
    years = [o.year for o in origins(panel, 0)]
    assert len(left) == 2 + len(years)
    out = tmp_path / "out.jsonl"
    for job in [*left[:2], left[2]]:
        for row in rows(job, lambda _: None):
            json.dumps(row)
            append(out, row)
    found = finished(out)
    assert [r["arm"] for r in found[: 2 * len(years)]] == ["alpha158"] * 2 * len(years)
    for r in found:
        sizes = [p["size"] for p in r["pools"]]
        assert sizes == sorted(sizes)
        assert all(math.isfinite(p[m]) for p in r["pools"] for m in tables.SHOWN)
    kinds = {a + more for a in ("random-free", "mined") for more in ("", "+alpha158", "-chosen")}
    assert {r["arm"] for r in found} >= kinds
    # What was planted is among them: of Alpha158 MA10 is its inverse.
    best = [r["pools"][-1]["rank_ic"] for r in found if r["arm"] == "alpha158" and r["horizon"] == 1]
    assert np.mean(best) > 0.05
    one = next(r for r in found if r["arm"] == "mined")
    assert one["proposed"] == 40
    assert 0 < one["formulas"] <= 40
    # Nothing of it is run again; a row that is missing is.
    assert len(jobs(small, panel, tmp_path, found)) == len(years) - 1
    part = [r for r in found if not (r["arm"] == "random-free" and r["year"] == years[-1] and r["horizon"] == 5)]
    (again,) = [j for j in jobs(small, panel, tmp_path, part) if j.arm == "random-free"]
    (row,) = list(rows(again, lambda _: None))
    was = next(r for r in found if r not in part)
    assert row["pools"] == was["pools"]
    text = tables.render([out])
    assert "| Alpha158 |" in text
    assert "| mined and Alpha158 |" in text
    assert "RankIC / spread by year" in text


def test_a_formula_that_sees_more_dates_has_no_other_figures(small: str, panel: Panel, tmp_path: Path) -> None:
    """A search measures its formulas on data that end with the test year: they pool as if on all."""
    bench = arms.Bench(small, tmp_path, 1)
    texts, origin = drawn(panel, 3, 15, level_free=True), bench.origins[0]
    whole, cut = Bank(tmp_path / "a", bench.cells), Bank(tmp_path / "b", bench.cells.until(origin.stop))
    whole.extend(texts, reader("mined", panel), panel, 1)
    cut.extend(texts, reader("mined", panel), panel.slice_dates(0, origin.stop), 1)
    assert np.array_equal(whole.levels()[:, : bench.cells.start[origin.stop]], cut.levels())


def test_copies_and_what_hardly_has_values_are_not_pooled(small: str, panel: Panel, tmp_path: Path) -> None:
    bench = arms.Bench(small, tmp_path, 1)
    texts = [SIGNAL, "0 - CLOSE / TS_MEAN(CLOSE, 10)", "RET", "0 * RET", "WHERE(RANK(VOLUME) > 0.9, RET, 0 / 0 * RET)"]
    bank = Bank(tmp_path / "a", bench.cells)
    bank.extend(texts, reader("mined", panel), panel, 1)
    assert bench.usable(bank.levels()).tolist() == [0, 2]


def test_dates_are_sampled_evenly_and_alike_at_every_origin(small: str, panel: Panel, tmp_path: Path) -> None:
    bench = arms.Bench(small, tmp_path, 1)
    origin, first = bench.origins[-1], bench.origins[0].test
    dates = bench.sampled(0, origin.test)
    assert np.array_equal(dates, np.unique(dates))
    assert all(np.sum(bench.year[dates] == y) == 48 for y in np.unique(bench.year) if y < origin.year)
    assert np.array_equal(np.concatenate([bench.sampled(0, first), bench.sampled(first, origin.test)]), dates)


def row(arm: str, year: int, seed: int, curve: dict[int, float], study: str = "csi300", **rest: Any) -> dict[str, Any]:
    cells = [
        {"size": n, "penalty": 0.1, "power": 0.0, "rank_ic": v, "ic": v, "spread": 100 * v, "net": v, "traded": 1.0}
        for n, v in curve.items()
    ]
    head = {"suite": "origins", "study": study, "arm": arm, "horizon": 5, "year": year, "seed": seed}
    return {**head, "candidates_asked": 100, "pools": cells, "formulas": max(curve), "seconds": 1.0, **rest}


def test_short_lists_are_chosen_before_the_test_year() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(6, 400))
    x[3] = x[2] + 0.1 * rng.normal(size=400)
    correlation = np.corrcoef(x)
    figures = np.full((8, 90), np.nan, dtype=np.float32)
    figures[2:] = np.array([0.01, 0.02, 0.05, 0.049, -0.03, 0.0])[:, None]
    figures[2, 60:] = 9.0  # later than what is known
    pool = arms.Pool("a-chosen", {6: np.arange(2, 8)}, (1, 3, 100))
    whole = np.eye(8)
    whole[2:, 2:] = correlation
    found = arms._chosen(pool, whole, figures, (slice(0, 30), slice(35, 60)))
    assert found[1].tolist() == [4]
    assert found[3].tolist()[:2] == [4, 6]
    assert 5 not in found[3]  # too like the first
    assert 100 not in found
    assert arms._chosen(arms.Pool("a", {6: np.arange(6)}), whole, figures, (slice(0, 30),)) == {}


def test_tables_compare_with_alpha158_and_as_many_random_ones(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    for year in (2015, 2016, 2017):
        append(out, row("alpha158", year, 0, {157: 0.05}, candidates_asked=0))
        for seed in (0, 1):
            append(out, row("random", year, seed, {1: math.nan, 10: 0.01, 100: 0.02, 1000: 0.04}))
            append(out, row("mined", year, seed, {1: 0.01, 10: 0.04, 100: 0.025 + 0.01 * seed}))
    append(out, row("mined", 2015, 0, {1: 0.01, 10: 0.04, 100: 0.025}))  # run again
    text = tables.render([out])
    (line,) = [x for x in text.split("\n") if x.startswith("| mined | 100 |")]
    cells = [c.strip() for c in line.strip("|").split("|")]
    assert cells[2] == "2"
    assert cells[3] == "0.0300"
    assert cells[7].startswith("-0.0200 (")
    assert cells[9].startswith("+0.0100 (")  # as many random ones have .02
    assert cells[11] == "316"
    (curve,) = [x for x in text.split("\n") if x.startswith("| random, no gate | 0.0000 / 0.0 |")]
    assert "1,000: 0.0400 / 4.0" in curve
    assert "| Alpha158 | 0.050 / 5 | 0.050 / 5 | 0.050 / 5 |" in text
    page = tmp_path / "results.md"
    page.write_text(f"before\n{tables.BEGIN}\nold\n{tables.END}\nafter\n")
    assert main(["table", str(out), "--write", str(page)]) == 0
    written = page.read_text()
    assert written.startswith("before\n")
    assert written.endswith("after\n")
    assert text in written
    assert "old" not in written
    page.write_text("nothing")
    with pytest.raises(SystemExit, match="has no lines"):
        main(["table", str(out), "--write", str(page)])
    assert tables.render([tmp_path / "none.jsonl"]) == "no results yet"


def test_jobs_of_a_seed_come_together_and_published_sets_once(tmp_path: Path) -> None:
    found = jobs_of("csi300", ("alpha158", "random", "mined"), range(2), (1, 5), (2015,), 10, 1, tmp_path, [])
    assert [(j.arm, j.seed) for j in found] == [
        ("alpha158", 0),
        *[("random", 0), ("mined", 0)],
        *[("random", 1), ("mined", 1)],
    ]
    assert rows_of(found[0]) == [("alpha158", 1, 2015), ("alpha158", 5, 2015)]
    assert ("random+alpha158", 5, 2015) in rows_of(found[1])


def test_wrong_use_and_missing_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--seeds", "0"])
    monkeypatch.setenv("FAMA_DATA", str(tmp_path))
    assert main(["run", "--out", str(tmp_path / "o.jsonl")]) == 2
    assert "set FAMA_DATA" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="there is no rung depth-9"):
        main(["planted", "--rungs", "depth-9", "--out", str(tmp_path / "o.jsonl")])


def test_signals_of_a_rung_have_its_depth_and_are_unlike_each_other() -> None:
    for depth in (2, 4):
        texts = planted.signals_of(planted.Rung(depth, 0.02, 2), 1)
        assert texts == planted.signals_of(planted.Rung(depth, 0.03, 2), 1)
        assert [ff.compile(t).node.depth for t in texts] == [depth, depth]
        blank = simulate(SimulationSpec(n_symbols=60, n_dates=260, seed=77))
        assert planted.best(blank, texts[:1], texts[1:])[0] <= planted.FOUND
        assert planted.best(blank, texts, texts) == pytest.approx([1.0, 1.0], abs=1e-5)
        (negative,) = planted.best(blank, [f"0 - ({texts[0]})"], texts[:1])
        assert negative == pytest.approx(1.0, abs=1e-5)


def test_a_small_ladder_end_to_end(tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out.jsonl"
    for job in planted.ladder_jobs(range(1), 30, 1, out, ["depth-2-0.03"]):
        (found,) = list(rows(replace(job, symbols=40, dates=260), lambda _: None))
        json.dumps(found)
        assert len(found["best"]) == 1
        append(out, found)
    assert planted.ladder_jobs(range(1), 30, 1, out, ["depth-2-0.03"]) == []
    assert runner.run_ladder([], 1, out) == 0
    assert main(["table", str(out)]) == 0
    assert "| 2 | 0.03 | 1 | 30 |" in capsys.readouterr().out


def test_a_job_that_fails_says_so_and_the_rows_before_it_stay(tmp_path: Path, capsys: Any) -> None:
    job = planted.LadderJob("depth-2-0.03", "random-free", 0, 5, 1, symbols=40, dates=260)
    broken = replace(job, dates=1)
    out = tmp_path / "out.jsonl"
    assert runner.run_ladder([job, broken], 1, out) == 1
    assert [r["seed"] for r in finished(out)] == [0]
    assert "failed:" in capsys.readouterr().err


def test_published_sets_are_those_that_the_data_can_serve(panel: Panel) -> None:
    assert len(published("alpha158", panel)) == 158
    assert len(published("alpha360", panel)) == 358
    assert 70 < len(published("alpha101", panel)) < 101  # without groups
