"""Converts a factor to plain data and back; every mistake names place, key and nearest right key.

It knows the keys of an entry; files and collections are its callers' business.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from fama_fast.errors import ExpressionError, StoreError, nearest_name
from fama_fast.library.identity import factor_from_alpha
from fama_fast.library.strict_yaml import as_number, plain

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from fama_fast.engine import Alpha
    from fama_fast.library.factor import Factor

OnMismatch = Literal["error", "warn"]

KEYS = ("expression", "canonical", "fingerprint", "proposed", "scores", "hypothesis", "provenance", "data_hash")
# Versions before the text was oriented wrote a sign beside it, with figures of the text as it was.
_OLD_KEYS = ("sign",)


class FactorMismatch(UserWarning):
    """Warning that a stored factor's text no longer means what its fingerprint says."""


def check_keys(data: Mapping[Any, Any], known: Iterable[str], where: str) -> None:
    """Raise StoreError for a key that is not in `known`, with the nearest one."""
    names = tuple(known)
    for key in data:
        if key not in names:
            near = nearest_name(str(key), names)
            hint = f"did you mean {near}?" if near else f"the keys are {', '.join(names)}"
            raise StoreError(f"{where}: unknown key {key!r} ({hint})")


def factor_to_dict(factor: Factor) -> dict[str, Any]:
    """Plain data of a factor; the data hash of its provenance becomes an entry of its own, `data_hash`."""
    where = f"factor {factor.expression}"
    provenance = dict(factor.provenance)
    entry = {
        "expression": factor.expression,
        "canonical": factor.canonical,
        "fingerprint": factor.fingerprint,
        **({"proposed": factor.proposed} if factor.proposed else {}),
        "scores": factor.scores,
        "hypothesis": factor.hypothesis,
    }
    if isinstance(provenance.get("data_hash"), str):
        entry["data_hash"] = provenance.pop("data_hash")
    entry["provenance"] = provenance
    data: dict[str, Any] = plain(entry, where)
    return data


def factor_from_dict(
    data: Any,
    *,
    where: str = "factor",
    on_mismatch: OnMismatch = "error",
    fields: Collection[str] | None = None,
    groups: Collection[str] | None = None,
) -> Factor:
    """The factor of one entry: a mapping with at least `expression`, or just the expression as text.

    The expression is compiled again. A canonical text or fingerprint in the entry must agree with it: when it
    does not, the entry was edited or the language has changed since, so its scores may belong to another
    formula. That is an error, or with `on_mismatch="warn"` a FactorMismatch warning after which today's
    identity stands. Without `fields` and `groups` any name may be a column: the data are asked when they are loaded.
    An entry with a `sign` of -1, as earlier versions wrote it, is read as the negative.

    Raises:
        StoreError: wrong keys or values, an expression that does not parse, a mismatch; the place is named.
    """
    if isinstance(data, str):
        data = {"expression": data}
    if not isinstance(data, Mapping):
        raise StoreError(f"{where}: expected a mapping with an expression, found {_kind(data)}")
    check_keys(data, KEYS if not any(key in data for key in _OLD_KEYS) else (*KEYS, *_OLD_KEYS), where)
    expression = _text(data, "expression", where)
    if not expression.strip():
        raise StoreError(f"{where}: the key 'expression' is missing or empty")
    where = f"{where} ({_short(expression)})"
    provenance = _mapping(data, "provenance", where)
    if data.get("data_hash") is not None:
        stated = _text(data, "data_hash", where)
        if provenance.get("data_hash", stated) != stated:
            raise StoreError(f"{where}: data_hash differs from provenance.data_hash")
        provenance["data_hash"] = stated
    dialect = provenance.get("dialect", "fama")
    if not isinstance(dialect, str):
        raise StoreError(f"{where}: provenance.dialect must be text, found {_kind(dialect)}")
    names = {"fields": fields, "groups": groups}
    alpha = _compiled(expression, "expression", where, dialect=dialect, **names)
    for key, today in (("fingerprint", alpha.fingerprint), ("canonical", alpha.canonical)):
        stored = _text(data, key, where)
        # A canonical text may have been written otherwise once, if it says the same.
        if stored and stored != today and not (key == "canonical" and _means(stored, alpha.fingerprint, names)):
            message = (
                f"{where}: the stored {key} {_short(stored)!r} is not that of the expression ({_short(today)!r}): the"
                " entry was edited, or the language has changed since it was scored"
            )
            if on_mismatch == "error":
                raise StoreError(message)
            warnings.warn(message, FactorMismatch, stacklevel=2)
    factor = factor_from_alpha(
        alpha,
        _sign(data.get("sign", 1), where),
        scores=_scores(data.get("scores"), where),
        hypothesis=_text(data, "hypothesis", where),
        provenance=provenance,
    )
    proposed = _text(data, "proposed", where)
    if not proposed:
        return factor
    if factor.proposed:
        raise StoreError(f"{where}: proposed stands beside a sign of -1: an entry has one or the other")
    if _compiled(proposed, "proposed", where, **names).oriented(-1).fingerprint != factor.fingerprint:
        raise StoreError(
            f"{where}: proposed is {_short(proposed)!r}, of which the expression is not the negative: leave it out"
        )
    return replace(factor, proposed=proposed)


def _compiled(text: str, key: str, where: str, **options: Any) -> Alpha:
    from fama_fast.engine import compile_recorded

    try:
        return compile_recorded(text, **options)
    except ExpressionError as error:
        what = "the expression" if key == "expression" else key
        raise StoreError(f"{where}: {what} is not valid: {error}") from error


def _means(text: str, fingerprint: str, names: dict[str, Any]) -> bool:
    from fama_fast.engine import compile_recorded

    try:
        return compile_recorded(text, **names).fingerprint == fingerprint
    except ExpressionError:
        return False


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"{type(value).__name__} {_short(repr(value))}"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _text(data: Mapping[str, Any], key: str, where: str) -> str:
    value = data.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise StoreError(f"{where}: {key} must be text, found {_kind(value)} (put it in quotes)")
    return value


def _mapping(data: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    value = data.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise StoreError(f"{where}: {key} must be a mapping, found {_kind(value)}")
    return dict(value)


def _sign(value: Any, where: str) -> int:
    if isinstance(value, bool) or value not in (1, -1):
        raise StoreError(f"{where}: sign must be 1 or -1, found {_kind(value)}")
    return int(value)


def _scores(value: Any, where: str) -> dict[str, dict[str, float]]:
    scores: dict[str, dict[str, float]] = {}
    for split, metrics in _mapping({"scores": value}, "scores", where).items():
        if not isinstance(metrics, Mapping):
            raise StoreError(f"{where}: scores.{split} must be a mapping of metrics, found {_kind(metrics)}")
        scores[split] = {}
        for name, figure in metrics.items():
            number = as_number(figure)
            if number is None:
                raise StoreError(f"{where}: scores.{split}.{name} must be a number, found {_kind(figure)}")
            scores[split][name] = number
    return scores
