"""What users install: the built wheel, alone in a fresh environment, away from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import fama_fast as ff
from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (built,) = out.glob("*.whl")
    return built


def test_wheel_carries_grammar_prompts_formulas_and_types(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in ("_grammar/alpha.lark", "_prompts/propose.md", "library/alpha101.txt", "py.typed"):
        assert f"fama_fast/{path}" in names
    assert not [n for n in names if n.startswith(("tests/", "benches/")) or n.endswith((".nbc", ".nbi"))]


@pytest.mark.slow
def test_installed_wheel_mines(wheel: Path, tmp_path: Path) -> None:
    """A new virtual environment, the wheel and its dependencies, nothing of this checkout on the path."""
    environment = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True, timeout=120)
    folder = environment / ("Scripts" if os.name == "nt" else "bin")
    install = [str(folder / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "-c", str(ROOT / "constraints.txt"), str(wheel)], check=True, timeout=500)
    work = tmp_path / "work"
    work.mkdir()
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COV_", "FAMA_", "VIRTUAL_ENV"))}
    clean["FAMA_CACHE_DIR"] = str(tmp_path / "cache")

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        command = [str(folder / "fama-fast"), *args]
        return subprocess.run(command, cwd=work, env=clean, check=False, capture_output=True, text=True, timeout=300)

    mined = run("mine", "--rounds", "1", "--seed", "1", "--output", "run.yaml")
    assert mined.returncode in (0, 1), mined.stderr
    assert mined.stdout.startswith("data: simulator")
    assert "40 candidates in 1 rounds" in mined.stdout
    assert (work / "run.yaml").is_file()
    assert (work / "runs" / "ledger.sqlite").is_file()
    checked = run("check", "RANK(DELTA(CLOSE, 5)) * -1")
    assert checked.returncode == 0
    assert "-RANK(DELTA(CLOSE, 5))" in checked.stdout
    where = subprocess.run(
        [str(folder / "python"), "-c", "import fama_fast.resources as r; print(r.grammar_dir(), r.prompts_dir())"],
        cwd=work,
        env=clean,
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.count(str(environment)) == 2


def test_version_is_stated_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    place = ROOT / project["tool"]["hatch"]["version"]["path"]
    assert f'__version__ = "{ff.__version__}"' in place.read_text()


def test_public_names_are_listed_and_importable() -> None:
    for name in ff.__all__:
        assert getattr(ff, name) is not None
    assert set(ff._HOME) | {"__version__"} == set(ff.__all__)


def test_import_loads_nothing_heavy() -> None:
    heavy = "{'numba', 'polars', 'sklearn', 'pandas', 'sqlalchemy', 'openai', 'scipy', 'lark', 'numpy'}"
    code = f"import sys, fama_fast; print({heavy} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "set()"
