"""Each operator with a kernel on one panel, beside copying one field of it in memory, on one thread and on two."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benches import yardsticks
from benches.ours import Prepared
from benches.panels import with_alpha101_inputs
from fama_fast import ops

if TYPE_CHECKING:
    from benches.duel import Duel
    from fama_fast.panel import Panel

OPERATORS = [s for s in ops.specs() if s.kernel and s.name != "MASK"]
QUICK = {"RANK", "ADD", "DELTA", "TS_MEAN", "TS_STDDEV", "CORREL", "TS_RANK", "TS_MAX", "DECAY_LINEAR", "GROUP_RANK"}


def _cases() -> list[object]:
    return [pytest.param(s, id=s.name, marks=[pytest.mark.quick] if s.name in QUICK else []) for s in OPERATORS]


@pytest.fixture(scope="module")
def full_panel(panel: Panel) -> Panel:
    """With every field that an operator's example names; one, so that its fields are laid out once."""
    return with_alpha101_inputs(panel)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("spec", _cases())
def test_operator(duel: Duel, full_panel: Panel, spec: ops.OpSpec, threads: int) -> None:
    prepared = Prepared([spec.example], full_panel)
    duel(
        prepared.run,
        {"copy": yardsticks.copy(full_panel)},
        group=f"operators, {threads} thread{'s' * (threads > 1)}",
        prepare=lambda: (threads,),
    )


@pytest.mark.parametrize("d", [5, 20, 60, 250])
@pytest.mark.parametrize("name", ["TS_MEAN", "TS_STDDEV", "TS_MAX", "TS_RANK", "TS_MEDIAN", "CORREL", "DECAY_LINEAR"])
def test_window(duel: Duel, panel: Panel, name: str, d: int) -> None:
    """The cost of a longer window."""
    inside = "CLOSE, VOLUME" if name == "CORREL" else "CLOSE"
    prepared = Prepared([f"{name}({inside}, {d})"], panel)
    duel(prepared.run, {"copy": yardsticks.copy(panel)}, group="windows, 1 thread", prepare=lambda: (1,))
