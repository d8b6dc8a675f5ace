"""Looking for thread pools and importing compiled modules at a time can stop a process for ever; they take turns."""

from __future__ import annotations

import importlib
import threading

import pytest

rank_correlation = importlib.import_module("fama_fast.evaluation.rank_correlation")


def test_thread_pools_are_looked_for_once_an_import_beside_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, entered = threading.Event(), threading.Event()
    importing = threading.Thread(target=go_on.wait)
    monkeypatch.setattr(rank_correlation, "_IMPORTING", [importing])
    importing.start()

    def work() -> None:
        with rank_correlation.one_thread():
            entered.set()

    worker = threading.Thread(target=work)
    worker.start()
    assert not entered.wait(0.2)
    go_on.set()
    assert entered.wait(60)
    worker.join(60)


def test_an_import_beside_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_correlation, "_IMPORTING", [])
    thread = rank_correlation.import_beside("json.tool")
    assert [thread] == rank_correlation._IMPORTING
    with rank_correlation.one_thread():
        assert not thread.is_alive()
