"""A run with a scripted model that writes as a strong one does: what changes in its next prompt, what chains become.

How it does on three panels over twelve rounds: docs/decisions/045-chains-and-prompts.md.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from fama_fast.data import PlantedSignal, SimulationSpec, simulate
from fama_fast.data.frame import to_frame
from fama_fast.errors import ProposerError
from fama_fast.ledger.ledger import Ledger
from tests.support.strong_model import StrongModel, figures, mined

SMALL: dict[str, Any] = {
    "data": {
        "simulator": {
            "symbols": 40,
            "dates": 360,
            "seed": 3,
            "signals": [
                {"expression": "RANK(TS_MEAN(VOLUME, 5)) * -1", "rank_ic": 0.06},
                {"expression": "RANK(CLOSE / OPEN) * -1", "rank_ic": 0.06},
            ],
        }
    },
    "run": {"rounds": 5, "candidates": 16},
    "llm": {
        "model": "scripted",
        "api_key_env": None,
        "base_url": "http://127.0.0.1:1/v1",
        "constraint": "none",
        "per_prompt": 4,
        "concurrency": 1,
    },
    "u": 5,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[StrongModel, Any, Any]:
    return mined("simulator", str(tmp_path_factory.mktemp("whole")), **SMALL)


def prompts(model: StrongModel) -> list[str]:
    return [first for first, last in model.seen if first == last]


def section(prompt: str, title: str) -> str:
    return prompt.partition(f"# {title}")[2].partition("\n# ")[0]


def test_a_run_reaches_what_is_asked_of_it(run: tuple[StrongModel, Any, Any]) -> None:
    model, _, (rows, steps) = run
    found = figures(model, rows, steps)
    assert found["prompts"] == 20
    assert found["equal_prompts"] == 0
    assert found["admitted"] >= 5
    assert found["share"] >= 1 / 3
    assert found["in_library"] <= 1 / 12
    assert found["shown_steps"] > 0
    assert found["least_t"] >= 1.0
    assert found["least_r"] >= 0.3


def test_prompts_of_a_round_differ_in_draw_path_and_direction(run: tuple[StrongModel, Any, Any]) -> None:
    model, *_ = run
    for first in range(0, 20, 4):
        own = prompts(model)[first : first + 4]
        tasks = {re.search(r"Look in this direction: ([^.]*)", p)[1] for p in own}  # type: ignore[index]
        assert len(tasks) == 4
        assert len({section(p, "Improvement path") for p in own}) >= 3
    everything = [re.search(r"Look in this direction: ([^.]*)", p)[1] for p in prompts(model)]  # type: ignore[index]
    assert len(set(everything)) == 20


def test_what_was_admitted_is_in_the_library_of_the_next_prompt(run: tuple[StrongModel, Any, Any]) -> None:
    model, _, (rows, _) = run
    admitted = [(r["round"], r["canonical"]) for r in rows if r["admitted"]]
    replaced = sum(text not in section(prompts(model)[-1], "Library") for n, text in admitted if n < 5)
    assert replaced < len(admitted) / 2
    told = [
        text in section(prompts(model)[4 * n], "Library")  # the first prompt of the round after
        for n, text in admitted
        if n < 5
    ]
    assert told
    assert all(told)
    assert not any(text in section(prompts(model)[0], "Library") for _, text in admitted)


def test_own_results_come_back_with_figures_and_gate(run: tuple[StrongModel, Any, Any]) -> None:
    model, _, (rows, _) = run
    assert "(nothing yet)" in section(prompts(model)[0], "Your own last results")
    for number in range(1, 5):
        told = section(prompts(model)[4 * number], "Your own last results")
        own = [r for r in rows if r["round"] == number and r["prompt_hash"] and "train" in (r["scores"] or {})]
        assert own
        for row in own[-3:]:
            line = next(x for x in told.split("\n") if f"`{row['canonical']}`: score" in x)
            assert f"score {row['scores']['train']['score']:+.4f}" in line
            assert ("; admitted" in line) == bool(row["admitted"])
            assert row["admitted"] or f"not admitted, {row['gate']}: " in line
            assert "weakest side: " in line
            assert "nearest in the library" in line


def test_ideas_are_sent_back_to_be_refined_at_most_so_often(run: tuple[StrongModel, Any, Any]) -> None:
    model, *_ = run
    ideas = [section(p, "The idea to go on with") for p in prompts(model)]
    assert all("(a new one)" in idea for idea in ideas[:4])
    assert any("I1." in idea for idea in ideas[4:])
    assert any("I2." in idea for idea in ideas[8:])
    assert not any("I4." in idea for idea in ideas), "two refinements follow the first proposal"
    for number in range(1, 5):
        assert sum("I1." in idea for idea in ideas[4 * number : 4 * number + 4]) <= 2


def test_no_refinement_where_none_is_wanted(tmp_path: Path) -> None:
    llm = {**SMALL["llm"], "refine": 0}
    model, *_ = mined("simulator", str(tmp_path), **{**SMALL, "llm": llm, "run": {"rounds": 3, "candidates": 8}})
    assert all("(a new one)" in section(p, "The idea to go on with") for p in prompts(model))


def test_a_contradicted_hypothesis_is_marked_and_another_is_asked_once(run: tuple[StrongModel, Any, Any]) -> None:
    model, result, _ = run
    asked = [
        m[1] for p in prompts(model) for m in re.finditer(r"^- `([^`]+)`, thought for its negative: ", p, re.MULTILINE)
    ]
    assert asked
    assert len(asked) == len(set(asked)), "once each"
    document = result.to_dict()
    with Ledger.open(document["record"]["ledger"], create=False) as ledger:
        state = ledger.get_run("last").state
    assert state is not None
    kept = {e["factor"]["canonical"]: e["factor"] for e in state["library"]}
    mended = [kept[text] for text in asked if text in kept]
    assert mended
    for entry in mended:
        assert entry["hypothesis"].startswith("the other way round: ")
        assert entry["provenance"]["contradicted"] == entry["hypothesis"].removeprefix("the other way round: ")
    marked = [f for f in document["factors"] if "contradicted" in f["provenance"]]
    for entry in marked:
        assert entry["proposed"]
    unturned = [f for f in document["factors"] if not f.get("proposed")]
    assert all("contradicted" not in f["provenance"] for f in unturned)


def test_parents_outside_the_library_are_offered(run: tuple[StrongModel, Any, Any]) -> None:
    model, *_ = run
    offered = [section(p, "Parents that may be built on") for p in prompts(model)]
    assert any("P1." in text for text in offered)
    assert sum("P1." in text for text in offered) <= 7


def test_lineage_is_what_a_formula_was_built_on(run: tuple[StrongModel, Any, Any]) -> None:
    _, _, (rows, _) = run
    own = [r for r in rows if r["prompt_hash"]]
    assert {len(r["parents"]) for r in own} == {0, 1}, "not all that the prompt showed"


class Stopping(StrongModel):
    """Fails in its n-th call."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.left = calls

    def complete(self, messages: Any, *rest: Any, **options: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise ProposerError("the server is gone")
        return super().complete(messages, *rest, **options)


def test_a_run_that_goes_on_shows_and_keeps_the_same(run: tuple[StrongModel, Any, Any], tmp_path: Path) -> None:
    whole, result, (rows, steps) = run
    with pytest.raises(ProposerError):
        mined("simulator", str(tmp_path), model=Stopping(20), **SMALL)
    with Ledger.open(tmp_path / "ledger.sqlite", create=False) as ledger:
        done = ledger.get_run("last").rounds
    assert 1 <= done < 5
    model, again, (more_rows, more_steps) = mined("simulator", str(tmp_path), resume="last", **SMALL)
    assert prompts(model) == prompts(whole)[4 * done :]
    assert more_steps == steps
    assert [(r["canonical"], r["gate"], r["scores"]) for r in more_rows] == [
        (r["canonical"], r["gate"], r["scores"]) for r in rows
    ]
    ours, theirs = again.to_dict(), result.to_dict()
    assert ours["factors"] == theirs["factors"]


def test_the_same_prompts_and_chains_where_data_are_read_in_parts(tmp_path: Path) -> None:
    """Ranks, leads and nearest members are of the same bits, so what a model reads is too."""
    simulated = dict(SMALL["data"]["simulator"])
    signals = tuple(PlantedSignal(s["expression"], s["rank_ic"]) for s in simulated.pop("signals"))
    spec = SimulationSpec(simulated["symbols"], simulated["dates"], seed=simulated["seed"], signals=signals)
    to_frame(simulate(spec)).write_parquet(tmp_path / "prices.parquet", row_group_size=997)
    both = []
    for name, budget in (("whole", None), ("parts", "30MB")):
        settings = {k: v for k, v in SMALL.items() if k != "data"}
        settings["run"] = {"rounds": 2, "candidates": 12, "memory_budget": budget}
        settings["gates"] = {"max_lookback": 60}
        both.append(mined(str(tmp_path / "prices.parquet"), str(tmp_path / name), **settings))
    (whole, _, (rows, steps)), (parts, _, (other_rows, other_steps)) = both
    assert prompts(parts) == prompts(whole)
    assert other_steps == steps
    assert [r["scores"] for r in other_rows] == [r["scores"] for r in rows]


def test_chains_wait_for_a_library_of_that_size(tmp_path: Path) -> None:
    _, _, (_, steps) = mined("simulator", str(tmp_path), **{**SMALL, "u": 1000, "run": {"rounds": 3, "candidates": 16}})
    assert {s.action for _, s in steps} - {"build", "rebuild"} <= {"start", "insert"}
    assert any(s.action == "insert" for _, s in steps)


def test_chain_steps_are_improvements_by_the_ledger_too(run: tuple[StrongModel, Any, Any]) -> None:
    _, _, (_, steps) = run
    scores = {s.fingerprint: s.score for _, s in steps}
    grown = [s for _, s in steps if s.action in ("extend", "split")]
    assert grown
    for step in grown:
        assert step.score > scores[step.parent]
    built = [s for _, s in steps if s.action == "build"]
    assert all(s.score > scores[s.parent] for s in built if s.parent is not None)
    rounds = [n for n, s in steps if s.action == "rebuild"]
    assert all(a <= b for a, b in pairwise(rounds))
