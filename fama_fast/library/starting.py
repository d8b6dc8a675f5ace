"""Loads the library that a search starts from, the factor cache or a packaged library, and saves new factors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.atomic import ensure_writable
from fama_fast.library import FactorSet
from fama_fast.library.published import PUBLISHED, SEEDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.library.factor import Factor


def starting_factors(path: str | None, library: str = SEEDS) -> tuple[list[Factor], str]:
    """The library to start from, and its source: the factor cache where there is one, else the packaged `library`.

    Args:
        path: of the factor cache. library: one of `LIBRARIES`, for where the cache holds no factors yet.

    Raises:
        StoreError: the cache cannot be read.
    """
    from fama_fast.library import FactorCache

    if path is None:
        return _packaged(library)
    cache = FactorCache(path)
    cached = list(cache.load())
    if cached:
        unused = "" if library == SEEDS else f", which comes before library: {library}"
        return cached, f"the factor cache {cache.factors_path}{unused}"
    factors, source = _packaged(library)
    return factors, f"{source} (the factor cache {cache.factors_path} holds none yet)"


def _packaged(library: str) -> tuple[list[Factor], str]:
    from fama_fast.library import seed_factors

    if library == SEEDS:
        return list(seed_factors()), "the packaged seed alphas"
    published = PUBLISHED[library]
    return published.factors(), published.title


def check_cache(path: str) -> None:
    """Check that the cache can be written before a run begins that will want to.

    Raises:
        StoreError: it is not a factor cache. OutputError: it cannot be written.
    """
    from fama_fast.library import FactorCache

    cache = FactorCache(path)
    if not cache.stores_values or cache.factors_path.parent.exists():
        ensure_writable(cache.factors_path)


def save_factors(path: str, new: Sequence[Factor], start: Sequence[Factor]) -> None:
    """Add new factors to the cache. One that was empty gets the starting library too.

    Raises:
        OutputError: it cannot be written.
    """
    from fama_fast.library import FactorCache

    cache = FactorCache(path)
    factors = cache.load()
    if not len(factors):
        factors = FactorSet(start)
    for factor in new:
        if factor not in factors:
            factors.add(factor)
    cache.save(factors)
