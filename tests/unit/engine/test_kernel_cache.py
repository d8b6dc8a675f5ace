"""The kernels kept on disk: what is damaged is compiled anew, and nothing is read that others could have written."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fama_fast.backends.numba_vm import caching, trust
from fama_fast.backends.numba_vm.cache_file import KernelFiles
from tests.support.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="owners and modes are POSIX's")
as_root = pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="only root gives files away")
KEY = (("float64",), ("x86", "cpu", ""), ("a", "b"))
DATA = ("compiled", b"\x90" * 4000)
EVALUATE = """
import numpy as np
import fama_fast as ff
panel = ff.Panel(np.datetime64("2020-01-01") + np.arange(9), range(3), {"CLOSE": np.arange(27.0).reshape(9, 3)})
for text in ("MOD(CLOSE, 4)", "TS_MEAN(CLOSE, 2)"):
    print(np.nansum(ff.compile(text).evaluate(panel)))
"""
ANSWER = ["39.0", "312.0"]


@pytest.fixture(autouse=True)
def usual_umask() -> object:
    before = os.umask(0o022)
    yield
    os.umask(before)


# One file


def saved(folder: Path) -> tuple[KernelFiles, Path]:
    files = KernelFiles(str(folder), "family.kernel", "stamp")
    files.save(KEY, DATA)
    (path,) = folder.iterdir()
    return files, path


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def cut_inside_the_seal(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:9])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 9)


def a_bit_of_code_flipped(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 4
    path.write_bytes(whole)


def sealed_nonsense(path: Path) -> None:
    """Of another program that happens to write the same shape."""
    body = pickle.dumps(((None, None, None), None, None))
    path.write_bytes(hashlib.sha256(body).digest() + body)


def another_kernels(path: Path) -> None:
    other = KernelFiles(str(path.parent), "family.kernel", "an older stamp")
    other.save(KEY, ("something else",))
    shutil.move(other.path(KEY), path)


def a_folder(path: Path) -> None:
    path.unlink()
    (path / "inside").mkdir(parents=True)


def a_link(path: Path) -> None:
    real = path.parent.parent / "elsewhere"
    path.rename(real)
    path.symlink_to(real)


def a_dead_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def writable_by_all(path: Path) -> None:
    path.chmod(0o666)


def writable_by_the_group(path: Path) -> None:
    path.chmod(0o660)


def somebody_elses(path: Path) -> None:
    os.chown(path, 12345, -1)


ANYWHERE = [
    cut,
    cut_inside_the_seal,
    emptied,
    garbage,
    a_bit_of_code_flipped,
    sealed_nonsense,
    another_kernels,
    a_folder,
]
POSIX = [a_link, a_dead_link, a_pipe, writable_by_all, writable_by_the_group]
DAMAGES = [
    *ANYWHERE,
    *(pytest.param(f, marks=posix) for f in POSIX),
    pytest.param(somebody_elses, marks=as_root),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_as_good_as_none_and_is_replaced(damage: Callable[[Path], None], tmp_path: Path) -> None:
    folder = tmp_path / "kernels"
    folder.mkdir()
    files, path = saved(folder)
    assert files.load(KEY) == DATA
    damage(path)
    assert files.load(KEY) is None
    files.save(KEY, DATA)
    assert files.load(KEY) == DATA
    assert not [p for p in folder.iterdir() if ".tmp." in p.name]


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root reads everything")
def test_a_file_that_cannot_be_read_is_replaced(tmp_path: Path) -> None:
    files, path = saved(tmp_path)
    path.chmod(0)
    assert files.load(KEY) is None
    files.save(KEY, DATA)
    assert files.load(KEY) == DATA


def test_every_single_byte_of_a_file_counts(tmp_path: Path) -> None:
    files, path = saved(tmp_path)
    whole = path.read_bytes()
    for at in range(0, len(whole), 97):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert files.load(KEY) is None


def test_other_versions_and_sources_have_files_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, _ = saved(tmp_path)
    monkeypatch.setattr("numba.__version__", "0.1")
    there = KernelFiles(str(tmp_path), "family.kernel", "stamp")
    assert there.load(KEY) is None
    there.save(KEY, "older code")
    assert here.load(KEY) == DATA
    assert there.load(KEY) == "older code"


@posix
@pytest.mark.parametrize("umask", [0, 0o002, 0o022, 0o077])
def test_what_is_written_is_the_users_alone_whatever_the_umask(umask: int, tmp_path: Path) -> None:
    os.umask(umask)
    folder = tmp_path / "a" / "b" / "kernels"
    caching._make(folder)
    files, path = saved(folder)
    assert files.load(KEY) == DATA
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {stat.S_IMODE(p.stat().st_mode) for p in (folder, folder.parent, folder.parent.parent)} == {0o700}


# The folder


@posix
@pytest.mark.parametrize(
    ("mode", "trusted"), [(0o700, True), (0o755, True), (0o775, False), (0o777, False), (0o1777, False)]
)
def test_others_may_not_write_the_folder(mode: int, trusted: bool, tmp_path: Path) -> None:
    folder = tmp_path / "kernels"
    folder.mkdir()
    folder.chmod(mode)
    assert (trust.stranger(folder) is None) == trusted
    if not trusted:
        assert f"others may write in {folder}" in str(trust.stranger(folder))


@posix
@pytest.mark.parametrize(("mode", "trusted"), [(0o755, True), (0o777, False), (0o1777, True), (0o757, False)])
def test_others_may_not_exchange_the_folder(mode: int, trusted: bool, tmp_path: Path) -> None:
    """In a folder like /tmp everybody may write, but nobody may move what is another's."""
    folder = tmp_path / "above" / "between" / "kernels"
    folder.mkdir(parents=True)
    (tmp_path / "above").chmod(mode)
    assert (trust.stranger(folder) is None) == trusted


