"""Studies of factor values from anywhere: arrays, frames of any library, expressions, alphalens's `factor_data`.

Values are laid out over the dates and symbols of the market data that they are measured against, and studied as those
of the package itself are (`library_study`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fama_fast.errors import ConfigError
from fama_fast.evaluation.alphalens import read_factor_data
from fama_fast.evaluation.laid_out import is_factor_data, laid_out
from fama_fast.evaluation.library_study import LibraryStudy, study_library
from fama_fast.evaluation.study import StudyData

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.evaluation.study_settings import StudySettings
    from fama_fast.panel.market_data import MarketData
    from fama_fast.panel.source import Source


def study(
    values: Any,
    data: Source | MarketData | StudyData | None = None,
    *,
    settings: StudySettings | None = None,
    signs: Sequence[int] | None = None,
    dialect: str = "fama",
    threads: int | None = None,
) -> LibraryStudy:
    """Study factor values of any origin: RankIC and its decay, buckets, long-short returns, turnover, correlations.

    Args:
        values: of one factor or several:
            an array (T, N) over the dates and symbols of `data`;
            a frame of Polars, pandas or Arrow, long (date, symbol, a column of numbers for each factor) or wide (dates
            down, symbols across);
            a mapping from names to such arrays or frames;
            an expression, an `Alpha`, a list of them, or a `FactorSet`;
            alphalens's `factor_data`, which needs no `data`.
        data: what they are measured against: a `Panel`, what a panel is made of (see `load_market_data`), or a
            `StudyData` that was prepared before.
        settings: horizons, portfolios, costs. signs: +1 or -1 for each factor, the direction that it is used in (all +1
            by default). dialect: of expressions. threads: cores to use, all by default.

    Returns:
        The study; `table()` is one row a factor, and it shows itself in a notebook. Values on dates or of symbols that
        the data lack are left out, and `not_supplied` says how many.

    Raises:
        DataError: values or data that cannot be read, or that share no date and symbol. ConfigError: no data, signs
            that are not +1 or -1. ExpressionError: of expressions.
    """
    if data is None:
        array, prepared = read_factor_data(_needs_no_data(values), settings, threads=threads)
        return study_library([("factor", array)], prepared, signs=_signs(signs, 1))
    notes: dict[str, str] = {}
    given = data if isinstance(data, StudyData) else None
    texts = _expressions(values)
    if texts is not None and given is not None:
        raise ConfigError("expressions are computed on a panel: give the panel in place of the StudyData")
    panel = None if given is not None else _panel(data)
    prepared = given or StudyData.from_panel(panel, settings, threads=threads)  # type: ignore[arg-type]
    if given is not None and settings is not None:
        raise ConfigError("a StudyData has its settings: give them to StudyData.from_panel")
    if texts is not None:
        from fama_fast.engine import evaluate
        from fama_fast.evaluation.score import compile_all

        assert panel is not None
        alphas = compile_all(texts, panel, dialect=dialect)
        named = {a.text: v for a, v in zip(alphas, evaluate(alphas, panel, threads=threads), strict=True)}
    else:
        named = laid_out(values, prepared.dates, prepared.symbols, notes)
    found = study_library(named.items(), prepared, signs=_signs(signs, len(named)))
    return replace(found, not_supplied={**found.not_supplied, **notes})


def _needs_no_data(values: Any) -> Any:
    if not is_factor_data([str(c) for c in getattr(values, "columns", getattr(values, "column_names", ()))]):
        raise ConfigError(
            "give the market data that the values are measured against: study(values, data); only alphalens's "
            "factor_data has its returns in it"
        )
    return values


def _signs(signs: Sequence[int] | None, count: int) -> Sequence[int] | None:
    if signs is not None and len(signs) != count:
        raise ConfigError(f"there are {len(signs)} signs for {count} factors")
    return signs


def _panel(data: Any) -> Any:
    from fama_fast.panel.dataset import Dataset
    from fama_fast.panel.source import source_of

    source = source_of(data)
    return source.panel() if isinstance(source, Dataset) else source


def _expressions(values: Any) -> list[Any] | None:
    """The expressions of one, of a list of them or of a set of factors; None of anything else."""
    from fama_fast.engine import Alpha

    if isinstance(values, str | Alpha):
        return [values]
    if hasattr(values, "expressions") and hasattr(values, "fingerprints"):
        return list(values.expressions)
    if isinstance(values, list | tuple) and values and all(isinstance(v, str | Alpha) for v in values):
        return list(values)
    return None
