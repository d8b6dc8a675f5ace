"""Converts the loop's values to what is stored: candidates to records, the head of a run to plain data.

Pure functions; nothing here decides or writes.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.ledger.records import AS_PROPOSED, LISTABLE, CandidateRecord, ExchangeRecord, StartingFactor
from fama_fast.mining.candidate import Candidate
from fama_fast.mining.config import MiningConfig
from fama_fast.mining.config_file import document
from fama_fast.mining.library.gates import DROPPED
from fama_fast.proposals.protocol import ONE_MODEL, Proposal
from fama_fast.proposals.setting_roles import Role, keys_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from fama_fast.mining.measure.market import Market
    from fama_fast.mining.run.contexts import Context
    from fama_fast.mining.run.state import LoopState
    from fama_fast.panel import Panel
    from fama_fast.panel.dataset import Dataset
    from fama_fast.proposals.protocol import ProposalBatch


def candidates_of(batch: ProposalBatch) -> list[Candidate]:
    """Proposals as candidates, then what could not be read, stopped at the first gate."""
    candidates = [Candidate(i, p) for i, p in enumerate(batch.proposals)]
    for dropped in batch.dropped:
        candidates.append(
            Candidate(
                len(candidates),
                Proposal(dropped.expression, origin=dropped.origin),
                gate=DROPPED,
                reason=dropped.reason,
            )
        )
    return candidates


def record_of(
    candidate: Candidate,
    proposer: str,
    *,
    turned: Mapping[str, tuple[str, str]] | None = None,
    model: str | None = None,
    timings: Mapping[str, float] | None = None,
) -> CandidateRecord:
    """The ledger's row of a candidate.

    `turned` is the state's: a later proposal of what was turned round is one of the factor that it became. `model` is
    the language model that is asked, `timings` its shares of the round's seconds.
    """
    proposal, alpha = candidate.proposal, candidate.alpha
    extra: dict[str, Any] = {} if candidate.listable is None else {LISTABLE: candidate.listable}
    named = None if alpha is None else (alpha.fingerprint, alpha.canonical)
    if alpha is not None and turned and alpha.fingerprint in turned:
        named = turned[alpha.fingerprint]
        extra[AS_PROPOSED] = {"fingerprint": alpha.fingerprint, "canonical": alpha.canonical}
    return CandidateRecord(
        position=candidate.position,
        text=proposal.expression,
        proposer=proposal.proposer or proposer,
        canonical=None if named is None else named[1],
        fingerprint=None if named is None else named[0],
        parents=proposal.parents,
        origin=proposal.origin,
        hypothesis=proposal.hypothesis,
        explanation=proposal.explanation,
        prompt_hash=proposal.prompt_hash,
        model=(model or proposal.origin.removeprefix(ONE_MODEL)) if proposal.prompt_hash is not None else None,
        gate=candidate.gate,
        reason=candidate.reason,
        admitted=candidate.admitted,
        nodes=candidate.nodes or None,
        scores=candidate.scores,
        seconds=candidate.seconds,
        timings=dict(timings or {}),
        extra=extra,
    )


def exchange_of(batch: ProposalBatch, shown: Sequence[Context]) -> ExchangeRecord:
    """Record of what the round's request showed and cost; of several prompts what the first one showed, and in `extra`
    what each did."""
    context = shown[0]
    hashes = dict.fromkeys(p.prompt_hash for p in batch.proposals if p.prompt_hash is not None)
    usage = batch.usage
    return ExchangeRecord(
        prompt_hashes=tuple(hashes),
        exemplars=tuple(f.fingerprint for f in context.exemplars),
        chain=tuple(f.fingerprint for f in context.shown),
        usage=dataclasses.asdict(usage),
        chain_id=None if context.chain is None else context.chain.id,
        selection=None if context.selection is None else context.selection.as_dict(),
        extra={
            **({"prompts": [_prompt_record(one) for one in shown]} if context.prompt.direction else {}),
            **({"by_model": {n: dataclasses.asdict(own) for n, own in batch.by_model}} if batch.by_model else {}),
        },
    )


def _prompt_record(context: Context) -> dict[str, Any]:
    prompt = context.prompt
    return {
        "number": prompt.number,
        "exemplars": [f.fingerprint for f in context.exemplars],
        "chain_id": None if context.chain is None else context.chain.id,
        "path": [
            {
                "fingerprint": step.factor.fingerprint,
                "gain": step.gain if math.isfinite(step.gain) else None,
                "t": step.t if math.isfinite(step.t) else None,
                "correlation": step.correlation if math.isfinite(step.correlation) else None,
            }
            for step in prompt.path
        ],
        "direction": prompt.direction,
        "thread": prompt.thread_id,
        "parents": [e.fingerprint for e in prompt.parents],
        "pairs": [[p.fingerprint, p.beside] for p in prompt.pairs],
    }


def start_of(state: LoopState) -> list[StartingFactor]:
    """Records of the library that a run begins with, for the ledger."""
    return [
        StartingFactor(f.fingerprint, f.canonical, f.score if math.isfinite(f.score) else None)
        for f in (m.factor for m in state.library.members)
    ]


def describe(panel: Panel | Dataset) -> dict[str, Any]:
    """The facts of the data, for the result document."""
    return {
        "source": panel.source,
        "hash": panel.data_hash,
        "dates": panel.shape[0],
        "symbols": panel.shape[1],
        "first": str(panel.dates[0])[:10],
        "last": str(panel.dates[-1])[:10],
        "fields": list(panel.fields),
        "groups": list(panel.groups),
        "universe": panel.has_universe,
        "warnings": list(panel.warnings),
    }


PLACES = ("given", "origin")  # how to load the data of a run again
LIBRARY = "library"  # beside them, what the run's library was read from


def data_record(panel: Panel | Dataset, quality: dict[str, Any], *, given: bool) -> dict[str, Any]:
    """The row of a run's data for the ledger: what they are, and how to load them again.

    `quality` is what the checks found; `given`: they were handed over by a caller, and are not what the configuration
    names.
    """
    return {**describe(panel), "quality": quality, "given": given, "origin": panel.origin if given else None}


def described(record: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a `data_record` about the data themselves, for the result document: equal for equal data."""
    return {key: value for key, value in record.items() if key not in (*PLACES, LIBRARY)}


