"""The scripts of the continuous integration: the lowest versions, and the Pythons that are found."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from tests.support.paths import ROOT


def script(name: str) -> ModuleType:
    path = ROOT / ".ci" / f"{name}.py"
    if not path.is_file():
        pytest.skip("an archive of the source has no .ci")
    spec = importlib.util.spec_from_file_location(f"ci_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("requirement", "pinned"),
    [
        ("numba>=0.62", "numba==0.62"),
        ("psycopg[binary]>=3.2.1", "psycopg[binary]==3.2.1"),
        ("KunQuant>=0.1.12; platform_machine == 'x86_64'", "KunQuant==0.1.12 ; platform_machine == 'x86_64'"),
        ("types-PyYAML", "types-PyYAML"),
    ],
)
def test_a_lower_bound_becomes_the_version(requirement: str, pinned: str) -> None:
    assert script("lowest").lowest(requirement)[1] == pinned


@pytest.mark.parametrize("requirement", ["numba>=0.62,<1", "numba==1", "numba~=1.0", ""])
def test_requirements_of_other_forms_are_refused(requirement: str) -> None:
    with pytest.raises(ValueError, match="expected a name"):
        script("lowest").lowest(requirement)


def test_everything_that_users_install_has_a_lower_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [e for e in project["optional-dependencies"] if e not in ("dev", "bench")]
    found = script("lowest").requirements([*extras, "dev/pytest"])
    assert len(found) > len(project["dependencies"])
    assert [r for r in found if not re.fullmatch(r"[\w.\[\]-]+==[\d.]+", r)] == []


def test_only_pythons_that_run_are_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pyenv leaves programs on the path that only say that they are not installed."""
    pythons = script("pythons")
    for name, body in (("python3.99", "exit 127"), ("python3.98", "echo 3 98"), ("python3.7", "echo 3 7")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    found = pythons.pythons()
    assert found[3, 98] == str(tmp_path / "python3.98")
    assert (3, 99) not in found
    assert (3, 7) not in found


def kept(path: str) -> str:
    file = ROOT / path
    if not file.is_file():
        pytest.skip(f"an archive of the source has no {path}")
    return file.read_text(encoding="utf-8")


def test_the_workflow_runs_everything_on_three_systems_and_every_python() -> None:
    job = yaml.safe_load(kept(".github/workflows/ci.yml"))["jobs"]["check"]
    matrix = job["strategy"]["matrix"]
    assert {system.split("-")[0] for system in matrix["os"]} == {"ubuntu", "macos", "windows"}
    assert matrix["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert [step["run"] for step in job["steps"] if "run" in step] == ["bash .ci/run"]
    classifiers = tomllib.loads(kept("pyproject.toml"))["project"]["classifiers"]
    named = {c.rsplit(" ", 1)[1] for c in classifiers if re.search(r"Python :: 3\.\d", c)}
    assert named <= set(matrix["python"])


def test_the_workflow_of_packages_builds_both_and_tries_the_wheel() -> None:
    steps = yaml.safe_load(kept(".github/workflows/packages.yml"))["jobs"]["build"]["steps"]
    commands = [step.get("run", "") for step in steps]
    assert "python -m build" in commands
    assert any("fama-fast check" in command for command in commands)


def test_hooks_are_local_and_their_commands_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", kept("Makefile"), re.MULTILINE))
    run = kept(".ci/run")
    for repository in yaml.safe_load(kept(".pre-commit-config.yaml"))["repos"]:
        assert repository["repo"] == "local"
        for hook in repository["hooks"]:
            program, target = hook["entry"].split()
            assert (program, target in targets) == ("make", True)
            assert f"make {target}\n" in run
