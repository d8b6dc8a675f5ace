"""A small market to mine in a process of its own, and how its results are compared."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.support.paths import ROOT

CONFIG = """
data:
  simulator:
    symbols: 24
    dates: 260
    seed: 3
    signals: [{expression: "RANK(TS_MEAN(VOLUME, 5)) * -1", rank_ic: 0.15}]
k: 4
l: 2
run: {wanted: 1000, rounds: %(rounds)d, candidates: %(candidates)d, patience: 100, seed: 5, threads: 1%(more)s}
control: {random: false}
"""


# Of tests of processes, that say nothing of which examples are shown: a third of such a process is the import of what
# clusters them.
UNCLUSTERED = ", use_css: false, use_coe: false"


def write_config(folder: Path, *, rounds: int = 5, candidates: int = 6, clustered: bool = False) -> Path:
    """The configuration in `folder`, which is made; with examples and chains where `clustered`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "run.yaml"
    more = "" if clustered else UNCLUSTERED
    path.write_text(CONFIG % {"rounds": rounds, "candidates": candidates, "more": more}, encoding="utf-8")
    return path


def start(*arguments: str, folder: Path, code: str | None = None, **options: Any) -> subprocess.Popen[str]:
    """`fama-fast ...` (or `code` with these arguments) in a process of its own, in `folder`."""
    program = ["-c", code] if code is not None else ["-m", "fama_fast"]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, *program, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def run(*arguments: str, folder: Path, code: str | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    """`start`, waited for."""
    process = start(*arguments, folder=folder, code=code, **options)
    out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def result(path: Path) -> dict[str, Any]:
    """A result document without what may differ between equal runs."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert document.pop("record")
    return dict(document)
