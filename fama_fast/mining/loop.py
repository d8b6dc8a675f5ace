"""The mining loop.

1. `open_data` loads the data, or simulates it when no file is named; with `run.memory_budget` it stays on disk.
2. The library starts from the factor cache or the seeds, measured on training rows (`state.first_state`); its
   clusters become chains (`steps.build_chains`).
3. Each round: exemplars and a chain (`steps.choose_context`), proposals, gates and admission
   (`steps.pass_gates`), chains (`steps.grow_chains`), failures, the pool's validation score
   (`steps.update_pool`), one ledger transaction, beside the next round (`behind`).
4. Rounds end by number, wanted factors, budget, patience on validation, or an exhausted proposer (`_stop`).
5. Controls select from luck (`control`); the verdict counts every candidate, of earlier runs on the same data too;
   what holds is scored on the test split, once (`_conclude`).

Equal configuration, data and seed give equal factors and scores, bit for bit: no decision reads the clock,
unless `run.max_seconds` makes time a budget.
"""

from __future__ import annotations

import gc
import importlib
import secrets
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fama_fast import __version__
from fama_fast.errors import ClusterError, ConfigError, ProposerError, StoreError
from fama_fast.mining import steps
from fama_fast.mining.behind import Behind
from fama_fast.mining.bookkeeping import (
    candidates_of,
    deciding_settings,
    describe,
    exchange_of,
    funnel,
    funnel_of,
    record_of,
    split_days,
    start_of,
)
from fama_fast.mining.budget import allowance, spent
from fama_fast.mining.config import MiningConfig
from fama_fast.mining.config_file import config_from_dict, document
from fama_fast.mining.control import Control, run_controls
from fama_fast.mining.distributed import open_market
from fama_fast.mining.earlier import earlier_runs
from fama_fast.mining.ledger import Ledger
from fama_fast.mining.objectives import front_rows
from fama_fast.mining.pace import Pace
from fama_fast.mining.progress import NoProgress, RoundReport, RunStart
from fama_fast.mining.records import RunRecord, now
from fama_fast.mining.results import MiningResult
from fama_fast.mining.setup import (
    check_budget,
    configured_proposer,
    ledger_place,
    open_data,
    read_through,
    resumable,
    say_source,
)
from fama_fast.mining.state import (
    check_cache,
    first_state,
    known_figures,
    restored_state,
    save_factors,
    starting_factors,
)
from fama_fast.mining.stopping import StopRequest, interrupted
from fama_fast.mining.tracking import tracked
from fama_fast.mining.verdict import conclude, evidence, judge_factors, spent_level

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fama_fast.library.factor import Factor
    from fama_fast.mining.market import Market
    from fama_fast.mining.pool import PoolScores
    from fama_fast.mining.progress import Progress
    from fama_fast.mining.protocol import ProposalBatch, Proposer
    from fama_fast.mining.records import ChainStep
    from fama_fast.mining.state import LoopState
    from fama_fast.panel import Panel
    from fama_fast.panel.dataset import Dataset

_COLLECTED_AFTER = 50_000  # objects that were made and not freed
_LONG_ROUND = 2.0  # seconds; then it is told at once, for the next one would let it wait, and writing it takes 0.01


