"""Writes what earlier runs have learnt for a prompt: a section of bounded length, in counts and effect sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fama_fast.proposals.memory import Memory, Theme

NOTHING = "(no earlier run on this kind of data)"
_NAME = 60  # characters of a theme's name
_SAID = {"operator": "{}", "field": "{}", "pair": "{}", "history": "history of {}"}


def memory_text(memory: Memory | None) -> str:
    """The section: at most 15 lines of 150 characters, whatever the ledger holds."""
    if memory is None or not memory.formulas:
        return NOTHING
    runs = "1 earlier run" if memory.runs == 1 else f"{memory.runs:,} earlier runs"
    head = (
        f"{runs} on this kind of data measured {memory.formulas:,} formulas: mean |RankIC| in training "
        f"{memory.mean:.4f}, {_share(memory.passed, memory.formulas)} passed its gates."
    )
    if not memory.better and not memory.worse:
        return f"{head}\nNo structure did clearly better or worse than the rest."
    lines = [head]
    for title, themes in (("Better than the rest:", memory.better), ("Worse than the rest:", memory.worse)):
        if themes:
            lines += [title, *_lines(themes)]
    return "\n".join(lines)


def memory_section(memory: Memory | None) -> str:
    """The same under its heading, before another section; empty where the memory is switched off."""
    return "" if memory is None else f"# Earlier runs: what did better and worse in training\n{memory_text(memory)}\n\n"


def _lines(themes: Iterable[Theme]) -> Iterable[str]:
    for theme in themes:
        name = _SAID.get(theme.kind, "{}").format("".join(c for c in theme.name if c.isprintable())[:_NAME])
        yield (
            f"- {name}: {theme.effect:+.4f} (t {theme.t:+.1f}), {_share(theme.passed, theme.tried)} of {theme.tried:,} "
            "passed"
        )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}"
