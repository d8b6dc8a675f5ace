"""Options of how data are read: one record, the same from Python, the command line and the configuration."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

import fama_fast as ff
from fama_fast.cli import reading as command_line
from fama_fast.cli.app import build_app
from fama_fast.errors import ConfigError
from fama_fast.mining.config_data import DataSettings
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.configured_data import open_panel
from fama_fast.panel.reading import PLAIN, Reading, ReadingOptions, read_columns, reading_of


def test_every_option_is_on_the_command_line_and_in_the_configuration() -> None:
    options = set(ReadingOptions.__annotations__)
    # --columns and data.columns name the keys too; history goes with what a command looks back to.
    given = options - {"date", "symbol", "history"}
    assert given == {*command_line._OPTIONS, *command_line._DATES}
    assert given <= set(DataSettings.model_fields)
    assert options - {"date", "symbol"} == set(Reading.__dataclass_fields__)


def test_the_record_gives_the_options_that_make_it() -> None:
    made = reading_of(date="day", columns={"CLOSE": "px_last"}, duplicates="last", min_symbols=0.5, start="2020-01-01")
    assert made.date == "day"
    assert made.symbol is None
    assert made.columns == {"close": "px_last", "date": "day"}
    assert reading_of(**made.options()) == made
    assert PLAIN.options() == {}
    assert reading_of() == PLAIN


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"duplicate": "first"}, "did you mean 'duplicates'"),
        ({"duplicates": "both"}, "error, first or last"),
        ({"decimal": ";"}, "decimal must be"),
        ({"min_symbols": 0}, "min_symbols must be"),
        ({"min_symbols": float("inf")}, "min_symbols must be"),
        ({"columns": {"close": ""}}, "names no column"),
        ({"columns": {"date": "a"}, "date": "b"}, "two columns for 'date'"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        reading_of(**options)


def test_columns_on_the_command_line() -> None:
    assert read_columns("close=px_last, DATE=day") == {"close": "px_last", "date": "day"}
    for wrong in ("close", "close=", "=px", "close=a,close=b", ""):
        with pytest.raises(ConfigError):
            read_columns(wrong)


@pytest.fixture
def odd_file(tmp_path: Path) -> Path:
    days = [dt.date(2020, 1, 1) + dt.timedelta(d) for d in range(6)]
    rows = [{"day": d, "stk": s, "px_last": 10.0 + i + j} for i, d in enumerate(days) for j, s in enumerate("AB")]
    path = tmp_path / "odd.parquet"
    pl.DataFrame(rows).write_parquet(path)
    return path


def test_keys_and_dates_from_everywhere(odd_file: Path) -> None:
    options: dict[str, Any] = {"date": "day", "symbol": "stk", "start": "2020-01-03"}
    loaded = ff.load_market_data(odd_file, **options)
    assert loaded.shape == (4, 2)
    assert ff.Panel.from_parquet(odd_file, **options).data_hash == loaded.data_hash
    assert ff.Panel.from_frame(pl.read_parquet(odd_file), **options).data_hash == loaded.data_hash
    assert ff.scan_market_data(odd_file, **options).panel().data_hash == loaded.data_hash
    config = config_from_dict(
        {
            "paths": {"market_data": str(odd_file)},
            "data": {"columns": {"date": "day", "symbol": "stk"}, "start": "2020-01-03"},
        }
    )
    assert open_panel(config).data_hash == loaded.data_hash


def test_every_command_that_reads_data_takes_them(odd_file: Path) -> None:
    runner = CliRunner()
    done = runner.invoke(build_app(), ["data", "describe", str(odd_file), "--columns", "date=day,symbol=stk"])
    assert done.exit_code == 0, done.output
    assert "6 dates x 2 symbols" in done.output
    for command in (["score"], ["compute"], ["mine"], ["report"], ["check"], ["data", "check"], ["data", "describe"]):
        shown = runner.invoke(build_app(), [*command, "--help"]).output
        for name in command_line._OPTIONS:
            assert f"--{name.replace('_', '-')}" in shown, (command, name)
