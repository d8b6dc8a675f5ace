"""The book of all chains of a run: built from clusters, matched to exemplars, extended and split by admitted factors.

A book is immutable; whatever changes it returns another. Correlations are the caller's (see `mining.css`): a
function of two factors, such as a `CorrelationTable`, or a mapping from fingerprint to the correlation with
the factor in question. Their sign does not matter here, for a factor and its mirror are one idea.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fama_fast.errors import DataError, FamaError, StoreError
from fama_fast.library import FactorSet
from fama_fast.library.codec import check_keys
from fama_fast.mining.coe.chain import Chain, strength
from fama_fast.mining.coe.relatives import absolute_correlation, most_correlated

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from numpy.typing import ArrayLike

    from fama_fast.library.codec import OnMismatch
    from fama_fast.library.factor import Factor
    from fama_fast.mining.coe.relatives import Correlations

VISIT_PENALTY = 0.5
SCHEMA = 1
_KEYS = ("schema", "visit_penalty", "next_id", "chains", "factors")
_CHAIN_KEYS = ("id", "members", "visits", "cluster", "parent")


class Outcome(enum.Enum):
    """Kinds of change that an admitted factor makes to the chains."""

    EXTEND = "extend"  # it improves on its nearest relative, the last of a chain, and follows it
    SPLIT = "split"  # it improves on an earlier member: a new chain branches off there, the old one stays
    START = "start"  # nothing is like it: it begins a chain
    INSERT = "insert"  # it is like a member and does not improve on it: it takes its place by score
    UNCHANGED = "unchanged"  # it is in a chain already


@dataclass(frozen=True)
class ChainEvent:
    """The change that an admitted factor made to the chains, and the book after it.

    Attributes:
        outcome: what happened. book: the chains afterwards. chain: the one that holds the factor now. pivot: the
            member that it improves on, its nearest relative where it improves on none, or None.
    """

    outcome: Outcome
    book: ChainBook
    chain: Chain
    pivot: Factor | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the ledger."""
        return {
            "outcome": self.outcome.value,
            "chain": self.chain.id,
            "parent": self.chain.parent,
            "pivot": self.pivot.fingerprint if self.pivot else None,
        }


@dataclass(frozen=True)
class Match:
    """An exemplar with the chain that is shown beside it."""

    exemplar: Factor
    chain: Chain


