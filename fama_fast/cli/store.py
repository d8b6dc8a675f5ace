"""`fama-fast compute --store`: makes or updates a factor store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.cli.common import note, say_warnings
from fama_fast.cli.given import read_given
from fama_fast.cli.large import open_source
from fama_fast.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fama_fast.panel.reading import Reading

_BUDGET = "1GiB"


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
    ledger: str | None,
    append: bool,
    rebuild: bool,
    verify: bool,
) -> None:
    """Run `update_store` and print what it did.

    Raises:
        ConfigError: no expression and no store to update. StoreError and others: as `update_store`.
    """
    from fama_fast.engine.alpha import compile_recorded
    from fama_fast.factor_store import open_store, update_store

    going_on = append or rebuild
    if not expressions and not going_on:
        raise ConfigError("say what to compute: expressions, or files of them")
    given = read_given(expressions, ledger=ledger)
    alphas = given.compiled(dialect)  # mistakes show before the data are read
    names = given.columns(alphas)
    needed = list(alphas)
    if going_on:
        for f in open_store(store).factors:
            texts = (
                [(f.expression, f.dialect)] if f.combination is None else [(t, "fama") for t, _ in f.combination.forms]
            )
            needed += [compile_recorded(text, dialect=dialect_of) for text, dialect_of in texts]
    chosen = given.data(data, universe=universe, groups=groups, reading=reading, parts=True)
    source = open_source(chosen.data, memory_budget or _BUDGET, needed_by=needed, **chosen.options())
    done = update_store(
        store,
        source,
        given.compiled(dialect, source),
        # What has no name of its own keeps the one under which it may be stored already.
        names=[name if item.name else None for name, item in zip(names, given.items, strict=True)],
        append=append,
        rebuild=rebuild,
        min_coverage=given.min_coverage,
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
