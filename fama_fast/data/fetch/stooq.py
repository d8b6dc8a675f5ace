"""Stooq: daily bars of stocks, indices and currencies as CSV, adjusted for splits and dividends.

Source: https://stooq.com/db/h/ and the CSV link of its history pages. Where it asks for a key, the key of the user.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from fama_fast.data.fetch.protocol import Answer, RateLimitError, Request, SymbolError, unreadable
from fama_fast.errors import ConfigError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    import polars as pl

_SYMBOL = re.compile(r"[\^]?[A-Za-z0-9._=-]{1,24}\Z")


class Stooq:
    """Daily bars of `aapl.us`, `^spx`, `eurusd`."""

    name = "stooq"
    base = "https://stooq.com"
    terms = "for personal use; not to be passed on or sold"
    terms_url = "https://stooq.com/db/"
    example = "aapl.us"
    token: str | None = "STOOQ_API_KEY"  # noqa: S105  (the name of a variable)
    needs_token = False
    pause = 0.5

    def requests(self, symbol: str, start: dt.date, end: dt.date, token: str | None) -> Sequence[Request]:
        """One CSV of all days."""
        if not _SYMBOL.match(symbol):
            raise SymbolError(f"stooq: {symbol!r} is no symbol: they look like {self.example}")
        params = {"s": symbol.lower(), "d1": f"{start:%Y%m%d}", "d2": f"{end:%Y%m%d}", "i": "d"}
        return [Request("/q/d/l/", params | ({"apikey": token} if token else {}))]

    def read(self, symbol: str, answer: Answer) -> pl.DataFrame:
        """The CSV, or what Stooq says in its place: it answers errors with status 200."""
        import polars as pl

        text = answer.content.decode("utf-8", errors="replace").strip()
        said = text[:400].lower()
        if answer.status == 404 or not text or said.startswith("no data"):
            raise SymbolError(f"stooq has no data of {symbol}: symbols look like {self.example}")
        if "exceeded the daily hits limit" in said:
            raise RateLimitError("stooq: the daily limit of requests is reached")
        if "apikey" in said or "api key" in said:
            raise ConfigError(f"stooq asks for a key: get one at {self.terms_url} and set {self.token}")
        if not said.startswith("date,open,high,low,close"):
            raise unreadable(self.name, symbol, f"it begins {text[:40]!r}")
        try:
            frame = pl.read_csv(io.StringIO(text), infer_schema=False)
            numbers = [c for c in ("Open", "High", "Low", "Close", "Volume") if c in frame.columns]
            return frame.select(
                pl.col("Date").str.to_date("%Y-%m-%d").alias("date"),
                *(pl.col(c).cast(pl.Float64).alias(c.lower()) for c in numbers),
            )
        except pl.exceptions.PolarsError as error:
            raise unreadable(self.name, symbol, str(error).splitlines()[0]) from error
