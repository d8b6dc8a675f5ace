"""A market whose scoring is done by the workers of a cluster; what is decided stays in this process.

Each worker builds a `Market` of its own from the same data and settings, once, and answers with what that one measures:
exact daily series, those of the race's sampled blocks of dates, rank vectors. So the figures have the bits of one
process. Gates, the race's rule, admission, the pool and the ledger are the client's: a cluster that is lost loses no
committed round.
"""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.cluster.scoring import describe, mapped
from fama_fast.cluster.source import absolute
from fama_fast.errors import ConfigError
from fama_fast.mining.configured_data import open_panel
from fama_fast.mining.measure.market import Market
from fama_fast.mining.measure.race import BlockSeries, first_row
from fama_fast.mining.objective import Measured
from fama_fast.panel import Panel
from fama_fast.panel.io.folder import names_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from fama_fast.cluster.pool import WorkerPool
    from fama_fast.cluster.source import MappedPanel
    from fama_fast.engine import Alpha
    from fama_fast.mining.config import MiningConfig
    from fama_fast.mining.measure.levels import Levels
    from fama_fast.panel.source import Source

TASKS = 4  # tasks a thread, so that unequal ones even out
_MOST = 64  # candidates a task: the engine's own batch
_ARRAYS = 16  # (T, N) arrays a thread works with
_SHARE = 0.8  # of a worker's memory that the market may take


@contextmanager
def open_market(
    panel: Source,
    config: MiningConfig,
    *,
    given: bool,
    library: Sequence[str],
    note: Callable[[str], None] | None = None,
) -> Iterator[Market]:
    """The market that the data and the configuration ask for, with its cluster open as long as the block.

    Args:
        given: the panel was handed over, and is not what the configuration names. library: canonical texts that the
            run starts from, for how far data that are read in parts must reach back. note: is told of refused workers.

    Raises:
        ConfigError: workers elsewhere cannot come by the data. ClusterError: no scheduler, or no worker that fits.
        DataError: as `Market`.
    """
    settings = config.cluster
    if not isinstance(panel, Panel):
        yield Market(panel, config, library=library)
        return
    if settings.address is None:
        yield Market(panel, config)
        return
    from fama_fast.cluster.pool import open_pool

    with ExitStack() as stack:
        pool = stack.enter_context(
            open_pool(
                settings.address,
                memory_limit=settings.memory_bytes,
                retries=settings.retries,
                wait=settings.wait_s,
                note=note,
            )
        )
        source: MappedPanel | ConfiguredPanel
        if pool.local or given:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fama-fast-"))
            source = mapped(pool, panel, Path(folder))
        else:
            source = ConfiguredPanel(_told(config), panel.data_hash)
        yield ClusterMarket(panel, config, pool, source)


@dataclass(frozen=True)
class ConfiguredPanel:
    """The data that a configuration names, read (or simulated) by each worker itself."""

    config: MiningConfig
    hash: str

    def open(self) -> Panel:
        """The data as this machine sees them."""
        return open_panel(self.config)


@dataclass(frozen=True)
class MarketBuild:
    """Makes a worker's market. `bytes_shared`, `bytes_thread`: about what it takes, once and for each thread."""

    source: MappedPanel | ConfiguredPanel
    config: MiningConfig
    bytes_shared: int
    bytes_thread: int

    def __call__(self, memory: int | None) -> Market:
        """Reads the data, checks their hash, prepares labels."""
        from distributed import get_worker

        from fama_fast.cluster.worker import Unfit

        needs = self.bytes_shared + self.bytes_thread * int(get_worker().state.nthreads)
        if memory is not None and needs > _SHARE * memory:
            raise Unfit(
                f"mining these data takes about {needs / 1e9:.2f} GB there, {_SHARE:.0%} of its memory limit is "
                f"{_SHARE * memory / 1e9:.2f} GB: give workers more memory, or fewer threads"
            )
        panel = self.source.open()
        if panel.data_hash != self.source.hash:
            raise Unfit(f"its data {panel.source} have hash {panel.data_hash}, here {self.source.hash}")
        return Market(panel, self.config)


