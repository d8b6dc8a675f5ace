"""The published libraries by name: texts, what is left out and why, and the factors that a search starts from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import fama_fast as ff
from fama_fast.errors import UnknownName
from fama_fast.library import FactorCache, FactorSet, alpha360, gtja191, make_factor, seed_factors
from fama_fast.library.gtja191 import ABBREVIATIONS, LEFT_OUT, READINGS
from fama_fast.library.published import LIBRARIES, PUBLISHED, check_library
from fama_fast.mining.run.starting import save_factors, starting_library
from tests.support.qlib_reference import reference
from tests.unit.lang.test_dialect_qlib import T, make_market, stock

COUNTS = {"alpha101": 101, "alpha158": 158, "alpha360": 358, "gtja191": 189}


def test_alpha360_has_six_blocks_of_sixty_days() -> None:
    formulas = alpha360()
    assert len(formulas) == 360
    assert list(formulas)[:2] == ["CLOSE59", "CLOSE58"]
    assert list(formulas)[59:61] == ["CLOSE0", "OPEN59"]
    assert list(formulas)[-1] == "VOLUME0"
    assert alpha360("vwap7") == formulas["VWAP7"] == "Ref($vwap, 7)/$close"
    assert formulas["HIGH0"] == "$high/$close"
    assert formulas["VOLUME1"] == "Ref($volume, 1)/($volume+1e-12)"
    alphas = [ff.compile(text, dialect="qlib") for text in formulas.values()]
    assert max(a.lookback for a in alphas) == 59
    assert len({a.fingerprint for a in alphas}) == 360
    with pytest.raises(UnknownName) as caught:
        alpha360("VWAP60")
    assert caught.value.suggestion == "VWAP6"


def test_alpha360_on_single_stocks_with_missing_days_is_that_of_pandas() -> None:
    panel = make_market(seed=12)
    late = panel.symbols.size - 1
    assert np.isnan(panel["CLOSE"]).mean() > 0.01
    values = ff.evaluate([ff.compile(text, dialect="qlib") for text in alpha360().values()], panel)
    for symbol in (0, late):
        fields = stock(panel, symbol)
        first = T - len(fields["close"])
        for (name, text), found in zip(alpha360().items(), values, strict=True):
            np.testing.assert_allclose(found[first:, symbol], reference(text, fields), 1e-9, 0.0, err_msg=name)
            assert np.isnan(found[:first, symbol]).all()


def test_gtja_has_all_but_two_and_says_why() -> None:
    formulas = gtja191()
    assert sorted([*formulas, *LEFT_OUT]) == list(range(1, 192))
    assert set(LEFT_OUT) == {30, 143}
    assert set(READINGS) <= set(formulas)
    assert gtja191(14) == formulas[14] == "CLOSE - DELAY(CLOSE, 5)"
    assert ABBREVIATIONS["TR"] in formulas[172]
    with pytest.raises(
        UnknownName, match="formula 30 of GTJA's 191 cannot be written in this language: it is what a re"
    ):
        gtja191(30)
    with pytest.raises(UnknownName, match="no formula 192 among GTJA's 191: they are numbered 1 to 191"):
        gtja191(192)
    alphas = {number: ff.compile(text) for number, text in formulas.items()}
    of_index = {n for n, a in alphas.items() if any(f.startswith("BENCHMARK") for f in a.fields)}
    assert of_index == {75, 149, 181, 182}
    plain = {"OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "VWAP", "RET"}
    assert {f for n, a in alphas.items() if n not in of_index for f in a.fields} == plain


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_library_is_a_list_of_different_factors_that_say_where_they_are_from(name: str) -> None:
    begun = starting_library(None, name)
    factors, source = begun.factors, begun.source
    assert begun.record() == {"source": source, "files": []}
    assert len(factors) == COUNTS[name] == len({f.fingerprint for f in factors})
    assert source == PUBLISHED[name].title
    assert all(f.provenance["source"].startswith(source) for f in factors)
    again = FactorSet(factors)  # each can be read again from its text and dialect
    assert [f.fingerprint for f in again] == [f.fingerprint for f in factors]
    for f in factors[:5]:
        dialect = f.provenance.get("dialect", "fama")
        assert make_factor(f.expression, dialect=dialect).fingerprint == f.fingerprint


def test_without_a_name_it_is_the_seeds() -> None:
    begun = starting_library(None)
    factors, source = begun.factors, begun.source
    assert [f.canonical for f in factors] == [f.canonical for f in seed_factors()]
    assert source == "the packaged seed alphas"


def test_a_cache_with_factors_comes_first_and_says_so(tmp_path: Path) -> None:
    path = str(tmp_path / "cache.yaml")
    empty = starting_library(path, "alpha158")
    assert len(empty.factors) == 158
    assert empty.source == f"qlib's Alpha158 (the factor cache {path} holds none yet)"
    FactorCache(path).save(FactorSet([make_factor("RANK(CLOSE / OPEN)")]))
    kept = starting_library(path, "alpha158")
    assert [f.canonical for f in kept.factors] == ["RANK(CLOSE / OPEN)"]
    assert kept.source == f"the factor cache {path}, which comes before library: alpha158"
    assert [(f.path, f.factors, len(f.hash)) for f in kept.files] == [(path, 1, 32)]
    assert starting_library(path).source == f"the factor cache {path}"


def test_an_empty_cache_gets_the_library_and_what_was_found(tmp_path: Path) -> None:
    path = str(tmp_path / "cache.yaml")
    start = starting_library(path, "alpha158").factors
    save_factors(path, [make_factor("RANK(CLOSE / OPEN)")], "alpha158")
    kept = starting_library(path, "alpha158").factors
    assert [f.fingerprint for f in kept[:158]] == [f.fingerprint for f in start]
    assert kept[158].canonical == "RANK(CLOSE / OPEN)"


def test_a_wrong_name_is_told_the_nearest() -> None:
    assert [check_library(name) for name in LIBRARIES] == list(LIBRARIES)
    with pytest.raises(ValueError, match=r"must be one of seeds, .*, gtja191, not 'alfa158'; did you mean alpha158\?"):
        check_library("alfa158")
