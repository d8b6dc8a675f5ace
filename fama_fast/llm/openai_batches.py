"""OpenAI's batch interface: a file of requests goes up, a file of answers comes down. Azure has it too."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fama_fast.llm.batch_lines import answered, flat, read_reply, results, text_at
from fama_fast.llm.batches import BatchState
from fama_fast.llm.chat import FILTERED, Reply
from fama_fast.llm.faults import Fault, filter_message, status_fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fama_fast.llm.sdk_client import SDKClient

_OVER = frozenset({"completed", "expired", "cancelled"})
_OK = 200


class OpenAIBatches:
    """Implements `BatchServer`."""

    def __init__(self, client: SDKClient, endpoint: str) -> None:
        """`endpoint`: path of the requests in a batch, as the server wants it."""
        self._client, self._endpoint = client, endpoint
        self._who = f"llm {client.settings.model}"

    def send(self, bodies: Mapping[str, dict[str, Any]]) -> str:
        """See `BatchServer`; the file may go up twice, the batch is made once."""
        lines = [
            json.dumps({"custom_id": key, "method": "POST", "url": self._endpoint, "body": flat(body)})
            for key, body in bodies.items()
        ]
        content = "".join(f"{line}\n" for line in lines).encode()
        file = text_at(
            self._json(
                lambda sdk, seconds: sdk.files.with_streaming_response.create(
                    file=("prompts.jsonl", content, "application/jsonl"), purpose="batch", timeout=seconds
                )
            ),
            "id",
            self._who,
        )
        made = self._json(
            lambda sdk, seconds: sdk.batches.with_streaming_response.create(
                input_file_id=file, endpoint=self._endpoint, completion_window="24h", timeout=seconds
            ),
            once=True,
        )
        return text_at(made, "id", self._who)

    def state(self, name: str) -> BatchState:
        """See `BatchServer`."""
        found = self._batch(name)
        status = found.get("status")
        return BatchState(status in _OVER, _failure(found) if status == "failed" else "")

    def answers(self, name: str) -> Iterator[tuple[str, Reply | Fault]]:
        """See `BatchServer`."""
        found = self._batch(name)
        for key in ("output_file_id", "error_file_id"):
            file = found.get(key)
            if isinstance(file, str) and file:
                for prompt, line in results(self._file(file)):
                    yield prompt, self._one(line)

    def cancel(self, name: str) -> None:
        """See `BatchServer`."""
        self._json(lambda sdk, seconds: sdk.batches.with_streaming_response.cancel(name, timeout=seconds))

    def _batch(self, name: str) -> dict[str, Any]:
        return self._json(lambda sdk, seconds: sdk.batches.with_streaming_response.retrieve(name, timeout=seconds))

    def _file(self, name: str) -> str:
        return self._client.fetch(lambda sdk, seconds: sdk.files.with_streaming_response.content(name, timeout=seconds))

    def _json(self, stream: Any, *, once: bool = False) -> dict[str, Any]:
        return answered(self._client.fetch(stream, once=once), self._who)

    def _one(self, line: dict[str, Any]) -> Reply | Fault:
        response, error = line.get("response"), line.get("error")
        if not isinstance(response, dict):
            said = error.get("message") if isinstance(error, dict) else None
            return Fault(f"the batch ended without an answer: {str(said or error)[:200]}", retryable=True)
        status, body = response.get("status_code"), response.get("body")
        if status == _OK:
            return read_reply(self._client.read, body)
        said = json.dumps(body)
        filtered = filter_message(said)
        if filtered is not None:
            return Reply(filtered, FILTERED, batched=True)
        return status_fault(status if isinstance(status, int) else 0, {}, said)


def _failure(found: dict[str, Any]) -> str:
    """Why a batch was not taken, in the server's words."""
    errors = found.get("errors")
    data = errors.get("data") if isinstance(errors, dict) else None
    said = [str(e.get("message")) for e in data if isinstance(e, dict)] if isinstance(data, list) else []
    return "; ".join(said)[:300] or "it does not say why"
