"""Reads and checks a result document: every mistake is reported with the path of its key.

It must have the keys and types of `document_keys`, and what it says twice must agree: a factor's fingerprint is that of
its text, what holds is among the factors, candidates add up. Nothing is computed here, and where a file lies is its
reader's business (`factor_source`).
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from fama_fast.errors import ConfigError, StoreError, nearest_name, quoted
from fama_fast.ledger.earlier_versions import oriented_document
from fama_fast.library.codec import factor_from_dict
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.verdict.document_keys import SETTINGS, Document, FactorEntry, PoolFigures
from fama_fast.mining.verdict.findings import Status
from fama_fast.mining.verdict.results import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from fama_fast.library.factor import Factor

_SPLITS = ("train", "valid", "test")


def is_document(data: Any) -> bool:
    """Whether plain data are a run's result rather than a set of factors."""
    return (
        isinstance(data, dict) and len({"verdict", "splits", "search", "settings", "data", "record"} & set(data)) >= 2
    )


def read_document(data: Any, source: str) -> tuple[dict[str, Any], tuple[Factor, ...]]:
    """A result document in today's form, and its factors.

    Args:
        data: plain data, of any version since results were written. source: names the file in errors.

    Raises:
        StoreError: a key is missing, of another type, or says something else than the rest; its path is named.
    """
    if not isinstance(data, dict):
        raise StoreError(f"{source}: a run's result is a mapping, found {quoted(data)}")
    try:
        read = Document.model_validate(data)
    except ValidationError as error:
        raise StoreError(_message(error, source)) from None
    try:
        config_from_dict(data["settings"], source="settings")
    except ConfigError as error:
        raise StoreError(f"{source}: {error}") from None
    pools = _pools(read, source)
    wrong = next(itertools.chain(_slips(read, ""), _contradictions(read, pools, data)), None)
    if wrong is not None:
        raise StoreError(f"{source}: {' '.join(wrong)}")
    factors = []
    for number, entry in enumerate(data["factors"]):
        plain = {key: value for key, value in entry.items() if key in _ENTRY}
        factors.append(factor_from_dict(plain, where=f"{source}: factors[{number}]"))
    return oriented_document(data), tuple(factors)


def _pools(read: Document, source: str) -> dict[str, PoolFigures]:
    """The pools that are not empty, by split."""
    out: dict[str, PoolFigures] = {}
    for split, figures in read.verdict.pool.items():
        if figures:
            try:
                out[split] = PoolFigures.model_validate(figures)
            except ValidationError as error:
                raise StoreError(_message(error, source, ("verdict", "pool", split))) from None
    return out


_ENTRY = frozenset(FactorEntry.model_fields) - {"verdict"}


def _path(location: tuple[Any, ...]) -> str:
    """`factors[3].scores.train` of a location; names of a union's branches are left out."""
    out = ""
    for part in location:
        if isinstance(part, int):
            out += f"[{part}]"
        elif not (part.startswith("_") or "[" in part or part == "schema_"):
            out += f"{'.' if out else ''}{part}"
    return out or "the document"


_KINDS = {
    "missing": "is missing",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "must be a fingerprint, 32 hex digits",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "greater_than_equal": "must not be below 0",
    "too_short": "must have two numbers",
    "too_long": "must have two numbers",
    "literal_error": "must be {expected}",
}


def _message(error: ValidationError, source: str, inside: tuple[str, ...] = ()) -> str:
    first = error.errors(include_url=False)[0]
    kind, context = str(first["type"]), first.get("ctx", {})
    what = _KINDS[kind].format(**context) if kind in _KINDS else str(context.get("error", first["msg"]))
    value_text = "" if kind == "missing" else f", found {quoted(first['input'], 40)}"
    # What stands there under a name that is nearly the missing one.
    near = None
    if kind == "missing" and isinstance(first["input"], dict):
        near = nearest_name(str(first["loc"][-1]), [str(k) for k in first["input"]])
    hint = "" if near is None else f" (there is {near!r}: did you mean {first['loc'][-1]}?)"
    return f"{source}: {_path((*inside, *first['loc']))} {what}{value_text}{hint}"


def _slips(part: BaseModel, path: str) -> Iterator[tuple[str, str]]:
    """Keys that are known to no version but are nearly one that may stand there and does not."""
    known = type(part).model_fields
    absent = [name for name in known if name not in part.model_fields_set]
    for key in part.model_extra or {}:
        near = nearest_name(key, absent)
        if near is not None:
            yield f"{path}{'.' if path else ''}{key}", f"is no key (did you mean {near}?)"
    for name in known:
        value = getattr(part, name)
        below = f"{path}{'.' if path else ''}{name}"
        if isinstance(value, BaseModel):
            yield from _slips(value, below)
        elif isinstance(value, dict):
            for key, item in value.items():
                if isinstance(item, BaseModel):
                    yield from _slips(item, f"{below}.{key}")
        elif isinstance(value, list):
            for number, item in enumerate(value):
                if isinstance(item, BaseModel):
                    yield from _slips(item, f"{below}[{number}]")


