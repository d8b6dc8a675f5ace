"""Makes what a run needs from its settings: data, proposer, path of the ledger, the run to resume.

What was asked for is what is made; where it cannot be, the error says why. Nothing here mines.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fama_fast.errors import ConfigError, DataError
from fama_fast.lang import writable
from fama_fast.ledger.ownership import FINISHED
from fama_fast.ledger.records import AGENT, to_the_second
from fama_fast.mining.config import MiningConfig
from fama_fast.mining.config_file import differences, document, stored_config
from fama_fast.mining.configured_data import open_panel, reading_settings
from fama_fast.proposals.setting_roles import Role, keys_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fama_fast.ledger.ledger import Ledger
    from fama_fast.ledger.records import RunRecord
    from fama_fast.mining.progress.plain import Progress
    from fama_fast.panel import Panel
    from fama_fast.panel.dataset import Dataset
    from fama_fast.proposals.protocol import Proposer

# What any run may have otherwise, and what a resumed one may.
WHERE_IT_RUNS = keys_of(MiningConfig, Role.PLACE, Role.DATA)
MAY_CHANGE = WHERE_IT_RUNS | keys_of(MiningConfig, Role.LENGTH)


def ledger_place(config: MiningConfig) -> str:
    """File or URL of the ledger."""
    return config.ledger or str(Path(config.paths.output_dir) / "ledger.sqlite")


def check_budget(config: MiningConfig, panel: Panel | Dataset | None = None) -> None:
    """Refuses a memory budget (or data that are read in parts) where something keeps all data in memory.

    Raises:
        ConfigError: which setting it is, and what to do.
    """
    from fama_fast.panel.dataset import Dataset
    from fama_fast.panel.io.folder import one_csv

    parts, data, asked = isinstance(panel, Dataset), config.paths.market_data, config.run.memory_budget
    if asked is None and not parts:
        return
    why = None
    if config.cluster.address is not None:
        why = "cluster.address: workers hold the data in memory: leave one of them out"
    elif panel is not None and not parts:
        why = "the panel given is in memory already: give a Dataset (scan_market_data), or no budget"
    elif panel is None and data is None:
        why = (
            "paths.market_data is not set: the simulator makes its market in memory: write one with "
            "'fama-fast data simulate --output FILE.parquet' and mine that"
        )
    elif panel is None and one_csv(str(data)):
        why = (
            f"{data} is CSV, and only Parquet can be read part by part: write the data as Parquet once "
            "(fama-fast data convert)"
        )
    if why is not None:
        shown = "data read in parts" if asked is None else f"run.memory_budget {asked}"
        raise ConfigError(f"{shown} cannot be used with this: {why}")


def open_data(config: MiningConfig) -> Panel | Dataset:
    """Open the data of the configuration; with a memory budget, as a data set that is read in parts."""
    from fama_fast.data import scan_market_data

    if config.run.memory_budget is None:
        return open_panel(config)
    assert config.paths.market_data is not None  # `check_budget` saw to it
    return scan_market_data(config.paths.market_data, **reading_settings(config))


def data_again(
    config: MiningConfig, record: Mapping[str, Any] | None, source: str, *, parts: bool = False
) -> Panel | Dataset:
    """Load the data of a recorded run, as they are now; callers compare the hash.

    Args:
        config: of the run. record: `data` of its row, or of `record` in its result; None of older versions.
        source: of the data, as the run named it. parts: to be read part by part.

    Raises:
        DataError: the run was made on data that a caller had in memory; the message says what to do. Others: from
            loading.
    """
    from fama_fast.data import load_market_data, scan_market_data
    from fama_fast.data.load import load_origin

    if record is not None:
        in_memory = bool(record.get("given"))
    else:
        in_memory = config.paths.market_data is None and not source.startswith("simulator (")
    if not in_memory:
        return open_data(config) if parts else open_panel(config)
    origin = None if record is None else record.get("origin")
    if origin is not None:
        return load_origin(origin, parts=parts)
    if source.lower().endswith(_PATHS) and Path(source).exists():  # a caller may have read it in a way of its own
        return scan_market_data(source) if parts else load_market_data(source)
    raise DataError(f"the run was made on data in memory ({source}), and nobody recorded where these came from")


_PATHS = (".csv", ".parquet", ".pq", "/")


def read_through(data: Panel | Dataset, config: MiningConfig) -> None:
    """Read all values of data in parts once, so that errors show and the hash is known before a run is recorded."""
    from fama_fast.engine.budget import DEFAULT_BUDGET, parse_bytes
    from fama_fast.panel.dataset import Dataset

    if isinstance(data, Dataset):
        asked = config.run.memory_budget
        data.read_through(DEFAULT_BUDGET if asked is None else parse_bytes(asked))


def configured_proposer(config: MiningConfig) -> Proposer:
    """The proposer that the configuration names; never another in its place."""
    from fama_fast.mining.proposers import ProposerSettings, make_proposer

    def path(value: str | None) -> Path | None:
        return None if value is None else Path(value)

    return make_proposer(
        ProposerSettings(
            kind=config.proposer,
            seed=config.run.seed,
            llm=config.llm,
            prompts_dir=path(config.paths.prompts_dir),
            exchange_log=Path(config.paths.output_dir) / "exchanges",
            replay_path=path(config.paths.replay),
            mix=dict(config.mix.items()),
        )
    )


def say_source(panel: Panel | Dataset, progress: Progress) -> None:
    t, n = panel.shape
    first, last = str(panel.dates[0])[:10], str(panel.dates[-1])[:10]
    layout = f"{panel.layout}: " if panel.layout else ""
    progress.note(f"data: {panel.source}: {layout}{t} dates x {n} symbols, {first} to {last}")
    for warning in panel.warnings:
        progress.note(f"warning: {warning}")
    unnamed = [name for name in (*panel.fields, *panel.groups) if not writable(name)]
    if unnamed:
        progress.note(f"warning: not used, for an expression cannot name them: {', '.join(map(repr, unnamed))}")


def resumable(ledger: Ledger, run_id: str, config: MiningConfig) -> RunRecord:
    """The unfinished run of this id.

    Raises:
        StoreError: no such run. ConfigError: it is finished, or was made with settings that decide otherwise.
    """
    record = ledger.get_run(run_id)
    if record.status == FINISHED:
        raise ConfigError(
            f"run {record.id} is finished ({to_the_second(record.finished_at)}): start a new one; "
            f"'fama-fast runs show {record.id}' has its result"
        )
    if record.proposer == AGENT:
        raise ConfigError(f"run {record.id} is an agent's session: fama-fast mcp --resume {record.id} goes on with it")
    # What the run's version had no key for is at its default.
    theirs = document(stored_config(record.config, source=f"the settings of run {record.id}"))
    changed = differences(document(config), theirs, MAY_CHANGE)
    if changed:
        raise ConfigError(f"run {record.id} was made with other settings: {'; '.join(changed)}")
    return record