@dataclass(frozen=True)
class ChainBook:
    """The chains of a run, by ascending id.

    Attributes:
        chains: all of them. visit_penalty: what log(1 + visits) costs when chains compete, in units of the
            spread between the best and the worst of the competing chains' scores.
        next_id: of the next chain; ids are never used twice.
    """

    chains: tuple[Chain, ...] = ()
    visit_penalty: float = VISIT_PENALTY
    next_id: int = 0

    def __post_init__(self) -> None:
        if not self.visit_penalty >= 0:
            raise DataError(f"the visit penalty must be 0 or more, not {self.visit_penalty}")
        ids = [c.id for c in self.chains]
        if ids != sorted(set(ids)) or (ids and ids[-1] >= self.next_id):
            raise DataError("chain ids must ascend and lie below next_id")

    @classmethod
    def build(
        cls,
        factors: Sequence[Factor],
        clusters: ArrayLike,
        *,
        visit_penalty: float = VISIT_PENALTY,
        first_id: int = 0,
    ) -> ChainBook:
        """One chain a cluster, its members by ascending score.

        Args:
            factors: the library. clusters: (n,) labels, as `mining.css.cluster` gives them. first_id: of the first
                chain; a book that is built anew goes on counting.
        """
        import numpy as np

        labels = np.asarray(clusters, dtype=np.int64).ravel()
        if len(labels) != len(factors):
            raise DataError(f"there are {len(labels)} cluster labels for {len(factors)} factors")
        grouped: dict[int, list[Factor]] = {}
        for label, factor in zip(labels.tolist(), factors, strict=True):
            grouped.setdefault(label, []).append(factor)
        chains = tuple(Chain.of(i, grouped[label], cluster=label) for i, label in enumerate(sorted(grouped), first_id))
        return cls(chains, visit_penalty, first_id + len(chains))

    def to_dict(self) -> dict[str, Any]:
        """Plain data: each factor once, chains naming their members by fingerprint."""

        return book_to_dict(self)

    @classmethod
    def from_dict(
        cls,
        data: Any,
        *,
        source: str = "chains",
        on_mismatch: OnMismatch = "error",
        fields: Collection[str] | None = None,
        groups: Collection[str] | None = None,
    ) -> ChainBook:
        """The book that `to_dict` described; StoreError when the data is not one. Options as for a
        FactorSet."""

        return book_from_dict(data, source=source, on_mismatch=on_mismatch, fields=fields, groups=groups)

    def __len__(self) -> int:
        return len(self.chains)

    def __iter__(self) -> Iterator[Chain]:
        return iter(self.chains)

    def get(self, id: int) -> Chain:  # noqa: A002
        """The chain with this id; DataError when there is none."""
        for chain in self.chains:
            if chain.id == id:
                return chain
        raise DataError(f"there is no chain {id}")

    def holding(self, factor: Factor) -> tuple[Chain, ...]:
        """The chains that hold the factor: several once a split has copied a prefix."""
        return tuple(c for c in self.chains if factor in c)

    def members(self) -> tuple[Factor, ...]:
        """Every factor in some chain, once, in order of chains."""
        return tuple({f.fingerprint: f for c in self.chains for f in c.members}.values())

    def match(self, exemplar: Factor, correlations: Correlations) -> Chain | None:
        """The chain that holds the exemplar, else the one that holds its most correlated factor.

        Of several such chains the best after the visit penalty; None when there are no chains.

        Raises:
            DataError: a correlation that is needed is not known.
        """
        holders = self.holding(exemplar)
        if not holders:
            members = self.members()
            if not members:
                return None
            holders = self.holding(most_correlated(exemplar, members, correlations))
        return self._favourite(holders)

    def choose(
        self,
        exemplars: Iterable[Factor],
        correlations: Correlations | None = None,
        *,
        leave_out: Collection[int] = (),
    ) -> Match | None:
        """The exemplar whose chain has the highest claim, scores less a penalty for visits, among every exemplar's
        chain.

        A chain's claim is its best score, laid on [0, 1] between the worst and the best of those that
        compete, minus `visit_penalty * log(1 + visits)`. So the strongest chain is shown first, gives way
        after some visits without growth, and no chain is forgotten; ties go to fewer visits, then to the
        older chain. None without chains. `leave_out`: ids of chains that other prompts show.
        """
        known = correlations if correlations is not None else {}
        matched = [(e, self.match(e, known)) for e in exemplars]
        pairs = [Match(e, c) for e, c in matched if c is not None and c.id not in leave_out]
        if not pairs:
            return None
        favourite = self._favourite([p.chain for p in pairs])
        return next(p for p in pairs if p.chain is favourite)

    def pick(self, *, leave_out: Collection[int] = ()) -> Chain | None:
        """The chain with the highest claim among all, by the rule of `choose`; for runs without exemplars."""
        free = [c for c in self.chains if c.id not in leave_out]
        return self._favourite(free) if free else None

    def visit(self, chain: Chain) -> ChainBook:
        """The book with one more visit counted for the chain."""
        return self._with(self.get(chain.id).visited())

    def admit(
        self,
        new: Factor,
        correlations: Correlations,
        improves_on: Callable[[Factor], bool],
        *,
        floor: float = 0.3,
        named: str | None = None,
        split_threshold: float = 0.0,
        may_grow: bool = True,
    ) -> ChainEvent:
        """The chains after `new` was admitted to the library.

        It goes to the chain of its nearest relative, the member of largest |correlation|, or of the member that its
        author named, where that is a relative too; where no |correlation| reaches `floor`, it starts a chain. Its
        parent p there is the nearest relative that it improves on beyond noise, but the named one first. With p last
        it extends the chain; with p earlier the prefix through p is copied, `new` is appended to the copy, and the old
        chain stays. Where it improves on none it takes its place by score.

        Args:
            improves_on: whether `new` is better than a member beyond noise. named: fingerprint of the member that it
                builds on. split_threshold: where p leads the last of its chain by no more than this, and `new` improves
                on that too, the chain is extended rather than split. may_grow: chains may be extended and split.

        Raises:
            DataError: a correlation that is needed is not known.
        """
        holders = self.holding(new)
        if holders:
            return ChainEvent(Outcome.UNCHANGED, self, holders[0])
        near = self._relative(new, correlations, floor, named)
        if near is None:
            begun = Chain(self.next_id, (new,))
            return ChainEvent(Outcome.START, self._with(begun), begun)
        holders = self.holding(near)
        current = next((c for c in holders if c.best.fingerprint == near.fingerprint), self._favourite(holders))
        alike = {m.fingerprint: absolute_correlation(new, m, correlations) for m in current.members}

        def better(member: Factor) -> bool:
            return alike[member.fingerprint] >= floor and strength(new) > strength(member) and improves_on(member)

        places = sorted(
            range(len(current.members)),
            key=lambda i: (
                current.members[i].fingerprint != near.fingerprint,
                -alike[current.members[i].fingerprint],
                -i,
            ),
        )
        place = next((i for i in places if better(current.members[i])), None) if may_grow else None
        if place is None:
            grown = current.inserted(new)
            return ChainEvent(Outcome.INSERT, self._with(grown), grown, near)
        parent, last = current.members[place], current.best
        lead = alike[parent.fingerprint] - alike[last.fingerprint]
        if parent is not last and split_threshold > 0.0 and lead <= split_threshold and better(last):
            parent, place = last, len(current.members) - 1
        if place == len(current.members) - 1:
            grown = current.extended(new)
            return ChainEvent(Outcome.EXTEND, self._with(grown), grown, parent)
        branch = current.split_after(place, new, self.next_id)
        return ChainEvent(Outcome.SPLIT, self._with(branch), branch, parent)

    def with_factor(self, factor: Factor) -> ChainBook:
        """The book with this factor in place of the one with its fingerprint, whose scores it has."""

        def one(chain: Chain) -> Chain:
            members = tuple(factor if m.fingerprint == factor.fingerprint else m for m in chain.members)
            return replace(chain, members=members)

        return replace(self, chains=tuple(one(c) for c in self.chains))

    def _relative(self, new: Factor, correlations: Correlations, floor: float, named: str | None) -> Factor | None:
        """The member that a new factor is compared with; None where nothing is like it."""
        members = self.members()
        own = next((m for m in members if m.fingerprint == named), None)
        if own is not None and absolute_correlation(new, own, correlations) >= floor:
            return own
        if not members:
            return None
        near = most_correlated(new, members, correlations)
        return near if absolute_correlation(new, near, correlations) >= floor else None

    def _with(self, chain: Chain) -> ChainBook:
        chains = {c.id: c for c in self.chains} | {chain.id: chain}
        return replace(self, chains=tuple(chains.values()), next_id=max(self.next_id, chain.id + 1))

    def _favourite(self, chains: Sequence[Chain]) -> Chain:
        finite = [s for s in (strength(c.best) for c in chains) if math.isfinite(s)]
        low, high = min(finite, default=0.0), max(finite, default=0.0)
        spread = high - low

        def claim(chain: Chain) -> float:
            score = max(strength(chain.best), low)
            level = (score - low) / spread if spread > 0 else 0.0
            return level - self.visit_penalty * math.log1p(chain.visits)

        return min(chains, key=lambda c: (-claim(c), c.visits, c.id))


