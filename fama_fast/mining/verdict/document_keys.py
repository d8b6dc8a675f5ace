"""The schema of a run's result document: the keys that `results` writes, with their types.

Keys beyond it are of a later version and stay. What the document says of itself twice is `document`'s to compare.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


def _day(value: str) -> str:
    try:
        dt.date.fromisoformat(value)
    except ValueError:
        raise ValueError("must be a date such as 2016-12-31") from None
    return value


Day = Annotated[str, AfterValidator(_day)]
Number = float | None  # null where a figure is not known
Figures = dict[str, Number]
Count = Annotated[int, Field(ge=0)]
Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Interval = Annotated[list[float], Field(min_length=2, max_length=2)]
Text = Annotated[str, Field(min_length=1)]


class Part(BaseModel):
    """Base of all sections: values have the types they are written with; unknown keys are kept."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)


class Judged(Part):
    """The verdict's entry on a factor."""

    holds: bool
    train_t: Number
    train_p_adjusted: Number
    valid_t: Number
    valid_p_adjusted: Number
    test_t: Number = None


class Provenance(Part):
    """The origin of a factor."""

    proposer: str
    origin: str
    round: Count
    parents: list[str]
    seed: Count
    explanation: str = ""
    prompt_hash: str | None = None


class FactorEntry(Part):
    """A factor."""

    expression: Text
    canonical: Text
    fingerprint: Hex
    scores: dict[str, Figures]
    hypothesis: str
    provenance: Provenance
    data_hash: str
    verdict: Judged | None = None  # of a run that was judged
    proposed: Text | None = None
    sign: Literal[1, -1] | None = None  # of earlier versions


class OnFront(Part):
    """A member of the Pareto front."""

    fingerprint: Hex
    expression: Text
    objectives: Figures
    crowding: Number
    sign: Literal[1, -1] | None = None


class PoolFigures(Part):
    """A pool on one split; its other keys are figures."""

    __pydantic_extra__: dict[str, Number]
    p: Number
    weights: dict[str, float]
    other_models: dict[str, Figures]
    horizons: dict[str, Figures] | None = None  # of a target with several
    rank_ic_interval: Interval | None = None
    ic_interval: Interval | None = None
    spread_interval: Interval | None = None
    net_interval: Interval | None = None


class WideControlFigures(Part):
    """The wide pool of random formulas beside the run's."""

    formulas: Count
    pool: Figures
    run_pool: Figures
    pool_test: Figures | None = None  # only where the test was opened
    run_pool_test: Figures | None = None
    gain_interval: Interval | None = None
    spread_gain_interval: Interval | None = None
    test_gain_interval: Interval | None = None
    test_spread_gain_interval: Interval | None = None


class WideFigures(Part):
    """The wide pool."""

    formulas: Count
    seeds: Count
    penalty: float
    power: float
    expected: Figures
    level: float
    stands: bool
    valid: PoolFigures
    test: PoolFigures | dict[str, Any]  # empty where it was not opened


class RandomFormulas(Part):
    """Results of the random-formula control; of earlier versions without how many were chosen, and beside what."""

    candidates: Count
    admitted: Count
    chosen: Count | None = None
    topped_up: Count | None = None
    run_pool: dict[Literal["valid", "test"], Figures] | None = None
    draws: Count | None = None
    pool_valid_spread_gain_interval: Interval | None = None
    best_train_rank_ic: Number = None
    best_valid_rank_ic: Number = None
    pool: dict[Literal["valid", "test"], Figures] | None = None
    pool_valid_gain_interval: Interval | None = None
    wide: WideControlFigures | None = None


class ShuffledLabels(Part):
    """Results of the shuffled-label control."""

    pool_valid_rank_ic: list[Number]
    p: Number


class ControlFigures(Part):
    """The controls that the run had."""

    random_formulas: RandomFormulas | None = None
    shuffled_labels: ShuffledLabels | None = None


class LuckFigures(Part):
    """The tests of the best of all candidates on validation."""

    candidates: Count
    candidates_sampled: Count
    reality_check_p: Number
    spa_p: Number
    step_down_p: Number
    overfitting_probability: Number
    independent_trials: Count
    independent_trials_by_best: Number


