"""Texts for other systems as files: one a line, or JSON as their programs take them."""

from __future__ import annotations

import json
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fama_fast.atomic import atomic_write
from fama_fast.errors import OutputError
from fama_fast.exporting.translate import MEANINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fama_fast.exporting.brain_settings import BrainSettings
    from fama_fast.exporting.translate import Translation

TEXT_ENDINGS = (".txt", ".json")


def write_texts(path: str | Path, language: str, found: Sequence[Translation], settings: BrainSettings | None) -> Path:
    """Write what could be said, and in comments (or under `left_out`) what could not.

    Raises:
        OutputError: another ending, or a place that cannot be written.
    """
    place = Path(path)
    ending = place.suffix.lower()
    if ending not in TEXT_ENDINGS:
        raise OutputError(f"cannot write {place}: the name of {language} texts must end in {', '.join(TEXT_ENDINGS)}")
    if ending == ".txt":
        text = "\n".join(text_lines(language, found, settings)) + "\n"
    else:
        text = json.dumps(as_document(language, found, settings), indent=2, ensure_ascii=False) + "\n"
    with atomic_write(place) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return place


def text_lines(language: str, found: Iterable[Translation], settings: BrainSettings | None) -> list[str]:
    """Lines of a text file: settings and remarks behind `#`, then a formula a line."""
    lines = [f"# {language}, one formula a line, each pointing upwards: high values, high returns"]
    if settings is not None:
        given = ", ".join(f"{k} {v}" for k, v in settings.model_dump().items())
        lines.append(f"# settings: {given}")
    for item in found:
        lines.append("#")
        lines.append(f"# {item.name}: {MEANINGS[item.meaning]}" if item.said else f"# {item.name} {MEANINGS['unsaid']}")
        lines += [f"#   {reason}" for reason in (*item.cannot, *item.differs)]
        if item.needs:
            lines.append(f"#   beyond the base level: {', '.join(item.needs)}")
        lines += [f"#   ours: {item.formula}"] if item.formula != item.name else []
        lines += [item.text] if item.said else []
    return lines


def as_document(language: str, found: Iterable[Translation], settings: BrainSettings | None) -> dict[str, Any]:
    """For programs: `factors` with their texts, `left_out` with the reasons.

    A factor of BRAIN's has `request`, the body of a simulation request; qlib's `fields` and `names` are those of
    its `QlibDataLoader`.
    """
    found = list(found)
    said = [item for item in found if item.said]
    factors = []
    for item in said:
        entry = {**_about(item), "text": item.text, "differs": list(item.differs), "needs": list(item.needs)}
        if settings is not None:
            entry["request"] = {"type": "REGULAR", "settings": settings.model_dump(), "regular": item.text}
        factors.append(entry)
    document: dict[str, Any] = {"language": language, "factors": factors}
    if settings is None:
        document |= {"fields": [item.text for item in said], "names": [item.name for item in said]}
    document["left_out"] = [{**_about(item), "cannot": list(item.cannot)} for item in found if not item.said]
    return document


def _about(item: Translation) -> dict[str, Any]:
    about: dict[str, Any] = {"name": item.name, "formula": item.formula, "meaning": item.meaning}
    if item.on_data is not None:
        about["on_data"] = {
            "cells": item.on_data.cells,
            "equal": item.on_data.equal,
            "added": item.on_data.added,
            "rank_correlation": None if isnan(item.on_data.order) else item.on_data.order,
        }
    return about
