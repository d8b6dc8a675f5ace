"""The language-model proposer against a local server: what it sends, survives, repeats, and never shows."""

from __future__ import annotations

import json
import logging
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from fama_fast.errors import ConfigError, ProposerError
from fama_fast.library.factor import Factor
from fama_fast.llm import faults as client_module
from fama_fast.llm.exchange_log import ExchangeLog
from fama_fast.llm.faults import read_bounded, retry_after
from fama_fast.llm.keys import Secret, load_key
from fama_fast.llm.settings import LLMSettings
from fama_fast.llm.tokens import tokens_of
from fama_fast.mining.proposers import ProposerSettings, make_proposer
from fama_fast.mining.proposers.kinds.llm import LLMProposer, make_client
from fama_fast.proposals.protocol import ProposalRequest, Proposer, Vocabulary

KEY = "sk-test-Zq9/+secret$7"
REQUEST = ProposalRequest(2, vocabulary=Vocabulary(("OPEN", "CLOSE", "VOLUME"), (), 60), seed=5)
GOOD = json.dumps({"alphas": [{"hypothesis": "h", "expression": "RANK(CLOSE / OPEN)", "explanation": "e"}, {"expression": "RANK(DELTA(CLOSE, 5))"}]})  # fmt: skip  # noqa: E501
Answer = str | Response | dict[str, Any] | Callable[[Request], Response]


def chat(text: str | None, finish: str = "stop", **usage: int) -> dict[str, Any]:
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}],
        "usage": usage or {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }


class Server:
    """Answers scripted replies in order and keeps what it was sent."""

    def __init__(self, http: HTTPServer, path: str) -> None:
        self.sent: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.script: list[Answer] = []
        self.finished = 0
        self.url = http.url_for(path.rsplit("/chat", 1)[0]) if "chat" in path else http.url_for("").rstrip("/")
        http.expect_request(path, method="POST").respond_with_handler(self._handle)

    def _handle(self, request: Request) -> Response:
        self.sent.append(json.loads(request.get_data()))
        self.headers.append(dict(request.headers))
        answer = self.script.pop(0) if self.script else Response("script is over", status=418)
        if callable(answer) and not isinstance(answer, Response):
            answer = answer(request)
            self.finished += 1
        if isinstance(answer, str):
            answer = chat(answer)
        return Response(json.dumps(answer), content_type="application/json") if isinstance(answer, dict) else answer


@pytest.fixture
def server(httpserver: HTTPServer) -> Server:
    return Server(httpserver, "/v1/chat/completions")


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (
        "LLM_API_KEY",
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_BASE_URL",
    ):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LLM_API_KEY", KEY)


def settings(server: Server, **changes: Any) -> LLMSettings:
    return LLMSettings(**({"model": "m", "base_url": server.url, "timeout_s": 10.0, "constraint": "none"} | changes))


def proposer(
    server: Server, waits: list[float] | None = None, log: ExchangeLog | None = None, **changes: Any
) -> LLMProposer:
    s = settings(server, **changes)
    return LLMProposer(s, make_client(s, sleep=(waits if waits is not None else []).append), log=log)


def expressions(batch: Any) -> list[str]:
    return [p.expression for p in batch.proposals]


def test_success_and_what_is_sent(server: Server) -> None:
    server.script = [GOOD]
    p = proposer(server, temperature=0.7, max_tokens=500, seed=9)
    factor = Factor("RANK(OPEN)", "RANK(OPEN)", "abc", {"train": {"rank_ic": 0.02}}, "idea")
    batch = p.propose(ProposalRequest(2, (factor,), vocabulary=REQUEST.vocabulary))
    assert isinstance(p, Proposer)
    assert expressions(batch) == ["RANK(CLOSE / OPEN)", "RANK(DELTA(CLOSE, 5))"]
    first = batch.proposals[0]
    assert (first.hypothesis, first.explanation, first.origin, first.parents) == ("h", "e", "llm", ())
    assert first.prompt_hash is not None
    assert len(first.prompt_hash) == 32
    assert (batch.usage.requests, batch.usage.prompt_tokens, batch.usage.completion_tokens) == (1, 11, 7)
    sent = server.sent[0]
    assert {k: sent[k] for k in ("model", "temperature", "max_tokens", "seed")} == {"model": "m", "temperature": 0.7, "max_tokens": 500, "seed": 9}  # fmt: skip  # noqa: E501
    assert "top_p" not in sent
    assert "response_format" not in sent
    assert [m["role"] for m in sent["messages"]] == ["system", "user"]
    assert "RANK(OPEN)" in sent["messages"][1]["content"]
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("form", ["json_object", "json_schema"])
def test_response_formats_are_passed_on(server: Server, form: str) -> None:
    server.script = [GOOD]
    proposer(server, constraint="auto", response_format=form, max_tokens_key="max_completion_tokens").propose(REQUEST)
    assert server.sent[0]["response_format"]["type"] == form
    assert server.sent[0]["max_completion_tokens"] == 4096


