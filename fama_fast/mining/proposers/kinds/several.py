"""Several language models that share a round's prompts, each by what its proposals earned lately.

The share of a model follows the rate at which what it proposed paid (`SearchView.rates`, of the origin that its
proposals have), with a floor for each, as the moves of `evolve` do (probability matching: Thierens 2005). Which prompt
goes to which model is a function of the request: prompts are laid over the shares at multiples of the golden ratio, so
that the shares hold over any stretch of prompts, and a run that goes on asks the same model.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import math
from typing import TYPE_CHECKING

from fama_fast.errors import ProposerError
from fama_fast.mining.proposers.kinds.llm import LLMProposer, sizes_of
from fama_fast.proposals.protocol import ONE_MODEL, ProposalBatch, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fama_fast.proposals.protocol import Allowance, PromptContext, Proposal, ProposalRequest, Rejection

_FLOOR = 0.1  # of the prompts, for all models together, whatever they earn
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


def origin_of(name: str) -> str:
    """The origin of the proposals of a model."""
    return ONE_MODEL + name


class SeveralModels:
    """Asks several models; implements `Proposer`."""

    name = "llm"
    capabilities = LLMProposer.capabilities

    def __init__(self, members: Mapping[str, LLMProposer], per_prompt: int) -> None:
        """`members`: a proposer for each model, by name."""
        self._members = dict(members)
        self._per_prompt = per_prompt

    def check_server(self, stopped: Callable[[], bool] | None = None) -> None:
        """Ask every model's server. Raises ProposerError: one of them will not answer."""
        for member in self._members.values():
            member.check_server(stopped)

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        """The proposals of all models. Where one fails the others go on, and a note says so.

        Raises:
            ProposerError: of the first that failed, where none answered.
        """
        sizes = sizes_of(request.count, self._per_prompt)
        names = self._assigned(request, len(sizes))
        proposals: list[Proposal] = []
        dropped: list[Rejection] = []
        notes: list[str] = []
        failed: list[ProposerError] = []
        hypotheses: list[tuple[str, str]] = []
        usage, by_model = Usage(), []
        answered = stopped = False
        for name, member in self._members.items():
            own = [i for i, chosen in enumerate(names) if chosen == name]
            if not own or stopped:
                continue
            part = dataclasses.replace(
                request,
                count=sum(sizes[i] for i in own),
                contexts=_own_contexts(request, own),
                allowance=_left(request.allowance, usage),
            )
            try:
                batch = member.propose(part)
            except ProposerError as error:
                failed.append(error)
                notes.append(f"warning: {error}: this round goes on without the {part.count} proposals of {name}")
                continue
            answered = True
            origin = origin_of(name)
            # What is not the model's own, its best formulas with windows moved, each of them would add.
            there = {p.expression for p in proposals}
            own_ones = [p for p in batch.proposals if p.origin == "llm" or p.expression not in there]
            proposals += [dataclasses.replace(p, origin=origin) if p.origin == "llm" else p for p in own_ones]
            dropped += [dataclasses.replace(r, origin=origin) for r in batch.dropped]
            hypotheses += batch.hypotheses
            notes += batch.notes
            usage += batch.usage
            by_model.append((name, batch.usage))
            stopped = batch.stopped
        if failed and not answered:
            raise failed[0]
        return ProposalBatch(
            tuple(proposals), tuple(dropped), usage, tuple(notes), stopped, tuple(hypotheses), tuple(by_model)
        )

    def _assigned(self, request: ProposalRequest, prompts: int) -> list[str]:
        """The model of each prompt."""
        shares = shares_of(list(self._members), dict(request.search.rates))
        first = request.contexts[0].number if request.contexts else request.round * prompts
        names, ends = list(shares), list(itertools.accumulate(shares.values()))
        points = [((first + i) * _GOLDEN) % 1.0 for i in range(prompts)]
        return [names[min(bisect.bisect_right(ends, point), len(names) - 1)] for point in points]


def shares_of(names: Sequence[str], rates: Mapping[str, float]) -> dict[str, float]:
    """The share of each model, which add up to 1: a floor, and the rest by what each earns; one that was not tried yet
    counts as the mean of those that were."""
    known = [rates[origin_of(n)] for n in names if origin_of(n) in rates]
    usual = sum(known) / len(known) if known else 1.0
    earned = {n: max(0.0, rates.get(origin_of(n), usual)) for n in names}
    total = sum(earned.values())
    each = 1.0 / len(names)
    return {n: _FLOOR * each + (1.0 - _FLOOR) * (v / total if total > 0.0 else each) for n, v in earned.items()}


def _own_contexts(request: ProposalRequest, own: Sequence[int]) -> tuple[PromptContext, ...]:
    """The contexts of these prompts; where there are fewer contexts than prompts the last one is everybody's."""
    contexts = request.contexts
    return tuple(contexts[min(i, len(contexts) - 1)] for i in own) if contexts else ()


def _left(allowance: Allowance, usage: Usage) -> Allowance:
    """What is left of an allowance."""
    spent = usage.prompt_tokens + usage.completion_tokens
    return dataclasses.replace(
        allowance,
        tokens=None if allowance.tokens is None else max(0, allowance.tokens - spent),
        cost=None if allowance.cost is None else max(0.0, allowance.cost - usage.cost),
    )
