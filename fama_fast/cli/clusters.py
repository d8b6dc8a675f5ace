"""The option `--cluster` of `score`, and opening the data and the cluster that it names."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fama_fast.cli.common import note, say_warnings
from fama_fast.cli.large import open_source
from fama_fast.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fama_fast.engine import Alpha
    from fama_fast.evaluation.score import DailyFigures
    from fama_fast.panel import Panel
    from fama_fast.panel.dataset import Dataset
    from fama_fast.panel.reading import Reading

Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="ADDRESS",
        help="Score on a Dask cluster: tcp://host:port of its scheduler, or local:N for N processes here.",
        show_default=False,
    ),
]


@contextmanager
def open_scoring(
    cluster: str | None,
    data: str | None,
    memory_budget: str | None,
    *,
    universe: str | None,
    groups: str | Sequence[str] | None,
    reading: Reading,
    needed_by: Sequence[Alpha],
    opened: Panel | Dataset | None = None,
) -> Iterator[tuple[Panel | Dataset, DailyFigures | None]]:
    """Open the data, and the cluster that computes daily figures of them (None: this process), for the duration of the
    block.

    Raises:
        ConfigError: workers elsewhere cannot read the data. ClusterError: no scheduler, no worker that fits.
        DataError: the data are missing or cannot be used.
    """
    how_read: dict[str, Any] = {
        "universe": universe,
        "groups": groups,
        "reading": reading,
        "needed_by": needed_by,
        "opened": opened,
    }
    if cluster is None:
        here = open_source(data, memory_budget, **how_read)
        yield here, None
        say_warnings(here)
        return
    from fama_fast.cluster.address import read_address
    from fama_fast.cluster.pool import open_pool
    from fama_fast.cluster.scoring import ClusterScoring, mapped
    from fama_fast.cluster.source import MappedPanel, MarketFiles, absolute, hash_of
    from fama_fast.engine.budget import parse_bytes
    from fama_fast.panel import Panel
    from fama_fast.panel.io.folder import one_csv

    where = read_address(cluster)
    if memory_budget is not None and where.url is not None:
        raise ConfigError("--memory-budget is for this machine: workers elsewhere have memory limits of their own")
    limit = None if memory_budget is None else parse_bytes(memory_budget)
    # Of data that can be read in parts this process reads the keys alone: workers read what they need.
    parts = data is not None and not one_csv(data)
    source_data = open_source(data, "1GB" if parts else None, **how_read)
    with ExitStack() as stack:
        pool = stack.enter_context(open_pool(where, memory_limit=limit, note=lambda text: note(f"warning: {text}")))
        source: MappedPanel | MarketFiles
        if data is None or (pool.local and isinstance(source_data, Panel)):
            assert isinstance(source_data, Panel)
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fama-fast-"))
            source = mapped(pool, source_data, Path(folder))
        else:
            how: dict[str, Any] = {
                **reading.options(),
                "fields": list(source_data.supplied_fields),
                "group_fields": list(source_data.groups),
                "universe": absolute(universe) if universe is not None and Path(universe).is_file() else universe,
                "groups": absolute(groups) if isinstance(groups, str) else groups and [absolute(g) for g in groups],
            }
            source = MarketFiles(absolute(data), how, hash_of(source_data), parts=parts)
        yield source_data, ClusterScoring(pool, source_data, source)
        say_warnings(source_data)
