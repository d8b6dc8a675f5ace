"""Stages, registers and buffers of the program, checked as data and by running it."""

from __future__ import annotations

import itertools
import math
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

import fama_fast
from fama_fast import ir, ops
from fama_fast.backends.numba_vm import memory
from fama_fast.backends.numba_vm.run import execute
from fama_fast.errors import ConfigError
from fama_fast.panel import GroupField, Panel
from fama_fast.plan import Axis, Plan, Space, make_plan, mask_members, set_min_coverage

if TYPE_CHECKING:
    from fama_fast.types import FloatArray

CLOSE, OPEN, VOLUME = ir.field("CLOSE"), ir.field("OPEN"), ir.field("VOLUME")
b = ops.build


def panel(t: int = 70, n: int = 21, seed: int = 0, universe: bool = False) -> Panel:
    rng = np.random.default_rng(seed)
    fields = {}
    for name in ("OPEN", "CLOSE", "VOLUME"):
        values = np.exp(rng.normal(size=(t, n)))
        values[rng.random((t, n)) < 0.05] = np.nan
        fields[name] = values
    member = rng.random((t, n)) < 0.8 if universe else None
    codes = np.broadcast_to(rng.integers(0, 3, n).astype(float), (t, n)).copy()
    dates = np.datetime64("2020-01-01") + np.arange(t)
    return Panel(dates, range(n), fields, universe=member, groups={"SECTOR": GroupField(codes, ("a", "b", "c"))})


def mixed_roots() -> list[ir.Node]:
    change = b("SUB", CLOSE, b("DELAY", CLOSE, 3))
    ranked = b("RANK", change)
    smooth = b("TS_MEAN", ranked, 4)
    return [
        b("RANK", b("ADD", smooth, b("RANK", VOLUME))),
        b("GROUP_NEUTRALIZE", b("MUL", change, -1.0), ir.group("SECTOR")),
        smooth,
        change,
        CLOSE,
        ir.const(2.5),
        b("IF_ELSE", b("LT", CLOSE, OPEN), 1.0, b("CORREL", ranked, b("RANK", VOLUME), 6)),
        b("TS_SUM", ir.const(1.0), 3),
    ]


def check_registers(plan: Plan) -> None:
    """Every register is written before it is read, and no stage names one beyond its count."""
    for stage in plan.stages:
        written = set()
        for i in stage.instructions:
            for slot in i.inputs:
                if slot.space is Space.REGISTER:
                    assert slot in written
            if i.out.space is Space.REGISTER:
                assert i.out.index < stage.n_registers
                assert i.out not in i.inputs
                written.add(i.out)


def test_stages_alternate_and_registers_are_sound() -> None:
    plan = make_plan(mixed_roots())
    axes = [s.axis for s in plan.stages]
    assert axes == [Axis.TIME, Axis.DATE, Axis.TIME, Axis.DATE]
    check_registers(plan)
    allocated = [i for s in plan.stages for i in s.allocates]
    released = [i for s in plan.stages for i in s.releases]
    assert sorted(allocated) == sorted(released) == list(range(plan.n_buffers))


def test_a_long_chain_needs_few_registers() -> None:
    node = CLOSE
    for _ in range(50):
        node = b("ADD", b("ABS", node), 1.0)
    (stage,) = make_plan([node]).stages
    assert stage.n_registers <= 2


def test_common_work_appears_once() -> None:
    shared = b("TS_MEAN", CLOSE, 20)
    plan = make_plan([b("RANK", shared), b("SUB", CLOSE, shared), b("ABS", shared)])
    kernels = [i.kernel for s in plan.stages for i in s.instructions]
    assert kernels.count("ts_moments.mean") == 1


@pytest.mark.parametrize("universe", [False, True])
def test_company_threads_and_tiles_change_no_bit(universe: bool) -> None:
    data = panel(universe=universe)
    roots = mixed_roots()
    if universe:
        roots = list(mask_members(roots))
    alone = [execute(make_plan([r]), data, threads=1)[0] for r in roots]
    for threads, rows in itertools.product((1, 2, 3), (None, 1, 7)):
        together = execute(make_plan(roots), data, threads=threads, tile_rows=rows)
        for x, y in zip(alone, together, strict=True):
            np.testing.assert_array_equal(x.view(np.int64) | (np.isnan(x)), y.view(np.int64) | np.isnan(y))


