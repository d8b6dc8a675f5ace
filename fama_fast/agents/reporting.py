"""What a session has come to: its trials, its library, its verdict, and where a factor came from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fama_fast.agents.answers import figure, figures
from fama_fast.agents.describing import MASKED
from fama_fast.ledger.lineage import Lineage
from fama_fast.ledger.records import trials_of
from fama_fast.mining.library.gates import funnel
from fama_fast.mining.run.brief import market_name

if TYPE_CHECKING:
    from fama_fast.agents.session import AgentSession
    from fama_fast.agents.trial import Trial
    from fama_fast.ledger.kin import Kin
    from fama_fast.ledger.records import RunRecord
    from fama_fast.mining.verdict.results import MiningResult

_BEST = 10  # trials that a report lists


def report(session: AgentSession) -> dict[str, Any]:
    """The session so far: looks, what the gates said, admitted factors, the best trials, and the verdict if there is
    one."""
    with session.lock:
        run = session.ledger.get_run(session.run.id)
        rows = trials_of(session.ledger.candidates(run.id))
        by_number = {t.number: t for t in session.trials.values()}
        ranked = sorted(by_number.values(), key=lambda t: (-_score(t), t.number))
        return {
            "run": run.id,
            "ledger": session.ledger.place,
            "data": MASKED if session.config.data.mask else market_name(run.source),
            **session.looks.as_dict(),
            "valid_t_needed": figure(session.looks.needed()),
            "funnel": {gate: count for gate, count in funnel(rows).items() if count},
            "admitted": [_line(t) for t in ranked if t.admitted],
            "best_in_training": [_line(t) for t in ranked[:_BEST]],
            "library": [m.factor.canonical for m in session.state.library.members],
            "pool_on_validation": figures(dict(session.state.pool)),
            "verdict": None if run.verdict is None else recorded_verdict(run),
            "read_it": f"fama-fast runs show {run.id}; with a verdict: fama-fast report {run.id}",
        }


def _score(trial: Trial) -> float:
    value = trial.scores["train"].get("score", trial.scores["train"].get("rank_ic"))
    return -1.0 if value is None or math.isnan(value) else float(value)


def _line(trial: Trial) -> dict[str, Any]:
    train, valid = trial.scores["train"], trial.scores.get("valid", {})
    shown = {
        f"{split}_{name}": figure(scores.get(name))
        for split, scores in (("train", train), ("valid", valid))
        for name in ("rank_ic", "rank_ic_t", "spread")
    }
    return {"trial": trial.number, "factor": trial.canonical, **shown}


def recorded_verdict(run: RunRecord) -> dict[str, Any]:
    """The verdict of a finished run in words."""
    verdict = run.verdict or {}
    return {key: verdict.get(key) for key in ("status", "headline", "statements")}


def verdict_answer(session: AgentSession, result: MiningResult) -> dict[str, Any]:
    """The verdict, with the factors of the short list and their figures."""
    found = result.verdict
    judged = {f.fingerprint: f for f in found.factors}
    factors = []
    for factor in result.factors:
        own = judged.get(factor.fingerprint)
        scores = {s: factor.scores.get(s, {}) for s in ("train", "valid")} | (
            {"test": result.test[factor.fingerprint]} if factor.fingerprint in result.test else {}
        )
        factors.append(
            {
                "factor": factor.canonical,
                "hypothesis": factor.hypothesis,
                "holds": None if own is None else own.holds,
                **{
                    split: {name: figure(part.get(name)) for name in ("rank_ic", "rank_ic_t", "spread")}
                    for split, part in scores.items()
                },
            }
        )
    return {
        "run": session.run.id,
        "status": found.status.value,
        "headline": found.headline,
        "statements": list(found.statements),
        "test_opened": session.ledger.get_run(session.run.id).test_opened_at is not None,
        "factors": factors,
        "funnel": {gate: count for gate, count in result.funnel.items() if count},
        "what_next": "the session is closed; a further score begins another, in which all these trials count as looks",
        **({"warning": result.unsaved} if result.unsaved else {}),
    }


def lineage(session: AgentSession, factor: str) -> dict[str, Any]:
    """What a factor of the session was built on, back to the start.

    Args:
        factor: formula, fingerprint or the beginning of one, or "best".

    Raises:
        NotRecorded: the session has no such factor; names the nearest.
    """
    with session.lock:
        lines = Lineage(session.ledger, session.run.id)
        name = lines.find(factor)
        path, everyone = lines.path(name), lines.ancestors(name)
        return {"factor": name, "path": [_kin(k) for k in path], "all": [_kin(k) for k in everyone]}


def _kin(kin: Kin) -> dict[str, Any]:
    return {
        "generations_back": kin.distance,
        "factor": kin.expression,
        "fingerprint": kin.fingerprint,
        "train_score": figure(kin.score),
        "state": "admitted" if kin.admitted else "in the starting library" if kin.round is None else kin.gate,
        "parents": list(kin.parents),
    }
