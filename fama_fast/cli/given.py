"""Reads the expressions that commands are given: arguments, text files, files of this package, runs.

What comes from a run brings along how the run read its data and windows, for a factor is scored as it was found.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from fama_fast.cli.common import note
from fama_fast.cli.completion import run_names
from fama_fast.errors import ConfigError, DataError, listed
from fama_fast.panel.reading import PLAIN, Reading, reading_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.engine import Alpha
    from fama_fast.mining.config import MiningConfig
    from fama_fast.mining.run.factor_source import FactorSource
    from fama_fast.panel import Panel
    from fama_fast.panel.dataset import Dataset
    from fama_fast.target import Target

Value = TypeVar("Value")

JudgedRun = Annotated[
    str,
    typer.Argument(
        metavar="RUN|FILE",
        help="Run id, the beginning of one, or 'last'; or the result document of a run.",
        show_default=False,
        autocompletion=run_names,
    ),
]
LedgerPath = Annotated[
    str | None,
    typer.Option(
        "--ledger", metavar="FILE", help="The ledger of a RUN (default: runs/ledger.sqlite).", show_default=False
    ),
]


@dataclass(frozen=True)
class NamedExpression:
    """An expression with its name. `name` is the one it was given, None without one; `dialect` its own, None: the
    command's."""

    text: str
    name: str | None = None
    dialect: str | None = None


@dataclass(frozen=True)
class DataChoice:
    """The data a command is to open, or has `opened`."""

    data: str | None
    universe: str | None = None
    groups: str | Sequence[str] | None = None
    reading: Reading = PLAIN
    opened: Panel | Dataset | None = None

    def options(self) -> dict[str, Any]:
        """As keyword arguments of `open_source` and `open_scoring`."""
        return {
            "universe": self.universe,
            "groups": self.groups,
            "reading": self.reading,
            "opened": self.opened,
        }


@dataclass(frozen=True)
class Given:
    """The expressions of a command, with the runs that they come from.

    Attributes:
        items: the expressions. runs: settings of the runs that factors came from, by what they are called.
        sources: where these were read, by the same names.
    """

    items: tuple[NamedExpression, ...]
    runs: dict[str, MiningConfig]
    sources: dict[str, FactorSource]

    def compiled(self, dialect: str, source: Panel | Dataset | None = None) -> list[Alpha]:
        """Compile every expression against the data once they are open.

        Raises:
            FamaError: as `compile_all`.
        """
        from fama_fast.evaluation.score import compile_all

        out: list[Alpha] = []
        for item in self.items:
            out += compile_all([item.text], source, dialect=item.dialect or dialect, any_names=True)
        return out

    def columns(self, alphas: Sequence[Alpha]) -> tuple[str, ...]:
        """The column name of each expression: its name, or its canonical text.

        Raises:
            DataError: two would be called the same, or one is called as a column that is there anyway.
        """
        names: dict[str, str] = {}
        for item, alpha in zip(self.items, alphas, strict=True):
            name = item.name or alpha.canonical
            if name in names and item.name is None:
                raise DataError(f"{item.text} is {names[name]} once more: leave one out, or give each a name")
            if name in names or name in ("date", "symbol"):
                raise DataError(f"the name {name!r} is taken: give every expression a name of its own")
            names[name] = item.text
        return tuple(names)

    @property
    def min_coverage(self) -> float | None:
        """The runs' minimum share of a window that must be present.

        Raises:
            ConfigError: they differ.
        """
        return self._one("run.min_coverage", [c.run.min_coverage for c in self.runs.values()], None)

    @property
    def horizon(self) -> int | None:
        """Horizon of the runs' label; None without a run."""
        return self._one("splits.horizon", [c.splits.horizon for c in self.runs.values()], "--horizon")

    @property
    def entry_lag(self) -> int | None:
        """Entry lag of the runs' label; None without a run."""
        return self._one("splits.entry_lag", [c.splits.entry_lag for c in self.runs.values()], "--entry-lag")

    @property
    def target(self) -> Target | None:
        """What the runs predicted, horizon and entry lag aside; None without a run."""
        from fama_fast.target import Target

        own = [Target.of_settings(c.target.model_dump(), 1, 1) for c in self.runs.values()]
        return self._one("target", own, "--target")

    @property
    def min_members(self) -> int | None:
        """The runs' minimum number of universe members on a scored date; None without a run."""
        return self._one("splits.min_members", [c.splits.min_members for c in self.runs.values()], "--min-members")

    @property
    def fractions(self) -> tuple[float, ...] | None:
        """Fractions of the runs' splits; None without a run."""
        return self._one("splits.fractions", [tuple(c.splits.fractions) for c in self.runs.values()], "--splits")

    def _one(self, key: str, values: Sequence[Value], option: str | None) -> Value | None:
        if len(set(values)) > 1:
            way = f"say which with {option}" if option else "give them one at a time"
            raise ConfigError(f"{listed(self.runs)} differ in {key} ({listed(map(str, dict.fromkeys(values)))}): {way}")
        return values[0] if values else None

    def data(
        self,
        data: str | None,
        *,
        universe: str | None = None,
        groups: str | None = None,
        reading: Reading = PLAIN,
        parts: bool = False,
    ) -> DataChoice:
        """The data that the options name; without any, those of the run that the factors are of.

        Args:
            data, universe, groups, reading: as the options have them. parts: to be read part by part.

        Raises:
            ConfigError: they are of several runs on other data each, or of one whose data cannot be loaded.
        """
        if data is not None or not self.runs:
            return DataChoice(data, universe, groups, reading)
        if len({source.data_hash for source in self.sources.values()}) > 1:
            raise ConfigError(f"{listed(self.runs)} were mined on different data: name them with --data")
        name, config = next(iter(self.runs.items()))
        source, paths = self.sources[name], config.paths
        text = f"no --data given: the data of {name}, {source.data_source}"
        if paths.market_data is None or (source.data_record or {}).get("given"):
            if universe is not None or groups is not None or reading.options():
                raise ConfigError(f"how data are read can be said of those that --data names, not of those of {name}")
            opened = _again(name, config, source, parts)
            note(text)
            return DataChoice(None, opened=opened)
        note(text)
        own = {key: value for key, value in config.data.model_dump().items() if key in Reading.__annotations__}
        asked = {key: getattr(reading, key) for key in reading.options()}
        merged = replace(reading_of(**{key: value for key, value in own.items() if value is not None}), **asked)
        return DataChoice(paths.market_data, universe or paths.universe, groups or paths.groups, merged)