def test_values_by_hand() -> None:
    data = panel()
    close = data["CLOSE"]
    roots = mixed_roots()
    out = execute(make_plan(roots), data)
    change = np.full(close.shape, np.nan)
    change[3:] = close[3:] - close[:-3]
    np.testing.assert_array_equal(out[3], change)
    np.testing.assert_array_equal(out[4], close)
    assert (out[5] == 2.5).all()
    assert np.isnan(out[7][:2]).all()
    assert (out[7][2:] == 3.0).all()
    codes = data.group("SECTOR").codes[0]
    expected = -change
    with np.errstate(invalid="ignore"):
        for t in range(close.shape[0]):
            for g in range(3):
                rows = codes == g
                if np.isfinite(expected[t, rows]).any():
                    expected[t, rows] -= np.nanmean(expected[t, rows])
    np.testing.assert_allclose(out[1], expected, rtol=1e-12, atol=1e-12)


def test_members_only_take_part_in_cross_sections() -> None:
    data = panel(universe=True)
    assert data.universe is not None
    (rank,) = execute(make_plan(mask_members([b("RANK", CLOSE)])), data)
    masked = np.where(data.universe, data["CLOSE"], np.nan)
    counts = np.isfinite(masked).sum(axis=1)
    assert np.isnan(rank[~data.universe]).all()
    np.testing.assert_allclose(np.nanmax(rank, axis=1), 1.0)
    np.testing.assert_allclose(np.nanmin(rank, axis=1), 1.0 / counts)
    (mean,) = execute(make_plan(mask_members([b("TS_MEAN", CLOSE, 5)])), data)
    (free,) = execute(make_plan([b("TS_MEAN", CLOSE, 5)]), data)
    np.testing.assert_array_equal(mean, free)


def test_min_coverage_relaxes_windows_that_say_nothing() -> None:
    plain, explicit = b("TS_MEAN", CLOSE, 10), b("TS_MEAN", CLOSE, 10, min_periods=9)
    relaxed, kept = set_min_coverage([plain, explicit], 0.25)
    assert relaxed is b("TS_MEAN", CLOSE, 10, min_periods=3)
    assert kept is explicit
    assert set_min_coverage([plain], 1.0)[0] is plain


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (3, 8), (5, 17)])
def test_odd_shapes(shape: tuple[int, int]) -> None:
    t, n = shape
    data = panel(t, n, seed=3)
    out = execute(make_plan(mixed_roots()), data, threads=2)
    assert all(o.shape == shape for o in out)


