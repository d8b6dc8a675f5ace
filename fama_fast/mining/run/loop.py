"""The mining loop, from opening the data to the verdict.

1. `open_data` loads the data, or simulates it when no file is named; with `run.memory_budget` it stays on disk.
2. The library starts from the factor cache, files or the seeds (`starting.starting_library`), measured on training
   rows (`state.first_state`); its clusters become chains (`chains.build_chains`).
3. Each round: exemplars, a path and a direction for each prompt (`contexts.choose_contexts`), proposals, gates and
   admission (`steps.pass_gates`), chains (`chains.grow_chains`), what a model learns from its results
   (`experience.learn_results`), failures, the pool's validation score
   (`steps.update_pool`), one ledger transaction, beside the next round (`writer`).
4. Rounds end by number, budget, patience on validation, or an exhausted proposer (`_stop`); without a short list by
   wanted factors too.
5. The short list is chosen of everything that was measured (`listing.short_list`) and written (`ending.found`). Then
   the null controls are run (`control`), the verdict counts every candidate, of earlier runs on the same data too, and
   where something holds the test split is opened, once (`ending`).
6. A run that fails, wherever it is, is recorded as failed with the reason, and can be resumed (`_left`).

Equal configuration, data and seed give equal factors and scores, bit for bit: no decision reads the clock,
unless `run.max_seconds` makes time a budget.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fama_fast._version import __version__
from fama_fast.errors import FamaError, OutputError, ProposerError, RunError, StoreError
from fama_fast.ledger.ownership import FAILED, INTERRUPTED, Heartbeat, in_words
from fama_fast.ledger.records import RunRecord, as_proposed, now
from fama_fast.library.codec import factor_to_dict
from fama_fast.mining.config_file import document, other_meaning
from fama_fast.mining.library.gates import funnel_of
from fama_fast.mining.measure.combination import FactorPool
from fama_fast.mining.progress.eta import TimeLeft
from fama_fast.mining.progress.plain import RoundReport, RunStart
from fama_fast.mining.run import chains, experience, near_copies, steps
from fama_fast.mining.run.asking import ask, count_of
from fama_fast.mining.run.background_writer import LEAVING, STOPPING, BackgroundWriter, on_thread
from fama_fast.mining.run.budget import allowance, spent
from fama_fast.mining.run.ending import Ending
from fama_fast.mining.run.starting import starting_library
from fama_fast.mining.run.state import first_state, restored_state
from fama_fast.mining.run.stopping import Stopped, StopRequest
from fama_fast.mining.run.themes import earlier_themes
from fama_fast.mining.run.to_records import (
    LIBRARY,
    candidates_of,
    described,
    exchange_of,
    read_before,
    record_of,
    split_days,
    start_of,
)
from fama_fast.mining.verdict.results import MiningResult, write_document

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fama_fast.ledger.ledger import Ledger
    from fama_fast.ledger.records import ChainStep
    from fama_fast.mining.config import MiningConfig
    from fama_fast.mining.measure.market import Market
    from fama_fast.mining.progress.plain import Progress
    from fama_fast.mining.run.starting import StartingLibrary
    from fama_fast.mining.run.state import LoopState
    from fama_fast.proposals.memory import Memory
    from fama_fast.proposals.protocol import ProposalBatch, Proposer

_LONG_ROUND = 2.0  # seconds; a longer one is written and reported at once rather than beside the next one


class Miner:
    """Runs one search. Use `mine`."""

    def __init__(
        self,
        config: MiningConfig,
        market: Market,
        proposer: Proposer,
        ledger: Ledger,
        progress: Progress,
        resumed: RunRecord | None,
        asked: StopRequest | None,
        output: str | Path | None,
        data: dict[str, Any],
        start: StartingLibrary | None = None,
    ) -> None:
        self.config, self.market, self.proposer = config, market, proposer
        self.ledger, self.progress, self.resumed = ledger, progress, resumed
        self.asked, self.output, self.data = asked or StopRequest(), output, dict(data)
        self.start = start  # what a new run starts from, where it was read already
        self.started_at = now()
        self.clock = self.budget_began = time.monotonic()
        self.eta = TimeLeft(config)
        self.pool = FactorPool(market, config.pool)
        self.ending = Ending(config, market, ledger, progress, proposer.name, self.pool, self.asked, self.data)
        self._memory: Memory | None = None
        self._safe = ""  # what of a result is written before its end
        self._looks = near_copies.looks(config, proposer.capabilities)
        self._stopped_at: Counter[str | None] = Counter()  # candidates of the whole run by gate

    def run(self) -> MiningResult:
        """Run all rounds, then the verdict."""
        self.progress.phase("measuring the library")
        state: LoopState | None = None
        if self.resumed is None:
            run, state = self._begin()
        else:
            run = self.ledger.claim_run(self.resumed)
        rounds = run.rounds
        try:
            with Heartbeat(lambda: self.ledger.beat(run.id)):
                if state is None:
                    state = self._go_on(run)
                self._say_run(run, state)
                if self.config.llm.memory and self.proposer.capabilities.uses_prompt:
                    self._memory = earlier_themes(self.ledger, run, split_days(self.market)["test"]["first"])
                return self._search(run, state)
        except BaseException as error:
            failure = self._left(run, rounds if state is None else state.round, error)
            if failure is error:
                raise
            raise failure from error

    def _search(self, run: RunRecord, state: LoopState) -> MiningResult:
        # A run that was killed after it opened its test must not search on.
        stop = self._stop(state) or (None if run.test_opened_at is None else "ended before")
        with BackgroundWriter(lambda: self.asked.reason is not None) as writer:
            while stop is None and self.asked.reason is None:
                self._round(run, state, writer)
                stop = self._stop(state)
        try:
            if stop is not None:
                if state.near_copies:
                    self.progress.note(f"{state.near_copies:,} proposals were near-copies, left out unmeasured")
                self._write_found(run, state, stop)
                return self.ending.conclude(run, state, stop)
        except Stopped:
            pass
        assert self.asked.reason is not None
        result = self.ending.interrupted(run, state, self.asked.reason)
        self.ledger.keep_factors(run.id, [factor_to_dict(f) for f in result.factors])
        self.ledger.leave_run(run.id, INTERRUPTED, self.asked.reason)
        return result

    def _write_found(self, run: RunRecord, state: LoopState, stop: str) -> None:
        """Write the search result to the output; the ledger has it already, and no later failure may cost it."""
        self.ending.doing = "the end of the run"
        factors = self.ending.factors(state)
        new = len(factors)
        self.ledger.keep_factors(run.id, [factor_to_dict(f) for f in factors])
        self._safe = f"the search is over and kept, {new} new factor{'' if new == 1 else 's'} in the ledger"
        if self.output is None:
            return
        result = self.ending.found(run, state, stop, funnel_of(self._stopped_at))
        try:
            write_document(result.to_dict(), self.output)
            self._safe += f" and in {self.output}"
        except OutputError as error:
            self.progress.note(f"warning: {error}; it is tried again when the run ends")

    def _left(self, run: RunRecord, rounds: int, error: BaseException) -> BaseException:
        """Record why this process leaves the run; returns the exception to raise for `error`, which says what was
        committed and how to resume."""
        status, reason = (INTERRUPTED, "stopped at once") if isinstance(error, KeyboardInterrupt) else (FAILED, "")
        doing = f"{self.ending.doing}: " if self.ending.doing else ""
        # The ledger itself may be what failed, or hangs.
        with suppress(StoreError, TimeoutError):
            on_thread(lambda: self.ledger.leave_run(run.id, status, f"{doing}{reason or in_words(error)}")).result(
                LEAVING if isinstance(error, Exception) else STOPPING
            )
        committed = self._safe or (f"{rounds} rounds are kept" if rounds else "the run is kept")
        to_go_on = f"{committed}, to go on: fama-fast mine --resume {run.id}"
        if self.ending.doing == "the control":
            to_go_on += ", or with 'control: {random: false, shuffle: 0}' in the configuration to go on without"
        if isinstance(error, MemoryError):
            return RunError(f"{doing}{in_words(error)}; {to_go_on} (run.memory_budget bounds what is used)")
        if isinstance(error, FamaError):
            return error if "--resume" in str(error) else type(error)(f"{doing}{error}; {to_go_on}")
        if isinstance(error, Exception):
            with suppress(OSError):  # the reader of the notes may be what has gone
                self.progress.note(f"failed: {doing}{in_words(error)}; {to_go_on}")
        return error

    def _start(self, run: RunRecord, state: LoopState) -> RunStart:
        return RunStart(
            run=run.id,
            ledger=self.ledger.place,
            version=run.version,
            proposer=self.proposer.name,
            seed=run.seed,
            rounds=self.config.run.rounds,
            wanted=self.config.run.wanted,
            done=state.round,
            data=described(self.data),
            settings=document(self.config),
        )

    def _say_run(self, run: RunRecord, state: LoopState) -> None:
        if self.resumed is not None:
            self.progress.note(f"run {run.id}: going on after {state.round} rounds, ledger {self.ledger.place}")
        else:
            self.progress.note(f"run {run.id}: proposer {self.proposer.name}; ledger {self.ledger.place}")
            meant = other_meaning(self.config)
            if meant is not None:
                self.progress.note(meant)
            if self.config.proposer == "evolve" and self.config.llm != type(self.config.llm)():
                self.progress.note("the llm settings are not used: set 'proposer: llm' to ask a language model")
        if self.proposer.capabilities.uses_prompt and self.config.llm.cutoff is not None:
            self.progress.note(read_before(self.market, self.config.llm.cutoff))
        self.progress.run_started(self._start(run, state))

    def _go_on(self, run: RunRecord) -> LoopState:
        if run.state is None:
            raise StoreError(f"run {run.id} has no stored state to go on from: start a new one")
        start = self.ledger.starting_factors(run.id)
        self._stopped_at.update(self.ledger.gate_counts(run.id))
        rows = self.ledger.candidates(run.id)
        state = restored_state(self.market, run.state, rows, start)
        if self._looks:
            begun = [state.begun_as.get(f.fingerprint) or f.canonical for f in start]
            met = [as_proposed(row)[1] for row in rows if row["fingerprint"]]
            state.near = near_copies.look_again(self.market, self.config, [*begun, *met])
        self.budget_began -= state.seconds  # what earlier parts of the run took is spent
        return state

    def _begin(self) -> tuple[RunRecord, LoopState]:
        start = self.start or starting_library(self.config.paths.factor_cache, self.config.library)
        self.data[LIBRARY] = start.record()
        state, notes = first_state(self.market, start.factors)
        if self._looks:
            begun = [m.factor.as_proposed[0] for m in state.library.members]
            state.near = near_copies.look_again(self.market, self.config, begun)
        for text in (*start.notes, *notes):
            self.progress.note(text)
        best = max((m.factor for m in state.library.members), key=lambda f: f.score, default=None)
        known = f", best training RankIC {best.score:+.4f}: {best.canonical}" if best else ""
        self.progress.note(f"scored {len(state.library)} factors from {start.source}{known}")
        return self._new_run(state, chains.build_chains(state, self.config, self.market)), state

    def _new_run(self, state: LoopState, chains: Sequence[ChainStep]) -> RunRecord:
        stamp = self.started_at.replace("-", "").replace(":", "")[:15]
        panel = self.market.whole
        run = RunRecord(
            id=f"{stamp}-{secrets.token_hex(3)}",
            source=panel.source,
            data_hash=panel.data_hash,
            seed=self.config.run.seed,
            proposer=self.proposer.name,
            config=document(self.config),
            version=__version__,
            started_at=self.started_at,
            state=state.to_dict(),
            data=self.data,
        )
        self.ledger.start_run(run, start=start_of(state), steps=chains)
        return run

    def _stop(self, state: LoopState) -> str | None:
        """The reason to end the search, or None. A function of the state, and of the clock where time is a budget."""
        run, new = self.config.run, len(state.new_factors)
        if state.round == 0:
            return None
        if not self.config.lists and new >= self.config.run.wanted:
            return f"{new} new factors, as many as were wanted"
        used_up = spent(self.config, tokens=state.tokens, cost=state.cost, began=self.budget_began)
        if used_up is not None:
            return used_up
        if state.exhausted:
            return "the proposer has nothing more to propose"
        if state.round >= run.rounds:
            return f"{state.round} rounds done"
        if run.max_candidates is not None and state.proposed >= run.max_candidates:
            return f"{state.proposed} candidates, the budget is {run.max_candidates}"
        if state.stale >= run.patience:
            return f"no gain of the pool's validation RankIC for {state.stale} rounds"
        return None

    def _round(self, run: RunRecord, state: LoopState, writer: BackgroundWriter) -> None:
        number, began = state.round + 1, time.perf_counter()
        config, market = self.config, self.market
        count = count_of(state, config)
        times = 1 if state.near is None else near_copies.MORE
        shown, request = ask(state, config, market, number, times=times, memory=self._memory)
        if self.proposer.capabilities.costs_money:
            writer.finish()  # nobody pays for a round whose ledger is gone, nor waits for an answer to hear of the last
        self.progress.phase(f"round {number}: asking {self.proposer.name} for {count} candidates")
        asked = time.perf_counter()
        stopped = lambda: self.asked.reason is not None  # noqa: E731
        began, say = self.budget_began, self.progress.note
        left = allowance(config, tokens=state.tokens, cost=state.cost, began=began, stopped=stopped, say=say)
        batch = self._propose(run, replace(request, allowance=left), number)
        for text in batch.notes:
            self.progress.note(text)
        if batch.stopped:
            return  # no whole round: going on later asks for it again, and finds in the log what came
        writer.begin()  # not before: proposing leaves the interpreter to nobody, kernels do
        candidates = candidates_of(batch)
        state.exhausted = not candidates
        answered = (time.perf_counter() - asked) / max(1, len(candidates))
        if state.near is not None:
            candidates = near_copies.left_of(candidates, count, state, market)
        self.progress.phase(f"round {number}: {len(candidates)} candidates at the gates")
        evaluated = time.perf_counter()
        experience.take_hypotheses(state, batch.hypotheses)
        admitted = steps.pass_gates(candidates, state, config, market, number, self.proposer.name)
        each = (time.perf_counter() - evaluated) / max(1, len(candidates))
        chain_steps = chains.grow_chains(state, config, market, admitted, experience.named_parents(candidates))
        experience.learn_results(state, config, market, candidates, number)
        steps.remember_failures(state, candidates)
        steps.update_pool(state, self.pool, config)
        state.round = number
        state.proposed += len(candidates)
        state.tokens += batch.usage.prompt_tokens + batch.usage.completion_tokens
        state.cost += batch.usage.cost
        state.logged_tokens += batch.usage.logged_tokens
        state.logged_cost += batch.usage.logged_cost
        if config.run.max_seconds is not None:
            state.seconds = round(time.monotonic() - self.budget_began, 3)
        for candidate in candidates:
            candidate.seconds = each
        timings = {"propose": round(answered, 6), "gates": round(each, 6)}
        model = self.config.llm.model
        # As they are now: the next round goes on with the state.
        name, turned = self.proposer.name, state.turned
        records = [record_of(c, name, turned=turned, model=model, timings=timings) for c in candidates]
        exchange, after = exchange_of(batch, shown), state.to_dict()

        def write() -> None:
            try:
                self.ledger.commit_round(run, number, records, exchange=exchange, steps=chain_steps, state=after)
            except StoreError as error:
                raise StoreError(f"{error} (round {number}{self._kept(run, number)})") from error

        self._stopped_at.update(c.gate for c in candidates)
        self.ending.candidates += len(candidates)
        self.ending.seconds += each * len(candidates)
        report = self._report(run, state, len(candidates), len(admitted), began, each)
        if shown[0].selection is not None:
            chosen = shown[0].selection.diversity()
            report = replace(
                report,
                exemplar_correlation=chosen["exemplar_correlation"],
                library_correlation=chosen["library_correlation"],
            )
        writer.submit(write, lambda: self.progress.round_done(report))
        if report.seconds > _LONG_ROUND:
            writer.finish()

    def _propose(self, run: RunRecord, request: Any, number: int) -> ProposalBatch:
        try:
            return self.proposer.propose(request)
        except ProposerError as error:
            raise ProposerError(f"{error} (round {number}{self._kept(run, number)})") from error

    @staticmethod
    def _kept(run: RunRecord, number: int) -> str:
        return f"; the {number - 1} rounds before are kept: --resume {run.id}" if number > 1 else ""

    def _report(
        self, run: RunRecord, state: LoopState, proposed: int, admitted: int, began: float, each: float
    ) -> RoundReport:
        new = state.new_factors
        seconds, elapsed = time.perf_counter() - began, time.monotonic() - self.clock
        self.eta.round_took(seconds)
        return RoundReport(
            number=state.round,
            of=self.config.run.rounds,
            proposed=proposed,
            admitted=admitted,
            new_factors=len(new),
            wanted=self.config.run.wanted,
            funnel=funnel_of(self._stopped_at),
            best_train=max((f.score for f in new), default=None),
            pool_valid=state.pool.get("rank_ic"),
            seconds=seconds,
            rate=1.0 / each if proposed and each > 0.0 else 0.0,
            candidates=state.proposed,
            tokens=state.tokens,
            cost=state.cost,
            logged_tokens=state.logged_tokens,
            logged_cost=state.logged_cost,
            elapsed=elapsed,
            left=self.eta.seconds_left(state, time.monotonic() - self.budget_began),
        )
