"""What goes wrong between client and server, and the one loop that tries again: bounded waits, bounded answers.

The SDKs' own retries are switched off, so that the waits and the end of this loop are known. It imports no SDK.
"""

from __future__ import annotations

import contextlib
import dataclasses
import email.utils
import json
import math
import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fama_fast.errors import ProposerError
from fama_fast.llm.chat import Halted, OutOfTime, Reply, RequestRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fama_fast.llm.keys import Secret
    from fama_fast.llm.settings import LLMSettings

MAX_RESPONSE_BYTES = 8_000_000
_MAX_DETAIL = 300
_SLICE = 0.2  # seconds of a wait after which it is asked whether the run shall stop


@dataclass(frozen=True)
class Fault:
    """The cause of one failed attempt. `wait` is what the server asked for, in seconds; `status` its HTTP status, or
    0."""

    message: str
    retryable: bool = False
    wait: float | None = None
    status: int = 0


class AttemptFailed(Exception):  # noqa: N818  (control flow of the retry loop, never a user's)
    """Raised out of an attempt with its fault."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


RETRYABLE_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
# What servers say to a constraint that they do not know. llama.cpp says 500, as any server does that has trouble of its
# own: that is a refusal only where it names what it cannot take.
REFUSED_STATUS = frozenset({400, 404, 405, 415, 422, 501})
_SERVER_ERROR = 500
_FILTER_CODES = ("content_filter", "content_policy_violation", "invalid_prompt")
_CONSTRAINT_WORDS = ("grammar", "schema", "response_format", "structured", "tool")


def retry_after(headers: Any, now: Callable[[], float] = time.time) -> float | None:
    """Seconds that `retry-after-ms` or `retry-after` (seconds or an HTTP date) ask for, or None."""
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        milliseconds = headers.get("retry-after-ms")
        if milliseconds is not None:
            return _finite(float(milliseconds) / 1000.0)
    raw = headers.get("retry-after")
    with contextlib.suppress(TypeError, ValueError):
        return _finite(float(raw))
    with contextlib.suppress(TypeError, ValueError, OverflowError, IndexError):
        return _finite(email.utils.parsedate_to_datetime(raw).timestamp() - now())
    return None


def _finite(seconds: float) -> float | None:
    return max(0.0, seconds) if seconds - seconds == 0.0 else None


def status_fault(status: int, headers: Any, body: str, hints: Mapping[int, str] | None = None) -> Fault:
    """The fault of an HTTP status, with the start of the server's own message (`body`, redacted already) and what to
    look at."""
    words = {401: "the key was refused", 403: "access was refused", 404: "no such model or address"}
    detail = " ".join(_server_message(body).split())[:_MAX_DETAIL]
    message = f"the server answered {status}"
    if status in words:
        message += f" ({words[status]})"
    if detail:
        message += f": {detail}"
    if hint := (hints or {}).get(status):
        message += f"; {hint}"
    return Fault(message, status in RETRYABLE_STATUS, retry_after(headers), status)


def _server_message(body: str) -> str:
    try:
        data = json.loads(body[:100_000])
    except (ValueError, RecursionError):
        return body
    for _ in range(2):
        if isinstance(data, dict):
            data = data.get("message", data.get("error", data.get("detail", body)))
    return data if isinstance(data, str) else body


def filter_message(body: str) -> str | None:
    """The server's message where a refused request was stopped by its content filter, else None."""
    try:
        data = json.loads(body[:100_000])
    except (ValueError, RecursionError):
        return None
    error = data.get("error") if isinstance(data, dict) else None
    if not isinstance(error, dict) or error.get("code") not in _FILTER_CODES:
        return None
    return str(error.get("message") or "")[:_MAX_DETAIL]


def bounded(call: Callable[[], Reply], seconds: float) -> Reply:
    """Run `call`, and give it up after `seconds` (and a little, so that its own timeout comes first).

    A socket's timeout bounds each wait, not their sum: headers that drip byte by byte would never end. The call runs
    in a thread of its own, which is left behind when time is up; it is a daemon and ends with its connection.
    """
    done: list[Reply | BaseException] = []

    def run() -> None:
        try:
            done.append(call())
        except BaseException as error:  # noqa: BLE001  (handed to the caller)
            done.append(error)

    thread = threading.Thread(target=run, name="llm request", daemon=True)
    thread.start()
    thread.join(seconds + 0.25)
    if not done:
        raise AttemptFailed(Fault(f"no whole answer within {seconds:.3g} s", retryable=True))
    if isinstance(done[0], BaseException):
        raise done[0]
    return done[0]


