"""`fama-fast data fetch`: daily bars from public sources, by the terms of each, as one Parquet file."""

from __future__ import annotations

import datetime as dt
from pathlib import Path  # noqa: TC003  (typer reads annotations)
from typing import Annotated

import typer

from fama_fast.cli.common import AsJson, note
from fama_fast.errors import ConfigError, DataError
from fama_fast.terminal import say, say_json


def fetch(
    source: Annotated[
        str | None,
        typer.Argument(metavar="SOURCE", help="stooq, yahoo, binance or tushare (--sources says more)."),
    ] = None,
    symbols: Annotated[
        list[str] | None,
        typer.Argument(metavar="SYMBOL", help="Symbols as the source calls them.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to write, .parquet.")
    ] = None,
    start: Annotated[str | None, typer.Option("--start", metavar="DATE", help="First day, such as 2020-01-01.")] = None,
    end: Annotated[str | None, typer.Option("--end", metavar="DATE", help="Last day (default: yesterday).")] = None,
    listed: Annotated[
        Path | None,
        typer.Option("--symbols", metavar="FILE", help="More symbols, one a line; # begins a comment."),
    ] = None,
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="Leave out symbols that the source does not have.")
    ] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Drop what an earlier call left half done.")] = False,
    base_url: Annotated[
        str | None, typer.Option("--base-url", metavar="URL", help="A mirror of the source.", show_default=False)
    ] = None,
    sources: Annotated[bool, typer.Option("--sources", help="List the sources with their terms, and stop.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fetch daily bars from a source that you have a right to use, into one Parquet file.

    A call that was stopped goes on where it was when it is given again. Tokens are read from the environment or .env:
    TUSHARE_TOKEN, STOOQ_API_KEY. Needs the extra: pip install "fama_fast[fetch]".
    """
    from fama_fast.data.fetch import SOURCES
    from fama_fast.data.fetch import fetch as run
    from fama_fast.data.fetch.registry import find_source

    if sources:
        for known in SOURCES.values():
            needs = f"; {known.token}{'' if known.needs_token else ' where it asks for one'}" if known.token else ""
            say(f"{known.name:<9}{known.example:<11}{known.terms}: {known.terms_url}{needs}")
        return
    if source is None:
        raise ConfigError(f"say where to fetch from: {', '.join(SOURCES)} (--sources says more)")
    chosen = find_source(source)
    if output is None:
        raise ConfigError("say where to write: --output prices.parquet")
    if start is None:
        raise ConfigError("say the first day: --start 2020-01-01")
    note(f"{chosen.name}: {chosen.terms}: {chosen.terms_url}")
    done = run(
        chosen.name,
        [*(symbols or ()), *(_lines(listed) if listed is not None else ())],
        output,
        start=_day(start, "--start"),
        end=None if end is None else _day(end, "--end"),
        skip_missing=skip_missing,
        restart=restart,
        base_url=base_url,
        progress=lambda symbol, rows: note(f"{symbol}: {rows:,} days"),
    )
    if done.missing:
        note(f"warning: left out: {', '.join(done.missing)}")
    if as_json:
        say_json(
            {
                "output": str(done.path),
                "rows": done.rows,
                "symbols": list(done.symbols),
                "missing": list(done.missing),
                "terms": chosen.terms,
            }
        )
    else:
        say(f"wrote {done.path}: {done.rows:,} rows of {len(done.symbols)} symbols")


def _day(text: str, option: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{option} must be a date such as 2020-01-01, not {text!r}") from None


def _lines(file: Path) -> list[str]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {file}: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}") from error
    return [line.partition("#")[0].strip() for line in text.splitlines()]
