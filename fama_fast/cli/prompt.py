"""`fama-fast prompt`: the exact messages that the next round would send to a model, and what they would cost."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  (typer reads the annotations when it runs)
from typing import Annotated, Any

import typer

from fama_fast.cli.common import DataPath, Groups, MinMembers, Universe, note
from fama_fast.cli.large import MemoryBudget  # noqa: TC001
from fama_fast.cli.reading import options_given, takes_reading
from fama_fast.cli.run_settings import ConfigFile, Ideas, RunLedger, run_settings
from fama_fast.panel.reading import PLAIN, Reading
from fama_fast.terminal import say, say_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("prompt")(takes_reading(prompt))


def prompt(
    config: ConfigFile = None,
    data: DataPath = None,
    universe: Universe = None,
    groups: Groups = None,
    library: Annotated[
        str | None,
        typer.Option("--library", metavar="NAME|PATH", help="What the search starts from.", show_default=False),
    ] = None,
    idea: Ideas = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="S", help="Of the run.", show_default=False)] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume",
            metavar="RUN",
            help="The next round of an unfinished run of the ledger ('last' is the latest).",
            show_default=False,
        ),
    ] = None,
    ledger: RunLedger = None,
    min_members: MinMembers = None,
    memory_budget: MemoryBudget = None,
    as_json: Annotated[bool, typer.Option("--json", help="The messages and figures as JSON.")] = False,
    *,
    reading: Reading = PLAIN,
) -> None:
    """Print the messages that the next round would send to a language model, with tokens and an estimate of money.

    Nothing is sent and nothing is recorded; neither a key nor a model is needed. What the model will be shown depends
    on the data, so they are read, and the library is measured. Tokens are estimated, without the model's tokeniser.
    """
    from fama_fast.mining.run.preview import next_prompts, text_of

    overrides: dict[str, Any] = {
        "paths.market_data": data,
        "paths.universe": universe,
        "paths.groups": groups,
        "library": library,
        "llm.direction": idea or None,
        "run.seed": seed,
        "run.memory_budget": memory_budget,
        "splits.min_members": min_members,
        "ledger": ledger,
        **options_given(reading),
    }
    found = next_prompts(_settings(config, overrides, resume), resume=resume, note=note)
    if as_json:
        say_json(found.as_dict())
    else:
        say(*text_of(found).split("\n"))


def _settings(config: Path | None, overrides: dict[str, Any], resume: str | None) -> Any:
    """The settings of the run; a proposer that sends no prompts gives way to `llm`, and a note says so."""
    settings = run_settings(config, overrides, resume)
    if settings.proposer == "llm" or (settings.proposer == "mixed" and "llm" in settings.mix):
        return settings
    if resume is not None:
        return settings  # refused, with what to do
    note(f"proposer: {settings.proposer} sends no prompts: these are those of proposer: llm")
    return settings.model_copy(update={"proposer": "llm"})
