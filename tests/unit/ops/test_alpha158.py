"""Alpha158: the names and texts of qlib's set, and its values against pandas on single stocks."""

from __future__ import annotations

import numpy as np
import pytest

import fama_fast as ff
from fama_fast.errors import UnknownName
from fama_fast.library import alpha158
from fama_fast.library.alpha158 import KBAR, PRICES, ROLLING, WINDOWS, volume_lags
from tests.support.paths import MARKET
from tests.support.qlib_reference import reference
from tests.unit.lang.test_dialect_qlib import LISTED, T, make_market, stock

DATA = MARKET
FACTORS = alpha158()


def test_the_set_has_158_names_in_qlibs_order() -> None:
    assert len(FACTORS) == 158 == len(KBAR) + len(PRICES) + len(ROLLING) * len(WINDOWS)
    assert list(FACTORS)[:14] == [
        *("KMID", "KLEN", "KMID2", "KUP", "KUP2", "KLOW", "KLOW2", "KSFT", "KSFT2"),
        *("OPEN0", "HIGH0", "LOW0", "VWAP0"),
        "ROC5",
    ]
    assert list(FACTORS)[-5:] == [f"VSUMD{d}" for d in WINDOWS]
    assert {f"{n}60" for n in ("RSQR", "QTLU", "IMXD", "CORD", "CNTD", "SUMD", "WVMA", "VSUMN")} <= set(FACTORS)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("KUP2", "($high-Greater($open, $close))/($high-$low+1e-12)"),
        ("VWAP0", "$vwap/$close"),
        ("ROC20", "Ref($close, 20)/$close"),
        ("QTLD30", "Quantile($close, 30, 0.2)/$close"),
        ("RSV5", "($close-Min($low, 5))/(Max($high, 5)-Min($low, 5)+1e-12)"),
        ("IMXD10", "(IdxMax($high, 10)-IdxMin($low, 10))/10"),
        ("CORD60", "Corr($close/Ref($close,1), Log($volume/Ref($volume, 1)+1), 60)"),
        ("CNTD5", "Mean($close>Ref($close, 1), 5)-Mean($close<Ref($close, 1), 5)"),
        ("SUMN5", "Sum(Greater(Ref($close, 1)-$close, 0), 5)/(Sum(Abs($close-Ref($close, 1)), 5)+1e-12)"),
        (
            "WVMA20",
            "Std(Abs($close/Ref($close, 1)-1)*$volume, 20)/(Mean(Abs($close/Ref($close, 1)-1)*$volume, 20)+1e-12)",
        ),
        (
            "VSUMD30",
            (
                "(Sum(Greater($volume-Ref($volume, 1), 0), 30)-Sum(Greater(Ref($volume, 1)-$volume, 0), 30))"
                "/(Sum(Abs($volume-Ref($volume, 1)), 30)+1e-12)"
            ),
        ),
    ],
)
def test_texts_are_qlibs(name: str, text: str) -> None:
    assert alpha158(name) == alpha158(name.lower()) == text


def test_an_unknown_name_and_the_optional_volumes() -> None:
    with pytest.raises(UnknownName) as caught:
        alpha158("ROC15")
    assert caught.value.suggestion in FACTORS
    assert volume_lags(2) == {"VOLUME0": "$volume/($volume+1e-12)", "VOLUME1": "Ref($volume, 1)/($volume+1e-12)"}


def test_all_compile_and_need_60_days_at_most_beyond_today() -> None:
    alphas = {name: ff.compile(text, dialect="qlib") for name, text in FACTORS.items()}
    assert max(a.lookback for a in alphas.values()) == 60
    assert {f for a in alphas.values() for f in a.fields} == {"OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "VWAP"}
    assert len({a.fingerprint for a in alphas.values()}) == 158


def test_values_are_those_of_pandas_on_single_stocks() -> None:
    panel = make_market(seed=11)
    late = panel.symbols.size - 1
    values = ff.evaluate([ff.compile(text, dialect="qlib") for text in FACTORS.values()], panel)
    for symbol in (0, late):
        fields = stock(panel, symbol)
        first = T - len(fields["close"])
        for (name, text), found in zip(FACTORS.items(), values, strict=True):
            expected = reference(text, fields)
            assert np.isfinite(expected).mean() > 0.15, name
            np.testing.assert_allclose(found[first:, symbol], expected, 1e-6, 1e-8, err_msg=name)
    assert all(np.isnan(v[:LISTED, late]).all() for v in values)


@pytest.mark.market_data
@pytest.mark.skipif(not (DATA / "sp500_2013_2018.parquet").is_file(), reason=f"no market data in {DATA}")
def test_all_have_values_on_the_sp500() -> None:
    panel = ff.load_market_data(DATA / "sp500_2013_2018.parquet", start="2015-01-01", end="2015-12-31")
    listed = np.isfinite(panel["CLOSE"])
    alphas = [ff.compile(text, dialect="qlib") for text in FACTORS.values()]
    for start in range(0, len(alphas), 40):
        batch = alphas[start : start + 40]
        for alpha, values in zip(batch, ff.evaluate(batch, panel), strict=True):
            # Only Ref needs all of its days; a window takes what is there from the third day on.
            first = alpha.lookback if alpha.text.startswith("Ref(") else 2
            assert np.isfinite(values[first:][listed[first:]]).mean() > 0.98, alpha.text
