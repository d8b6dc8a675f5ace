"""Several proposers in fixed shares."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fama_fast.errors import ConfigError, ProposerError
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.proposers import ProposerSettings, make_proposer
from fama_fast.mining.proposers.kinds.mixed import MixedProposer, shares
from fama_fast.mining.run.to_records import candidates_of, record_of
from fama_fast.proposals.protocol import Capabilities, Proposal, ProposalBatch, ProposalRequest, Rejection, Usage


@dataclass
class Fixed:
    """Proposes numbered texts."""

    name: str
    capabilities: Capabilities = field(default_factory=lambda: Capabilities(deterministic=True))
    asked: list[int] = field(default_factory=list)
    fails: bool = False

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        if self.fails:
            raise ProposerError("gone")
        self.asked.append(request.count)
        made = tuple(Proposal(f"{self.name}{i}") for i in range(request.count))
        return ProposalBatch(made, (Rejection("", self.name),), Usage(1, 2, 3, 0.5), (f"note of {self.name}",))


@given(
    st.dictionaries(st.sampled_from("abcd"), st.floats(0.01, 10.0), min_size=1),
    st.integers(0, 200),
    st.integers(0, 9),
)
def test_shares_add_up_and_are_within_one_of_exact(weights: dict[str, float], count: int, turn: int) -> None:
    found = shares(weights, count, turn)
    assert sum(found.values()) == count
    total = sum(weights.values())
    assert all(abs(found[n] - count * w / total) < 1.0 + 1e-6 for n, w in weights.items())


def test_equal_shares_take_turns() -> None:
    assert [shares({"a": 1.0, "b": 1.0}, 5, t) for t in (0, 1)] == [{"a": 3, "b": 2}, {"a": 2, "b": 3}]


def test_each_is_asked_for_its_share_and_marked() -> None:
    a, b = Fixed("a"), Fixed("b", Capabilities(uses_prompt=True, costs_money=True))
    mixed = MixedProposer({"b": (b, 0.3), "a": (a, 0.7)})
    batch = mixed.propose(ProposalRequest(10))
    assert (a.asked, b.asked) == ([7], [3])
    assert [p.proposer for p in batch.proposals] == ["a"] * 7 + ["b"] * 3
    assert batch.usage == Usage(2, 4, 6, 1.0)
    assert batch.notes == ("note of a", "note of b")
    assert len(batch.dropped) == 2
    assert mixed.capabilities == Capabilities(deterministic=False, uses_prompt=True, costs_money=True)
    rows = [record_of(c, mixed.name) for c in candidates_of(batch)]
    assert [r.proposer for r in rows[:10]] == ["a"] * 7 + ["b"] * 3


def test_a_share_of_nothing_asks_nobody() -> None:
    a, b = Fixed("a"), Fixed("b", fails=True)
    MixedProposer({"a": (a, 1.0), "b": (b, 0.01)}).propose(ProposalRequest(3))
    assert a.asked == [3]


def test_goes_on_without_a_model_that_fails_and_says_so() -> None:
    a, b = Fixed("a"), Fixed("b", fails=True)
    mixed = MixedProposer({"a": (a, 1.0), "b": (b, 1.0)})
    batch = mixed.propose(ProposalRequest(4))
    assert [p.proposer for p in batch.proposals] == ["a", "a"]
    assert "warning: gone: this round goes on without the 2 proposals of b" in batch.notes
    b.fails = False
    assert len(mixed.propose(ProposalRequest(4)).proposals) == 4  # asked again in the next round
    a.fails = b.fails = True
    with pytest.raises(ProposerError, match="gone"):
        mixed.propose(ProposalRequest(4))


def test_a_stop_ends_the_round_for_all() -> None:
    @dataclass
    class Stopped(Fixed):
        def propose(self, request: ProposalRequest) -> ProposalBatch:
            return replace(super().propose(request), stopped=True)

    a, b = Stopped("a"), Fixed("b")
    batch = MixedProposer({"a": (a, 1.0), "b": (b, 1.0)}).propose(ProposalRequest(4))
    assert batch.stopped
    assert b.asked == []


def test_configuration() -> None:
    config = config_from_dict({"proposer": "mixed", "mix": {"llm": 0.3, "evolve": 0.7}})
    assert config.mix == {"llm": 0.3, "evolve": 0.7}
    for wrong in ({"proposer": "mixed"}, {"proposer": "mixed", "mix": {"llm": 0.0}}, {"mix": {"oracle": 1.0}}):
        with pytest.raises(ConfigError, match="mix"):
            config_from_dict(wrong)
    with pytest.raises(ConfigError, match="needs shares"):
        make_proposer(ProposerSettings("mixed"))
    only = make_proposer(ProposerSettings("mixed", mix={"evolve": 1.0}))
    assert {p.proposer for p in only.propose(ProposalRequest(4)).proposals} == {"evolve"}
