"""Wrong numbers and arrays for every public entry that hands them to compiled code.

Run as a program it tries them all and prints, as one JSON object, what came of each: the error's kind and text, or what
was answered. It is a program because what is wrong here may be a crash, which must not take the tests with it.
"""

from __future__ import annotations

import decimal
import io
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import fama_fast as ff
from fama_fast import evaluation as ev
from fama_fast import ops
from fama_fast.engine import Stream, daily_rank_ic, evaluate_from, ranks_on

T, N = 12, 9
LABELS = ("a", "b", "c")
_rng = np.random.default_rng(0)
VALUES, RETURNS = _rng.normal(size=(2, T, N))
CODES = np.tile(np.arange(N) % 3, (T, 1)).astype(float)
WEIGHTS = np.full((T, N), 1.0 / N)
MANY = _rng.normal(size=(300, 400))  # more cells than one thread takes


def panel(**changes: Any) -> ff.Panel:
    rng = np.random.default_rng(1)
    fields = {n: rng.uniform(1, 9, (T, N)) for n in ("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME")}
    fields.update(changes.pop("fields", {}))
    settings: dict[str, Any] = {"groups": {"SECTOR": ff.GroupField(CODES, LABELS)}, **changes}
    return ff.Panel(np.datetime64("2024-01-01") + np.arange(T), [f"S{i}" for i in range(N)], fields, **settings)


PANEL = panel()
BUCKETS = ev.quantile_buckets(VALUES, quantiles=3)
GROUPS = ev.Groups(CODES, LABELS)
SORTED = ev.SortedRows.of(RETURNS)
NEXT = np.datetime64("2025-01-01")

# --- what is wrong --------------------------------------------------------------------------------

