"""Estimates the speed of a search and its remaining time; shown only, nothing depends on it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fama_fast.mining.config import MiningConfig

_RECENT = 5  # rounds grow slower with the library, so only the latest ones tell how long the next takes


class Spent(Protocol):
    """The resources a search has used so far, as counted in its state."""

    round: int
    proposed: int
    tokens: int
    cost: float


class TimeLeft:
    """Durations of the rounds that this process ran, from which the remaining time is estimated."""

    def __init__(self, config: MiningConfig) -> None:
        self._config = config
        self._recent: deque[float] = deque(maxlen=_RECENT)

    def round_took(self, seconds: float) -> None:
        """Add the duration of a round."""
        self._recent.append(seconds)

    def seconds_left(self, state: Spent, elapsed: float) -> float | None:
        """Seconds until the first of the run's limits is reached: rounds, candidates, tokens, money, time.

        Rounds are expected to take what the latest took, and to spend what the run's rounds spent on average. The
        search may end sooner, by `run.patience` or, without a short list, `u`, which no rate predicts; controls and
        verdict follow it.

        Args:
            elapsed: seconds of search, earlier parts of a resumed run included, which `run.max_seconds` counts.

        Returns:
            None before a round is done.
        """
        if not self._recent or state.round == 0:
            return None
        run = self._config.run
        rounds = float(run.rounds - state.round)
        budgets = (
            (run.max_candidates, state.proposed),
            (run.max_tokens, state.tokens),
            (self._config.llm.max_cost, state.cost),
        )
        for most, spent in budgets:
            if most is not None and spent > 0:
                rounds = min(rounds, (most - spent) / (spent / state.round))
        left = max(0.0, rounds) * sum(self._recent) / len(self._recent)
        return left if run.max_seconds is None else min(left, max(0.0, run.max_seconds - elapsed))


def clock_text(seconds: float) -> str:
    """Seconds as 0:07, 12:05 or 3:00:00."""
    total = round(seconds)
    hours, minutes = total // 3600, total % 3600 // 60
    return f"{hours}:{minutes:02d}:{total % 60:02d}" if hours else f"{minutes}:{total % 60:02d}"
