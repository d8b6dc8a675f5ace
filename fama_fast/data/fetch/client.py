"""Sends the requests of a source: retries, pauses, checksums, and errors in words that never hold a token."""

from __future__ import annotations

import hashlib
import time
import urllib.parse
from typing import TYPE_CHECKING, Any, Self

from fama_fast.data.fetch.protocol import Answer, FetchError, RateLimitError
from fama_fast.errors import ConfigError

if TYPE_CHECKING:
    import polars as pl

    from fama_fast.data.fetch.protocol import Request, Source

TRIES = 4
_TIMEOUT = 30.0  # seconds
_LONGEST_WAIT = 90.0  # seconds that a source may have us wait
_LARGEST = 256 << 20  # bytes of an answer


def _sleep(seconds: float) -> None:
    time.sleep(seconds)


class Client:
    """A connection to one source; a context manager."""

    def __init__(self, source: Source, *, base_url: str | None = None) -> None:
        try:
            import httpx
        except ImportError as error:
            raise ConfigError('fetching needs httpx: pip install "fama_fast[fetch]"') from error
        self._source, self._httpx = source, httpx
        base = base_url or source.base
        self._host = urllib.parse.urlsplit(base).netloc
        if not self._host:
            raise ConfigError(f"{base!r} is no address: write it as {source.base}")
        self._http: Any = httpx.Client(
            base_url=base, timeout=_TIMEOUT, follow_redirects=True, headers={"User-Agent": "Mozilla/5.0 fama_fast"}
        )
        self._asked = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def rows(self, symbol: str, request: Request) -> list[pl.DataFrame]:
        """The rows that a request gives, or those of its alternatives where the source has no such file.

        Raises:
            FetchError: no network, a refusal, an answer that cannot be read, a wrong checksum. ConfigError: a token.
        """
        for attempt in range(1, TRIES + 1):
            try:
                answer = self._answer(symbol, request)
                if answer.status == 404 and request.instead:
                    return [frame for other in request.instead for frame in self.rows(symbol, other)]
                return [self._source.read(symbol, answer)]
            except RateLimitError as limited:
                if limited.wait is None or limited.wait > _LONGEST_WAIT or attempt == TRIES:
                    raise
                _sleep(limited.wait)
        raise AssertionError("the last try gives or raises")

    def _answer(self, symbol: str, request: Request) -> Answer:
        content = self._sent(symbol, request.path, request)
        if content is None:
            return Answer(404, b"")
        if request.checksum is not None:
            self._verify(symbol, request.checksum, content)
        return Answer(200, content)

    def _verify(self, symbol: str, path: str, content: bytes) -> None:
        listed = self._sent(symbol, path, None)
        wanted = (listed or b"").split(maxsplit=1)[:1]
        found = hashlib.sha256(content).hexdigest().encode()
        if wanted != [found]:
            told = wanted[0].decode("ascii", "replace")[:12] if wanted else "none"
            name = path.rpartition("/")[2].removesuffix(".CHECKSUM")
            raise FetchError(
                f"{self._source.name}: {name} has the checksum {found.decode()[:12]}... and should have {told}...: "
                "it was damaged on the way; fetch it again"
            )

    def _sent(self, symbol: str, path: str, request: Request | None) -> bytes | None:
        """The content of an answer, None for 404 without a word of its own."""
        name = self._source.name
        for attempt in range(1, TRIES + 1):
            if self._asked:
                _sleep(self._source.pause)
            self._asked = True
            last = attempt == TRIES
            try:
                reply = self._reply(path, request)
            except self._httpx.TimeoutException:
                if last:
                    raise FetchError(f"{name}: {self._host} did not answer within {_TIMEOUT:.0f} seconds") from None
                _sleep(2.0**attempt)
                continue
            except self._httpx.HTTPError as error:
                # A message may quote the address, which may hold a token: its kind says enough.
                why = "cannot be reached" if isinstance(error, self._httpx.ConnectError) else "broke off"
                if last:
                    raise FetchError(
                        f"{name}: {self._host} {why}: is there a network, and no proxy or firewall in between?"
                    ) from None
                _sleep(2.0**attempt)
                continue
            status = reply.status_code
            if status == 429 or status >= 500:
                wait = _seconds(reply.headers.get("Retry-After"), 2.0**attempt)
                if last or wait > _LONGEST_WAIT:
                    if status == 429:
                        raise RateLimitError(f"{name}: too many requests (HTTP 429)")
                    raise FetchError(f"{name}: {self._host} has an error of its own (HTTP {status}), try later")
                _sleep(wait)
                continue
            return self._content(symbol, status, reply)
        raise AssertionError("the last try gives or raises")

    def _content(self, symbol: str, status: int, reply: Any) -> bytes | None:
        content: bytes = reply.content
        if len(content) > _LARGEST:
            raise FetchError(f"{self._source.name}: the answer for {symbol} has {len(content):,} bytes")
        if status == 404:
            # Some say in words what they do not have, as JSON; the source reads them.
            return content if content.lstrip()[:1] == b"{" else None
        if status in (401, 403):
            token = self._source.token
            hint = f"is the token in {token} right?" if token else "it may not serve your country or network"
            raise FetchError(f"{self._source.name} refuses (HTTP {status}): {hint}")
        if status != 200:
            raise FetchError(f"{self._source.name}: HTTP {status} for {symbol}")
        return content

    def _reply(self, path: str, request: Request | None) -> Any:
        if request is not None and request.body is not None:
            return self._http.post(path, json=dict(request.body))
        return self._http.get(path, params=dict(request.params) if request is not None else None)


def _seconds(text: str | None, otherwise: float) -> float:
    try:
        return max(0.0, float(text)) if text is not None else otherwise
    except ValueError:  # a date
        return otherwise
