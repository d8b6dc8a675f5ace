"""An agent's session: every look counted and kept, the test split out of reach until the verdict."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fama_fast.agents import describing, reporting
from fama_fast.agents.looks import Looks
from fama_fast.agents.measuring import Refused
from fama_fast.agents.opening import open_session
from fama_fast.agents.session import AgentSession
from fama_fast.agents.studying import Studies
from fama_fast.cli import main
from fama_fast.data import PlantedSignal, SimulationSpec, scan_market_data, simulate, to_frame, write_frame
from fama_fast.errors import ConfigError, FamaError, ParseError, StoreError, UnknownName
from fama_fast.ledger.ledger import Ledger
from fama_fast.ledger.records import trials_of
from fama_fast.mining.config import MiningConfig
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.run.mine import mine
from fama_fast.panel import Panel

SIGNAL = "RANK(TS_MEAN(VOLUME, 5) / TS_MEAN(VOLUME, 20)) * -1"
FORMULAS = ("RANK(DELTA(VOLUME, 4))", "RANK(TS_STDDEV(RET, 10))", "RANK(HIGH / LOW)", "CORREL(HIGH, VOLUME, 6)")


def market(seed: int = 1, *, signal: float = 0.0, symbols: int = 30, dates: int = 260) -> Panel:
    planted = (PlantedSignal(SIGNAL, signal),) if signal else ()
    return simulate(SimulationSpec(n_symbols=symbols, n_dates=dates, seed=seed, signals=planted))


@pytest.fixture(scope="module")
def panel() -> Panel:
    return market()


def settings(folder: Path, **more: Any) -> MiningConfig:
    return config_from_dict({"paths": {"output_dir": str(folder)}, "run": {"threads": 1}, **more})


@pytest.fixture
def session(panel: Panel, tmp_path: Path) -> Iterator[AgentSession]:
    with open_session(settings(tmp_path), panel=panel) as opened:
        yield opened


def rows(session: AgentSession) -> list[dict[str, Any]]:
    return session.ledger.candidates(session.run.id)


def test_a_score_is_a_counted_trial_once(session: AgentSession) -> None:
    first = session.score(FORMULAS[0], hypothesis="volume that grows")
    again = session.score(f"  {FORMULAS[0].lower()} ")
    other = session.score(FORMULAS[1])
    assert first["trial"]["counted_now"]
    assert first["trial"]["looks"] == 1
    assert not again["trial"]["counted_now"]
    assert {k: v for k, v in again.items() if k != "trial"} == {k: v for k, v in first.items() if k != "trial"}
    assert (other["trial"]["number"], other["trial"]["looks"]) == (2, 2)
    kept = rows(session)
    assert [r["text"] for r in kept] == [FORMULAS[0], FORMULAS[1]]
    assert kept[0]["hypothesis"] == "volume that grows"
    assert kept[0]["scores"]["valid"]["rank_ic"] == pytest.approx(first["valid"]["rank_ic"], rel=1e-3)
    assert {r["proposer"] for r in kept} == {"agent"}


def test_the_negative_of_what_training_turned_round_is_no_new_trial(session: AgentSession) -> None:
    scored = [session.score(f) for f in FORMULAS]
    turned = [s for s in scored if s["direction"] != "as given"]
    assert turned, "the market has no formula that training turns round: draw another"
    again = session.score(turned[0]["factor"])
    assert not again["trial"]["counted_now"]
    assert again["fingerprint"] == turned[0]["fingerprint"]


def test_the_family_wise_p_is_the_p_times_all_looks(session: AgentSession) -> None:
    answers = [session.score(f) for f in FORMULAS]
    last = answers[-1]["trial"]
    scores = session.trials[answers[-1]["fingerprint"]].scores
    train, valid = (scores[split]["rank_ic_t"] for split in ("train", "valid"))
    assert last["family_wise_p"]["train"] == pytest.approx(min(1, 4 * math.erfc(abs(train) / math.sqrt(2))), rel=1e-3)
    assert last["family_wise_p"]["valid"] == pytest.approx(min(1, 4 * math.erfc(valid / math.sqrt(2)) / 2), rel=1e-3)
    assert last["family_wise_p"]["both"] == max(last["family_wise_p"]["train"], last["family_wise_p"]["valid"])
    assert last["valid_t_needed"] == pytest.approx(2.2414, abs=1e-3)  # one-sided 0.05 / 4


@pytest.mark.parametrize(("looks", "needed"), [(0, 1.6449), (1, 1.6449), (20, 2.8070), (1000, 3.8906)])
def test_what_a_formula_needs_grows_with_the_looks(looks: int, needed: float) -> None:
    assert Looks(looks // 2, looks - looks // 2, 0.05).needed() == pytest.approx(needed, abs=1e-4)


def test_figures_that_are_not_there_are_no_evidence() -> None:
    judged = Looks(3, 2, 0.05).judged({"train": {"rank_ic_t": math.nan}, "valid": {}})
    assert judged["family_wise_p"] == {"train": 1.0, "valid": 1.0, "both": 1.0}


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("RANK(CLOZE)", UnknownName, "did you mean CLOSE?"),
        ("TS_MEEN(CLOSE, 3)", UnknownName, "did you mean TS_MEAN?"),
        ("RANK(CLOSE", ParseError, "column 11"),
        ("", ParseError, "empty"),
        ("CLOSE", Refused, "price_level"),
        ("CLOSE > OPEN", Refused, "condition"),
        ("TS_MEAN(TS_MEAN(RET, 200), 200)", Refused, "at most 250"),
        ("1 + 2", Refused, "reads no field"),
    ],
)
def test_a_bad_formula_is_an_error_in_words_and_no_trial(
    session: AgentSession, text: str, error: type[FamaError], said: str
) -> None:
    for ask in (session.score, session.propose):
        with pytest.raises(error, match=said.replace("?", r"\?")):
            ask(text)
    assert rows(session) == []
    assert session.looks.total == 0


def test_check_measures_nothing(session: AgentSession) -> None:
    good = describing.check(session, "RANK(DELTA(VOLUME, 4))")
    assert good["may_be_scored"]
    assert good["rows_of_history"] == 4
    bad = describing.check(session, "CLOSE")
    assert not bad["may_be_scored"]
    assert "divide by a price" in bad["why_not"]
    session.score("RANK(DELTA(VOLUME, 4))")
    assert describing.check(session, "RANK(DELTA(VOLUME, 4))")["known"] == "trial 1"
    in_library = session.state.library.members[0].factor.canonical
    assert describing.check(session, in_library)["known"] == "in the library"
    assert session.looks.total == 1


@pytest.mark.parametrize(
    "text", ["RANK(VOLUME * 0)", "RANK(LOG(0 - VOLUME))", "VOLUME / (VOLUME - VOLUME)", "TS_MEAN(RET, 240)"]
)
def test_a_formula_without_values_is_a_trial_that_shows_nothing(session: AgentSession, text: str) -> None:
    answer = session.score(text)
    assert answer["trial"]["family_wise_p"]["both"] == 1.0
    assert answer["admission"]["state"] == "would be stopped if it were proposed now"
    assert session.looks.total == 1
    session.score(FORMULAS[0])
    assert session.verdict().verdict.tried.total == 2


def test_the_data_are_described_without_the_test(session: AgentSession, panel: Panel) -> None:
    told = describing.data_description(session)
    assert (told["dates"], told["symbols"]) == panel.shape
    assert told["splits"]["test"]["last"] == str(panel.dates[-1])[:10]
    before = panel.slice_dates(0, session.market.rows.test.start)["VOLUME"]
    assert told["fields"]["VOLUME"]["median"] == pytest.approx(float(np.nanmedian(before)), rel=1e-3)
    assert "RANK(x)" in told_operators(session)


def told_operators(session: AgentSession) -> str:
    return " ".join(line for family in describing.operator_list(session)["operators"].values() for line in family)


def test_an_operator_is_found_by_alias_and_a_wrong_one_has_its_nearest() -> None:
    assert describing.operator_description("ts_corr")["name"] == "CORREL"
    with pytest.raises(UnknownName, match="did you mean TS_MEAN"):
        describing.operator_description("ts_meen")


def other_after(panel: Panel, row: int) -> Panel:
    """The same market with other bars from a row on."""
    frame = to_frame(panel)
    dates = set(panel.dates[row:].tolist())
    import polars as pl

    late = pl.col("date").is_in(sorted(dates))
    changed = frame.with_columns(
        [pl.when(late).then(pl.col(c) * 3.0 + 1.0).otherwise(pl.col(c)).alias(c) for c in ("open", "close", "volume")]
        + [pl.when(late).then(pl.col("high") * 3.0 + 9.0).otherwise(pl.col("high")).alias("high")]
    )
    return Panel.from_frame(changed)


def test_no_answer_before_the_verdict_knows_the_test_split(panel: Panel, tmp_path: Path) -> None:
    told = []
    with open_session(settings(tmp_path / "find"), panel=panel) as session:
        start = session.market.rows.test.start
    for name, data in (("a", Panel.from_frame(to_frame(panel))), ("b", other_after(panel, start))):
        with open_session(settings(tmp_path / name), panel=data) as session:
            answers = [session.score(f) for f in FORMULAS]
            answers += [Studies(session).of(FORMULAS[0]), session.propose(FORMULAS[1])]
            answers += [describing.data_description(session), reporting.report(session)]
            answers.append(describing.check(session, FORMULAS[2]))
            for answer in answers:
                for key in ("run", "ledger", "read_it", "source", "data", "warnings"):
                    answer.pop(key, None)
            told.append(answers)
            test = data["CLOSE"][start:]
        told.append(float(np.nansum(test)))
    assert told[1] != told[3], "the two markets do not differ in the test"
    assert told[0] == told[2]


def test_a_study_is_on_training_and_validation_and_counts(session: AgentSession) -> None:
    found = Studies(session).of(FORMULAS[0])
    assert found["trial"]["counted_now"]
    assert session.looks.total == 1
    scored = session.score(FORMULAS[0])
    for split in ("train", "valid"):
        own = found["study"][split]["horizons"][0]
        assert own["rank_ic"] == pytest.approx(scored[split]["rank_ic"], abs=2e-6)
        last = str(session.market.whole.dates[getattr(session.market.rows, split).stop - 1])[:4]
        assert max(str(y["period"]) for y in found["study"][split]["by_year"]) <= last


def test_what_is_proposed_passes_the_gates_and_is_counted_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_session(settings(tmp_path), panel=market(2, signal=0.15)) as session:
        scored = session.score(SIGNAL)
        assert scored["admission"]["state"] == "would be admitted if it were proposed now"
        proposed = session.propose(SIGNAL, hypothesis="quiet volume", parents=[FORMULAS[0]])
        assert proposed["admission"] == {"state": "admitted"}
        assert not proposed["trial"]["counted_now"]
        assert session.looks.total == 1
        assert session.propose(SIGNAL)["admission"] == {"state": "admitted"}
        assert len(rows(session)) == 2
        stopped = session.propose(FORMULAS[1])
        assert stopped["trial"]["counted_now"]
        assert stopped["admission"]["state"] == "proposed and stopped"
        assert session.ledger.gate_counts(session.run.id) == {None: 1, stopped["admission"]["gate"]: 1}
        kept = trials_of(rows(session))
        assert [(r["admitted"], r["gate"] is None) for r in kept] == [(True, True), (False, False)]
        capsys.readouterr()
        assert main(["runs", "show", "last", "--ledger", str(tmp_path / "ledger.sqlite"), "--candidates"]) == 0
        shown = capsys.readouterr().out
        assert "4 rounds, 2 candidates" in shown
        assert "admitted 1" in shown
        assert shown.count(session.compiled(SIGNAL).canonical) == 1
        found = reporting.lineage(session, "best")
        assert found["path"][-1]["factor"] == scored["factor"]
        assert found["path"][-1]["parents"] == [session.compiled(FORMULAS[0]).fingerprint]
        told = reporting.report(session)
        assert [line["factor"] for line in told["admitted"]] == [scored["factor"]]
        result = session.verdict()
        assert [f.canonical for f in result.factors] == [scored["factor"]]
        assert result.factors[0].hypothesis == "quiet volume"
        assert result.verdict.tried.total == 2
        assert result.candidates == 2
        assert result.verdict.factors[0].holds
        assert result.test[result.factors[0].fingerprint]["rank_ic"] > 0.0
        answer = reporting.verdict_answer(session, result)
        assert answer["test_opened"]
        assert answer["factors"][0]["test"]["rank_ic"] > 0.0


def test_what_a_session_has_scored_counts_in_the_next(panel: Panel, tmp_path: Path) -> None:
    with open_session(settings(tmp_path), panel=panel) as session:
        first = session.run.id
        for formula in FORMULAS[:3]:
            session.score(formula)
        session.verdict()
        with pytest.raises(Refused, match="has its verdict"):
            session.verdict()
        again = session.score(FORMULAS[0])
        assert session.run.id != first
        assert again["trial"]["counted_now"]
        assert (again["trial"]["looks"], again["trial"]["of_earlier_runs"]) == (3, 2)
        new = session.score(FORMULAS[3])
        assert (new["trial"]["looks"], new["trial"]["of_earlier_runs"]) == (4, 2)
    with Ledger.open(tmp_path / "ledger.sqlite", create=False) as ledger:
        assert [r.status for r in ledger.list_runs()] == ["finished", "interrupted"]


def test_there_is_no_verdict_on_nothing(session: AgentSession) -> None:
    with pytest.raises(Refused, match="nothing was scored"):
        session.verdict()
    assert session.ledger.get_run(session.run.id).test_opened_at is None


def test_a_session_that_was_left_goes_on_as_if_it_never_had(panel: Panel, tmp_path: Path) -> None:
    with open_session(settings(tmp_path / "whole"), panel=panel) as session:
        whole = [session.score(f) for f in FORMULAS] + [session.propose(f) for f in FORMULAS[:2]]
        expected = session.verdict().to_dict()
    said: list[str] = []
    parts: list[dict[str, Any]] = []
    steps = [("score", f) for f in FORMULAS] + [("propose", f) for f in FORMULAS[:2]]
    for ask, formula in steps:
        with open_session(settings(tmp_path / "parts"), panel=panel, note=said.append) as session:
            parts.append(getattr(session, ask)(formula))
    with open_session(settings(tmp_path / "parts"), panel=panel) as session:
        got = session.verdict().to_dict()
    assert parts == whole
    for document in (expected, got):
        del document["record"]
        for section in ("paths",):
            document["settings"].pop(section, None)
    assert got == expected
    assert sum("going on with" in line for line in said) == len(steps) - 1


def test_a_new_session_can_be_asked_for(panel: Panel, tmp_path: Path) -> None:
    with open_session(settings(tmp_path), panel=panel) as session:
        session.score(FORMULAS[0])
        first = session.run.id
    with open_session(settings(tmp_path), panel=panel, fresh=True) as session:
        assert session.run.id != first
        assert session.score(FORMULAS[1])["trial"]["of_earlier_runs"] == 1
    with open_session(settings(tmp_path), panel=panel, resume=first) as session:
        assert session.run.id == first
        assert session.looks.session == 1
    with (
        pytest.raises(ConfigError, match="ask for one of them"),
        open_session(settings(tmp_path), panel=panel, resume=first, fresh=True),
    ):
        pass


@pytest.mark.parametrize(
    ("more", "data", "said"),
    [
        ({"gates": {"max_nodes": 7}}, 1, "gates.max_nodes"),
        ({}, 5, "other data"),
    ],
)
def test_a_session_is_gone_on_with_on_its_own_data_and_settings_alone(
    panel: Panel, tmp_path: Path, more: dict[str, Any], data: int, said: str
) -> None:
    with open_session(settings(tmp_path), panel=panel) as session:
        first = session.run.id
    with (
        pytest.raises(ConfigError, match=said),
        open_session(settings(tmp_path, **more), panel=market(data), resume=first),
    ):
        pass
    with open_session(settings(tmp_path, **more), panel=market(data)) as session:
        assert session.run.id != first


def test_a_session_is_no_search_to_resume_and_a_search_is_no_session(panel: Panel, tmp_path: Path) -> None:
    with open_session(settings(tmp_path), panel=panel) as session:
        run = session.run.id
    with pytest.raises(ConfigError, match=f"fama-fast mcp --resume {run}"):
        mine(settings(tmp_path), panel=panel, resume=run)
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.get_run(run).status == "interrupted"
    search = {"run": {"threads": 1, "rounds": 1, "candidates": 3}, "control": {"random": False}}
    found = mine(config_from_dict({"paths": {"output_dir": str(tmp_path)}, **search}), panel=panel)
    with (
        pytest.raises(ConfigError, match="no session of an agent"),
        open_session(settings(tmp_path), panel=panel, resume=found.run_id),
    ):
        pass


def test_what_could_not_be_written_is_not_counted_and_the_session_goes_on(
    session: AgentSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.score(FORMULAS[0])

    def full(*_: Any, **__: Any) -> None:
        raise StoreError("ledger: the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(session.ledger, "commit_round", full)
        with pytest.raises(StoreError, match="disk is full"):
            session.score(FORMULAS[1])
    assert session.looks.total == 1
    answer = session.score(FORMULAS[1])
    assert (answer["trial"]["number"], answer["trial"]["looks"]) == (2, 2)
    assert session.state.round == 2
    wide = session.state.wide
    assert wide is not None
    assert len(set(wide.names)) == wide.size


def test_a_session_whose_test_is_open_measures_nothing_more(
    panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_session(settings(tmp_path), panel=market(2, signal=0.15)) as session:
        session.propose(SIGNAL)

        def killed(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(session.ledger, "finish_run", killed)
            with pytest.raises(KeyboardInterrupt):
                session.verdict()
    with open_session(settings(tmp_path), panel=market(2, signal=0.15)) as session:
        with pytest.raises(Refused, match="ask for it first"):
            session.score(FORMULAS[0])
        assert session.verdict().verdict.factors[0].holds


def test_data_that_are_read_in_parts_give_the_same_answers(panel: Panel, tmp_path: Path) -> None:
    file = tmp_path / "bars.parquet"
    write_frame(to_frame(panel), file)
    answers = []
    for name, budget in (("memory", None), ("parts", "300MB")):
        config = settings(tmp_path / name, run={"threads": 1, "memory_budget": budget})
        data = None if budget is None else scan_market_data(file)
        given = {"panel": data} if data is not None else {"panel": Panel.from_parquet(file)}
        with open_session(config, **given) as session:
            answers.append([session.score(f) for f in FORMULAS])
            if budget is not None:
                with pytest.raises(Refused, match="in memory"):
                    Studies(session).of(FORMULAS[0])
                assert describing.data_description(session)["fields"]
    assert answers[0] == answers[1]


def test_a_masked_session_names_no_market_and_no_date(panel: Panel, tmp_path: Path) -> None:
    told = {}
    for mask in (False, True):
        with open_session(settings(tmp_path, data={"mask": mask}), panel=panel) as session:
            answers = [
                describing.data_description(session),
                Studies(session).of(FORMULAS[0]),
                reporting.report(session),
            ]
            for answer in answers:
                for key in ("run", "ledger", "read_it"):
                    answer.pop(key, None)
            told[mask] = repr(answers)
    year = str(panel.dates[0])[:4]
    assert year in told[False]
    assert "a simulated market" in told[False]
    assert "planted" not in told[False]
    assert f"'{year}" not in told[True]
    assert "simulated" not in told[True]
    assert "simulator" not in told[True]
