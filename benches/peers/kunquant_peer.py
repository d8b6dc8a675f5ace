"""KunQuant: C++ compiled for each expression, blocked layout, float64, its exact statistics.

Without `no_fast_stat` its float64 means, deviations and correlations are wrong once a series has a gap, so its strict
mode is the fair rival. Libraries are kept in the user's cache: compiling all cases takes minutes.
"""

from __future__ import annotations

import hashlib
import shutil
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import platformdirs

from benches.peers.cases import Contender

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fama_fast.panel import Panel
    from fama_fast.types import FloatArray

NAME = "KunQuant"
THREADS = None
_LANES = 4
_FIELDS = ("open", "high", "low", "close", "volume", "amount")


def unavailable() -> str | None:
    """Why it cannot run here."""
    if not find_spec("KunQuant"):
        return "KunQuant is not installed (the bench extra)"
    return None if shutil.which("g++") else "KunQuant needs g++"


def blocked_inputs(panel: Panel) -> dict[str, FloatArray]:
    """Fields in its blocked layout, (ceil(N/4), T, 4)."""
    fields = {name: panel[name.upper()] for name in _FIELDS[:-1]}
    fields["amount"] = panel["VOLUME"] * panel["VWAP"]
    t, n = panel.shape
    blocks = -(-n // _LANES)
    out = {}
    for name, values in fields.items():
        padded = np.full((t, blocks * _LANES), np.nan)
        padded[:, :n] = values
        out[name] = np.ascontiguousarray(padded.reshape(t, blocks, _LANES).transpose(1, 0, 2))
    return out


def module(name: str, outputs: Callable[[Mapping[str, Any]], Mapping[str, Any]], *, split: int = 0) -> Any:
    """The compiled module of these outputs; `split` bounds the outputs in one C++ file."""
    from KunQuant.Driver import KunCompilerConfig
    from KunQuant.jit import cfake
    from KunQuant.Op import Builder, Input, Output
    from KunQuant.runner import KunRunner
    from KunQuant.Stage import Function

    stamp = hashlib.sha256(Path(__file__).read_bytes() + version("KunQuant").encode()).hexdigest()[:12]
    folder = Path(platformdirs.user_cache_dir("fama_fast", appauthor=False)) / f"benches-kunquant-{stamp}"
    shared = folder / name / f"{name}.so"
    if shared.is_file():
        return KunRunner.Library.load(str(shared)).getModule(name)
    folder.mkdir(parents=True, exist_ok=True)
    builder = Builder()
    with builder:
        for output, op in outputs({field: Input(field) for field in _FIELDS}).items():
            Output(op, output)
    config = KunCompilerConfig(
        dtype="double",
        input_layout="STs",
        output_layout="STs",
        split_source=split,
        options={"opt_reduce": True, "fast_log": True, "no_fast_stat": True},
    )
    functions = [(name, Function(builder.ops), config)]
    library = cfake.compileit(functions, name, cfake.CppCompilerConfig(), tempdir=str(folder), keep_files=True)
    return library.getModule(name)


def _executor(threads: int) -> Any:
    from KunQuant.runner import KunRunner

    if threads == 1:
        return KunRunner.createSingleThreadExecutor()
    return KunRunner.createMultiThreadExecutor(threads)


def runner(module: Any, inputs: Mapping[str, FloatArray], panel: Panel, threads: int) -> Callable[[], Any]:
    """Running a module into arrays that exist; gives its outputs by name, still blocked."""
    from KunQuant.runner import KunRunner

    t, n = panel.shape
    out = {name: np.zeros((-(-n // _LANES), t, _LANES)) for name in module.getOutputNames()}
    executor = _executor(threads)
    return lambda: KunRunner.runGraph(executor, module, inputs, 0, t, out, num_stocks=n)


def unblocked(values: FloatArray, symbols: int) -> FloatArray:
    """Its blocks as (T, N)."""
    return values.transpose(1, 0, 2).reshape(values.shape[1], -1)[:, :symbols]


def _operators() -> dict[str, Callable[[Mapping[str, Any]], Any]]:
    from KunQuant.Op import ConstantOp, Rank
    from KunQuant.ops import (
        Add,
        BackRef,
        DecayLinear,
        Div,
        Sub,
        TsArgMax,
        TsRank,
        WindowedAvg,
        WindowedCorrelation,
        WindowedCovariance,
        WindowedMax,
        WindowedMin,
        WindowedQuantile,
        WindowedStddev,
        WindowedSum,
    )

    def windowed(name: str, op: Any, *days: int) -> dict[str, Callable[[Mapping[str, Any]], Any]]:
        def of(d: int) -> Callable[[Mapping[str, Any]], Any]:
            return lambda i: op(i["close"], d)

        return {f"{name} {d}": of(d) for d in days}

    def paired(name: str, op: Any, *days: int) -> dict[str, Callable[[Mapping[str, Any]], Any]]:
        def of(d: int) -> Callable[[Mapping[str, Any]], Any]:
            return lambda i: op(i["close"], d, i["volume"])

        return {f"{name} {d}": of(d) for d in days}

    def delta(x: Any, d: int) -> Any:
        return Sub(x, BackRef(x, d))

    def elementwise(i: Mapping[str, Any]) -> Any:
        return Div(Sub(i["close"], i["open"]), Add(Sub(i["high"], i["low"]), ConstantOp(0.001)))

    def chain(i: Mapping[str, Any]) -> Any:
        growth = Div(delta(i["close"], 5), BackRef(i["close"], 5))
        return Sub(DecayLinear(WindowedAvg(growth, 10), 10), WindowedSum(i["volume"], 20))

    return {
        "RANK": lambda i: Rank(i["close"]),
        "DELTA 5": lambda i: delta(i["close"], 5),
        **windowed("TS_SUM", WindowedSum, 20),
        **windowed("TS_MEAN", WindowedAvg, 20),
        **windowed("DECAY_LINEAR", DecayLinear, 10, 20),
        **windowed("TS_STDDEV", WindowedStddev, 10, 60, 250),
        **paired("CORREL", WindowedCorrelation, 10, 60, 250),
        **paired("TS_COVARIANCE", WindowedCovariance, 10, 60, 250),
        **windowed("TS_RANK", TsRank, 10, 60),
        **windowed("TS_MAX", WindowedMax, 10, 60, 250),
        **windowed("TS_MIN", WindowedMin, 10, 60, 250),
        **windowed("TS_ARGMAX", TsArgMax, 10, 60, 250),
        **windowed("TS_MEDIAN", lambda x, d: WindowedQuantile(x, d, 0.5), 20, 60),
        **windowed("TS_QUANTILE", lambda x, d: WindowedQuantile(x, d, 0.8), 20, 60),
        "elementwise 4": elementwise,
        "chain 5": chain,
    }


def contenders(panel: Panel, threads: int) -> dict[str, Contender]:
    """Cases it has; each is compiled when it is first run."""
    inputs = blocked_inputs(panel)
    n = panel.shape[1]

    def converted(case: str, values: FloatArray) -> FloatArray:
        """Its TS_RANK runs from 1 to d, its TS_ARGMAX from 1 for the oldest day of the window."""
        operator, _, d = case.partition(" ")
        if operator == "TS_RANK":
            return values / int(d)
        return int(d) - values if operator == "TS_ARGMAX" else values

    def contender(case: str, build: Callable[[Mapping[str, Any]], Any]) -> Contender:
        name = case.lower().replace(" ", "_")
        prepared: list[Callable[[], Any]] = []

        def run() -> Any:
            if not prepared:
                compiled = module(name, lambda i: {"out": build(i)})
                prepared.append(runner(compiled, inputs, panel, threads))
            return prepared[0]()

        return Contender(run, lambda out: converted(case, unblocked(out["out"], n)))

    return {case: contender(case, build) for case, build in _operators().items()}


def alpha101(panel: Panel, threads: int) -> dict[int, Contender]:
    """Each formula it ships by number, all run by the one call that any of them holds."""
    from KunQuant.predefined.Alpha101 import AllData, all_alpha

    def outputs(i: Mapping[str, Any]) -> dict[str, Any]:
        data = AllData(**{name: i[name] for name in _FIELDS})
        return {f.__name__: f(data) for f in all_alpha}

    run = runner(module("alpha101", outputs, split=12), blocked_inputs(panel), panel, threads)
    n = panel.shape[1]

    def formula(name: str) -> Contender:
        return Contender(run, lambda out: unblocked(out[name], n))

    return {int(f.__name__.removeprefix("alpha")): formula(f.__name__) for f in all_alpha}


def rank_ic(values: FloatArray, labels: FloatArray, threads: int) -> Contender:
    """Its correlation of a factor that it ranks with labels ranked beforehand."""
    from KunQuant.runner import KunRunner
    from scipy.stats import rankdata

    ranked = np.ascontiguousarray(rankdata(labels, axis=1, nan_policy="omit"), dtype=np.float32)
    factor = np.ascontiguousarray(values, dtype=np.float32)
    executor = _executor(threads)
    out = [np.empty(len(values), np.float32)]

    def run() -> Any:
        KunRunner.corrWith(executor, [factor], ranked, out, layout="TS", rank_inputs=True)
        return out[0]

    return Contender(run, lambda found: found.astype(np.float64))