def hard_series(rng: np.random.Generator, t: int) -> dict[str, FloatArray]:
    noise = rng.normal(size=t)
    jump = np.where((np.arange(t) // 37) % 2 == 0, noise, 1e10 + noise)
    constant = np.where((np.arange(t) // 40) % 2 == 0, 3.3, noise)
    spike = noise.copy()
    spike[t // 2] = 1e300
    spike[t // 3] = np.inf
    return {
        "offset": 1e12 + noise,
        "jump": jump,
        "constant then noise": constant,
        "denormal": noise * 1e-310,
        "one spike": spike,
    }


@pytest.mark.parametrize("d", [2, 7, 60, 250])
def test_hard_series_keep_nine_digits(d: int) -> None:
    """Sums, means, deviations, covariances and correlations against extended precision."""
    rng = np.random.default_rng(7)
    t = 600
    series = hard_series(rng, t)
    x = np.column_stack(list(series.values()))
    y = rng.normal(size=x.shape)
    data = Panel(np.datetime64("2000-01-01") + np.arange(t), list(series), {"X": x, "Y": y})
    X, Y = ir.field("X"), ir.field("Y")
    names = ("TS_SUM", "TS_MEAN", "TS_STDDEV")
    out = execute(make_plan([*(b(n, X, d) for n in names), b("TS_COVARIANCE", X, Y, d), b("CORREL", X, Y, d)]), data)
    xl = np.where(np.isfinite(x), x, np.nan).astype(np.longdouble)
    yl = y.astype(np.longdouble)
    for j, name in enumerate(series):
        for i in range(d - 1, t):
            w, v = xl[i - d + 1 : i + 1, j], yl[i - d + 1 : i + 1, j]
            if np.isnan(w).any():
                assert all(np.isnan(o[i, j]) for o in out), (name, i)
                continue
            with np.errstate(all="ignore"):
                total, mean = w.sum(), w.mean()
                e, f = w - mean, v - v.mean()
                deviation = np.sqrt((e * e).sum() / (d - 1))
                covariance = (e * f).sum() / (d - 1)
                spread = np.sqrt((e * e).sum() * (f * f).sum())
            scale = np.abs(w).max()
            assert abs(out[0][i, j] - total) <= 1e-9 * max(abs(total), 1e-6 * scale), (name, i)
            assert abs(out[1][i, j] - mean) <= 1e-9 * max(abs(mean), 1e-6 * scale), (name, i)
            if w.min() == w.max():
                assert out[2][i, j] == 0.0
                assert np.isnan(out[4][i, j])
            elif np.isfinite(float(deviation * deviation)) and float(deviation) > 1e-150:
                assert abs(out[2][i, j] - deviation) <= 1e-9 * deviation, (name, i)
                assert abs(out[3][i, j] - covariance) <= 1e-9 * float(spread) / (d - 1), (name, i)
                assert abs(out[4][i, j] - covariance * (d - 1) / spread) <= 1e-9, (name, i)


# --- blocked results ------------------------------------------------------------------------------


def test_blocked_results_hold_the_same_bits() -> None:
    """A root that is a field, one asked for twice, one that others read, windows and cross-sections of both axes."""
    data = panel(t=90, n=21)
    texts = [
        "CLOSE",
        "TS_MEAN(CLOSE, 5)",
        "TS_MEAN(CLOSE, 5)",
        "RANK(TS_MEAN(CLOSE, 5)) - DELTA(CLOSE, 3)",
        "TS_STDDEV(RANK(CLOSE), 4)",
        "IS_NAN(CLOSE)",
    ]
    rows = fama_fast.evaluate(texts, data)
    for threads in (1, 3):
        blocks = fama_fast.evaluate(texts, data, layout="blocks", threads=threads)
        for values, block in zip(rows, blocks, strict=True):
            assert block.shape == (3, 90, 8)
            wide = block.transpose(1, 0, 2).reshape(90, -1)
            np.testing.assert_array_equal(wide[:, :21], values)
            assert np.isnan(wide[:, 21:]).all()


def test_blocked_results_are_refused_where_they_cannot_be() -> None:
    data = panel(t=90, n=21)
    with pytest.raises(ConfigError, match='"dates" or "blocks"'):
        fama_fast.evaluate(["CLOSE"], data, layout="columns")  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="panel in memory"):
        fama_fast.evaluate(["CLOSE"], data, layout="blocks", output=lambda chunk: None)


def test_a_lag_runs_in_pieces_only_where_its_operand_stays() -> None:
    """Pieces write over a register that a lag of an earlier piece still reads: long series, registers used again."""
    data = panel(t=1500, n=9)
    texts = [
        "DELAY(CLOSE + OPEN, 700) * 2 - CLOSE / (OPEN + 1)",
        "DELAY(TS_MEAN(CLOSE, 3), 5) + (OPEN - VOLUME) * DELAY(TS_MEAN(CLOSE, 3), 600) - CLOSE",
        "DELAY(DELAY(CLOSE, 2) - OPEN, 511) / DELAY(CLOSE, 513)",
    ]
    whole = fama_fast.evaluate(texts, data)
    parts = [fama_fast.evaluate([t], data)[0] for t in texts]
    for values, alone in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(values, alone)
    close, opened = data["CLOSE"], data["OPEN"]
    late = np.full_like(close, np.nan)
    late[700:] = (close + opened)[:-700]
    np.testing.assert_array_equal(whole[0], late * 2 - close / (opened + 1))


def test_memory_of_results_returns_when_the_last_view_is_gone() -> None:
    data = panel(t=90, n=21)
    first = fama_fast.evaluate(["CLOSE * 2"], data)[0]
    view = first[3:5]
    kept = view.copy()
    del first
    again = fama_fast.evaluate(["CLOSE * 3", "CLOSE * 4"], data)
    np.testing.assert_array_equal(view, kept)
    assert not any(np.shares_memory(view, values) for values in again)


def test_a_run_uses_its_own_buffers_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """However little the pool may keep, no more buffers are taken from it than live at once."""
    pool = memory.BufferPool(0)
    taken = []
    take = pool.take

    def counted(shape: tuple[int, ...]) -> FloatArray:
        taken.append(shape)
        return take(shape)

    monkeypatch.setattr(pool, "take", counted)
    monkeypatch.setattr("fama_fast.backends.numba_vm.run_memory.POOL", pool)
    data = panel()
    roots = [b("TS_MEAN", b("RANK", b("TS_MEAN", CLOSE, d)), d) for d in range(2, 30)]
    plan = make_plan(roots)
    outputs = [np.empty(data.shape) for _ in roots]
    execute(plan, data, out=outputs)
    assert len(taken) == plan.peak_buffers < plan.n_buffers


@pytest.mark.parametrize("n", [24, 21])  # where the last block is not full a result is smaller than a buffer
def test_a_result_takes_the_memory_of_a_buffer_that_the_run_has_done_with(
    monkeypatch: pytest.MonkeyPatch, n: int
) -> None:
    pool, made = memory.BufferPool(), []
    aligned = memory.aligned

    def counted(shape: tuple[int, ...]) -> FloatArray:
        made.append(shape)
        return aligned(shape)

    data = panel(n=n)
    plan = make_plan([b("RANK", b("TS_MEAN", CLOSE, 5)), b("TS_MEAN", b("RANK", VOLUME), 5)])
    expected = [values.copy() for values in execute(plan, data)]
    monkeypatch.setattr(memory, "aligned", counted)
    monkeypatch.setattr(memory, "POOL", pool)
    monkeypatch.setattr("fama_fast.backends.numba_vm.run_memory.POOL", pool)
    found = execute(plan, data)
    # Two buffers and the first result; the second result is where the first buffer was.
    assert [math.prod(shape) for shape in made].count(3 * 70 * 8) == 3
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_keeps_most_intermediates_comes_before_most_results_are_there() -> None:
    """Simple expressions given first are computed last, so that intermediates and results are not many at once."""
    simple = [b("TS_MEAN", CLOSE, d) for d in range(2, 18)]
    deep = [b("TS_MEAN", b("RANK", b("TS_SUM", b("RANK", b("TS_STDDEV", VOLUME, d)), d)), d) for d in range(2, 10)]
    plan = make_plan([*simple, *deep])
    assert plan.peak_arrays == plan.n_outputs  # at no moment more than what is kept in the end
    written: set[int] = set()
    alive = most = 0
    for stage in plan.stages:
        alive += len(stage.allocates)
        written.update(i.out.index for i in stage.instructions if i.out.space is Space.OUTPUT)
        most = max(most, alive + len(written))
        alive -= len(stage.releases)
    assert most == plan.peak_arrays
    assert written == set(range(24))
    data = panel()
    for root, values in zip([*simple, *deep], execute(plan, data), strict=True):
        np.testing.assert_array_equal(values, execute(make_plan([root]), data)[0])


def test_a_full_pool_lets_go_of_the_size_that_was_not_used_for_longest() -> None:
    pool = memory.BufferPool(8 * 50)
    small, large = np.empty(10), np.empty(20)
    pool.give(small)
    pool.give(large)
    pool.give(np.empty(20))
    assert np.shares_memory(pool.take((10,)), small)
    pool.give(small)
    pool.give(np.empty(10))  # of 60 numbers one array of 20 goes
    assert np.shares_memory(pool.take((4, 5)), large)
    pool.trim(8 * 10)
    assert pool.take((20,)) is not large
    kept = [pool.take((10,)) for _ in range(2)]
    assert sum(np.shares_memory(a, small) for a in kept) == 1
    pool.give(large)
    pool.clear()
    assert not np.shares_memory(pool.take((20,)), large)


def test_a_pool_serves_what_is_a_little_smaller_and_keeps_what_it_is_told_to() -> None:
    pool = memory.BufferPool()
    large, small, other = np.empty((40, 5)), np.empty((20, 5)), np.empty(7)
    for array in (large, small, other):
        pool.give(array)
    assert not np.shares_memory(pool.take((190,)), large)
    taken = pool.take((99, 2))
    assert np.shares_memory(taken, large)
    assert taken.shape == (99, 2)
    pool.give(large)
    pool.keep([(198,), (7,)])
    assert np.shares_memory(pool.take((7,)), other)
    assert np.shares_memory(pool.take((200,)), large)
    assert not np.shares_memory(pool.take((100,)), small)


def test_what_the_collector_frees_inside_a_pool_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A result's end gives its memory back wherever the collector happens to run: also while the pool is at work."""
    pool, freed = memory.BufferPool(), np.empty(30)
    serves = memory._serves

    def collecting(held: int, size: int) -> bool:
        pool.give(freed)
        return serves(held, size)

    pool.give(np.empty(20))
    monkeypatch.setattr(memory, "_serves", collecting)
    at_work = threading.Thread(target=pool.take, args=((10,),), daemon=True)
    at_work.start()
    at_work.join(20)
    assert not at_work.is_alive()
    monkeypatch.setattr(memory, "_serves", serves)
    assert np.shares_memory(pool.take((30,)), freed)


def test_work_and_results_may_begin_after_the_first_row() -> None:
    """As on the panel cut there, whichever stage a result is written in, with and without whole blocks."""
    for n in (24, 21):
        data = panel(n=n)
        roots = [
            b("TS_MEAN", CLOSE, 5),
            b("RANK", b("TS_MEAN", CLOSE, 5)),
            b("TS_MEAN", b("RANK", VOLUME), 5),
            b("DELAY", CLOSE, 3),
            CLOSE,
        ]
        plan = make_plan(roots)
        whole = execute(plan, data.slice_dates(17, 70), origin=17)
        for wanted in (17, 20, 69):
            found = execute(plan, data, first=17, wanted=wanted)
            for ours, theirs in zip(found, whole, strict=True):
                assert ours.shape == (70 - wanted, n)
                np.testing.assert_array_equal(ours, theirs[wanted - 17 :])