NOT_WHOLE: Mapping[str, Any] = {
    "1.5": 1.5,
    "2.0": 2.0,
    "nan": float("nan"),
    "inf": float("inf"),
    "True": True,
    "np.True_": np.True_,
    "'2'": "2",
    "b'2'": b"2",
    "list": [1],
    "array": np.array([1, 2]),
    "complex": 1j,
    "Decimal": decimal.Decimal("1.5"),
    "object": object(),
    "-10**30": -(10**30),
    "-1": -1,
}
NOT_COUNT: Mapping[str, Any] = {**NOT_WHOLE, "0": 0, "None": None}
NOT_REAL: Mapping[str, Any] = {
    k: v for k, v in NOT_WHOLE.items() if k not in ("1.5", "2.0", "-1", "-10**30", "Decimal")
} | {"None": None, "-inf": -np.inf, "10**400": 10**400}
# None is the default.
NO_BLOCK = {k: v for k, v in NOT_REAL.items() if v is not None} | {"0": 0}
NOT_SHARE: Mapping[str, Any] = {**NOT_REAL, "0": 0.0, "-1": -1.0, "1.5": 1.5}
del NOT_SHARE["None"]  # type: ignore[attr-defined]
NOT_BYTES: Mapping[str, Any] = {k: v for k, v in NOT_REAL.items() if k not in ("None", "'2'")} | {
    "0": 0,
    "-1": -1,
    "1e400 in text": "9" * 400 + "GB",
    "text": "much",
    "10**30": 10**30,
}
NOT_CODES: Mapping[str, Any] = {
    "1e7": np.full((T, N), 1e7),
    "1e18": np.full((T, N), 1e18),
    "-1": CODES - 1,
    "-1e300": np.full((T, N), -1e300),
    "inf": np.where(CODES == 0, np.inf, CODES),
    "-inf": np.where(CODES == 0, -np.inf, CODES),
    "a half": CODES + 0.5,
    "nearly": CODES + 1e-9,
    "one label too few": CODES + 1,
    "one cell": np.where(np.arange(T * N).reshape(T, N) == 40, 3.0, CODES),
    "text": CODES.astype(str),
    "dates": np.full((T, N), np.datetime64("2024-01-01")),
    "a row": CODES[0],
    "narrow": CODES[:, :-1],
    "None": None,
}
NOT_MATRIX: Mapping[str, Any] = {
    "None": None,
    "text": "abc",
    "number": 5,
    "dict": {"a": 1},
    "generator": (i for i in range(3)),
    "panel": PANEL,
    "ragged": [[1.0, 2.0], [3.0]],
    "row": VALUES[0],
    "cube": np.zeros((T, N, 2)),
    "complex": VALUES + 1j,
    "texts": VALUES.astype(str),
    "bytes": VALUES.astype("S8"),
    "objects": np.full((T, N), "x", dtype=object),
    "dates": np.full((T, N), np.datetime64("2024-01-01")),
    "durations": np.full((T, N), np.timedelta64(1)),
    "records": np.zeros((T, N), dtype=[("a", "f8")]),
}
OTHER_SHAPE: Mapping[str, Any] = {
    "no dates": np.zeros((0, N)),
    "no symbols": np.zeros((T, 0)),
    "fewer dates": VALUES[:-1],
    "fewer symbols": VALUES[:, :-1],
    "turned": VALUES.T,
    "one date": VALUES[:1],
    "one symbol": VALUES[:, :1],
}
NOT_ARRAY = {**NOT_MATRIX, **OTHER_SHAPE}
NOT_MASK: Mapping[str, Any] = {
    **{k: v for k, v in NOT_ARRAY.items() if k != "None"},
    "numbers": VALUES,
    "halves": np.full((T, N), 0.5),
    "NaN": np.where(VALUES > 0, np.nan, 1.0),
    "masked": np.ma.masked_array(VALUES > 0, VALUES > 1),
}
NOT_ROW: Mapping[str, Any] = {
    "short": VALUES[0, :-1],
    "long": np.zeros(N + 1),
    "matrix": VALUES,
    "number": 1.0,
    "text": "abc",
    "texts": ["x"] * N,
    "complex": VALUES[0] + 1j,
    "dates": np.full(N, np.datetime64("2024-01-01")),
    "None": None,
    "dict": {"a": 1},
}
NOT_SERIES = {k: v for k, v in NOT_MATRIX.items() if k not in ("row", "cube")} | {"matrix": VALUES}
NOT_BUCKETS: Mapping[str, Any] = {
    **{k: v for k, v in NOT_ARRAY.items() if k != "None"},
    "256": np.full((T, N), 256),
    "-1": np.full((T, N), -1),
    "beyond": np.full((T, N), 4),
    "1e18": np.full((T, N), 10**18),
    "a half": np.full((T, N), 2.5),
    "NaN": np.full((T, N), np.nan),
}
NOT_ROWS: Mapping[str, Any] = {
    "far": [T],
    "negative": [-1],
    "fractions": [1.0],
    "table": [[1], [2]],
    "NaN": [float("nan")],
    "booleans": np.ones(T, bool),
    "number": 3,
    "text": "1",
}
NOT_SLICE: Mapping[str, Any] = {
    "number": 3,
    "list": [1, 2],
    "step": slice(0, 9, 2),
    "backwards": slice(9, 0, -1),
    "fractions": slice(0.5, 3),
    "text": slice("a", "b"),
}

# --- where it is given ----------------------------------------------------------------------------

Entry = tuple[Mapping[str, Any], Callable[[Any], Any]]
MIXED = ["GROUP_RANK(CLOSE, SECTOR)", "GROUP_MEDIAN(CLOSE, SECTOR)", "RANK(CLOSE)", "TS_MEAN(CLOSE, 3)"]


def _all(market: ff.Panel) -> Any:
    return ff.evaluate(MIXED, market)


def _stream(**options: Any) -> Any:
    text = "GROUP_RANK(TS_MEAN(CLOSE, 3), SECTOR)"
    return ff.compile(text).stream(panel(universe=np.ones((T, N), bool)), **options)


def _push(**given: Any) -> Any:
    return _stream().push(given.pop("date", NEXT), given.pop("fields", {"CLOSE": VALUES[0]}), **given)


def _study(**given: Any) -> Any:
    data = ev.StudyData.from_returns(PANEL.dates, PANEL.symbols, given.pop("returns", RETURNS), **given)
    return ev.study(VALUES, data)


