"""The program that a dense back end runs: stages of instructions on slots. Plain data; no array is touched here."""

from __future__ import annotations

import enum
import functools
import itertools
from dataclasses import dataclass
from typing import NamedTuple


class Axis(enum.Enum):
    """What one tile of a stage covers."""

    TIME = "time"  # one block of symbols, all dates
    DATE = "date"  # some dates, all symbols

    __hash__ = object.__hash__  # members are singletons, and a plan hashes very many


class Space(enum.Enum):
    """Where a slot lies."""

    FIELD = "field"  # a field or group of the panel, blocked; index into Plan.fields
    BUFFER = "buffer"  # a blocked intermediate that lives from stage to stage
    REGISTER = "register"  # a thread's own tile
    OUTPUT = "output"  # a result: values (dates, symbols) or blocked, or a sink's figures (dates, 2)
    EXTERNAL = "external"  # an array that the caller of the program brings: a sink's labels
    NUMBER = "number"  # no memory: the value is among the parameters

    __hash__ = object.__hash__


class Slot(NamedTuple):
    """Where a value lies. A tuple, for a plan makes, hashes and compares very many."""

    space: Space
    index: int = 0  # type: ignore[assignment]  # hides tuple.index, which nobody needs


NUMBER = Slot(Space.NUMBER)


class Instruction(NamedTuple):
    """One kernel call. `params` are the static parameters, then a value for each operand (0 where it has memory).

    Where it is `narrow`, the operands are float32.
    """

    kernel: str
    out: Slot
    inputs: tuple[Slot, ...]
    params: tuple[float, ...] = ()
    narrow: bool = False


@dataclass(frozen=True, eq=False)
class Stage:
    """Instructions that run tile by tile, in order; `releases` are buffers that nobody reads afterwards."""

    axis: Axis
    instructions: tuple[Instruction, ...]
    n_registers: int
    max_window: int
    allocates: tuple[int, ...]
    releases: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """A program for one list of expressions.

    Attributes:
        fields: names of the panel's fields and groups that are read; groups are prefixed by "group:".
        stages: alternate between the axes as the expressions need.
        n_buffers, n_outputs: how many of each; `peak_buffers` is the most that live at once.
        peak_arrays: most buffers and results at once; of a program with sinks, whose results are small, buffers alone.
        sink: whether outputs are figures per date of each expression, not its values.
        every: whether these are all figures (`sinks.daily`), not RankIC and number of values alone (`sinks.rank_ic`).
        levels: whether the ranks of sampled dates in 8 bits come behind them (`sinks.daily_levels`).
        blocked: whether outputs are blocked arrays (blocks, dates, 8) like buffers, not (dates, symbols).
        lookback: rows before a date that its results need, for programs that run on some dates only.
    """

    fields: tuple[str, ...]
    stages: tuple[Stage, ...]
    n_buffers: int
    n_outputs: int
    peak_buffers: int
    peak_arrays: int
    sink: bool = False
    every: bool = False
    levels: bool = False
    blocked: bool = False
    lookback: int = 0

    def figures(self, symbols: int) -> int:
        """Doubles a date that a sink gives of each expression: RankIC and number of values; with `every` IC and spread,
        too, and the bits of the top and the bottom leg."""
        return 4 + 2 * ((symbols + 63) // 64) if self.every else 2

    def sink_rows(self, dates: int, sampled: int, symbols: int) -> int:
        """Rows of a sink's result for so many dates: with `levels` those of the sampled ones lie behind the figures."""
        return dates + (-(-sampled * symbols // (8 * self.figures(symbols))) if self.levels else 0)

    @functools.cached_property
    def most_buffers(self) -> list[int]:
        """Most buffers that are in use at once from each stage on, and 0 for the end."""
        live, levels = 0, []
        for stage in self.stages:
            live += len(stage.allocates)
            levels.append(live)
            live -= len(stage.releases)
        return list(itertools.accumulate([0, *reversed(levels)], max))[::-1]
