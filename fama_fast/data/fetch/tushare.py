"""Tushare Pro: daily bars of Chinese A-shares, with the user's own token.

Source: https://tushare.pro/document/2?doc_id=27 (`daily`) and doc_id=130 (the HTTP interface). Prices are not adjusted.
Tushare's volume is in lots of 100 and its amount in thousands; here they become shares and yuan.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import TYPE_CHECKING

from fama_fast.data.fetch.protocol import Answer, FetchError, RateLimitError, Request, SymbolError, unreadable
from fama_fast.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

_SYMBOL = re.compile(r"\d{6}\.(SH|SZ|BJ)\Z", re.IGNORECASE)
_YEARS = 20  # of one request: an answer has 6,000 rows at most
_FIELDS = "trade_date,open,high,low,close,vol,amount"
_MINUTE = 60.0


class Tushare:
    """Daily bars of `600519.SH`."""

    name = "tushare"
    base = "https://api.tushare.pro"
    terms = "by your own account's points and terms; not to be passed on"
    terms_url = "https://tushare.pro/document/1?doc_id=290"
    example = "600519.SH"
    token: str | None = "TUSHARE_TOKEN"  # noqa: S105  (the name of a variable)
    needs_token = True
    pause = 0.2

    def requests(self, symbol: str, start: dt.date, end: dt.date, token: str | None) -> Sequence[Request]:
        """One request for every twenty years."""
        if not _SYMBOL.match(symbol):
            raise SymbolError(f"tushare: {symbol!r} is no symbol: they look like {self.example}")
        found = []
        while start <= end:
            last = min(end, dt.date(start.year + _YEARS - 1, 12, 31))
            params = {"ts_code": symbol.upper(), "start_date": f"{start:%Y%m%d}", "end_date": f"{last:%Y%m%d}"}
            body = {"api_name": "daily", "token": token, "params": params, "fields": _FIELDS}
            found.append(Request("/", body=body))
            start = last + dt.timedelta(days=1)
        return found

    def read(self, symbol: str, answer: Answer) -> pl.DataFrame:
        """The table of an answer, oldest day first."""
        import polars as pl

        try:
            document = json.loads(answer.content)
            code, said = document["code"], str(document.get("msg") or "")
        except (ValueError, KeyError, TypeError) as error:
            raise unreadable(self.name, symbol, f"{type(error).__name__} {error}") from error
        if code != 0:
            raise _refused(code, said, self.token)
        try:
            table = document["data"]
            rows = [dict(zip(table["fields"], row, strict=True)) for row in table["items"]]
            numbers = ("open", "high", "low", "close", "vol", "amount")
            frame = pl.DataFrame(rows, {"trade_date": pl.String, **dict.fromkeys(numbers, pl.Float64)}, strict=False)
            return frame.select(
                pl.col("trade_date").str.to_date("%Y%m%d").alias("date"),
                *(pl.col(c) for c in numbers[:4]),
                (pl.col("vol") * 100.0).alias("volume"),
                (pl.col("amount") * 1000.0).alias("amount"),
            ).sort("date")
        except (ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
            raise unreadable(self.name, symbol, f"{type(error).__name__} {error}") from error


def _refused(code: object, said: str, variable: str | None) -> Exception:
    """The error that a code of Tushare's stands for; 每分钟 is "a minute", 每天 "a day", 权限 "permission"."""
    if "每分钟" in said:
        return RateLimitError(f"tushare: {said}", _MINUTE)
    if "每天" in said or "每小时" in said:
        return RateLimitError(f"tushare: {said}")
    if "token" in said.lower():
        return ConfigError(f"tushare does not take the token in {variable}: {said}")
    if "权限" in said:
        return FetchError(f"tushare: the account may not read daily bars (code {code}): {said}")
    return FetchError(f"tushare refuses (code {code}): {said}")
