"""Simple, well-known price-volume alphas to start a search from: each one a single idea, all of them different.

They use daily open, high, low, close and volume alone, so they run on any panel; where a published form ranks prices
themselves, or their differences, theirs is free of the price level. Signs follow the published effect; on given data
training decides the orientation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fama_fast.library.factor_set import FactorSet

_K101 = "Kakushadze (2016)"

# expression, idea, source
SEEDS: tuple[tuple[str, str, str], ...] = (
    (
        "RANK(DELAY(CLOSE, 20) / DELAY(CLOSE, 120) - 1)",
        "Momentum: winners of the last months, the latest month left out, keep winning.",
        "Jegadeesh and Titman (1993)",
    ),
    (
        "RANK(TS_MEAN(RET, 60) / TS_STDDEV(RET, 60))",
        "Risk-adjusted momentum: steady gains say more than wild ones.",
        "Rachev et al. (2007)",
    ),
    (
        "RANK(CLOSE / TS_MAX(HIGH, 120))",
        "Nearness to the high: anchoring delays good news.",
        "George and Hwang (2004)",
    ),
    ("RANK(TS_RETURNS(CLOSE, 5)) * -1", "Weekly reversal: pressure to trade fades.", "Lehmann (1990)"),
    (
        "RANK(DELTA(CLOSE, 1) / DELAY(CLOSE, 1)) * -1",
        "Daily reversal: liquidity providers are paid.",
        "Jegadeesh (1990)",
    ),
    (
        "RANK(TS_MEAN(CLOSE, 20) / CLOSE)",
        "Return to the moving average after a stretch away from it.",
        "folklore",
    ),
    (
        "RANK((CLOSE - TS_MIN(LOW, 14)) / (TS_MAX(HIGH, 14) - TS_MIN(LOW, 14))) * -1",
        "Stochastic oscillator: a close at the top of its range is overbought.",
        "Lane (1984)",
    ),
    (
        "RANK(TS_STDDEV(RET, 20)) * -1",
        "Low volatility: calm stocks earn more than their risk.",
        "Ang et al. (2006)",
    ),
    ("RANK(TS_MAX(RET, 20)) * -1", "Lottery demand: a recent jump makes a stock dear.", "Bali et al. (2011)"),
    ("RANK(TS_SKEW(RET, 60)) * -1", "Skewness preference: positive skew is overpaid.", "Amaya et al. (2015)"),
    (
        "RANK(TS_MEAN((HIGH - LOW) / CLOSE, 10)) * -1",
        "Range volatility: wide days announce weak ones.",
        "Parkinson (1980)",
    ),
    (
        "RANK(VOLUME / TS_MEAN(VOLUME, 20))",
        "Abnormal volume: attention brings buyers.",
        "Gervais, Kaniel and Mingelgrin (2001)",
    ),
    (
        "RANK(TS_STDDEV(VOLUME, 20) / TS_MEAN(VOLUME, 20)) * -1",
        "Unsteady volume: uncertain liquidity goes with low returns.",
        "Chordia, Subrahmanyam and Anshuman (2001)",
    ),
    (
        "RANK(TS_MEAN(ABS(RET) / VOLUME, 20))",
        "Illiquidity: a price that moves on little trading must pay for it.",
        "Amihud (2002)",
    ),
    (
        "CORREL(OPEN, VOLUME, 10) * -1",
        "Price and volume rising together is a crowd.",
        f"{_K101}, alpha 6",
    ),
    ("CORREL(HIGH, RANK(VOLUME), 5) * -1", "Highs made on volume are sold into.", f"{_K101}, alpha 44"),
    (
        "RANK(TS_COVARIANCE(CLOSE / TS_MEAN(CLOSE, 5), RANK(VOLUME), 5)) * -1",
        "Co-movement of price and volume rank reverses.",
        f"{_K101}, alpha 13",
    ),
    (
        "SIGN(DELTA(VOLUME, 1)) * RET * -1",
        "Moves on rising volume reverse.",
        f"{_K101}, alpha 12",
    ),
    (
        "TS_RANK(RANK(LOW / DELAY(CLOSE, 5)), 9) * -1",
        "A low that ranks high against its own past falls back.",
        f"{_K101}, alpha 4",
    ),
    (
        "(CLOSE - OPEN) / (HIGH - LOW + 0.001)",
        "Intraday strength within the day's range carries over.",
        f"{_K101}, alpha 101",
    ),
    (
        "RANK(OPEN / DELAY(CLOSE, 1) - 1) * -1",
        "The overnight gap is closed in the following days.",
        "folklore",
    ),
    (
        "RANK(VWAP / CLOSE - 1)",
        "A close below the day's mean price recovers.",
        f"{_K101}, alpha 42",
    ),
    (
        "TS_ARGMAX(HIGH, 25) * -1",
        "Aroon: few days since the last high means a trend is alive.",
        "Chande (1995)",
    ),
    (
        "RANK(DECAY_LINEAR((2 * CLOSE - LOW - HIGH) / (HIGH - LOW), 10)) * -1",
        "Closes near the high for days on end are exhausted buying.",
        "Chaikin, accumulation and distribution",
    ),
)


def list_seed_alphas() -> list[str]:
    """The expressions of the seed alphas, in the package's language."""
    return [expression for expression, _, _ in SEEDS]


def seed_factors() -> FactorSet:
    """The seed alphas as unscored factors; the idea is the hypothesis, the paper is in the provenance."""
    from fama_fast.library.factor_set import FactorSet
    from fama_fast.library.identity import make_factor

    return FactorSet(
        make_factor(expression, hypothesis=idea, provenance={"proposer": "seed", "source": source})
        for expression, idea, source in SEEDS
    )
