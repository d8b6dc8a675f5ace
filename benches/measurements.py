"""What a run of the benches found: reading pytest-benchmark's JSON, joining runs, and the files that keep them.

A measurement is one bench against one yardstick: the ratio and its noise. Times are kept to be read, never compared.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fama_fast.atomic import atomic_write
from fama_fast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FORMAT = 1
_PACKAGES = ("numpy", "numba", "polars", "bottleneck", "KunQuant", "qweave")


@dataclass(frozen=True)
class Measurement:
    """One bench against one yardstick on one size of panel.

    Attributes:
        node: the test's id, which runs it again. ratio: ours / yardstick. noise: relative deviation of the ratio, from
            round to round and, when runs were joined, from run to run. seconds, yardstick_seconds: medians.
    """

    node: str
    size: str
    group: str
    yardstick: str
    ratio: float
    noise: float
    seconds: float
    yardstick_seconds: float
    rounds: int

    @property
    def key(self) -> tuple[str, str, str]:
        """What is compared with what."""
        return self.node, self.size, self.yardstick

    @property
    def bench(self) -> str:
        """The bench's short name: the test's, without `test_`."""
        return self.node.rpartition("::")[2].removeprefix("test_")


@dataclass(frozen=True)
class Session:
    """Measurements with where and when they were made.

    Attributes:
        machine: cpu, cores, memory_gb, python and the versions of packages that matter. date: of the measuring.
        runs: how many runs were joined.
    """

    measurements: tuple[Measurement, ...]
    machine: Mapping[str, Any]
    date: str
    runs: int = 1

    def by_key(self) -> dict[tuple[str, str, str], Measurement]:
        """Measurements by what they measure."""
        return {m.key: m for m in self.measurements}

    @property
    def shape(self) -> str:
        """The machine in a few words."""
        m = self.machine
        return f"{m['cpu']}, {m['cores']} cores, {m['memory_gb']} GB"


def this_machine() -> dict[str, Any]:
    """Model of the processor, cores that this process may use, memory, versions. No host or user name."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = names[0] if names else cpu
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "cpu": cpu,
        "cores": cores,
        "memory_gb": round(memory / 2**30),
        "python": platform.python_version(),
        **versions,
    }


def from_pytest_benchmark(text: str, machine: Mapping[str, Any] | None = None) -> Session:
    """The session in pytest-benchmark's JSON.

    Raises:
        DataError: it is not such JSON, or holds no ratio.
    """
    try:
        raw = json.loads(text)
        found = [
            Measurement(
                node=bench["fullname"],
                size=bench["extra_info"]["size"],
                group=bench["group"],
                yardstick=yardstick,
                **figures,
            )
            for bench in raw["benchmarks"]
            for yardstick, figures in bench.get("extra_info", {}).get("ratios", {}).items()
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"not the JSON of a run of the benches: {error!r}") from error
    if not found:
        raise DataError("the run of the benches measured nothing")
    date = str(raw.get("datetime", ""))[:10] or datetime.now(UTC).date().isoformat()
    return Session(tuple(found), dict(machine or this_machine()), date)


def joined(sessions: Sequence[Session]) -> Session:
    """Several runs as one: the median ratio, and the larger of the noise within runs and that between them.

    Raises:
        DataError: no session, or sessions of different machines.
    """
    if not sessions:
        raise DataError("no run to join")
    if len({s.shape for s in sessions}) > 1:
        raise DataError(f"runs of different machines: {', '.join(sorted({s.shape for s in sessions}))}")
    found: dict[tuple[str, str, str], list[Measurement]] = {}
    for session in sessions:
        for m in session.measurements:
            found.setdefault(m.key, []).append(m)
    last = sessions[-1]
    runs = sum(s.runs for s in sessions)
    return Session(tuple(_join(same) for same in found.values()), last.machine, last.date, runs)


def _join(same: Sequence[Measurement]) -> Measurement:
    ratio = statistics.median(m.ratio for m in same)
    between = statistics.stdev(m.ratio for m in same) / ratio if len(same) > 1 else 0.0
    return replace(
        same[-1],
        ratio=ratio,
        noise=max(statistics.median(m.noise for m in same), between),
        seconds=statistics.median(m.seconds for m in same),
        yardstick_seconds=statistics.median(m.yardstick_seconds for m in same),
        rounds=sum(m.rounds for m in same),
    )


def merged(kept: Session, new: Session) -> Session:
    """`kept` with what `new` measured put in its place: sizes and peers can be measured one after the other.

    Raises:
        DataError: they are of different machines.
    """
    if kept.shape != new.shape:
        raise DataError(f"{new.shape} is not the machine of the kept figures, {kept.shape}: start anew with --fresh")
    together = {**kept.by_key(), **new.by_key()}
    return Session(tuple(together.values()), {**kept.machine, **new.machine}, new.date, new.runs)


def _rounded(m: Measurement) -> dict[str, Any]:
    return {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in asdict(m).items()}


def save(session: Session, path: Path) -> None:
    """Write a session whole or not at all, one measurement a line so that differences read well."""
    ordered = sorted(session.measurements, key=lambda m: m.key)
    lines = ",\n".join("  " + json.dumps(_rounded(m)) for m in ordered)
    head = {"format": FORMAT, "date": session.date, "runs": session.runs, "machine": dict(session.machine)}
    text = json.dumps(head)[:-1] + ', "measurements": [\n' + lines + "\n]}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def load(path: Path) -> Session:
    """A session as `save` wrote it.

    Raises:
        DataError: there is no such file, or it is something else.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise DataError(f"{path} holds no figures of the benches (format {FORMAT})")
    try:
        found = tuple(Measurement(**m) for m in raw["measurements"])
        session = Session(found, raw["machine"], raw["date"], raw["runs"])
        _ = session.shape
    except (KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged: {error}") from error
    return session


def of_size(measurements: Iterable[Measurement], size: str) -> list[Measurement]:
    """Those of one panel size."""
    return [m for m in measurements if m.size == size]
