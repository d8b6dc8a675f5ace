"""A starting library may hold what could not be proposed: it is measured and kept, and shown to nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fama_fast.data import SimulationSpec, simulate
from fama_fast.library import FactorCache, FactorSet, make_factor
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.measure.market import Market
from fama_fast.mining.run import chains, contexts
from fama_fast.mining.run.state import LoopState, first_state

FIT = ("RANK(CLOSE / OPEN)", "TS_MEAN(RET, 5)", "VOLUME / TS_MEAN(VOLUME, 20)", "HIGH / LOW", "TS_STDDEV(RET, 10)")
LARGE = " + ".join(f"TS_MEAN(RET, {d})" for d in range(2, 20))
UNFIT = (LARGE, "CLOSE > DELAY(CLOSE, 1)", "TS_MEAN(RET, 251)")
PANEL = simulate(SimulationSpec(20, 500, seed=3))


def begun(folder: Path, texts: tuple[str, ...], **settings: Any) -> tuple[LoopState, Market]:
    path = folder / "cache.yaml"
    FactorCache(path).save(FactorSet(make_factor(t) for t in texts))
    # Without a least t every member may be an example.
    config = config_from_dict({"k": 4, "l": 4, "css": {"min_t": 0.0}, "run": {"seed": 1, "threads": 1}, **settings})
    market = Market(PANEL, config)
    state, notes = first_state(market, list(FactorCache(path).load()))
    assert not notes
    chains.build_chains(state, config, market)
    return state, market


def shown(state: LoopState, market: Market) -> set[str]:
    """What is shown as proposed once, over many rounds, as exemplar, chain or elite."""
    factors = []
    for number in range(1, 40):
        (context,) = contexts.choose_contexts(state, market.config, market, number)
        assert len(context.exemplars) <= market.config.l
        factors += [*context.exemplars, *context.shown]
    return {f.as_proposed[0] for f in factors} | {e.canonical for e in state.archive.view().elites}


def canonical(texts: tuple[str, ...]) -> set[str]:
    return {make_factor(t).canonical for t in texts}


def test_what_could_not_be_proposed_is_kept_and_shown_to_nobody(tmp_path: Path) -> None:
    state, market = begun(tmp_path, FIT + UNFIT)
    assert {m.factor.as_proposed[0] for m in state.library.members} == canonical(FIT + UNFIT)
    assert contexts.unfit_to_show(state, market.config) == {
        m.factor.fingerprint for m in state.library.members if m.factor.as_proposed[0] in canonical(UNFIT)
    }
    assert shown(state, market) == canonical(FIT)


def test_wider_limits_show_it(tmp_path: Path) -> None:
    state, market = begun(tmp_path, FIT + UNFIT, gates={"max_nodes": 200, "max_depth": 40, "max_lookback": 300})
    assert shown(state, market) == canonical((*FIT, LARGE, UNFIT[2]))


def test_with_nothing_else_no_example_is_shown(tmp_path: Path) -> None:
    state, market = begun(tmp_path, UNFIT)
    assert len(state.library) == 3
    (context,) = contexts.choose_contexts(state, market.config, market, 1)
    assert context.exemplars == context.shown == ()
    assert context.selection is None
