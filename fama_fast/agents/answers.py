"""What a session answers, as plain data: short, in figures, with the looks beside every score."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fama_fast.agents.trial import HELD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fama_fast.agents.looks import Looks
    from fama_fast.agents.trial import Trial

_DIGITS = 4
_SHOWN = ("rank_ic", "rank_ic_t", "ic", "ic_t", "spread", "spread_t", "net", "net_t", "traded", "coverage", "n_days")


def figure(value: Any) -> Any:
    """A number with as many digits as say something; None where it is not known."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if not math.isfinite(value):
        return None
    return value if isinstance(value, int) else float(f"{value:.{_DIGITS}g}")


def figures(value: Any) -> Any:
    """The same for all numbers in plain data."""
    if isinstance(value, dict):
        return {key: figures(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [figures(v) for v in value]
    return figure(value)


def split_figures(scores: Mapping[str, Mapping[str, float]], objective: str) -> dict[str, dict[str, Any]]:
    """The figures of training and validation that an agent is shown."""
    names = (*_SHOWN, *(() if objective in _SHOWN else ("objective", "objective_t")))
    out = {}
    for split in ("train", "valid"):
        own = scores.get(split, {})
        out[split] = {name: figure(own[name]) for name in names if name in own}
        if "n_days" in out[split] and out[split]["n_days"] is not None:
            out[split]["n_days"] = int(out[split]["n_days"])
    return out


def trial_answer(trial: Trial, looks: Looks, *, counted: bool, objective: str) -> dict[str, Any]:
    """The answer to a score or a proposal.

    Args:
        counted: it was measured now, as a trial; else it was known. objective: what the session judges by.
    """
    turned = trial.direction < 0
    return {
        "factor": trial.canonical,
        "direction": "turned round: training says that the negative of what was given ranks" if turned else "as given",
        "fingerprint": trial.fingerprint,
        "nodes": trial.nodes,
        **split_figures(trial.scores, objective),
        "nearest": None
        if trial.nearest is None
        else {
            "factor": trial.nearest.canonical,
            "correlation": figure(trial.nearest.correlation),
            "in_library": trial.nearest.in_library,
        },
        "admission": _admission(trial),
        "trial": {
            "number": trial.number,
            "counted_now": counted,
            **looks.as_dict(),
            **figures(looks.judged(trial.scores)),
        },
    }


def _admission(trial: Trial) -> dict[str, Any]:
    if trial.admitted:
        return {"state": "admitted"}
    if trial.gate == HELD:
        return {"state": "would be admitted if it were proposed now"}
    if trial.asked == "score":
        return {"state": "would be stopped if it were proposed now", "gate": trial.gate, "reason": trial.reason}
    return {"state": "proposed and stopped", "gate": trial.gate, "reason": trial.reason}
