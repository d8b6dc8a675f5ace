"""What a report says of a run's search: how it went on, who proposed what, and the chains that it left."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from fama_fast.ledger.earlier_versions import oriented_identity

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from fama_fast.ledger.records import RunRecord


def costs(exchanges: Sequence[Mapping[str, Any]], models: Collection[str]) -> dict[str, float]:
    """What the answers of each model cost, those from the log too; nothing of several that older versions recorded
    together."""
    out: dict[str, float] = {}
    for exchange in exchanges:
        by_model = (exchange["extra"] or {}).get("by_model")
        if by_model is None:
            if len(models) != 1:
                return {}
            by_model = dict.fromkeys(models, exchange["usage"] or {})
        for name, usage in by_model.items():
            out[name] = out.get(name, 0.0) + float(usage.get("cost", 0.0))
    return out


def proposers(
    rows: Sequence[Mapping[str, Any]], found: Collection[str], exchanges: Sequence[Mapping[str, Any]] = ()
) -> Iterator[dict[str, Any]]:
    """One row a proposer and language model, where a model was asked: how many candidates it proposed, and their share,
    were measured, and are factors of the run; what its answers cost, None where that is not known; and the gates that
    stopped the others, in words."""
    if not any(row["model"] for row in rows):
        return
    by_source: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        by_source.setdefault((row["proposer"], row["model"] or ""), []).append(row)
    cost = costs(exchanges, {model for _, model in by_source if model})
    for (proposer, model), own in sorted(by_source.items()):
        stopped = Counter(row["gate"] for row in own if row["gate"])
        yield {
            "proposer": proposer,
            "model": model,
            "candidates": len(own),
            "share": len(own) / len(rows),
            "measured": sum("train" in row["scores"] for row in own),
            "found": len({row["fingerprint"] for row in own if row["fingerprint"] in found}),
            "cost": cost.get(model),
            "stopped": ", ".join(f"{gate} {count}" for gate, count in stopped.most_common()),
        }


def progress(rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """One row a candidate: how many were tried, the best score and how many were admitted so far, and the seconds."""
    best, admitted, seconds = None, 0, 0.0
    for tried, row in enumerate(rows, start=1):
        seconds += row["seconds"] or 0.0
        if row["gate"] is None:
            admitted += 1
            value = row["score"]
            if value is not None and (best is None or value > best):
                best = value
        yield {"tried": tried, "best": best, "admitted": admitted, "seconds": round(seconds, 3)}


def chains(run: RunRecord, names: Mapping[str, str]) -> tuple[tuple[dict[str, Any], ...], ...]:
    """The members of each chain of a run, from the weakest to the strongest; names: of its factors, by fingerprint."""
    book = (run.state or {}).get("book")
    if not book:
        return ()
    known = {f["fingerprint"]: f for f in book["factors"]}
    out = []
    for chain in book["chains"]:
        members = []
        for fingerprint in chain["members"]:
            factor = known[fingerprint]
            sign = factor.get("sign", 1)  # of an older run
            raw = factor.get("scores", {}).get("train", {}).get("rank_ic")
            name, text = oriented_identity(fingerprint, factor["canonical"], sign)
            own = names.get(name)
            members.append(
                {
                    "name": f"{own}: {text}" if own else text,
                    "score": None if raw is None else sign * raw,
                    "new": "found here" if own else "known before",
                }
            )
        out.append(tuple(members))
    return tuple(out)
