"""What racing would have dropped, told by a run that drops nothing: every candidate is raced and then scored exactly.

A race and an exact run part ways at the first candidate that one of them loses, so their factors cannot be compared
one by one. Here the search is the exact one, and of each factor that it admits it is known how its race ended.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fama_fast.mining.measure.market import Market
from fama_fast.mining.measure.race import Race

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Watch:
    """What was seen.

    Attributes:
        lost: fingerprints of raced candidates that lost. raced: how many were raced.
        racing, measuring: seconds of races, and of exact daily RankICs: what a search pays for scores.
    """

    def __init__(self) -> None:
        self.lost: set[str] = set()
        self.raced = 0
        self.racing = self.measuring = 0.0


@contextmanager
def watched_race(*, decides: bool) -> Iterator[Watch]:
    """Inside the block races are told; where they do not decide, everything is scored exactly. Racing must be switched
    on."""
    watch, race_run = Watch(), Race.run
    measures = {name: getattr(Market, name) for name in ("measure", "measure_levels")}

    def run(race: Race, alphas: Any, bars: Any, controls: Any) -> list[Any]:
        began = time.perf_counter()
        standings = race_run(race, alphas, bars, controls)
        watch.racing += time.perf_counter() - began
        for alpha, standing in zip(alphas, standings, strict=True):
            if standing is not None:
                watch.raced += 1
                watch.lost |= {alpha.fingerprint} if standing.lost else set()
        return standings if decides else [None] * len(alphas)

    def timed(measure: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **rest: Any) -> Any:
            began = time.perf_counter()
            try:
                return measure(*args, **rest)
            finally:
                watch.measuring += time.perf_counter() - began

        return run

    Race.run = run  # type: ignore[method-assign,assignment]
    for name, measure in measures.items():
        setattr(Market, name, timed(measure))
    try:
        yield watch
    finally:
        Race.run = race_run  # type: ignore[method-assign]
        for name, measure in measures.items():
            setattr(Market, name, measure)
