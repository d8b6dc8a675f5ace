"""One prompt of a language model with its repairs, and what its answer says beside the formulas themselves."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fama_fast.errors import FamaError
from fama_fast.llm.experience_text import labelled
from fama_fast.llm.prompt import context_of
from fama_fast.mining.proposers.built_on import built_on
from fama_fast.mining.proposers.check import checked
from fama_fast.proposals.protocol import Rejection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.llm.answers import Answer
    from fama_fast.llm.prompt import Message
    from fama_fast.proposals.protocol import Proposal, ProposalRequest


@dataclass
class Dialogue:
    """A prompt with its repairs. `pending`: its next messages shall be sent."""

    index: int
    request: ProposalRequest
    messages: Sequence[Message]
    wanted: int
    tries: int = 0
    pending: bool = True
    good: list[Proposal] = field(default_factory=list)
    dropped: list[Rejection] = field(default_factory=list)
    hypotheses: list[tuple[str, str]] = field(default_factory=list)
    failures: list[Rejection] = field(default_factory=list)  # of the last answer, still to be mended


def most_alphas(dialogue: Dialogue) -> int:
    """Alphas that an answer may hold: those that are wanted, and factors that another hypothesis is asked for."""
    return dialogue.wanted + len(context_of(dialogue.request).contradicted)


def without_rethought(answer: Answer, dialogue: Dialogue) -> Answer:
    """The answer's new proposals; what was given once more with another hypothesis is noted in the dialogue."""
    request = dialogue.request
    before = {f.canonical: f.hypothesis for f in context_of(request).contradicted}
    kept = []
    for proposal in answer.proposals:
        try:
            canonical = checked(proposal.expression, request.vocabulary, request.limits) if before else ""
        except FamaError:
            canonical = ""
        if canonical not in before:
            kept.append(proposal)
        elif proposal.hypothesis.strip() and proposal.hypothesis != before[canonical]:
            dialogue.hypotheses.append((canonical, proposal.hypothesis))
    more = [
        Rejection(p.expression, f"more than the {dialogue.wanted} that were asked for") for p in kept[dialogue.wanted :]
    ]
    return dataclasses.replace(answer, proposals=tuple(kept[: dialogue.wanted]), dropped=(*answer.dropped, *more))


def part_of(request: ProposalRequest, index: int, size: int) -> ProposalRequest:
    """The request of one prompt, with the context that is its own."""
    own = request.contexts[index : index + 1] or request.contexts[-1:]
    return dataclasses.replace(request, count=size, contexts=own)


def placed(proposal: Proposal, request: ProposalRequest, key: str) -> Proposal:
    """A sound proposal with what it was built on, the idea that it refines, and the prompt that it answers.

    A formula is built on what its author named, or on what its own largest part is taken from; often on nothing.
    """
    context = context_of(request)
    shown = labelled(context)
    label = proposal.builds_on.strip().strip("`[]().").upper()
    if label not in shown:
        found = built_on(proposal.expression, {name: text for name, (_, text) in shown.items()}, request.vocabulary)
        label, named = found or "", ""
    else:
        named = label
    parents = (shown[label][0],) if label and shown[label][0] else ()
    thread = context.thread_id if label.startswith("I") else -1
    return dataclasses.replace(proposal, parents=parents, origin="llm", prompt_hash=key, thread=thread, builds_on=named)
