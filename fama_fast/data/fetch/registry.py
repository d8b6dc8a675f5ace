"""The sources that there are, by name."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from fama_fast.data.fetch.binance import Binance
from fama_fast.data.fetch.stooq import Stooq
from fama_fast.data.fetch.tushare import Tushare
from fama_fast.data.fetch.yahoo import Yahoo
from fama_fast.errors import ConfigError, nearest_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fama_fast.data.fetch.protocol import Source

SOURCES: Mapping[str, Source] = MappingProxyType({s.name: s for s in (Stooq(), Yahoo(), Binance(), Tushare())})
_OTHER_NAMES = {"yfinance": "yahoo"}


def find_source(name: str) -> Source:
    """The source of this name.

    Raises:
        ConfigError: there is none, with the nearest one.
    """
    folded = name.casefold()
    source = SOURCES.get(_OTHER_NAMES.get(folded, folded))
    if source is None:
        near = nearest_name(folded, SOURCES)
        meant = f" (did you mean {near}?)" if near else ""
        raise ConfigError(f"there is no source {name!r}{meant}: there are {', '.join(SOURCES)}")
    return source
