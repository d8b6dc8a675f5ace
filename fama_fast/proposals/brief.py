"""What a proposer may be told of a run that does not change while it lasts: the market, the target, what is asked.

All figures are of the training dates and the settings; nothing is of validation or test.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Brief:
    """The facts of a run, in numbers.

    Attributes:
        market: name of the data, empty where it is not to be told. bars: how far apart the rows are, in words.
        symbols: in the data; members: scored on a training date, on average.
        dates: training rows; first, last: of them, ISO; empty where they are not to be told.
        target: what is predicted, in words. objective: the measure that is climbed, as people read it.
        cost_bps: what trading costs, hundredths of a percent of what is traded; None where nothing is charged.
        min_score, min_t: least size of the objective in training, counted as a RankIC, and of its t statistic.
        periods, periods_share: parts of the training rows, and the share of them in which it must hold.
        max_correlation: with any member of the library. max_overlap: share of a formula that a member may hold.
        min_coverage: share of the members that have a value. complexity_penalty: RankIC charged for each node.
        max_nodes, max_depth, max_lookback: of a formula.
    """

    market: str
    bars: str
    symbols: int
    members: float
    dates: int
    first: str
    last: str
    target: str
    objective: str
    cost_bps: float | None
    min_score: float
    min_t: float
    periods: int
    periods_share: float
    max_correlation: float
    max_overlap: float
    min_coverage: float
    complexity_penalty: float
    max_nodes: int
    max_depth: int
    max_lookback: int
