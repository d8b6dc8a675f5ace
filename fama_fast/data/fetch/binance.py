"""Binance's public archive: daily bars of spot pairs as zipped CSV with checksums, a file a month.

Source: https://github.com/binance/binance-public-data. Days of a month that has no file yet come from files of a day.
Times are milliseconds, from 2025 on microseconds.
"""

from __future__ import annotations

import calendar
import datetime as dt
import io
import re
import zipfile
from typing import TYPE_CHECKING

from fama_fast.data.fetch.protocol import Answer, Request, SymbolError, unreadable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

_SYMBOL = re.compile(r"[A-Za-z0-9]{2,24}\Z")
_MICROSECONDS = 10**14  # a time above it is no number of milliseconds before the year 5000
_LARGEST = 64 << 20  # bytes of a table of one month


class Binance:
    """Daily bars of `BTCUSDT`."""

    name = "binance"
    base = "https://data.binance.vision"
    terms = "by the terms of Binance; some countries may not use it"
    terms_url = "https://github.com/binance/binance-public-data"
    example = "BTCUSDT"
    token: str | None = None
    needs_token = False
    pause = 0.05

    def requests(self, symbol: str, start: dt.date, end: dt.date, token: str | None) -> Sequence[Request]:
        """A file a month; for the last two months, which may lack it, else a file a day."""
        if not _SYMBOL.match(symbol):
            raise SymbolError(f"binance: {symbol!r} is no symbol: they look like {self.example}")
        pair, found = symbol.upper(), []
        year, month = start.year, start.month
        while (year, month) <= (end.year, end.month):
            first, last = dt.date(year, month, 1), dt.date(year, month, calendar.monthrange(year, month)[1])
            late = last >= end - dt.timedelta(days=31)
            days = range(max(start, first).day, min(end, last).day + 1) if late else ()
            daily = tuple(_file(pair, "daily", f"{first:%Y-%m}-{day:02}") for day in days)
            found.append(_file(pair, "monthly", f"{first:%Y-%m}", daily))
            year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        return found

    def read(self, symbol: str, answer: Answer) -> pl.DataFrame:
        """The bars of one archive; none where there is none."""
        import polars as pl

        schema = {"date": pl.Date, **dict.fromkeys(("open", "high", "low", "close", "volume", "amount"), pl.Float64)}
        if answer.status == 404:
            return pl.DataFrame(schema=schema)
        try:
            with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
                (member,) = archive.infolist()
                if member.file_size > _LARGEST:
                    raise unreadable(self.name, symbol, f"{member.file_size:,} bytes, at most {_LARGEST:,}")
                text = archive.read(member)
            frame = pl.read_csv(io.BytesIO(text), has_header=text[:4] == b"open", infer_schema=False)
            stamp, *bars, _closed, amount = frame.columns[:8]
            time = pl.col(stamp).cast(pl.Int64)
            micro = pl.when(time >= _MICROSECONDS).then(time).otherwise(time * 1000)
            names = (*("open", "high", "low", "close", "volume"), "amount")
            return frame.select(
                micro.cast(pl.Datetime("us")).dt.date().alias("date"),
                *(pl.col(c).cast(pl.Float64).alias(name) for c, name in zip((*bars, amount), names, strict=True)),
            )
        except (zipfile.BadZipFile, ValueError, pl.exceptions.PolarsError) as error:
            raise unreadable(self.name, symbol, str(error).splitlines()[0]) from error


def _file(pair: str, kind: str, stamp: str, instead: tuple[Request, ...] = ()) -> Request:
    path = f"/data/spot/{kind}/klines/{pair}/1d/{pair}-1d-{stamp}.zip"
    return Request(path, checksum=f"{path}.CHECKSUM", instead=instead)
