"""The loop end to end on small simulated markets: determinism, resuming, honesty, the ledger's completeness."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from fama_fast.data import PlantedSignal, SimulationSpec, simulate
from fama_fast.errors import ConfigError, DataError, ProposerError
from fama_fast.ledger import schema
from fama_fast.ledger.ledger import Ledger
from fama_fast.mining.config import MiningConfig
from fama_fast.mining.config_file import config_from_dict, document, leaves
from fama_fast.mining.measure.market import Market
from fama_fast.mining.progress.plain import NoProgress, RoundReport
from fama_fast.mining.proposers.kinds.evolve import EvolveProposer
from fama_fast.mining.run.mine import mine
from fama_fast.mining.run.to_records import deciding_settings
from fama_fast.panel import Panel
from fama_fast.proposals.protocol import (
    Capabilities,
    Earner,
    Proposal,
    ProposalBatch,
    ProposalRequest,
    Rejection,
    Usage,
)
from fama_fast.proposals.setting_roles import Role, keys_of

SIGNAL = "RANK(TS_MEAN(VOLUME, 5) / TS_MEAN(VOLUME, 20)) * -1"

ROUNDS = (
    ("RANK(DELTA(VOLUME, 4))", "RANK(CLOSE", "RANK(TS_MEAN(VOLUME, 5) / TS_MEAN(VOLUME, 20))", "RANK(CLOZE)"),
    (
        "TS_MEAN(VOLUME, 6) / TS_MEAN(VOLUME, 22)",
        "RANK(TS_MEAN(VOLUME, 5) / TS_MEAN(VOLUME, 20)) * 1",
        "RANK(HIGH - LOW)",
    ),
    ("RANK(TS_STDDEV(RET, 10))", "DELTA(CLOSE, 3)", "RANK(DELTA(VOLUME, 2)) * RANK(CLOSE / OPEN)"),
)


@dataclass
class Scripted:
    """Proposes what it is told to; fails in the rounds it is told to."""

    rounds: tuple[tuple[str, ...], ...] = ROUNDS
    fails_in: int = 0
    name: str = "scripted"
    capabilities: Capabilities = field(default_factory=lambda: Capabilities(deterministic=True))
    requests: list[ProposalRequest] = field(default_factory=list)

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        self.requests.append(request)
        if request.round == self.fails_in:
            raise ProposerError("out of words")
        if request.round > len(self.rounds):
            return ProposalBatch(())
        parents = tuple(f.fingerprint for f in (*request.exemplars, *request.chain))[:1]
        texts = self.rounds[request.round - 1]
        return ProposalBatch(
            tuple(Proposal(t, parents=parents, origin="script", hypothesis="h") for t in texts),
            (Rejection("- what?", "no expression"),) if request.round == 1 else (),
            Usage(1, 10, 5),
        )


@dataclass
class Recorder(NoProgress):
    """Keeps what the loop says."""

    notes: list[str] = field(default_factory=list)
    reports: list[RoundReport] = field(default_factory=list)
    closed: int = 0

    def note(self, text: str) -> None:
        self.notes.append(text)

    def phase(self, text: str) -> None:
        pass

    def round_done(self, report: RoundReport) -> None:
        self.reports.append(report)

    def close(self) -> None:
        self.closed += 1


def market_of(*signals: PlantedSignal, seed: int = 3, symbols: int = 40, dates: int = 300) -> Panel:
    return simulate(SimulationSpec(n_symbols=symbols, n_dates=dates, seed=seed, signals=signals))


@pytest.fixture(scope="module")
def planted() -> Panel:
    return market_of(PlantedSignal(SIGNAL, 0.12))


def settings(folder: Path, **rest: Any) -> dict[str, Any]:
    run = {"rounds": 3, "seed": 1, **rest.pop("run", {})}
    return {"paths": {"output_dir": str(folder)}, "run": run, "k": 5, "l": 3, **rest}


def deterministic(document: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in document.items() if k != "record"}


def test_a_planted_signal_is_found_and_everything_is_recorded(tmp_path: Path, planted: Panel) -> None:
    progress, proposer = Recorder(), Scripted()
    alone = {"random": False}
    result = mine(settings(tmp_path, control=alone), panel=planted, proposer=proposer, progress=progress)

    assert result.verdict.status.value == "found"
    assert result.verdict.headline.endswith("It was not compared with random formulas.")
    assert result.exit_code == 0
    best = max(result.factors, key=lambda f: f.score)
    assert "TS_MEAN(VOLUME, 5)" in best.canonical
    assert best.proposed == "RANK(TS_MEAN(VOLUME, 5) / TS_MEAN(VOLUME, 20))"
    assert best.fingerprint in result.verdict.holding
    assert set(result.test) == {*result.verdict.holding, "pool"}
    assert result.test["pool"]["rank_ic"] > 0.0
    assert result.stop == "3 rounds done"

    assert progress.notes[0].startswith("data: simulator (seed 3")
    assert [r.number for r in progress.reports] == [1, 2, 3]
    assert "round 3/3" in progress.reports[-1].line()
    assert progress.closed == 1

    with Ledger.open(tmp_path / "ledger.sqlite", create=False) as ledger:
        rows = ledger.candidates(result.run_id)
        record = ledger.get_run("last")
        stored = ledger.results(result.run_id)
    assert [r["text"] for r in rows] == [*ROUNDS[0], "- what?", *ROUNDS[1], *ROUNDS[2]]
    by_text = {r["text"]: r for r in rows}
    assert by_text["- what?"]["gate"] == "answer"
    assert by_text["RANK(CLOSE"]["gate"] == "answer"
    assert by_text["RANK(CLOZE)"]["gate"] == "arguments"
    assert by_text["RANK(TS_MEAN(VOLUME, 5) / TS_MEAN(VOLUME, 20)) * 1"]["gate"] == "duplicate"
    assert result.funnel["answer"] == 2
    assert sum(result.funnel.values()) == len(rows) == result.candidates
    assert all(r["parents"] for r in rows if r["origin"] == "script")
    assert all({"train", "valid", "screen"} <= set(r["scores"]) for r in rows if r["admitted"])
    assert (record.status, record.rounds, record.data_hash) == ("finished", 3, planted.data_hash)
    assert record.test_opened_at is not None
    assert set(stored[best.fingerprint]) == {"train", "valid", "test", "wide"}

    first, second = proposer.requests[:2]
    assert 0 < len(first.exemplars) <= 3
    assert all(f.scores["train"]["rank_ic_t"] >= 2.0 for f in first.exemplars)
    assert first.chain
    assert first.vocabulary.fields == planted.fields
    assert any("arguments" in r.reason for r in second.avoid)
    assert compile_known("RANK(HIGH - LOW)") not in second.known
    assert compile_known(ROUNDS[0][2]) in second.known


def compile_known(text: str) -> str:
    from fama_fast.engine import compile as compile_alpha

    return compile_alpha(text).canonical


def test_equal_runs_are_equal_bit_for_bit(tmp_path: Path, planted: Panel) -> None:
    config = settings(tmp_path, run={"rounds": 2, "candidates": 12})
    documents = [mine(config, panel=planted).to_dict() for _ in range(2)]
    assert deterministic(documents[0]) == deterministic(documents[1])
    assert documents[0]["record"]["run"] != documents[1]["record"]["run"]
    assert documents[0]["search"]["proposer"] == "evolve"
    other = mine(settings(tmp_path, run={"rounds": 2, "candidates": 12, "seed": 2}), panel=planted).to_dict()
    assert other["factors"] != documents[0]["factors"]


def test_a_resumed_run_ends_like_one_that_was_never_stopped(tmp_path: Path, planted: Panel) -> None:
    whole = mine(settings(tmp_path / "a"), panel=planted, proposer=Scripted())
    config = settings(tmp_path / "b")
    with pytest.raises(ProposerError, match=r"out of words \(round 3; the 2 rounds before are kept: --resume 2"):
        mine(config, panel=planted, proposer=Scripted(fails_in=3))
    with Ledger.open(tmp_path / "b" / "ledger.sqlite", create=False) as ledger:
        assert (ledger.get_run("last").rounds, ledger.get_run("last").status) == (2, "failed")
    resumed = mine(config, panel=planted, proposer=Scripted(), resume="last")
    assert deterministic(resumed.to_dict()) == deterministic(whole.to_dict())
    with pytest.raises(ConfigError, match="is finished"):
        mine(config, panel=planted, proposer=Scripted(), resume="last")


class Watched(EvolveProposer):
    """`evolve`, which keeps what the wide pool was said to earn, and breaks down in one round."""

    def __init__(self, fails_in: int = 0) -> None:
        super().__init__(1)
        self.fails_in = fails_in
        self.earned: dict[int, tuple[Earner, ...]] = {}

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        self.earned[request.round] = request.search.earners
        if request.round == self.fails_in:
            raise ProposerError("out of words")
        return super().propose(request)


def test_a_search_paid_for_what_the_pool_earns_goes_on_where_it_was(tmp_path: Path, planted: Panel) -> None:
    def config(name: str, reward: str = "pool") -> dict[str, Any]:
        return settings(tmp_path / name, run={"reward": reward, "rounds": 4, "patience": 9}, control={"random": False})

    first, again = Watched(), Watched()
    whole = mine(config("a"), panel=planted, proposer=first)
    with pytest.raises(ProposerError, match="out of words"):
        mine(config("b"), panel=planted, proposer=Watched(fails_in=3))
    resumed = mine(config("b"), panel=planted, proposer=again, resume="last")
    assert deterministic(resumed.to_dict()) == deterministic(whole.to_dict())
    assert again.earned == {number: first.earned[number] for number in (3, 4)}  # to the bit
    assert len(first.earned[4]) > len(first.earned[1]) > 0
    assert sum(e.earning for e in first.earned[4]) == pytest.approx(1.0)
    own = Watched()
    alone = mine(config("c", "own"), panel=planted, proposer=own)
    assert set(own.earned.values()) == {()}
    assert deterministic(alone.to_dict())["factors"] != deterministic(whole.to_dict())["factors"]


def test_the_time_budget_counts_what_earlier_parts_of_the_run_took(tmp_path: Path, planted: Panel) -> None:
    config = settings(tmp_path)
    config["run"] = {**config["run"], "max_seconds": 5000.0}
    with pytest.raises(ProposerError):
        mine(config, panel=planted, proposer=Scripted(fails_in=3))
    with Ledger.open(tmp_path / "ledger.sqlite", create=False) as ledger:
        state = ledger.get_run("last").state
        assert state is not None
        assert 0.0 < state["seconds"] < 5000.0
        with ledger.transaction(write=True) as c:
            c.execute(schema.runs.update().values(state=state | {"seconds": 5000.0}))
    result = mine(config, panel=planted, proposer=Scripted(), resume="last")
    assert (result.rounds, result.stop) == (2, "the budget of 5000 seconds is used up")


def test_a_run_is_not_resumed_with_other_settings_or_data(tmp_path: Path, planted: Panel) -> None:
    config = settings(tmp_path)
    with pytest.raises(ProposerError):
        mine(config, panel=planted, proposer=Scripted(fails_in=2))
    with pytest.raises(ConfigError, match=r"other settings: gates\.max_correlation is 0\.5, was 0\.7"):
        mine(config | {"gates": {"max_correlation": 0.5}}, panel=planted, proposer=Scripted(), resume="last")
    with pytest.raises(ConfigError, match="made on other data"):
        mine(config, panel=market_of(seed=4), proposer=Scripted(), resume="last")
    longer = mine(config | {"run": {"rounds": 1, "seed": 1}}, panel=planted, proposer=Scripted(), resume="last")
    assert longer.rounds == 1


def test_a_run_of_a_version_that_lacked_a_key_is_resumed_at_its_default(tmp_path: Path, planted: Panel) -> None:
    whole = mine(settings(tmp_path / "a"), panel=planted, proposer=Scripted())
    config = settings(tmp_path / "b")
    with pytest.raises(ProposerError):
        mine(config, panel=planted, proposer=Scripted(fails_in=3))
    with Ledger.open(tmp_path / "b" / "ledger.sqlite", create=False) as ledger:
        older = dict(ledger.get_run("last").config)
        del older["racing"], older["cluster"]
        older["splits"] = {k: v for k, v in older["splits"].items() if k != "min_members"}
        with ledger.transaction(write=True) as c:
            c.execute(schema.runs.update().values(config=older))
    with pytest.raises(ConfigError, match=r"other settings: splits\.min_members is 3, was 10"):
        mine(config | {"splits": {"min_members": 3}}, panel=planted, proposer=Scripted(), resume="last")
    resumed = mine(config, panel=planted, proposer=Scripted(), resume="last")
    assert deterministic(resumed.to_dict()) == deterministic(whole.to_dict())


def test_a_run_of_a_version_with_other_chains_is_resumed(tmp_path: Path, planted: Panel) -> None:
    """Its `u` was the number of factors wanted, and its state knew no prompts, no results and no building of chains."""
    run = {"wanted": 7}
    whole = mine(settings(tmp_path / "a", run=run), panel=planted, proposer=Scripted())
    with pytest.raises(ProposerError):
        mine(settings(tmp_path / "b", run=run), panel=planted, proposer=Scripted(fails_in=3))
    with Ledger.open(tmp_path / "b" / "ledger.sqlite", create=False) as ledger:
        record = ledger.get_run("last")
        assert record.state is not None
        config = dict(record.config) | {"u": 7, "coe": dict(record.config["coe"]) | {"min_edge_score": 0.0}}
        for section, keys in (("run", ("wanted",)), ("css", ("min_t",)), ("coe", ("min_t",))):
            config[section] = {k: v for k, v in config[section].items() if k not in keys}
        state = {k: v for k, v in record.state.items() if k not in ("model", "prompts", "built_of")}
        with ledger.transaction(write=True) as c:
            c.execute(schema.runs.update().values(config=config, state=state))
    resumed = mine(settings(tmp_path / "b", run=run), panel=planted, proposer=Scripted(), resume="last")
    assert deterministic(resumed.to_dict()) == deterministic(whole.to_dict())


@pytest.mark.parametrize(("key", "role"), [("run.threads", Role.PLACE), ("run.rounds", Role.LENGTH)])
def test_a_setting_says_what_it_has_a_say_in(key: str, role: Role) -> None:
    assert key in keys_of(MiningConfig, role)
    every = {name for name, _ in leaves(document(MiningConfig()))}
    assert keys_of(MiningConfig, *Role) <= every
    written = {name for name, _ in leaves(deciding_settings(MiningConfig()))}
    assert written == every - keys_of(MiningConfig, Role.PLACE)


def test_data_without_a_known_return_is_an_error(tmp_path: Path, planted: Panel) -> None:
    empty = planted.replace(fields={"CLOSE": np.full(planted.shape, np.nan)})
    with pytest.raises(DataError, match="CLOSE is missing"):
        mine(settings(tmp_path), panel=empty, proposer=Scripted())


def test_fields_that_the_data_lacks_shrink_the_library(tmp_path: Path, planted: Panel) -> None:
    bare = Panel(planted.dates, planted.symbols, {"CLOSE": planted["CLOSE"]})
    progress = Recorder()
    result = mine(settings(tmp_path), panel=bare, proposer=Scripted(), progress=progress)
    assert any(n.startswith("left out of the library: ") and "VOLUME" in n for n in progress.notes)
    assert all("VOLUME" not in f.canonical for f in result.library)


@pytest.mark.parametrize("seed", range(4))
def test_on_noise_nothing_is_found(tmp_path: Path, seed: int) -> None:
    limits = {"min_rank_ic": 0.0, "min_t": 0.0, "complexity_penalty": 0.0}
    listed = {"min_t": 0.0}
    result = mine(settings(tmp_path, gates=limits, pool=listed), panel=market_of(seed=seed), proposer=Scripted())
    assert result.factors  # the gates were wide open
    assert result.verdict.status.value == "nothing found"
    assert result.exit_code == 1
    assert result.test == {}
    assert "the test split stays closed" in result.verdict.headline
    with Ledger.open(tmp_path / "ledger.sqlite", create=False) as ledger:
        assert ledger.get_run("last").test_opened_at is None


def test_no_proposal_at_all_ends_the_run(tmp_path: Path, planted: Panel) -> None:
    result = mine(settings(tmp_path), panel=planted, proposer=Scripted(()))
    assert (result.rounds, result.candidates, result.exit_code) == (1, 0, 1)
    assert result.stop == "the proposer has nothing more to propose"
    assert result.verdict.headline == "nothing found: no candidate of 0 passed the gates"


def test_stopping_rules(tmp_path: Path, planted: Panel) -> None:
    enough = mine(settings(tmp_path, run={"wanted": 1}), panel=planted, proposer=Scripted())
    assert (enough.stop, len(enough.factors)) == ("3 rounds done", 1)
    wanted = mine(settings(tmp_path, run={"wanted": 1}, pool={"short_list": False}), panel=planted, proposer=Scripted())
    assert wanted.stop == "1 new factors, as many as were wanted"
    assert len(wanted.factors) == 1
    budget = mine(settings(tmp_path, run={"max_candidates": 5}), panel=planted, proposer=Scripted())
    assert budget.stop == "5 candidates, the budget is 5"
    tokens = mine(settings(tmp_path, run={"max_tokens": 20}), panel=planted, proposer=Scripted())
    assert tokens.stop == "30 tokens, the budget is 20"
    useless = Scripted((("RANK(CLOZE)",), ("RANK(OPEM)",), ("RANK(LOV)",)))
    patient = mine(settings(tmp_path, run={"patience": 2}), panel=planted, proposer=useless)
    assert patient.stop == "no gain of the pool's validation RankIC for 2 rounds"


def test_both_memories_can_be_switched_off(tmp_path: Path, planted: Panel) -> None:
    for css, coe in ((False, True), (True, False), (False, False)):
        proposer = Scripted(ROUNDS[:1])
        mine(settings(tmp_path, run={"rounds": 1, "use_css": css, "use_coe": coe}), panel=planted, proposer=proposer)
        assert (bool(proposer.requests[0].exemplars), bool(proposer.requests[0].chain)) == (css, coe)


def test_the_loop_never_sees_the_test_split(tmp_path: Path, planted: Panel) -> None:
    market = Market(planted, config_from_dict(settings(tmp_path)))
    assert market.panel.shape[0] == market.rows.test.start
    shuffled = np.array(planted["CLOSE"])
    start = market.rows.test.start
    shuffled[start:] = shuffled[start:][::-1]
    other = planted.replace(fields={"CLOSE": shuffled})
    runs = [mine(settings(tmp_path), panel=p, proposer=Scripted()) for p in (planted, other)]
    scores = [[(f.canonical, f.proposed, f.scores) for f in r.factors] for r in runs]
    assert scores[0] == scores[1]
    assert runs[0].test != runs[1].test


def test_the_factor_cache_grows_and_is_the_next_start(tmp_path: Path, planted: Panel) -> None:
    config = settings(tmp_path, run={"rounds": 1})
    config["paths"]["factor_cache"] = str(tmp_path / "cache.yaml")
    progress = Recorder()
    first = mine(config, panel=planted, proposer=Scripted(), progress=progress)
    assert any("holds none yet" in n for n in progress.notes)
    progress = Recorder()
    second = mine(config, panel=planted, proposer=Scripted(), progress=progress)
    assert any(f"factors from the factor cache {tmp_path / 'cache.yaml'}" in n for n in progress.notes)
    assert first.factors
    assert second.funnel["duplicate"] >= len(first.factors)
    assert {f.fingerprint for f in first.factors} <= {f.fingerprint for f in second.library}


def test_bad_data_leaves_nothing_behind(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(DataError, match="too few"):
        mine(settings(out), panel=market_of(symbols=2), proposer=Scripted())
    with pytest.raises(DataError, match=r"6 dates"):
        mine(settings(out), panel=market_of(dates=6), proposer=Scripted())
    missing = config_from_dict({"paths": {"market_data": str(tmp_path / "none.parquet"), "output_dir": str(out)}})
    with pytest.raises(DataError, match=r"none\.parquet"):
        mine(missing)
    assert not out.exists()


def test_the_result_is_written_whole_and_reads_back(tmp_path: Path, planted: Panel) -> None:
    result = mine(settings(tmp_path), panel=planted, proposer=Scripted())
    result.to_yaml(tmp_path / "run.yaml")
    document = yaml.safe_load((tmp_path / "run.yaml").read_text(encoding="utf-8"))
    assert document["verdict"]["status"] == "found"
    assert result.exit_code == 0
    assert document["verdict"]["pool"]["test"]["spread_interval"][0] > 0.0
    assert document["verdict"]["luck"]["independent_trials"] >= 1
    assert set(document["verdict"]["could_have_shown"]) == {"rank_ic", "spread"}
    assert document["data"]["hash"] == planted.data_hash
    assert document["factors"][0]["scores"]["train"] == result.factors[0].scores["train"]
    assert document["search"]["funnel"] == result.funnel
    assert "output_dir" not in document["settings"]["paths"]
    assert {"train", "valid", "test"} == set(document["splits"])
