"""A small market, mined once for all tests that look at what a run leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from fama_fast.cli import main

CONFIG = """
k: 4
l: 2
run: {wanted: 40, rounds: 4, candidates: 25, patience: 100, seed: 3, min_coverage: 0.9}
gates: {min_t: 1.0, min_rank_ic: 0.005}
splits: {horizon: 2, fractions: [0.5, 0.25, 0.25]}
"""
SIGNAL = "RANK(TS_MEAN(VOLUME, 5)) * -1:0.1"


def mine_into(folder: Path) -> Path:
    """A folder with a finished run (runs/ledger.sqlite), its result (out.yaml), its settings, and panel.parquet."""
    (folder / "run.yaml").write_text(CONFIG, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        simulated = ["--symbols", "60", "--dates", "320", "--seed", "11", "--signal", SIGNAL]
        assert main(["data", "simulate", *simulated, "--output", "panel.parquet"]) == 0
        options = ["--config", "run.yaml", "--data", "panel.parquet", "--output", "out.yaml", "--quiet"]
        assert main(["mine", *options]) in (0, 1)
    return folder