def _contradictions(
    read: Document, pools: Mapping[str, PoolFigures], data: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """The contradictions in a document, as (path, sentence): keys that the rest requires, and places that disagree."""
    if read.schema_ != SCHEMA:
        yield "schema", f"{read.schema_} is not known here (this version reads {SCHEMA})"
    yield from _in_dates(read)
    for key in _SETTINGS:
        if not _has(data["settings"], key):
            yield f"settings.{'.'.join(key)}", "is missing"
    yield from _in_the_search(read, data["settings"])
    yield from _in_factors(read, tested="test" in pools)
    known = {factor.fingerprint for factor in read.factors}
    # To the test goes a short list, or of what was admitted what holds.
    whole = "test" in pools and not set(pools["test"].weights) <= set(read.verdict.holding)
    pooled = {"valid": known, "test": known if whole else set(read.verdict.holding)}
    yield from _differing("verdict.holding", set(read.verdict.holding) - known, "is none of the factors")
    for split, wanted in pooled.items():
        if split not in read.verdict.pool:
            yield f"verdict.pool.{split}", "is missing"
        elif split in pools:
            weights, path = set(pools[split].weights), f"verdict.pool.{split}.weights"
            yield from _differing(path, weights - wanted, "is no factor of this pool")
            yield from _differing(path, wanted - weights, "is missing")
    names = data["settings"]["objectives"] if known and _ended(read) else []
    if names and read.front is None:
        yield "front", "is missing"
    front = {entry.fingerprint for entry in read.front or ()}
    yield from _differing("front", front - known, "is none of the factors")
    yield from _differing("front", known - front if names else (), "is missing")
    for number, entry in enumerate(read.front or ()):
        yield from _differing(
            f"front[{number}].objectives", set(names) ^ set(entry.objectives), "is not what was asked for"
        )


def _differing(path: str, names: Collection[str], problem: str) -> Iterator[tuple[str, str]]:
    for name in sorted(names):
        yield f"{path}: {name}", problem


def _in_dates(read: Document) -> Iterator[tuple[str, str]]:
    for split in _SPLITS:
        if split not in read.splits:
            yield f"splits.{split}", "is missing"
    spans = [(name, read.splits[name]) for name in _SPLITS]
    for name, span in spans:
        if span.first > span.last:
            yield f"splits.{name}.first", f"is {span.first}, after its last date {span.last}"
    for (a, before), (b, after) in itertools.pairwise(spans):
        if before.last >= after.first:
            yield f"splits.{b}.first", f"is {after.first}, not after the last date of {a}, {before.last}"


def _in_the_search(read: Document, settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    statuses = [status.value for status in Status]
    status = read.verdict.status
    if status not in statuses:
        yield "verdict.status", f"is {quoted(status)}, which is none of {'; '.join(statuses)}"
    total = sum(read.search.funnel.values())
    if total != read.search.candidates:
        yield "search.funnel", f"adds up to {total}, search.candidates is {read.search.candidates}"
    ended = _ended(read)
    if ended and read.factors and not read.verdict.pool.get("valid"):
        yield "verdict.pool.valid", "is missing"
    control, path = read.verdict.control.random_formulas, "verdict.control.random_formulas"
    asked = isinstance(settings.get("control"), dict) and settings["control"].get("random") is True
    if ended and control is None and asked and read.search.candidates:
        yield path, "is missing"
    if control is not None and control.admitted:
        for key in ("best_train_rank_ic", "best_valid_rank_ic", "pool"):
            if key not in control.model_fields_set:
                yield f"{path}.{key}", "is missing"
        for split in ("valid", "test"):
            if split not in (control.pool or {}):
                yield f"{path}.pool.{split}", "is missing"


def _ended(read: Document) -> bool:
    """Whether the run had come to its end: pools, controls, a front."""
    return read.verdict.status not in (Status.INTERRUPTED.value, Status.NOT_JUDGED.value)


def _in_factors(read: Document, *, tested: bool) -> Iterator[tuple[str, str]]:
    known: dict[str, int] = {}
    for number, factor in enumerate(read.factors):
        path = f"factors[{number}]"
        before = known.setdefault(factor.fingerprint, number)
        if before != number:
            yield f"{path}.fingerprint", f"is that of factors[{before}] too"
        if factor.data_hash != read.data.hash:
            yield f"{path}.data_hash", f"is {quoted(factor.data_hash)}, and data.hash is {quoted(read.data.hash)}"
        holds = factor.fingerprint in read.verdict.holding
        if factor.verdict is None and read.verdict.status != Status.NOT_JUDGED.value:
            yield f"{path}.verdict", "is missing"
        elif factor.verdict is not None and factor.verdict.holds != holds:
            yield f"{path}.verdict.holds", "is not what verdict.holding says"
        for split in ("train", "valid", *(["test"] if tested and holds else [])):
            if split not in factor.scores:
                yield f"{path}.scores.{split}", "is missing"
        if tested and holds and factor.verdict is not None and "test_t" not in factor.verdict.model_fields_set:
            yield f"{path}.verdict.test_t", "is missing"
        # Runs of earlier versions climbed RankIC, and named no objective.
        figure = "objective" if "objective" in factor.scores["train"] else "rank_ic"
        score = factor.scores["train"].get(figure)
        if score is None or not math.isfinite(score):
            yield f"{path}.scores.train.{figure}", "is missing"
        elif score * (factor.sign or 1) < 0.0:
            yield (
                f"{path}.scores.train.{figure}",
                f"is {score}: a factor points upwards in training (else it had a sign of -1)",
            )


def _has(settings: Any, key: tuple[str, ...]) -> bool:
    for part in key:
        if not isinstance(settings, dict) or part not in settings:
            return False
        settings = settings[part]
    return True


_SETTINGS = tuple(
    (*(section.split(".") if section else ()), name) for section, names in SETTINGS.items() for name in names.split()
)