def _again(name: str, config: MiningConfig, source: FactorSource, parts: bool) -> Panel | Dataset:
    """The data of a run that no path names: simulated, or given in Python."""
    from fama_fast.errors import FamaError
    from fama_fast.mining.run.setup import data_again

    try:
        return data_again(config, source.data_record, source.data_source, parts=parts)
    except FamaError as error:
        raise ConfigError(f"the data of {name} cannot be read again ({error}): name them with --data") from error


def read_given(arguments: Sequence[str], *, ledger: str | None = None) -> Given:
    """Expressions of arguments: each an expression, `name: expression`, a run, or a file of them.

    A text file holds one a line, with `#` comments; any other file is one that this package wrote.

    Raises:
        DataError: a file is missing, unreadable or holds no expression. StoreError: it is damaged, or no such run.
    """
    from fama_fast.mining.config_file import config_from_dict
    from fama_fast.mining.run.factor_source import (
        is_file,
        is_written,
        named_text,
        names_a_run,
        read_factors,
        read_lines,
    )

    items: list[NamedExpression] = []
    runs: dict[str, MiningConfig] = {}
    sources: dict[str, FactorSource] = {}
    for argument in arguments:
        target = argument.strip()
        if is_file(target) and not is_written(target):
            items += [NamedExpression(text, name) for name, text in read_lines(Path(target))]
        elif is_file(target) or names_a_run(target):
            source = read_factors(target, ledger=ledger)
            items += _items_of(source)
            if source.settings is not None:
                name = f"run {source.run_id}"
                runs[name] = config_from_dict(source.settings, source=f"the settings of {name}")
                sources[name] = source
        else:
            name_of, text = named_text(argument)
            items.append(NamedExpression(text, name_of))
    return Given(tuple(items), runs, sources)


def _items_of(source: FactorSource) -> list[NamedExpression]:
    if not source.factors:
        raise DataError(f"{source.source} holds no factor")
    if source.note:
        note(source.note)
    return [
        NamedExpression(factor.expression, dialect=factor.provenance.get("dialect", "fama"))
        for factor in source.factors
    ]