def read_bounded(
    chunks: Iterator[bytes],
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    *,
    shown: float | None = None,
) -> str:
    """A response body as text, bounded in size and in total time. `shown` is the bound that an error names."""
    end = clock() + seconds
    parts: list[bytes] = []
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > MAX_RESPONSE_BYTES:
            raise AttemptFailed(Fault(f"the answer is larger than {MAX_RESPONSE_BYTES} bytes"))
        if clock() > end:
            raise AttemptFailed(Fault(f"no whole answer within {shown or seconds:.3g} s", retryable=True))
        parts.append(chunk)
    return b"".join(parts).decode("utf-8", errors="replace")


def decode_object(body: str) -> dict[str, Any]:
    """The JSON object of a response body; anything else is a retryable fault."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise AttemptFailed(Fault("the server's response is not a JSON object", retryable=True))
    return data


def whole(value: object) -> int:
    """A token count that a server reported, or 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def with_retries(
    attempt: Callable[[float], Reply],
    settings: LLMSettings,
    secret: Secret,
    sleep: Callable[[float], None],
    who: str,
    deadline: float | None = None,
    stopped: Callable[[], bool] | None = None,
    pace: Callable[[], float] | None = None,
) -> Reply:
    """Run `attempt`, repeated after retryable faults: exponential waits with seeded jitter, or what the server asks
    for.

    Args:
        attempt: one request within the seconds that it is given. deadline: on the monotonic clock; nothing is
            started or waited for beyond it. stopped: once it says so nothing is sent any more. pace: 0.0 when
            an attempt may begin, else the seconds to wait; `Pace.take`.

    Raises:
        RequestRefused: a status that another request might not get. OutOfTime: the deadline. Halted: `stopped`.
        ProposerError: anything else; short, without the key, and with no SDK exception behind it (that would hold
            the request).
    """
    rng = random.Random(f"{who} {settings.seed}")  # noqa: S311  (jitter, not cryptography)
    for n in range(settings.max_retries + 1):
        while True:
            if stopped is not None and stopped():
                raise Halted(f"{who}: the run was asked to stop")
            held = 0.0 if pace is None else pace()
            if not held:
                break
            if deadline is not None and time.monotonic() + held >= deadline:
                raise OutOfTime(f"{who}: the run's time is used up waiting for the limits a minute")
            pause(held, sleep, stopped)
        left = math.inf if deadline is None else deadline - time.monotonic()
        if left <= 0.0:
            raise OutOfTime(f"{who}: the run's time is used up")
        fault, reply = _outcome(lambda: attempt(min(settings.timeout_s, left)), secret)  # noqa: B023  (called at once)
        if reply is not None:
            return dataclasses.replace(reply, text=secret.redact(reply.text), requests=n + 1)
        wait = min(settings.max_backoff_s, settings.backoff_s * 2.0**n) * (0.5 + rng.random() / 2.0)
        if fault.wait is not None:
            wait = max(wait, fault.wait)
        if fault.retryable and deadline is not None and time.monotonic() + wait >= deadline:
            raise OutOfTime(f"{who}: the run's time is used up; last: {fault.message}")
        too_long = fault.retryable and wait > settings.max_backoff_s
        if not fault.retryable or too_long or n == settings.max_retries:
            attempts = f" (after {n + 1} attempts)" if n else ""
            asked = f"; it asks to wait {wait:.0f} s, longer than llm.max_backoff_s" if too_long else ""
            message = f"{who}: {fault.message}{attempts}{asked}"
            if _refuses(fault):
                raise RequestRefused(message, fault.status)
            raise ProposerError(message)
        pause(wait, sleep, stopped)
    raise AssertionError("unreachable: the last attempt returns or raises")


def pause(wait: float, sleep: Callable[[float], None], stopped: Callable[[], bool] | None) -> None:
    """Sleep for `wait` seconds, or until the run is asked to stop."""
    if stopped is None:
        sleep(wait)
        return
    while wait > 0.0 and not stopped():
        sleep(min(wait, _SLICE))
        wait -= _SLICE


def _refuses(fault: Fault) -> bool:
    """Whether the status says that the server will not take this request, rather than that it could not answer just
    now."""
    said = fault.message.casefold()
    named = fault.status == _SERVER_ERROR and any(word in said for word in _CONSTRAINT_WORDS)
    return named or fault.status in REFUSED_STATUS


def _outcome(attempt: Callable[[], Reply], secret: Secret) -> tuple[Fault, Reply | None]:
    # Returned rather than raised, so that no error has the SDK's exception as its context.
    try:
        return Fault(""), attempt()
    except AttemptFailed as failed:
        return dataclasses.replace(failed.fault, message=secret.redact(failed.fault.message)), None


def transport_errors() -> tuple[type[Exception], ...]:
    """The exceptions that reading a response may raise past the SDK, of whichever HTTP library it uses."""
    import importlib

    errors: list[type[Exception]] = [OSError]
    for name in ("httpx2", "httpx"):
        with contextlib.suppress(ImportError):
            module = importlib.import_module(name)
            errors += [module.HTTPError, module.StreamError, module.InvalidURL]
    return tuple(errors)
