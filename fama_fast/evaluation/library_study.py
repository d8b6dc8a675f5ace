"""A library of factors from every side: what its members share, and whether the best was picked by luck."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast import notebook_html as html
from fama_fast.errors import DataError, listed, shortened
from fama_fast.evaluation import inference
from fama_fast.evaluation.overfitting import overfitting_probability
from fama_fast.evaluation.rank_correlation import CorrelationClusters, clustered, correlations
from fama_fast.evaluation.ranks import rank_vectors, sample_rows
from fama_fast.evaluation.study import StudyData, groups_of, study
from fama_fast.evaluation.study_settings import StudySettings
from fama_fast.number_text import decimal, percent, signed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import polars as pl

    from fama_fast.evaluation.overfitting import Overfitting
    from fama_fast.evaluation.study import FactorStudy
    from fama_fast.types import Rows


_SHOWN = 50  # factors of a table in a notebook
CORRELATION_DATES = 250  # correlations of ranks settle long before that


@dataclass(frozen=True, repr=False)
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

    def table(self) -> pl.DataFrame:
        """One row a factor: its figures at the shortest horizon, and those of its portfolios before costs.

        Columns: factor, sign, horizon, rank_ic, rank_icir, rank_ic_t, ic, hit_rate, n_days, turnover, half_life (days),
        long_short_return and long_short_sharpe (annualised), top_return.
        """
        import polars as pl

        rows = []
        for name, found in zip(self.names, self.studies, strict=True):
            first = found.figures["horizons"][0]
            long_short = found.figures["long_short"]["costs"][0]
            rows.append(
                {
                    "factor": name,
                    "sign": found.sign,
                    **{
                        k: first[k]
                        for k in ("horizon", "rank_ic", "rank_icir", "rank_ic_t", "ic", "hit_rate", "n_days")
                    },
                    "turnover": found.figures["turnover"],
                    "half_life": found.figures["decay"]["half_life"],
                    "long_short_return": long_short["annual_return"],
                    "long_short_sharpe": long_short["sharpe"],
                    "top_return": found.figures["top_k"]["costs"][0]["annual_return"],
                }
            )
        return pl.DataFrame(rows, schema_overrides={"half_life": pl.Float64})

    def __repr__(self) -> str:
        return f"LibraryStudy({len(self.names)} factor{'s' * (len(self.names) != 1)}: {listed(self.names, 5)})"

    def _repr_html_(self) -> str:
        rows = [
            [
                shortened(r["factor"], 120),
                f"{r['sign']:+d}",
                str(r["horizon"]),
                signed(r["rank_ic"]),
                decimal(r["rank_ic_t"]),
                signed(r["rank_icir"], 3),
                percent(r["long_short_return"]),
                decimal(r["long_short_sharpe"]),
                decimal(r["turnover"], 3),
            ]
            for r in self.table().head(_SHOWN).iter_rows(named=True)
        ]
        head = ["factor", "sign", "days", "RankIC", "t", "RankICIR", "long-short a year", "Sharpe", "turnover"]
        grown = {
            name: np.nancumsum(found.daily["rank_ic"]).tolist()
            for name, found in zip(self.names, self.studies, strict=True)
        }
        return html.card(
            f"Study of {len(self.names)} factor{'s' * (len(self.names) != 1)}",
            {"picked by luck (PBO)": None if self.overfitting is None else f"{self.overfitting.probability:.0%}"},
            html.table(head, rows, more=len(self.names) - _SHOWN),
            html.lines(grown, "sum of daily RankIC so far"),
            html.notes(f"{what}: {why}" for what, why in self.not_supplied.items()),
        )

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
