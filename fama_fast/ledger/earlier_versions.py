"""Converts the records of earlier versions to today's form, with every factor in the direction of training.

They kept a factor as it was proposed, and beside it a sign of -1 where low values predict high returns. Here that
becomes the negative, with its own text, fingerprint and figures; what has no such sign is given back as it is. All
readers of a ledger or a result convert here, and no other code needs to know.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from fama_fast.errors import ExpressionError
from fama_fast.ledger.records import AS_PROPOSED
from fama_fast.library.direction import turned_figures, turned_scores

if TYPE_CHECKING:
    from collections.abc import Mapping

_TURNED = -1


@functools.lru_cache(maxsize=1 << 14)
def negative(canonical: str, fingerprint: str) -> tuple[str, str]:
    """(fingerprint, canonical text) of the negative of a recorded expression.

    One that this version cannot read keeps its fingerprint, and gets a minus before it.
    """
    from fama_fast.engine import compile_recorded

    try:
        alpha = compile_recorded(canonical).oriented(-1)
    except ExpressionError:
        return fingerprint, f"-({canonical})"
    return alpha.fingerprint, alpha.canonical


def oriented_text(text: str, sign: int | None) -> str:
    """A recorded text in the direction of training."""
    return negative(text, "")[1] if sign == _TURNED else text


def oriented_identity(fingerprint: str, canonical: str, sign: int | None) -> tuple[str, str]:
    """(fingerprint, canonical text) of a recorded factor in the direction of training."""
    return negative(canonical, fingerprint) if sign == _TURNED else (fingerprint, canonical)


def oriented_row(row: dict[str, Any]) -> dict[str, Any]:
    """A candidate's row (mapping of columns), in today's form."""
    out = dict(row)
    if out.get("sign") != _TURNED or not out["fingerprint"]:
        return out
    proposed = {"fingerprint": out["fingerprint"], "canonical": out["canonical"]}
    out["fingerprint"], out["canonical"] = negative(out["canonical"], out["fingerprint"])
    out["scores"] = turned_scores(out["scores"] or {})
    return out | {"sign": 1, "extra": {**(out["extra"] or {}), AS_PROPOSED: proposed}}


def oriented_document(document: Mapping[str, Any]) -> dict[str, Any]:
    """A run's result document, in today's form."""
    names: dict[str, str] = {}
    out = dict(document)
    if document.get("factors"):
        out["factors"] = [_factor(entry, names) for entry in document["factors"]]
    if document.get("front"):
        out["front"] = [_front(entry, names) for entry in document["front"]]
    if names:
        out["verdict"] = _verdict(document["verdict"], names)
    return out


def _factor(entry: Mapping[str, Any], names: dict[str, str]) -> dict[str, Any]:
    out = {key: value for key, value in entry.items() if key != "sign"}
    if entry.get("sign", 1) != _TURNED:
        return out
    fingerprint, text = negative(entry["canonical"], entry["fingerprint"])
    names[entry["fingerprint"]] = fingerprint
    turned = {"expression": text, "canonical": text, "fingerprint": fingerprint, "proposed": entry["canonical"]}
    return out | turned | {"scores": turned_scores(entry.get("scores") or {})}


def _front(entry: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    out = {key: value for key, value in entry.items() if key != "sign"}
    if entry["fingerprint"] in names:
        out["fingerprint"], out["expression"] = negative(entry["expression"], entry["fingerprint"])
    return out


def _verdict(verdict: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The verdict with the factors under their own fingerprints."""
    out = dict(verdict)
    if "holding" in out:
        out["holding"] = [names.get(f, f) for f in out["holding"]]
    if "pool" in out:
        out["pool"] = {
            split: figures | {"weights": {names.get(f, f): w for f, w in figures["weights"].items()}}
            if "weights" in figures
            else figures
            for split, figures in out["pool"].items()
        }
    return out


def oriented_figures(figures: Mapping[str, Any], sign: int | None) -> dict[str, float]:
    """Recorded figures of one split in the direction of training, without what is no number."""
    known = {name: value for name, value in figures.items() if isinstance(value, int | float)}
    return turned_figures(known) if sign == _TURNED else known
