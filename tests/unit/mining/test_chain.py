"""Chains of elementwise steps against the same steps in NumPy, one by one; jobs that threads share."""

from __future__ import annotations

import ctypes
import multiprocessing
import sys
import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fama_fast import ir, ops
from fama_fast.backends.numba_vm import abi, loop
from fama_fast.backends.numba_vm.compile import kernel_address
from fama_fast.backends.numba_vm.kernels import steps
from fama_fast.backends.numba_vm.memory import aligned
from fama_fast.backends.numba_vm.run import Bound, _assemble, execute
from fama_fast.backends.numba_vm.threads import HELPERS, ahead
from fama_fast.panel import Panel
from fama_fast.plan import make_plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from fama_fast.types import FloatArray

b = ops.build
FIELDS = ("A", "B", "C")


def panel(t: int, n: int = 9, seed: int = 0) -> Panel:
    """Numbers whose products overflow and underflow, zeros of both signs, and missing ones."""
    rng = np.random.default_rng(seed)
    fields = {}
    for name in FIELDS:
        values = rng.normal(size=(t, n)) * 10.0 ** rng.choice([0, 0, 0, 1, 200, -200], (t, n))
        values[rng.random((t, n)) < 0.05] = np.nan
        values[rng.random((t, n)) < 0.05] = 0.0
        values[rng.random((t, n)) < 0.02] = -0.0
        fields[name] = values
    return Panel(np.datetime64("2020-01-01") + np.arange(t), range(n), fields)


def _truth(holds: FloatArray, *operands: FloatArray) -> FloatArray:
    return np.where(np.any([np.isnan(x) for x in operands], axis=0), np.nan, holds.astype(float))


ONE: dict[str, Callable[[FloatArray], FloatArray]] = {
    "NEG": lambda x: -x,
    "ABS": np.abs,
    "SIGN": np.sign,
    "SQRT": np.sqrt,
    "INVERSE": lambda x: 1.0 / x,
    "FLOOR": np.floor,
    "CEIL": np.ceil,
    "ROUND": np.rint,
    "NOT": lambda x: _truth(x == 0, x),
    "IS_NAN": lambda x: np.isnan(x).astype(float),
}
TWO: dict[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
    "ADD": np.add,
    "SUB": np.subtract,
    "MUL": np.multiply,
    "DIV": np.divide,
    "MIN": lambda x, y: np.where(np.isnan(x) | np.isnan(y), np.nan, np.where(x <= y, x, y)),
    "MAX": lambda x, y: np.where(np.isnan(x) | np.isnan(y), np.nan, np.where(x >= y, x, y)),
    "FMIN": lambda x, y: np.where((x <= y) | np.isnan(y), x, y),
    "FMAX": lambda x, y: np.where((x >= y) | np.isnan(y), x, y),
    "LT": lambda x, y: _truth(x < y, x, y),
    "LE": lambda x, y: _truth(x <= y, x, y),
    "GT": lambda x, y: _truth(x > y, x, y),
    "GE": lambda x, y: _truth(x >= y, x, y),
    "EQ": lambda x, y: _truth(x == y, x, y),
    "NE": lambda x, y: _truth(x != y, x, y),
    "AND": lambda x, y: _truth((x != 0) & (y != 0), x, y),
    "OR": lambda x, y: _truth((x != 0) | (y != 0), x, y),
}
HEAVY = {"LOG1P": np.log1p}  # a kernel of its own, between chains


def _finite(x: FloatArray) -> FloatArray:
    return np.where(np.isfinite(x), x, np.nan)


def _late(x: FloatArray, d: int) -> FloatArray:
    out = np.full_like(x, np.nan)
    out[d:] = x[: len(x) - d] if d < len(x) else x[:0]
    return out


