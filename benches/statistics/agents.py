"""Count how often a scripted agent's session claims something on a market of pure noise.

    python -m benches.statistics.agents --sessions 40 --formulas 200
    python -m benches.statistics.agents --agent climbs

The agent speaks to the server as any client does, and knows nothing but its answers. `draws` scores random formulas and
proposes what would be admitted. `climbs` scores random formulas too, and then sums up those that did best in training
and on validation alike, which no count of looks corrects for: only the test can tell.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from typing import TYPE_CHECKING, Any

from fama_fast.agents.opening import open_session
from fama_fast.agents.server import build_server
from fama_fast.data import SimulationSpec, simulate
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.verdict.control import random_formulas

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcp import Client

    from fama_fast.agents.session import AgentSession

_SIZES = range(4, 13)  # nodes
_SUMMED = 3  # formulas in a sum of `climbs`
_SUMS = 20
CLAIM = "found"


async def _ask(client: Client, tool: str, **arguments: Any) -> dict[str, Any] | None:
    """The answer of a tool; None where it refuses."""
    result = await client.call_tool(tool, arguments)
    return None if result.is_error else dict(result.structured_content or {})


async def draws(client: Client, formulas: Sequence[str]) -> list[dict[str, Any]]:
    """Score each formula, and propose what would be admitted. Returns the scores."""
    scored = []
    for text in formulas:
        answer = await _ask(client, "score", expression=text)
        if answer is not None:
            scored.append(answer)
            if answer["admission"]["state"].startswith("would be admitted"):
                await _ask(client, "propose", expression=text)
    return scored


async def climbs(client: Client, formulas: Sequence[str]) -> list[dict[str, Any]]:
    """`draws`, and then sums of the formulas whose weaker t, of training and validation, is highest; each proposed."""
    scored = await draws(client, formulas[: max(1, len(formulas) - _SUMS)])
    best = sorted(scored, key=lambda a: -min(a[split].get("rank_ic_t") or 0.0 for split in ("train", "valid")))
    for i in range(_SUMS):
        parts = [a["factor"] for a in best[i : i + _SUMMED]]
        text = " + ".join(f"RANK({part})" for part in parts)
        answer = await _ask(client, "propose", expression=text, parents=parts)
        if answer is not None:
            scored.append(answer)
    return scored


AGENTS = {"draws": draws, "climbs": climbs}


async def _talk(session: AgentSession, agent: str, formulas: Sequence[str]) -> dict[str, Any]:
    from mcp import Client

    async with Client(build_server(session)) as client:
        await AGENTS[agent](client, formulas)
        verdict = await _ask(client, "verdict")
        assert verdict is not None
        return verdict


def session_on_noise(
    seed: int, *, agent: str = "draws", formulas: int = 200, symbols: int = 100, dates: int = 504
) -> dict[str, Any]:
    """The verdict of a scripted agent's session on a market of noise that `seed` decides."""
    panel = simulate(SimulationSpec(n_symbols=symbols, n_dates=dates, seed=seed, signals=()))
    with tempfile.TemporaryDirectory() as folder:
        config = config_from_dict({"paths": {"output_dir": folder}, "run": {"seed": seed, "threads": 1}})
        with open_session(config, panel=panel) as session:
            sizes = {n: -(-formulas // len(_SIZES)) for n in _SIZES}
            texts = random_formulas(session.market.vocabulary, sizes, seed, level_free=True)[:formulas]
            return asyncio.run(_talk(session, agent, texts))


def main() -> int:
    """Run the sessions and print what they claim; exit code 1 where one does."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sessions", type=int, default=40)
    parser.add_argument("--formulas", type=int, default=200)
    parser.add_argument("--agent", choices=tuple(AGENTS), default="draws")
    parser.add_argument("--first-seed", type=int, default=0)
    asked = parser.parse_args()
    said: Counter[str] = Counter()
    opened = 0
    for seed in range(asked.first_seed, asked.first_seed + asked.sessions):
        verdict = session_on_noise(seed, agent=asked.agent, formulas=asked.formulas)
        said[verdict["status"]] += 1
        opened += bool(verdict["test_opened"])
        print(f"seed {seed}: {verdict['headline']}", flush=True)
    what = f"{asked.sessions} sessions of {asked.formulas} formulas, agent {asked.agent}"
    print(f"{what}: {dict(said)}; test opened {opened}")
    return 1 if said[CLAIM] else 0


if __name__ == "__main__":
    sys.exit(main())
