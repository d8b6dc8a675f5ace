"""Stamps of other clocks than the market's: dates of daily bars, bars within a day, times since 1970."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

import fama_fast as ff
from fama_fast.cli import main
from fama_fast.data import quality_report
from fama_fast.errors import ConfigError, DataError
from fama_fast.mining.config_file import config_from_dict
from fama_fast.panel import Panel
from fama_fast.panel.keys import read_dates
from fama_fast.panel.reading import reading_of
from fama_fast.panel.zones import odd_hour, read_zone
from tests.unit.panel.test_rows_that_count import both

UTC = dt.UTC


def market_days(n: int, first: dt.date = dt.date(2020, 1, 1)) -> list[dt.date]:
    found = [first + dt.timedelta(days=i) for i in range(2 * n)]
    return [d for d in found if d.weekday() < 5][:n]


def stamps(zone: str, days: list[dt.date]) -> list[dt.datetime]:
    """Midnight of the market in UTC."""
    return [dt.datetime(d.year, d.month, d.day, tzinfo=ZoneInfo(zone)).astimezone(UTC) for d in days]


def bars(when: list[Any] | pl.Series, symbols: int = 3) -> pl.DataFrame:
    n = len(when)
    days = when if isinstance(when, pl.Series) else pl.Series("date", when)
    values = np.random.default_rng(0).uniform(1, 2, n * symbols)
    frames = [
        pl.DataFrame({"date": days, "symbol": f"S{i}", "close": values[i * n : (i + 1) * n]}) for i in range(symbols)
    ]
    return pl.concat(frames).sort("date", "symbol")


FORMS = {
    "aware": lambda s: pl.Series("date", s, dtype=pl.Datetime("us", "UTC")),
    "naive": lambda s: pl.Series("date", [t.replace(tzinfo=None) for t in s]),
    "nanoseconds": lambda s: pl.Series("date", [t.replace(tzinfo=None) for t in s]).dt.cast_time_unit("ns"),
    "offset": lambda s: pl.Series("date", [t.isoformat() for t in s]),
    "z": lambda s: pl.Series("date", [t.isoformat().replace("+00:00", "Z") for t in s]),
    "other offset": lambda s: pl.Series("date", [t.astimezone(ZoneInfo("Asia/Kathmandu")).isoformat() for t in s]),
    "text": lambda s: pl.Series("date", [t.strftime("%Y-%m-%d %H:%M:%S") for t in s]),
    "seconds": lambda s: pl.Series("date", [int(t.timestamp()) for t in s]),
    "milliseconds": lambda s: pl.Series("date", [int(t.timestamp()) * 1000 for t in s]),
    "floats": lambda s: pl.Series("date", [t.timestamp() for t in s]),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "zone", ["Asia/Shanghai", "America/New_York", "Europe/London", "Australia/Sydney", "Asia/Kolkata"]
)
def test_daily_bars_of_utc_are_dates_of_the_market(form: str, zone: str, tmp_path: Path) -> None:
    days = market_days(260)
    path = tmp_path / "d.parquet"
    bars(FORMS[form](stamps(zone, days))).write_parquet(path, row_group_size=100)
    panel = both(path, timezone=zone)
    assert panel.dates.astype(object).tolist() == days
    assert panel.warnings == (f"stamps are moved to the clock of {zone}; those without a zone are taken as UTC",)
    part = both(path, timezone=zone, start="2020-03-02", end="2020-04-01")
    assert part.dates.astype(object).tolist() == [d for d in days if dt.date(2020, 3, 2) <= d <= dt.date(2020, 4, 1)]
    odd = both(path)
    assert odd.dates.dtype == np.dtype("datetime64[us]")
    assert any("--timezone" in w for w in odd.warnings), odd.warnings


def test_the_odd_hour_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "d.parquet"
    bars(FORMS["aware"](stamps("America/New_York", market_days(200)))).write_parquet(path)
    (said,) = both(path).warnings
    assert said.startswith(
        "daily bars stand at 04:00 and 05:00 of UTC: if that is midnight of the market, they fall on"
    )
    assert quality_report(path).count("clock") == 1
    assert quality_report(path, timezone="America/New_York").first_date == "2020-01-01"
    assert main(["score", "RANK(CLOSE)", "--data", str(path)]) == 0
    assert said in capsys.readouterr().err
    assert main(["data", "describe", str(path), "--timezone", "america/new_york"]) == 0
    assert "(2020-01-01..2020-10-06)" in capsys.readouterr().out


def test_membership_and_dates_go_by_the_markets_days(tmp_path: Path) -> None:
    days = market_days(20)
    path, members = tmp_path / "d.parquet", tmp_path / "m.csv"
    bars(FORMS["naive"](stamps("Asia/Shanghai", days))).write_parquet(path)
    members.write_text(f"symbol,start,end\nS0,{days[5]},{days[9]}\nS1,{days[0]},\n")
    panel = ff.load_market_data(path, timezone="Asia/Shanghai", universe=members)
    assert panel.universe is not None
    assert np.flatnonzero(panel.universe[:, 0]).tolist() == [5, 6, 7, 8]
    parts = ff.scan_market_data(path, timezone="Asia/Shanghai", universe=members).panel()
    np.testing.assert_array_equal(parts.universe, panel.universe)


def test_intraday_bars_stay_within_their_day(tmp_path: Path) -> None:
    """Bars of 9:30 to 15:00 in Shanghai, in UTC on one day each; after the move they are sessions of that day."""
    minutes = [dt.datetime(2020, 1, d, h, 30, tzinfo=ZoneInfo("Asia/Shanghai")) for d in (2, 3, 6) for h in (9, 10, 14)]
    path = tmp_path / "d.parquet"
    bars(pl.Series("date", [m.astimezone(UTC) for m in minutes], dtype=pl.Datetime("us", "UTC"))).write_parquet(path)
    panel = both(path, timezone="Asia/Shanghai")
    assert str(panel.dates[0]) == "2020-01-02T09:30:00.000000"
    assert panel.sessions.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert both(path).warnings == ()
    assert both(path, timezone="Asia/Shanghai", start="2020-01-03", end="2020-01-03").shape[0] == 3
    # Tokyo opens at midnight UTC: one bar a day there is no sign that the others are dates.
    night = [dt.datetime(2020, 1, d, h, tzinfo=UTC) for d in (2, 3, 6) for h in (0, 1, 5)]
    bars(pl.Series("date", night, dtype=pl.Datetime("us", "UTC"))).write_parquet(path)
    assert str(both(path, timezone="Asia/Tokyo").dates[0]) == "2020-01-02T09:00:00.000000"


def test_dates_are_not_moved(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    for when in (
        pl.Series("date", market_days(10)),
        pl.Series("date", market_days(10)).cast(pl.Datetime("us", "UTC")),
        pl.Series("date", market_days(10)).cast(pl.String),
        pl.Series("date", [f"{d}T00:00:00-05:00" for d in market_days(10)]),
    ):
        bars(when).write_parquet(path)
        panel = both(path, timezone="America/New_York")
        assert panel.dates.astype(object).tolist() == market_days(10)
        assert panel.warnings == (
            "all stamps stand at midnight and are dates: the time zone America/New_York moves none",
        )
    # The decision is about all rows, also where a row group has none but midnights.
    some = [
        dt.datetime(2020, 1, 2, tzinfo=UTC),
        dt.datetime(2020, 1, 3, tzinfo=UTC),
        dt.datetime(2020, 1, 3, 15, tzinfo=UTC),
    ]
    bars(some, 1).write_parquet(path, row_group_size=1)
    assert str(both(path, timezone="Asia/Tokyo").dates[0]) == "2020-01-02T09:00:00.000000"


def test_a_clock_that_goes_back_is_refused(tmp_path: Path) -> None:
    hours = [dt.datetime(2020, 11, 1, h, 15, tzinfo=UTC) for h in range(3, 9)]
    path = tmp_path / "d.parquet"
    bars(hours).write_parquet(path)
    for read in (ff.load_market_data, ff.scan_market_data):
        with pytest.raises(DataError, match="clock of America/New_York goes back before 2020-11-01T06:15:00 UTC"):
            read(path, timezone="America/New_York")
    assert both(path, timezone="Asia/Tokyo").shape == (6, 3)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("Asia/Shanghia", "Asia/Shanghai"),
        ("shanghai", "Asia/Shanghai"),
        ("New York", "America/New_York"),
        ("tokio", "Asia/Tokyo"),
    ],
)
def test_unknown_zones_name_the_nearest(name: str, near: str) -> None:
    with pytest.raises(ConfigError, match=f"no time zone '{name}'; did you mean {near}"):
        ff.load_market_data(None, timezone=name)


@pytest.mark.parametrize("name", ["", "  ", "Mars/Olympus", "localtime"])
def test_unknown_zones_without_a_near_one(name: str) -> None:
    with pytest.raises(ConfigError, match="no time zone"):
        reading_of(timezone=name)


def test_zones_are_spelled_as_the_database_does() -> None:
    assert read_zone(" asia/SHANGHAI ") == "Asia/Shanghai"
    assert reading_of(timezone="utc").timezone == "UTC"


@pytest.mark.parametrize(
    ("hours", "said"),
    [
        (["16:00"] * 3, "16:00"),
        (["04:00", "04:00", "05:00"], "04:00 and 05:00"),
        (["23:00", "00:00", "00:00"], "00:00 and 23:00"),
        (["18:30"] * 3, "18:30"),
        (["00:00"] * 3, None),
        (["15:00", "12:00", "15:00"], None),
        (["04:00", "05:00", "06:00"], None),
        (["15:00"], None),
    ],
)
def test_odd_hours(hours: list[str], said: str | None) -> None:
    moments = np.array([f"2020-01-0{i + 2}T{h}" for i, h in enumerate(hours)], dtype="datetime64[us]").astype(np.int64)
    assert odd_hour(moments) == said


def test_bars_within_a_day_stand_at_no_odd_hour() -> None:
    moments = np.array(["2020-01-02T09:00", "2020-01-02T10:00"], dtype="datetime64[us]").astype(np.int64)
    assert odd_hour(moments) is None


# Times since 1970


@pytest.mark.parametrize(
    ("value", "date"),
    [
        (1577836800, "2020-01-01"),
        (1577836800000, "2020-01-01"),
        (1577836800000000, "2020-01-01"),
        (1577836800000000000, "2020-01-01"),
        (631152000, "1990-01-01"),
        (631152000000, "1990-01-01"),
        (20200101, "2020-01-01"),
        (20200101.0, "2020-01-01"),
        (1577836800000.0, "2020-01-01"),
        ("1577836800000", "2020-01-01"),
        (1577869200, "2020-01-01 09:00:00"),
        (20200101090000, "2020-01-01 09:00:00"),
        ("20200101090000", "2020-01-01 09:00:00"),
    ],
)
def test_numbers_are_dates_by_their_size(value: Any, date: str) -> None:
    assert str(read_dates(pl.Series("date", [value]), source="x")[0]) == date


@pytest.mark.parametrize(
    "value",
    [
        202001020930,
        2020010209,
        -1577836800,
        99999999,
        1,
        2**63 - 1,
        1.5,
        float("nan"),
        float("inf"),
        1e300,
        "1e9",
        True,
        4200000000,
    ],
)
def test_other_numbers_are_refused(value: Any) -> None:
    with pytest.raises(DataError, match="'date'"):
        read_dates(pl.Series("date", [value]), source="x")


def test_milliseconds_of_an_exchange() -> None:
    ms = [1577836800000 + 86_400_000 * i for i in range(5)]
    panel = Panel.from_frame(pl.DataFrame({"timestamp": ms, "symbol": "BTC", "close": [1.0, 2, 3, 4, 5]}))
    assert panel.dates.astype(str).tolist() == [f"2020-01-0{i}" for i in range(1, 6)]


def test_a_zone_in_the_configuration() -> None:
    assert config_from_dict({"data": {"timezone": "asia/tokyo"}}).data.timezone == "Asia/Tokyo"
    with pytest.raises(ConfigError, match=r"data\.timezone.*no time zone 'Asia/Tokio'; did you mean Asia/Tokyo"):
        config_from_dict({"data": {"timezone": "Asia/Tokio"}})


@pytest.mark.parametrize("option", [{"timezone": "UTC"}, {"duplicates": "first"}, {"min_symbols": 3}])
def test_the_simulator_reads_no_rows(option: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="the simulator reads none"):
        ff.load_market_data(None, **option)


def test_limits_may_be_written_in_many_ways(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    bars(pl.Series("date", market_days(10))).write_parquet(path)
    third = market_days(10)[2]
    for start in (
        third,
        str(third),
        int(f"{third:%Y%m%d}"),
        dt.datetime.fromisoformat(str(third)),
        dt.datetime(third.year, third.month, third.day, tzinfo=UTC),
        int(dt.datetime(third.year, third.month, third.day, tzinfo=UTC).timestamp()) * 1000,
    ):
        assert both(path, start=start).shape[0] == 8
        assert both(path, end=start).shape[0] == 3
    for wrong in ("soon", 5, "2020-13-01"):
        with pytest.raises(DataError, match="is not a date"):
            ff.load_market_data(path, start=wrong)


def random_rows(rng: np.random.Generator, zone: str) -> pl.DataFrame:
    """Daily or intraday rows with odd prices, repeated keys and gaps, stamped in one of the ways that there are."""
    days, symbols = int(rng.integers(1, 12)), int(rng.integers(1, 7))
    hours = [0] if rng.random() < 0.6 else sorted(set(rng.integers(0, 24, 3).tolist()))
    first = np.datetime64(f"2020-03-{int(rng.integers(1, 20)):02d}", "us")
    when = (first + (np.arange(days)[:, None] * 24 + np.array(hours)).ravel() * np.timedelta64(1, "h")).astype(object)
    rows = pl.DataFrame({"date": when.tolist()}).join(
        pl.DataFrame({"symbol": [f"S{i}" for i in range(symbols)]}), how="cross"
    )
    n = rows.height
    rows = rows.with_columns(
        close=pl.Series(rng.choice([0.0, -1.0, 1.5, 2.5, float("inf"), float("nan")], n)),
        volume=pl.Series(rng.integers(0, 3, n)),
        member=pl.Series(rng.random(n) < 0.8),
        sector=pl.Series(rng.choice(["a", " a", "b", "", "NA"], n)),
    ).filter(pl.Series(rng.random(n) < rng.choice([0.3, 0.8, 1.0])) | (pl.int_range(pl.len()) == 0))
    extra = rows.sample(int(rng.integers(0, 6)), with_replacement=True, seed=int(rng.integers(1000)))
    if rng.random() < 0.4:
        extra = extra.with_columns(volume=pl.lit(1, dtype=pl.Int64))
    rows = pl.concat([rows, extra])
    local = pl.col("date").dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    form = (
        pl.col("date"),
        local.dt.convert_time_zone("UTC"),
        pl.col("date").dt.epoch("ms"),
        pl.col("date").dt.strftime("%Y-%m-%dT%H:%M:%S+00:00"),
    )[int(rng.integers(4))]
    rows = rows.with_columns(date=form).drop_nulls("date")
    if rng.random() < 0.6:
        return rows.sample(fraction=1.0, shuffle=True, seed=int(rng.integers(1000)))
    return rows.sort("date", maintain_order=True)


def outcome(read: Any) -> tuple[Any, ...]:
    try:
        found = read()
        return found.data_hash, found.shape, tuple(found.warnings), found.dates.dtype.name
    except DataError as error:
        return (str(error), error.details)


@pytest.mark.slow
def test_random_stamps_read_alike_in_memory_and_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fama_fast.panel.survey._CELLS", 64)
    monkeypatch.setattr("fama_fast.panel.choose_parts._ROWS", 16)
    monkeypatch.setattr("fama_fast.panel.io.parquet_files.BATCH_ROWS", 11)
    seen = set()
    for seed in range(30):
        rng = np.random.default_rng(seed)
        zone = str(rng.choice(["UTC", "Asia/Shanghai", "America/New_York"]))
        rows = random_rows(rng, zone)
        if rows.is_empty():
            continue
        folder = tmp_path / str(seed)
        folder.mkdir()
        edges = np.unique(np.linspace(0, rows.height, int(rng.integers(2, 5))).astype(int))
        for i, (a, b) in enumerate(pairwise(edges)):
            rows[int(a) : int(b)].write_parquet(folder / f"{i}.parquet", row_group_size=int(rng.integers(2, 30)))
        options: dict[str, Any] = {"duplicates": str(rng.choice(["error", "first", "last"]))}
        options |= {"timezone": zone} if rng.random() < 0.5 else {}
        options |= {"min_symbols": float(rng.choice([2, 0.5]))} if rng.random() < 0.4 else {}
        options |= {"start": "2020-03-08", "history": int(rng.integers(0, 3))} if rng.random() < 0.5 else {}
        options |= {"end": "2020-03-12"} if rng.random() < 0.3 else {}
        held = outcome(lambda path=folder, how=options: ff.load_market_data(path, **how))
        parts = outcome(lambda path=folder, how=options: ff.scan_market_data(path, **how))
        if len(parts) == 4:  # all warnings are known when everything was read
            data = ff.scan_market_data(folder, **options)
            data.read_through(1)
            parts = (parts[0], parts[1], tuple(data.warnings), parts[3])
        assert held == parts, (seed, options)
        seen.add(len(held))
    assert seen == {2, 4}
