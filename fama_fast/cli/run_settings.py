"""The settings of a run from its file, its options, or the run that goes on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fama_fast.mining.config import MiningConfig

ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="YAML configuration.", show_default=False)
]
RunLedger = Annotated[
    str | None, typer.Option("--ledger", metavar="FILE", help="Where runs are recorded.", show_default=False)
]
Ideas = Annotated[
    list[str] | None,
    typer.Option(
        "--idea",
        metavar="TEXT",
        help="What a language model shall look for; repeat for several, which take turns.",
        show_default=False,
    ),
]


def run_settings(config: Path | None, overrides: dict[str, Any], resume: str | None) -> MiningConfig:
    """The settings of a configuration file and options; without a file those that a resumed run was made with.

    Raises:
        ConfigError: settings that make no sense. StoreError: no such run.
    """
    from fama_fast.mining.config_file import load_config, stored_config

    settings = load_config(config, overrides)
    if resume is None or config is not None:
        return settings
    # Without a file, a resumed run keeps the settings it was made with.
    from fama_fast.ledger.ledger import Ledger
    from fama_fast.mining.run.setup import ledger_place

    place = ledger_place(settings)
    with Ledger.open(place, create=False) as store:
        stored = store.get_run(resume)
    return stored_config(
        stored.config, source=f"the settings of run {stored.id}", overrides={**overrides, "ledger": place}
    )
