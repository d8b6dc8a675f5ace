"""A chain of experience: factors of one idea by ascending score."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from fama_fast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fama_fast.library.factor import Factor


def strength(factor: Factor) -> float:
    """Oriented training RankIC; a factor without a score is weaker than any that has one."""
    return -math.inf if math.isnan(factor.score) else factor.score


@dataclass(frozen=True)
class Chain:
    """Factors of one idea by score. Which of them improve on which beyond noise: see `coe.path`.

    Attributes:
        id: unique in its book. members: by ascending score, weakest first, at least one.
        visits: how often it was shown since it last grew. cluster: that it was built from, or None.
        parent: the chain it was split from, or None.
    """

    id: int
    members: tuple[Factor, ...]
    visits: int = 0
    cluster: int | None = None
    parent: int | None = None

    def __post_init__(self) -> None:
        if not self.members:
            raise DataError(f"chain {self.id} has no members")
        if len(self.fingerprints) != len(self.members):
            raise DataError(f"chain {self.id} holds a factor twice")
        scores = [strength(f) for f in self.members]
        if any(later < earlier for earlier, later in pairwise(scores)):
            raise DataError(f"the members of chain {self.id} do not ascend in score")

    @classmethod
    def of(cls, id: int, factors: Iterable[Factor], *, cluster: int | None = None) -> Chain:  # noqa: A002
        """The chain of these factors in ascending order; equal scores are ordered by fingerprint."""
        ordered = sorted(factors, key=lambda f: (strength(f), f.fingerprint))
        return cls(id, tuple(ordered), cluster=cluster)

    @property
    def best(self) -> Factor:
        """The last and strongest member."""
        return self.members[-1]

    def __contains__(self, factor: object) -> bool:
        return getattr(factor, "fingerprint", factor) in self.fingerprints

    @functools.cached_property
    def fingerprints(self) -> frozenset[str]:
        """Fingerprints of the members: a book asks every chain for every factor."""
        return frozenset(f.fingerprint for f in self.members)

    def __len__(self) -> int:
        return len(self.members)

    def visited(self) -> Chain:
        """This chain with one more visit."""
        return replace(self, visits=self.visits + 1)

    def extended(self, factor: Factor) -> Chain:
        """This chain with a stronger factor at its end. It has grown, so its visits start anew."""
        return replace(self, members=(*self.members, factor), visits=0)

    def inserted(self, factor: Factor) -> Chain:
        """This chain with a factor in its place by score, behind those of equal score."""
        place = sum(strength(m) <= strength(factor) for m in self.members)
        return replace(self, members=(*self.members[:place], factor, *self.members[place:]))

    def split_after(self, place: int, factor: Factor, id: int) -> Chain:  # noqa: A002
        """A new chain: the prefix through the member at `place`, then `factor`."""
        return Chain(id, (*self.members[: place + 1], factor), cluster=self.cluster, parent=self.id)
