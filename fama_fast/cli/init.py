"""`fama-fast init`: a folder to begin in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fama_fast.cli.common import note

CONFIG, KEYS, IGNORED = "fama.yaml", ".env.example", ".gitignore"
_FOLDERS = ("data", "runs")
_IGNORE = ".env\nruns/\n"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("init")(init)


def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="The folder, made where it is not there.")] = Path(),
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="PATH", help="Market data that the configuration names.", show_default=False),
    ] = None,
) -> None:
    """Make a folder to begin in: a commented configuration, a file for keys, folders for data and runs.

    What is there already is left as it is.
    """
    from fama_fast.atomic import atomic_write
    from fama_fast.errors import OutputError
    from fama_fast.mining.config import MiningConfig
    from fama_fast.mining.config_data import PathSettings
    from fama_fast.mining.config_text import config_text
    from fama_fast.resources import env_example

    settings = MiningConfig(paths=PathSettings(market_data=data))
    texts = {
        CONFIG: config_text(settings),
        KEYS: env_example().read_text(encoding="utf-8"),
        IGNORED: _IGNORE,
    }
    try:
        for name in _FOLDERS:
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {error.filename}: {error.strerror}") from error
    for name, text in texts.items():
        place = folder / name
        if place.exists():
            note(f"{place} is there already: left as it is")
            continue
        with atomic_write(place) as temporary:
            temporary.write_text(text, encoding="utf-8")
        note(f"wrote {place}")
    at = folder / CONFIG
    print(f"next: name your data in {at} (paths.market_data), then fama-fast mine --config {at}")
