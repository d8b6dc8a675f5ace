"""The settings of real servers: what each one sends, and what is read of the replies."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from fama_fast.errors import ConfigError, ProposerError
from fama_fast.llm.decoding.answer import ANSWER_SCHEMA
from fama_fast.llm.exchange_log import ExchangeLog
from fama_fast.llm.keys import load_key
from fama_fast.llm.pace import Pace
from fama_fast.llm.settings import LLMSettings
from fama_fast.llm.tokens import tokens_of
from fama_fast.mining.proposers.kinds.llm import LLMProposer, make_client
from fama_fast.proposals.protocol import Allowance, ProposalRequest, Vocabulary

KEY = "sk-test-Zq9/+secret$7"
TOKEN = "team-token-4711-xyz"
REQUEST = ProposalRequest(2, vocabulary=Vocabulary(("OPEN", "CLOSE", "VOLUME"), (), 60), seed=5)
GOOD = '{"alphas": [{"hypothesis": "h", "expression": "RANK(CLOSE / OPEN)"}, {"expression": "RANK(DELTA(CLOSE, 5))"}]}'


def chat(text: str | None, finish: str = "stop", *, refusal: str | None = None, **usage: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": refusal}
    choice = {"index": 0, "finish_reason": finish, "message": message}
    return {"choices": [choice], "usage": {"prompt_tokens": 1000, "completion_tokens": 50, **usage}}


def message(text: str, stop: str = "end_turn", **usage: int) -> dict[str, Any]:
    content = [{"type": "thinking", "thinking": "`RANK(OPEN)`"}, {"type": "text", "text": text}] if text else []
    return {
        "type": "message",
        "stop_reason": stop,
        "content": content,
        "usage": {"input_tokens": 100, "output_tokens": 50, **usage},
    }


class Server:
    """Answers every POST with scripted replies, the last one again and again; keeps what it was sent."""

    def __init__(self, http: HTTPServer) -> None:
        self.url = http.url_for("").rstrip("/")
        self.sent: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.urls: list[str] = []
        self.script: list[dict[str, Any] | Response | Callable[[dict[str, Any]], dict[str, Any] | Response]] = []
        http.expect_request(re.compile(".*"), method="POST").respond_with_handler(self._handle)

    def _handle(self, request: Request) -> Response:
        body = json.loads(request.get_data())
        self.sent.append(body)
        self.headers.append({k.lower(): v for k, v in request.headers.items()})
        self.urls.append(request.full_path.rstrip("?"))
        reply = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if callable(reply) and not isinstance(reply, Response):
            reply = reply(body)
        return reply if isinstance(reply, Response) else Response(json.dumps(reply), content_type="application/json")


@pytest.fixture
def server(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Server:
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_VERSION", "AZURE_OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LLM_API_KEY", KEY)
    made = Server(httpserver)
    made.script = [chat(GOOD)]
    return made


def settings(server: Server, **changes: Any) -> LLMSettings:
    given = {"model": "m", "base_url": f"{server.url}/v1", "timeout_s": 10.0, "constraint": "none", "max_tries": 1}
    return LLMSettings(**(given | changes))


def claude(server: Server, **changes: Any) -> LLMSettings:
    pytest.importorskip("anthropic", reason="the extra `anthropic` is not installed")
    server.script = server.script if server.script != [chat(GOOD)] else [message(GOOD)]
    return settings(server, provider="anthropic", base_url=server.url, **changes)


def ask(chosen: LLMSettings, log: ExchangeLog | None = None, **request: Any) -> Any:
    asked = ProposalRequest(REQUEST.count, vocabulary=REQUEST.vocabulary, seed=5, **request)
    return LLMProposer(chosen, make_client(chosen, sleep=lambda _: None), log=log).propose(asked)


def refused_settings(**given: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        LLMSettings(model="m", **given)
    return str(caught.value)


# Thinking


@pytest.mark.parametrize("effort", ["none", "minimal", "low", "medium", "high", "xhigh", "max"])
def test_reasoning_effort_is_sent(server: Server, effort: str) -> None:
    ask(settings(server, reasoning_effort=effort))
    assert server.sent[0]["reasoning_effort"] == effort
    ask(settings(server))
    assert "reasoning_effort" not in server.sent[1]


def test_anthropic_effort_and_thinking_budget_are_sent(server: Server) -> None:
    batch = ask(claude(server, reasoning_effort="high", thinking_tokens=2000, max_tokens=8000))
    assert server.sent[0]["output_config"] == {"effort": "high"}
    assert server.sent[0]["thinking"] == {"type": "enabled", "budget_tokens": 2000}
    assert [p.expression for p in batch.proposals] == ["RANK(CLOSE / OPEN)", "RANK(DELTA(CLOSE, 5))"]  # no thought
    ask(claude(server))
    assert not {"thinking", "output_config"}.intersection(server.sent[1])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"thinking_tokens": 2000}, "reasoning_effort, or the server's own key in extra_body"),
        ({"provider": "anthropic", "thinking_tokens": 4096}, "leaves nothing of max_tokens 4096"),
        ({"provider": "anthropic", "thinking_tokens": 2000, "temperature": 0.4}, "takes none but 1"),
        ({"provider": "anthropic", "reasoning_effort": "minimal"}, "Anthropic has low, medium, high"),
        ({"provider": "anthropic", "api_version": "2024-10-21"}, "api_version is Azure's"),
        ({"thinking_tokens": 100}, "greater than or equal to 1024"),
    ],
)
def test_thinking_that_makes_no_sense_is_refused(given: dict[str, Any], said: str) -> None:
    assert said in refused_settings(**given)


# Further keys and headers


def test_further_keys_are_sent_beside_a_grammar(server: Server) -> None:
    more = {"top_k": 20, "chat_template_kwargs": {"enable_thinking": False}}
    ask(settings(server, extra_body=more))
    assert {k: server.sent[0][k] for k in more} == more
    ask(settings(server, extra_body=more, constraint="lark"))
    assert {k: server.sent[1][k] for k in more} == more
    assert "grammar" in server.sent[1]
    ask(claude(server, extra_body={"service_tier": "auto"}, temperature=0.3))
    assert (server.sent[2]["service_tier"], server.sent[2]["temperature"]) == ("auto", 0.3)


@pytest.mark.parametrize("key", ["model", "messages", "stream", "max_tokens", "max_completion_tokens", "n"])
def test_keys_that_have_settings_are_no_further_keys(key: str) -> None:
    assert f"{key} " in refused_settings(extra_body={key: 1})


def test_further_keys_must_be_json() -> None:
    assert "must be what JSON can hold" in refused_settings(extra_body={"x": float("inf")})


def test_headers_are_sent_and_secret_ones_written_nowhere(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TEAM_TOKEN", TOKEN)
    chosen = settings(server, headers={"X-Title": "fama", "X-Auth-Token": "env:TEAM_TOKEN"})
    server.script = [chat(json.dumps({"hypothesis": f"said {TOKEN} and {KEY}", "expression": "RANK(CLOSE / OPEN)"}))]
    batch = ask(chosen, ExchangeLog(tmp_path / "log"))
    assert server.headers[0]["x-title"] == "fama"
    assert server.headers[0]["x-auth-token"] == TOKEN
    assert batch.proposals[0].hypothesis == "said [key] and [key]"
    written = "".join(p.read_text() for p in tmp_path.rglob("*") if p.is_file())
    assert "env:TEAM_TOKEN" in written
    assert TOKEN not in written + repr(chosen) + repr(load_key(chosen))
    server.script = [Response(f"no such token {TOKEN}", status=401)]
    with pytest.raises(ProposerError) as caught:
        ask(chosen)
    assert TOKEN not in str(caught.value)
    server.script = [message(GOOD)]
    ask(claude(server, headers={"anthropic-beta": "some-beta"}))
    assert server.headers[-1]["anthropic-beta"] == "some-beta"


def test_a_secret_header_comes_from_a_variable_that_is_set(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("Authorization", "api-key", "X-Auth-Token", "Cookie"):
        said = refused_settings(headers={name: "abcdef-secret"})
        assert "carries a secret" in said
        assert "abcdef-secret" not in said
    assert "no name of a header" in refused_settings(headers={"two words": "x"})
    assert "characters that no header has" in refused_settings(headers={"X-A": "a\r\nX-B: b"})
    assert "wants the name of a variable" in refused_settings(headers={"X-A": "env:two words"})
    monkeypatch.delenv("TEAM_TOKEN", raising=False)
    with pytest.raises(ConfigError, match="X-A needs TEAM_TOKEN"):
        make_client(settings(server, headers={"X-A": "env:TEAM_TOKEN"}))
    monkeypatch.setenv("TEAM_TOKEN", "a\nb")
    with pytest.raises(ConfigError, match="TEAM_TOKEN holds characters"):
        make_client(settings(server, headers={"X-A": "env:TEAM_TOKEN"}))


# Azure


@pytest.mark.parametrize("path", ["", "/", "/openai"])
def test_azure_names_the_deployment_and_the_version_in_its_address(server: Server, path: str) -> None:
    batch = ask(settings(server, base_url=server.url + path, api_version="2024-10-21", model="my-gpt"))
    assert server.urls == ["/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21"]
    assert server.headers[0]["api-key"] == KEY
    assert len(batch.proposals) == 2


def test_azure_v1_takes_a_version_too(server: Server) -> None:
    ask(settings(server, base_url=f"{server.url}/openai/v1", api_version="preview"))
    assert server.urls == ["/openai/v1/chat/completions?api-version=preview"]
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


def test_another_api_version_is_another_server(server: Server) -> None:
    servers = [settings(server, api_version=v).server for v in ("2024-10-21", "2025-01-01", None)]
    assert servers[0] != servers[1] != servers[2]


def test_azure_filter_on_the_prompt_is_no_refused_constraint(server: Server) -> None:
    error = {"error": {"code": "content_filter", "status": 400, "message": "The prompt was filtered"}}
    server.script = [Response(json.dumps(error), status=400, content_type="application/json")]
    batch = ask(settings(server, base_url=server.url, api_version="2024-10-21", max_tries=3))
    assert len(server.sent) == 1  # not asked again
    assert [(d.expression, d.reason) for d in batch.dropped] == [
        ("The prompt was filtered", "the server's content filter held the answer back")
    ]


# Refusals and filters


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (chat(None, refusal="I cannot help."), "the model refused to answer"),
        (chat("", "content_filter"), "the server's content filter held the answer back"),
    ],
)
def test_refusals_and_filters_are_told_apart_and_not_asked_again(server: Server, reply: Any, why: str) -> None:
    server.script = [reply, chat(GOOD)]
    batch = ask(settings(server, max_tries=3, per_prompt=1, concurrency=1))
    assert len(server.sent) == 2  # the second prompt, no repair of the first
    assert [d.reason for d in batch.dropped[:1]] == [why]
    assert batch.notes == (f"warning: llm m: {why} (1 of 2 prompts)",)
    assert [p.expression for p in batch.proposals] == ["RANK(CLOSE / OPEN)"]


def test_anthropic_refusal(server: Server) -> None:
    server.script = [message("", "refusal")]
    batch = ask(claude(server, max_tries=3))
    assert [d.reason for d in batch.dropped] == ["the model refused to answer"]
    assert len(server.sent) == 1


def test_what_came_before_a_filter_is_used(server: Server) -> None:
    server.script = [chat(GOOD, "content_filter")]
    assert len(ask(settings(server)).proposals) == 2


# Caches of prompts, and prices


def test_anthropic_is_asked_to_keep_the_system_message(server: Server) -> None:
    ask(claude(server))
    (block,) = server.sent[0]["system"]
    assert block["cache_control"] == {"type": "ephemeral"}
    assert block["text"].startswith("You are")
    ask(claude(server, prompt_cache=False))
    assert server.sent[1]["system"] == block["text"]


PRICES = {"price_in": 3.0, "price_out": 15.0}


@pytest.mark.parametrize(
    ("prices", "cost"),
    [
        (PRICES, 1000 * 3.0 + 50 * 15.0),
        (PRICES | {"price_cached": 0.3}, 200 * 3.0 + 800 * 0.3 + 50 * 15.0),
    ],
)
@pytest.mark.parametrize("usage", [{"prompt_tokens_details": {"cached_tokens": 800}}, {"prompt_cache_hit_tokens": 800}])
def test_cached_tokens_have_a_price_of_their_own(
    server: Server, tmp_path: Path, prices: dict[str, float], cost: float, usage: dict[str, Any]
) -> None:
    server.script = [chat(GOOD, **usage)]
    chosen = settings(server, **prices)
    first = ask(chosen, ExchangeLog(tmp_path / "x")).usage
    assert (first.prompt_tokens, first.cost) == (1000, pytest.approx(cost / 1e6))
    again = ask(chosen, ExchangeLog(tmp_path / "x")).usage  # the log has them too
    assert (again.requests, again.logged_cost) == (0, pytest.approx(cost / 1e6))


def test_anthropic_counts_what_it_read_and_wrote(server: Server) -> None:
    server.script = [message(GOOD, cache_read_input_tokens=700, cache_creation_input_tokens=200)]
    usage = ask(claude(server, **PRICES, price_cached=0.3, price_cache_write=3.75)).usage
    assert usage.prompt_tokens == 1000
    assert usage.cost == pytest.approx((100 * 3.0 + 700 * 0.3 + 200 * 3.75 + 50 * 15.0) / 1e6)


@pytest.mark.parametrize("odd", [{"prompt_tokens_details": None}, {"prompt_tokens_details": {"cached_tokens": "x"}}])
def test_odd_counts_of_cached_tokens_are_none(server: Server, odd: dict[str, Any]) -> None:
    server.script = [chat(GOOD, **odd)]
    assert ask(settings(server, **PRICES, price_cached=0.0)).usage.cost == pytest.approx(0.00375)


# Anthropic's schema


def test_anthropic_is_held_to_a_schema_where_it_can_be(server: Server) -> None:
    def strict(body: dict[str, Any]) -> dict[str, Any]:
        schema = body["output_config"]["format"]["schema"]
        return message('{"alpha": "alpha 5081"}' if "alpha" in schema["properties"] else GOOD)

    server.script = [strict]
    batch = ask(claude(server, constraint="auto"))
    assert batch.notes == ("llm m: answers are held to a JSON schema",)
    assert server.sent[-1]["output_config"]["format"] == {"type": "json_schema", "schema": ANSWER_SCHEMA}
    server.script = [Response('{"error": {"message": "output_config: unknown"}}', status=400), message(GOOD)]
    older = ask(claude(server, constraint="auto"))
    assert "no grammar or schema (json_schema: status 400)" in older.notes[0]
    assert "output_config" not in server.sent[-1]
    ask(claude(server, constraint="json_schema", reasoning_effort="low"))
    assert server.sent[-1]["output_config"]["effort"] == "low"
    with pytest.raises(ConfigError, match="or ask for json_schema"):
        make_client(claude(server, constraint="gbnf"))


# The pace


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_requests_a_minute() -> None:
    clock = Clock()
    pace = Pace(2, None, clock)
    assert [pace.take(10), pace.take(10)] == [0.0, 0.0]
    clock.now += 15.0
    assert pace.take(10) == pytest.approx(45.0)
    clock.now += 45.0
    assert pace.take(10) == 0.0


def test_tokens_a_minute_with_those_of_answers() -> None:
    clock = Clock()
    pace = Pace(None, 1000, clock)
    assert pace.take(600) == 0.0
    assert pace.take(400) == 0.0
    assert pace.take(1) > 0.0
    clock.now += 60.0
    assert pace.take(100) == 0.0
    pace.add(900)
    assert pace.take(1) == pytest.approx(60.0)
    clock.now += 60.0
    assert pace.take(5000) == 0.0  # larger than the limit: alone
    assert pace.take(1) > 0.0


@pytest.mark.parametrize("limit", [{"requests_per_minute": 2}, {"tokens_per_minute": 6500}])
def test_a_client_waits_for_its_limits(server: Server, limit: dict[str, int]) -> None:
    clock = Clock()
    chosen = settings(server, per_prompt=1, concurrency=1, **limit)
    client: Any = make_client(chosen, sleep=clock.sleep)
    client._pace._clock = clock
    when: list[float] = []
    server.script = [lambda _: (when.append(clock.now), chat(GOOD, completion_tokens=1))[1]]
    LLMProposer(chosen, client).propose(ProposalRequest(5, vocabulary=REQUEST.vocabulary))
    size = sum(tokens_of(m["content"]) for m in server.sent[0]["messages"])
    assert 2200 < size < 3250  # two of them within the limit, three beyond
    assert len(when) == 5
    for first, third in zip(when, when[2:], strict=False):
        assert third - first >= 59.9


def test_no_request_waits_beyond_the_time_of_the_run(server: Server) -> None:
    chosen = settings(server, per_prompt=1, concurrency=1, requests_per_minute=1)
    batch = ask(chosen, allowance=Allowance(deadline=time.monotonic() + 20.0))
    assert len(server.sent) == 1
    assert any("run.max_seconds" in n for n in batch.notes)
