"""`fama-fast compute --store`: making a factor store and going on with it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fama_fast.cli.common import note, read_expressions, say_warnings
from fama_fast.cli.large import open_source
from fama_fast.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fama_fast.panel.reading import Reading

_BUDGET = "1GiB"
_NUMBERED = re.compile(r"f\d+")


def compute_into_store(
    store: Path,
    expressions: Sequence[str],
    *,
    data: str | None,
    dialect: str,
    universe: str | None,
    groups: str | None,
    reading: Reading,
    memory_budget: str | None,
    append: bool,
    rebuild: bool,
    verify: bool,
) -> None:
    """Run `update_store` and say what it did.

    Raises:
        ConfigError: no expression and no store to go on with. StoreError and others: as `update_store`.
    """
    from fama_fast.engine.alpha import compile_recorded
    from fama_fast.evaluation.score import compile_all
    from fama_fast.factor_store import open_store, update_store

    going_on = append or rebuild
    if not expressions and not going_on:
        raise ConfigError("say what to compute: expressions, or files of them")
    named = read_expressions(expressions) if expressions else []
    texts = [e.text for e in named]
    alphas = (
        compile_all(texts, dialect=dialect, any_names=True) if texts else []
    )  # mistakes show before the data are read
    if going_on:
        alphas += [compile_recorded(f.expression, dialect=f.dialect) for f in open_store(store).factors]
    source = open_source(
        data, memory_budget or _BUDGET, universe=universe, groups=groups, reading=reading, needed_by=alphas
    )
    done = update_store(
        store,
        source,
        compile_all(texts, source, dialect=dialect) if texts else [],
        # A number says where an expression stood among those given, and a store has others.
        names=[None if _NUMBERED.fullmatch(e.name) else e.name for e in named] if going_on else [e.name for e in named],
        append=append,
        rebuild=rebuild,
        memory_budget=memory_budget,
        verify=verify,
    )
    say_warnings(source)
    if not done.changed:
        note(f"{store}: nothing to do, the store has all dates up to {done.last}")
        return
    parts = []
    if done.dates_added:
        parts.append(f"{done.dates_added:,} dates added")
    if done.dates_rebuilt:
        parts.append(f"{done.dates_rebuilt:,} dates computed again ({done.reason})")
    if done.factors_added:
        parts.append(f"{len(done.factors_added):,} factors added ({_some(done.factors_added)})")
    note(f"{store}: {', '.join(parts)}; {done.rows:,} rows written; now {done.first} to {done.last}")


def _some(names: Sequence[str], most: int = 10) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
