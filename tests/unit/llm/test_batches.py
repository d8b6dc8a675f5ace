"""Prompts that are sent as a batch: OpenAI's and Anthropic's interfaces, on a local server that behaves as theirs."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

import fama_fast.llm.batches as batches
from fama_fast.data import SimulationSpec, simulate
from fama_fast.errors import ProposerError
from fama_fast.llm.batch_journal import BatchJournal
from fama_fast.llm.exchange_log import ExchangeLog, read_exchanges
from fama_fast.llm.settings import LLMSettings
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.progress.plain import NoProgress
from fama_fast.mining.proposers.kinds.llm import LLMProposer, make_client
from fama_fast.mining.run.mine import mine
from fama_fast.proposals.protocol import Allowance, ProposalBatch, ProposalRequest, Vocabulary

PRICES = Vocabulary(("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME"), (), 60)
KEY = "sk-test-1234567890"


class Server:
    """Both vendors' batch interfaces. A batch is over when it was asked about `polls` times.

    `outcome` of the n-th request that was ever handed in: "" (answered), "expired", "invalid", "busy".
    """

    def __init__(self, http: HTTPServer, vendor: str) -> None:
        self.vendor, self.http = vendor, http
        self.url = http.url_for("/v1" if vendor == "openai" else "")
        self.polls, self.failure, self.outcome = 2, "", {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.files: dict[str, str] = {}
        self.cancelled: list[str] = []
        self.alone = self.asked = self.uploads = 0
        self.refuse: list[int] = []  # statuses of the next attempts to make a batch
        http.expect_request(re.compile("/v1/.*")).respond_with_handler(self._handle)

    def _handle(self, request: Request) -> Response:
        assert KEY in (request.headers.get("x-api-key") or request.headers.get("authorization") or "")
        path = request.path.removeprefix("/v1").removeprefix("/messages")
        if request.path in ("/v1/chat/completions", "/v1/messages"):
            self.alone += 1
            return self._json(self._message("Hello!"))
        if path == "/files":
            name = f"file-{len(self.files)}"
            self.uploads += 1
            self.files[name] = request.files["file"].read().decode()
            assert request.form["purpose"] == "batch"
            return self._json({"id": name, "object": "file"})
        if path == "/batches":
            return self._made(json.loads(request.get_data()))
        if path.startswith("/files/"):
            return Response(self.files[path.split("/")[2]], content_type="application/jsonl")
        _, _, name, *more = path.split("/")
        if name not in self.batches:
            return Response('{"error": {"message": "no such batch"}}', status=404)
        if more == ["cancel"]:
            self.cancelled.append(name)
            self.batches[name]["polls"] = 0
            return self._json(self._state(name))
        if more == ["results"]:
            return Response(self._output(name), content_type="application/x-jsonl")
        self.batches[name]["polls"] -= 1
        return self._json(self._state(name))

    def _made(self, body: dict[str, Any]) -> Response:
        if self.refuse:
            return Response('{"error": {"message": "not today"}}', status=self.refuse.pop(0))
        if self.vendor == "openai":
            assert body["endpoint"] == "/v1/chat/completions"
            lines = [json.loads(line) for line in self.files[body["input_file_id"]].splitlines()]
            assert all((r["method"], r["url"]) == ("POST", body["endpoint"]) for r in lines)
            requests = [(r["custom_id"], r["body"]) for r in lines]
        else:
            requests = [(r["custom_id"], r["params"]) for r in body["requests"]]
        name = f"batch_{len(self.batches)}"
        numbered = []
        for key, own in requests:
            assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", key)
            assert "extra_body" not in own
            assert own["top_k"] == 20
            numbered.append((self.asked, key, own))
            self.asked += 1
        self.batches[name] = {"polls": self.polls, "requests": numbered}
        return self._json(self._state(name))

    def _state(self, name: str) -> dict[str, Any]:
        over = self.batches[name]["polls"] <= 0
        if self.vendor == "anthropic":
            state = "ended" if over else "in_progress"
            url = self.http.url_for(f"/v1/messages/batches/{name}/results")
            return {
                "id": name,
                "type": "message_batch",
                "processing_status": state,
                "results_url": url if over else None,
            }
        if self.failure:
            return {"id": name, "status": "failed", "errors": {"data": [{"message": self.failure}]}}
        if not over:
            return {"id": name, "status": "in_progress"}
        file = f"out-{name}"
        self.files[file] = self._output(name)
        return {"id": name, "status": "cancelled" if name in self.cancelled else "completed", "output_file_id": file}

    def _output(self, name: str) -> str:
        # Not in the order in which they were asked.
        return "".join(f"{json.dumps(self._result(*r))}\n" for r in reversed(self.batches[name]["requests"]))

    def _result(self, number: int, key: str, body: dict[str, Any]) -> dict[str, Any]:
        message = self._message(
            json.dumps({"expression": f"RANK(TS_MEAN(CLOSE, {number + 2}) / CLOSE)", "hypothesis": "h"})
        )
        outcome = self.outcome.get(number, "")
        if self.vendor == "anthropic":
            result: dict[str, Any] = {"type": "succeeded", "message": message}
            if outcome:
                kind = {"invalid": "invalid_request_error", "busy": "overloaded_error"}.get(outcome)
                error = {"type": "error", "error": {"type": kind, "message": "so it is"}}
                result = {"type": "errored", "error": error} if kind else {"type": "expired"}
            return {"custom_id": key, "result": result}
        if outcome == "expired":
            return {"custom_id": key, "response": None, "error": {"code": "batch_expired", "message": "no more time"}}
        status = {"invalid": 400, "busy": 503}.get(outcome, 200)
        own = message if status == 200 else {"error": {"message": "so it is"}}
        return {"custom_id": key, "response": {"status_code": status, "body": own}, "error": None}

    def _message(self, text: str) -> dict[str, Any]:
        if self.vendor == "anthropic":
            usage = {"input_tokens": 100, "output_tokens": 50}
            return {"content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "usage": usage}
        usage = {"prompt_tokens": 100, "completion_tokens": 50}
        return {"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": usage}

    @staticmethod
    def _json(data: Any) -> Response:
        return Response(json.dumps(data), content_type="application/json")


@pytest.fixture(params=["openai", "anthropic"])
def server(
    request: pytest.FixtureRequest, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Server:
    if request.param == "anthropic":
        pytest.importorskip("anthropic", reason="the SDK is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLM_API_KEY", KEY)
    return Server(httpserver, request.param)


def settings(server: Server, **changes: Any) -> LLMSettings:
    given: dict[str, Any] = {
        "provider": server.vendor,
        "model": "m",
        "base_url": server.url,
        "constraint": "none",
        "extra_body": {"top_k": 20},
        "per_prompt": 1,
        "tune": 0.0,
        "max_tries": 1,
        "max_retries": 2,
        "backoff_s": 0.0,
        "price_in": 2.0,
        "price_out": 8.0,
        "batch": True,
        "batch_poll_s": 0.01,
    }
    return LLMSettings(**(given | changes))


def proposer(server: Server, log: Path, **changes: Any) -> LLMProposer:
    own = settings(server, **changes)
    return LLMProposer(own, make_client(own, sleep=lambda _: None), log=ExchangeLog(log))


def ask(server: Server, log: Path, count: int = 6, allowance: Allowance | None = None, **changes: Any) -> ProposalBatch:
    request = ProposalRequest(count, vocabulary=PRICES, round=1, allowance=allowance or Allowance())
    return proposer(server, log, **changes).propose(request)


ONE = (100 * 2.0 + 50 * 8.0) / 1e6


def test_the_prompts_of_a_round_are_one_batch_at_its_price(server: Server, tmp_path: Path) -> None:
    batch = ask(server, tmp_path / "x", batch_price=0.4)
    assert [len(b["requests"]) for b in server.batches.values()] == [6]
    assert server.alone == 0
    # In the order of the prompts, whatever the order of the results.
    assert [p.expression for p in batch.proposals] == [f"RANK(TS_MEAN(CLOSE, {n + 2}) / CLOSE)" for n in range(6)]
    assert (batch.usage.requests, batch.usage.prompt_tokens) == (6, 600)
    assert batch.usage.cost == pytest.approx(6 * 0.4 * ONE)
    assert batch.usage.logged_cost == 0.0
    log = read_exchanges(tmp_path / "x" / "exchanges.jsonl")
    assert [e.batched for e in log] == [True] * 6
    everything = "".join(p.read_text() for p in (tmp_path / "x").iterdir())
    assert KEY not in everything
    assert "TS_MEAN" not in (tmp_path / "x" / "batches.jsonl").read_text()


def test_a_replay_of_a_batch_sends_nothing_and_was_paid_at_its_price(server: Server, tmp_path: Path) -> None:
    first = ask(server, tmp_path / "x")
    again = ask(server, tmp_path / "x", batch=False, concurrency=2)  # also by a run that sends no batches
    assert len(server.batches) == 1
    assert server.alone == 0
    assert again.proposals == first.proposals
    assert again.usage.requests == 0
    assert again.usage.logged_cost == again.usage.cost == pytest.approx(6 * 0.5 * ONE)


def test_a_run_that_dies_while_it_waits_finds_its_batch_again(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise SystemExit(9)

    with monkeypatch.context() as patch:
        patch.setattr(batches, "pause", killed)
        with pytest.raises(SystemExit):
            ask(server, tmp_path / "x")
    assert not (tmp_path / "x" / "exchanges.jsonl").exists()
    with (tmp_path / "x" / "batches.jsonl").open("a") as journal:
        journal.write('{"batch": "batch_9", "serv')  # it was killed again, within a line
    found = ask(server, tmp_path / "x")
    assert len(found.proposals) == 6
    assert len(server.batches) == 1
    assert found.usage.cost == pytest.approx(6 * 0.5 * ONE)
    # It was read, and is not asked for any more; another model would not have read it.
    whose = settings(server).server
    assert BatchJournal(tmp_path / "x" / "batches.jsonl", whose, "m").open_with(["x"]) == []
    lines = [json.loads(t) for t in (tmp_path / "x" / "batches.jsonl").read_text().splitlines()]
    assert [line.get("read", False) for line in lines] == [False, True]
    keys = lines[0]["prompts"]
    fresh = tmp_path / "y.jsonl"
    fresh.write_text(json.dumps(lines[0]) + "\n")
    assert [b.name for b in BatchJournal(fresh, whose, "m").open_with(keys[:1])] == ["batch_0"]
    assert BatchJournal(fresh, whose, "other").open_with(keys) == []
    assert BatchJournal(fresh, {**whose, "address": "http://elsewhere"}, "m").open_with(keys) == []


def test_a_batch_that_the_server_has_lost_is_sent_again(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise SystemExit(9)

    with monkeypatch.context() as patch:
        patch.setattr(batches, "pause", killed)
        with pytest.raises(SystemExit):
            ask(server, tmp_path / "x")
    server.batches = {"another": server.batches.pop("batch_0")}
    assert len(ask(server, tmp_path / "x").proposals) == 6
    assert list(server.batches) == ["another", "batch_1"]


@pytest.mark.parametrize("how", ["stop", "time"])
def test_what_is_asked_to_stop_cancels_its_batch_and_later_reads_what_it_held(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    server.polls, server.outcome = 10**6, {2: "expired", 4: "expired"}  # what cancelled requests look like here
    waits: list[float] = []
    allowance = Allowance(stopped=lambda: how == "stop" and len(waits) > 2, deadline=time.monotonic() + 1e6)

    def waited(seconds: float, *_: Any) -> None:
        waits.append(seconds)
        if how == "time" and len(waits) > 2:
            object.__setattr__(allowance, "deadline", time.monotonic())

    with monkeypatch.context() as patch:
        patch.setattr(batches, "pause", waited)
        halted = ask(server, tmp_path / "x", allowance=allowance)
    assert waits == [0.01] * 3
    assert server.cancelled == ["batch_0"]
    assert halted.proposals == ()
    assert halted.stopped is (how == "stop")
    assert any(
        "the batch batch_0 is cancelled, and what it holds is read when the run goes on" in n for n in halted.notes
    )
    server.polls = 1
    later = ask(server, tmp_path / "x")
    assert len(later.proposals) == 6
    assert [len(b["requests"]) for b in server.batches.values()] == [6, 2]  # the two that were not answered
    assert later.usage.cost == pytest.approx(6 * 0.5 * ONE)


def test_what_a_server_could_not_do_is_sent_once_more(server: Server, tmp_path: Path) -> None:
    server.outcome = {1: "expired", 3: "busy"}
    assert len(ask(server, tmp_path / "x").proposals) == 6
    assert [len(b["requests"]) for b in server.batches.values()] == [6, 2]


def test_what_fails_again_is_an_error_and_the_rest_is_not_paid_for_twice(server: Server, tmp_path: Path) -> None:
    server.outcome = {1: "busy", 6: "busy"}
    with pytest.raises(ProposerError, match="so it is"):
        ask(server, tmp_path / "x")
    assert len(read_exchanges(tmp_path / "x" / "exchanges.jsonl")) == 5
    server.outcome = {}
    assert len(ask(server, tmp_path / "x").proposals) == 6
    assert [len(b["requests"]) for b in server.batches.values()] == [6, 1, 1]


def test_a_request_that_is_wrong_is_not_sent_again(server: Server, tmp_path: Path) -> None:
    server.outcome = {0: "invalid"}
    with pytest.raises(ProposerError, match="so it is"):
        ask(server, tmp_path / "x")
    assert [len(b["requests"]) for b in server.batches.values()] == [6]


def test_a_batch_is_not_made_twice_where_the_server_may_have_made_it(server: Server, tmp_path: Path) -> None:
    server.refuse = [500]
    with pytest.raises(ProposerError, match="the server answered 500: not today"):
        ask(server, tmp_path / "x")
    assert server.batches == {}
    server.refuse = [429, 503]  # it says that it did not begin
    assert len(ask(server, tmp_path / "x").proposals) == 6
    assert len(server.batches) == 1


def test_a_server_without_the_interface_is_named(server: Server, tmp_path: Path) -> None:
    server.refuse = [404]
    with pytest.raises(ProposerError, match=r"404.*llm\.batch: true needs a server with a batch interface"):
        ask(server, tmp_path / "x")


def test_a_batch_that_openai_does_not_take_says_why(server: Server, tmp_path: Path) -> None:
    if server.vendor != "openai":
        pytest.skip("the other interface has no such state")
    server.failure = "the model m has no batches"
    with pytest.raises(ProposerError, match="did not take the batch batch_0: the model m has no batches"):
        ask(server, tmp_path / "x")
    server.failure = ""
    assert len(ask(server, tmp_path / "x").proposals) == 6  # with a new one
    assert len(server.batches) == 2


def test_repairs_are_a_batch_of_their_own(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message: Callable[[str], dict[str, Any]] = server._message
    monkeypatch.setattr(
        server, "_message", lambda text: message(text.replace("TS_MEAN(CLOSE, 3)", "TS_MEAN(CLOZE, 3)"))
    )
    batch = ask(server, tmp_path / "x", max_tries=2)
    assert [len(b["requests"]) for b in server.batches.values()] == [6, 1]
    assert len(batch.proposals) == 6


def test_a_damaged_journal_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "batches.jsonl").write_text('{"batch": 5}\n{"batch": "b", "read": true}\n')
    with pytest.raises(ProposerError, match=r"batches\.jsonl, line 1: not a batch"):
        ask(server, tmp_path / "x")


class Notes(NoProgress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def test_a_run_mines_with_batches(server: Server, tmp_path: Path) -> None:
    document = {
        "proposer": "llm",
        "llm": settings(server).model_dump(exclude_none=True),
        "run": {"rounds": 2, "candidates": 4, "patience": 9},
        "paths": {"output_dir": str(tmp_path / "runs")},
        "control": {"random": False},
    }
    notes = Notes()
    panel = simulate(SimulationSpec(n_symbols=25, n_dates=220, seed=4))
    result = mine(config_from_dict(document), panel=panel, progress=notes)
    assert result.rounds == 2
    assert "llm m: waiting for the batch batch_1 of 4 prompts" in notes.said  # it may be for hours
    assert [len(b["requests"]) for b in server.batches.values()] == [4, 4]
    assert server.alone == 1  # the greeting, which is met before anything is measured