def split_days(market: Market) -> dict[str, Any]:
    """First and last date and number of days of each split, and its rows of the data, from the first to before the
    last."""
    dates = market.whole.dates
    out = {}
    for name in ("train", "valid", "test"):
        rows: slice = getattr(market.rows, name)
        out[name] = {
            "first": str(dates[rows.start])[:10],
            "last": str(dates[rows.stop - 1])[:10],
            "days": rows.stop - rows.start,
            "rows": [rows.start, rows.stop],
        }
    return out


def read_before(market: Market, cutoff: str) -> str:
    """How many validation and test dates lie before the date to which a model was trained, in words: it may have read
    of what happened on them."""
    dates = market.whole.dates.astype("datetime64[D]")
    said = []
    for name, word in (("valid", "validation"), ("test", "test")):
        rows: slice = getattr(market.rows, name)
        before = int(np.count_nonzero(dates[rows] < np.datetime64(cutoff)))
        said.append(f"{before} of {rows.stop - rows.start} {word} dates")
    return f"the model was trained on texts to {cutoff}: {' and '.join(said)} lie before it, of which it may have read"


def deciding_settings(config: MiningConfig) -> dict[str, Any]:
    """The settings that decide, and where the data lie; where things are stored is in the record."""
    return _without(document(config), keys_of(MiningConfig, Role.PLACE), "")


def _without(section: Mapping[str, Any], keys: Collection[str], prefix: str) -> dict[str, Any]:
    """A document without these dotted keys, and without sections that hold nothing else."""
    out: dict[str, Any] = {}
    for name, value in section.items():
        if f"{prefix}{name}" in keys:
            continue
        remaining = _without(value, keys, f"{prefix}{name}.") if isinstance(value, dict) else value
        if remaining or not value:
            out[name] = remaining
    return out
