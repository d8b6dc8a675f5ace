"""Null controls: random formulas, or shuffled labels, passed through the same gates as the run's candidates.

The random control draws as many formulas as the run proposed, of the same sizes (nodes), from the grammar of the
searcher's own fresh formulas. The shuffled null selects the run's candidates anew, in their rounds, on labels whose
dates were dealt out anew in blocks, so that any relation to the past is gone and cross-sections and their neighbours
in time are as they were. Both follow from seed, data and candidates. Neither reads the test split.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fama_fast.errors import FamaError
from fama_fast.ir import count_nodes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fama_fast.proposals.protocol import Vocabulary

_MORE_DRAWS = 500
_DRAWS_PER_FORMULA = 5  # then sizes that hardly come up are made up for by the nearest that did
_MAX_DEPTH = 8


@dataclass(frozen=True)
class WideControl:
    """The wide pool of random formulas beside the run's, of as many: the first ones of each that were measured.

    Attributes:
        formulas: of each, beside the starting library that both have. pool_valid, pool_test: scores of theirs;
            own_valid, own_test: of the run's. gain, spread_gain: 95% interval of the run's less theirs over validation
            dates, in the objective and in the spread; empty where there is none. test_gain, test_spread_gain: over test
            dates, where the test was opened.
    """

    formulas: int
    pool_valid: dict[str, float] = field(default_factory=dict)
    own_valid: dict[str, float] = field(default_factory=dict)
    gain: tuple[float, ...] = ()
    spread_gain: tuple[float, ...] = ()
    pool_test: dict[str, float] = field(default_factory=dict)
    own_test: dict[str, float] = field(default_factory=dict)
    test_gain: tuple[float, ...] = ()
    test_spread_gain: tuple[float, ...] = ()

    @property
    def beaten(self) -> bool:
        """Whether the run's is better."""
        return not self.formulas or (len(self.gain) == 2 and self.gain[0] > 0.0)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the result file."""
        intervals = {
            "gain_interval": self.gain,
            "spread_gain_interval": self.spread_gain,
            "test_gain_interval": self.test_gain,
            "test_spread_gain_interval": self.test_spread_gain,
        }
        on_test = {"pool_test": dict(self.pool_test), "run_pool_test": dict(self.own_test)}
        return {
            "formulas": self.formulas,
            "pool": dict(self.pool_valid),
            "run_pool": dict(self.own_valid),
            **{name: figures for name, figures in on_test.items() if figures},
            **{name: list(bounds) for name, bounds in intervals.items() if bounds},
        }


@dataclass(frozen=True)
class Control:
    """The controls of a run, for its verdict and its result.

    Attributes:
        candidates: random formulas tried. admitted: of them, or where there are short lists those that may be in one.
            best_train, best_valid: highest oriented RankIC among the factors that they gave, each on its own.
        chosen: how many of them their pool is made of, as many as the run's pool beside it; topped_up: of those, how
            many do not hold by the rule of the run's own and are there for their training score.
        pool_valid, pool_test: scores of their pool. own_valid, own_test: of the run's pool beside it.
        gain, spread_gain: 95% interval of the run's pool less theirs over validation dates, in the objective and in
            the spread; it allows for the dates and for which formulas were drawn. Empty without either pool.
        draws: how many other draws of random formulas the intervals have seen.
        wide: their wide pool; None where the run has none.
        null: the pool's validation objective of each shuffled selection (0 where nothing was admitted).
        null_p: share of selections, the run's own included, whose pool is at least as good; None without any.
    """

    candidates: int = 0
    admitted: int = 0
    best_train: float | None = None
    best_valid: float | None = None
    chosen: int = 0
    topped_up: int = 0
    pool_valid: dict[str, float] = field(default_factory=dict)
    pool_test: dict[str, float] = field(default_factory=dict)
    own_valid: dict[str, float] = field(default_factory=dict)
    own_test: dict[str, float] = field(default_factory=dict)
    gain: tuple[float, ...] = ()
    spread_gain: tuple[float, ...] = ()
    draws: int = 0
    null: tuple[float, ...] = ()
    null_p: float | None = None
    wide: WideControl | None = None

    @property
    def beaten(self) -> bool | None:
        """Whether the run's pool is better than that of the random formulas; None where they were not tried."""
        if not self.candidates:
            return None
        return not self.admitted or (len(self.gain) == 2 and self.gain[0] > 0.0)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the result file."""
        random_formulas: dict[str, Any] = {"candidates": self.candidates, "admitted": self.admitted}
        if self.admitted:
            random_formulas |= {
                "chosen": self.chosen,
                "topped_up": self.topped_up,
                "best_train_rank_ic": self.best_train,
                "best_valid_rank_ic": self.best_valid,
                "pool": {"valid": dict(self.pool_valid), "test": dict(self.pool_test)},
                "run_pool": {"valid": dict(self.own_valid), "test": dict(self.own_test)},
            }
        if self.gain:
            random_formulas |= {"pool_valid_gain_interval": list(self.gain), "draws": self.draws}
        if self.spread_gain:
            random_formulas["pool_valid_spread_gain_interval"] = list(self.spread_gain)
        if self.wide is not None:
            random_formulas["wide"] = self.wide.as_dict()
        out: dict[str, Any] = {}
        if self.candidates:
            out["random_formulas"] = random_formulas
        if self.null:
            out["shuffled_labels"] = {"pool_valid_rank_ic": list(self.null), "p": self.null_p}
        return out


def sizes_of(candidates: Iterable[str | None], vocabulary: Vocabulary) -> Counter[int]:
    """Number of canonical texts by number of nodes; `vocabulary` is that of their run."""
    from fama_fast.engine import compile_recorded

    known: dict[str, Any] = {"fields": vocabulary.fields, "groups": vocabulary.groups}
    return Counter(count_nodes(compile_recorded(text, **known).node) for text in candidates if text)


def random_formulas(vocabulary: Vocabulary, sizes: Mapping[int, int], seed: int, level_free: bool = False) -> list[str]:
    """Different random formulas in canonical text, with given numbers of each size, in random order; with `level_free`
    none whose order depends on price levels.

    A size that the grammar hardly ever draws is made up for by the nearest sizes that it does; fewer come back
    only when the vocabulary has no more to offer.
    """
    return next(random_parts(vocabulary, sizes, seed, level_free), [])


def random_parts(
    vocabulary: Vocabulary, sizes: Mapping[int, int], seed: int, level_free: bool = False, *, most: int = 1
) -> Iterator[list[str]]:
    """`random_formulas`, then half as many more and again, all different, until there are `most` times as many: for who
    has no use for some of them. Each part is drawn when it is asked for."""
    wanted = {n: k for n, k in sizes.items() if k > 0}
    if not wanted:
        return
    draws = _Draws(vocabulary, max(3, *wanted), seed, level_free)
    yield draws.some(wanted)
    for part in range(2, 2 * most):
        yield draws.some({n: (part + 1) * k // 2 - part * k // 2 for n, k in wanted.items()})


class _Draws:
    """Random formulas of at most `largest` nodes, no two alike."""

    def __init__(self, vocabulary: Vocabulary, largest: int, seed: int, level_free: bool) -> None:
        from fama_fast.mining.proposers.level_free import tree_maker

        self._rng = random.Random(f"random formulas {seed}")  # noqa: S311  (no secret)
        self._maker = tree_maker(self._rng, vocabulary, level_free=level_free)
        self._largest = largest
        self._left: dict[int, list[str]] = {}  # that nobody took yet, by size
        self._seen: set[str] = set()

    def some(self, wanted: Mapping[int, int]) -> list[str]:
        """So many more of each size, in random order."""
        left, total = self._left, sum(wanted.values())
        for _ in range(total * _DRAWS_PER_FORMULA + _MORE_DRAWS):
            if all(len(left.get(n, ())) >= k for n, k in wanted.items()):
                break
            self._draw()
        out: list[str] = []
        missing: dict[int, int] = {}
        for n in sorted(wanted):
            exact = left.get(n, [])[: wanted[n]]
            out += exact
            missing[n] = wanted[n] - len(exact)
            self._take(n, len(exact))
        for n, count in missing.items():
            for _ in range(count):
                if not left:
                    break
                nearest = min(left, key=lambda size: (abs(size - n), size))
                out.append(left[nearest][0])
                self._take(nearest, 1)
        self._rng.shuffle(out)
        return out

    def _draw(self) -> None:
        from fama_fast.lang import to_text
        from fama_fast.mining.proposers.random_tree import is_scorable
        from fama_fast.passes import canonicalise

        try:
            node = canonicalise(self._maker.expression(self._rng.randint(3, _MAX_DEPTH)))
        except FamaError:  # parameters that do not go together
            return
        text = to_text(node)
        if text not in self._seen and self._maker.fits(node, _MAX_DEPTH, self._largest) and is_scorable(node):
            self._seen.add(text)
            self._left.setdefault(count_nodes(node), []).append(text)

    def _take(self, size: int, count: int) -> None:
        self._left[size] = self._left.get(size, [])[count:]
        if not self._left[size]:
            del self._left[size]
