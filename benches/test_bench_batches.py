"""Many expressions at once: fused chains, the seed alphas, the 101 formulas; and from text to plan."""

from __future__ import annotations

import ast
import itertools
from typing import TYPE_CHECKING

import pytest

import fama_fast as ff
from benches import yardsticks
from benches.duel import Yardstick
from benches.ours import Prepared
from benches.panels import with_alpha101_inputs
from benches.peers.alpha101 import SHIPPED_BY_KUNQUANT
from fama_fast.engine.prepare import lowered
from fama_fast.plan import make_plan

if TYPE_CHECKING:
    from benches.duel import Duel
    from fama_fast.panel import Panel

CHAINS = {
    "elementwise-4": "(CLOSE - OPEN) / (HIGH - LOW + 0.001)",
    "chain-elementwise-5": "LOG(ABS(CLOSE - OPEN) + 1) * SIGN(CLOSE - LOW)",
    "chain-moving-5": "DECAY_LINEAR(TS_MEAN(DELTA(CLOSE, 5) / DELAY(CLOSE, 5), 10), 10) - TS_SUM(VOLUME, 20)",
    "chain-ranked-5": "RANK(TS_MEAN(DELTA(CLOSE, 5), 10)) * RANK(TS_STDDEV(RET, 20))",
}


@pytest.mark.quick
@pytest.mark.parametrize("name", CHAINS)
def test_chain(duel: Duel, panel: Panel, threads: int, name: str) -> None:
    """Several operators in one program."""
    prepared = Prepared([CHAINS[name]], panel)
    duel(prepared.run, {"copy": yardsticks.copy(panel)}, group="chains", prepare=lambda: (threads,))


@pytest.mark.parametrize("threads", [1, 2])
def test_seed_alphas_together(duel: Duel, panel: Panel, threads: int) -> None:
    texts = ff.list_seed_alphas()
    measures = {"copy": yardsticks.copy(panel), "sort": yardsticks.sort(panel)}
    duel(lambda: ff.evaluate(texts, panel, threads=threads), measures, group="seed alphas")


def test_seed_alphas_one_by_one(duel: Duel, panel: Panel, threads: int) -> None:
    """What planning them together saves."""
    texts = ff.list_seed_alphas()
    together = Yardstick(lambda: ff.evaluate(texts, panel, threads=threads))
    duel(lambda: [ff.evaluate([t], panel, threads=threads) for t in texts], {"together": together}, group="seed alphas")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("which", ["82", "101"])
def test_alpha101(duel: Duel, panel: Panel, which: str, threads: int) -> None:
    """All formulas together, every output kept; 82 are those that KunQuant ships."""
    numbers = SHIPPED_BY_KUNQUANT if which == "82" else tuple(ff.alpha101())
    texts = ff.alpha101()
    alphas = [ff.compile(texts[i], dialect="alpha101") for i in numbers]
    prepared = Prepared(alphas, with_alpha101_inputs(panel))
    measures = {"copy": yardsticks.copy(panel), "sort": yardsticks.sort(panel)}
    duel(prepared.run, measures, group="Alpha101", prepare=lambda: (threads,))


@pytest.mark.parametrize("share", [0.2, 0.4])
def test_alpha101_streamed(duel: Duel, panel: Panel, threads: int, share: float) -> None:
    """The 82 formulas to a function, within a share of what their values take, beside keeping them all in memory."""
    texts = ff.alpha101()
    alphas = [ff.compile(texts[i], dialect="alpha101") for i in SHIPPED_BY_KUNQUANT]
    data = with_alpha101_inputs(panel)
    budget = share * 8 * data.shape[0] * data.shape[1] * len(alphas)
    duel(
        lambda: ff.evaluate(alphas, data, threads=threads, memory_budget=budget, output=lambda chunk: None),
        {"in memory": Yardstick(lambda: ff.evaluate(alphas, data, threads=threads))},
        group="Alpha101",
    )


UNSEEN = "RANK(TS_MEAN(CLOSE, {a})) * -{b}.5 + Z_SCORE(DELTA(VOLUME, {c}))"
_serial = itertools.count()


def _unseen_texts(count: int = 50) -> list[str]:
    """Texts that no cache has met: the number before the point never comes twice."""
    return [UNSEEN.format(a=i % 200 + 2, b=i + 2, c=i % 50 + 1) for i in itertools.islice(_serial, count)]


def _parse_as_python() -> list[ast.AST]:
    return [ast.parse(UNSEEN.format(a=i + 2, b=i + 2, c=i + 1), mode="eval") for i in range(50)]


@pytest.mark.quick
def test_compile_50_unseen_texts(duel: Duel) -> None:
    """Text to a checked, canonical Alpha, beside Python's own parser on the same text."""
    measures = {"python parser": Yardstick(_parse_as_python, own=True)}
    duel(lambda texts: [ff.compile(t) for t in texts], measures, group="compile", prepare=lambda: (_unseen_texts(),))


@pytest.mark.quick
def test_plan_50_alphas(duel: Duel, panel: Panel) -> None:
    """Alphas to one plan: lowering, sharing, stages, registers."""

    def alphas() -> tuple[list[ff.Alpha]]:
        return ([ff.compile(t) for t in _unseen_texts()],)

    measures = {"python parser": Yardstick(_parse_as_python, own=True)}
    duel(lambda items: make_plan(lowered(items, panel)), measures, group="compile", prepare=alphas)
