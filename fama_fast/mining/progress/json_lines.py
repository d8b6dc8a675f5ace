"""Progress as JSON Lines on standard output: one object an event, each written whole and at once.

Every object has `event` and `run` (the run's id). Later versions may add keys, never change what one means. Missing
figures are null. Text is ASCII with JSON escapes, so that a line is a line to every reader. The events:

`start`, once:
    schema      1
    version     of fama_fast
    ledger      where the run is kept
    proposer, seed
    rounds, wanted          rounds and new factors at most
    done        rounds that were committed before (0 unless the run is resumed)
    data        source, hash, dates, symbols, first, last, fields, groups, universe, warnings

`round`, once for every round of this process, unless rounds are switched off:
    number, of              this round, and rounds at most
    proposed, admitted      in this round
    new_factors, wanted     found so far, and at most
    candidates              proposed in the run so far
    funnel                  candidates stopped so far by gate, and "admitted"
    best_train              best oriented training RankIC among new factors
    pool_valid              validation RankIC of the wide pool, by what is known of its formulas
    exemplar_correlation, library_correlation       mean |correlation| inside each
    seconds, candidates_per_second                  of this round
    tokens, cost            of the run's model answers so far
    logged_tokens, logged_cost      of these, from the log of exchanges: not paid for again
    elapsed, left           seconds of search in this process; seconds that it may still take at most

`end`, once, last:
    exit_code   of the command: 0 found, 1 nothing met the bar, 130 interrupted and to be resumed
    result      the result document, as `--output` writes it

`error`, once, last, in place of `end` where the command fails, before the run began or after:
    exit_code   of the command: 2, or 130 when it was stopped at once
    kind        of the error, such as StoreError
    message     what standard error says too
    resume      the command that goes on with the run; null where there is none yet
    duplicates, count       of data with rows of one key that differ: such keys with their rows, and how many there are

For a run that had ended before it was resumed there is only `end`.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, TextIO

from fama_fast.ledger.records import plain
from fama_fast.mining.progress.plain import NoProgress, PlainProgress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fama_fast.mining.progress.plain import RoundReport, RunStart

SCHEMA = 1


class JsonProgress(NoProgress):
    """Writes `start` and `round` events as JSON; notes go to `notes` as lines."""

    def __init__(self, stream: TextIO | None = None, *, notes: TextIO | None = None, rounds: bool = True) -> None:
        self._stream = stream
        self._notes = PlainProgress(notes or sys.stderr)
        self._rounds = rounds
        self.run = ""

    def _write(self, event: str, values: Mapping[str, Any]) -> None:
        print(_line(event, self.run, values), file=self._stream or sys.stdout, flush=True)

    def note(self, text: str) -> None:
        self._notes.note(text)

    def run_started(self, start: RunStart) -> None:
        self.run = start.run
        self._write(
            "start",
            {
                "schema": SCHEMA,
                "version": start.version,
                "ledger": start.ledger,
                "proposer": start.proposer,
                "seed": start.seed,
                "rounds": start.rounds,
                "wanted": start.wanted,
                "done": start.done,
                "data": dict(start.data),
            },
        )

    def round_done(self, report: RoundReport) -> None:
        if not self._rounds:
            return
        self._write(
            "round",
            {
                "number": report.number,
                "of": report.of,
                "proposed": report.proposed,
                "admitted": report.admitted,
                "new_factors": report.new_factors,
                "wanted": report.wanted,
                "candidates": report.candidates,
                "funnel": report.funnel,
                "best_train": report.best_train,
                "pool_valid": report.pool_valid,
                "exemplar_correlation": report.exemplar_correlation,
                "library_correlation": report.library_correlation,
                "seconds": round(report.seconds, 3),
                "candidates_per_second": round(report.rate, 1),
                "tokens": report.tokens,
                "cost": report.cost,
                "logged_tokens": report.logged_tokens,
                "logged_cost": report.logged_cost,
                "elapsed": round(report.elapsed, 3),
                "left": None if report.left is None else round(report.left, 3),
            },
        )


def end_line(run: str, document: Mapping[str, Any], exit_code: int) -> str:
    """The `end` event as a line of JSON."""
    return _line("end", run, {"exit_code": exit_code, "result": dict(document)})


def error_line(run: str, error: BaseException, exit_code: int) -> str:
    """The `error` event as a line of JSON; `run` is empty where there is none yet."""
    said = getattr(error, "format_message", None)  # of a wrong use, as the command line's library words it
    text = said() if said is not None else str(error)
    values = {
        "exit_code": exit_code,
        "kind": type(error).__name__,
        "message": "\n".join([text or type(error).__name__, *getattr(error, "__notes__", ())]),
        "resume": f"fama-fast mine --resume {run}" if run else None,
    }
    return _line("error", run, {**getattr(error, "details", {}), **values})


def _line(event: str, run: str, values: Mapping[str, Any]) -> str:
    return json.dumps(plain({"event": event, "run": run, **values}), allow_nan=False)
