"""A cluster gives the bits of one process, whatever becomes of its workers; where it cannot, it says so and stops."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

import fama_fast as ff
from fama_fast.cli import main
from fama_fast.cluster.address import Address, read_address
from fama_fast.cluster.identity import installed, unlike
from fama_fast.cluster.scoring import ClusterScoring, Part, Scoring, cut, mapped
from fama_fast.cluster.source import MappedPanel, MarketFiles, hash_of
from fama_fast.data import DEFAULT_SIMULATION
from fama_fast.errors import ClusterError, ConfigError
from fama_fast.mining.config_file import config_from_dict
from fama_fast.target import Target
from tests.support.clusters import BEGINS_CLUSTERS
from tests.support.mine import CONFIG, ROOT, result, start

distributed = pytest.importorskip("distributed", reason="Dask distributed is not installed (the extra `cluster`)")

from fama_fast.cluster.pool import WorkerPool, open_pool  # noqa: E402
from fama_fast.cluster.worker import Unfit  # noqa: E402

pytestmark = BEGINS_CLUSTERS

KILLS = int(os.environ.get("FAMA_CLUSTER_KILLS", "3"))
TEXTS = [
    "RANK(DELTA(CLOSE, 5)) * -1",
    "TS_MEAN(VOLUME, 20) / VOLUME",
    "CORREL(CLOSE, VOLUME, 10)",
    "TS_STDDEV(RET, 20)",
    "RANK(TS_ARGMAX(HIGH, 30)) - RANK(LOW)",
    "DECAY_LINEAR(VWAP / CLOSE, 8)",
    "Z_SCORE(TS_RANK(CLOSE, 12))",
    "CLOSE / TS_MAX(CLOSE, 60)",
]


@pytest.fixture(scope="module")
def panel() -> ff.Panel:
    return ff.load_market_data(None, simulation=replace(DEFAULT_SIMULATION, n_symbols=30, n_dates=400))


@pytest.fixture(scope="module")
def parquet(panel: ff.Panel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "prices.parquet"
    t, n = panel.shape
    columns: dict[str, Any] = {"date": np.repeat(panel.dates, n), "symbol": np.tile(panel.symbols.astype(str), t)}
    for name in ("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME"):
        columns[name.lower()] = panel[name].ravel()
    pl.DataFrame(columns).write_parquet(path, row_group_size=1500)
    return path


@pytest.fixture(scope="module")
def pool() -> Any:
    with open_pool("local:2") as opened:
        yield opened


def assert_same(one: pl.DataFrame, two: pl.DataFrame) -> None:
    assert one.equals(two, null_equal=True), (one, two)


# -- without a cluster ------------------------------------------------------------------------------------------------


def test_addresses() -> None:
    assert read_address("tcp://10.0.0.1:8786") == Address(url="tcp://10.0.0.1:8786")
    assert read_address("local:3") == Address(local=3)
    for wrong, hint in [
        ("local", "local:2"),
        ("tcp:/host:1", "tcp://"),
        ("http://host", "tcp://"),
        ("local:0", "1 to"),
    ]:
        with pytest.raises(ConfigError, match=hint):
            read_address(wrong)
    with pytest.raises(ConfigError, match=r"cluster\.address"):
        ff.mine({"cluster": "nowhere"})


def test_an_installation_is_told_apart_by_what_decides_bits() -> None:
    ours = installed()
    assert {"python", "numpy", "numba", "llvmlite", "package", "source"} == set(ours)
    assert unlike(ours, ours) is None
    assert "no fama_fast" in str(unlike({"python": ours["python"]}, ours))
    for key, text in [("package", "fama_fast 0.0.0"), ("source", "other source"), ("numba", "numba 0.0.0")]:
        assert text in str(unlike({**ours, key: "0.0.0"}, ours))


@pytest.mark.parametrize("parts", [False, True])
@pytest.mark.parametrize(("count", "dates", "halo", "threads"), [(1, 400, 20, 2), (300, 2520, 250, 2), (40, 60, 9, 64)])
def test_tasks_cover_everything_once(count: int, dates: int, halo: int, threads: int, parts: bool) -> None:
    covered = np.zeros((count, dates), dtype=int)
    for piece in cut(count, dates, halo, threads, parts=parts):
        covered[list(piece.numbers), piece.first : piece.last] += 1
    assert (covered == 1).all()
    assert all(isinstance(p, Part) and p.first < p.last for p in cut(count, dates, halo, threads, parts=parts))


def test_mapped_arrays_are_the_panel(panel: ff.Panel, tmp_path: Path) -> None:
    codes = np.where(np.arange(panel.shape[1]) % 3 == 0, np.nan, np.arange(panel.shape[1]) % 2.0)
    groups = {"SECTOR": ff.GroupField(np.tile(codes, (panel.shape[0], 1)), ("a", "b"))}
    whole = panel.replace(groups=groups, universe=panel["CLOSE"] > np.nanmedian(panel["CLOSE"]))
    again = MappedPanel.write(whole, tmp_path).open()
    assert again.data_hash == whole.data_hash
    assert again.source == whole.source


def test_the_hash_of_files_sees_other_values(panel: ff.Panel, parquet: Path, tmp_path: Path) -> None:
    frame = pl.read_parquet(parquet)
    other = tmp_path / "other.parquet"
    frame.write_parquet(other, row_group_size=1500)
    assert hash_of(ff.scan_market_data(parquet)) == hash_of(ff.scan_market_data(other))
    frame.with_columns(close=pl.col("close") * 1.01).write_parquet(other, row_group_size=1500)
    assert hash_of(ff.scan_market_data(parquet)) != hash_of(ff.scan_market_data(other))


def test_a_worker_short_of_memory_reads_in_parts(panel: ff.Panel, parquet: Path) -> None:
    dates = len(panel.dates)
    data = ff.scan_market_data(parquet)
    whole = Scoring.within(data, 200_000_000, 1, taken=100_000_000)
    short = Scoring.within(data, 200_000_000, 40, taken=100_000_000)  # forty threads' work does not fit beside the data
    assert isinstance(whole.data, ff.Panel)
    assert whole.budget is None
    assert not isinstance(short.data, ff.Panel)
    assert short.budget == 1_000_000
    short.budget = 28_000_000
    with pytest.raises(Unfit, match="memory limit"):
        Scoring.within(data, 100_000_000, 1, taken=90_000_000)
    options = {"min_coverage": None, "min_pairs": 3, "min_members": 10}
    target = Target(horizons=(1, 5))
    for first, last in [(0, dates), (100, 250)]:
        (ours, noticed), (theirs, read) = (s.daily(TEXTS, target, options, first, last) for s in (whole, short))
        assert len(noticed) == len(read)
        for a, b in zip(ours, theirs, strict=True):
            for h in (1, 5):
                for x, y in zip(a[h], b[h], strict=True):
                    assert x.shape == (last - first,)
                    np.testing.assert_array_equal(x, y)


# -- with one ---------------------------------------------------------------------------------------------------------


def test_scores_have_the_bits_of_one_process(pool: WorkerPool, panel: ff.Panel, tmp_path: Path) -> None:
    figures = ClusterScoring(pool, panel, mapped(pool, panel, tmp_path))
    assert_same(ff.score(TEXTS, panel, horizon=[1, 5]), ff.score(TEXTS, panel, horizon=[1, 5], cluster=figures))
    # One expression: its dates are the tasks.
    before = pool.tally.tasks
    one = ff.score(TEXTS[0], panel, splits="60/20/20", cluster=figures)
    assert pool.tally.tasks - before > 2
    assert_same(one, ff.score(TEXTS[0], panel, splits="60/20/20"))
    assert not pool.tally.refused


def test_scores_of_files_that_workers_read(pool: WorkerPool, parquet: Path) -> None:
    data = ff.scan_market_data(parquet)
    source = MarketFiles(str(parquet), {}, hash_of(data), parts=True)
    assert_same(ff.score(TEXTS, data), ff.score(TEXTS, data, cluster=ClusterScoring(pool, data, source)))


def test_an_expression_that_workers_lack_is_an_ordinary_error(
    pool: WorkerPool, panel: ff.Panel, tmp_path: Path
) -> None:
    source = mapped(pool, panel, tmp_path)
    figures = ClusterScoring(pool, panel, source)
    alphas = [ff.compile("RANK(CAP)")]
    with pytest.raises(ff.UnknownName, match="CAP"):
        list(figures(alphas, Target(), min_coverage=None, min_pairs=3))


def test_no_port_but_dasks_own_and_only_here(pool: WorkerPool) -> None:
    import psutil

    me = psutil.Process()
    for process in [me, *me.children(recursive=True)]:
        listening = [c.laddr for c in process.net_connections() if c.status == psutil.CONN_LISTEN]
        assert all(address.ip == "127.0.0.1" for address in listening), listening
    info = pool.client.scheduler_info()
    assert info["services"] == {}
    assert all("dashboard" not in worker["services"] for worker in info["workers"].values())


def test_workers_leave_ctrl_c_to_the_client(pool: WorkerPool) -> None:
    before = pool.client.run(os.getpid)
    for pid in before.values():
        os.kill(pid, signal.SIGINT)
    kept = pool.kept("nothing", _Nothing())
    assert pool.map(kept, _sleep_then, [(i,) for i in range(20)]) == list(range(20))
    assert pool.client.run(os.getpid) == before


def test_other_data_are_refused_by_name(pool: WorkerPool, panel: ff.Panel, tmp_path: Path) -> None:
    source = replace(mapped(pool, panel, tmp_path), hash="0" * 32)
    with open_pool(pool.client.scheduler.address, wait=1) as guest:
        with pytest.raises(
            ClusterError, match=r"tcp://127\.0\.0\.1:\d+: its data .* have hash [0-9a-f]{32}, here 0000"
        ):
            ff.score(TEXTS[:2], panel, cluster=ClusterScoring(guest, panel, source))
        assert len(guest.tally.refused) == 2


def test_another_version_is_refused_by_name(pool: WorkerPool, panel: ff.Panel, tmp_path: Path) -> None:
    """One worker of two pretends to be of another version: the other one does all the work."""
    address = pool.client.scheduler.address
    notes: list[str] = []
    with open_pool(address, wait=5, note=notes.append) as guest:
        odd = next(iter(guest.client.scheduler_info()["workers"]))
        guest.client.run(_pretend, "9.9.9", workers=[odd])
        try:
            figures = ClusterScoring(guest, panel, mapped(pool, panel, tmp_path))
            assert_same(ff.score(TEXTS, panel), ff.score(TEXTS, panel, cluster=figures))
        finally:
            guest.client.run(_pretend, ff.__version__, workers=[odd])
        assert notes == [f"worker {odd} is refused: it has fama_fast 9.9.9, this is {ff.__version__}"]


def _pretend(version: str) -> None:
    import fama_fast

    fama_fast.__version__ = version


def _sleep_then(kept: Any, number: int) -> int:
    time.sleep(0.05)
    return number


def _die(kept: Any, text: str) -> None:
    os._exit(1)


class _Nothing:
    def __call__(self, memory: int | None) -> None:
        return None


def test_killed_workers_cost_a_retry_and_nothing_else(panel: ff.Panel, tmp_path: Path) -> None:
    expected = ff.score(TEXTS * 4, panel)
    # Kills come faster than new workers may: a task can be held by all of those that die.
    with open_pool("local:2", retries=2 * KILLS) as pool:
        figures = ClusterScoring(pool, panel, mapped(pool, panel, tmp_path))
        kept = pool.kept("nothing", _Nothing())
        assert pool.map(kept, _sleep_then, [(i,) for i in range(4)]) == list(range(4))
        rng, killed = random.Random(7), 0

        def kill() -> None:
            nonlocal killed
            while killed < KILLS:
                time.sleep(rng.uniform(0.2, 1.0))
                about = list(pool.client.scheduler_info()["workers"])
                if about:
                    victim = pool.client.run(os.getpid, workers=[rng.choice(about)], on_error="return")
                    for pid in victim.values():
                        if isinstance(pid, int):
                            os.kill(pid, signal.SIGKILL)
                            killed += 1

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        while killer.is_alive():
            assert pool.map(kept, _sleep_then, [(i,) for i in range(40)]) == list(range(40))
            assert_same(expected, ff.score(TEXTS * 4, panel, cluster=figures))
        killer.join()
        assert killed >= KILLS
        assert not pool.tally.refused


def test_a_task_that_ends_every_worker_is_named() -> None:
    with (
        open_pool("local:1", retries=1) as pool,
        pytest.raises(ClusterError, match=r"'RANK\(CLOSE\)'.*2 workers died"),
    ):
        pool.map(pool.kept("nothing", _Nothing()), _die, [("RANK(CLOSE)",)])


@contextmanager
def remote_cluster(workers: int = 1, *, where: Path) -> Any:
    """A scheduler and workers in processes of their own, as on other machines; yields (address, scheduler, workers)."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    place = where / "scheduler.json"

    def begin(*arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]],
            cwd=where,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    processes = [
        begin("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(place))
    ]
    try:
        deadline = time.monotonic() + 60
        while not place.exists():
            assert time.monotonic() < deadline, "the scheduler did not start"
            time.sleep(0.05)
        address = json.loads(place.read_text())["address"]
        processes += [
            begin("worker", address, "--nthreads", "2", "--no-dashboard", "--no-nanny", "--host", "127.0.0.1")
            for _ in range(workers)
        ]
        yield address, processes[0], processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_whatever_is_predicted_workers_find_what_one_process_finds(tmp_path: Path) -> None:
    target = {"horizons": [1, 5], "neutralize": ["SECTOR", "LOG(VOLUME)"], "tradable": "HIGH > LOW && VOLUME > 0"}
    settings = yaml.safe_load(CONFIG % {"rounds": 2, "candidates": 12, "more": ""}) | {"target": target}
    expected = ff.mine(settings | {"ledger": str(tmp_path / "one.sqlite")}).to_dict()
    local = ff.mine(settings | {"ledger": str(tmp_path / "two.sqlite"), "cluster": {"address": "local:2"}}).to_dict()
    for document in (expected, local):
        document.pop("record")
    assert repr(local) == repr(expected)


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["ic", "spread", "net"])
def test_whatever_is_climbed_workers_find_what_one_process_finds(objective: str, tmp_path: Path) -> None:
    settings = yaml.safe_load(CONFIG % {"rounds": 2, "candidates": 12, "more": ""})
    settings |= {"objective": objective, "cost_bps": 1.0}
    expected = ff.mine(settings | {"ledger": str(tmp_path / "one.sqlite")}).to_dict()
    local = ff.mine(settings | {"ledger": str(tmp_path / "two.sqlite"), "cluster": {"address": "local:2"}}).to_dict()
    for document in (expected, local):
        document.pop("record")
    assert repr(local) == repr(expected)


