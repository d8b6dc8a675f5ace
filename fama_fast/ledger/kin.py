"""Relatives of a factor and chains of factors, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fama_fast.ledger.earlier_versions import oriented_text


@dataclass(frozen=True)
class Kin:
    """A relative of a factor or of a prompt.

    Attributes:
        distance: generations away; 0 is where the question started.
        expression, fingerprint: expression is the canonical text (the text as proposed when it has none).
        score: training RankIC; None when it was not measured.
        gate: what stopped it; None when it was admitted, or is a starting factor.
        parents: fingerprints.
        id, round, origin, proposer, prompt_hash, data_hash: of the candidate; id and round are None for a starting
            factor, which no round proposed.
    """

    distance: int
    expression: str
    fingerprint: str | None
    score: float | None = None
    gate: str | None = None
    admitted: bool = False
    parents: tuple[str, ...] = ()
    id: int | None = None
    round: int | None = None
    origin: str = "start"
    proposer: str = ""
    prompt_hash: str | None = None
    data_hash: str | None = None


@dataclass(frozen=True)
class ChainLink:
    """A member of a chain, with how it came there and under which prompt."""

    fingerprint: str
    expression: str
    action: str
    round: int
    score: float | None
    prompt_hash: str | None = None


@dataclass(frozen=True)
class ChainPath:
    """A chain from its first member to its last; `branched_from` is the chain whose prefix it shares, or None."""

    chain: int
    links: tuple[ChainLink, ...]
    branched_from: int | None = None


def kin_of(row: Any, distance: int, parents: dict[int, list[str]]) -> Kin:
    return Kin(
        distance=distance,
        expression=oriented_text(row.canonical or row.text or "", row.sign),
        fingerprint=row.fingerprint,
        score=row.score,
        gate=row.gate,
        admitted=bool(row.admitted),
        parents=tuple(parents.get(row.id, ())),
        id=row.id,
        round=row.round,
        origin=row.origin,
        proposer=row.proposer,
        prompt_hash=row.prompt_hash,
        data_hash=row.data_hash,
    )


def canonical_of(text: str) -> str:
    """The canonical form of an expression; the text itself where it is none."""
    from fama_fast.engine import compile_recorded
    from fama_fast.errors import FamaError

    try:
        return compile_recorded(text).canonical
    except FamaError:
        return text
