"""Reads what the batch interfaces of both vendors have in common: requests as plain JSON, results as lines of JSON."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from fama_fast.errors import ProposerError
from fama_fast.llm.faults import AttemptFailed, Fault, decode_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fama_fast.llm.chat import Reply


def flat(body: dict[str, Any]) -> dict[str, Any]:
    """A request as it stands in a batch: what the SDK would have laid beside its own arguments is in it."""
    beside: dict[str, Any] = body.get("extra_body", {})
    return {k: v for k, v in body.items() if k != "extra_body"} | beside


def answered(text: str, who: str) -> dict[str, Any]:
    """The JSON object of a response. Raises ProposerError: it is none."""
    try:
        record: dict[str, Any] = decode_object(text)
    except AttemptFailed as failed:
        raise ProposerError(f"{who}: {failed.fault.message}") from None
    return record


def text_at(record: dict[str, Any], key: str, who: str) -> str:
    """The text under a key of a response. Raises ProposerError: there is none."""
    value = record.get(key)
    if not isinstance(value, str) or not value:
        raise ProposerError(f"{who}: the server's batch has no {key}")
    return value


def results(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(custom_id, line) of the lines of a result file that have one; others belong to no prompt."""
    for line in text.split("\n"):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and isinstance(record.get("custom_id"), str):
            yield record["custom_id"], record


def read_reply(read: Callable[[dict[str, Any]], Reply], data: Any) -> Reply | Fault:
    """The reply in a response of a batch, or why there is none."""
    if not isinstance(data, dict):
        return Fault("the server's response is not a JSON object", retryable=True)
    try:
        return dataclasses.replace(read(data), batched=True)
    except AttemptFailed as failed:
        return failed.fault
