"""Daily bars from public sources, by the terms of each: fetched once, kept as Parquet."""

from fama_fast.data.fetch.download import Fetched, fetch
from fama_fast.data.fetch.protocol import FetchError, RateLimitError, Source, SymbolError
from fama_fast.data.fetch.registry import SOURCES

__all__ = ["SOURCES", "FetchError", "Fetched", "RateLimitError", "Source", "SymbolError", "fetch"]
