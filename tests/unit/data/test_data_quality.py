"""The data-quality report counts each wart once and names it."""

from __future__ import annotations

import datetime as dt
import json

import polars as pl
import pytest

from fama_fast.data import SimulationSpec, quality_report, simulate, to_frame
from fama_fast.errors import ConfigError, DataError
from tests.support.paths import MARKET

FIRST = dt.date(2020, 1, 1)


def bars(closes: dict[str, list[float | None]], skip: tuple[tuple[str, int], ...] = ()) -> pl.DataFrame:
    """Bars around closes, one row a symbol and day except those skipped."""
    rows = [
        {
            "date": FIRST + dt.timedelta(days=day),
            "symbol": symbol,
            "open": close,
            "high": None if close is None else close * 1.01,
            "low": None if close is None else close * 0.99,
            "close": close,
            "volume": 100.0,
        }
        for symbol, values in closes.items()
        for day, close in enumerate(values)
        if (symbol, day) not in skip
    ]
    return pl.DataFrame(rows)


CLEAN: dict[str, list[float | None]] = {"A": [10.0, 10.1, 10.2, 10.1, 10.0], "B": [20.0, 20.1, 20.2, 20.1, 20.0]}


def with_value(frame: pl.DataFrame, symbol: str, day: int, **values: float | None) -> pl.DataFrame:
    here = (pl.col("symbol") == symbol) & (pl.col("date") == FIRST + dt.timedelta(days=day))
    return frame.with_columns(pl.when(here).then(pl.lit(v)).otherwise(pl.col(c)).alias(c) for c, v in values.items())


def test_clean_data_has_only_the_survivorship_hint() -> None:
    report = quality_report(bars(CLEAN))
    assert [f.check for f in report.findings] == ["survivorship"]
    assert report.ok
    assert (report.n_rows, report.n_symbols, report.n_dates) == (10, 2, 5)
    assert (report.first_date, report.last_date) == ("2020-01-01", "2020-01-05")


@pytest.mark.parametrize(
    ("values", "check", "example"),
    [
        ({"high": 9.0, "open": 9.0, "low": 10.1}, "high_below_low", "A 2020-01-03: high 9, low 10.1"),
        ({"open": 5.0}, "outside_range", "A 2020-01-03: open 5"),
        ({"low": 0.0}, "non_positive_prices", "A 2020-01-03"),
        ({"close": None}, "missing_values", "A 2020-01-03"),
        ({"open": float("nan")}, "missing_values", "A 2020-01-03"),
        ({"volume": float("inf")}, "infinite_values", "A 2020-01-03"),
        ({"volume": 0.0}, "zero_volume", "A 2020-01-03"),
        ({"volume": -1.0}, "negative_volume", "A 2020-01-03: volume -1"),
        ({"high": 10.2, "low": 10.2}, "flat_bars", "A 2020-01-03: close 10.2"),
    ],
)
def test_a_wart_in_one_row(values: dict[str, float | None], check: str, example: str) -> None:
    report = quality_report(with_value(bars(CLEAN), "A", 2, **values))
    assert report.count(check) == 1
    finding = next(f for f in report.findings if f.check == check)
    assert finding.severity == "warning"
    assert finding.examples[0].startswith(example)
    assert report.ok


def test_glitches_come_back_and_jumps_do_not() -> None:
    report = quality_report(bars({"A": [10, 5, 10.1, 10, 10], "B": [20, 20, 9, 9.1, 9]}))
    assert report.count("glitches") == 1
    assert report.count("jumps") == 3
    assert next(f for f in report.findings if f.check == "glitches").examples[0].startswith("A 2020-01-02: move -0.5")
    assert next(f for f in report.findings if f.check == "jumps").examples[0] == "A 2020-01-03: +102%"
    assert quality_report(bars({"A": [10, 5, 10.1], "B": [20, 20, 9]}), jump=1.5).count("jumps") == 0
    with pytest.raises(ConfigError, match=r"jump must be positive"):
        quality_report(bars(CLEAN), jump=0.0)


