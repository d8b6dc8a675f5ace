"""What a run may still spend on model answers: tokens, money, time. The loop grants it, paying proposers keep to it.

Counting is by answers that are used, whether they were paid for now or found in the exchange log, so that a resumed run
stops where an uninterrupted one would. Only time reads a clock.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fama_fast.proposals.protocol import Allowance

if TYPE_CHECKING:
    from collections.abc import Callable

    from fama_fast.mining.config import MiningConfig


def allowance(
    config: MiningConfig,
    *,
    tokens: int,
    cost: float,
    began: float,
    stopped: Callable[[], bool] | None = None,
    say: Callable[[str], None] | None = None,
) -> Allowance:
    """The allowance left after `tokens` and `cost`, for a search that began at `began` on the monotonic clock (a
    resumed one: earlier by the duration of its earlier parts). `stopped` says whether somebody asked it to stop, `say`
    tells the user what is waited for."""
    run, most = config.run, config.llm.max_cost
    return Allowance(
        None if run.max_tokens is None else max(0, run.max_tokens - tokens),
        None if most is None else max(0.0, most - cost),
        None if run.max_seconds is None else began + run.max_seconds,
        stopped,
        say,
    )


def spent(config: MiningConfig, *, tokens: int, cost: float, began: float) -> str | None:
    """The reason to end the run when a budget of answers or time is used up, else None."""
    run, most = config.run, config.llm.max_cost
    if run.max_tokens is not None and tokens >= run.max_tokens:
        return f"{tokens} tokens, the budget is {run.max_tokens}"
    if most is not None and cost >= most:
        return f"answers for {cost:.4f}, the budget is {most:g}"
    if run.max_seconds is not None and time.monotonic() - began >= run.max_seconds:
        return f"the budget of {run.max_seconds:g} seconds is used up"
    return None
