"""Simulates markets: the embedded default data, and a test bed in which the truth is known.

`simulate` draws a market (`simulated_market`), plants signals in it (`planting`) when asked for them, and
hides the days that a late listing or a gap leaves out. With no signal it is noise: no expression of past
data has any expected RankIC.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fama_fast.data.simulator.market import bars, draw_market
from fama_fast.data.simulator.martingale import draw_martingale
from fama_fast.data.simulator.planting import plant
from fama_fast.errors import ConfigError
from fama_fast.panel import GroupField, Panel

if TYPE_CHECKING:
    from typing import Any

    from fama_fast.data.simulator.market import SimulatedMarket
    from fama_fast.types import BoolArray, FloatArray

KINDS = ("symmetric", "martingale")

Evaluate = Callable[[Sequence[str], Panel], Sequence["FloatArray"]]
"""Computes expressions over a panel; `fama_fast.engine.evaluate` unless a test brings its own."""


@dataclass(frozen=True)
class PlantedSignal:
    """An expression and the mean daily RankIC that it shall have with the return it can be traded for.

    That return is the one of `forward_returns(horizon=1, entry_lag=1)`: known at close t, earned on day t +
    2.
    """

    expression: str
    rank_ic: float

    def __post_init__(self) -> None:
        if not self.expression.strip():
            raise ConfigError("a planted signal needs an expression")
        if not -1.0 < self.rank_ic < 1.0:
            raise ConfigError(f"a planted RankIC must lie between -1 and 1, not {self.rank_ic!r}")


@dataclass(frozen=True)
class SimulationSpec:
    """The parameters of a simulated market: equal specs give equal data, bit for bit on one machine.

    Attributes:
        n_symbols, n_dates: size; dates are weekdays from `start` on.
        seed: of every random draw; the noise does not depend on the signals.
        sectors, industries_per_sector: groups SECTOR and INDUSTRY (nested); a sector's symbols move together.
        late_listing: share of symbols that begin between 5% and 60% of the way.
        missing: share of (date, symbol) rows that are absent inside histories.
        signals: planted signals; empty for pure noise.
        kind: "symmetric", or "martingale": volatility and skewness differ by symbol and persist, so that ranks can be
            predicted, and every expected return is zero at every moment (without signals).
    """

    n_symbols: int = 200
    n_dates: int = 756
    seed: int = 0
    start: dt.date = dt.date(2015, 1, 1)
    sectors: int = 8
    industries_per_sector: int = 3
    late_listing: float = 0.05
    missing: float = 0.002
    signals: tuple[PlantedSignal, ...] = ()
    kind: str = "symmetric"

    def __post_init__(self) -> None:
        for name, least in (
            ("n_symbols", 1), ("n_dates", 1), ("seed", 0), ("sectors", 1), ("industries_per_sector", 1)
        ):  # fmt: skip
            value: Any = getattr(self, name)
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
                raise ConfigError(f"simulation: {name} must be a whole number, at least {least}, not {value!r}")
        for name in ("late_listing", "missing"):
            share: Any = getattr(self, name)
            if not isinstance(share, int | float) or not 0.0 <= share < 1.0:
                raise ConfigError(f"simulation: {name} must be a share between 0 and 1, not {share!r}")
        if self.kind not in KINDS:
            raise ConfigError(f"simulation: kind must be {' or '.join(KINDS)}, not {self.kind!r}")
        object.__setattr__(self, "signals", tuple(self.signals))

    @property
    def source(self) -> str:
        """One line for the head of a report."""
        planted = "; ".join(f"{s.expression} with RankIC {s.rank_ic:g}" for s in self.signals)
        size = f"{self.n_symbols} symbols x {self.n_dates} days"
        content = f"planted: {planted}" if planted else "pure noise"
        kind = "" if self.kind == "symmetric" else "skewed martingales, "
        return f"simulator (seed {self.seed}, {size}, {kind}{content})"


DEFAULT_SIMULATION = SimulationSpec(
    n_dates=504,
    seed=7,
    signals=(
        PlantedSignal("RANK(DELTA(CLOSE, 5) / DELAY(CLOSE, 5)) * -1", 0.04),
        PlantedSignal("RANK(CORREL(CLOSE, VOLUME, 10)) * -1", 0.06),
    ),
)
"""What a run without a data file mines: small, and with something to find, as its `source` says."""


def simulate(
    spec: SimulationSpec | None = None, *, evaluate: Evaluate | None = None, lookback: int | None = None
) -> Panel:
    """A simulated panel with OPEN, HIGH, LOW, CLOSE, VOLUME and the groups SECTOR and INDUSTRY.

    Volatility clusters, volume moves with the size of returns, low <= open, close <= high; returns share
    market and sector factors and have no drift, so that noise is noise.

    Args:
        spec: what to simulate; `SimulationSpec()` if None.
        evaluate: how to compute the planted expressions; the engine if None.
        lookback: rows before today that `evaluate` needs (None: all of them); the engine knows its own.

    Raises:
        ConfigError: planted signals that cannot hold together.
        ExpressionError: a planted expression that is wrong.
    """
    spec = spec or SimulationSpec()
    rng = np.random.default_rng(spec.seed)
    draw = draw_martingale if spec.kind == "martingale" else draw_market
    market = draw(rng, spec.n_dates, spec.n_symbols, spec.sectors, spec.industries_per_sector)
    recorder = _Recorder(spec, market, _presence(rng, spec))
    if not spec.signals:
        recorder.record(0, spec.n_dates, market.noise)
        return recorder.panel(0, spec.n_dates)
    if evaluate is None:
        evaluate, lookback = _engine(spec)
    expressions = [s.expression for s in spec.signals]
    run = evaluate

    def observe(start: int, stop: int, returns: FloatArray) -> list[FloatArray]:
        recorder.record(start, stop, returns)
        first = 0 if lookback is None else max(0, start - lookback)
        return [values[start - first :] for values in run(expressions, recorder.panel(first, stop))]

    returns = plant(market.noise, [s.rank_ic for s in spec.signals], observe, expressions)
    recorder.record(0, spec.n_dates, returns)
    return recorder.panel(0, spec.n_dates)


def _engine(spec: SimulationSpec) -> tuple[Evaluate, int]:
    """A function that evaluates the planted expressions, compiled once; and the number of rows that the longest of them
    looks back."""
    from fama_fast import engine

    alphas = [engine.compile(s.expression) for s in spec.signals]

    def run(_: Sequence[str], panel: Panel) -> Sequence[FloatArray]:
        # Windows are small: threads would cost more than they bring.
        return engine.evaluate(alphas, panel, threads=1)

    return run, max(a.lookback for a in alphas)


class _Recorder:
    """Converts returns to observed fields, in consecutive rows."""

    def __init__(self, spec: SimulationSpec, market: SimulatedMarket, present: BoolArray) -> None:
        self._spec = spec
        self._market = market
        self._present = present
        self._dates = weekdays(spec)
        self._symbols = symbol_names(spec)
        self._close = np.empty(present.shape)
        self._fields: dict[str, FloatArray] = {}
        self._groups: dict[str, GroupField] = {}
        sectors = tuple(f"S{k + 1:02d}" for k in range(spec.sectors))
        industries = tuple(f"{s}-{j + 1}" for s in sectors for j in range(spec.industries_per_sector))
        for name, codes, labels in (
            ("SECTOR", market.sector, sectors),
            ("INDUSTRY", market.industry, industries),
        ):
            # Codes are dealt from 0 up: a small market lacks the last labels.
            used = labels[: int(codes.max()) + 1]
            self._groups[name] = GroupField.view(np.where(present, codes.astype(np.float64), np.nan), used)

    def record(self, start: int, stop: int, returns: FloatArray) -> None:
        """Compute the fields of rows [start, stop), again if need be; the row before them must have been recorded."""
        before = self._close[start - 1] if start else self._market.price
        fields = bars(self._market, start, stop, returns, before)
        self._close[start:stop] = fields["CLOSE"]
        for name, values in fields.items():
            if name not in self._fields:
                self._fields[name] = np.full(self._present.shape, np.nan)
            self._fields[name][start:stop] = np.where(self._present[start:stop], values, np.nan)

    def panel(self, start: int, stop: int) -> Panel:
        """The fields of rows [start, stop) as a panel."""
        rows = slice(start, stop)
        return Panel(
            self._dates[rows],
            self._symbols,
            {name: values[rows] for name, values in self._fields.items()},
            groups={name: GroupField.view(g.codes[rows], g.labels) for name, g in self._groups.items()},
            source=self._spec.source,
        )


def symbol_names(spec: SimulationSpec) -> list[str]:
    """Names of the symbols: SIM0001, SIM0002, ..."""
    width = max(4, len(str(spec.n_symbols)))
    return [f"SIM{i + 1:0{width}d}" for i in range(spec.n_symbols)]


def weekdays(spec: SimulationSpec) -> np.ndarray[Any, Any]:
    """(T,) datetime64[D], weekdays from the start on."""
    first = np.busday_offset(np.datetime64(spec.start, "D"), 0, roll="forward")
    return np.asarray(np.busday_offset(first, np.arange(spec.n_dates)))


def _presence(rng: np.random.Generator, spec: SimulationSpec) -> BoolArray:
    """(T, N) bool: the days on which a symbol has a row; the first has them all, so every date exists."""
    n_dates, n_symbols = spec.n_dates, spec.n_symbols
    late = rng.random(n_symbols) < spec.late_listing
    first = np.where(late, (n_dates * rng.uniform(0.05, 0.6, n_symbols)).astype(np.int64), 0)
    gone = rng.random((n_dates, n_symbols)) < spec.missing
    first[0] = 0
    gone[:, 0] = False
    # A history begins and ends with a row: what is missing is missing inside it.
    gone[first, np.arange(n_symbols)] = False
    gone[-1] = False
    return (np.arange(n_dates)[:, None] >= first) & ~gone
