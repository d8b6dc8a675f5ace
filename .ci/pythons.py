"""Runs a part of the tests with every Python from 3.11 on that this machine has, but the one that runs this.

Each gets an environment of its own, `.venv-python3.12` and so on, with the versions in constraints.txt. A Python for
which the package index has no wheels yet is named and left out; so is a machine that has no other Python.
`--install` makes the environments and runs nothing.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEAST = (3, 11)
# Of the language, the data and the loop: enough to see whether another Python can run all of it.
TESTS = (
    "unit/lang/test_lang_parser.py",
    "unit/lang/test_lang_printer.py",
    "unit/lang/test_passes.py",
    "unit/lang/test_define.py",
    "unit/panel/test_panel.py",
    "unit/panel/test_csv.py",
    "unit/mining/test_loop.py",
)
TOOLS = ("pytest", "pytest-timeout", "pytest-xdist", "hypothesis", "pandas", "bottleneck", "statsmodels")
_NO_WHEEL = re.compile(r"No matching distribution found for (\S+)|Could not find a version that satisfies .*? (\S+)")


def candidates() -> list[str]:
    """Programs that may be a Python: on the path, and where pyenv keeps its versions."""
    found = [
        str(path)
        for folder in os.environ.get("PATH", "").split(os.pathsep)
        for path in sorted(Path(folder).glob("python3.*"))
        if re.fullmatch(r"python3\.\d+(\.exe)?", path.name)
    ]
    pyenv = os.environ.get("PYENV_ROOT") or str(Path.home() / ".pyenv")
    return [*found, *sorted(glob.glob(f"{pyenv}/versions/3.*/bin/python"))]


def version_of(program: str) -> tuple[int, int] | None:
    """Its version, or None when it does not run: pyenv leaves programs on the path that only say so."""
    code = "import sys, venv, ensurepip; print(*sys.version_info[:2])"
    try:
        done = subprocess.run([program, "-c", code], capture_output=True, text=True, timeout=60, check=False)
        major, minor = map(int, done.stdout.split())
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return (major, minor) if done.returncode == 0 else None


def pythons() -> dict[tuple[int, int], str]:
    """One program a version, this one's version left out, ascending."""
    found: dict[tuple[int, int], str] = {}
    for program in candidates():
        version = version_of(program)
        if version is not None and version >= LEAST and version != sys.version_info[:2]:
            found.setdefault(version, program)
    return dict(sorted(found.items()))


def installed(name: str, program: str) -> Path | None:
    """The Python of the environment, made when it is missing; None where there are no wheels for it.

    Raises:
        SystemExit: it cannot be made for another reason.
    """
    folder = ROOT / f".venv-{name}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = folder / ".installed"
    needed = max((ROOT / file).stat().st_mtime for file in ("pyproject.toml", "constraints.txt"))
    if stamp.exists() and stamp.stat().st_mtime >= needed:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([program, "-m", "venv", str(folder)], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", "constraints.txt"]
    for what in (["--only-binary", ":all:", "--no-binary", "fama_fast", "-e", ".", *TOOLS],):
        done = subprocess.run([*pip, *what], cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            continue
        missing = _NO_WHEEL.search(done.stderr)
        if missing is None:
            sys.exit(f"{name}: the package cannot be installed:\n{done.stderr}")
        print(f"{name}: left out: there is no wheel of {missing[1] or missing[2]} for it", flush=True)
        return None
    stamp.touch()
    return python


def main(arguments: list[str]) -> int:
    """Exit code 0 when the tests passed with every Python that could be tried."""
    found = pythons()
    if not found:
        here = ".".join(map(str, sys.version_info[:2]))
        print(f"no Python from {LEAST[0]}.{LEAST[1]} on but {here} is here: nothing more to test with")
    failed = []
    for (major, minor), program in found.items():
        name = f"python{major}.{minor}"
        python = installed(name, program)
        if python is None or "--install" in arguments:
            continue
        print(f"{name}:", flush=True)
        tests = [f"tests/{t}" for t in TESTS]
        command = [str(python), "-m", "pytest", "-q", "-n", "auto", "--dist", "loadfile", *tests]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed with {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
