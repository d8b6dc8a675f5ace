"""A formula that a session has measured, as it is kept in memory and read back from the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from fama_fast.ledger.records import as_proposed

if TYPE_CHECKING:
    from collections.abc import Mapping

HELD = "held"  # the gate of what passed every other one and was scored, but not proposed
ASKED = "asked"  # in a candidate's extra: what the agent asked for, "score" or "propose"
NEAREST = "nearest"  # in a candidate's extra: what `Nearest` has, as a list
SCORE, PROPOSE = "score", "propose"


class Nearest(NamedTuple):
    """The formula most like another on the sampled training dates, its rank correlation, and whether the library has
    it."""

    canonical: str
    correlation: float
    in_library: bool


@dataclass(frozen=True)
class Trial:
    """One measured formula.

    Attributes:
        number: of the trial in the session, from 1. fingerprint, canonical: of the factor, in the direction of
            training. proposed: (fingerprint, canonical text) as it was given. scores: by split.
        gate, reason: what stops it from admission, or would if it were proposed; None where nothing does.
        asked: `score` or `propose`, whichever came last. nearest: of what was known when it was measured; None
            where there was nothing.
    """

    number: int
    fingerprint: str
    canonical: str
    proposed: tuple[str, str]
    scores: dict[str, dict[str, float]]
    nodes: int
    gate: str | None
    reason: str
    admitted: bool
    asked: str
    nearest: Nearest | None = None

    @property
    def direction(self) -> int:
        """-1 where training turned the formula round, else 1."""
        return 1 if self.proposed[0] == self.fingerprint else -1

    @classmethod
    def of_row(cls, row: Mapping[str, Any], number: int) -> Trial:
        """The trial of a candidate's row in the ledger that was measured."""
        extra = row["extra"] or {}
        near = extra.get(NEAREST)
        return cls(
            number=number,
            fingerprint=row["fingerprint"],
            canonical=row["canonical"],
            proposed=as_proposed(row),
            scores=row["scores"],
            nodes=row["nodes"] or 0,
            gate=row["gate"],
            reason=row["reason"] or "",
            admitted=bool(row["admitted"]),
            asked=extra.get(ASKED, PROPOSE),
            nearest=None if near is None else Nearest(str(near[0]), float(near[1]), bool(near[2])),
        )
