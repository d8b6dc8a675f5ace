"""What a source of market data is: which requests give a symbol's days, and how its answers are read.

A source opens no connection. `client` sends its requests, so that each source is tested on recorded answers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from fama_fast.errors import DataError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    import polars as pl


class FetchError(DataError):
    """A source cannot be reached, refuses, or answers what cannot be used."""


class SymbolError(FetchError):
    """The source has no data of this symbol between these dates."""


class RateLimitError(FetchError):
    """The source wants fewer requests. `wait`: seconds after which it may be asked again, None for much later."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


@dataclass(frozen=True)
class Request:
    """One request to a source.

    Attributes:
        path: below the source's address. params: of the query. body: sent as JSON by POST where given; both may hold a
            token, and neither is ever shown. checksum: path of a file with the SHA-256 of the answer. instead: requests
            to send where the source has no such file (404).
    """

    path: str
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    checksum: str | None = None
    instead: tuple[Request, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What came back. status: 200, or 404 where there is no such thing."""

    status: int
    content: bytes


class Source(Protocol):
    """One place that market data come from.

    Attributes:
        name: on the command line. base: address. terms: what its data may be used for, in a sentence, to be read at
            `terms_url`. example: a symbol as it calls them. token: variable of the environment that holds the user's
            token; needs_token: whether it answers without. pause: seconds between two requests.
    """

    name: str
    base: str
    terms: str
    terms_url: str
    example: str
    token: str | None
    needs_token: bool
    pause: float

    def requests(self, symbol: str, start: dt.date, end: dt.date, token: str | None) -> Sequence[Request]:
        """The requests for a symbol's days from start to end, both included.

        Raises:
            SymbolError: no symbol of this source looks so.
        """

    def read(self, symbol: str, answer: Answer) -> pl.DataFrame:
        """The rows of one answer: date (Date), open, high, low, close, volume (Float64) and what else there is.

        Raises:
            SymbolError, RateLimitError, FetchError: what the source says in place of data.
        """


def unreadable(source: str, symbol: str, why: str) -> FetchError:
    """An answer in another form than the source is known for."""
    return FetchError(f"{source}: the answer for {symbol} cannot be read: {why}")
