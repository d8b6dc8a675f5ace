"""Fetches the days of symbols from a source into one Parquet file, symbol by symbol; what was stopped goes on."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import urllib.parse
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fama_fast.atomic import atomic_write, ensure_writable
from fama_fast.data.fetch.client import Client
from fama_fast.data.fetch.protocol import FetchError, RateLimitError, SymbolError
from fama_fast.data.fetch.registry import find_source
from fama_fast.data.frame import write_frame
from fama_fast.errors import ConfigError, DataError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import polars as pl

    from fama_fast.data.fetch.protocol import Source


_NOTE = "call.json"
_NAMED = 20  # symbols that a message says something of


@dataclass(frozen=True)
class Fetched:
    """What was fetched: the file, its rows, symbols that the source has, and those that it has not."""

    path: Path
    rows: int
    symbols: tuple[str, ...]
    missing: tuple[str, ...]


def fetch(
    source: str,
    symbols: Sequence[str],
    output: str | Path,
    *,
    start: dt.date,
    end: dt.date | None = None,
    skip_missing: bool = False,
    restart: bool = False,
    base_url: str | None = None,
    progress: Callable[[str, int], object] | None = None,
) -> Fetched:
    """Fetch daily bars from a source into one Parquet file with date, symbol, open, high, low, close, volume, ...

    Each symbol is kept as it comes in the folder `OUTPUT.parts`; a call that was stopped goes on from there, and the
    folder goes when the file is whole. Needs the extra `fama_fast[fetch]`.

    Args:
        source: "stooq", "yahoo" ("yfinance"), "binance" or "tushare". symbols: as the source calls them.
        start, end: first and last day, both included; yesterday by default.
        skip_missing: leave out symbols that the source does not have. restart: drop what an earlier call left.
        base_url: of a mirror of the source. progress: called with each symbol and its rows.

    Raises:
        ConfigError: an unknown source, dates the wrong way round, a token that is missing or refused. FetchError: no
            network, too many requests, an answer or a checksum that is wrong; SymbolError where the source does not
            have a symbol. DataError: parts of another call. OutputError: a place that cannot be written.
    """
    import polars as pl

    chosen = find_source(source)
    place = Path(output)
    if place.suffix.lower() not in (".parquet", ".pq"):
        raise OutputError(f"cannot write {place}: fetched data are written as .parquet")
    wanted = list(dict.fromkeys(s.strip() for s in symbols if s.strip()))
    if not wanted:
        raise ConfigError(f"say which symbols to fetch, as {chosen.name} calls them: {chosen.example}")
    parts = place.with_name(f"{place.name}.parts")
    last = end or _begun(parts) or dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
    if start > last:
        raise ConfigError(f"the first day, {start}, is behind the last, {last}")
    token = _token(chosen)
    ensure_writable(place)
    _open_parts(parts, {"source": chosen.name, "start": str(start), "end": str(last)}, restart=restart)
    missing: dict[str, str] = {}
    with _kept(parts), Client(chosen, base_url=base_url) as client:
        for symbol in wanted:
            part = parts / f"{urllib.parse.quote(symbol, safe='')}.parquet"
            if part.is_file():
                continue
            try:
                frame = _symbol(client, chosen, symbol, start, last, token)
            except SymbolError as error:
                missing[symbol] = str(error)
                continue
            except RateLimitError as error:
                raise RateLimitError(
                    f"{error}: what was fetched is kept, run the same again later", error.wait
                ) from None
            write_frame(frame, part)
            if progress is not None:
                progress(symbol, frame.height)
    kept = [s for s in wanted if s not in missing]
    if missing and not kept:
        shutil.rmtree(parts)
    if missing and (not skip_missing or not kept):
        raise SymbolError(_all_of(missing, kept))
    frames = [pl.read_parquet(parts / f"{urllib.parse.quote(s, safe='')}.parquet") for s in kept]
    whole = pl.concat(frames, how="diagonal").sort("date", "symbol")
    write_frame(whole, place)
    shutil.rmtree(parts)
    return Fetched(place, whole.height, tuple(kept), tuple(missing))


def _symbol(
    client: Client, source: Source, symbol: str, start: dt.date, end: dt.date, token: str | None
) -> pl.DataFrame:
    import polars as pl

    frames = [f for request in source.requests(symbol, start, end, token) for f in client.rows(symbol, request)]
    frame = pl.concat(frames, how="diagonal").filter(pl.col("date").is_between(start, end)).sort("date")
    if frame.is_empty():
        raise SymbolError(
            f"{source.name} has no data of {symbol} from {start} to {end}: symbols look like {source.example}"
        )
    twice = frame.filter(pl.col("date").is_duplicated())["date"]
    if len(twice):
        raise FetchError(f"{source.name}: {symbol} has {twice[0]} twice")
    return frame.select("date", pl.lit(symbol).alias("symbol"), pl.exclude("date"))


@contextmanager
def _kept(parts: Path) -> Iterator[None]:
    """Take the folder of parts away where an error leaves none in it."""
    try:
        yield
    except BaseException:
        if not any(parts.glob("*.parquet")):
            shutil.rmtree(parts)
        raise


def _all_of(missing: Mapping[str, str], kept: Sequence[str]) -> str:
    """What is said of every symbol that the source does not have, the first twenty in words."""
    words = "; ".join(list(missing.values())[:_NAMED])
    more = f"; and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    return f"{words}{more}" + ("; the others are kept: run again without, or with --skip-missing" if kept else "")


def _token(source: Source) -> str | None:
    """The user's token, from the environment or a `.env` file here.

    Raises:
        ConfigError: the source needs one and there is none.
    """
    if source.token is None:
        return None
    found = os.environ.get(source.token)
    if not found and Path(".env").is_file():
        from dotenv import dotenv_values

        found = dotenv_values(".env", interpolate=False).get(source.token)
    if found and found.strip():
        return found.strip()
    if source.needs_token:
        raise ConfigError(
            f"{source.name} needs your own token: set {source.token} in the environment or a .env file "
            f"({source.terms_url})"
        )
    return None


def _open_parts(parts: Path, call: dict[str, str], *, restart: bool) -> None:
    """The folder of parts, new or of the same call."""
    if restart and parts.exists():
        shutil.rmtree(parts)
    if parts.exists():
        earlier = _call(parts)
        if earlier != call:
            said = ", ".join(f"{k} {v}" for k, v in earlier.items()) or "something else"
            raise DataError(f"{parts} is of another call ({said}): finish that, or give --restart")
        return
    parts.mkdir()
    with atomic_write(parts / _NOTE) as temporary:
        temporary.write_text(json.dumps(call), encoding="utf-8")


def _call(parts: Path) -> dict[str, str]:
    """What an earlier call asked for, empty where that cannot be read."""
    try:
        earlier = json.loads((parts / _NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return earlier if isinstance(earlier, dict) else {}


def _begun(parts: Path) -> dt.date | None:
    """The last day of an unfinished call, which a call that names none goes on with."""
    try:
        return dt.date.fromisoformat(_call(parts).get("end", ""))
    except ValueError:
        return None
