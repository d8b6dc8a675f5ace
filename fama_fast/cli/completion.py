"""What the shell completes: ids of runs, names of operators and of dialects.

A completion says nothing where it cannot be had: the shell shows the line that is being typed, and no message.
"""

from __future__ import annotations

from contextlib import suppress

import typer  # noqa: TC002  (typer reads annotations)

from fama_fast.errors import FamaError


def run_names(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Ids of the ledger's runs, latest first, each with its verdict, and `last`."""
    from fama_fast.ledger.ledger import Ledger
    from fama_fast.mining.config_file import load_config
    from fama_fast.mining.run.setup import ledger_place

    found = [("last", "the latest run")]
    with suppress(FamaError, OSError):
        place = ledger_place(load_config(None, {"ledger": ctx.params.get("ledger")}))
        with Ledger.open(place, create=False) as ledger:
            runs = ledger.list_runs()
        found += [(run.id, str((run.verdict or {}).get("status", run.status))) for run in reversed(runs)]
    return [(name, what) for name, what in found if name.startswith(incomplete)]


def operator_names(incomplete: str) -> list[tuple[str, str]]:
    """Names of operators, each with what it does."""
    from fama_fast.ops import specs
    from fama_fast.proposals.operator_text import first_sentence

    return [(spec.name, first_sentence(spec.doc)) for spec in specs() if spec.name.startswith(incomplete)]


def dialect_names(incomplete: str) -> list[tuple[str, str]]:
    """Names of dialects, each with the system that it is of."""
    from fama_fast.lang import DIALECTS

    return [(name, found.source) for name, found in DIALECTS.items() if name.startswith(incomplete)]
