"""Replayed proposals: recorded exchanges in order or by prompt hash, and plain lists of expressions."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from fama_fast.errors import ConfigError, ProposerError
from fama_fast.llm.chat import Reply
from fama_fast.llm.exchange_log import ExchangeLog
from fama_fast.llm.prompt import Message
from fama_fast.llm.settings import LLMSettings
from fama_fast.mining.proposers import ProposerSettings, make_proposer
from fama_fast.mining.proposers.kinds.llm import LLMProposer
from fama_fast.mining.proposers.kinds.replay import ReplayProposer
from fama_fast.proposals.protocol import ProposalRequest, Proposer, Vocabulary

SETTINGS = LLMSettings(model="m", temperature=0.5, seed=3, max_tokens=99, constraint="none")
REQUEST = ProposalRequest(2, vocabulary=Vocabulary(("OPEN", "CLOSE"), (), 60), seed=1)


class Scripted:
    """A client that answers from a list."""

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)

    def complete(self, messages: Sequence[Message], constraint: object = None, **_: object) -> Reply:
        return Reply(self.texts.pop(0), prompt_tokens=10, completion_tokens=5)


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Two rounds, the first of them with a repair."""
    log = ExchangeLog(tmp_path / "exchanges")
    p = LLMProposer(
        SETTINGS,
        Scripted('["RANK(CLOSE)", "RANK(CLOS)"]', '["RANK(OPEN)"]', '["RANK(CLOSE / OPEN)"]'),
        log=log,
    )
    p.propose(REQUEST)
    p.propose(dataclasses.replace(REQUEST, round=1))
    return log.path


@pytest.mark.parametrize("match", ["order", "hash"])
def test_exchanges_are_answered_as_recorded(recorded: Path, match: str) -> None:
    proposer = ReplayProposer(recorded.parent, match=match)  # type: ignore[arg-type]
    assert isinstance(proposer, Proposer)
    assert proposer.capabilities.deterministic
    first = proposer.propose(REQUEST)
    assert [p.expression for p in first.proposals] == ["RANK(CLOSE)", "RANK(OPEN)"]
    assert first.usage.requests == 0
    second = proposer.propose(dataclasses.replace(REQUEST, round=1))
    assert [p.expression for p in second.proposals] == ["RANK(CLOSE / OPEN)"]


def test_a_prompt_that_was_not_recorded_is_named(recorded: Path) -> None:
    proposer = ReplayProposer(recorded, match="hash", settings=SETTINGS)
    with pytest.raises(ProposerError, match=r"no exchange with prompt hash [0-9a-f]{32} was recorded"):
        proposer.propose(dataclasses.replace(REQUEST, round=7))
    other = ReplayProposer(recorded, match="hash", settings=SETTINGS.model_copy(update={"temperature": 0.9}))
    with pytest.raises(ProposerError, match="no exchange with prompt hash"):
        other.propose(REQUEST)


def test_recorded_answers_come_to_an_end(recorded: Path) -> None:
    proposer = ReplayProposer(recorded)
    proposer.propose(REQUEST)
    proposer.propose(REQUEST)
    with pytest.raises(ProposerError, match="all 3 recorded answers have been replayed"):
        proposer.propose(REQUEST)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "- RANK(CLOSE)\n- expression: RANK(OPEN)\n  hypothesis: idea\n- RANK(CLOSE / OPEN)\n"),
        ("b.yml", "factors:\n- expression: RANK(CLOSE)\n- RANK(OPEN)\n- RANK(CLOSE / OPEN)\n"),
        ("c.jsonl", '"RANK(CLOSE)"\n{"expression": "RANK(OPEN)"}\n\n"RANK(CLOSE / OPEN)"\n'),
        ("d.json", '{"alphas": ["RANK(CLOSE)", "RANK(OPEN)", "RANK(CLOSE / OPEN)"]}'),
        ("e.txt", "# seeds\nRANK(CLOSE)\nRANK(OPEN)  # opening\n\nRANK(CLOSE / OPEN)\n"),
    ],
)
def test_lists_of_expressions(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    proposer = make_proposer(ProposerSettings("replay", replay_path=tmp_path / name))
    batches = [[p.expression for p in proposer.propose(REQUEST).proposals] for _ in range(3)]
    assert batches == [["RANK(CLOSE)", "RANK(OPEN)"], ["RANK(CLOSE / OPEN)"], []]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.yaml", "- RANK(CLOSE)\n- 5\n", "a.yaml, item 2: expected an expression"),
        ("a.yaml", "x: y\n", "expected a list, or a mapping with one of factors"),
        ("a.yaml", "a: [1,\n", "not YAML"),
        ("a.yaml", "- !!python/object/apply:os.system ['true']\n", "not YAML"),
        ("a.jsonl", '"RANK(CLOSE)"\nnot json\n', "a.jsonl, line 2: not JSON"),
        ("a.txt", "# nothing\n", "holds no expression"),
    ],
)
def test_wrong_lists_name_file_and_item(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as caught:
        ReplayProposer(tmp_path / name)
    assert said in str(caught.value)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"paths\.replay: .*none\.yaml does not exist"):
        ReplayProposer(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match=r"paths\.replay: the replay proposer needs a file"):
        make_proposer(ProposerSettings("replay"))
    (tmp_path / "list.txt").write_text("RANK(CLOSE)")
    with pytest.raises(ConfigError, match="has no prompt hashes"):
        ReplayProposer(tmp_path / "list.txt", match="hash")


def test_a_broken_record_is_named(recorded: Path) -> None:
    lines = recorded.read_text().splitlines()
    recorded.write_text("\n".join([lines[0], json.dumps({"prompt_hash": 5, "text": "x"}), lines[1], ""]))
    with pytest.raises(ProposerError, match="line 2: not a recorded exchange"):
        ReplayProposer(recorded)
