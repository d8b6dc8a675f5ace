"""The sections of a configuration that say which data are read and what is predicted of them."""

from __future__ import annotations

import datetime as dt  # noqa: TC003  (pydantic reads the annotations when the models are made)
from typing import Annotated, Literal

from pydantic import Field, field_validator

from fama_fast.errors import ConfigError
from fama_fast.mining.config_section import Count, Section
from fama_fast.proposals.setting_roles import Role


class PathSettings(Section):
    """Paths of input and output files. Relative ones are looked for beside the configuration file, then in the working
    folder."""

    market_data: Annotated[str | None, Role.DATA] = (
        None  # CSV or Parquet: file, folder or glob; none means the simulator
    )
    universe: str | None = None  # file of who belongs to the market when: symbol, start, end
    groups: str | list[str] | None = None  # group files, joined by symbol
    factor_cache: str | None = None  # starting library (YAML file, or a folder of them)
    prompts_dir: str | None = None  # folder of prompt templates, in place of those that come with the package
    output_dir: Annotated[str, Role.PLACE] = "runs"  # folder of the ledger and of what a run writes
    replay: str | None = None  # what `proposer: replay` replays


class SignalSettings(Section):
    """A planted signal of the simulator."""

    expression: str  # the formula that foretells returns
    rank_ic: Annotated[float, Field(gt=-1.0, lt=1.0)]  # how well


class SimulatorSettings(Section):
    """The data when `paths.market_data` is not given; what is not set is the packaged default's."""

    symbols: Count | None = None  # how many stocks
    dates: Count | None = None  # how many days
    seed: Annotated[int, Field(ge=0)] | None = None  # of the market, not of the run
    signals: list[SignalSettings] | None = None  # planted: [{expression: ..., rank_ic: 0.05}]; [] is pure noise
    kind: Literal["symmetric", "martingale"] | None = None  # martingale: ranks can be predicted, and nothing pays


class DataSettings(Section):
    """Selection of the data: which part is used, and how it is read."""

    fields: list[str] | None = None  # columns that formulas may use; null: all
    start: dt.date | str | None = None  # first date, such as 2015-01-01
    end: dt.date | str | None = None  # last date
    columns: dict[str, str] = {}  # what the data call things: {close: px_last, date: day, symbol: code}
    adjusted: bool = False  # take returns and labels from the adjusted close
    timezone: str | None = None  # of the market, where the data's stamps are in another, such as America/New_York
    duplicates: Literal["error", "first", "last"] = "error"  # which row counts where a symbol has several on one date
    min_symbols: Annotated[float, Field(gt=0.0)] | None = None  # a date with fewer symbols (a share below 1) is no
    # market day
    encoding: str | None = None  # of CSV files; null: found out
    decimal: Literal[".", ","] | None = None  # sign between whole and part in CSV files; null: found out
    mask: bool = (
        False  # prompts, and an agent's server, name neither the market nor a date, which a model may have read of
    )

    simulator: SimulatorSettings = SimulatorSettings()

    @field_validator("timezone")
    @classmethod
    def _is_zone(cls, value: str | None) -> str | None:
        if value is None:
            return None
        from fama_fast.panel.zones import read_zone

        try:
            return read_zone(value)
        except ConfigError as error:
            raise ValueError(str(error)) from None


class SplitSettings(Section):
    """Train, validation and test by date, and the label."""

    fractions: Annotated[list[float], Field(min_length=3, max_length=3)] = [0.6, 0.2, 0.2]  # train, validation, test
    horizon: Count = 1  # rows that a position is held
    entry_lag: Annotated[int, Field(ge=0)] = 1  # rows before entry. 1: the next close; 0: the FAMA paper's same close
    embargo: Annotated[int, Field(ge=0)] = 0  # dates left out after each split, beyond the purge
    min_members: Count = 10  # dates on which the universe has fewer members are not scored

    @field_validator("fractions")
    @classmethod
    def _sum_to_one(cls, value: list[float]) -> list[float]:
        if min(value) <= 0.0 or abs(sum(value) - 1.0) > 1e-9:
            raise ValueError("must be three shares above 0 that add up to 1")
        return value


class TargetSettings(Section):
    """What is predicted, and what can be traded. Empty: the close's return of `splits.horizon` rows, entered
    `splits.entry_lag` rows later, which are its short form."""

    returns: str | None = None  # such as LEAD(OPEN, 2) / LEAD(OPEN, 1) - 1; LEAD(x, d) is x in d rows
    column: str | None = None  # a column of the data that is the label, in place of returns
    reach: Count | None = None  # rows that the column looks ahead
    horizons: list[Count] | None = None  # rows held; several are several labels, whose measures are averaged
    neutralize: list[str] = []  # groups and expressions known at t whose part is taken out
    beta: bool | int | None = None  # take the market's part out; days of its slope (true: 60)
    winsorize: Annotated[float, Field(gt=0.0, lt=0.5)] | None = None  # share of a date's labels held in at either end
    tradable: str | None = None  # condition on the bar of the entry, or a-share
    dialect: str = "fama"  # of the expressions
