"""Several models share the prompts of a round by what each earns."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from fama_fast.data import SimulationSpec, simulate
from fama_fast.errors import ProposerError
from fama_fast.ledger.ledger import Ledger
from fama_fast.llm.settings import LLMSettings
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.proposers import ProposerSettings, make_proposer
from fama_fast.mining.proposers.kinds.several import origin_of, shares_of
from fama_fast.mining.run.mine import mine
from fama_fast.proposals.protocol import Allowance, ProposalRequest, Proposer, SearchView, Vocabulary

PRICES = Vocabulary(("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME"), (), 60)


class Server:
    """Answers for two models: `good` with new formulas, `bad` with one that is wrong; either may be down."""

    def __init__(self, http: HTTPServer) -> None:
        self.url = http.url_for("/v1")
        self.sent: list[dict[str, Any]] = []
        self.down: set[str] = set()
        http.expect_request("/v1/chat/completions", method="POST").respond_with_handler(self._handle)

    def _handle(self, request: Request) -> Response:
        body = json.loads(request.get_data())
        if body["model"] in self.down:
            return Response("down", status=403)
        text = "Hello!"
        if len(body["messages"]) > 1:
            self.sent.append(body)
            n = len(self.sent)
            text = f"RANK(TS_MEAN(CLOSE, {n + 1}) / CLOSE)" if body["model"] == "good" else "RANK(CLOZE)"
            text = json.dumps({"expression": text, "hypothesis": "h"})
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        usage = {"prompt_tokens": 100, "completion_tokens": 50}
        return Response(json.dumps({"choices": [choice], "usage": usage}), content_type="application/json")

    @property
    def asked(self) -> Counter[str]:
        return Counter(body["model"] for body in self.sent)


@pytest.fixture
def server(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Server:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLM_API_KEY", "sk-test-1234567890")
    monkeypatch.setenv("OTHER_KEY", "sk-other-1234567890")
    return Server(httpserver)


def settings(server: Server, *models: dict[str, Any], **changes: Any) -> LLMSettings:
    given = {"base_url": server.url, "constraint": "none", "max_tries": 1, "max_retries": 0, "per_prompt": 1}
    return LLMSettings(**(given | {"models": list(models or ({"model": "good"}, {"model": "bad"}))} | changes))


def proposer(server: Server, *models: dict[str, Any], **changes: Any) -> Any:
    return make_proposer(ProposerSettings("llm", llm=settings(server, *models, **changes)))


def request(count: int, number: int = 1, **rates: float) -> ProposalRequest:
    view = SearchView(rates=tuple((origin_of(n), rate) for n, rate in rates.items()))
    return ProposalRequest(count, vocabulary=PRICES, round=number, search=view)


def test_models_that_nothing_is_known_of_share_alike_and_are_named(server: Server) -> None:
    asking = proposer(server)
    assert isinstance(asking, Proposer)
    batch = asking.propose(request(10))
    assert server.asked == {"good": 5, "bad": 5}
    assert {p.origin for p in batch.proposals} == {"llm good"}
    assert batch.usage.requests == 10


def test_prompts_follow_what_a_model_earns_and_none_is_left_out(server: Server) -> None:
    asking = proposer(server)
    for number in range(1, 11):
        asking.propose(request(10, number, good=0.3, bad=0.0))
    assert server.asked["good"] == pytest.approx(95, abs=2)  # a floor of .05 for the other
    assert server.asked["bad"] == pytest.approx(5, abs=2)


def test_one_prompt_a_round_goes_to_either_too(server: Server) -> None:
    asking = proposer(server)
    for number in range(1, 41):
        asking.propose(request(1, number, good=0.3, bad=0.1))
    assert server.asked["bad"] == pytest.approx(40 * (0.05 + 0.9 * 0.25), abs=2)


@given(
    st.lists(st.text(min_size=1), min_size=1, max_size=6, unique=True),
    st.dictionaries(st.text(min_size=1), st.floats(0.0, 5.0)),
)
def test_shares_add_up_and_have_a_floor(names: list[str], known: dict[str, float]) -> None:
    shares = shares_of(names, {origin_of(n): rate for n, rate in known.items()})
    assert sum(shares.values()) == pytest.approx(1.0)
    assert min(shares.values()) >= 0.1 / len(names) - 1e-12


def test_each_model_has_settings_of_its_own(server: Server) -> None:
    one = {"name": "thinks", "model": "good", "reasoning_effort": "high", "price_in": 2.0, "price_out": 4.0}
    two = {"name": "does not", "model": "good", "temperature": 1.0, "max_tokens": 700}
    batch = proposer(server, one, two, temperature=0.2).propose(request(4))
    kinds = {(b.get("reasoning_effort"), b["temperature"], b["max_tokens"]) for b in server.sent}
    assert kinds == {("high", 0.2, 4096), (None, 1.0, 700)}
    priced = sum("reasoning_effort" in b for b in server.sent)
    assert 0 < priced < 4
    assert batch.usage.cost == pytest.approx(priced * (100 * 2.0 + 50 * 4.0) / 1e6)
    assert {p.origin for p in batch.proposals} == {"llm thinks", "llm does not"}
    spent = dict(batch.by_model)
    assert spent["thinks"].cost == batch.usage.cost
    assert (spent["does not"].cost, spent["does not"].requests) == (0.0, 4 - priced)


def test_goes_on_without_a_model_that_fails(server: Server) -> None:
    asking = proposer(server)
    server.down = {"bad"}
    batch = asking.propose(request(10))
    assert len(batch.proposals) == 5
    assert any("goes on without the 5 proposals of bad" in n for n in batch.notes)
    server.down = {"good", "bad"}
    with pytest.raises(ProposerError, match="access was refused"):
        asking.propose(request(10, 2))
    server.down = {"bad"}
    with pytest.raises(ProposerError, match="llm bad"):
        asking.check_server()


def test_a_budget_is_one_for_all(server: Server) -> None:
    asked = dataclasses.replace(request(10), allowance=Allowance(tokens=290))
    batch = proposer(server, concurrency=1).propose(asked)
    assert len(server.sent) == 2
    assert any("run.max_tokens" in n for n in batch.notes)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"model": "m", "models": [{"model": "a"}]}, "give model, or models"),
        ({"models": [{"name": "a"}]}, "models[0]: needs model"),
        ({"models": [{"model": "a"}, {"model": "a"}]}, "models[1]: 'a' is there already"),
        ({"models": [{"model": "a", "per_prompt": 3}]}, "models[0]: 'per_prompt' is no key of one model"),
        ({"models": [{"model": "a", "temperature": 9.0}]}, "models[0].temperature: Input should be less than"),
        ({"models": [{"model": "a"}], "max_cost": 1.0}, "models[0]: Value error, max_cost needs price_in"),
    ],
)
def test_wrong_entries_are_named(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        LLMSettings(**given)
    assert said in str(caught.value)


def test_a_run_moves_to_the_model_that_earns_and_its_ledger_says_which(server: Server, tmp_path: Path) -> None:
    document = {
        "proposer": "llm",
        "llm": settings(server).model_dump(exclude_none=True),
        "run": {"rounds": 6, "candidates": 8, "patience": 20},
        "gates": {"min_rank_ic": 0.0, "min_t": 0.0, "max_correlation": 1.0},
        "paths": {"output_dir": str(tmp_path / "runs")},
        "control": {"random": False},
    }
    result = mine(config_from_dict(document), panel=simulate(SimulationSpec(n_symbols=25, n_dates=220, seed=4)))
    assert server.asked["good"] > 1.5 * server.asked["bad"] > 0
    with Ledger.open(str(tmp_path / "runs" / "ledger.sqlite"), create=False) as ledger:
        rows = ledger.candidates(result.run_id)
        by_model = [e["extra"]["by_model"] for e in ledger.exchanges(result.run_id)]
    for name in ("good", "bad"):
        assert sum(m[name]["requests"] for m in by_model if name in m) >= server.asked[name]  # and its greeting
    assert {r["origin"] for r in rows} == {"llm good", "llm bad"}
    assert {(r["model"], r["origin"]) for r in rows if r["canonical"]} == {("good", "llm good")}