def test_errors_go_back_to_the_model_with_position_and_nearest_name(server: Server) -> None:
    bad = json.dumps([{"expression": "RANK(CLOSE / OPEN)"}, {"expression": "RANK(CLOS)"}])
    server.script = [bad, '{"alphas": [{"expression": "RANK(VOLUME / ADV20)"}]}']
    batch = proposer(server).propose(REQUEST)
    assert expressions(batch) == ["RANK(CLOSE / OPEN)", "RANK(VOLUME / ADV20)"]
    assert batch.dropped == ()
    dialogue = server.sent[1]["messages"]
    assert [m["role"] for m in dialogue] == ["system", "user", "assistant", "user"]
    assert dialogue[2]["content"] == bad
    assert "line 1, column 6" in dialogue[3]["content"]
    assert "CLOSE" in dialogue[3]["content"].split("Write")[0]
    assert "exactly 1 expression" in dialogue[3]["content"]
    assert batch.usage.requests == 2
    assert batch.proposals[0].prompt_hash != batch.proposals[1].prompt_hash


def test_at_most_three_tries_then_dropped(server: Server) -> None:
    server.script = ['["RANK(CLOS)"]', '["RANK(CLOSEE)"]', '["TS_MEAN(CLOSE, 999)"]', GOOD]
    batch = proposer(server).propose(REQUEST)
    assert expressions(batch) == []
    assert [d.expression for d in batch.dropped] == ["TS_MEAN(CLOSE, 999)"]
    assert "needs 998 rows before today, at most 250" in batch.dropped[0].reason
    assert len(server.sent) == 3


@pytest.mark.parametrize("bad", ["CLOSE > OPEN", "1 + 2", "TS_MEAN(CLOSE, 0)", "__import__('os')", "RANK(SECTOR)"])
def test_what_cannot_be_used_is_dropped_with_a_reason(server: Server, bad: str) -> None:
    server.script = [json.dumps({"expression": bad})]
    batch = proposer(server, max_tries=1).propose(REQUEST)
    assert expressions(batch) == []
    assert batch.dropped[0].reason


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ("", "the answer is empty"),
        ("I would rather not.", "no expression was found"),
        ("<html>oops</html>", "no expression was found"),
    ],
)
def test_an_answer_without_expressions_is_asked_again(server: Server, first: str, said: str) -> None:
    server.script = [first, GOOD]
    batch = proposer(server).propose(REQUEST)
    assert len(batch.proposals) == 2
    assert said in server.sent[1]["messages"][3]["content"]


def test_only_junk_gives_an_empty_batch_never_an_invention(server: Server) -> None:
    server.script = [chat(None), "no", "no"]
    batch = proposer(server).propose(REQUEST)
    assert batch.proposals == ()
    assert batch.dropped[0].reason == "no expression was found in the answer"
    assert batch.usage.requests == 3


def test_a_cut_answer_keeps_its_whole_items(server: Server) -> None:
    server.script = [chat(GOOD[:-25], "length")]
    batch = proposer(server).propose(REQUEST)
    assert expressions(batch) == ["RANK(CLOSE / OPEN)"]
    assert [d.reason for d in batch.dropped] == ["the answer was cut off inside this expression"]


def test_content_in_parts(server: Server) -> None:
    reply = chat("")
    reply["choices"][0]["message"]["content"] = [{"type": "text", "text": GOOD}]
    server.script = [reply]
    assert len(proposer(server).propose(REQUEST).proposals) == 2


