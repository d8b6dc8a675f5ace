"""A library of factors from every side: what its members share, and whether the best was picked by luck."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.errors import DataError
from fama_fast.evaluation import inference
from fama_fast.evaluation.overfitting import overfitting_probability
from fama_fast.evaluation.rank_correlation import CorrelationClusters, clustered, correlations
from fama_fast.evaluation.ranks import rank_vectors, sample_rows
from fama_fast.evaluation.study import StudyData, groups_of, study
from fama_fast.evaluation.study_settings import StudySettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import polars as pl

    from fama_fast.evaluation.overfitting import Overfitting
    from fama_fast.evaluation.study import FactorStudy
    from fama_fast.types import Rows


CORRELATION_DATES = 250  # correlations of ranks settle long before that


@dataclass(frozen=True)
class LibraryStudy:
    """Studies of many factors, and their correlations.

    Attributes:
        names, studies: in the order given. correlations: their correlations, order and clusters.
        overfitting: of choosing the best by long-short returns. deflated_sharpe: the probability that the long-short
            Sharpe ratio of the best is above the best of as many without skill. Both are None with fewer than two
            factors or too few days; `not_supplied` says so.
    """

    names: tuple[str, ...]
    studies: tuple[FactorStudy, ...]
    correlations: CorrelationClusters
    overfitting: Overfitting | None
    deflated_sharpe: float | None
    not_supplied: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Plain data, series excluded."""
        return {
            "factors": [{"name": n, **s.figures} for n, s in zip(self.names, self.studies, strict=True)],
            "correlations": {
                "matrix": self.correlations.matrix.tolist(),
                "order": self.correlations.order.tolist(),
                "cluster": self.correlations.cluster.tolist(),
            },
            "overfitting": None if self.overfitting is None else asdict(self.overfitting),
            "deflated_sharpe": self.deflated_sharpe,
            "not_supplied": dict(self.not_supplied),
        }


def study_library(
    factors: Iterable[tuple[str, Any]],
    data: StudyData,
    *,
    rows: Rows | None = None,
    signs: Sequence[int] | None = None,
) -> LibraryStudy:
    """Run `study` on each factor, and compute how they correlate.

    Args:
        factors: (name, values (T, N)) of each; a generator keeps memory to one factor. signs: +1 or -1 each.

    Raises:
        DataError: no factor; shapes differ.
    """
    span = np.arange(len(data.dates))[slice(None) if rows is None else rows]
    picked = sample_rows(span, CORRELATION_DATES, data.settings.seed)
    names: list[str] = []
    studies: list[FactorStudy] = []
    vectors = []
    for i, (name, array) in enumerate(factors):
        sign = 1 if signs is None else signs[i]
        names.append(name)
        studies.append(study(array, data, rows=rows, sign=sign))
        vectors.append(rank_vectors([array], universe=data.universe, rows=picked, signs=[sign])[0])
    if not studies:
        raise DataError("give at least one factor to study")
    missing: dict[str, str] = {}
    part = slice(None) if rows is None else rows
    overfitting = deflated = None
    # A day on which a factor holds nothing earns nothing.
    earned = np.nan_to_num(np.stack([s.daily["long_short"][part] for s in studies], axis=1))
    try:
        overfitting = overfitting_probability(earned)
        sharpes = np.array([inference.information_ratio(column) for column in earned.T])
        if np.count_nonzero(np.isfinite(sharpes)) > 1:
            spread = float(np.nanvar(sharpes, ddof=1))
            best = earned[:, int(np.nanargmax(sharpes))]
            deflated = inference.deflated_sharpe(best, trials=len(studies), variance=spread)
    except DataError as error:
        missing["overfitting"] = str(error)
    alike = clustered(correlations(np.stack(vectors)))
    return LibraryStudy(tuple(names), tuple(studies), alike, overfitting, deflated, missing)


def study_frame(
    frame: pl.DataFrame | pl.LazyFrame,
    factors: Sequence[str],
    *,
    forward_return: str | None = None,
    settings: StudySettings | None = None,
    signs: Sequence[int] | None = None,
    threads: int | None = None,
) -> LibraryStudy:
    """`study_library` of columns of a long Polars frame.

    Args:
        frame: `date`, `symbol`, the factors' columns, and `close` (with `volume`, `sector`, `cap` where there are any),
            from which labels follow; or a column of one-day forward returns, named in `forward_return`, which is taken
            as it is. factors: names of columns, known at each date's close.

    Raises:
        DataError: the frame cannot be made a panel. UnknownName: a column it lacks.
    """
    from fama_fast.panel import Panel

    panel = Panel.from_frame(frame)
    chosen = settings or StudySettings()
    if forward_return is None:
        data = StudyData.from_panel(panel, chosen, threads=threads)
    else:
        data = StudyData.from_returns(
            panel.dates,
            panel.symbols,
            panel[forward_return],
            universe=panel.universe,
            groups=groups_of(panel, chosen)[0],
            settings=chosen,
            threads=threads,
        )
    return study_library(((name, panel[name]) for name in factors), data, signs=signs)