ENTRIES: dict[str, Entry] = {
    "GroupField": (NOT_CODES, lambda c: _all(panel(groups={"SECTOR": ff.GroupField(c, LABELS)}))),
    "groups of a panel": ({"array": CODES, "text": "x"}, lambda g: _all(panel(groups={"SECTOR": g}))),
    "labels": ({"None": None, "text": "abc", "none": ()}, lambda x: ff.GroupField(CODES, x)),
    "field": (NOT_ARRAY, lambda a: _all(panel(fields={"CLOSE": a}))),
    "field, not copied": (NOT_ARRAY, lambda a: _all(panel(fields={"CLOSE": a}, copy=False))),
    "fields": ({"list": [1], "number names": {5: VALUES}}, lambda f: ff.Panel(PANEL.dates, PANEL.symbols, f)),
    "universe": (NOT_MASK, lambda a: _all(panel(universe=a))),
    "dtype": ({"int": int, ">i4": ">i4", "complex": complex, "None": None, "half": "f2"}, lambda d: panel(dtype=d)),
    "dates": (
        {
            "None": None,
            "numbers": np.arange(T),
            "NaT": np.full(T, np.datetime64("NaT", "D")),
            "a table": PANEL.dates[:, None],
            "backwards": PANEL.dates[::-1],
            "again": np.repeat(PANEL.dates[:1], T),
            "texts": [str(d) for d in PANEL.dates],
        },
        lambda d: ff.Panel(d, PANEL.symbols, {"CLOSE": VALUES}),
    ),
    "symbols": (
        {"None": None, "number": 5, "text": "ABCDEFGHI", "again": ["A"] * N, "short": ["A"]},
        lambda s: ff.Panel(PANEL.dates, s, {"CLOSE": VALUES}),
    ),
    # Expressions over a panel.
    "evaluate threads": (NOT_COUNT | {"None": "x"}, lambda n: ff.evaluate(MIXED, PANEL, threads=n)),
    "evaluate too many threads": ({"10**9": 10**9}, lambda n: ff.evaluate(MIXED, PANEL, threads=n)),
    "evaluate tile_rows": (NOT_COUNT | {"None": "x"}, lambda n: ff.evaluate(MIXED, PANEL, tile_rows=n)),
    "evaluate memory_budget": (NOT_BYTES, lambda n: ff.evaluate(MIXED, PANEL, memory_budget=n)),
    "evaluate min_coverage": (NOT_SHARE, lambda n: ff.evaluate(MIXED, PANEL, min_coverage=n)),
    "evaluate dtype": ({"int": int, "half": "f2", "object": object}, lambda d: ff.evaluate(MIXED, PANEL, dtype=d)),
    "evaluate items": ({"number": 5, "numbers": [5], "None": [None]}, lambda i: ff.evaluate(i, PANEL)),
    "evaluate panel": ({"array": VALUES, "None": None, "dict": {}}, lambda p: ff.evaluate(MIXED, p)),
    "alpha threads": (NOT_COUNT | {"None": "x"}, lambda n: ff.compile("RANK(CLOSE)").evaluate(PANEL, threads=n)),
    "compute threads": (NOT_COUNT | {"None": "x"}, lambda n: ff.compute_factor_values(MIXED, PANEL, threads=n)),
    "evaluate_from row": (NOT_WHOLE | {"far": T + 1, "None": None}, lambda n: evaluate_from(MIXED, PANEL, n)),
    "daily_rank_ic rows": (NOT_ROWS, lambda r: daily_rank_ic(["RANK(CLOSE)"], PANEL, SORTED, rows=r)),
    "daily_rank_ic pairs": (NOT_WHOLE, lambda n: daily_rank_ic(["RANK(CLOSE)"], PANEL, SORTED, min_pairs=n)),
    "daily_rank_ic labels": (NOT_MATRIX, lambda y: daily_rank_ic(["RANK(CLOSE)"], PANEL, y)),
    "ranks_on rows": (NOT_ROWS, lambda r: list(ranks_on(["RANK(CLOSE)"], PANEL, r))),
    "score horizon": (
        {k: v for k, v in NOT_COUNT.items() if k not in ("list", "'2'", "array", "None")},
        lambda n: ff.score("RANK(CLOSE)", PANEL, horizon=n),
    ),
    "score entry_lag": (NOT_WHOLE, lambda n: ff.score("RANK(CLOSE)", PANEL, entry_lag=n)),
    "score min_pairs": (NOT_WHOLE | {"None": None}, lambda n: ff.score("RANK(CLOSE)", PANEL, min_pairs=n)),
    "score min_members": (NOT_WHOLE | {"None": None}, lambda n: ff.score("RANK(CLOSE)", PANEL, min_members=n)),
    "score threads": (NOT_COUNT | {"None": "x"}, lambda n: ff.score("RANK(CLOSE)", PANEL, threads=n)),
    "score memory_budget": (NOT_BYTES, lambda n: ff.score("RANK(CLOSE)", PANEL, memory_budget=n)),
    "forward_returns horizon": (
        {k: v for k, v in NOT_COUNT.items() if k != "'2'"} | {"10**30": 10**30},
        lambda n: ff.forward_returns(PANEL, horizon=n),
    ),
    "forward_returns lag": (NOT_WHOLE | {"10**30": 10**30}, lambda n: ff.forward_returns(PANEL, entry_lag=n)),
    "date_splits": (NOT_WHOLE | {"None": None}, ff.date_splits),
    "date_splits embargo": (NOT_WHOLE, lambda n: ff.date_splits(100, embargo=n)),
    "date_splits fractions": (
        {"None": None, "texts": ("a", "b", "c"), "NaN": (float("nan"), 0.5, 0.5), "two": (0.5, 0.5)},
        lambda f: ff.date_splits(100, fractions=f),
    ),
    # A stream.
    "stream row": (NOT_ROW, lambda r: _push(fields={"CLOSE": r})),
    "stream fields": ({"None": None, "list": [1], "numbers": {5: VALUES[0]}}, lambda f: _push(fields=f)),
    "stream universe": ({k: v for k, v in NOT_ROW.items() if k != "None"}, lambda u: _push(universe=u)),
    "stream groups": ({k: v for k, v in NOT_ROW.items() if k != "texts"}, lambda g: _push(groups={"SECTOR": g})),
    "stream date": (
        {"number": 20250101, "NaT": np.datetime64("NaT"), "words": "yesterday", "None": None, "early": "2020-01-01"},
        lambda d: _push(date=d),
    ),
    "stream threads": (NOT_COUNT | {"None": "x"}, lambda n: _stream(threads=n)),
    "stream min_coverage": (NOT_SHARE, lambda n: _stream(min_coverage=n)),
    # Figures of arrays.
    **{
        f"{name} {side}": (NOT_ARRAY if side != "universe" else NOT_MASK, work)
        for name, function in (("rank_ic", ff.rank_ic), ("ic", ff.ic), ("score_values", ev.score_values))
        for side, work in (
            ("values", lambda a, f=function: f(a, RETURNS)),
            ("labels", lambda a, f=function: f(VALUES, a)),
            ("universe", lambda a, f=function: f(VALUES, RETURNS, universe=a)),
        )
    },
    "rank_ic min_pairs": (NOT_WHOLE | {"None": None}, lambda n: ff.rank_ic(VALUES, RETURNS, min_pairs=n)),
    "ic min_pairs": (NOT_WHOLE | {"None": None}, lambda n: ff.ic(VALUES, RETURNS, min_pairs=n)),
    "rank_ic threads": (NOT_COUNT | {"None": "x"}, lambda n: ff.rank_ic(MANY, MANY, threads=n)),
    "score_values present": (NOT_MASK, lambda a: ev.score_values(VALUES, RETURNS, present=a)),
    "score_values rows": (NOT_SLICE, lambda r: ev.score_values(VALUES, RETURNS, rows=r)),
    "score_values horizon": (NOT_COUNT, lambda n: ev.score_values(VALUES, RETURNS, horizon=n)),
    "SortedRows": (
        {"far": (VALUES, np.full((T, N), N), np.full(T, N)), "negative": (VALUES, np.full((T, N), -1), np.full(T, N))}
        | {"count": (VALUES, SORTED.order, np.full(T, N + 1)), "shape": (VALUES, SORTED.order[:-1], SORTED.count)}
        | {"fractions": (VALUES, SORTED.order + 0.5, SORTED.count)},
        lambda a: ff.rank_ic(ev.SortedRows(*a), RETURNS),
    ),
    "SortedRows part": (NOT_SLICE | {"number": slice(0, 9, 3)}, lambda r: ev.rank_turnover(SORTED.part(r))),
    "Groups": (NOT_CODES, lambda c: ev.by_group(VALUES, RETURNS, ev.Groups(c, LABELS))),
    "rank_ic_by_group": ({"None": None, "array": CODES}, lambda g: ev.rank_ic_by_group(VALUES, RETURNS, g)),
    "quantile_buckets groups": ({"array": CODES}, lambda g: ev.quantile_buckets(VALUES, groups=g)),
    "quantile_buckets": (NOT_MATRIX, ev.quantile_buckets),
    "quantile_buckets universe": (NOT_MASK, lambda a: ev.quantile_buckets(VALUES, universe=a)),
    "quantile_buckets quantiles": (NOT_COUNT | {"101": 101}, lambda n: ev.quantile_buckets(VALUES, quantiles=n)),
    "bucket_returns": (NOT_BUCKETS, lambda b: ev.bucket_returns(b, RETURNS, quantiles=3)),
    "bucket_returns quantiles": (NOT_COUNT | {"2": 2}, lambda n: ev.bucket_returns(BUCKETS, RETURNS, quantiles=n)),
    "long_short_weights": (
        {k: v for k, v in NOT_BUCKETS.items() if k not in OTHER_SHAPE},
        lambda b: ev.long_short_weights(b, quantiles=3),
    ),
    "long_short_weights sign": (
        {k: v for k, v in NOT_COUNT.items() if k != "-1"},
        lambda n: ev.long_short_weights(BUCKETS, quantiles=3, sign=n),
    ),
    "top_k_weights": (NOT_MATRIX, lambda a: ev.top_k_weights(a, k=3, n_drop=1)),
    "top_k_weights k": (NOT_COUNT | {"10**30": 10**30}, lambda n: ev.top_k_weights(VALUES, k=n, n_drop=1)),
    "top_k_weights n_drop": (NOT_COUNT, lambda n: ev.top_k_weights(VALUES, k=3, n_drop=n)),
    "hold": (NOT_ARRAY, lambda a: ev.hold(a, RETURNS)),
    "hold returns": (NOT_ARRAY, lambda a: ev.hold(WEIGHTS, a)),
    "capacity": (NOT_ARRAY, lambda a: ev.capacity(a, np.abs(RETURNS))),
    "capacity participation": (NOT_REAL | {"0": 0}, lambda n: ev.capacity(WEIGHTS, np.abs(RETURNS), participation=n)),
    "residual_values": (NOT_ARRAY, lambda a: ev.residual_values(a, RETURNS[None])),
    "residual_values controls": (
        {k: v for k, v in NOT_MATRIX.items() if k != "cube"} | {"shape": np.zeros((1, T, N - 1))},
        lambda a: ev.residual_values(VALUES, a),
    ),
    "average_ranks": (NOT_MATRIX, ev.average_ranks),
    "rank_turnover": (NOT_MATRIX, ev.rank_turnover),
    "rank_autocorrelation lag": (NOT_WHOLE, lambda n: ev.rank_autocorrelation(VALUES, lag=n)),
    "coverage universe": (NOT_MASK, lambda a: ev.coverage(VALUES, a)),
    "decay_curve": (NOT_ARRAY, lambda a: ev.decay_curve(a, RETURNS)),
    "decay_curve returns": (NOT_ARRAY, lambda a: ev.decay_curve(VALUES, a)),
    "decay_curve days": (NOT_COUNT | {"10**30": 10**30}, lambda n: ev.decay_curve(VALUES, RETURNS, days=n)),
    "liquidity_groups": (NOT_COUNT, lambda n: ev.liquidity_groups(VALUES, buckets=n)),
    "rank_correlation_matrix": (NOT_ARRAY, lambda a: ev.rank_correlation_matrix([VALUES, a])),
    "rank_correlation_matrix universe": (NOT_MASK, lambda a: ev.rank_correlation_matrix([VALUES, RETURNS], a)),
    "rank_correlation_matrix rows": (NOT_ROWS, lambda r: ev.rank_correlation_matrix([VALUES, RETURNS], rows=r)),
    "clustered": ({**NOT_MATRIX, "wide": VALUES, "NaN": np.full((3, 3), np.nan)}, ev.clustered),
    "overfitting blocks": (NOT_COUNT | {"3": 3, "22": 22}, lambda n: ev.overfitting_probability(MANY, blocks=n)),
    "study values": (NOT_ARRAY, lambda a: ev.study(a, ev.StudyData.from_panel(PANEL))),
    "study sign": (
        {k: v for k, v in NOT_COUNT.items() if k != "-1"},
        lambda n: ev.study(VALUES, ev.StudyData.from_panel(PANEL), sign=n),
    ),
    "study rows": (NOT_SLICE, lambda r: ev.study(VALUES, ev.StudyData.from_panel(PANEL), rows=r)),
    "study returns": (NOT_ARRAY, lambda a: _study(returns=a)),
    "study labels": (NOT_ARRAY, lambda a: _study(labels={5: a})),
    "study universe": (NOT_MASK, lambda a: _study(universe=a)),
    "study dollar volume": ({k: v for k, v in NOT_ARRAY.items() if k != "None"}, lambda a: _study(dollar_volume=a)),
    "study groups": ({"array": CODES}, lambda g: _study(groups=g)),
    **{
        f"settings {name}": (wrong, lambda n, name=name: ev.StudySettings(**{name: n}))
        for name, wrong in {
            **dict.fromkeys(
                ("quantiles", "liquidity_buckets", "decay_days", "top_k", "n_drop", "resamples"), NOT_COUNT
            ),
            **dict.fromkeys(("entry_lag", "seed", "min_members"), NOT_WHOLE | {"None": None}),
            "participation": NOT_REAL | {"0": 0},
            "confidence": NOT_SHARE | {"1": 1.0, "None": None},
            "horizons": {k: (v,) for k, v in NOT_COUNT.items()} | {"empty": (), "number": 5},
            "costs_bp": {k: (v,) for k, v in NOT_REAL.items()} | {"empty": (), "number": 5, "negative": (-1.0,)},
        }.items()
    },
    # Series.
    **{
        f"series {function.__name__}": (NOT_SERIES, function)
        for function in (
            ev.mean,
            ev.std,
            ev.information_ratio,
            ev.hit_rate,
            ev.level,
            ev.t_statistic,
            ev.newey_west_t,
            ev.sharpe,
            ev.max_drawdown,
            ev.benjamini_hochberg,
            ev.half_life,
            ev.stationary_bootstrap_interval,
        )
    },
    "newey_west lag": (NOT_WHOLE, lambda n: ev.newey_west_t(VALUES[:, 0], lag=n)),
    "newey_west horizon": (NOT_COUNT, lambda n: ev.newey_west_t(VALUES[:, 0], horizon=n)),
    "bootstrap resamples": (
        NOT_COUNT | {"10**12": 10**12},
        lambda n: ev.stationary_bootstrap_interval(VALUES[:, 0], resamples=n),
    ),
    "bootstrap block": (NO_BLOCK, lambda n: ev.stationary_bootstrap_interval(VALUES[:, 0], block=n)),
    "bootstrap confidence": (
        NOT_SHARE | {"1": 1.0, "None": None},
        lambda n: ev.stationary_bootstrap_interval(VALUES[:, 0], confidence=n),
    ),
    "deflated_sharpe trials": (NOT_WHOLE, lambda n: ev.deflated_sharpe(VALUES[:, 0], trials=n, variance=0.1)),
    "deflated_sharpe variance": (
        {k: v for k, v in NOT_REAL.items() if k != "nan"} | {"-1": -1.0},
        lambda n: ev.deflated_sharpe(VALUES[:, 0], trials=3, variance=n),
    ),
    # Nodes made by hand.
    "build window": (
        {k: v for k, v in NOT_COUNT.items() if k != "2.0"} | {"2**40": 2**40, "1e18": 1e18, "10**30": 10**30},
        lambda n: ops.build("TS_MEAN", ff.compile("CLOSE").node, n),
    ),
    "build number": (NOT_REAL, lambda n: ops.build("WINSORIZE", ff.compile("CLOSE").node, n)),
    "build operand": (
        {
            "None": None,
            "text": "2",
            "list": [1],
            "complex": 1j,
            "group": ff.compile("GROUP_RANK(CLOSE, SECTOR)").node.args[1],
        },
        lambda n: ops.build("ADD", ff.compile("CLOSE").node, n),
    ),
    "build group": (
        {"number": 5, "field": ff.compile("CLOSE").node, "text": "SECTOR"},
        lambda n: ops.build("GROUP_RANK", ff.compile("CLOSE").node, n),
    ),
}