class VerdictPart(Part):
    """The verdict."""

    status: str
    headline: Text
    statements: list[str]
    false_discovery_rate: float
    test_level: float
    test_opened_before: Count
    candidates_measured: Count
    candidates_measured_by_earlier_runs: Count
    holding: list[Hex]
    shrinkage: Number
    pool: dict[Literal["valid", "test"], dict[str, Any]]  # empty, or as `PoolFigures`
    control: ControlFigures
    objective: str | None = None  # of earlier versions, which judged the RankIC
    horizon: Count | None = None
    wide: WideFigures | None = None  # of earlier versions, which had none, and of runs without one
    luck: LuckFigures | None = None
    could_have_shown: Figures | None = None


class Finding(Part):
    """A finding of one quality check."""

    check: str
    severity: str
    count: Count
    message: str
    examples: list[str]


class Quality(Part):
    """The findings of the quality checks, or why they were not made."""

    checked: bool
    findings: list[Finding] | None = None
    why: str | None = None

    @model_validator(mode="after")
    def _whole(self) -> Quality:
        if self.checked and self.findings is None:
            raise ValueError("must have findings, since checked is true")
        if not self.checked and self.why is None:
            raise ValueError("must have why, since checked is false")
        return self


class DataPart(Part):
    """The data."""

    source: str
    hash: Text
    dates: Count
    symbols: Count
    first: Day
    last: Day
    fields: list[str]
    groups: list[str]
    universe: bool
    warnings: list[str]
    quality: Quality | None = None  # of earlier versions, which did not keep it


class Split(Part):
    """The dates of a split."""

    first: Day
    last: Day
    days: Count


class SearchPart(Part):
    """The search."""

    proposer: str
    rounds: Count
    stop: str
    candidates: Count
    funnel: dict[str, Count]


class Whereabouts(Part):
    """How to load the data again."""

    given: bool
    origin: dict[str, Any] | None = None


class FileOfFactors(Part):
    """A file that factors were read from."""

    path: str
    hash: Hex
    factors: Count


class LibraryRead(Part):
    """What the run's library was read from."""

    source: str
    files: list[FileOfFactors]


class Record(Part):
    """The section of everything that may differ between two equal runs."""

    run: str
    ledger: str
    version: str
    started_at: str
    finished_at: str
    seconds: float
    candidates_per_second: float
    data: Whereabouts | None = None  # of earlier versions
    library: LibraryRead | None = None  # of earlier versions too


class Document(Part):
    """The whole result document."""

    schema_: Annotated[int, Field(alias="schema")]
    verdict: VerdictPart
    data: DataPart
    splits: dict[str, Split]
    search: SearchPart
    factors: list[FactorEntry]
    settings: dict[str, Any]
    record: Record
    front: list[OnFront] | None = None


# Settings that every result has, by section. No default may stand in for one of them that is missing: who knows what it
# was. Those that came later have their defaults in results of before.
SETTINGS = {
    "": "k l u proposer mix objectives",
    "css": "draw n_dates similarity_metric",
    "coe": "max_length visit_penalty min_edge_score split_threshold",
    "run": (
        "use_css use_coe rounds candidates patience min_gain max_candidates max_tokens max_seconds seed "
        "min_coverage update_cache"
    ),
    "paths": "market_data universe groups factor_cache prompts_dir replay",
    "data": "fields start end",
    "data.simulator": "symbols dates seed signals",
    "splits": "fractions horizon entry_lag embargo",
    "gates": (
        "max_nodes max_depth max_lookback strict_units max_overlap min_coverage min_dates min_rank_ic min_t "
        "max_correlation complexity_penalty replace_margin replace_t"
    ),
    "racing": "enabled error blocks rungs share_of_best",
    "verdict": "fdr test_level",
    "pool": "model ridge refit",
    "control": "random shuffle shuffle_block",
    "llm": (
        "provider model base_url api_key_env temperature top_p max_tokens max_tokens_key "
        "backoff_s max_backoff_s max_tries constraint grammar_depth operators response_format "
        "per_prompt price_in price_out max_cost seed instructions_path max_new_factors"
    ),
}