def book_to_dict(book: ChainBook) -> dict[str, Any]:
    """Plain data of a book."""
    return {
        "schema": SCHEMA,
        "visit_penalty": book.visit_penalty,
        "next_id": book.next_id,
        "chains": [
            {
                "id": c.id,
                "members": [f.fingerprint for f in c.members],
                "visits": c.visits,
                "cluster": c.cluster,
                "parent": c.parent,
            }
            for c in book
        ],
        "factors": FactorSet(book.members()).to_dict()["factors"],
    }


def book_from_dict(
    data: Any,
    *,
    source: str = "chains",
    on_mismatch: OnMismatch = "error",
    fields: Collection[str] | None = None,
    groups: Collection[str] | None = None,
) -> ChainBook:
    """The book that `book_to_dict` described.

    Raises:
        StoreError: wrong keys or values, a member that is not among the factors, chains that break their
        order.
    """
    if not isinstance(data, Mapping):
        raise StoreError(f"{source}: expected a mapping with the keys {', '.join(_KEYS)}")
    check_keys(data, _KEYS, source)
    if data.get("schema") != SCHEMA:
        raise StoreError(f"{source}: schema {data.get('schema')!r} is not known here (this version reads {SCHEMA})")
    factors = FactorSet.from_dict(
        {"factors": data.get("factors")}, source=source, on_mismatch=on_mismatch, fields=fields, groups=groups
    )
    entries = data.get("chains")
    if not isinstance(entries, list):
        raise StoreError(f"{source}: the key 'chains' must be a list")
    chains = tuple(_chain(entry, factors, f"{source}, chain {n}") for n, entry in enumerate(entries, start=1))
    penalty, next_id = data.get("visit_penalty"), data.get("next_id")
    if isinstance(penalty, bool) or not isinstance(penalty, (int, float)):
        raise StoreError(f"{source}: visit_penalty must be a number, found {penalty!r}")
    if isinstance(next_id, bool) or not isinstance(next_id, int):
        raise StoreError(f"{source}: next_id must be a whole number, found {next_id!r}")
    try:
        return ChainBook(chains, float(penalty), next_id)
    except FamaError as error:
        raise StoreError(f"{source}: {error}") from error


def _chain(entry: Any, factors: FactorSet, where: str) -> Chain:
    if not isinstance(entry, Mapping):
        raise StoreError(f"{where}: expected a mapping with the keys {', '.join(_CHAIN_KEYS)}")
    check_keys(entry, _CHAIN_KEYS, where)
    numbers = {key: entry.get(key) for key in ("id", "visits", "cluster", "parent")}
    for key, value in numbers.items():
        optional = key in ("cluster", "parent") and value is None
        if not optional and (isinstance(value, bool) or not isinstance(value, int)):
            raise StoreError(f"{where}: {key} must be a whole number, found {value!r}")
    listed = entry.get("members")
    if not isinstance(listed, list):
        raise StoreError(f"{where}: members must be a list of fingerprints")
    members = []
    for fingerprint in listed:
        factor = factors.get(fingerprint) if isinstance(fingerprint, str) else None
        if factor is None:
            raise StoreError(f"{where}: the member {fingerprint!r} is not among the factors")
        members.append(factor)
    try:
        return Chain(
            id=numbers["id"],  # type: ignore[arg-type]
            members=tuple(members),
            visits=numbers["visits"],  # type: ignore[arg-type]
            cluster=numbers["cluster"],
            parent=numbers["parent"],
        )
    except FamaError as error:
        raise StoreError(f"{where}: {error}") from error