def grown(rng: np.random.Generator, data: Panel, size: int, heavy: bool) -> list[tuple[ir.Node, FloatArray]]:
    """Nodes built of fields, numbers and one another, and their values step by step."""
    t = len(data.dates)
    pool = [(ir.field(name), data[name]) for name in FIELDS]
    numbers = [0.0, 1.0, -2.5, 1e300]
    for _ in range(size):
        x, xv = pool[rng.integers(len(pool))]
        y, yv = pool[rng.integers(len(pool))]
        what = rng.random()
        with np.errstate(all="ignore"):
            if what < 0.15:
                d = int(rng.choice([1, 5, 16, 17, t // 2 + 1]))
                node, values = b("DELAY", x, d), _late(xv, d)
            elif what < 0.35:
                name = str(rng.choice([*ONE, *(HEAVY if heavy else ())]))
                node, values = b(name, x), _finite({**ONE, **HEAVY}[name](xv))
            elif what < 0.45:
                z, zv = pool[rng.integers(len(pool))]
                values = np.where(np.isnan(xv), np.nan, np.where(xv != 0, yv, zv))
                node = b("IF_ELSE", x, y, z)
            elif what < 0.5:
                power = float(rng.choice([2.0, 3.0, 0.5, -1.0]))
                by_power = {2.0: xv * xv, 3.0: xv * xv * xv, 0.5: np.sqrt(xv), -1.0: 1.0 / xv}
                node, values = b("POWER", x, power), _finite(by_power[power])
            else:
                name = str(rng.choice(["ADD", "SUB", "MUL", "DIV"] * 3 + list(TWO)))
                if rng.random() < 0.3:
                    number = numbers[rng.integers(len(numbers))]
                    y, yv = ir.const(number), np.full_like(xv, number)
                    if rng.random() < 0.5:
                        x, y, xv, yv = y, x, yv, xv
                node, values = b(name, x, y), _finite(TWO[name](xv, yv))
        pool.append((node, values))
    return pool[len(FIELDS) :]


def same(x: FloatArray, y: FloatArray) -> bool:
    """Equal bits, but for those of missing values."""
    return np.array_equal(np.where(np.isnan(x), 7, x.view(np.int64)), np.where(np.isnan(y), 7, y.view(np.int64)))


@pytest.mark.parametrize("heavy", [False, True])
@pytest.mark.parametrize("t", [1, 15, 16, 17, 33, 700])
@pytest.mark.parametrize("seed", range(6))
def test_chains_have_the_bits_of_their_steps(t: int, seed: int, heavy: bool) -> None:
    rng = np.random.default_rng([seed, t, heavy])
    data = panel(t, seed=seed)
    made = [(n, v) for n, v in grown(rng, data, 40, heavy) if n.op not in ("CONST", "FIELD")]
    chosen = made[-12:]
    for blocked in (False, True):
        found = execute(make_plan([n for n, _ in chosen], blocked=blocked), data, threads=2)
        for (node, values), out in zip(chosen, found, strict=True):
            by_date = out.transpose(1, 0, 2).reshape(t, -1)[:, :9] if blocked else out
            if heavy:
                np.testing.assert_allclose(by_date, values, rtol=1e-9, atol=0, err_msg=str(node))
            else:
                assert same(np.ascontiguousarray(by_date), values), str(node)


def test_an_infinity_on_the_way_is_missing_in_the_end() -> None:
    """Where a result is checked late, and where that would make a number of it."""
    data = Panel(np.datetime64("2020-01-01") + np.arange(3), ["a"], {"A": np.array([[1e300], [2.0], [-1e300]])})
    a = ir.field("A")
    huge = b("MUL", a, 1e10)
    roots = [b("ADD", huge, 1.0), b("SUB", huge, huge), b("DIV", huge, a), b("DIV", 1.0, huge), b("MAX", huge, 0.0)]
    found = execute(make_plan(roots), data)
    for values in found:
        np.testing.assert_array_equal(np.isnan(values[:, 0]), [True, False, True])
    assert found[3][1, 0] == 1.0 / 2e10


def test_elementwise_work_is_one_instruction() -> None:
    a, c = ir.field("A"), ir.field("C")
    plan = make_plan([b("DIV", b("SUB", a, b("DELAY", a, 5)), b("ADD", c, 0.001))], blocked=True)
    code = _assemble(plan.stages[0])
    assert code.kernels == ("steps.run",)
    assert code.n_registers == 0  # what lies between two steps is in scratch memory


def test_every_step_is_run_by_the_kernel() -> None:
    """Each code in the table is one that a branch of `steps.run` knows: an unknown one would write nothing."""
    t, n = 20, 8
    x = np.exp(np.random.default_rng(0).normal(size=(t, n)))
    for name, code in {**steps.STEPS, "power": steps.SQUARE, "cube": steps.CUBE}.items():
        slots = np.zeros(loop.MAX_SLOTS, dtype=np.int64)
        out = np.full((t, n), -777.0)
        slots[:2] = out.ctypes.data, x.ctypes.data
        params = np.array([1, steps.SPARE, 0, code, 0, 1, 0, 1, 0, 1, 0], dtype=float)
        scratch = aligned((steps.scratch_doubles(1, steps.SPARE),))
        dims = np.zeros(abi.N_DIMS, dtype=np.int64)
        dims[abi.ROWS], dims[abi.WIDTH], dims[abi.SCRATCH] = t, n, scratch.ctypes.data
        kernel = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(kernel_address("steps.run"))
        kernel(slots.ctypes.data, dims.ctypes.data, params.ctypes.data)
        assert not (out == -777.0).any(), name


def _sums(data: Panel, d: int, threads: int) -> FloatArray:
    return execute(make_plan([b("RANK", b("TS_MEAN", ir.field("A"), d))]), data, threads=threads)[0]


def test_a_bound_plan_writes_the_same_again() -> None:
    data = panel(300, 21)
    roots = [b("RANK", b("TS_MEAN", b("RANK", ir.field("A")), 5)), b("SUB", ir.field("A"), ir.field("B"))]
    plan = make_plan(roots)
    expected = execute(plan, data, threads=1)
    for threads in (1, 2, 3):
        out = [np.empty(data.shape) for _ in roots]
        bound = Bound(plan, data, out, threads)
        for _ in range(3):
            for values in out:
                values.fill(7.0)
            bound.run()
            assert all(same(x, y) for x, y in zip(out, expected, strict=True))


def test_many_callers_share_the_helpers() -> None:
    data = panel(400, 40)
    expected = {d: _sums(data, d, 1) for d in range(2, 10)}
    wrong: list[int] = []

    def call(d: int) -> None:
        wrong.extend(d for _ in range(30) if not same(_sums(data, d, 2 + d % 2), expected[d]))

    callers = [threading.Thread(target=call, args=(d,)) for d in expected]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def test_helpers_sleep_and_are_woken() -> None:
    data = panel(1500, 80)
    _sums(data, 5, 2)
    helper = HELPERS._helpers[0]
    deadline = time.monotonic() + 10.0
    while helper.mailbox[loop.STATE] != loop.ASLEEP and time.monotonic() < deadline:
        time.sleep(0.01)
    assert helper.mailbox[loop.STATE] == loop.ASLEEP
    helped = False
    for _ in range(200):
        _sums(data, 5, 2)
        helped = helped or helper.mailbox[loop.DONE] == 1
        time.sleep(0.002)
    assert helped


def _child(expected: FloatArray) -> None:
    sys.exit(0 if same(_sums(panel(300, 40), 5, 2), expected) else 1)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # later Pythons warn of threads that a fork leaves behind
def test_a_forked_process_has_helpers_of_its_own() -> None:
    expected = _sums(panel(300, 40), 5, 2)
    process = multiprocessing.get_context("fork").Process(target=_child, args=(expected,))
    process.start()
    process.join(60)
    assert process.exitcode == 0


def test_what_is_made_ahead_comes_in_order_and_from_one_other_thread() -> None:
    makers = []

    def make(item: int) -> int:
        makers.append(threading.get_ident())
        return item * item

    assert list(ahead(make, range(20))) == [i * i for i in range(20)]
    assert len(set(makers)) == 1
    assert threading.get_ident() not in makers


def test_an_error_ahead_comes_where_its_item_would_and_ends_the_rest() -> None:
    made: list[int] = []

    def make(item: int) -> int:
        if item == 2:
            raise ValueError("no")
        time.sleep(0.01)
        made.append(item)
        return item

    found = ahead(make, range(50))
    assert [next(found), next(found)] == [0, 1]
    with pytest.raises(ValueError, match="no"):
        next(found)
    assert list(ahead(make, [7])) == [7]  # whoever comes next does not wait for what nobody wants any more
    assert len(made) < 20