def test_mining_from_a_published_library_is_the_same(tmp_path: Path) -> None:
    settings = yaml.safe_load(CONFIG % {"rounds": 1, "candidates": 12, "more": ""}) | {"library": "gtja191"}
    expected = ff.mine(settings | {"ledger": str(tmp_path / "one.sqlite")}).to_dict()
    local = ff.mine(settings | {"ledger": str(tmp_path / "two.sqlite"), "cluster": {"address": "local:2"}}).to_dict()
    for document in (expected, local):
        document.pop("record")
    assert repr(local) == repr(expected)


def test_mining_is_the_same_and_outlives_its_scheduler(tmp_path: Path) -> None:
    """One process, local:2, and a scheduler that is killed halfway with the run resumed in one process."""
    settings = yaml.safe_load(CONFIG % {"rounds": 3, "candidates": 12, "more": ""})
    settings |= {"control": {"random": True}}
    expected = ff.mine(settings | {"ledger": str(tmp_path / "one.sqlite")}).to_dict()
    local = ff.mine(settings | {"ledger": str(tmp_path / "two.sqlite"), "cluster": {"address": "local:2"}}).to_dict()
    for document in (expected, local):
        document.pop("record")
    assert repr(local) == repr(expected)

    config, output = tmp_path / "run.yaml", tmp_path / "out.yaml"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    with remote_cluster(where=tmp_path) as (address, scheduler, _):
        run = start("mine", "--config", str(config), "--cluster", address, "--output", str(output), folder=tmp_path)
        assert run.stdout is not None
        assert run.stderr is not None
        for line in run.stdout:
            if line.startswith("round 1/"):
                scheduler.kill()
                break
        run.stdout.read()
        message = run.stderr.read()
        run.stdout.close()
        run.stderr.close()
        assert run.wait(60) == 2, message
    assert f"error: the connection to the Dask scheduler of {address} is lost" in message
    assert "rounds are kept, to go on: fama-fast mine --resume" in message
    assert "Traceback" not in message
    assert not output.exists()
    again = start("mine", "--config", str(config), "--resume", "last", "--output", str(output), folder=tmp_path)
    _, err = again.communicate(timeout=120)
    assert again.returncode in (0, 1), err
    plain = yaml.safe_load(yaml.safe_dump(json.loads(json.dumps(expected))))
    assert json.dumps(result(output), sort_keys=True) == json.dumps(plain, sort_keys=True)


