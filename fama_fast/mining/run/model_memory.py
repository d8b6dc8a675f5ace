"""What a run remembers of its language model's proposals, as plain data for its stored state."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fama_fast.errors import StoreError
from fama_fast.proposals.protocol import Attempt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Thread:
    """An idea and what became of it: the first proposal, then the best of each turn that refined it."""

    id: int
    attempts: tuple[Attempt, ...]
    turns: int = 0  # prompts that asked to refine it


@dataclass
class ModelMemory:
    """What a run remembers of its model's proposals.

    Attributes:
        results: the last ones, latest last. threads: ideas that may be gone on with, latest last. next_thread: id of
            the next one. asked: fingerprints of factors for which another hypothesis was asked. under_way: ids of the
            threads that the round's prompts refine; it follows from the round. hypotheses: those that were given in
            place of contradicted ones, by fingerprint of the factor.
    """

    results: list[Attempt] = field(default_factory=list)
    threads: list[Thread] = field(default_factory=list)
    next_thread: int = 0
    asked: list[str] = field(default_factory=list)
    under_way: tuple[int, ...] = ()
    hypotheses: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the run's state; it is taken between rounds."""
        return {
            "results": [_plain(a) for a in self.results],
            "threads": [[t.id, t.turns, [_plain(a) for a in t.attempts]] for t in self.threads],
            "next_thread": self.next_thread,
            "asked": list(self.asked),
            "hypotheses": dict(self.hypotheses),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModelMemory:
        """What `to_dict` described; an empty one for states of earlier versions.

        Raises:
            StoreError: it is damaged.
        """
        try:
            return cls(
                [_attempt(a) for a in data.get("results", ())],
                [Thread(int(i), tuple(map(_attempt, own)), int(turns)) for i, turns, own in data.get("threads", ())],
                int(data.get("next_thread", 0)),
                [str(name) for name in data.get("asked", ())],
                hypotheses={str(name): str(text) for name, text in data.get("hypotheses", {}).items()},
            )
        except (TypeError, ValueError, AttributeError) as error:
            raise StoreError(f"the stored memory of the model's results is damaged: {error!r}") from error


_NAMES = tuple(f.name for f in dataclasses.fields(Attempt))


def _plain(attempt: Attempt) -> list[Any]:
    values = (getattr(attempt, name) for name in _NAMES)
    return [None if isinstance(v, float) and not math.isfinite(v) else v for v in values]


def _attempt(row: Sequence[Any]) -> Attempt:
    known: dict[str, Any] = dict(zip(_NAMES, row, strict=False))
    values: dict[str, Any] = {k: math.nan if v is None and k != "gate" else v for k, v in known.items()}
    return Attempt(**values)