def test_proposals_equal_in_canonical_form_count_once(server: Server) -> None:
    server.script = ['["RANK(CLOSE + OPEN)", "rank(open + close)"]']
    batch = proposer(server).propose(REQUEST)
    assert expressions(batch) == ["RANK(CLOSE + OPEN)"]
    assert "twice" in batch.dropped[0].reason


def test_busy_server_is_asked_again_after_the_wait_it_asks_for(server: Server) -> None:
    waits: list[float] = []
    server.script = [
        Response("slow down", status=429, headers={"Retry-After": "7"}),
        Response(status=429, headers={"retry-after-ms": "2500"}),
        GOOD,
    ]
    batch = proposer(server, waits).propose(REQUEST)
    assert len(batch.proposals) == 2
    assert waits[0] == 7.0
    assert waits[1] == 2.5
    assert batch.usage.requests == 3


def test_failing_server_backs_off_exponentially_with_seeded_jitter(server: Server) -> None:
    runs = []
    for _ in range(2):
        waits: list[float] = []
        server.script = [Response(status=500), Response(status=503), Response(status=529), GOOD]
        assert len(proposer(server, waits).propose(REQUEST).proposals) == 2
        runs.append(waits)
    assert runs[0] == runs[1]
    assert all(2.0**n / 2 <= w <= 2.0**n for n, w in enumerate(runs[0]))


def test_retries_are_bounded(server: Server) -> None:
    server.script = [Response("overloaded", status=500)] * 9
    with pytest.raises(ProposerError, match=r"llm m: the server answered 500: overloaded \(after 3 attempts\)"):
        proposer(server, max_retries=2).propose(REQUEST)
    assert len(server.sent) == 3


def test_a_wait_beyond_the_bound_ends_the_attempts(server: Server) -> None:
    waits: list[float] = []
    server.script = [Response(status=429, headers={"Retry-After": "3600"})]
    with pytest.raises(ProposerError, match=r"asks to wait 3600 s, longer than llm\.max_backoff_s"):
        proposer(server, waits).propose(REQUEST)
    assert waits == []


def test_a_refused_key_is_not_tried_again(server: Server) -> None:
    body = {"error": {"message": f"Incorrect API key provided: {KEY}"}}
    server.script = [Response(json.dumps(body), status=401, content_type="application/json")]
    with pytest.raises(ProposerError, match=r"the key was refused.*check LLM_API_KEY") as caught:
        proposer(server).propose(REQUEST)
    assert KEY not in str(caught.value)
    assert len(server.sent) == 1


def test_timeout(server: Server) -> None:
    def slow(_: Request) -> Response:
        time.sleep(0.6)
        return Response("{}")

    server.script = [slow, slow]
    with pytest.raises(ProposerError, match=r"no answer within 0.2 s \(after 2 attempts\)"):
        proposer(server, timeout_s=0.2, max_retries=1).propose(REQUEST)
    deadline = time.perf_counter() + 5.0  # the server takes one request at a time: let it finish both
    while server.finished < 2 and time.perf_counter() < deadline:
        time.sleep(0.02)
    assert len(server.sent) == 2


def test_a_dripping_answer_is_bounded_in_whole_time(server: Server) -> None:
    dripped: list[bytes] = []

    def drip(_: Request) -> Response:
        def body() -> Iterator[bytes]:
            for _ in range(100):
                time.sleep(0.1)
                dripped.append(b" ")
                yield b" "

        return Response(body(), content_type="application/json")

    server.script = [drip]
    with pytest.raises(ProposerError, match=r"no (whole )?answer within 0\.3 s"):
        proposer(server, timeout_s=0.3, max_retries=0).propose(REQUEST)
    assert len(dripped) < 100  # it did not wait for the end


def test_a_huge_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_RESPONSE_BYTES", 10)
    with pytest.raises(client_module.AttemptFailed, match="larger than 10 bytes"):
        read_bounded(iter([b"123456", b"123456"]), 1.0)


