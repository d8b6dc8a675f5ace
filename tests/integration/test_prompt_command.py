"""`fama-fast prompt` and `--idea`: what it prints is what a run sends, and it sends and records nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from fama_fast.cli import main
from fama_fast.llm.tokens import tokens_of

TEXTS = ("RANK(CLOSE / OPEN)", "RANK(DELTA(VOLUME, 3))", "RANK(TS_ZSCORE(CLOSE, 10))", "RANK(HIGH / LOW)")


class Model:
    """A chat server that keeps what it was sent, greetings left out, and may break."""

    def __init__(self, http: HTTPServer) -> None:
        self.url = http.url_for("/v1")
        self.sent: list[list[dict[str, str]]] = []
        self.breaks_at = 10**9
        http.expect_request("/v1/chat/completions", method="POST").respond_with_handler(self._handle)

    def _handle(self, request: Request) -> Response:
        body = json.loads(request.get_data())
        text = "Hello!"
        if len(body["messages"]) > 1:
            if len(self.sent) >= self.breaks_at:
                return Response("broken", status=403)
            self.sent.append(body["messages"])
            text = json.dumps({"expression": TEXTS[len(self.sent) % len(TEXTS)], "hypothesis": "h"})
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        usage = {"prompt_tokens": 10, "completion_tokens": 5}
        return Response(json.dumps({"choices": [choice], "usage": usage}), content_type="application/json")


@pytest.fixture
def model(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Model:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLM_API_KEY", "sk-test-1234567890")
    return Model(httpserver)


def configuration(model: Model, folder: Path, **changes: Any) -> str:
    document: dict[str, Any] = {
        "proposer": "llm",
        "llm": {
            "model": "m",
            "base_url": model.url,
            "constraint": "none",
            "max_tries": 1,
            "max_retries": 0,
            "per_prompt": 1,
            "concurrency": 1,
            "price_in": 2.0,
            "price_out": 8.0,
        },
        "run": {"rounds": 2, "candidates": 3, "patience": 9},
        "data": {"simulator": {"symbols": 25, "dates": 220, "seed": 4}},
        "control": {"random": False},
    }
    document |= changes
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(document))
    return str(path)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    assert main(["prompt", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def messages(document: Any) -> list[Any]:
    return [p["messages"] for p in document["prompts"]]


def test_what_is_printed_is_what_the_first_round_sends(
    model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configuration(model, tmp_path)
    with monkeypatch.context() as without_key:
        without_key.delenv("LLM_API_KEY")
        shown = printed(capsys, "--config", config)
    assert not model.sent
    assert not (tmp_path / "runs").exists()
    assert main(["mine", "--config", config, "--rounds", "1", "--quiet"]) in (0, 1)
    assert model.sent == messages(shown)
    assert len(model.sent) == shown["wanted"] == 3
    assert len({json.dumps(m) for m in model.sent}) == 3
    # A simulated market does not tell what it hides.
    assert "a simulated market" in json.dumps(model.sent)
    assert "planted" not in json.dumps(model.sent)


def test_the_next_round_of_an_unfinished_run(model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configuration(model, tmp_path)
    model.breaks_at = 3  # the first round, and no further
    assert main(["mine", "--config", config, "--quiet"]) == 2
    shown = printed(capsys, "--resume", "last")
    assert shown["round"] == 2
    model.breaks_at = 10**9
    first = len(model.sent)
    assert main(["mine", "--resume", "last", "--quiet"]) in (0, 1)
    assert model.sent[first:] == messages(shown)
    assert main(["prompt", "--resume", "last"]) == 2
    assert "is finished" in capsys.readouterr().err


def test_tokens_and_money(model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configuration(model, tmp_path)
    shown = printed(capsys, "--config", config)
    each = [sum(tokens_of(m["content"]) for m in p) for p in messages(shown)]
    assert [p["tokens"] for p in shown["prompts"]] == each
    assert shown["tokens"] == sum(each)
    assert shown["answer_tokens"] == {"about": 3 * 81, "at_most": 3 * 4096}
    assert shown["cost"]["about"] == pytest.approx((sum(each) * 2.0 + 3 * 81 * 8.0) / 1e6)
    assert shown["cost"]["at_most"] == pytest.approx((sum(each) * 2.0 + 3 * 4096 * 8.0) / 1e6)
    assert main(["prompt", "--config", config]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"round 1: 3 prompts for 3 alphas, about {sum(each):,} tokens; answers of about 243 tokens")
    assert f"about {shown['cost']['about']:.4f}, at most" in out
    assert out.count("# Operators") == 1  # the system message once
    assert out.count("=== prompt ") == 6
    for line in messages(shown)[2][1]["content"].split("\n"):
        assert line in out


def test_ideas_take_turns_in_prompts_and_runs(model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configuration(model, tmp_path)
    ideas = ("--idea", "liquidity shocks in small stocks", "--idea", "overnight gaps")
    shown = printed(capsys, "--config", config, *ideas)
    users = [m[1]["content"] for m in messages(shown)]
    assert ["liquidity shocks" in u for u in users] == [True, False, True]
    assert ["overnight gaps" in u for u in users] == [False, True, False]
    assert len(set(users)) == 3
    assert main(["mine", "--config", config, *ideas, "--rounds", "1", "--quiet"]) in (0, 1)
    assert [m[1]["content"] for m in model.sent] == users
    one = configuration(model, tmp_path, llm={"model": "m", "direction": "what insiders know", "per_prompt": 1})
    assert all("what insiders know" in m[1]["content"] for m in messages(printed(capsys, "--config", one)))


def test_a_mixed_run_shows_the_models_share(model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configuration(model, tmp_path, proposer="mixed", mix={"llm": 0.5, "evolve": 0.5}, run={"candidates": 4})
    shown = printed(capsys, "--config", config)
    assert shown["wanted"] == 2
    assert main(["mine", "--config", config, "--rounds", "1", "--quiet"]) in (0, 1)
    assert model.sent == messages(shown)


def test_what_earlier_runs_have_learnt_is_shown_too(
    model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configuration(model, tmp_path, proposer="evolve", run={"rounds": 2, "candidates": 40, "patience": 9})
    assert main(["mine", "--config", config, "--quiet"]) in (0, 1)
    llm = {"model": "m", "base_url": model.url, "constraint": "none", "max_tries": 1, "memory": True}
    config = configuration(model, tmp_path, llm=llm)
    shown = printed(capsys, "--config", config)
    assert "earlier run" in messages(shown)[0][1]["content"].lower()
    assert main(["mine", "--config", config, "--rounds", "1", "--quiet"]) in (0, 1)
    assert model.sent == messages(shown)


def test_without_a_configuration_and_with_another_proposer(
    model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configuration(model, tmp_path, proposer="evolve", llm={})
    assert main(["prompt", "--config", config]) == 0
    out = capsys.readouterr()
    assert "proposer: evolve sends no prompts: these are those of proposer: llm" in out.err
    assert "set llm.price_in and llm.price_out" in out.out
    assert main(["prompt", "--idea", "x"]) == 2  # too short to be one
    assert "llm.direction" in capsys.readouterr().err