class ClusterMarket(Market):
    """A market that has its candidates scored by a pool of workers."""

    def __init__(
        self, panel: Panel, config: MiningConfig, pool: WorkerPool, source: MappedPanel | ConfiguredPanel
    ) -> None:
        super().__init__(panel, config)
        self._pool = pool
        told = _told(config)
        dates, symbols = panel.shape
        fields = len(panel.supplied_fields) + len(panel.groups)
        build = MarketBuild(source, told, 8 * dates * symbols * (3 * fields + 5), 8 * dates * symbols * _ARRAYS)
        digest = hashlib.blake2b(told.model_dump_json().encode(), digest_size=16).hexdigest()
        self._kept = pool.kept(f"market {source.hash} {digest}", build)

    def measure(self, alphas: Sequence[Alpha]) -> Measured:
        """As `Market.measure`; candidates are tasks."""
        if not alphas:
            return super().measure(alphas)
        found = self._pool.map(self._kept, _measure, [(part,) for part in self._parts(alphas)], describe)
        return Measured.joined(list(found))

    def measure_levels(self, alphas: Sequence[Alpha]) -> tuple[Measured, Levels, Levels]:
        """As `Market.measure_levels`; candidates are tasks."""
        if not alphas:
            return super().measure_levels(alphas)
        found = list(self._pool.map(self._kept, _measure_levels, [(part,) for part in self._parts(alphas)], describe))
        figures, levels, vectors = zip(*found, strict=True)
        return Measured.joined(list(figures)), np.concatenate(levels), np.concatenate(vectors)

    def vectors(self, alphas: Sequence[Alpha]) -> Iterator[NDArray[np.float32]]:
        """As `Market.vectors`; candidates are tasks."""
        for part in self._pool.map(self._kept, _vectors, [(part,) for part in self._parts(alphas)], describe):
            yield from part

    def score_parts(self, parts: Sequence[Sequence[Alpha]], block: slice) -> Iterator[BlockSeries]:
        """As `Market.score_parts`; candidates are tasks, on the rows that one process would take for each part."""
        size = self._size(sum(map(len, parts)))
        tasks: list[tuple[Any, ...]] = []
        pieces = []
        for part in parts:
            first = first_row(part, block)
            texts = [a.canonical for a in part]
            cut = [tuple(texts[a : a + size]) for a in range(0, len(texts), size)]
            pieces.append(len(cut))
            tasks += [(piece, first, block.start, block.stop) for piece in cut]
        found = iter(self._pool.map(self._kept, _race, tasks, describe))
        for count in pieces:
            own = [next(found) for _ in range(count)]
            costs = [f.cost for f in own if f.cost is not None]
            yield BlockSeries(
                np.concatenate([f.gross for f in own]),
                np.concatenate([f.counts for f in own]),
                np.concatenate(costs) if costs else None,
            )

    def _size(self, count: int) -> int:
        return min(_MOST, max(1, -(-count // (TASKS * self._pool.threads))))

    def _parts(self, alphas: Sequence[Alpha]) -> list[tuple[str, ...]]:
        size = self._size(len(alphas))
        texts = [a.canonical for a in alphas]
        return [tuple(texts[a : a + size]) for a in range(0, len(texts), size)]


def _measure(market: Market, texts: Sequence[str]) -> Measured:
    return market.measure(market.compiled(texts))


def _measure_levels(market: Market, texts: Sequence[str]) -> tuple[Measured, Levels, Levels]:
    return market.measure_levels(market.compiled(texts))


def _vectors(market: Market, texts: Sequence[str]) -> list[NDArray[np.float32]]:
    return list(market.vectors(market.compiled(texts)))


def _race(market: Market, texts: Sequence[str], first: int, start: int, stop: int) -> BlockSeries:
    return market.score_block(market.compiled(texts), first, slice(start, stop))


def _told(config: MiningConfig) -> MiningConfig:
    """What workers are told: the settings that measuring depends on, one thread, paths that mean the same there."""
    plain = type(config)()
    paths = config.paths
    if paths.market_data is None and (paths.universe or paths.groups):
        raise ConfigError("a universe or groups without paths.market_data cannot be given to a cluster")
    groups = [paths.groups] if isinstance(paths.groups, str) else paths.groups
    seen = {
        "market_data": None if paths.market_data is None else absolute(paths.market_data),
        "universe": _place(paths.universe),
        "groups": None if groups is None else [absolute(g) for g in groups],
    }
    measuring = ("css", "splits", "target", "gates", "racing", "wide", "data", "objective", "cost_bps")
    kept = {name: getattr(config, name) for name in measuring}
    run = config.run.model_copy(update={"threads": 1})
    return plain.model_copy(update={**kept, "run": run, "paths": plain.paths.model_copy(update=seen)})


def _place(universe: str | None) -> str | None:
    """A membership file by its whole path; the name of a column as it is."""
    if universe is None or not names_file(universe):
        return universe
    return absolute(universe)
