"""What users install: the built wheel, alone in a fresh environment, away from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

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
    texts = ("library/alpha101.txt", "library/gtja191.txt")
    for path in ("_grammar/alpha.lark", "_prompts/propose.md", *texts, "py.typed"):
        assert f"fama_fast/{path}" in names
    assert not [n for n in names if n.startswith(("tests/", "benches/")) or n.endswith((".nbc", ".nbi"))]


def needed(wheel: Path) -> set[Distribution]:
    """The installed distributions that the wheel's own metadata ask for, and those that these ask for, no extras."""
    names = [n for n in zipfile.ZipFile(wheel).namelist() if n.endswith(".dist-info/METADATA")]
    metadata = Parser().parsestr(zipfile.ZipFile(wheel).read(names[0]).decode())
    waiting = [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]
    found: dict[str, Distribution] = {}
    seen = set()
    while waiting:
        requirement = waiting.pop()
        extras = {"", *requirement.extras}
        if requirement.marker is not None and not any(requirement.marker.evaluate({"extra": e}) for e in extras):
            continue
        if str(requirement) not in seen:
            seen.add(str(requirement))
            found[requirement.name] = distribution(requirement.name)
            assert requirement.specifier.contains(found[requirement.name].version, prereleases=True), str(requirement)
            waiting += [Requirement(text) for text in found[requirement.name].requires or []]
    return set(found.values())


@pytest.mark.slow
def test_installed_wheel_mines(wheel: Path, tmp_path: Path) -> None:
    """A new virtual environment with the wheel, and what it says that it needs; nothing else of this one."""
    environment = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True, timeout=120)
    folder = environment / ("Scripts" if os.name == "nt" else "bin")
    install = [str(folder / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "--no-deps", "--no-index", str(wheel)], check=True, timeout=500)
    (site,) = environment.glob("[Ll]ib/**/site-packages")
    for dependency in needed(wheel):
        tops = {file.parts[0] for file in dependency.files or [] if file.parts[0] not in ("..", "__pycache__")}
        for top in tops:
            # What is installed already need not be downloaded once more.
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(dependency.locate_file(top))))
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
