"""Cross-Sample Selection: diverse exemplars, one from each cluster of factors that rank symbols alike."""

from fama_fast.mining.css.clusters import cluster
from fama_fast.mining.css.select import CrossSampleSelection, Draw, Selection, select_exemplars
from fama_fast.mining.css.similarity import CorrelationTable, correlations, mean_absolute_correlation
from fama_fast.mining.css.vectors import rank_vectors, sample_rows

__all__ = [
    "CorrelationTable",
    "CrossSampleSelection",
    "Draw",
    "Selection",
    "cluster",
    "correlations",
    "mean_absolute_correlation",
    "rank_vectors",
    "sample_rows",
    "select_exemplars",
]
