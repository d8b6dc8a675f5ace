"""Start-up: what a fresh process imports, and where compiled kernels are kept.

Nothing here is timed; what makes start-up fast is that heavy packages are not imported and kernels are not compiled.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = ROOT
HEAVY = (
    "numba",
    "polars",
    "pandas",
    "scipy",
    "sklearn",
    "pyarrow",
    "openai",
    "sqlalchemy",
    "pydantic",
    "numpy",
    "lark",
)
EVALUATE = """
import numpy as np
import fama_fast as ff
from fama_fast.backends.numba_vm import caching
panel = ff.Panel(np.datetime64("2020-01-01") + np.arange(9), range(3), {"CLOSE": np.arange(27.0).reshape(9, 3)})
print(ff.compile("MOD(CLOSE, 4)").evaluate(panel).sum(), caching.cache_dir())
"""


def python(code: str, *, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh process; the environment has neither a cache folder nor a home but those given."""
    dropped = ("PYTHONPATH", "FAMA_CACHE_DIR", "XDG_CACHE_HOME", "HOME", "FAMA_THREADS")
    surroundings = {k: v for k, v in os.environ.items() if k not in dropped} | environment
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=cwd, env=surroundings, check=True, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("what", ["import fama_fast", "import fama_fast; fama_fast.FamaError; fama_fast.__all__"])
def test_import_loads_nothing_heavy(what: str, tmp_path: Path) -> None:
    done = python(f"{what}; import sys; print(sorted(set({HEAVY!r}) & set(sys.modules)))", cwd=tmp_path)
    assert done.stdout.strip() == "[]"


def test_compiling_an_expression_needs_no_numba_and_no_polars(tmp_path: Path) -> None:
    code = "import fama_fast as ff, sys; ff.compile('RANK(DELTA(CLOSE, 5))')"
    assert python(f"{code}; print({{'numba', 'polars'}} & set(sys.modules))", cwd=tmp_path).stdout.strip() == "set()"


def kernels(folder: Path) -> dict[str, tuple[int, int]]:
    """Every compiled file below: its size and the moment it was written."""
    files = [p for p in folder.rglob("*") if p.suffix in (".nbi", ".nbc")]
    return {p.relative_to(folder).as_posix(): (p.stat().st_size, p.stat().st_mtime_ns) for p in files}


@pytest.fixture
def read_only_install(tmp_path: Path) -> Iterator[Path]:
    """The package as an administrator installs it: nobody may write into its folders."""
    site = tmp_path / "site"
    for name in ("fama_fast", "grammar", "prompts"):
        shutil.copytree(PACKAGE / name, site / name, ignore=shutil.ignore_patterns("__pycache__"))
    folders = [site, *(p for p in site.rglob("*") if p.is_dir())]
    for folder in folders:
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    yield site
    for folder in folders:
        folder.chmod(stat.S_IRWXU)


def installed(site: Path, code: str) -> str:
    """`code` for a process that imports the package from `site` and shows its log."""
    return (
        f"import logging, sys; sys.path.insert(0, {str(site)!r}); sys.dont_write_bytecode = True\n"
        f"logging.basicConfig(level='INFO')\n{code}"
    )


def test_read_only_install_keeps_kernels_in_the_users_cache(read_only_install: Path, tmp_path: Path) -> None:
    """Compiled by the first process, which says where they are kept; read by the second."""
    home = tmp_path / "home"
    home.mkdir()
    before = sorted(read_only_install.rglob("*"))
    code = installed(read_only_install, EVALUATE)
    first = python(code, cwd=tmp_path, HOME=str(home))
    folder = first.stdout.split()[1]
    assert folder.startswith(str(home))
    assert first.stderr.count(f"kept in {folder}") == 1
    written = kernels(home)
    assert any("elementwise.mod" in name for name in written)
    assert sorted(read_only_install.rglob("*")) == before
    second = python(code, cwd=tmp_path, HOME=str(home))
    assert kernels(home) == written
    assert second.stdout == first.stdout
    assert "kept in" not in second.stderr


def test_cache_folder_can_be_chosen(read_only_install: Path, tmp_path: Path) -> None:
    code = installed(read_only_install, "from fama_fast.backends.numba_vm import caching; print(caching.cache_dir())")
    done = python(code, cwd=tmp_path, HOME=str(tmp_path / "home"), FAMA_CACHE_DIR=str(tmp_path / "chosen"))
    assert Path(done.stdout.strip()).parent == tmp_path / "chosen"
    assert Path(done.stdout.strip()).is_dir()
    assert not (tmp_path / "home").exists()


def test_a_cache_that_cannot_be_written_is_said_once(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    done = python(f"{EVALUATE}\n{EVALUATE}", cwd=tmp_path, FAMA_CACHE_DIR=str(blocked))
    assert done.stdout.splitlines() == ["39.0 None", "39.0 None"]
    assert done.stderr.count("compiled kernels cannot be kept in") == 1
    assert "set FAMA_CACHE_DIR to a writable folder" in done.stderr