def test_nobody_listens(server: Server) -> None:
    waits: list[float] = []
    s = settings(server, base_url="http://127.0.0.1:9", max_retries=1)
    with pytest.raises(ProposerError, match=r"cannot be reached \(ConnectError\) \(after 2 attempts\)"):
        LLMProposer(s, make_client(s, sleep=waits.append)).propose(REQUEST)
    assert len(waits) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        Response("<html>Welcome</html>", content_type="text/html"),
        Response("{not json", content_type="application/json"),
        Response("[1, 2]", content_type="application/json"),
        {"choices": []},
        {"choices": [{"message": "hello"}]},
        {"choices": None, "error": {"message": "model is loading"}},
        Response(""),
        Response(b"\xff\xfe\x00", content_type="application/json"),
        Response("[" * 100_000, content_type="application/json"),
    ],
)
def test_wrong_json_is_an_error_after_retries(server: Server, wrong: Answer) -> None:
    server.script = [wrong, wrong]
    with pytest.raises(ProposerError, match=r"the (server's )?response .*after 2 attempts"):
        proposer(server, max_retries=1).propose(REQUEST)


def test_usage_that_is_not_reported_is_estimated_and_said(server: Server) -> None:
    reply = chat(GOOD)
    reply["usage"] = {"prompt_tokens": "many", "completion_tokens": -3}
    server.script = [reply, reply]
    p = proposer(server)
    batch = p.propose(REQUEST)
    assert batch.usage.prompt_tokens == sum(tokens_of(m["content"]) for m in server.sent[0]["messages"])
    assert batch.usage.completion_tokens == tokens_of(GOOD)
    assert batch.notes == ("llm m: no token counts reported; estimated from the text's length",)
    assert p.propose(REQUEST).notes == ()


def test_exchanges_are_recorded_and_replayed(server: Server, tmp_path: Path) -> None:
    server.script = ['["RANK(CLOSE / OPEN)", "RANK(CLOS)"]', '["RANK(VOLUME)"]']
    first = proposer(server, log=ExchangeLog(tmp_path / "x")).propose(REQUEST)
    log = ExchangeLog(tmp_path / "x")
    assert len(log) == 2
    again = proposer(server, log=log).propose(REQUEST)
    assert again.proposals == first.proposals
    assert again.usage.requests == 0
    assert len(server.sent) == 2
    lines = [json.loads(line) for line in (tmp_path / "x" / "exchanges.jsonl").read_text().splitlines()]
    assert lines[0]["prompt_hash"] == first.proposals[0].prompt_hash
    assert lines[0]["request"]["messages"][0]["role"] == "system"
    assert lines[0]["usage"] == {"prompt_tokens": 11, "completion_tokens": 7}


def test_another_round_or_setting_is_another_prompt(server: Server, tmp_path: Path) -> None:
    log = ExchangeLog(tmp_path / "log.jsonl")
    server.script = [GOOD, GOOD, GOOD]
    hashes = {
        p.propose(r).proposals[0].prompt_hash
        for p, r in (
            (proposer(server, log=log), REQUEST),
            (proposer(server, log=log), ProposalRequest(2, vocabulary=REQUEST.vocabulary, seed=5, round=1)),
            (proposer(server, log=log, temperature=0.1), REQUEST),
        )
    }
    assert len(hashes) == 3
    assert len(server.sent) == 3


def test_a_killed_run_leaves_a_readable_log(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    server.script = [GOOD, GOOD]
    proposer(server, log=ExchangeLog(path)).propose(REQUEST)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2])
    log = ExchangeLog(path)
    assert len(log) == 1
    proposer(server, log=log, temperature=0.3).propose(REQUEST)
    assert len(ExchangeLog(path)) == 2
    path.write_text("{}\n" + whole.decode())
    with pytest.raises(ProposerError, match=r"log\.jsonl, line 1: not a recorded exchange"):
        ExchangeLog(path)


