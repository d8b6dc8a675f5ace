"""The ledger's records as plain values: a run, a candidate, an exchange, a chain step, a starting factor.

No database here: `ledger` writes and reads these, the loop makes them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fama_fast.library.factor import score_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class RunRecord:
    """One row of `runs`. `state`, `verdict` and `summary` are JSON documents, None until there is one.

    Attributes:
        status: as it was written last; `ownership.status_now` says whether a running one still does.
        data: what the run is made on, see `bookkeeping.data_record`; None of runs of older versions.
        owner, seen_at: the process that works on it, and when it was last heard of. reason: why it stopped.
    """

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
    data: dict[str, Any] | None = None
    owner: dict[str, Any] | None = None
    seen_at: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class CandidateRecord:
    """The row of one candidate: its text, figures and the gate that stopped it.

    `text` is what was proposed. Once it is measured, `canonical`, `fingerprint` and `scores` (by split) are in the
    direction that training gave it; where that turned it round, `extra` keeps the form that was proposed
    (`as_proposed`). `gate` is None when it was admitted. `timings` are seconds by step; `extra` is whatever else is
    worth keeping, plain data.
    """

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
    model: str | None = None
    gate: str | None = None
    reason: str = ""
    admitted: bool = False
    nodes: int | None = None
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    seconds: float = 0.0
    timings: dict[str, float] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def sign(self) -> int | None:
        """1 once it is oriented; None before it is measured. (Earlier versions kept texts as proposed, and -1 here.)"""
        return 1 if "train" in self.scores else None

    @property
    def score(self) -> float | None:
        """The objective in training, counted as a RankIC; None before it is measured."""
        score = score_of(self.scores)
        return float(score) if math.isfinite(score) else None


@dataclass(frozen=True)
class ExchangeRecord:
    """The row of a round's request: what it showed and cost; lists of fingerprints.

    `chain_id` is that of the chain shown. `selection` is what Cross-Sample Selection did: clusters, mean
    |correlation| inside the exemplar set and over the library.
    """

    prompt_hashes: tuple[str, ...] = ()
    exemplars: tuple[str, ...] = ()
    chain: tuple[str, ...] = ()
    usage: dict[str, Any] = field(default_factory=dict)
    chain_id: int | None = None
    selection: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ChainStep:
    """A change of the chains: how a factor came there (build, start, extend, split), the member that it follows, the
    chain that it was added to, its oriented training RankIC."""

    fingerprint: str
    action: str
    parent: str | None = None
    chain: int | None = None
    score: float | None = None


@dataclass(frozen=True)
class StartingFactor:
    """A member of the library that a run began with, as training on its data turned it; `score` is its training
    RankIC there."""

    fingerprint: str
    canonical: str
    score: float | None = None


FACTORS = "factors"  # in a run's state: what it ends with, once its search is over
LISTABLE = "listable"  # in `extra`: it may be in the run's short list
AGENT = "agent"  # the proposer of a run that is an agent's session
REPEATED = "repeated"  # in `extra`: the row completes an earlier one of the same formula, and is no trial of its own
AS_PROPOSED = "as_proposed"  # where a candidate's extra keeps the form that training turned round


def as_proposed(row: Mapping[str, Any]) -> tuple[str, str]:
    """(fingerprint, canonical text) of a candidate's row as it was proposed."""
    proposed = (row.get("extra") or {}).get(AS_PROPOSED)
    source = row if proposed is None else proposed
    return source["fingerprint"], source["canonical"]


def trials_of(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Each trial once: a formula that was scored and proposed later is where it was scored, with what became of it."""
    out: list[Mapping[str, Any]] = []
    place: dict[str, int] = {}
    for row in rows:
        name = row["fingerprint"]
        if (row["extra"] or {}).get(REPEATED) and name in place:
            at = place[name]
            out[at] = {**row, **{key: out[at][key] for key in _OF_ITS_FIRST}}
            continue
        if name:
            place[name] = len(out)
        out.append(row)
    return out


_OF_ITS_FIRST = ("id", "round", "position", "occurrence", "scores", "score")  # of the row in which it was measured


def now() -> str:
    """The UTC time, for records and for the order of runs alone; runs may start within one second."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def to_the_second(moment: str | None) -> str:
    """A recorded time as text, to the second."""
    return "" if moment is None else datetime.fromisoformat(moment).isoformat(timespec="seconds")


def storable(text: str) -> str:
    """`text` without what PostgreSQL (NUL) or UTF-8 (half of a surrogate pair) cannot hold; a model may write
    both."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _all_plain_text(values: list[Any]) -> bool:
    """Whether all are texts that need no change; a run's state lists thousands of them in every round."""
    try:
        joined = "".join(values)
    except TypeError:
        return False
    return joined.isascii() and "\0" not in joined


class Plain(dict[str, Any]):
    """A mapping that `plain` has converted already; it is not converted again."""


def plain(value: Any) -> Any:
    """`value` as strict JSON that every database stores: tuples become lists, non-finite numbers null, NumPy
    scalars Python's, texts `storable`."""
    kind = type(value)
    if kind is str:
        return storable(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is int or kind is bool or kind is Plain or value is None:
        return value
    if kind is list and _all_plain_text(value):
        return value.copy()
    if isinstance(value, dict):
        return {storable(str(k)): plain(v) for k, v in value.items()}
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def was_measured(scores: Mapping[str, Any]) -> bool:
    """Whether the candidate's figures on data were looked at, if only on a few dates."""
    return "screen" in scores or "train" in scores


def known_figures(scores: Mapping[str, float]) -> dict[str, float]:
    """Scores without undefined ones: what is stored reads back equal."""
    return {k: v for k, v in scores.items() if math.isfinite(v)}
