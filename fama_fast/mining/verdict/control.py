"""What luck finds: random formulas, or shuffled labels, through the very gates that the run's candidates passed.

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

import numpy as np

from fama_fast.errors import FamaError
from fama_fast.evaluation import stationary_bootstrap_interval
from fama_fast.ir import count_nodes
from fama_fast.ledger.records import as_proposed
from fama_fast.mining.library.candidate import Candidate
from fama_fast.proposals.protocol import Proposal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fama_fast.library.factor import Factor
    from fama_fast.mining.config import MiningConfig
    from fama_fast.mining.measure.combination import PoolScores
    from fama_fast.mining.measure.market import Market
    from fama_fast.mining.run.stopping import StopRequest
    from fama_fast.proposals.protocol import Vocabulary
    from fama_fast.types import FloatArray

_MORE_DRAWS = 500
_DRAWS_PER_FORMULA = 5  # then sizes that hardly come up are made up for by the nearest that did
_MAX_DEPTH = 8


@dataclass(frozen=True)
class Selected:
    """What a selection ended with: its factors in order of admission, their pool on validation, its candidates."""

    factors: tuple[Factor, ...]
    pool: PoolScores | None
    candidates: int
    funnel: dict[str, int]


@dataclass(frozen=True)
class Control:
    """The controls of a run, for its verdict and its result.

    Attributes:
        candidates: random formulas tried. admitted: of them. best_train, best_valid: highest oriented RankIC among
            the admitted, each on its own. pool_valid, pool_test: scores of their pool.
        gain: 95% interval of the run's pool RankIC less the control's over validation dates; empty without either.
        null: the pool's validation RankIC of each shuffled selection (0 where nothing was admitted).
        null_p: share of selections, the run's own included, whose pool is at least as good; None without any.
    """

    candidates: int = 0
    admitted: int = 0
    best_train: float | None = None
    best_valid: float | None = None
    pool_valid: dict[str, float] = field(default_factory=dict)
    pool_test: dict[str, float] = field(default_factory=dict)
    gain: tuple[float, ...] = ()
    null: tuple[float, ...] = ()
    null_p: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the result file."""
        random_formulas: dict[str, Any] = {"candidates": self.candidates, "admitted": self.admitted}
        if self.admitted:
            random_formulas |= {
                "best_train_rank_ic": self.best_train,
                "best_valid_rank_ic": self.best_valid,
                "pool": {"valid": dict(self.pool_valid), "test": dict(self.pool_test)},
            }
        if self.gain:
            random_formulas["pool_valid_gain_interval"] = list(self.gain)
        out: dict[str, Any] = {}
        if self.candidates:
            out["random_formulas"] = random_formulas
        if self.null:
            out["shuffled_labels"] = {"pool_valid_rank_ic": list(self.null), "p": self.null_p}
        return out


def sizes_of(candidates: Iterable[str | None], vocabulary: Vocabulary) -> Counter[int]:
    """How many canonical texts there are of each number of nodes; `vocabulary` is that of their run."""
    from fama_fast.engine import compile_recorded

    known: dict[str, Any] = {"fields": vocabulary.fields, "groups": vocabulary.groups}
    return Counter(count_nodes(compile_recorded(text, **known).node) for text in candidates if text)


def random_formulas(vocabulary: Vocabulary, sizes: Mapping[int, int], seed: int) -> list[str]:
    """Different random formulas in canonical text, with given numbers of each size, in random order.

    A size that the grammar hardly ever draws is made up for by the nearest sizes that it does; fewer come back
    only when the vocabulary has no more to offer.
    """
    from fama_fast.lang import to_text
    from fama_fast.mining.proposers.random_tree import TreeMaker, fits, worth_scoring
    from fama_fast.passes import canonicalise

    wanted = {n: k for n, k in sizes.items() if k > 0}
    total = sum(wanted.values())
    if not total:
        return []
    rng = random.Random(f"random formulas {seed}")  # noqa: S311  (no secret)
    maker, largest = TreeMaker(rng, vocabulary), max(3, *wanted)
    drawn: dict[int, list[str]] = {}
    seen: set[str] = set()
    for _ in range(total * _DRAWS_PER_FORMULA + _MORE_DRAWS):
        if all(len(drawn.get(n, ())) >= k for n, k in wanted.items()):
            break
        try:
            node = maker.expression(rng.randint(3, _MAX_DEPTH))
            node = canonicalise(node)
        except FamaError:  # parameters that do not go together
            continue
        text = to_text(node)
        if text not in seen and fits(node, vocabulary, _MAX_DEPTH, largest) and worth_scoring(node):
            seen.add(text)
            drawn.setdefault(count_nodes(node), []).append(text)
    out: list[str] = []
    short: dict[int, int] = {}
    for n in sorted(wanted):
        exact = drawn.get(n, [])[: wanted[n]]
        out += exact
        short[n] = wanted[n] - len(exact)
        if len(exact) == len(drawn.get(n, ())):
            drawn.pop(n, None)
        else:
            del drawn[n][: len(exact)]
    for n, missing in short.items():
        for _ in range(missing):
            if not drawn:
                break
            nearest = min(drawn, key=lambda size: (abs(size - n), size))
            out.append(drawn[nearest].pop(0))
            if not drawn[nearest]:
                del drawn[nearest]
    rng.shuffle(out)
    return out


