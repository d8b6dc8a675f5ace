"""A session of an agent: formulas from outside, measured one by one as the candidates of one run of the ledger.

Each score is one round of the run, committed before it is answered, so a server that is killed has lost nothing that it
said, and the next one on the same data and settings goes on with the session. Training and validation are all that an
answer is made of: the test split is read by `verdict` alone, which is the end of every mining run (`run.ending`).
"""

from __future__ import annotations

import secrets
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fama_fast._version import __version__
from fama_fast.agents.answers import trial_answer
from fama_fast.agents.looks import Looks
from fama_fast.agents.measuring import Refused, gate_context, measure, refusal
from fama_fast.agents.trial import ASKED, HELD, NEAREST, PROPOSE, SCORE, Trial
from fama_fast.errors import StoreError
from fama_fast.ledger.ownership import INTERRUPTED
from fama_fast.ledger.prior_runs import earlier_runs
from fama_fast.ledger.records import AGENT, REPEATED, ExchangeRecord, RunRecord, as_proposed, now
from fama_fast.library.codec import factor_to_dict
from fama_fast.mining.candidate import Candidate
from fama_fast.mining.config_file import document
from fama_fast.mining.measure.combination import FactorPool
from fama_fast.mining.progress.plain import NoProgress
from fama_fast.mining.run import steps
from fama_fast.mining.run.ending import Ending
from fama_fast.mining.run.starting import starting_library
from fama_fast.mining.run.state import PROPOSED, first_state, restored_state
from fama_fast.mining.run.stopping import StopRequest
from fama_fast.mining.run.to_records import LIBRARY, record_of, start_of
from fama_fast.proposals.protocol import Proposal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fama_fast.engine import Alpha
    from fama_fast.ledger.ledger import Ledger
    from fama_fast.ledger.records import CandidateRecord
    from fama_fast.mining.config import MiningConfig
    from fama_fast.mining.measure.market import Market
    from fama_fast.mining.run.starting import StartingLibrary
    from fama_fast.mining.run.state import LoopState
    from fama_fast.mining.verdict.results import MiningResult


