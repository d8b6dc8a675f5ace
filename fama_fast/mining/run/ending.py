"""The end of a run: the search result first of all, then controls, verdict, test, and their records.

The search result is written before anything is judged, so that a later failure does not cost the search. `doing` names
the current part, for the message of a failure.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fama_fast.errors import DataError, OutputError, StoreError
from fama_fast.ledger.prior_runs import earlier_runs
from fama_fast.ledger.records import known_figures, now, trials_of
from fama_fast.library import FactorSet
from fama_fast.library.factor import Factor
from fama_fast.mining.library.gates import funnel
from fama_fast.mining.library.pareto import front_rows
from fama_fast.mining.run.controls import Compared, Controls, run_controls
from fama_fast.mining.run.listing import short_list
from fama_fast.mining.run.luck import luck_among, measure_again, shown_by_panel
from fama_fast.mining.run.starting import save_factors
from fama_fast.mining.run.to_records import LIBRARY, PLACES, deciding_settings, described, split_days
from fama_fast.mining.run.wide_judgement import wide_control_on_test, wide_findings, wide_scores, with_test
from fama_fast.mining.verdict.control import Control
from fama_fast.mining.verdict.results import MiningResult
from fama_fast.mining.verdict.verdict import conclude, evidence, interrupted, judge_factors, not_judged, spent_level

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fama_fast.ledger.ledger import Ledger
    from fama_fast.ledger.records import RunRecord
    from fama_fast.mining.config import MiningConfig
    from fama_fast.mining.measure.combination import FactorPool, PoolScores
    from fama_fast.mining.measure.market import Market
    from fama_fast.mining.progress.plain import Progress
    from fama_fast.mining.run.state import LoopState
    from fama_fast.mining.run.stopping import StopRequest
    from fama_fast.mining.verdict.findings import Verdict


class Ending:
    """Concludes one run: result, controls, verdict, test, records.

    Attributes:
        doing: what is being done, such as "the verdict"; empty before the end.
        candidates, seconds: evaluated by this process, and how long that took.
    """

    def __init__(
        self,
        config: MiningConfig,
        market: Market,
        ledger: Ledger,
        progress: Progress,
        proposer: str,
        pool: FactorPool,
        asked: StopRequest,
        data: dict[str, Any],
    ) -> None:
        self.config, self.market, self.ledger, self.progress = config, market, ledger, progress
        self.proposer, self.pool, self.asked, self.data = proposer, pool, asked, data
        self.began, self.started_at = time.perf_counter(), now()
        self.candidates, self.seconds = 0, 0.0
        self.doing = ""
        self._listed: tuple[int, tuple[Factor, ...]] | None = None  # the factors after so many rounds

    def found(self, run: RunRecord, state: LoopState, stop: str, stopped_at: Mapping[str, int]) -> MiningResult:
        """The result of the search alone: no verdict, the test closed."""
        verdict = not_judged(self.config.verdict.fdr, self.config.verdict.test_level)
        return self._result(run, state, verdict, dict(stopped_at), stop)

    def factors(self, state: LoopState) -> tuple[Factor, ...]:
        """The factors that the run ends with after so many rounds: its short list, or what it admitted."""
        if self._listed is None or self._listed[0] != state.round:
            self._listed = state.round, short_list(state, self.market, self.config, self.proposer)
        return self._listed[1]

    def _result(
        self, run: RunRecord, state: LoopState, verdict: Verdict, funnel: dict[str, int], stop: str
    ) -> MiningResult:
        """The result with the parts that do not depend on the verdict."""
        return MiningResult(
            factors=FactorSet(self.factors(state)),
            library=tuple(m.factor for m in state.library.members),
            verdict=verdict,
            funnel=funnel,
            rounds=state.round,
            stop=stop,
            data={**described(self.data), "warnings": [*self.data["warnings"], *self.market.left_out.said()]},
            splits=split_days(self.market),
            settings=deciding_settings(self.config),
            proposer=self.proposer,
            record=self._timings(run),
        )

    def conclude(self, run: RunRecord, state: LoopState, stop: str) -> MiningResult:
        """Run the whole end: controls, verdict, test, factor cache, ledger.

        Raises:
            Stopped: it was asked to before the test was opened.
        """
        config, bar = self.config, self.config.verdict
        self.doing = "the verdict"
        rows = trials_of(self.ledger.candidates(run.id))
        new = self.factors(state)
        before = earlier_runs(self.ledger, run)
        judged, tried = judge_factors(
            new, [(r["fingerprint"], r["scores"]) for r in rows], bar.fdr, elsewhere=before.not_among(rows)
        )
        valid = self.pool.valid(new) if new else None
        holds = {f.fingerprint for f in judged if f.holds}
        # A short list was chosen to be one pool, and goes to the test as one; of what was admitted what holds does.
        pooled = new if config.lists else tuple(f for f in new if f.fingerprint in holds)
        self.doing = "the wide pool"
        self.progress.phase("the wide pool: every formula that was measured, weighed into one forecast")
        assert state.wide is not None
        wide = wide_findings(state.wide, config)
        tested_names = ({f.fingerprint for f in pooled} if holds else set()) | (
            {state.wide.identity} if wide is not None and wide.stands else set()
        )
        openings = before.openings(tested_names)
        test_level = spent_level(bar.test_level, openings)
        self.doing = "the tests of the best candidate"
        self.progress.phase("what luck does with so many candidates")
        again = measure_again(self.market, rows, new, self.asked, state.figures)
        luck = luck_among(self.market, again)
        could_show = shown_by_panel(self.market, again, trials=tried.total, test_level=test_level)
        compared = Compared(pooled or new, self.pool, before.not_among(rows)) if new else None
        control, rivals, own, random_wide = self._controls(run, state, rows, valid, compared)
        model, horizon = config.pool.model, self.market.horizon
        test: dict[str, dict[str, float]] = {}
        tested: PoolScores | None = None
        self.asked.check()
        if holds or (wide is not None and wide.stands):
            self.doing = "the test"
            self.progress.phase("opening the test split")
            self.ledger.open_test(run)
            wide = None if wide is None else with_test(wide, state.wide, config, control.wide)
            if control.wide is not None and random_wide is not None and wide is not None and wide.stands:
                control = replace(control, wide=wide_control_on_test(control.wide, state.wide, random_wide, config))
        if holds:
            test = {k: known_figures(v) for k, v in self.market.open_test(pooled).items()}
            tested = self.pool.test(pooled)
            test["pool"] = tested.scores[model]
            if rivals:
                beside = tested if len(own) == len(pooled) else self.pool.test(own)
                theirs = self.pool.test(rivals)
                control = replace(control, pool_test=theirs.scores[model], own_test=beside.scores[model])
        self.doing = "the verdict"
        verdict = conclude(
            judged,
            tried,
            level=bar.fdr,
            test_level=test_level,
            openings=openings,
            factors={f.fingerprint: f for f in new},
            test=test,
            valid=evidence(valid, config, horizon=horizon, trials=0.0 if luck is None else luck.clusters),
            tested=evidence(tested, config, horizon=horizon),
            control=control,
            luck=luck,
            could_show=could_show,
            objective=config.objective,
            horizon=horizon,
            wide=wide,
        )
        result = replace(
            self._result(run, state, verdict, funnel(rows), stop),
            test=test,
            rivals=rivals,
            front=front_rows(new, config.objectives) if config.objectives else [],
        )
        scores = {f.fingerprint: dict(f.scores) for f in new}
        for fingerprint, figures in test.items():
            scores.setdefault(fingerprint, {})["test"] = figures
        if valid is not None:
            scores.setdefault("pool", {})["valid"] = valid.scores[model]
        for name, by_split in wide_scores(state.wide, wide).items():
            scores[name] = {**scores.get(name, {}), **by_split}
        # Before the run is closed, for a run that is killed in between saves again when it is resumed.
        unsaved = self._save(new)
        self.doing = "the record of the verdict"
        self.ledger.finish_run(run.id, verdict=verdict.as_dict(), summary=result.to_dict(), scores=scores)
        self.doing = ""
        return replace(result, unsaved=unsaved)

    def interrupted(self, run: RunRecord, state: LoopState, reason: str) -> MiningResult:
        """The result after the rounds so far. Nothing is closed: the run stays open for `resume`."""
        bar = self.config.verdict
        rows = trials_of(self.ledger.candidates(run.id))
        judged, tried = judge_factors(
            self.factors(state),
            [(r["fingerprint"], r["scores"]) for r in rows],
            bar.fdr,
            elsewhere=earlier_runs(self.ledger, run).not_among(rows),
        )
        verdict = interrupted(judged, tried, level=bar.fdr, test_level=bar.test_level)
        return self._result(run, state, verdict, funnel(rows), f"interrupted ({reason})")

    def _controls(
        self,
        run: RunRecord,
        state: LoopState,
        rows: Sequence[Mapping[str, Any]],
        valid: PoolScores | None,
        compared: Compared | None,
    ) -> Controls:
        config = self.config
        if not (config.control.random or config.control.shuffle):
            return Controls(Control(), (), (), None)
        self.doing = "the control"
        self.progress.phase("what luck finds: the same gates for random formulas and shuffled labels")
        # Not the factor cache as it is now: it has what this run, or another, added meanwhile.
        begun_with = self.ledger.starting_factors(run.id)
        library = [
            Factor(f.canonical, f.canonical, f.fingerprint, proposed=state.begun_as.get(f.fingerprint, ""))
            for f in begun_with
        ]
        more: dict[str, Any] = {"wide": state.wide, "looked": state.near is not None, "stop": self.asked}
        return run_controls(self.market, config, library, rows, valid, compared, **more)

    def _save(self, new: Sequence[Factor]) -> str:
        """Save the new factors in the factor cache; returns why that failed, empty where it did not or was not asked
        for."""
        cache = self.config.paths.factor_cache
        if cache is None or not self.config.run.update_cache or not new:
            return ""
        self.doing = "the factor cache"
        try:
            save_factors(cache, new, self.config.library, self.data.get(LIBRARY))
        except (DataError, StoreError, OutputError) as error:
            return str(error)
        self.progress.note(f"added {len(new)} new factors to the factor cache {cache}")
        return ""

    def _timings(self, run: RunRecord) -> dict[str, Any]:
        seconds = time.perf_counter() - self.began
        rate = self.candidates / self.seconds if self.seconds > 0.0 else 0.0
        return {
            "run": run.id,
            "ledger": self.ledger.place,
            "version": run.version,
            "started_at": run.started_at or self.started_at,
            "finished_at": now(),
            "seconds": round(seconds, 3),
            "candidates_per_second": round(rate, 1),
            "data": {key: self.data[key] for key in PLACES},
            **({LIBRARY: self.data[LIBRARY]} if LIBRARY in self.data else {}),  # no run of older versions has it
        }
