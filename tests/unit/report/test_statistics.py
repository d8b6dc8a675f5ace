"""The statistics of the report's table: each is what it says, of the dates that may be shown."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fama_fast.evaluation import StudyData, StudySettings, study
from fama_fast.report.content import Content, Entry
from fama_fast.report.statistics import STATISTICS, Measured, Statistic
from fama_fast.report.summary import markdown_summary


def measured() -> Measured:
    """A factor on 60 days and 30 symbols of random returns."""
    rng = np.random.default_rng(5)
    returns = rng.normal(0, 0.02, (60, 30))
    dates = np.arange("2024-01-01", "2024-03-01", dtype="datetime64[D]")
    data = StudyData.from_returns(dates, np.array([f"S{i}" for i in range(30)]), returns, settings=StudySettings())
    found = study(rng.normal(size=(60, 30)), data)
    return Measured(found.figures, found.daily, 1)


def test_each_is_a_number_of_the_study_or_missing() -> None:
    one = measured()
    values = {s.title: s.of(one) for s in STATISTICS}
    assert len(values) == len(STATISTICS)
    assert values["t"] == one.figures["horizons"][0]["rank_ic_t"]
    assert values["turnover"] == pytest.approx(np.nanmean(one.daily["turnover"]))
    assert values["residual"] is None  # no prices, so no controls
    assert values["half-life"] == one.figures["decay"]["half_life"]
    assert values["break-even bp"] == one.figures["long_short"]["break_even_bp"]


def test_values_are_written_as_the_entry_says() -> None:
    plain, signs = (Statistic("a", lambda _: None, decimals=1, sign=sign) for sign in (False, True))
    assert (plain.text(1.26), signs.text(1.26)) == ("1.3", "+1.3")
    assert [plain.text(v) for v in (None, float("nan"))] == ["–", "–"]


def test_the_summary_has_those_that_are_marked() -> None:
    entry = Entry("F1", "CLOSE", "CLOSE", "f" * 32, statistics={s.title: 2.0 for s in STATISTICS})
    text = markdown_summary(Content("title", "source", entries=(entry,), not_supplied={"verdict": "none"}))
    heads = next(line for line in text.splitlines() if line.startswith("| factor")).split(" | ")
    assert [s.title for s in STATISTICS if s.in_summary] == heads[5:-1]
    bare = dataclasses.replace(entry, statistics={})
    text = markdown_summary(Content("title", "source", entries=(bare,), not_supplied={"verdict": "none"}))
    assert "| – | – | – | `CLOSE` |" in text
