"""Timing one thing in turn with its yardsticks, round by round, in one process.

A shared machine drifts by tens of percent within a minute, and every machine has another clock: a time alone says
nothing that holds tomorrow. So each round times the yardsticks and then ours, the ratio is taken within the round, and
the median over rounds is the figure. Its noise is the scaled median absolute deviation, as a share of the median.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_benchmark.fixture import BenchmarkFixture

MIN_ROUNDS = 5
MAX_ROUNDS = 60
LONG_ROUNDS = 3
_LONG = 4.0  # seconds a round, from which on three rounds must do
_SHORT = 0.02  # seconds: shorter yardsticks are called thrice a round, and the best counts
_NORMAL = 1.4826  # median absolute deviation to standard deviation, for normal noise


@dataclass(frozen=True)
class Yardstick:
    """Something that ours is measured against.

    Attributes:
        run: what is timed. own: one of this suite's plain yardsticks, whose best of three short calls counts; a peer
            is called once a round, exactly as ours is.
    """

    run: Callable[[], object]
    own: bool = False


def spread(values: Sequence[float]) -> tuple[float, float]:
    """(median, noise): noise is the scaled median absolute deviation over the median."""
    middle = statistics.median(values)
    deviation = statistics.median([abs(v - middle) for v in values])
    return middle, _NORMAL * deviation / middle


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


class Duel:
    """`duel(ours, {"copy": Yardstick(...)})` inside a pytest-benchmark test; ratios go to its `extra_info`."""

    def __init__(self, benchmark: BenchmarkFixture, seconds: float, size: str) -> None:
        self._benchmark = benchmark
        self._budget = seconds
        self._size = size

    def __call__(
        self,
        ours: Callable[..., object],
        yardsticks: Mapping[str, Yardstick],
        *,
        group: str,
        prepare: Callable[[], tuple[Any, ...]] | None = None,
        rounds: int | None = None,
    ) -> None:
        """Time `ours(*prepare())`; preparing is not timed. `rounds` overrides what fits the time given."""
        make = prepare or (lambda: ())
        first = make()
        once = _seconds(lambda: ours(*first))
        repeats: dict[str, int] = {}
        for name, yardstick in yardsticks.items():
            yardstick.run()
            took = _seconds(yardstick.run)
            repeats[name] = 3 if yardstick.own and took < _SHORT else 1
            once += took * repeats[name]
        fitting = int(self._budget / once)
        fewest = MIN_ROUNDS if once < _LONG else LONG_ROUNDS
        rounds = rounds or min(MAX_ROUNDS, max(fewest, fitting))
        theirs: dict[str, list[float]] = {name: [] for name in yardsticks}

        def setup() -> tuple[tuple[Any, ...], dict[str, Any]]:
            arguments = make()
            for name, yardstick in yardsticks.items():
                theirs[name].append(min(_seconds(yardstick.run) for _ in range(repeats[name])))
            return arguments, {}

        self._benchmark.group = group
        self._benchmark.pedantic(ours, setup=setup, rounds=rounds)
        if self._benchmark.stats is None:  # --benchmark-disable: run, not measured
            return
        seconds = self._benchmark.stats.stats.data
        self._benchmark.extra_info["size"] = self._size
        self._benchmark.extra_info["ratios"] = {
            name: self._record(seconds, times[-len(seconds) :]) for name, times in theirs.items()
        }

    def note(self, **facts: object) -> None:
        """Facts beside the figures: how many values agreed, what was left out."""
        self._benchmark.extra_info.update(facts)

    @staticmethod
    def _record(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
        ratio, noise = spread([a / b for a, b in zip(ours, theirs, strict=True)])
        return {
            "ratio": ratio,
            "noise": noise,
            "seconds": statistics.median(ours),
            "yardstick_seconds": statistics.median(theirs),
            "rounds": len(ours),
        }