def test_an_unwritable_log_is_an_error(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    server.script = [GOOD]
    with pytest.raises(ProposerError, match="cannot be recorded"):
        proposer(server, log=ExchangeLog(tmp_path / "file" / "sub")).propose(REQUEST)


def _everything_said(error: BaseException) -> str:
    out, seen = [], set()
    queue: list[BaseException | None] = [error]
    while queue:
        e = queue.pop()
        if e is None or id(e) in seen:
            continue
        seen.add(id(e))
        out += [repr(e), str(e), repr(vars(e)), "".join(traceback.format_exception(e))]
        out += [repr(frame.f_locals) for frame, _ in traceback.walk_tb(e.__traceback__) if "fama_fast" in frame.f_code.co_filename]  # fmt: skip  # noqa: E501
        queue += [e.__cause__, e.__context__]
    return "\n".join(out)


def test_the_key_shows_nowhere(server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    leak = f"your key is {KEY} and {KEY!r}"
    for status in (400, 401, 429, 500):
        server.script = [Response(json.dumps({"error": {"message": leak}}), status=status)]
        with pytest.raises(ProposerError) as caught:
            proposer(server, max_retries=0).propose(REQUEST)
        assert "[key]" in str(caught.value)
        assert KEY not in _everything_said(caught.value)
    server.script = [f"{leak} `RANK(CLOSE / OPEN)`"]
    log = ExchangeLog(tmp_path / "log")
    p = proposer(server, log=log)
    batch = p.propose(ProposalRequest(1, vocabulary=REQUEST.vocabulary))
    assert len(batch.proposals) == 1
    written = "".join(f.read_text() for f in tmp_path.rglob("*") if f.is_file())
    for place in (caplog.text, written, repr(batch), repr(p), repr(vars(p)), repr(p.settings)):
        assert KEY not in place
        assert "Zq9" not in place
    assert "exchanges" in str(log.path)


def test_secret_is_shy() -> None:
    secret = Secret('a"b/c-1234')
    assert "a" not in repr(secret).removeprefix("Secret")
    assert secret.redact('x a"b/c-1234 a%22b%2Fc-1234 a\\"b/c-1234 y') == "x [key] [key] [key] y"
    assert Secret("").redact("untouched") == "untouched"
    assert secret.mark("m") == secret.mark("m") != Secret("another key").mark("m")
    assert len(secret.mark("m")) == 4


@pytest.mark.parametrize("key", ["test", "EMPTY", "RANK", "1234567"])
def test_a_short_key_is_a_word_and_stays_in_answers(server: Server, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("LLM_API_KEY", key)
    server.script = [json.dumps({"hypothesis": f"a {key} of it", "expression": "RANK(CLOSE / OPEN)"})]
    batch = proposer(server, max_tries=1).propose(REQUEST)
    assert [(p.hypothesis, p.expression) for p in batch.proposals] == [(f"a {key} of it", "RANK(CLOSE / OPEN)")]


def test_key_from_dotenv_leaves_the_environment_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    monkeypatch.delenv("LLM_API_KEY")
    (tmp_path / ".env").write_text("LLM_API_KEY='from$file'\n")
    assert load_key(LLMSettings(model="m")).reveal() == "from$file"
    assert "LLM_API_KEY" not in os.environ
    monkeypatch.setenv("LLM_API_KEY", "from-environment")
    assert load_key(LLMSettings(model="m")).reveal() == "from-environment"


def test_without_a_key_the_error_says_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LLM_API_KEY")
    with pytest.raises(ConfigError, match=r"set LLM_API_KEY in the environment or in a \.env file"):
        make_proposer(ProposerSettings("llm", llm=LLMSettings(model="m")))
    with pytest.raises(ConfigError, match="set MY_KEY"):
        make_client(LLMSettings(model="m", api_key_env="MY_KEY", base_url="http://127.0.0.1:1/v1"))
    with pytest.raises(ConfigError, match=r"llm\.model is not set"):
        make_proposer(ProposerSettings("llm"))
    with pytest.raises(ConfigError, match=r"only a server of your own named by llm\.base_url"):
        make_client(LLMSettings(model="m", api_key_env=None))
    (tmp_path / ".env").write_bytes(b"LLM_API_KEY=\xff\xfe")
    with pytest.raises(ConfigError, match=r"\.env: cannot be read"):
        make_client(LLMSettings(model="m"))


@pytest.mark.parametrize("key", ["two words", "line\nend", "schlüssel", "tab\there"])
def test_a_key_that_cannot_be_one_is_refused_unseen(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("LLM_API_KEY", key)
    with pytest.raises(ConfigError, match="holds characters that no API key has") as caught:
        load_key(LLMSettings(model="m"))
    assert key not in str(caught.value)


def test_local_server_without_a_key(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLM_API_KEY")
    server.script = [GOOD]
    assert len(proposer(server, api_key_env=None).propose(REQUEST).proposals) == 2
    assert server.headers[0]["Authorization"] == "Bearer none"


@pytest.mark.parametrize(
    "wrong",
    [
        {"api_key_env": "sk-abcdef123"},
        {"api_key": "sk-abcdef123"},
        {"base_url": "ftp://sk-abcdef123"},
        {"base_url": "https://user:sk-abcdef123@host/v1"},
        {"base_url": "https://host/v1?key=sk-abcdef123"},
        {"timeout_s": 0.0},
        {"max_retries": 1000},
        {"max_tries": 4},
        {"provider": "sk-abcdef123"},
    ],
)
def test_wrong_settings_are_errors_that_show_no_value(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        LLMSettings(**wrong)
    assert "sk-abcdef123" not in str(caught.value)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "40"}, 0.04),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 60.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=lambda: 40.0) == seconds


# The Messages API


def message(text: str, stop: str = "end_turn") -> dict[str, Any]:
    return {
        "id": "x",
        "type": "message",
        "role": "assistant",
        "model": "c",
        "stop_reason": stop,
        "content": [{"type": "thinking", "thinking": "`RANK(OPEN)`"}, {"type": "text", "text": text}],
        "usage": {"input_tokens": 5, "output_tokens": 6},
    }


@pytest.fixture
def claude(httpserver: HTTPServer) -> Server:
    pytest.importorskip("anthropic", reason="the extra `anthropic` is not installed")
    return Server(httpserver, "/v1/messages")


def test_anthropic_success(claude: Server) -> None:
    claude.script = [message(GOOD)]
    batch = proposer(claude, provider="anthropic", temperature=0.4).propose(REQUEST)
    assert expressions(batch) == ["RANK(CLOSE / OPEN)", "RANK(DELTA(CLOSE, 5))"]
    assert (batch.usage.prompt_tokens, batch.usage.completion_tokens) == (5, 6)
    sent = claude.sent[0]
    assert sent["temperature"] == 0.4
    assert sent["max_tokens"] == 4096
    assert sent["system"][0]["text"].startswith("You are")
    assert [m["role"] for m in sent["messages"]] == ["user"]
    headers = {k.lower(): v for k, v in claude.headers[0].items()}
    assert KEY in (headers.get("x-api-key"), headers.get("authorization", "").removeprefix("Bearer "))


def test_anthropic_retries_cuts_and_errors(claude: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    waits: list[float] = []
    claude.script = [
        Response(status=529, headers={"Retry-After": "4"}),
        Response("<html>", content_type="text/html"),
        message(GOOD[:-25], "max_tokens"),
    ]
    batch = proposer(claude, waits, provider="anthropic").propose(REQUEST)
    assert waits[0] == 4.0
    assert len(batch.proposals) == 1
    assert "cut off" in batch.dropped[0].reason
    claude.script = [Response(json.dumps({"error": {"message": f"bad key {KEY}"}}), status=401)]
    with pytest.raises(ProposerError, match=r"the key was refused\): bad key \[key\]") as caught:
        proposer(claude, provider="anthropic").propose(REQUEST)
    assert KEY not in _everything_said(caught.value)
    assert KEY not in caplog.text


def test_anthropic_without_its_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "anthropic", None)
    with pytest.raises(ConfigError, match=r'pip install "fama_fast\[anthropic\]"'):
        make_client(LLMSettings(model="m", provider="anthropic"))


def test_anthropic_takes_no_openai_settings() -> None:
    pytest.importorskip("anthropic", reason="the extra `anthropic` is not installed")
    with pytest.raises(ConfigError, match=r"llm\.response_format"):
        make_client(LLMSettings(model="m", provider="anthropic", response_format="json_object"))
    with pytest.raises(ConfigError, match=r"llm\.seed"):
        make_client(LLMSettings(model="m", provider="anthropic", seed=1))