class AgentSession:
    """The state of a session. One call at a time is at work, whatever thread it comes from.

    Attributes:
        config: see `session_settings`. market: the data. run: its row in the ledger. state: that of a mining run.
        trials: by fingerprint, both as given and of the factor that training made of it.
    """

    def __init__(self, config: MiningConfig, market: Market, ledger: Ledger, data: dict[str, Any]) -> None:
        self.config, self.market, self.ledger, self.data = config, market, ledger, data
        self.run: RunRecord
        self.state: LoopState
        self.trials: dict[str, Trial] = {}
        self.lock = threading.RLock()
        self._measured: set[str] = set()  # fingerprints as given, of this session
        self._earlier: frozenset[str] = frozenset()
        self._damaged = self._finished = False

    # Life

    def begin(self, record: RunRecord | None = None, start: StartingLibrary | None = None) -> None:
        """Begin a session, or go on with the unfinished one of `record`; `start` is what a new one starts from, where
        it was read already."""
        config, market = self.config, self.market
        rows: list[dict[str, Any]] = []
        if record is None:
            start = start or starting_library(config.paths.factor_cache, config.library)
            self.data = {**self.data, LIBRARY: start.record()}
            self.state, _ = first_state(market, start.factors)
            began = now()
            whole = market.whole
            self.run = RunRecord(
                id=f"{began.replace('-', '').replace(':', '')[:15]}-{secrets.token_hex(3)}",
                source=whole.source,
                data_hash=whole.data_hash,
                seed=config.run.seed,
                proposer=AGENT,
                config=document(config),
                version=__version__,
                started_at=began,
                state=self.state.to_dict(),
                data=self.data,
            )
            self.ledger.start_run(self.run, start=start_of(self.state))
        else:
            self.run = self.ledger.claim_run(record)
            if record.data is not None and LIBRARY in record.data:
                self.data = {**self.data, LIBRARY: record.data[LIBRARY]}
            rows = self.ledger.candidates(self.run.id)
            if self.run.state is None:
                raise StoreError(f"run {self.run.id} has no stored state to go on from: begin a new session")
            self.state = restored_state(market, self.run.state, rows, self.ledger.starting_factors(self.run.id))
            self._free_scored(rows)
        self.pool = FactorPool(market, config.pool)
        self.trials, self._measured = {}, set()
        for row in rows:
            if row["fingerprint"] and "train" in row["scores"]:
                self._keep(Trial.of_row(row, len(self._measured) + 1))
        self._earlier = earlier_runs(self.ledger, self.run).measured
        self._damaged = self._finished = False

    def _free_scored(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """What was scored but not proposed is no duplicate of itself when it is proposed."""
        asked: dict[str, set[str]] = {}
        for row in rows:
            if row["fingerprint"]:
                asked.setdefault(as_proposed(row)[0], set()).add((row["extra"] or {}).get(ASKED, PROPOSE))
        for fingerprint, kinds in asked.items():
            if kinds == {SCORE} and self.state.tried.get(fingerprint) == PROPOSED:
                del self.state.tried[fingerprint]

    def leave(self) -> None:
        """Record that this process no longer works on the session; it can be gone on with."""
        with suppress(StoreError):
            self.ledger.leave_run(self.run.id, INTERRUPTED, "the agent's server ended")

    def _ready(self) -> None:
        """Go on from what is in the ledger where the last commit failed, and with a new session after a verdict.

        Raises:
            Refused: the test split is open, so that nothing more may be measured before the verdict.
        """
        if self._finished:
            self.begin()
        elif self._damaged:
            self.begin(self.ledger.get_run(self.run.id))
        if self.run.test_opened_at is not None:
            raise Refused("the test split of this session was opened, and its verdict is not written: ask for it first")

    # What an agent asks for

    @property
    def looks(self) -> Looks:
        """The looks at these data so far."""
        return Looks(len(self._measured), len(self._earlier - self._measured), self.config.verdict.fdr)

    def compiled(self, text: str) -> Alpha:
        """A formula, read with the names of the data.

        Raises:
            ExpressionError: it is not one; the message says where and what is nearest.
        """
        from fama_fast.engine import compile as compile_alpha

        names = self.market.vocabulary
        return compile_alpha(text, fields=names.fields, groups=names.groups)

    def known(self, alpha: Alpha) -> Trial | None:
        """The trial of a formula, or of its negative that training made of it."""
        return self.trials.get(alpha.fingerprint)

    def score(
        self, expression: str, *, hypothesis: str = "", explanation: str = "", parents: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Measure a formula on training and validation, as a counted trial; a known one is answered from the ledger and
        not counted again.

        Args:
            parents: formulas, or fingerprints, that it was built on.

        Raises:
            ExpressionError: it is not in the language. Refused: it is no formula that a run would measure. StoreError:
                it could not be recorded; nothing was counted.
        """
        with self.lock:
            self._ready()
            alpha = self.compiled(expression)
            before = self.known(alpha)
            trial = before or self._measure(
                alpha, Proposal(expression, hypothesis, explanation, self._parents(parents), AGENT)
            )
            return trial_answer(trial, self.looks, counted=before is None, objective=self.config.objective)

    def propose(
        self, expression: str, *, hypothesis: str = "", explanation: str = "", parents: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Propose a formula for admission to the session's library: all gates of a run, then its place.

        What was not scored yet is scored first, and counted. Arguments and errors as of `score`.
        """
        with self.lock:
            self._ready()
            alpha = self.compiled(expression)
            before = self.known(alpha)
            if before is not None and before.asked == PROPOSE:
                return trial_answer(before, self.looks, counted=False, objective=self.config.objective)
            proposal = Proposal(expression, hypothesis, explanation, self._parents(parents), AGENT)
            trial = before or self._measure(alpha, proposal)
            trial = self._proposed(proposal, trial)
            return trial_answer(trial, self.looks, counted=before is None, objective=self.config.objective)

    def verdict(self) -> MiningResult:
        """End the session as a mining run ends: short list, controls, and the test where something holds.

        The next score begins another session, in which all trials of this one count.

        Raises:
            Refused: nothing was scored.
        """
        with self.lock:
            if self._finished:
                raise Refused("the session has its verdict; a further score begins another session")
            if self._damaged:
                self.begin(self.ledger.get_run(self.run.id))
            if not self.trials:
                raise Refused("nothing was scored in this session, so there is nothing to judge")
            ending = self.ending()
            factors = ending.factors(self.state)
            self.ledger.keep_factors(self.run.id, [factor_to_dict(f) for f in factors])
            result = ending.conclude(self.run, self.state, "the agent asked for the verdict")
            self._finished = True
            return result

    def ending(self) -> Ending:
        """What concludes a run, for this session."""
        return Ending(self.config, self.market, self.ledger, NoProgress(), AGENT, self.pool, StopRequest(), self.data)

    # Steps

    def _parents(self, named: Sequence[str]) -> tuple[str, ...]:
        """Fingerprints of the factors that were named, by formula or fingerprint."""
        members = {m.factor.fingerprint for m in self.state.library.members}
        out = []
        for name in named:
            if name in self.trials or name in members:
                out.append(name)
                continue
            own = self.compiled(name).fingerprint
            out.append(self.state.turned.get(own, (own, ""))[0])
        return tuple(dict.fromkeys(out))

    def _measure(self, alpha: Alpha, proposal: Proposal) -> Trial:
        """Measure a formula, take it into the wide pool, commit."""
        began = time.perf_counter()
        candidate = Candidate(0, proposal, alpha=alpha)
        context = gate_context(self.state, self.config, self.market)
        why = refusal(candidate, context)
        if why is not None:
            raise Refused(f"not measured, and not counted: {why}")
        self._damaged = True  # until it is committed, what is in memory is ahead of the ledger
        nearest = measure(candidate, self.state, self.market, context)
        candidate.gate = candidate.gate or HELD
        candidate.reason = candidate.reason or "scored, not proposed"
        candidate.listable = False
        candidate.seconds = time.perf_counter() - began
        more = {ASKED: SCORE, **({} if nearest is None else {NEAREST: list(nearest)})}
        record = self._commit(candidate, more)
        return self._keep(
            Trial(
                number=len(self._measured) + 1,
                fingerprint=candidate.fingerprint,
                canonical=candidate.oriented.canonical,
                proposed=(alpha.fingerprint, alpha.canonical),
                scores=record.scores,
                nodes=candidate.nodes,
                gate=candidate.gate,
                reason=candidate.reason,
                admitted=False,
                asked=SCORE,
                nearest=nearest,
            )
        )

    def _proposed(self, proposal: Proposal, trial: Trial) -> Trial:
        """Pass a measured formula through the gates, and commit what became of it."""
        began = time.perf_counter()
        candidate = Candidate(0, proposal)
        state, config = self.state, self.config
        self._damaged = True
        if steps.pass_gates([candidate], state, config, self.market, state.round + 1, AGENT):
            steps.update_pool(state, self.pool, config)
        candidate.seconds = time.perf_counter() - began
        gate, reason = candidate.gate, candidate.reason
        if "train" not in candidate.scores:  # stopped before it was measured again
            candidate.scores, candidate.sign, candidate.listable = dict(trial.scores), trial.direction, False
        more = {ASKED: PROPOSE, REPEATED: True, **({} if trial.nearest is None else {NEAREST: list(trial.nearest)})}
        self._commit(candidate, more)
        return self._keep(replace(trial, gate=gate, reason=reason, admitted=candidate.admitted, asked=PROPOSE))

    def _commit(self, candidate: Candidate, more: Mapping[str, Any]) -> CandidateRecord:
        """Write the candidate as a round of its own, with the state after it."""
        state = self.state
        state.round += 1
        state.proposed += 1
        record = record_of(candidate, AGENT, turned=state.turned, timings={"gates": round(candidate.seconds, 6)})
        record = replace(record, extra={**record.extra, **more})
        self.ledger.commit_round(self.run, state.round, [record], exchange=ExchangeRecord(), state=state.to_dict())
        self._damaged = False
        return record

    def _keep(self, trial: Trial) -> Trial:
        before = self.trials.get(trial.proposed[0])
        if before is not None:
            trial = replace(trial, number=before.number)
        self._measured.add(trial.proposed[0])
        self.trials[trial.proposed[0]] = self.trials[trial.fingerprint] = trial
        return trial
