"""Yahoo Finance: daily bars by the chart service that yfinance reads.

Source: yfinance, `yfinance/scrapers/history.py`. `close` is adjusted for splits, `adj_close` for dividends too.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fama_fast.data.fetch.protocol import Answer, FetchError, RateLimitError, Request, SymbolError, unreadable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

_SYMBOL = re.compile(r"[\^]?[A-Za-z0-9.=-]{1,24}\Z")
_FIELDS = ("open", "high", "low", "close", "volume")


class Yahoo:
    """Daily bars of `AAPL`, `^GSPC`, `600519.SS`."""

    name = "yahoo"
    base = "https://query1.finance.yahoo.com"
    terms = "for personal use, by the terms of Yahoo, which has nothing to do with this package"
    terms_url = "https://legal.yahoo.com/us/en/yahoo/terms/otos/index.html"
    example = "AAPL"
    token: str | None = None
    needs_token = False
    pause = 0.5

    def requests(self, symbol: str, start: dt.date, end: dt.date, token: str | None) -> Sequence[Request]:
        """One chart of all days."""
        if not _SYMBOL.match(symbol):
            raise SymbolError(f"yahoo: {symbol!r} is no symbol: they look like {self.example}")
        # A day on either side, for days begin in the zone of the exchange.
        first, last = start - dt.timedelta(days=1), end + dt.timedelta(days=2)
        params = {"period1": _seconds(first), "period2": _seconds(last), "interval": "1d", "events": "div,splits"}
        return [Request(f"/v8/finance/chart/{symbol.upper()}", params)]

    def read(self, symbol: str, answer: Answer) -> pl.DataFrame:
        """The chart's bars by the exchange's days; days without a close are left out."""
        import polars as pl

        if b"Too Many Requests" in answer.content[:200]:
            raise RateLimitError("yahoo: too many requests")
        try:
            chart = json.loads(answer.content)["chart"]
            _refused(self.example, symbol, chart.get("error"))
            found = chart["result"][0]
            stamps = found.get("timestamp") or []
            zone = ZoneInfo(found["meta"]["exchangeTimezoneName"])
            quote = found["indicators"]["quote"][0]
            adjusted = found["indicators"].get("adjclose", [{}])[0].get("adjclose")
            columns: dict[str, Any] = {name: quote[name] for name in _FIELDS} if stamps else {}
            days = [dt.datetime.fromtimestamp(stamp, zone).date() for stamp in stamps]
            frame = pl.DataFrame(
                {"date": days, **columns, **({"adj_close": adjusted} if adjusted else {})}, strict=False
            )
        except (ValueError, KeyError, IndexError, TypeError, ZoneInfoNotFoundError, pl.exceptions.PolarsError) as error:
            raise unreadable(self.name, symbol, f"{type(error).__name__} {error}") from error
        if not stamps:
            raise SymbolError(f"yahoo has no bars of {symbol} on these dates")
        frame = frame.with_columns(pl.exclude("date").cast(pl.Float64)).drop_nulls("close")
        return frame.unique("date", keep="last", maintain_order=True)  # today's bar may come twice


def _seconds(day: dt.date) -> str:
    return str(int(dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC).timestamp()))


def _refused(example: str, symbol: str, error: Any) -> None:
    if not error:
        return
    if str(error.get("code")) == "Not Found":
        raise SymbolError(f"yahoo has no data of {symbol} ({error.get('description')}): symbols look like {example}")
    raise FetchError(f"yahoo, {symbol}: {error.get('code')}: {error.get('description')}")