def select(
    market: Market,
    config: MiningConfig,
    library: Sequence[Factor],
    rounds: Iterable[Sequence[str]],
    stop: StopRequest | None = None,
) -> Selected:
    """Pass rounds of expressions through the gates into a copy of the starting library; no search, no ledger.

    Raises:
        Stopped: between two rounds, when it was asked to.
    """
    from fama_fast.mining.run.state import first_state
    from fama_fast.mining.run.steps import pass_gates
    from fama_fast.mining.run.to_records import funnel

    state, _ = first_state(market, library)
    rows: list[dict[str, Any]] = []
    for number, texts in enumerate(rounds, start=1):
        if stop is not None:
            stop.check()
        candidates = [Candidate(i, Proposal(text, origin="control")) for i, text in enumerate(texts)]
        pass_gates(candidates, state, config, market, number, "control")
        rows.extend({"gate": c.gate} for c in candidates)
        if not config.objectives and len(state.new_factors) >= config.u:
            break
    new = state.new_factors
    pool = market.new_pool(config.pool).valid(new) if new else None
    return Selected(tuple(new), pool, len(rows), funnel(rows))


def batches(texts: Sequence[str], size: int) -> list[Sequence[str]]:
    """Texts in rounds of at most `size`."""
    return [texts[i : i + size] for i in range(0, len(texts), size)]


def shuffled_labels(labels: FloatArray, splits: Sequence[slice], rng: np.random.Generator, block: int) -> FloatArray:
    """Labels (T, N) whose rows are dealt out anew, `block` neighbouring dates together, within each split.

    Rows outside the splits have no label, as nothing there may be scored.
    """
    out = np.full(labels.shape, np.nan)
    for rows in splits:
        n = rows.stop - rows.start
        # The first block begins anywhere, wrapped round, so that dates do not always part at the same places.
        turned = np.roll(np.arange(n), -int(rng.integers(n)))
        parts = [turned[i : i + block] for i in range(0, n, block)]
        order = np.concatenate([parts[i] for i in rng.permutation(len(parts))])
        out[rows] = labels[rows][order]
    return out


def run_controls(
    market: Market,
    config: MiningConfig,
    library: Sequence[Factor],
    candidates: Sequence[Mapping[str, Any]],
    pool: PoolScores | None,
    *,
    stop: StopRequest | None = None,
) -> tuple[Control, tuple[Factor, ...]]:
    """The controls that the configuration asks for.

    Args:
        library: what the run started from. candidates: the run's, as the ledger has them.
        pool: of the run's new factors on validation; None without any. stop: whether to.

    Returns:
        The figures, and the random control's factors: their pool is measured on the test if that is opened.

    Raises:
        Stopped: it was asked to.
    """
    asked, model = config.control, config.pool.model
    found: dict[str, Any] = {}
    factors: tuple[Factor, ...] = ()
    if asked.random and candidates:
        sizes = sizes_of((as_proposed(c)[1] for c in candidates), market.vocabulary)
        texts = random_formulas(market.vocabulary, sizes, config.run.seed)
        chosen = select(market, config, library, batches(texts, config.batch_size), stop)
        factors = chosen.factors
        found |= {"candidates": len(texts), "admitted": len(factors)}
        if chosen.pool is not None:
            found |= {
                "best_train": max(f.score for f in factors),
                "best_valid": max(f.scores.get("valid", {}).get("rank_ic", -1.0) for f in factors),
                "pool_valid": chosen.pool.scores[model],
            }
            if pool is not None:
                difference = pool.daily[model].rank_ic - chosen.pool.daily[model].rank_ic
                found["gain"] = stationary_bootstrap_interval(difference, horizon=market.horizon)
    if asked.shuffle and candidates:
        rounds: dict[int, list[str]] = {}
        for c in candidates:
            rounds.setdefault(c["round"], []).append(c["text"])
        null = []
        for i in range(asked.shuffle):
            rng = np.random.default_rng([config.run.seed, i])
            again = select(market.shuffled(rng, asked.shuffle_block), config, library, rounds.values(), stop)
            null.append(0.0 if again.pool is None else again.pool.scores[model].get("rank_ic", 0.0))
        own = 0.0 if pool is None else pool.scores[model].get("rank_ic", 0.0)
        found["null"] = tuple(null)
        found["null_p"] = (1 + sum(1 for value in null if value >= own)) / (1 + len(null))
    return Control(**found), factors
