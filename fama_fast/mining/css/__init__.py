"""Cross-Sample Selection: diverse exemplars, one from each cluster of factors that rank symbols alike."""

from fama_fast.evaluation.rank_correlation import correlations
from fama_fast.evaluation.ranks import rank_vectors, sample_rows
from fama_fast.mining.css.clusters import cluster, cluster_correlations
from fama_fast.mining.css.directions import direction
from fama_fast.mining.css.sampling import CrossSampleSelection, t_of
from fama_fast.mining.css.select import Draw, Selection, select_exemplars, select_from_clusters
from fama_fast.mining.css.similarity import CorrelationTable, mean_absolute_correlation

__all__ = [
    "CorrelationTable",
    "CrossSampleSelection",
    "Draw",
    "Selection",
    "cluster",
    "cluster_correlations",
    "correlations",
    "direction",
    "mean_absolute_correlation",
    "rank_vectors",
    "sample_rows",
    "select_exemplars",
    "select_from_clusters",
    "t_of",
]
