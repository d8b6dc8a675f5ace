"""Reads columns from the names of folders: `year=2020/part.parquet` has a column `year`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fama_fast.panel.io.folder import Place

_HIVE = re.compile(r"([A-Za-z_][\w ]*)=(.*)\Z")
_WHOLE = re.compile(r"[+-]?\d+\Z")
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


def hive_columns(places: Sequence[Place]) -> list[dict[str, str | int | None]]:
    """For each file the columns that the names of its folders give.

    They are whole numbers where every value of a key is one without a leading zero, texts otherwise.
    """
    spelled = [_spelled(place) for place in places]
    values: dict[str, set[str]] = {}
    for keys in spelled:
        for key, value in keys.items():
            values.setdefault(key, set()).add(value)
    integral = {key for key, texts in values.items() if all(_is_whole(v) for v in texts)}
    return [{k: _value(v, whole=k in integral) for k, v in keys.items()} for keys in spelled]


def _spelled(place: Place) -> Mapping[str, str]:
    hits = (_HIVE.match(part) for part in place.below[:-1])
    return {hit[1]: unquote(hit[2]) for hit in hits if hit}


def _is_whole(text: str) -> bool:
    return _WHOLE.match(text) is not None and not (text.startswith("0") and len(text) > 1)


def _value(text: str, *, whole: bool) -> str | int | None:
    return None if text == _HIVE_NULL else int(text) if whole else text