def test_gaps_late_listings_early_ends_short_histories() -> None:
    frame = bars(
        {**CLEAN, "C": [1.0] * 5, "D": [1.0] * 5},
        skip=(("A", 1), ("A", 2), ("C", 0), ("C", 1), ("C", 2), ("D", 4)),
    )
    report = quality_report(frame)
    counts = {f.check: f.count for f in report.findings}
    assert counts["gaps"] == 2
    assert counts["late_listings"] == 1
    assert counts["early_ends"] == 1
    assert counts["short_histories"] == 1
    assert "survivorship" not in counts


def test_duplicates_are_an_error_that_names_rows_and_the_rest_is_still_told() -> None:
    frame = pl.concat([bars(CLEAN), bars(CLEAN)[3:5].with_columns(close=pl.col("close") * 1.001)])
    report = quality_report(with_value(frame, "B", 0, volume=0.0))
    assert not report.ok
    (error,) = report.errors
    assert error.count == 2
    assert "(2020-01-04, A) in row 4, row 11" in error.message
    assert report.count("zero_volume") == 1
    assert report.count("gaps") == 0


def test_unusable_data_raise() -> None:
    with pytest.raises(DataError, match=r"row 2 is 'x'"):
        quality_report(bars(CLEAN).with_columns(close=pl.Series(["1", "x", *["2"] * 8])))
    with pytest.raises(DataError, match=r"no rows"):
        quality_report(bars(CLEAN)[:0])
    with pytest.raises(DataError, match=r"no such file"):
        quality_report("nowhere.parquet")


def test_renderings() -> None:
    report = quality_report(with_value(bars(CLEAN), "A", 2, volume=0.0))
    text = report.to_text()
    assert text.startswith("frame: 10 rows, 2 symbols, 5 dates (2020-01-01..2020-01-05)\n")
    assert "rows with volume zero: A 2020-01-03" in text
    plain = json.loads(json.dumps(report.as_dict()))
    assert plain["ok"] is True
    assert plain["findings"][0]["check"] == "zero_volume"


def test_without_prices_or_volume() -> None:
    report = quality_report(bars(CLEAN).select("date", "symbol", "volume"))
    assert report.fields == ("VOLUME",)
    assert report.ok


def test_the_simulator_passes_its_own_check() -> None:
    spec = SimulationSpec(n_symbols=40, n_dates=200, seed=2, late_listing=0.2, missing=0.01)
    panel = simulate(spec)
    report = quality_report(to_frame(panel))
    assert {f.check for f in report.findings} <= {"gaps", "late_listings", "short_histories", "jumps", "survivorship"}
    assert report.count("gaps") > 20


REAL = {
    "sp500_2013_2018": {
        "missing_values": 27,
        "high_below_low": 1,
        "outside_range": 12,
        "non_positive_prices": 0,
        "infinite_values": 0,
        "jumps": 102,
        "zero_volume": 4,
        "gaps": 51,
        "late_listings": 29,
        "short_histories": 13,
        "survivorship": 505,
        "duplicate_keys": 0,
    },
    "sample_us30_2015_2016": {
        "missing_values": 10,
        "outside_range": 1,
        "zero_volume": 2,
        "gaps": 11,
        "late_listings": 1,
    },
    "us_stocks_3000_2014_2017": {
        "missing_values": 0,
        "high_below_low": 0,
        "outside_range": 3,
        "zero_volume": 362,
        "flat_bars": 602,
        "gaps": 753,
        "late_listings": 553,
        "early_ends": 11,
        "short_histories": 252,
        "survivorship": 0,
    },
}


@pytest.mark.market_data
@pytest.mark.parametrize("name", sorted(REAL))
def test_counts_of_real_warts(name: str) -> None:
    path = MARKET / f"{name}.parquet"
    if not path.exists():
        pytest.skip(f"no market data at {MARKET}")
    report = quality_report(path)
    assert {check: report.count(check) for check in REAL[name]} == REAL[name]
    if name == "sp500_2013_2018":
        glitches = next(f for f in report.findings if f.check == "glitches").examples
        assert any(e.startswith("LNT 2016-05-19") for e in glitches)
        assert any(e.startswith("NWL 2017-09-14") for e in glitches)