@posix
def test_a_group_that_is_the_users_own_may_write_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import grp

    folder = tmp_path / "above" / "kernels"
    folder.mkdir(parents=True)
    (tmp_path / "above").chmod(0o775)
    about = (tmp_path / "above").stat()
    import pwd

    name = pwd.getpwuid(os.geteuid()).pw_name
    for members, group, trusted in (
        ([], name, True),
        ([name], name, True),
        (["eve"], name, False),
        ([], "staff", False),
    ):
        entry = grp.struct_group((group, "x", about.st_gid, members))
        monkeypatch.setattr(grp, "getgrgid", lambda _, entry=entry: entry)
        assert (trust.stranger(folder) is None) == trusted, (members, group)


@as_root
@pytest.mark.parametrize("which", ["kernels", "above"])
def test_the_folder_and_those_above_are_not_anothers(which: str, tmp_path: Path) -> None:
    folder = tmp_path / "above" / "kernels"
    folder.mkdir(parents=True)
    (given,) = [p for p in (folder, folder.parent) if p.name == which]
    os.chown(given, 12345, -1)
    assert trust.stranger(folder) == f"{given} belongs to another user (number 12345)"


@posix
def test_what_a_link_leads_to_is_judged(tmp_path: Path) -> None:
    real = tmp_path / "open" / "kernels"
    real.mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(real)
    assert trust.stranger(link) is None
    (tmp_path / "open").chmod(0o777)
    assert f"others may write in {tmp_path / 'open'}" in str(trust.stranger(link))


# Processes


def process(cache: Path, *options: str, code: str = EVALUATE) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "FAMA_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *options, "-c", code]
    return subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cache = tmp_path_factory.mktemp("warm") / "cache"
    done = process(cache)
    assert done.stdout.split() == ANSWER, done.stderr
    return cache


def kernels(cache: Path) -> list[Path]:
    return sorted(p for p in cache.rglob("*.nbc") if p.is_file() and not p.is_symlink())


def contents(cache: Path) -> dict[str, tuple[bytes, int]]:
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in kernels(cache)}


def test_processes_heal_a_damaged_cache(warm: Path, tmp_path: Path) -> None:
    """All kinds of damage at once; the process after next finds everything in order."""
    cache = tmp_path / "cache"
    shutil.copytree(warm, cache)
    before = contents(cache)
    kinds = [*ANYWHERE, *(POSIX if hasattr(os, "geteuid") else [])]
    ways = [kinds[i % len(kinds)] for i in range(len(before))]
    for way, path in zip(ways, kernels(cache), strict=True):
        if way is not another_kernels:
            way(path)
    (next(cache.glob("kernels-*")) / "family.kernel.nbc.tmp.0123").write_bytes(b"what a killed process left")
    first = process(cache, "-W", "error")
    assert first.stdout.split() == ANSWER, first.stderr
    assert first.stderr == ""
    healed = contents(cache)
    assert healed.keys() == before.keys()
    second = process(cache, "-W", "error")
    assert second.stdout.split() == ANSWER
    assert contents(cache) == healed


def test_a_file_in_the_place_of_the_folder_is_set_aside(tmp_path: Path) -> None:
    folder = f"kernels-{caching.source_digest()}"
    (tmp_path / folder).write_text("in the way")
    where = "from fama_fast.backends.numba_vm import caching; print(caching.cache_dir())"
    done = process(tmp_path, "-W", "error", code=where)
    assert done.stdout.strip() == str(tmp_path / folder), done.stderr
    (aside,) = tmp_path.glob(f"{folder}.aside.*")
    assert aside.read_text() == "in the way"


@posix
def test_a_cache_that_others_may_write_is_not_used_and_that_is_said_once(warm: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(warm, cache)
    planted = tmp_path / "planted"
    for path in kernels(cache):
        body = pickle.dumps(Planted(planted))
        path.write_bytes(hashlib.sha256(body).digest() + body)
    cache.chmod(0o777)
    before = contents(cache)
    done = process(cache)
    assert done.stdout.split() == ANSWER
    assert done.stderr.count("others may write in") == 1
    assert "set FAMA_CACHE_DIR to a folder that only you may write" in done.stderr
    assert contents(cache) == before
    assert not planted.exists()


class Planted:
    """What runs when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_planted_code_would_run_where_the_folder_is_trusted(tmp_path: Path) -> None:
    """That the test above can fail: the same file in a folder of the user's alone is read, and is the user's own."""
    files, path = saved(tmp_path)
    body = pickle.dumps(Planted(tmp_path / "planted"))
    path.write_bytes(hashlib.sha256(body).digest() + body)
    with pytest.raises(TypeError):
        files.load(KEY)
    assert (tmp_path / "planted").exists()


def test_a_kernel_that_cannot_be_saved_is_said_once_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(KernelFiles, "save", full)
    caching._not_saved.cache_clear()

    def twice(x: float) -> float:
        return 2 * x

    double = caching.njit_cached(twice)
    with pytest.warns(RuntimeWarning, match="No space left on device") as told:
        answers = double(4.0), double(4)
    assert answers == (8.0, 8)
    assert len(told) == 1
