"""A round is told once it is written; the next one does not wait for that."""

from __future__ import annotations

import math
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from fama_fast.errors import StoreError
from fama_fast.ledger.ledger import Ledger
from fama_fast.mining.progress.plain import NoProgress, RoundReport
from fama_fast.mining.run import steps
from fama_fast.mining.run.background_writer import BackgroundWriter
from fama_fast.mining.run.mine import mine

if TYPE_CHECKING:
    from pathlib import Path


def test_what_was_begun_is_done_and_said_before_the_next_and_at_the_end() -> None:
    events: list[str] = []
    with BackgroundWriter() as behind:
        for name in "abc":
            behind.submit(partial(events.append, f"{name} done"), partial(events.append, f"{name} said"))
            behind.begin()
            behind.begin()  # begun already
    assert events == ["a done", "a said", "b done", "b said", "c done", "c said"]


def test_an_error_is_raised_where_it_is_waited_for_and_nothing_is_said() -> None:
    def fails() -> None:
        raise StoreError("the disk is full")

    said: list[str] = []
    behind = BackgroundWriter()
    behind.submit(fails, lambda: said.append("said"))
    with pytest.raises(StoreError, match="the disk is full"):
        behind.submit(lambda: said.append("done"), lambda: said.append("said"))
    behind.finish()  # the error was told once
    assert not said
    with pytest.raises(StoreError, match="the disk is full"), BackgroundWriter() as other:
        other.submit(fails, lambda: said.append("said"))
    assert not said


def test_the_next_round_is_at_its_gates_while_the_last_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger waits for the second round's gates, which would be for ever if these waited for the ledger."""
    gates, real_gates, real_commit = threading.Event(), steps.pass_gates, Ledger.commit_round
    told: list[int] = []

    class Told(NoProgress):
        def round_done(self, report: RoundReport) -> None:
            told.append(report.number)

    def passing(candidates: Any, state: Any, *rest: Any) -> Any:
        if state.round == 1:
            assert told == []
            gates.set()
        return real_gates(candidates, state, *rest)

    def committing(self: Ledger, run: Any, number: int, *rest: Any, **named: Any) -> None:
        assert number > 1 or gates.wait(60)
        real_commit(self, run, number, *rest, **named)

    monkeypatch.setattr(steps, "pass_gates", passing)
    monkeypatch.setattr(Ledger, "commit_round", committing)
    monkeypatch.setattr("fama_fast.mining.run.loop._LONG_ROUND", math.inf)  # also where kernels are compiled first
    settings = {
        "data": {"simulator": {"symbols": 30, "dates": 260}},
        "run": {"rounds": 3, "seed": 1},
        "paths": {"output_dir": str(tmp_path)},
        "control": {"random": False},
    }
    mine(settings, progress=Told())
    assert told == [1, 2, 3]