def mine(
    config: MiningConfig | Mapping[str, Any] | None = None,
    *,
    panel: Panel | Dataset | None = None,
    proposer: Proposer | None = None,
    progress: Progress | None = None,
    resume: str | None = None,
    stop: StopRequest | None = None,
) -> MiningResult:
    """Mine factors.

    Args:
        config: settings, or a mapping of them; defaults for what is not given.
        panel: the data, in place of what `config.paths` names; a `Dataset` is read in parts, within
            `run.memory_budget`. proposer: in place of the configured one.
        progress: where to report to; nowhere by default.
        resume: id of an unfinished run in the ledger (or "last") to go on with.
        stop: asked to stop, the run ends after the batch at hand with what there is; it can be resumed.

    Returns:
        The result; `exit_code` is 1 when nothing met the bar.

    Raises:
        ConfigError: wrong settings, or a resumed run whose settings or data were different.
        DataError: data that cannot be mined. StoreError: the ledger. ProposerError: the proposer gave up;
            rounds that were committed stay and can be resumed. ClusterError: the cluster was lost; so do they.
    """
    settings = config if isinstance(config, MiningConfig) else config_from_dict(config or {})
    told: Progress = progress or NoProgress()
    record = None
    opened = ExitStack()
    opened.enter_context(_old_objects_left_alone())
    # Last, and come what may, for it has the terminal; whatever `told` is by then.
    opened.callback(lambda: told.close())  # noqa: PLW0108
    try:
        if resume is not None:
            with Ledger.open(ledger_place(settings), create=False) as ledger:
                record = resumable(ledger, resume, settings)
        # Everything that can be wrong is met before the ledger is written to, or made.
        check_budget(settings, panel)
        data = panel if panel is not None else open_data(settings)
        read_through(data, settings)
        say_source(data, told)
        if record is not None and record.data_hash != data.data_hash:
            raise ConfigError(
                f"run {record.id} was made on other data: {record.source} with hash {record.data_hash}, "
                f"now {data.source} with hash {data.data_hash}"
            )
        opened.enter_context(_clustering_made_ready(settings))
        proposer = proposer or configured_proposer(settings)
        market = opened.enter_context(
            open_market(data, settings, given=panel is not None, note=lambda text: told.note(f"warning: {text}"))
        )
        if settings.paths.factor_cache is not None and settings.run.update_cache:
            check_cache(settings.paths.factor_cache)
        told = tracked(settings, told)
        with Ledger.open(ledger_place(settings)) as ledger:
            result = Miner(settings, market, proposer, ledger, told, record, stop).run()
        told.run_ended(result.to_dict())
        return result
    finally:
        opened.close()


