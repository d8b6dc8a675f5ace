"""What holds for every entry of `PROPOSERS`: a new one is tested here by being in the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fama_fast.engine import compile as compile_alpha
from fama_fast.mining.proposers import PROPOSERS, ProposerSettings, make_proposer
from fama_fast.proposals.admissible import admissible
from fama_fast.proposals.protocol import Limits, ProposalRequest, Proposer, Vocabulary

VOCABULARY = Vocabulary(("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME"), ("SECTOR",), max_window=60)
# The one that asks a model has tests of its own, with servers (tests/unit/llm).
KINDS = [kind for kind in PROPOSERS if kind != "llm"]


def made(kind: str, folder: Path, **more: Any) -> Proposer:
    """The proposer with its defaults, and what it cannot be made without."""
    recorded = folder / "expressions.txt"
    recorded.write_text("".join(f"RANK(TS_RETURNS(CLOSE, {d}))\n" for d in range(1, 31)), encoding="utf-8")
    settings: dict[str, Any] = {"replay_path": recorded, "mix": {"evolve": 1.0}, **more}
    return make_proposer(ProposerSettings(kind=kind, seed=3, **settings))


@pytest.mark.parametrize("kind", PROPOSERS)
def test_it_says_what_it_does(kind: str) -> None:
    assert PROPOSERS[kind].summary
    assert not PROPOSERS[kind].summary.endswith(".")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("count", "level_free"), [(1, False), (12, False), (60, True)])
def test_it_keeps_the_protocol(kind: str, count: int, level_free: bool, tmp_path: Path) -> None:
    proposer = made(kind, tmp_path)
    assert isinstance(proposer, Proposer)
    assert proposer.name == kind
    limits = Limits(level_free=level_free)
    request = ProposalRequest(count=count, vocabulary=VOCABULARY, seed=3, limits=limits)
    batch = proposer.propose(request)
    assert 0 < len(batch.proposals) <= count
    for proposal in batch.proposals:
        alpha = compile_alpha(proposal.expression, fields=VOCABULARY.fields, groups=VOCABULARY.groups)
        assert admissible(alpha.node, request.limits) is None, proposal.expression
    if proposer.capabilities.deterministic:
        assert made(kind, tmp_path).propose(request) == batch


@pytest.mark.parametrize("kind", [kind for kind in KINDS if PROPOSERS[kind].mixes])
def test_it_can_have_a_share(kind: str, tmp_path: Path) -> None:
    mixed = made("mixed", tmp_path, mix={kind: 1.0})
    batch = mixed.propose(ProposalRequest(count=4, vocabulary=VOCABULARY, seed=3))
    assert batch.proposals
    assert {p.proposer for p in batch.proposals} == {kind}