def _damaged() -> dict[str, Any]:
    """The state of a stream with a part of it missing, changed or cut off."""
    state = ff.compile("GROUP_RANK(TS_MEAN(CLOSE, 5), SECTOR) + DELTA(VOLUME, 3)").stream(PANEL).state()
    with np.load(io.BytesIO(state)) as file:
        arrays = {name: file[name] for name in file.files}
    header = json.loads(arrays.pop("header").tobytes())

    def saved(head: Mapping[str, Any], values: Mapping[str, Any]) -> bytes:
        out = io.BytesIO()
        np.savez(out, header=np.frombuffer(json.dumps(head).encode(), dtype=np.uint8), **values)
        return out.getvalue()

    wrong: dict[str, Any] = {"None": None, "number": 5, "text": "x", "nothing": b"", "cut": state[: len(state) // 2]}
    for key in header:
        wrong[f"without {key}"] = saved({k: v for k, v in header.items() if k != key}, arrays)
        for value in (-1, 1.5, {}, 10**30):
            wrong[f"{key} {value}"] = saved({**header, key: value}, arrays)
    for key, array in arrays.items():
        wrong[f"without {key}"] = saved(header, {k: v for k, v in arrays.items() if k != key})
        for value in (np.zeros(3), np.zeros((2, 2)), np.full(array.shape, "x"), np.zeros((0, N))):
            wrong[f"{key} {value.shape} {value.dtype}"] = saved(header, {**arrays, key: value})
    for seed in range(60):
        rng = np.random.default_rng(seed)
        bent = bytearray(state)
        for place in rng.integers(0, len(state), 200):
            bent[place] = rng.integers(256)
        wrong[f"bent {seed}"] = bytes(bent)
    # What is shown alone, or is as good another way.
    harmless = ("text ", "dialect ", "min_coverage ", "supplied ", "date -1", "universe ")
    return {k: v for k, v in wrong.items() if not k.startswith(harmless)}


ENTRIES["Stream.restore"] = (_damaged(), Stream.restore)


def outcomes() -> dict[str, list[str]]:
    """For each entry and wrong value: "fama" or the kind of another error, and its text or what was answered."""
    found: dict[str, list[str]] = {}
    for entry, (wrong, work) in ENTRIES.items():
        for name, value in wrong.items():
            print(f"{entry}: {name}", file=sys.stderr, flush=True)  # the last line is where it crashed
            try:
                answer = work(value)
            except ff.FamaError as error:
                found[f"{entry}: {name}"] = ["fama", str(error)]
            except Exception as error:  # noqa: BLE001  (whatever it is, it is to be told)
                found[f"{entry}: {name}"] = [type(error).__name__, str(error)[:200]]
            else:
                found[f"{entry}: {name}"] = ["answered", repr(answer)[:200]]
    return found


if __name__ == "__main__":
    print(json.dumps(outcomes()))
