"""The value of a model: arms with equal candidates and for equal money, against a scripted server."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from benches.mining import arms, tables
from benches.mining.__main__ import main
from benches.mining.runner import finished

CONFIG = """
data: {{simulator: {{symbols: 30, dates: 260, seed: 2, signals: [{{expression: "{signal}", rank_ic: 0.15}}]}}}}
run: {{threads: 1, candidates: 6, use_css: false, use_coe: false}}
llm: {{model: scripted-1, base_url: "{url}", api_key_env: null, constraint: none, per_prompt: 6{more}}}
"""
SIGNAL = "RANK(TS_MEAN(VOLUME, 5) / TS_MEAN(VOLUME, 20)) * -1"
PRICES = ", price_in: 1000, price_out: 1000"
_DAYS = itertools.count(3)


def answer(request: Request) -> Response:
    """A model that always knows as many more formulas of the signal's kind as it is asked for, but the last of several
    is one that it said before."""
    wanted = re.search(r"exactly (\d+) expression", request.get_data(as_text=True))
    days = [next(_DAYS) for _ in range(1 if wanted is None else int(wanted[1]))]  # none: is the server there?
    if len(days) > 2:
        days[-1] = days[0]
    texts = [f"RANK(TS_MEAN(VOLUME, {d}) / VOLUME)" for d in days]
    content = json.dumps({"alphas": [{"hypothesis": "volume", "expression": t} for t in texts]})
    body = {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "scripted-1",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 100, "total_tokens": 200},
    }
    return Response(json.dumps(body), content_type="application/json")


@pytest.fixture
def config(httpserver: HTTPServer, tmp_path: Path) -> Path:
    httpserver.expect_request("/v1/chat/completions", method="POST").respond_with_handler(answer)
    httpserver.expect_request("/v1/models").respond_with_json({"object": "list", "data": [{"id": "scripted-1"}]})
    path = tmp_path / "run.yaml"
    path.write_text(CONFIG.format(url=httpserver.url_for("/v1"), signal=SIGNAL, more=PRICES), encoding="utf-8")
    return path


def asked(config: Path, *more: str) -> list[str]:
    out = str(config.parent / "arms.jsonl")
    return ["arms", "--config", str(config), "--seeds", "1", "--candidates", "12", "--out", out, *more]


def results(config: Path) -> dict[tuple[str, str], dict[str, Any]]:
    return {(r["budget"], r["arm"]): r for r in finished(config.parent / "arms.jsonl")}


def test_arms_are_compared_with_equal_candidates_and_for_equal_money(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # An answer costs 0.2, so the money buys two of them; a core is dear enough for a few dozen candidates.
    money = ("--money", "0.4", "--core-hour", "20", "--most", "60", "--cutoff", "2015-12-01")
    assert main(asked(config, *money)) == 0
    found = results(config)
    assert set(found) == {(b, a) for b in ("candidates", "money") for a in arms.ARMS}
    alike = {arm: found["candidates", arm] for arm in arms.ARMS}
    assert {r["candidates"] for r in alike.values()} == {12}
    assert {arm: r["model"] for arm, r in alike.items()} == {
        "llm": "scripted-1",
        "mixed": "scripted-1",
        "evolve": None,
        "random": None,
    }
    assert alike["llm"]["cost"]["model"] == pytest.approx(0.2 * alike["llm"]["usage"]["requests"])
    assert alike["evolve"]["cost"]["model"] == alike["random"]["cost"]["model"] == 0.0
    assert alike["llm"]["duplicates"] >= 1
    assert set(alike["mixed"]["by_proposer"]) == {"llm", "evolve"}
    for row in found.values():
        assert sum(sum(own["funnel"].values()) for own in row["by_proposer"].values()) == row["candidates"]
        assert sum(own["listed"] for own in row["by_proposer"].values()) == row["listed"]
    assert found["money", "llm"]["cost"]["model"] <= 0.4 + 0.2
    each = alike["evolve"]["cost"]["all"] / 12
    assert found["money", "evolve"]["candidates_asked"] == min(60, int(0.4 / each))
    page = capsys.readouterr().out
    assert "model: scripted-1" in page
    assert "| llm | 1 | 12 |" in page
    assert "- mixed: evolve:" in page
    assert "lie before 2015-12-01, to which the model was trained" in page
    assert page.strip() == tables.render([config.parent / "arms.jsonl"])


def test_runs_that_are_there_are_not_made_again(config: Path, httpserver: HTTPServer) -> None:
    assert main(asked(config, "--arms", "llm", "random")) == 0
    sent, before = len(httpserver.log), results(config)
    assert main(asked(config, "--arms", "llm", "random")) == 0
    assert len(httpserver.log) == sent
    assert results(config) == before


def test_equal_seeds_draw_equal_random_formulas(config: Path) -> None:
    assert main(asked(config, "--arms", "random")) == 0
    first = results(config)["candidates", "random"]
    (config.parent / "arms.jsonl").unlink()
    assert main(asked(config, "--arms", "random")) == 0
    again = results(config)["candidates", "random"]
    for row in (first, again):
        for key in ("seconds", "cost", "processor_seconds", "headline"):
            row.pop(key)
    assert again == first


@pytest.mark.parametrize(
    ("change", "more", "said"),
    [
        ("model: scripted-1, ", (), "llm.model"),
        (PRICES, ("--money", "1"), "llm.price_in"),
    ],
)
def test_what_an_arm_lacks_is_said_before_anything_runs(
    config: Path, capsys: pytest.CaptureFixture[str], change: str, more: tuple[str, ...], said: str
) -> None:
    config.write_text(config.read_text(encoding="utf-8").replace(change, ""), encoding="utf-8")
    assert main(asked(config, *more)) == 2
    assert said in capsys.readouterr().err
    assert not (config.parent / "arms.jsonl").exists()


def test_a_model_that_fails_costs_its_own_arms_alone(
    config: Path, httpserver: HTTPServer, capsys: pytest.CaptureFixture[str]
) -> None:
    httpserver.clear()
    httpserver.expect_request("/v1/chat/completions").respond_with_data("no", status=401)
    httpserver.expect_request("/v1/models").respond_with_data("no", status=401)
    assert main(asked(config, "--arms", "llm", "random")) == 1
    assert set(results(config)) == {("candidates", "random")}
    assert "arms llm seed 0, equal candidates, failed" in capsys.readouterr().err
