"""Help is as wide as the terminal, within what reads well, and breaks at words."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(("columns", "least", "widest"), [(60, 50, 60), (100, 90, 100), (300, 110, 120)])
@pytest.mark.parametrize("command", [[], ["signal"]])
def test_help_is_as_wide_as_the_terminal(columns: int, least: int, widest: int, command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fama_fast", *command, "--help"],
        env=os.environ | {"COLUMNS": str(columns)},
        capture_output=True,
        text=True,
        check=True,
    )
    longest = max(map(len, done.stdout.splitlines()))
    assert least <= longest <= widest