@contextmanager
def _old_objects_left_alone() -> Iterator[None]:
    """Inside the block the collector of cycles passes over what was there before it: modules by the hundred thousand
    objects, that a long run would have looked through over and over. It comes seldom, for a search makes expressions by
    the million and hardly a cycle (a fourteenth of the time of a run on 500 symbols x 1260 days before)."""
    thresholds = gc.get_threshold()
    gc.freeze()
    if thresholds[0]:  # else somebody has switched it off
        gc.set_threshold(max(_COLLECTED_AFTER, thresholds[0]), *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


@contextmanager
def _clustering_made_ready(config: MiningConfig) -> Iterator[None]:
    """Inside the block a thread imports what clusters the library: a second or two, and the block's kernels leave the
    interpreter to it."""
    if not (config.run.use_css or config.run.use_coe):
        yield
        return
    ready = threading.Thread(target=importlib.import_module, args=("sklearn.cluster",), name="import of clustering")
    ready.start()
    try:
        yield
    finally:
        ready.join()


class Miner:
    """One run. Use `mine`."""

    def __init__(
        self,
        config: MiningConfig,
        market: Market,
        proposer: Proposer,
        ledger: Ledger,
        progress: Progress,
        resumed: RunRecord | None,
        asked: StopRequest | None = None,
    ) -> None:
        self.config, self.market, self.proposer = config, market, proposer
        self.ledger, self.progress, self.resumed = ledger, progress, resumed
        self.asked = asked or StopRequest()
        self.began, self.started_at = time.perf_counter(), now()
        self.clock = self.budget_began = time.monotonic()
        self.pace = Pace(config)
        self.pool = market.new_pool(config.pool)
        self._evaluated_seconds = 0.0
        self._candidates_here = 0
        self._stopped_at: Counter[str | None] = Counter()  # candidates of the whole run by gate

    def run(self) -> MiningResult:
        """All rounds, then the verdict."""
        self.progress.phase("measuring the library")
        run, state = self._begin() if self.resumed is None else self._go_on(self.resumed)
        self.progress.run_started(self._start(run, state))
        try:
            return self._search(run, state)
        except (ClusterError, ConfigError) as error:  # the cluster was lost; the memory budget does not hold a formula
            kept = f"{state.round} rounds are kept" if state.round else "the run is kept"
            raise type(error)(f"{error}; {kept}, to go on: fama-fast mine --resume {run.id}") from error

    def _search(self, run: RunRecord, state: LoopState) -> MiningResult:
        # A run that was killed after it opened its test must not search on.
        stop = self._stop(state) or (None if run.test_opened_at is None else "ended before")
        with Behind() as behind:
            while stop is None and self.asked.reason is None:
                self._round(run, state, behind)
                stop = self._stop(state)
        if stop is None:
            assert self.asked.reason is not None
            return self._interrupted(run, state, self.asked.reason)
        return self._conclude(run, state, stop)

    def _start(self, run: RunRecord, state: LoopState) -> RunStart:
        return RunStart(
            run=run.id,
            ledger=self.ledger.place,
            version=run.version,
            proposer=self.proposer.name,
            seed=run.seed,
            rounds=self.config.run.rounds,
            wanted=self.config.u,
            done=state.round,
            data=describe(self.market.whole),
            settings=document(self.config),
        )

    def _go_on(self, run: RunRecord) -> tuple[RunRecord, LoopState]:
        if run.state is None:
            raise StoreError(f"run {run.id} has no stored state to go on from: start a new one")
        start = self.ledger.starting_factors(run.id)
        self._stopped_at.update(self.ledger.gate_counts(run.id))
        state = restored_state(self.market, run.state, self.ledger.candidates(run.id), start)
        self.budget_began -= state.seconds  # what earlier parts of the run took is spent
        self.progress.note(f"run {run.id}: going on after {state.round} rounds, ledger {self.ledger.place}")
        return run, state

    def _begin(self) -> tuple[RunRecord, LoopState]:
        factors, where = starting_factors(self.config.paths.factor_cache)
        state, notes = first_state(self.market, factors)
        for text in notes:
            self.progress.note(text)
        best = max((m.factor for m in state.library.members), key=lambda f: f.score, default=None)
        known = f", best training RankIC {best.score:+.4f}: {best.canonical}" if best else ""
        self.progress.note(f"scored {len(state.library)} factors from {where}{known}")
        run = self._new_run(state, steps.build_chains(state, self.config))
        self.progress.note(f"run {run.id}: proposer {self.proposer.name}; ledger {self.ledger.place}")
        if self.config.proposer == "evolve" and self.config.llm != type(self.config.llm)():
            self.progress.note("the llm settings are not used: set 'proposer: llm' to ask a language model")
        return run, state

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
        )
        self.ledger.start_run(run, start=start_of(state), steps=chains)
        return run

    def _stop(self, state: LoopState) -> str | None:
        """Why the search is over, or None. A function of the state, and of the clock where time is a budget."""
        run, new = self.config.run, len(state.new_factors)
        if state.round == 0:
            return None
        if new >= self.config.u:
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

    def _round(self, run: RunRecord, state: LoopState, behind: Behind) -> None:
        number, began = state.round + 1, time.perf_counter()
        config, market = self.config, self.market
        context = steps.choose_context(state, config, number)
        count = config.batch_size
        if config.run.max_candidates is not None:
            count = min(count, config.run.max_candidates - state.proposed)
        if self.proposer.capabilities.costs_money:
            behind.finish()  # nobody pays for a round whose ledger is gone, nor waits for an answer to hear of the last
        self.progress.phase(f"round {number}: asking {self.proposer.name} for {count} candidates")
        asked = time.perf_counter()
        left = allowance(config, tokens=state.tokens, cost=state.cost, began=self.budget_began)
        request = replace(steps.make_request(state, config, market, context, number, count), allowance=left)
        batch = self._propose(run, request, number)
        for text in batch.notes:
            self.progress.note(text)
        behind.begin()  # not before: proposing leaves the interpreter to nobody, kernels do
        candidates = candidates_of(batch)
        answered = (time.perf_counter() - asked) / max(1, len(candidates))
        self.progress.phase(f"round {number}: {len(candidates)} candidates at the gates")
        evaluated = time.perf_counter()
        admitted = steps.pass_gates(candidates, state, config, market, number, self.proposer.name)
        each = (time.perf_counter() - evaluated) / max(1, len(candidates))
        chain_steps = steps.grow_chains(state, config, context.chain, admitted)
        steps.remember_failures(state, candidates)
        steps.update_pool(state, self.pool, config.run.min_gain)
        state.round = number
        state.proposed += len(candidates)
        state.tokens += batch.usage.prompt_tokens + batch.usage.completion_tokens
        state.cost += batch.usage.cost
        if config.run.max_seconds is not None:
            state.seconds = round(time.monotonic() - self.budget_began, 3)
        state.exhausted = not candidates
        for candidate in candidates:
            candidate.seconds = each
        timings = {"propose": round(answered, 6), "gates": round(each, 6)}
        model = self.config.llm.model
        # As they are now: the next round goes on with the state.
        name, turned = self.proposer.name, state.turned
        records = [record_of(c, name, turned=turned, model=model, timings=timings) for c in candidates]
        exchange, after = exchange_of(batch, context), state.to_dict()

        def write() -> None:
            try:
                self.ledger.commit_round(run, number, records, exchange=exchange, steps=chain_steps, state=after)
            except StoreError as error:
                raise StoreError(f"{error} (round {number}{self._kept(run, number)})") from error

        self._stopped_at.update(c.gate for c in candidates)
        self._candidates_here += len(candidates)
        self._evaluated_seconds += each * len(candidates)
        report = self._report(run, state, len(candidates), len(admitted), began, each)
        if context.selection is not None:
            chosen = context.selection.diversity()
            report = replace(
                report,
                exemplar_correlation=chosen["exemplar_correlation"],
                library_correlation=chosen["library_correlation"],
            )
        behind.give(write, lambda: self.progress.round_done(report))
        if report.seconds > _LONG_ROUND:
            behind.finish()

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
        self.pace.round_took(seconds)
        return RoundReport(
            number=state.round,
            of=self.config.run.rounds,
            proposed=proposed,
            admitted=admitted,
            new_factors=len(new),
            wanted=self.config.u,
            funnel=funnel_of(self._stopped_at),
            best_train=max((f.score for f in new), default=None),
            pool_valid=state.pool.get("rank_ic"),
            seconds=seconds,
            rate=1.0 / each if proposed and each > 0.0 else 0.0,
            candidates=state.proposed,
            tokens=state.tokens,
            cost=state.cost,
            elapsed=elapsed,
            left=self.pace.seconds_left(state, time.monotonic() - self.budget_began),
        )

    def _conclude(self, run: RunRecord, state: LoopState, stop: str) -> MiningResult:
        config, bar = self.config, self.config.verdict
        rows = self.ledger.candidates(run.id)
        new = state.new_factors
        before = earlier_runs(self.ledger, run)
        judged, tried = judge_factors(
            new, [(r["fingerprint"], r["scores"]) for r in rows], bar.fdr, elsewhere=before.not_among(rows)
        )
        valid = self.pool.valid(new) if new else None
        control, rivals = self._controls(rows, valid)
        model, horizon = config.pool.model, self.market.horizon
        holds = {f.fingerprint for f in judged if f.holds}
        test: dict[str, dict[str, float]] = {}
        tested: PoolScores | None = None
        if holds:
            holding = [f for f in new if f.fingerprint in holds]
            self.progress.phase("opening the test split")
            self.ledger.open_test(run)
            test = {k: known_figures(v) for k, v in self.market.open_test(holding).items()}
            tested = self.pool.test(holding)
            test["pool"] = tested.scores[model]
            if rivals:
                control = replace(control, pool_test=self.pool.test(rivals).scores[model])
        verdict = conclude(
            judged,
            tried,
            level=bar.fdr,
            test_level=spent_level(bar.test_level, before.openings(holds)),
            openings=before.openings(holds),
            factors={f.fingerprint: f for f in new},
            test=test,
            valid=evidence(valid, model, horizon=horizon, tried=tried),
            tested=evidence(tested, model, horizon=horizon),
            control=control,
        )
        result = MiningResult(
            factors=tuple(new),
            library=tuple(m.factor for m in state.library.members),
            verdict=verdict,
            funnel=funnel(rows),
            rounds=state.round,
            stop=stop,
            data=describe(self.market.whole),
            splits=split_days(self.market),
            settings=deciding_settings(config),
            proposer=self.proposer.name,
            test=test,
            rivals=rivals,
            front=front_rows(new, config.objectives) if config.objectives else [],
            record=self._timings(run),
        )
        self._save(new)
        scores = {f.fingerprint: dict(f.scores) for f in new}
        for fingerprint, figures in test.items():
            scores.setdefault(fingerprint, {})["test"] = figures
        if state.pool:
            scores.setdefault("pool", {})["valid"] = state.pool
        self.ledger.finish_run(run.id, verdict=verdict.as_dict(), summary=result.to_dict(), scores=scores)
        return result

    def _interrupted(self, run: RunRecord, state: LoopState, reason: str) -> MiningResult:
        """What there is after the rounds so far. Nothing is closed: the run stays open for `resume`."""
        bar = self.config.verdict
        rows = self.ledger.candidates(run.id)
        judged, tried = judge_factors(
            state.new_factors,
            [(r["fingerprint"], r["scores"]) for r in rows],
            bar.fdr,
            elsewhere=earlier_runs(self.ledger, run).not_among(rows),
        )
        return MiningResult(
            factors=tuple(state.new_factors),
            library=tuple(m.factor for m in state.library.members),
            verdict=interrupted(judged, tried, level=bar.fdr, test_level=bar.test_level),
            funnel=funnel(rows),
            rounds=state.round,
            stop=f"interrupted ({reason})",
            data=describe(self.market.whole),
            splits=split_days(self.market),
            settings=deciding_settings(self.config),
            proposer=self.proposer.name,
            record=self._timings(run),
        )

    def _controls(
        self, rows: Sequence[Mapping[str, Any]], valid: PoolScores | None
    ) -> tuple[Control, tuple[Factor, ...]]:
        config = self.config
        if not (config.control.random or config.control.shuffle):
            return Control(), ()
        self.progress.phase("what luck finds: the same gates for random formulas and shuffled labels")
        library, _ = starting_factors(config.paths.factor_cache)
        return run_controls(self.market, config, library, rows, valid)

    def _save(self, new: Sequence[Factor]) -> None:
        cache = self.config.paths.factor_cache
        if cache is not None and self.config.run.update_cache and new:
            save_factors(cache, new, starting_factors(cache)[0])
            self.progress.note(f"added {len(new)} new factors to the factor cache {cache}")

    def _timings(self, run: RunRecord) -> dict[str, Any]:
        seconds = time.perf_counter() - self.began
        rate = self._candidates_here / self._evaluated_seconds if self._evaluated_seconds > 0.0 else 0.0
        return {
            "run": run.id,
            "ledger": self.ledger.place,
            "version": run.version,
            "started_at": run.started_at or self.started_at,
            "finished_at": now(),
            "seconds": round(seconds, 3),
            "candidates_per_second": round(rate, 1),
        }
