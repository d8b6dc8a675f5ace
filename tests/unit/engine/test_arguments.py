"""Whatever a caller gives: compiled code gets right numbers and arrays, or the caller a clear error."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fama_fast as ff
from fama_fast import evaluation as ev
from fama_fast import ops
from fama_fast.arguments import numbers, real, truths, whole
from fama_fast.backends.numba_vm.threads import default_threads
from fama_fast.errors import ConfigError, DataError
from fama_fast.ops.spec import MIN_PERIODS, OpSpec, number, series, window
from fama_fast.panel import GroupField
from fama_fast.plan import make_plan
from fama_fast.types import Family
from tests.support.argument_cases import CODES, LABELS, RETURNS, VALUES, N, T, panel
from tests.support.paths import ROOT


def test_what_is_wrong_is_a_clear_error_everywhere() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "tests.support.argument_cases"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "FAMA_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    trying = found.stderr.strip().splitlines()[-1:]
    assert found.returncode == 0, f"ended with {found.returncode} at {trying}: {found.stderr[-2000:]}"
    outcomes = json.loads(found.stdout)
    assert len(outcomes) > 1400
    wrong = {case: what for case, (kind, what) in outcomes.items() if kind != "fama"}
    assert not wrong
    assert max(len(what) for _, what in outcomes.values()) < 400


# --- right ones, however they lie in memory ---------------------------------------------------------

STRIDED = np.repeat(np.repeat(VALUES, 2, axis=0), 3, axis=1)[::2, ::3]
UNALIGNED = np.frombuffer(b"\0" + VALUES.tobytes(), dtype="u1")[1:].view("f8").reshape(T, N)
READ_ONLY = VALUES.copy()
READ_ONLY.flags.writeable = False
LAID_OUT: dict[str, Any] = {
    "in columns": np.asfortranarray(VALUES),
    "with gaps": STRIDED,
    "backwards": VALUES[::-1, ::-1].copy()[::-1, ::-1],
    "of the other byte order": VALUES.astype(VALUES.dtype.newbyteorder()),
    "read-only": READ_ONLY,
    "between words": UNALIGNED,
    "lists": VALUES.tolist(),
    "objects": VALUES.astype(object),
    "long doubles": VALUES.astype(np.longdouble),
    "masked, nothing missing": np.ma.masked_array(VALUES, np.zeros((T, N), bool)),
}


@pytest.mark.parametrize("layout", LAID_OUT)
def test_arrays_give_the_same_however_they_lie(layout: str) -> None:
    given = LAID_OUT[layout]
    np.testing.assert_array_equal(ff.rank_ic(given, RETURNS), ff.rank_ic(VALUES, RETURNS))
    np.testing.assert_array_equal(ff.ic(RETURNS, given), ff.ic(RETURNS, VALUES))
    np.testing.assert_array_equal(ev.quantile_buckets(given), ev.quantile_buckets(VALUES))
    market, plain = panel(fields={"CLOSE": given}), panel(fields={"CLOSE": VALUES})
    assert market.data_hash == plain.data_hash
    for text in ("RANK(CLOSE)", "GROUP_RANK(CLOSE, SECTOR)", "TS_MEAN(CLOSE, 3)"):
        alpha = ff.compile(text)
        np.testing.assert_array_equal(alpha.evaluate(market), alpha.evaluate(plain))
    codes = np.asarray(CODES).astype("i1") if layout == "objects" else CODES.astype(">f8")
    assert panel(groups={"SECTOR": GroupField(codes, LABELS)}).data_hash == panel().data_hash


@pytest.mark.parametrize("kind", ["i1", "u8", "f2", "f4", "?"])
def test_numbers_of_any_type_are_taken_as_they_are(kind: str) -> None:
    given = np.round(VALUES * 3).astype(kind) if kind != "u8" else np.abs(np.round(VALUES * 3)).astype(kind)
    np.testing.assert_array_equal(panel(fields={"CLOSE": given})["CLOSE"], given.astype(float))
    np.testing.assert_array_equal(ff.rank_ic(given, RETURNS), ff.rank_ic(given.astype(float), RETURNS))


def test_masked_and_missing_cells_are_missing() -> None:
    masked = np.ma.masked_array(VALUES, VALUES > 1.0)
    holes = np.where(VALUES > 1.0, np.nan, VALUES)
    nones = np.where(VALUES > 1.0, None, VALUES)
    for given in (masked, nones):
        np.testing.assert_array_equal(panel(fields={"CLOSE": given})["CLOSE"], holes)
        np.testing.assert_array_equal(ff.ic(given, RETURNS), ff.ic(holes, RETURNS))
    codes = np.ma.masked_array(CODES, CODES == 1.0)
    assert np.isnan(panel(groups={"SECTOR": GroupField(codes, LABELS)}).group("SECTOR").codes[:, 1]).all()
    ones = np.where(VALUES > 0, 1.0, 0.0)
    np.testing.assert_array_equal(panel(universe=ones).universe, VALUES > 0)
    np.testing.assert_array_equal(panel(universe=(VALUES > 0).astype(object)).universe, VALUES > 0)


def test_what_a_caller_changes_afterwards_does_not_reach_a_panel() -> None:
    codes, close, members = CODES.copy(), np.abs(VALUES) + 1.0, np.ones((T, N), bool)
    dates = np.datetime64("2024-01-01") + np.arange(T)
    groups = {"SECTOR": GroupField(codes, list(LABELS))}  # type: ignore[arg-type]
    market = ff.Panel(dates, [str(i) for i in range(N)], {"CLOSE": close}, groups=groups, universe=members)
    alpha = ff.compile("GROUP_RANK(CLOSE, SECTOR) + RANK(CLOSE)")
    before, digest = alpha.evaluate(market), market.data_hash
    codes[:], close[:], members[:], dates[:] = 1e7, -1.0, False, dates[0]
    fresh = ff.Panel(market.dates, market.symbols, {"CLOSE": market["CLOSE"]}, groups=groups, universe=market.universe)
    np.testing.assert_array_equal(alpha.evaluate(fresh), before)
    assert fresh.data_hash == digest
    for array in (market.group("SECTOR").codes, market["CLOSE"], market.universe, market.dates):
        assert array is not None
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    part = market.slice_dates(2, 5, copy=False).group("SECTOR")
    with pytest.raises(ValueError, match="read-only"):
        part.codes[0] = 1e7
    for codes in (groups["SECTOR"].codes, market.group("SECTOR").codes, part.codes):
        with pytest.raises(ValueError, match="WRITEABLE"):  # a code is a place in memory: not on request either
            codes.setflags(write=True)
    assert groups["SECTOR"].labels == LABELS


def test_group_codes_say_where_they_are_wrong() -> None:
    codes = CODES.copy()
    codes[7, 4] = 3.0
    with pytest.raises(DataError, match=r"whole numbers from 0 to 2.*: 1 are not, the first 3 in row 7, column 4"):
        GroupField(codes, LABELS)
    assert np.isnan(GroupField(np.full((2, 2), np.nan), ()).codes).all()
    with pytest.raises(DataError, match="there is no label"):
        GroupField(np.zeros((2, 2)), ())
    labels = ev.Groups(CODES, LABELS)
    assert labels.n == 3
    with pytest.raises(ValueError, match="read-only"):
        labels.codes[0] = 9


def test_the_number_of_threads_in_the_environment_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for good, n in (("3", 3), (" 2 ", 2)):
        monkeypatch.setenv("FAMA_THREADS", good)
        assert default_threads() == n
    for empty in ("", " "):
        monkeypatch.setenv("FAMA_THREADS", empty)
        assert default_threads() >= 1
    for bad in ("0", "-1", "two", "1.5", "1e3", "\N{ARABIC-INDIC DIGIT TWO}x", "99999"):
        monkeypatch.setenv("FAMA_THREADS", bad)
        with pytest.raises(ConfigError, match="FAMA_THREADS must be a whole number from 1 to 1024"):
            ff.evaluate(["RANK(CLOSE)"], panel())


def test_the_readers_of_arguments() -> None:
    assert whole(np.int8(5), "x", 1, 5) == 5
    assert isinstance(whole(np.int8(5), "x"), int)
    assert real(np.float32(0.5), "x", 0, 1) == 0.5
    assert real(3, "x", above=2) == 3.0
    for wrong in (6, 0, 5.0, True, None, "5"):
        with pytest.raises(ConfigError, match="x must be a whole number from 1 to 5, not"):
            whole(wrong, "x", 1, 5)
    for wrong in (-0.1, 1.1, np.nan, True, None, "0.5", 10**400):
        with pytest.raises(ConfigError, match="x must be a number from 0 to 1, not"):
            real(wrong, "x", 0, 1)
    with pytest.raises(ConfigError, match="x must be a number above 0, at most 1, not"):
        real(0.0, "x", high=1.0, above=0.0)
    kept = np.ones((2, 3))
    assert np.shares_memory(numbers(kept, "x"), kept)
    assert not np.shares_memory(numbers(kept, "x", copy=True), kept)
    assert truths([[1, 0]], "x").tolist() == [[True, False]]
    with pytest.raises(DataError, match="x must be an array, not 'aaa"):
        numbers("a" * 10_000, "x")


@pytest.fixture
def _tidy() -> Iterator[None]:
    yield
    if ops.find("FROM_OUTSIDE"):
        ops.unregister("FROM_OUTSIDE")


def outside(kernel: str, *parameters: Any, **more: Any) -> OpSpec:
    settings: dict[str, Any] = {
        "name": "FROM_OUTSIDE",
        "family": Family.TIME_SERIES,
        "parameters": (series(), *parameters),
        "doc": "A trial.",
        "example": "FROM_OUTSIDE(CLOSE, 3)",
        "source": "a test",
        "lookback": lambda p: 2,
        "polars": lambda ctx, x, *_: x,
    }
    return OpSpec(kernel=kernel, **settings | more)


@pytest.mark.usefixtures("_tidy")
@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        ("no_such_module:loop", "cannot be loaded: No module named 'no_such_module'"),
        ("tests.support.outside_kernels:no_such", "has no function 'no_such'"),
        ("math:floor", "has no function 'floor'"),
        ("tests.support.oracle:sign", "does not compile: Signature mismatch"),
    ],
)
def test_a_kernel_from_outside_that_is_none_says_so(kernel: str, message: str) -> None:
    ops.register(outside(kernel, window()))
    with pytest.raises(ConfigError, match=re.escape(f"kernel {kernel!r}")) as caught:
        ff.compile("FROM_OUTSIDE(CLOSE, 3)").evaluate(panel())
    assert message in str(caught.value)


def test_a_spec_that_no_kernel_could_serve_is_refused() -> None:
    for kernel in ("loop", "a:b:c", "", "a b.c"):
        with pytest.raises(ValueError, match="its kernel is named"):
            outside(kernel, window())
    with pytest.raises(ValueError, match="called d"):
        outside("tests.support.outside_kernels:up_days", window("days"), MIN_PERIODS)
    with pytest.raises(ValueError, match="k is none by default"):
        outside("tests.support.outside_kernels:up_days", number("k", None))


@pytest.mark.usefixtures("_tidy")
def test_scratch_memory_is_made_for_the_longest_window_whatever_it_is_called() -> None:
    ops.register(outside("tests.support.outside_kernels:up_days", number("share", 0.5), window("days")))
    x = ff.compile("FROM_OUTSIDE(CLOSE, 0.5, 400)").node
    (stage,) = make_plan([x]).stages
    assert stage.max_window == 400
    (stage,) = make_plan([ff.compile("TS_DELTA_LIMIT(CLOSE, OPEN, 1e308, 20)").node]).stages
    assert stage.max_window == 20
    assert ff.compile("TS_DELTA_LIMIT(CLOSE, OPEN, 1e308, 20)").evaluate(panel()).shape == (T, N)
