"""Beside other packages: the same operator on the same panel, taking turns, values checked equal first.

A peer on one thread races ours on one thread. Ours and KunQuant write to arrays that exist, each in its own blocks
beside the other ("beside KunQuant, by date" has ours as (dates, symbols)); the others have no such way and allocate.
Peers that are not installed are skipped, and the reason says what is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import fama_fast as ff
from benches.duel import Yardstick
from benches.ours import Prepared
from benches.panels import SIZES, random_panel, with_alpha101_inputs
from benches.peers import CASES, bottleneck_peer, check_equal, kunquant_peer, numpy_peer, polars_peer, qweave_peer
from benches.peers.alpha101 import SHIPPED_BY_KUNQUANT
from fama_fast.evaluation.rows import SortedRows

if TYPE_CHECKING:
    from types import ModuleType

    from benches.duel import Duel
    from benches.peers import Contender
    from fama_fast.panel import Panel

PEERS = {p.NAME: p for p in (numpy_peer, bottleneck_peer, polars_peer, kunquant_peer, qweave_peer)}
QUICK = {("bottleneck", "TS_MEAN 20"), ("Polars", "RANK"), ("NumPy", "RANK"), ("KunQuant", "RANK")}


def _needed(name: str) -> ModuleType:
    reason = PEERS[name].unavailable()
    if reason:
        pytest.skip(reason)
    return PEERS[name]


@pytest.fixture(scope="module")
def contenders(panel: Panel, threads: int) -> dict[str, dict[str, Contender]]:
    return {name: p.contenders(panel, threads) for name, p in PEERS.items() if not p.unavailable()}


def _pairs() -> list[object]:
    return [
        pytest.param(peer, case, marks=[pytest.mark.quick] if (peer, case) in QUICK else [])
        for case in CASES
        for peer in PEERS
    ]


@pytest.mark.parametrize(("peer", "case"), _pairs())
def test_beside(
    duel: Duel, panel: Panel, threads: int, contenders: dict[str, dict[str, Contender]], peer: str, case: str
) -> None:
    module = _needed(peer)
    theirs = contenders[peer].get(case)
    if theirs is None:
        pytest.skip(f"{peer} has no direct equivalent of {case}")
    with np.errstate(all="ignore"):
        prepared = Prepared([CASES[case]], panel, blocks=peer == "KunQuant")
        prepared.run(1)
        check_equal(prepared.by_date(0), theirs.values(theirs.run()))
        used = min(threads, module.THREADS or threads)
        duel(prepared.run, {peer: Yardstick(theirs.run)}, group=f"beside {peer}", prepare=lambda: (used,))


@pytest.mark.parametrize("case", list(CASES))
def test_by_date_beside_kunquant(
    duel: Duel, panel: Panel, threads: int, contenders: dict[str, dict[str, Contender]], case: str
) -> None:
    """Our results as (dates, symbols), where most code wants them; KunQuant's stay in its blocks."""
    _needed("KunQuant")
    theirs = contenders["KunQuant"].get(case)
    if theirs is None:
        pytest.skip(f"KunQuant has no direct equivalent of {case}")
    prepared = Prepared([CASES[case]], panel)
    duel(
        prepared.run, {"KunQuant": Yardstick(theirs.run)}, group="beside KunQuant, by date", prepare=lambda: (threads,)
    )


@pytest.mark.parametrize("peer", ["KunQuant", "qweave"])
def test_alpha101_beside(duel: Duel, panel: Panel, threads: int, peer: str) -> None:
    """The 82 formulas that KunQuant ships, together, every output kept.

    The packages read formulas differently (KunQuant's TS_RANK is not scaled to 1; windows of fractions, ties and
    constant windows are each one's own), so equality is counted, and asked of 30: to 1e-6 wherever both have a value.
    """
    theirs = _needed(peer).alpha101(panel, threads)
    texts = ff.alpha101()
    alphas = [ff.compile(texts[i], dialect="alpha101") for i in SHIPPED_BY_KUNQUANT]
    prepared = Prepared(alphas, with_alpha101_inputs(panel), blocks=peer == "KunQuant")
    prepared.run(threads)
    run = next(iter(theirs.values())).run
    out = run()
    equal = [
        number
        for i, number in enumerate(SHIPPED_BY_KUNQUANT)
        if _agree(prepared.by_date(i), theirs[number].values(out))
    ]
    assert len(equal) >= 30, f"only {equal} agree"
    duel(prepared.run, {peer: Yardstick(run)}, group=f"beside {peer}", prepare=lambda: (threads,), rounds=3)
    duel.note(formulas=len(SHIPPED_BY_KUNQUANT), formulas_equal=len(equal))


def _agree(ours: np.ndarray, theirs: np.ndarray) -> bool:
    both = ~np.isnan(ours) & ~np.isnan(theirs)
    return bool(both.any()) and bool(np.mean(np.isclose(theirs[both], ours[both], rtol=1e-6, atol=1e-12)) > 0.999)


@pytest.mark.parametrize("peer", ["Polars", "KunQuant"])
def test_rank_ic_beside(duel: Duel, size: str, threads: int, peer: str) -> None:
    """RankIC by date of one factor that exists, from values and labels, without gaps.

    KunQuant gives nothing on a date with a gap, and ranks only the factor: its labels are ranked beforehand, not timed,
    and so are ours beside it. It computes in float32: equal to 2e-5.
    """
    module = _needed(peer)
    whole = random_panel(*SIZES[size], missing=0.0)
    labels = np.ascontiguousarray(ff.forward_returns(whole)[:-2])  # the last two dates have no return yet
    values = np.ascontiguousarray(whole["VOLUME"][:-2])
    theirs = module.rank_ic(values, labels, threads)
    tolerance = 2e-5 if peer == "KunQuant" else 1e-5
    np.testing.assert_allclose(theirs.values(theirs.run()), ff.rank_ic(values, labels), atol=tolerance)
    known = SortedRows.of(labels) if peer == "KunQuant" else labels
    duel(lambda: ff.rank_ic(values, known), {peer: Yardstick(theirs.run)}, group=f"beside {peer}")
