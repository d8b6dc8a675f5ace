"""A log of rejected candidates, and counts of the subexpressions that they share.

A part is a subtree of the canonical form. One that keeps turning up in failures and hardly ever in what was
admitted is a pattern to avoid. Bounded in size, immutable; it does not decide what a failure is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fama_fast.errors import StoreError
from fama_fast.ir import LEAVES, postorder
from fama_fast.proposals.protocol import Rejection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from fama_fast.ir import Node


@dataclass(frozen=True)
class Failure:
    """A candidate that a gate stopped.

    `node` is its canonical form when the failure says something about the formula (a weak score, an unstable
    one); leave it None when it does not (a parse error, a duplicate), so that good parts are not blamed.
    """

    expression: str
    reason: str
    node: Node | None = None


@dataclass(frozen=True)
class Pattern:
    """A subexpression, with how many candidates that held it failed and how many were admitted."""

    text: str
    failed: int
    admitted: int

    @property
    def failure_rate(self) -> float:
        """Share of failures among the candidates that held it, one admission added: few cases prove
        little."""
        return self.failed / (self.failed + self.admitted + 1)


@dataclass(frozen=True)
class FailureLog:
    """Recent rejections and the counts of their subexpressions.

    Attributes:
        recent: latest last, an expression once. counts: part -> (failed, admitted).
        max_recent, max_patterns: bounds; the rarest parts among failures are forgotten first.
        judged: how many candidates failed for what they are, and how many were admitted, in all.
    """

    recent: tuple[Rejection, ...] = ()
    counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    max_recent: int = 50
    max_patterns: int = 2000
    judged: tuple[int, int] = (0, 0)

    def record(self, failures: Iterable[Failure] = (), admitted: Iterable[Node] = ()) -> FailureLog:
        """The log with these candidates added; `admitted` are canonical forms of the ones that succeeded."""
        recent = {r.expression: r for r in self.recent}
        counts = dict(self.counts)
        lost, won = self.judged
        for failure in failures:
            lost += failure.node is not None
            recent.pop(failure.expression, None)
            recent[failure.expression] = Rejection(failure.expression, failure.reason)
            for part in _parts(failure.node):
                failed, succeeded = counts.get(part, (0, 0))
                counts[part] = (failed + 1, succeeded)
        for node in admitted:
            won += 1
            for part in _parts(node):
                failed, succeeded = counts.get(part, (0, 0))
                counts[part] = (failed, succeeded + 1)
        latest = tuple(recent.values())[-self.max_recent :] if self.max_recent > 0 else ()
        return FailureLog(latest, self._bounded(counts), self.max_recent, self.max_patterns, (lost, won))

    def _bounded(self, counts: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        if len(counts) <= self.max_patterns:
            return counts
        # Of equally rare parts the older ones go; the order of those that stay is kept.
        places = {part: place for place, part in enumerate(counts)}
        frequent = sorted(counts, key=lambda p: (sum(counts[p]), places[p]), reverse=True)[: self.max_patterns]
        return {part: counts[part] for part in sorted(frequent, key=places.__getitem__)}

    def patterns(self, limit: int = 5, *, min_failed: int = 3, min_rate: float = 0.7) -> tuple[Pattern, ...]:
        """Subexpressions to avoid, worst first: seen in at least `min_failed` failures, at a failure rate of
        `min_rate`, and admitted less than half as often as candidates are in general.

        Most candidates fail, so failing often says little of a part; failing more than others does. Of two parts
        with equal counts where one lies within the other only the larger is given.
        """
        failing = [Pattern(text, failed, ok) for text, (failed, ok) in self.counts.items() if failed >= min_failed]
        lost, won = self.judged
        usual = won / (lost + won) if lost + won else 0.0
        failing = [p for p in failing if p.failure_rate >= min_rate]
        failing = [p for p in failing if p.admitted == 0 or p.admitted / (p.failed + p.admitted) < usual / 2]
        failing.sort(key=lambda p: (-p.failed, p.admitted, -len(p.text), p.text))
        chosen: list[Pattern] = []
        for pattern in failing:
            if len(chosen) >= limit:
                break
            counts = (pattern.failed, pattern.admitted)
            if not any(pattern.text in c.text and counts == (c.failed, c.admitted) for c in chosen):
                chosen.append(pattern)
        return tuple(chosen)

    def avoid(self, recent: int = 10, patterns: int = 5) -> tuple[Rejection, ...]:
        """The patterns and expressions that a proposer is asked to avoid: patterns first, then the latest
        rejections."""
        worn = tuple(
            Rejection(p.text, f"part of {p.failed} failed candidates and {p.admitted} admitted")
            for p in self.patterns(patterns)
        )
        return worn + (self.recent[-recent:] if recent > 0 else ())

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for the store."""
        return {
            "recent": [[r.expression, r.reason] for r in self.recent],
            # One text: every round writes thousands of parts, which took longer one by one than the round's candidates.
            "counts": "\n".join(f"{failed} {ok} {part}" for part, (failed, ok) in self.counts.items()),
            "max_recent": self.max_recent,
            "max_patterns": self.max_patterns,
            "judged": list(self.judged),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FailureLog:
        """The log that `to_dict` described; StoreError when it is not one."""
        try:
            return cls(
                tuple(Rejection(str(e), str(r)) for e, r in data["recent"]),
                {str(part): (int(failed), int(ok)) for failed, ok, part in _listed(data["counts"])},
                int(data["max_recent"]),
                int(data["max_patterns"]),
                (int(data.get("judged", (0, 0))[0]), int(data.get("judged", (0, 0))[1])),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StoreError(f"the stored memory of failures is damaged: {error!r}") from error


def _listed(counts: str | Mapping[str, Sequence[int]]) -> Iterator[Sequence[Any]]:
    """(failed, admitted, part) of each stored pattern; earlier versions stored an object."""
    if isinstance(counts, str):
        return (line.split(" ", 2) for line in counts.split("\n") if line)
    return ((*pair, part) for part, pair in counts.items())


def _parts(node: Node | None) -> set[str]:
    """Canonical texts of the operations in an expression, each once, the whole expression included, leaves excluded."""
    if node is None:
        return set()
    from fama_fast.lang import to_text

    return {to_text(part) for part in postorder(node) if part.op not in LEAVES}
