"""What the ledger keeps, as plain values: a run, a candidate and its fate, an exchange, a chain step.

No database here: `ledger` writes and reads these, the loop makes them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class RunRecord:
    """One row of `runs`. `state`, `verdict` and `summary` are JSON documents, None until there is one."""

    id: str
    source: str
    data_hash: str
    seed: int
    proposer: str
    config: dict[str, Any]
    version: str
    started_at: str = ""
    finished_at: str | None = None
    status: str = "running"
    rounds: int = 0
    state: dict[str, Any] | None = None
    test_opened_at: str | None = None
    verdict: dict[str, Any] | None = None
    summary: dict[str, Any] | None = None


@dataclass(frozen=True)
class CandidateRecord:
    """One proposed expression and its fate. `gate` is None when it was admitted."""

    position: int
    text: str
    proposer: str
    canonical: str | None = None
    fingerprint: str | None = None
    parents: tuple[str, ...] = ()
    origin: str = ""
    hypothesis: str = ""
    explanation: str = ""
    prompt_hash: str | None = None
    gate: str | None = None
    reason: str = ""
    admitted: bool = False
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class ExchangeRecord:
    """What a round's request showed and cost; lists of fingerprints."""

    prompt_hashes: tuple[str, ...] = ()
    exemplars: tuple[str, ...] = ()
    chain: tuple[str, ...] = ()
    usage: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ChainStep:
    """What the chains did with an admitted factor: extend, split or none."""

    fingerprint: str
    action: str
    parent: str | None = None


def now() -> str:
    """UTC time to the second, for records only: no decision ever depends on it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def plain(value: Any) -> Any:
    """`value` as strict JSON: tuples become lists, non-finite numbers null, NumPy scalars Python's."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
