"""Every exchange with a model, one JSON line each, found again by prompt hash.

Lines are appended and synced, so a run that is killed loses at most the line it was writing. Keys never reach
this
module: what it is given has none.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fama_fast.errors import ProposerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fama_fast.mining.prompt import Message

FILE_NAME = "exchanges.jsonl"


@dataclass(frozen=True)
class Exchange:
    """One recorded exchange. `request` holds model, sampling and messages as they were sent."""

    prompt_hash: str
    text: str
    finish: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    request: Mapping[str, Any] = field(default_factory=dict)

    def as_line(self) -> str:
        record = {
            "prompt_hash": self.prompt_hash,
            "text": self.text,
            "finish": self.finish,
            "usage": {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens},
            "request": dict(self.request),
        }
        return json.dumps(record, ensure_ascii=True, separators=(",", ":")) + "\n"


def request_record(messages: Sequence[Message], model: str, sampling: Mapping[str, Any]) -> dict[str, Any]:
    """What a prompt hash stands for, as it is recorded."""
    return {
        "model": model,
        "sampling": dict(sampling),
        "messages": [{"role": m.role, "content": m.content} for m in messages],
    }


def _exchange(record: Any) -> Exchange:
    usage = record.get("usage") or {}
    out = Exchange(
        record["prompt_hash"],
        record["text"],
        str(record.get("finish", "stop")),
        int(usage.get("prompt_tokens", 0)),
        int(usage.get("completion_tokens", 0)),
        record.get("request") or {},
    )
    if not isinstance(out.prompt_hash, str) or not isinstance(out.text, str):
        raise TypeError("prompt_hash and text must be text")
    return out


def read_exchanges(path: Path) -> list[Exchange]:
    """The exchanges of a file in order. A last line without its end (a killed run) is left out.

    Raises:
        ProposerError: the file, and the line that is not an exchange.
    """
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ProposerError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
    lines = content.split("\n")
    out = []
    for n, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            out.append(_exchange(json.loads(line)))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            if n == len(lines):
                break
            raise ProposerError(
                f"{path}, line {n}: not a recorded exchange (a JSON object with prompt_hash and text)"
            ) from None
    return out


class ExchangeLog:
    """An append-only log of exchanges that answers repeats."""

    def __init__(self, location: str | Path) -> None:
        """`location`: a `.jsonl` file, or a folder that gets `exchanges.jsonl`; both are made when needed."""
        location = Path(location)
        self.path = location if location.suffix == ".jsonl" else location / FILE_NAME
        self._by_hash: dict[str, Exchange] = {}
        if self.path.exists():
            self._by_hash = {e.prompt_hash: e for e in read_exchanges(self.path)}

    def __len__(self) -> int:
        return len(self._by_hash)

    def find(self, prompt_hash: str) -> Exchange | None:
        """The recorded exchange of a prompt, or None."""
        return self._by_hash.get(prompt_hash)

    def append(self, exchange: Exchange) -> None:
        """Record an exchange on disk before it is used. Raises ProposerError when it cannot be written."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b") as file:
                file.seek(0, os.SEEK_END)
                torn = False
                if file.tell():
                    file.seek(-1, os.SEEK_END)
                    torn = file.read(1) != b"\n"
                if torn:  # the half line of a killed run must not swallow this one
                    self._drop_half_line(file)
                file.write(exchange.as_line().encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise ProposerError(f"{self.path}: the exchange cannot be recorded: {error.strerror or error}") from None
        self._by_hash[exchange.prompt_hash] = exchange

    @staticmethod
    def _drop_half_line(file: Any) -> None:
        file.seek(0)
        whole = file.read().rfind(b"\n") + 1
        file.truncate(whole)
