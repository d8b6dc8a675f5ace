"""The null controls of a run: random formulas and shuffled labels passed through the same gates as its candidates.

The random formulas' pool is chosen as the run's own was. Their short list is as long as the run's; where it is shorter
the head of the run's is beside it. Without short lists: what holds on validation against the same correction, of the
run's number. Where fewer hold it is topped up by training score; where fewer passed the gates at all, the run's pool
beside it is cut to their number, by training score too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fama_fast.evaluation.inference import mean
from fama_fast.ledger.records import as_proposed
from fama_fast.mining.candidate import Candidate
from fama_fast.mining.measure.combination import FactorPool
from fama_fast.mining.run.listing import listing_of, short_list
from fama_fast.mining.run.near_copies import MORE, first_new
from fama_fast.mining.run.wide_judgement import interval, wide_control
from fama_fast.mining.verdict.control import Control, random_formulas, random_parts, sizes_of
from fama_fast.mining.verdict.measures import judged_series
from fama_fast.mining.verdict.verdict import judge_factors
from fama_fast.proposals.protocol import Proposal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from fama_fast.library.factor import Factor
    from fama_fast.mining.config import MiningConfig
    from fama_fast.mining.measure.combination import PoolScores
    from fama_fast.mining.measure.market import Market
    from fama_fast.mining.pools.wide import WidePool
    from fama_fast.mining.run.listing import Listing
    from fama_fast.mining.run.stopping import StopRequest

_DRAWS = 12  # of which random formulas there are, beside the one that is compared


@dataclass(frozen=True)
class Selected:
    """The outcome of a selection: its factors as a run has them, their pool on validation, its candidates.

    `measured` has (fingerprint, scores) of every candidate, in the direction of training; `wide` is their wide pool,
    `listing` what their short list was chosen from, where there is one.
    """

    factors: tuple[Factor, ...]
    pool: PoolScores | None
    candidates: int
    funnel: dict[str, int]
    measured: tuple[tuple[str | None, dict[str, dict[str, float]]], ...] = ()
    wide: WidePool | None = None
    listing: Listing | None = None


class Controls(NamedTuple):
    """The controls of a run, and what is measured on the test if that is opened.

    Attributes:
        control: the figures. rivals: the random formulas that were chosen, and own: the run's factors beside them.
            wide: the random formulas' wide pool; None without one.
    """

    control: Control
    rivals: tuple[Factor, ...]
    own: tuple[Factor, ...]
    wide: WidePool | None


@dataclass(frozen=True)
class Compared:
    """The run's factors that the control is held against.

    Attributes:
        factors: the short list; without one those that hold, all new ones where none does. pool: the run's.
            elsewhere: fingerprints that only earlier runs measured on the same data.
    """

    factors: tuple[Factor, ...]
    pool: FactorPool
    elsewhere: Collection[str] = ()


def select(
    market: Market,
    config: MiningConfig,
    library: Sequence[Factor],
    rounds: Iterable[Sequence[str]],
    stop: StopRequest | None = None,
    *,
    wide: bool = True,
) -> Selected:
    """Pass rounds of expressions through the gates into a copy of the starting library, without search or ledger.

    Where there are short lists nothing is admitted: they are chosen from what passed the gates on its own figures.

    Args:
        wide: whether they make a wide pool too.

    Raises:
        Stopped: between two rounds, when it was asked to.
    """
    from fama_fast.mining.library.gates import funnel
    from fama_fast.mining.run.state import first_state
    from fama_fast.mining.run.steps import pass_gates

    state, _ = first_state(market, library, wide=wide)
    rows: list[dict[str, Any]] = []
    measured: list[tuple[str | None, dict[str, dict[str, float]]]] = []
    for number, texts in enumerate(rounds, start=1):
        if stop is not None:
            stop.check()
        candidates = [Candidate(i, Proposal(text, origin="control")) for i, text in enumerate(texts)]
        pass_gates(candidates, state, config, market, number, "control", admits=not config.lists)
        rows.extend({"gate": c.gate} for c in candidates)
        measured.extend((None if c.alpha is None else c.fingerprint, c.scores) for c in candidates)
        if not config.objectives and not config.lists and len(state.new_factors) >= config.run.wanted:
            break
    new = short_list(state, market, config, "control")
    listing = listing_of(state.wide, state.listable, config) if config.lists and state.wide is not None else None
    pool = FactorPool(market, config.pool).valid(new) if new else None
    return Selected(new, pool, len(rows), funnel(rows), tuple(measured), state.wide, listing)


def batches(texts: Sequence[str], size: int) -> list[Sequence[str]]:
    """Texts cut into rounds of at most `size`."""
    return [texts[i : i + size] for i in range(0, len(texts), size)]


def run_controls(
    market: Market,
    config: MiningConfig,
    library: Sequence[Factor],
    candidates: Sequence[Mapping[str, Any]],
    pool: PoolScores | None,
    compared: Compared | None = None,
    *,
    wide: WidePool | None = None,
    looked: bool = False,
    stop: StopRequest | None = None,
) -> Controls:
    """Run the controls that the configuration asks for.

    Args:
        library: what the run started from. candidates: the run's, as the ledger has them.
        pool: of the run's new factors on validation; None without any. compared: those that hold, for the random
            formulas; None without any. wide: the run's wide pool, for theirs. looked: whether the run left near-copies
            out, so that theirs are. stop: whether to.

    Raises:
        Stopped: it was asked to.
    """
    asked, model = config.control, config.pool.model
    control = Control()
    chosen: tuple[Factor, ...] = ()
    own: tuple[Factor, ...] = ()
    theirs: WidePool | None = None
    if asked.random and candidates:
        sizes = sizes_of((as_proposed(c)[1] for c in candidates), market.vocabulary)
        drawn = market.vocabulary, sizes, config.run.seed, config.gates.limits.level_free
        if looked:
            parts = random_parts(*drawn, most=MORE)
            texts = first_new(market, config, library, parts, sum(sizes.values()))
        else:
            texts = random_formulas(*drawn)
        found = select(market, config, library, batches(texts, config.batch_size), stop)
        passed = found.factors if found.listing is None or not found.factors else found.listing.members
        control = replace(control, candidates=len(texts), admitted=len(passed))
        if found.factors:
            control, chosen, own = _against(market, config, found, compared, control)
        if wide is not None and wide.size and found.wide is not None:
            theirs = found.wide
            control = replace(control, wide=wide_control(wide, theirs, config))
    if asked.shuffle and candidates:
        rounds: dict[int, list[str]] = {}
        for c in candidates:
            rounds.setdefault(c["round"], []).append(c["text"])
        null = []
        for i in range(asked.shuffle):
            rng = np.random.default_rng([config.run.seed, i])
            dealt = market.shuffled(rng, asked.shuffle_block)
            again = select(dealt, config, library, rounds.values(), stop, wide=config.lists)
            null.append(0.0 if again.pool is None else again.pool.scores[model].get("objective", 0.0))
        best = 0.0 if pool is None else pool.scores[model].get("objective", 0.0)
        p = (1 + sum(1 for value in null if value >= best)) / (1 + len(null))
        control = replace(control, null=tuple(null), null_p=p)
    return Controls(control, chosen, own, theirs)


def _against(
    market: Market, config: MiningConfig, found: Selected, compared: Compared | None, control: Control
) -> tuple[Control, tuple[Factor, ...], tuple[Factor, ...]]:
    """The random formulas' pool beside the run's, of the same number, with the interval of the difference."""
    elsewhere = () if compared is None else compared.elsewhere
    judged, _ = judge_factors(found.factors, found.measured, config.verdict.fdr, elsewhere=elsewhere)
    holds = {f.fingerprint for f in judged if f.holds}
    ranked = list(found.factors)
    if found.listing is None:
        ranked.sort(key=lambda f: (f.fingerprint not in holds, -f.score, f.fingerprint))
    count = len(ranked) if compared is None else min(len(ranked), len(compared.factors))
    chosen = tuple(ranked[:count])
    model = config.pool.model
    # Which formulas were drawn is luck too: draws of as many from those that passed, with replacement, chosen alike.
    draws = [] if compared is None else _drawn(found, ranked, count, config)
    pool = FactorPool(market, config.pool, forgets=False)
    everyone = {f.fingerprint: f for some in (*draws, ranked) for f in some}
    pool.valid(list(everyone.values()))  # parts of them cost little then
    theirs = pool.valid(chosen)
    control = replace(
        control,
        chosen=count,
        topped_up=0 if found.listing is not None else sum(f.fingerprint not in holds for f in chosen),
        best_train=max(f.score for f in found.factors),
        best_valid=max(f.scores.get("valid", {}).get("rank_ic", -1.0) for f in found.factors),
        pool_valid=theirs.scores[model],
    )
    if compared is None:
        return control, chosen, ()
    own = compared.factors
    if count < len(own):
        own = own[:count] if config.lists else tuple(sorted(own, key=lambda f: (-f.score, f.fingerprint))[:count])
    ours = compared.pool.valid(own)
    drawn = [pool.valid(some).daily[model] for some in draws]
    gains = []
    for name in (config.objective, "spread"):
        series = [judged_series(d, name, config) for d in (ours.daily[model], theirs.daily[model], *drawn)]
        gains.append(interval(series[0] - series[1], market.horizon, [mean(x) for x in series[2:]]))
    control = replace(control, own_valid=ours.scores[model], gain=gains[0], spread_gain=gains[1], draws=len(drawn))
    return control, chosen, own


def _drawn(found: Selected, ranked: Sequence[Factor], count: int, config: MiningConfig) -> list[list[Factor]]:
    """Pools of `count` factors at most, of other draws of the formulas that passed."""
    listing = found.listing
    size = len(ranked) if listing is None else len(listing.members)
    rng = np.random.default_rng([config.run.seed, size, count])
    drawn: list[list[Factor]] = []
    for _ in range(_DRAWS if size > 1 else 0):
        places = sorted(set(rng.integers(0, size, size=size).tolist()))
        if listing is None:
            drawn.append([ranked[i] for i in places[:count]])
        else:
            some = listing.chosen(config, np.isin(np.arange(size), places))
            drawn.append(listing.unscored(some[:count]))
    return [some for some in drawn if some]
