"""Anthropic's batch interface: requests go in one message, results come as lines of JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fama_fast.llm.batch_lines import answered, flat, read_reply, results, text_at
from fama_fast.llm.batches import BatchState
from fama_fast.llm.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fama_fast.llm.chat import Reply
    from fama_fast.llm.sdk_client import SDKClient

# Errors that another try may not meet; those of the request itself have the status that they would have had alone.
_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
}


class AnthropicBatches:
    """Implements `BatchServer`."""

    def __init__(self, client: SDKClient) -> None:
        self._client = client
        self._who = f"llm {client.settings.model}"

    def send(self, bodies: Mapping[str, dict[str, Any]]) -> str:
        """See `BatchServer`."""
        requests = [{"custom_id": key, "params": flat(body)} for key, body in bodies.items()]
        made = self._json(
            lambda sdk, seconds: sdk.messages.batches.with_streaming_response.create(
                requests=requests, timeout=seconds
            ),
            once=True,
        )
        return text_at(made, "id", self._who)

    def state(self, name: str) -> BatchState:
        """See `BatchServer`."""
        found = self._json(
            lambda sdk, seconds: sdk.messages.batches.with_streaming_response.retrieve(name, timeout=seconds)
        )
        return BatchState(found.get("processing_status") == "ended")

    def answers(self, name: str) -> Iterator[tuple[str, Reply | Fault]]:
        """See `BatchServer`."""
        text = self._client.fetch(
            lambda sdk, seconds: sdk.messages.batches.with_streaming_response.results(name, timeout=seconds)
        )
        for prompt, line in results(text):
            yield prompt, self._one(line.get("result"))

    def cancel(self, name: str) -> None:
        """See `BatchServer`."""
        self._json(lambda sdk, seconds: sdk.messages.batches.with_streaming_response.cancel(name, timeout=seconds))

    def _json(self, stream: Any, *, once: bool = False) -> dict[str, Any]:
        return answered(self._client.fetch(stream, once=once), self._who)

    def _one(self, result: Any) -> Reply | Fault:
        kind = result.get("type") if isinstance(result, dict) else None
        if kind == "succeeded":
            return read_reply(self._client.read, result.get("message"))
        error = result.get("error") if kind == "errored" else None
        if isinstance(error, dict) and isinstance(error.get("error"), dict):
            error = error["error"]
        if not isinstance(error, dict):  # cancelled, or expired
            return Fault(f"the batch ended without an answer: {str(kind)[:40]}", retryable=True)
        status = _STATUS.get(str(error.get("type")), 0)
        said = f"{error.get('type')}: {error.get('message')}"[:300]
        return Fault(f"the server answered within the batch: {said}", retryable=not status, status=status)