def test_the_command_line(parquet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", *TEXTS[:3], "--data", str(parquet), "--json"]) == 0
    one = capsys.readouterr().out
    assert main(["score", *TEXTS[:3], "--data", str(parquet), "--json", "--cluster", "local:1"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(one)
    for arguments, message in [
        (["--cluster", "tcp//x"], "did you mean tcp://"),
        (["--cluster", "tcp://127.0.0.1:1", "--memory-budget", "1GB"], "memory limits of their own"),
    ]:
        assert main(["score", TEXTS[0], "--data", str(parquet), *arguments]) == 2
        assert message in capsys.readouterr().err


def test_nobody_there() -> None:
    answer = r"no Dask scheduler answers at tcp://127\.0\.0\.1:1: "
    with pytest.raises(ClusterError, match=answer), open_pool("tcp://127.0.0.1:1", wait=0.5):
        pass


def test_the_page_names_real_settings_and_functions() -> None:
    page = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    (settings,) = re.findall(r"^```yaml\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    assert config_from_dict(yaml.safe_load(settings)).cluster.memory_bytes == 4_000_000_000
    (code,) = re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    exec(compile(code, "docs/cluster.md", "exec"), {"__name__": "page"})


def test_without_distributed_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"fama_fast\[cluster\]"), open_pool("local:1"):
        pass
