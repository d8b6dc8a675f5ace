"""The journal of batches: which prompts were handed to a server, under which name, and which batches were read.

A batch is written down the moment that the server has named it, so that a run that is killed while it waits finds it
again and pays for no answer twice. It holds hashes of prompts, and no prompt.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fama_fast.errors import ProposerError
from fama_fast.llm.durable_lines import append_line

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

FILE_NAME = "batches.jsonl"


@dataclass(frozen=True)
class SentBatch:
    """A batch that a server has: its name there, and the hashes of its prompts."""

    name: str
    prompts: tuple[str, ...]


class BatchJournal:
    """The batches of one model on one server, in a file that others may share; without a file, of this process."""

    def __init__(self, path: Path | None, server: Mapping[str, Any] | None, model: str) -> None:
        """Raises ProposerError: the file cannot be read, or a line of it is no batch."""
        self._path, self._whose = path, {"server": dict(server or {}), "model": model}
        self._open: dict[str, SentBatch] = {}
        if path is not None and path.exists():
            self._read(path)

    def open_with(self, prompts: Collection[str]) -> list[SentBatch]:
        """Batches that were sent, not read, and hold some of these prompts, in the order they were sent."""
        return [b for b in self._open.values() if not set(prompts).isdisjoint(b.prompts)]

    def sent(self, name: str, prompts: Sequence[str]) -> SentBatch:
        """Write down a batch. Raises ProposerError: it cannot be written; the batch is named in it."""
        batch = SentBatch(name, tuple(prompts))
        self._open[name] = batch
        self._write({"batch": name, **self._whose, "prompts": list(prompts)}, name)
        return batch

    def read(self, name: str) -> None:
        """Write down that a batch is over and what it held is in the log."""
        self._open.pop(name, None)
        self._write({"batch": name, "read": True}, name)

    def _write(self, record: dict[str, Any], name: str) -> None:
        if self._path is None:
            return
        try:
            append_line(self._path, (json.dumps(record, ensure_ascii=True, separators=(",", ":")) + "\n").encode())
        except OSError as error:
            raise ProposerError(
                f"{self._path}: the batch {name} cannot be recorded: {error.strerror or error}"
            ) from None

    def _read(self, path: Path) -> None:
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ProposerError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
        for n, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                self._take(json.loads(line))
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                if n == len(lines):
                    break  # the half line of a killed run
                raise ProposerError(f"{path}, line {n}: not a batch (a JSON object with batch and prompts)") from None

    def _take(self, record: Any) -> None:
        name = record["batch"]
        if not isinstance(name, str):
            raise TypeError("batch must be text")
        if record.get("read"):
            self._open.pop(name, None)
        elif {key: record[key] for key in self._whose} == self._whose:
            self._open[name] = SentBatch(name, tuple(map(str, record["prompts"])))
