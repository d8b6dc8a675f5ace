"""From settings to what a run needs: the data, the proposer, the ledger's place, a run to go on with.

What was asked for is what is made; where it cannot be, the error says why. Nothing here mines.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fama_fast.errors import ConfigError
from fama_fast.mining.config_file import differences, document

if TYPE_CHECKING:
    from fama_fast.mining.config import MiningConfig
    from fama_fast.mining.ledger import Ledger
    from fama_fast.mining.progress import Progress
    from fama_fast.mining.protocol import Proposer
    from fama_fast.mining.records import RunRecord
    from fama_fast.panel import Panel

# Settings that say where and how a run happens, and never what comes of it.
WHERE_IT_RUNS = frozenset(
    {
        "cluster.address",
        "cluster.memory_limit",
        "cluster.retries",
        "cluster.wait_s",
        "ledger",
        "llm.concurrency",
        "llm.max_retries",
        "llm.timeout_s",
        "logging.level",
        "logging.log_file",
        "paths.market_data",
        "paths.output_dir",
        "run.threads",
        "tracking.experiment",
        "tracking.mlflow_uri",
    }
)
# A resumed run may also go on for longer; what decides must be as it was.
MAY_CHANGE = WHERE_IT_RUNS | {"llm.max_cost", "run.max_candidates", "run.max_seconds", "run.max_tokens", "run.rounds"}


def ledger_place(config: MiningConfig) -> str:
    """File or URL of the ledger."""
    return config.ledger or str(Path(config.paths.output_dir) / "ledger.sqlite")


def open_panel(config: MiningConfig) -> Panel:
    """The data that the configuration names; the simulator only when it names none."""
    from fama_fast.data import DEFAULT_SIMULATION, PlantedSignal, load_market_data

    paths, part, simulator = config.paths, config.data, config.data.simulator
    simulation = None
    if paths.market_data is None:
        given = {
            "n_symbols": simulator.symbols,
            "n_dates": simulator.dates,
            "seed": simulator.seed,
            "signals": None
            if simulator.signals is None
            else tuple(PlantedSignal(s.expression, s.rank_ic) for s in simulator.signals),
        }
        chosen: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
        simulation = replace(DEFAULT_SIMULATION, **chosen)
    return load_market_data(
        paths.market_data,
        fields=part.fields,
        universe=paths.universe,
        groups=paths.groups,
        start=part.start,
        end=part.end,
        simulation=simulation,
    )


def configured_proposer(config: MiningConfig) -> Proposer:
    """The proposer that the configuration asks for, and never another."""
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


def say_source(panel: Panel, progress: Progress) -> None:
    t, n = panel.shape
    first, last = str(panel.dates[0])[:10], str(panel.dates[-1])[:10]
    progress.note(f"data: {panel.source}: {t} dates x {n} symbols, {first} to {last}")
    for warning in panel.warnings:
        progress.note(f"warning: {warning}")


def resumable(ledger: Ledger, run_id: str, config: MiningConfig) -> RunRecord:
    """The unfinished run of this id.

    Raises:
        StoreError: no such run. ConfigError: it is finished, or was made with settings that decide otherwise.
    """
    record = ledger.get_run(run_id)
    if record.status != "running":
        raise ConfigError(
            f"run {record.id} is finished ({record.finished_at}): start a new one; 'fama-fast runs show {record.id}' "
            "has its result"
        )
    changed = differences(document(config), record.config, MAY_CHANGE)
    if changed:
        raise ConfigError(f"run {record.id} was made with other settings: {'; '.join(changed)}")
    return record
