"""What a model may have read of: dates before its training ended are counted, names and dates can be hidden."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fama_fast.data import SimulationSpec, simulate
from fama_fast.errors import ConfigError
from fama_fast.llm.prompt import load_templates, render_prompt
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.measure.market import Market
from fama_fast.mining.progress.plain import NoProgress
from fama_fast.mining.run.mine import mine
from fama_fast.mining.run.to_records import read_before
from fama_fast.panel import Panel
from fama_fast.proposals.protocol import Capabilities, Proposal, ProposalBatch, ProposalRequest


@pytest.fixture(scope="module")
def panel() -> Panel:
    return simulate(SimulationSpec(n_symbols=30, n_dates=260, seed=2, signals=()))


@dataclass
class Asked:
    """Keeps what it was asked."""

    uses_prompt: bool = True
    name: str = "asked"
    requests: list[ProposalRequest] = field(default_factory=list)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(deterministic=True, uses_prompt=self.uses_prompt)

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        self.requests.append(request)
        return ProposalBatch((Proposal("RANK(DELTA(VOLUME, 3))"),))


class Notes(NoProgress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def run(panel: Panel, folder: Path, proposer: Asked, **more: Any) -> list[str]:
    notes = Notes()
    config = {
        "paths": {"output_dir": str(folder)},
        "run": {"threads": 1, "rounds": 1, "candidates": 3},
        "control": {"random": False},
        **more,
    }
    mine(config_from_dict(config), panel=panel, proposer=proposer, progress=notes)
    return notes.said


def test_dates_before_the_end_of_a_model_s_training_are_counted(panel: Panel) -> None:
    market = Market(panel, config_from_dict({}))
    valid, test = market.rows.valid, market.rows.test
    middle = str(panel.dates[valid.start + 7])[:10]
    said = read_before(market, middle)
    assert f"7 of {valid.stop - valid.start} validation dates and 0 of {test.stop - test.start} test dates" in said
    everything = read_before(market, "2999-01-01")
    assert f"{test.stop - test.start} of {test.stop - test.start} test dates" in everything


def test_a_run_says_so_where_a_model_is_asked(panel: Panel, tmp_path: Path) -> None:
    cutoff = {"llm": {"cutoff": "2020-01-01"}}
    assert any("trained on texts to 2020-01-01" in line for line in run(panel, tmp_path, Asked(), **cutoff))
    assert not any("trained on texts" in line for line in run(panel, tmp_path, Asked()))
    assert not any("trained on texts" in line for line in run(panel, tmp_path, Asked(uses_prompt=False), **cutoff))


@pytest.mark.parametrize("text", ["2020", "yesterday", "2020-13-01", ""])
def test_a_cutoff_that_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"llm\.cutoff"):
        config_from_dict({"llm": {"cutoff": text}})


def test_a_masked_prompt_names_no_market_and_no_date(panel: Panel, tmp_path: Path) -> None:
    shown = {}
    for mask in (False, True):
        asked = Asked()
        run(panel, tmp_path, asked, data={"mask": mask})
        messages = render_prompt(asked.requests[0], load_templates(None, None))
        shown[mask] = "\n".join(m.content for m in messages)
    first = str(panel.dates[0])[:10]
    assert first in shown[False]
    assert "a simulated market" in shown[False]
    assert first[:4] not in shown[True]
    assert "simulat" not in shown[True]
    assert "30 symbols" in shown[True]
