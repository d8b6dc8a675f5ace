"""Several proposers in fixed shares: a language model for ideas, evolution for working them out.

A round's candidates are divided by largest remainder, so shares hold over rounds of any size; each proposer answers its
own part, in the order of the shares' names. What one of them does not find, or a model that fails does not answer, is
missing, not made up by another.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from fama_fast.errors import ConfigError, ProposerError
from fama_fast.proposals.protocol import AsksServer, Capabilities, ProposalBatch, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fama_fast.proposals.protocol import Proposal, ProposalRequest, Proposer, Rejection


class MixedProposer:
    """Asks each of its proposers for its share."""

    name = "mixed"

    def __init__(self, members: Mapping[str, tuple[Proposer, float]]) -> None:
        """`members`: proposer and weight (above 0) by name."""
        if not members or any(not (math.isfinite(w) and w > 0.0) for _, w in members.values()):
            raise ConfigError("mix: give each proposer a share above 0")
        self._members = dict(sorted(members.items()))
        all_of = [p.capabilities for p, _ in self._members.values()]
        self.capabilities = Capabilities(
            deterministic=all(c.deterministic for c in all_of),
            uses_prompt=any(c.uses_prompt for c in all_of),
            costs_money=any(c.costs_money for c in all_of),
        )

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        """The members' proposals together, each marked with its proposer. Where one of them fails the others go on, and
        a note says so; it is asked again in the next round.

        Raises:
            ProposerError: of the first member that cannot go on, where none can.
        """
        counts = shares({n: w for n, (_, w) in self._members.items()}, request.count, request.round)
        proposals: list[Proposal] = []
        dropped: list[Rejection] = []
        notes: list[str] = []
        hypotheses: list[tuple[str, str]] = []
        by_model: list[tuple[str, Usage]] = []
        usage = Usage()
        failed: list[ProposerError] = []
        answered = stopped = False
        for name, (proposer, _) in self._members.items():
            if not counts[name]:
                continue
            try:
                batch = proposer.propose(dataclasses.replace(request, count=counts[name]))
            except ProposerError as error:
                failed.append(error)
                notes.append(f"warning: {error}: this round goes on without the {counts[name]} proposals of {name}")
                continue
            answered = True
            proposals += [dataclasses.replace(p, proposer=name) for p in batch.proposals]
            dropped += batch.dropped
            notes += batch.notes
            hypotheses += batch.hypotheses
            usage += batch.usage
            by_model += batch.by_model
            if batch.stopped:
                stopped = True
                break
        if failed and not answered:
            raise failed[0]
        return ProposalBatch(
            tuple(proposals), tuple(dropped), usage, tuple(notes), stopped, tuple(hypotheses), tuple(by_model)
        )

    def check_server(self, stopped: Callable[[], bool] | None = None) -> None:
        """Ask the server of each member that needs one.

        Raises:
            ProposerError: a key, model or address is wrong. A run does not begin without a model that it was given.
        """
        for proposer, _ in self._members.values():
            if isinstance(proposer, AsksServer):
                proposer.check_server(stopped)


def shares(weights: Mapping[str, float], count: int, turn: int = 0) -> dict[str, int]:
    """`count` divided by weight: whole parts, then what is left to the largest remainders.

    Equal remainders take turns, so that of two equal shares neither always gets the odd one.
    """
    total = sum(weights.values())
    exact = {n: count * w / total for n, w in weights.items()}
    out = {n: math.floor(e + 1e-9) for n, e in exact.items()}
    names = list(weights)
    order = sorted(names, key=lambda n: (-round(exact[n] - out[n], 9), (names.index(n) + turn) % len(names)))
    for name in order[: count - sum(out.values())]:
        out[name] += 1
    return out
