"""A log of all exchanges with a model, one JSON line each, looked up by prompt hash.

A line is on disk before anyone reads the answer, so a run that is killed loses at most the line it was writing. Threads
and processes may append at once. Keys never reach this module: what it is given has none.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fama_fast.errors import ProposerError
from fama_fast.llm.chat import Reply
from fama_fast.llm.durable_lines import append_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fama_fast.llm.prompt import Message

FILE_NAME = "exchanges.jsonl"


@dataclass(frozen=True)
class Exchange:
    """One recorded exchange. `request` holds server, model, sampling and messages as they were sent; logs of versions
    before have no server there."""

    prompt_hash: str
    text: str
    finish: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    request: Mapping[str, Any] = field(default_factory=dict)
    cached_tokens: int = 0
    written_tokens: int = 0
    batched: bool = False

    @classmethod
    def of(cls, prompt_hash: str, reply: Reply, request: Mapping[str, Any]) -> Exchange:
        """The exchange of a reply."""
        return cls(
            prompt_hash,
            reply.text,
            reply.finish,
            reply.prompt_tokens,
            reply.completion_tokens,
            request,
            reply.cached_tokens,
            reply.written_tokens,
            reply.batched,
        )

    def reply(self) -> Reply:
        """The reply as it came, of no request."""
        return Reply(
            self.text,
            self.finish,
            self.prompt_tokens,
            self.completion_tokens,
            requests=0,
            cached_tokens=self.cached_tokens,
            written_tokens=self.written_tokens,
            batched=self.batched,
        )

    @property
    def server(self) -> Mapping[str, Any] | None:
        """Provider and address; None where they were not recorded."""
        server = self.request.get("server")
        return server if isinstance(server, dict) else None

    def as_line(self) -> str:
        usage = {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens}
        more = {
            "cached_tokens": self.cached_tokens,
            "written_tokens": self.written_tokens,
            "batched": self.batched,
        }
        record = {
            "prompt_hash": self.prompt_hash,
            "text": self.text,
            "finish": self.finish,
            "usage": usage | {k: v for k, v in more.items() if v},
            "request": dict(self.request),
        }
        return json.dumps(record, ensure_ascii=True, separators=(",", ":")) + "\n"


def request_record(
    messages: Sequence[Message], model: str, sampling: Mapping[str, Any], server: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The content of a prompt hash, as it is recorded."""
    return {
        **({} if server is None else {"server": dict(server)}),
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
        int(usage.get("cached_tokens", 0)),
        int(usage.get("written_tokens", 0)),
        bool(usage.get("batched", False)),
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
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
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
        self._lock = threading.Lock()
        if self.path.exists():
            self._by_hash = {e.prompt_hash: e for e in read_exchanges(self.path)}

    def __len__(self) -> int:
        return len(self._by_hash)

    def find(self, prompt_hash: str) -> Exchange | None:
        """The recorded exchange of a prompt, or None."""
        return self._by_hash.get(prompt_hash)

    def append(self, exchange: Exchange) -> None:
        """Record an exchange on disk before it is used. Raises ProposerError when it cannot be written."""
        with self._lock:
            try:
                append_line(self.path, exchange.as_line().encode())
            except OSError as error:
                said = error.strerror or error
                raise ProposerError(f"{self.path}: the exchange cannot be recorded: {said}") from None
            self._by_hash[exchange.prompt_hash] = exchange
