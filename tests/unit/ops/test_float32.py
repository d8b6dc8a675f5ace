"""float32 panels and results: the bits of the widened panel, and of its results rounded once.

What a float32 panel loses it loses when its data are rounded; nothing that the engine does afterwards may differ.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import fama_fast as ff
from fama_fast.backends.numba_vm import memory
from fama_fast.backends.numba_vm.run import execute
from fama_fast.backends.numba_vm.run_memory import blocked
from fama_fast.engine import daily_rank_ic
from fama_fast.evaluation.rows import SortedRows
from fama_fast.panel import Panel
from fama_fast.passes import lower
from fama_fast.plan import Plan, Space, Stage, make_plan, mask_members, narrowed
from tests.support.oracle import CASES
from tests.unit.lang.test_plan import check_registers, mixed_roots
from tests.unit.ops.test_operators import SPECS, node_of, panel_of
from tests.unit.ops.test_random_expressions import random_alphas, random_panel

if TYPE_CHECKING:
    from fama_fast.types import FloatArray

PANELS = ("missing", "ties", "offset", "universe", "one_row", "one_column", "one_cell")


def same_bits(a: FloatArray, b: FloatArray) -> bool:
    """Equal to the sign of zero; any missing value equals any other."""
    return (
        a.dtype == b.dtype
        and np.array_equal(a, b, equal_nan=True)
        and bool((np.signbit(a) == np.signbit(b))[a == a].all())
    )


def rounded(values: FloatArray) -> FloatArray:
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def in_dates(values: FloatArray, columns: int) -> FloatArray:
    """A blocked result as (dates, symbols)."""
    assert np.isnan(values[-1, :, columns - 8 * (len(values) - 1) :]).all()
    return values.transpose(1, 0, 2).reshape(values.shape[1], -1)[:, :columns]


def check(plan: Plan, blocks: Plan, panel: Panel, **options: Any) -> None:
    """Every mixture of float32 and float64 data, results and layouts."""
    small = panel.astype(np.float32)
    wide = small.astype(np.float64)
    expected = execute(plan, wide, threads=1)
    narrow = [rounded(values) for values in expected]
    for data, dtype, wanted in ((small, "float64", expected), (small, "float32", narrow), (wide, "float32", narrow)):
        assert all(map(same_bits, execute(plan, data, dtype=dtype, **options), wanted))
        found = [in_dates(values, panel.shape[1]) for values in execute(blocks, data, dtype=dtype, **options)]
        assert all(map(same_bits, found, wanted))


@pytest.mark.parametrize("name", SPECS)
def test_every_operator_has_the_bits_of_the_widened_panel(name: str) -> None:
    for panel_name in PANELS:
        panel = panel_of(panel_name)
        roots = tuple(lower(node_of(name, params), frozenset(panel.supplied_fields)) for params in CASES[name])
        if panel.universe is not None:
            roots = mask_members(roots)
        check(make_plan(roots), make_plan(roots, blocked=True), panel)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("threads", "tile_rows"), [(1, None), (2, 1), (3, 7)])
def test_random_expressions_have_them_too(seed: int, threads: int, tile_rows: int | None) -> None:
    small = random_panel(seed).astype(np.float32)
    wide = small.astype(np.float64)
    alphas = [
        *random_alphas(40, 300 + seed),
        *map(ff.compile, ("CLOSE", "RET", "DELTA(CLOSE, 5)", "RANK(DELAY(VWAP, 2))")),
    ]
    options: dict[str, Any] = {"threads": threads, "tile_rows": tile_rows}
    expected = ff.evaluate(alphas, wide, threads=1)
    narrow = [rounded(values) for values in expected]
    columns = small.shape[1]
    assert all(map(same_bits, ff.evaluate(alphas, small, **options), expected))
    assert all(map(same_bits, ff.evaluate(alphas, small, dtype="float32", **options), narrow))
    for panel in (small, wide):
        blocks = ff.evaluate(alphas, panel, dtype="float32", layout="blocks", **options)
        assert all(same_bits(in_dates(b, columns), n) for b, n in zip(blocks, narrow, strict=True))
    budgeted = ff.evaluate(alphas, small, dtype="float32", memory_budget="1MB", **options)
    assert all(map(same_bits, budgeted, narrow))


@pytest.mark.parametrize("columns", [2000, 2008, 2003])  # whole lines, whole half lines, neither
def test_results_that_are_streamed_out_past_the_caches(columns: int) -> None:
    shape = (2112, columns)
    dates = np.datetime64("2010-01-01") + np.arange(shape[0])
    rng = np.random.default_rng(columns)
    close = rng.normal(size=shape)
    close[rng.random(shape) < 0.01] = np.nan
    small = Panel(dates, range(columns), {"CLOSE": close}, dtype="float32")
    wide = small.astype(np.float64)
    texts = ["CLOSE", "DELTA(CLOSE, 5)", "CLOSE * 2 + 1", "TS_MEAN(CLOSE, 20)", "RANK(CLOSE)"]
    expected = [rounded(values) for values in ff.evaluate(texts, wide)]
    for threads in (1, 2, 3):
        found = ff.evaluate(texts, small, dtype="float32", threads=threads)
        assert all(map(same_bits, found, expected))
        del found
        blocks = ff.evaluate(texts, small, dtype="float32", layout="blocks", threads=threads)
        assert all(same_bits(in_dates(b, columns), e) for b, e in zip(blocks, expected, strict=True))
        del blocks


def test_figures_inside_the_engine_have_the_bits_of_the_widened_panel() -> None:
    small = random_panel(1).astype(np.float32)
    wide = small.astype(np.float64)
    alphas = [*random_alphas(30, 77), ff.compile("CLOSE"), ff.compile("RET")]
    labels = SortedRows.of(ff.forward_returns(wide))
    for ours, theirs in zip(daily_rank_ic(alphas, small, labels), daily_rank_ic(alphas, wide, labels), strict=True):
        assert same_bits(ours, theirs)


def test_what_float32_cannot_hold_is_infinite_as_when_rounded_afterwards() -> None:
    panel = random_panel(0)
    texts = ["CLOSE * 1e38", "-CLOSE * 1e300", "CLOSE * 1e-44", "RANK(CLOSE) * 1e39"]
    for layout in ("dates", "blocks"):
        expected = [rounded(values) for values in ff.evaluate(texts, panel, layout=layout)]
        assert np.isinf(expected[0]).any()
        assert all(map(same_bits, ff.evaluate(texts, panel, dtype="float32", layout=layout), expected))


def test_blocked_copies_have_half_the_bytes_and_are_kept() -> None:
    small = random_panel(1).astype(np.float32)
    copy, _ = blocked(small, "CLOSE")
    assert copy.dtype == np.float32
    assert copy is blocked(small, "CLOSE")[0]
    assert copy.nbytes * 2 == blocked(small.astype(np.float64), "CLOSE")[0].nbytes
    assert blocked(small, "group:SECTOR")[0].dtype == np.float64


def test_float32_results_take_their_memory_from_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "POOL", memory.BufferPool())
    for shape in ((3, 5, 8), (7, 3), (1, 1)):
        array = memory.leased(shape, np.float32)
        assert array.dtype == np.float32
        assert array.shape == shape
        assert array.flags.c_contiguous
        assert array.flags.writeable
        place = array.ctypes.data
        assert place % 64 == 0
        del array
        assert memory.leased(shape, np.float32).ctypes.data == place


def _without_waiting(stage: Stage) -> Stage:
    """The stage without the registers in which halves of cache lines wait from tile to tile; nobody else has those."""
    waiting = [i.inputs[1] for i in stage.instructions if i.kernel == "memory.emit_block_narrow"]
    made = [i._replace(inputs=i.inputs[:1]) if "emit_block" in i.kernel else i for i in stage.instructions]
    used = [slot for i in made for slot in (i.out, *i.inputs)]
    assert len(set(waiting)) == len(waiting)
    assert not set(waiting) & set(used)
    return replace(stage, instructions=tuple(made))


def test_narrow_programs_keep_their_registers_apart() -> None:
    for blocks in (False, True):
        plan = make_plan(mixed_roots(), blocked=blocks)
        for fields, results in ((True, False), (False, True), (True, True)):
            made = narrowed(plan, fields=fields, results=results)
            for stage in made.stages:
                for instruction in stage.instructions:
                    of_fields = [s for s in instruction.inputs if s.space is Space.FIELD]
                    groups = [s for s in of_fields if made.fields[s.index].startswith("group:")]
                    assert not instruction.narrow or (fields and of_fields and not groups)
                    assert instruction.narrow or not fields or of_fields == groups
            check_registers(replace(made, stages=tuple(_without_waiting(stage) for stage in made.stages)))


def test_arrays_to_write_to_have_the_type_of_the_results() -> None:
    panel = random_panel(0)
    plan = make_plan([ff.compile("CLOSE").node])
    out = np.empty(panel.shape, np.float32)
    execute(plan, panel, out=[out], dtype="float32")
    assert same_bits(out, rounded(panel["CLOSE"]))
    with pytest.raises(ff.DataError, match="float32 arrays"):
        execute(plan, panel, out=[np.empty(panel.shape)], dtype="float32")
