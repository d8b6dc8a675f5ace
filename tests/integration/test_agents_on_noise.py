"""Scripted agents on markets of pure noise: whatever they try, the session claims nothing."""

from __future__ import annotations

import pytest

pytest.importorskip("mcp", reason="the extra `mcp` is not installed")

from benches.statistics.agents import CLAIM, session_on_noise


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["draws", "climbs"])
def test_an_agent_finds_nothing_in_noise(agent: str) -> None:
    for seed in (0, 1, 2):
        verdict = session_on_noise(seed, agent=agent, formulas=60, symbols=40, dates=300)
        assert verdict["status"] != CLAIM, verdict["headline"]
        assert verdict["statements"][0].split()[0] == str(sum(verdict["funnel"].values()))
