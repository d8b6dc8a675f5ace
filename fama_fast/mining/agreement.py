"""Whether a hypothesis and its expression say the same, where that can be told: the fields they speak of, and whether
what went up is to go on or to come back.

What an expression says of past returns is measured, not guessed from its text: on a small market of random walks, where
nothing predicts anything, its values are held against the returns of the days before. A hypothesis that uses none of
the words, or both, and an expression that follows past returns neither way, agree with everything.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

import numpy as np

from fama_fast.errors import FamaError
from fama_fast.ir import FIELD, GROUP, postorder

if TYPE_CHECKING:
    from fama_fast.engine import Alpha
    from fama_fast.ir import Node
    from fama_fast.panel import Panel
    from fama_fast.types import FloatArray

# What a hypothesis speaks of, and the fields of which one has to be read then; groups are read by their operators.
_SUBJECTS: tuple[tuple[str, str, frozenset[str]], ...] = (
    ("volume", r"\b(?:volume|trading activity|turnover|illiquid\w*|liquidity)\b", frozenset({"VOLUME", "ADV", "VWAP"})),
    ("the open", r"\b(?:overnight|opening|intraday|gaps?)\b", frozenset({"OPEN"})),
    ("groups", r"\b(?:sector|industry|peers?)\b", frozenset()),
)
_BACK = re.compile(
    r"\b(?:revers\w+|mean[- ]revert\w*|mean[- ]reversion|come back|comes back|overreact\w*|falls? back|rebound\w*)\b",
    re.IGNORECASE,
)
_ON = re.compile(
    r"\b(?:momentum|trends?|trending|goes on|go on|continu\w+|underreact\w*|persist\w*|winners keep)\b", re.IGNORECASE
)
_DAYS = (1, 5, 20)  # past returns over so many days
_CLEAR = 0.25  # |correlation| with one of them from which an expression follows past returns
_SYMBOLS, _DATES = 30, 320


def disagreement(hypothesis: str, alpha: Alpha) -> str | None:
    """What a hypothesis says and its expression does not, in words; None where none is seen.

    Args:
        hypothesis: as it was given. alpha: the expression in the direction that it is used in.
    """
    if not hypothesis:
        return None
    return _of_fields(hypothesis, alpha.node) or _of_direction(hypothesis, alpha)


def _of_fields(hypothesis: str, node: Node) -> str | None:
    read = {n.name.upper() for n in postorder(node) if n.op == FIELD}
    grouped = any(n.op == GROUP for n in postorder(node))
    for subject, words, fields in _SUBJECTS:
        if not re.search(words, hypothesis, re.IGNORECASE):
            continue
        reads = any(name.startswith(field) for name in read for field in fields) if fields else grouped
        # A field of the data itself may be what the hypothesis calls volume or a peer.
        if not reads and read <= _PRICES:
            return f"the hypothesis speaks of {subject}, which the expression does not read"
    return None


_PRICES = frozenset({"OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "VWAP", "RET", "RETURNS"})


def _of_direction(hypothesis: str, alpha: Alpha) -> str | None:
    back, on = bool(_BACK.search(hypothesis)), bool(_ON.search(hypothesis))
    if back == on:
        return None
    followed = follows_past_returns(alpha)
    if followed > 0 and back:
        return "the hypothesis expects moves to come back, and the expression is high where prices rose"
    if followed < 0 and on:
        return "the hypothesis expects moves to go on, and the expression is high where prices fell"
    return None


def follows_past_returns(alpha: Alpha) -> int:
    """1 where an expression is high for what rose, -1 where it is high for what fell, 0 where that cannot be told."""
    from fama_fast.engine import evaluate

    panel = _random_walks()
    try:
        (values,) = evaluate([alpha], panel)
    except FamaError:
        return 0  # it reads what the random walks do not have
    found = [_mean_rank_correlation(values, past) for past in _past_returns()]
    known = [r for r in found if np.isfinite(r)]
    strongest = max(known, key=abs, default=0.0)
    return 0 if abs(strongest) < _CLEAR else int(np.sign(strongest))


@functools.cache
def _random_walks() -> Panel:
    from fama_fast.data import SimulationSpec, simulate

    return simulate(SimulationSpec(_SYMBOLS, _DATES, seed=1, signals=()))


@functools.cache
def _past_returns() -> tuple[FloatArray, ...]:
    close = _random_walks()["CLOSE"]
    out = []
    for days in _DAYS:
        past = np.full(close.shape, np.nan)
        past[days:] = close[days:] / close[:-days] - 1.0
        out.append(past)
    return tuple(out)


def _mean_rank_correlation(values: FloatArray, past: FloatArray) -> float:
    from fama_fast.evaluation import mean, rank_ic

    return mean(rank_ic(values, past))
