"""The settings of a mining run, validated and with defaults: an empty file is a complete configuration.

The key names of the original scaffold are kept (`k l u css.* coe.* run.* paths.* llm.* logging.*`). Reading
YAML, folding older names and turning validation errors into messages is `config_file`'s work; this module is
only the table of keys, their types and their meaning.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from fama_fast.errors import ConfigError, FamaError
from fama_fast.evaluation.spread import COST_BPS
from fama_fast.library.published import SEEDS, check_library
from fama_fast.llm.settings import LLMSettings
from fama_fast.mining.config_data import DataSettings, PathSettings, SplitSettings, TargetSettings
from fama_fast.mining.config_section import Count, Positive, Section, Share, Size
from fama_fast.mining.objective import DEFAULT, check_objective
from fama_fast.mining.proposers.registry import check_kind
from fama_fast.proposals.protocol import Limits
from fama_fast.proposals.setting_roles import Role

if TYPE_CHECKING:
    from fama_fast.target import Target

Objective = Literal["rank_ic", "stability", "turnover", "decay", "novelty"]  # see `objectives`


def _share_of(kind: str) -> str:
    return check_kind(kind, mixes=True)


class CSSSettings(Section):
    """Cross-Sample Selection: which factors a prompt shows as examples."""

    draw: Literal["random", "centroid"] = "random"  # one of each cluster: at random (the paper), or the most central
    min_t: Annotated[float, Field(ge=0.0)] = 2.0  # least t of the objective in training, of a factor that is an example
    n_dates: Count = 64  # training dates on which factors are ranked to be compared
    similarity_metric: Literal["spearman"] = "spearman"  # what "alike" means: the correlation of ranks


class CoESettings(Section):
    """Chain-of-Experience: which paths of improvement a prompt shows."""

    max_length: Count = 5  # steps of a path that a prompt shows, the last ones
    visit_penalty: Annotated[float, Field(ge=0.0)] = 0.25  # what being shown often costs a chain whose turn it would be
    min_edge_score: Share = 0.3  # least |correlation| of a step with its parent, and that ties a factor to a chain
    min_t: Annotated[float, Field(ge=0.0)] = 1.0  # least t, day by day, of a step's lead on its parent
    split_threshold: Share = 0.0  # a chain splits only when the better parent is closer by this much


class RunSettings(Section):
    """Size and limits of the search."""

    use_css: bool = True  # show examples chosen by Cross-Sample Selection
    use_coe: bool = True  # show paths of the Chain-of-Experience
    rounds: Annotated[Count, Role.LENGTH] = 3  # rounds of proposals at most
    wanted: Count = 20  # new factors of the short list at most; without a short list the search ends when it has them
    candidates: Count = 40  # formulas asked for in each round
    reward: Literal["own", "pool"] = "own"  # what evolve is paid for: own score, or what the wide pool earns by it
    patience: Count = 3  # rounds without gain of the pool's validation RankIC before stopping
    min_gain: Annotated[float, Field(ge=0.0)] = 0.0  # what the pool must gain for a round to count
    max_candidates: Annotated[Count | None, Role.LENGTH] = None  # formulas of the whole run at most
    max_tokens: Annotated[Count | None, Role.LENGTH] = None  # tokens of a language model at most, over the whole run
    max_seconds: Annotated[Positive | None, Role.LENGTH] = None  # seconds of search, over all parts of a resumed run
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0  # of every random choice: the same seed gives the same run
    threads: Annotated[Count | None, Role.PLACE] = None  # null: one a core; results do not depend on it
    memory_budget: Annotated[Size | None, Role.PLACE] = (
        None  # such as "1GB": Parquet is read part by part within it, not loaded
    )
    min_coverage: Annotated[float, Field(gt=0.0, le=1.0)] | None = None  # share of a window that must be present;
    # null: all
    update_cache: bool = True  # write admitted factors to paths.factor_cache, where one is set


class GateSettings(Section):
    """Limits of the gates that every formula goes through."""

    max_nodes: Count = 40  # operators, fields and numbers of a formula at most
    max_depth: Count = 12  # operators in operators at most
    max_lookback: Count = 250  # rows of history that a formula may need
    price_level: Literal["refuse", "allow"] = "refuse"  # an order that hangs on price levels; allow: unadjusted ones
    strict_units: bool = False  # stop what mixes units, such as CLOSE + VOLUME
    max_overlap: Share = 0.9  # largest subtree shared with a library member, as a share of the larger of the two
    min_coverage: Share = 0.5  # share of members with a value, mean over training dates
    min_dates: Count = 20  # training dates with a defined RankIC at least
    min_rank_ic: Annotated[float, Field(ge=0.0)] = 0.01  # least |RankIC| in training
    min_t: Annotated[float, Field(ge=0.0)] = 2.0  # least |Newey-West t| of it
    sign_agreement: bool = False  # IC, RankIC and spread must have one sign in training
    periods: Count = 1  # parts that the training rows are cut into, one after another; 1: not looked at
    min_periods_share: Share = 1.0  # share of these parts in which the mean must be above 0
    max_correlation: Share = 0.7  # largest |correlation| of ranks with a member of the library
    complexity_penalty: Annotated[float, Field(ge=0.0)] = 0.00005  # RankIC charged for each node
    replace_margin: Annotated[float, Field(ge=0.0)] = 0.1  # a rival must be better by this share of its score
    replace_t: Annotated[float, Field(ge=0.0)] = 2.0  # and by this Newey-West t of the daily difference to the one it
    # replaces

    @property
    def limits(self) -> Limits:
        """Limits of formula size, history and price levels."""
        return Limits(self.max_nodes, self.max_depth, self.max_lookback, self.price_level == "refuse")


class RacingSettings(Section):
    """Screening on a growing sample of training dates, which drops losers before they are scored exactly."""

    enabled: bool = True  # race where it saves more than it costs
    error: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.05  # chance of dropping a candidate that would reach its bar
    blocks: Annotated[int, Field(ge=2)] = 6  # parts that the training dates are cut into
    rungs: Annotated[int, Field(ge=1)] = 2  # parts that are run before a score is exact
    share_of_best: Share = 0.25  # the bar is at least this share of the best new factor's RankIC


class VerdictSettings(Section):
    """Significance levels that a factor must clear."""

    fdr: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.05  # Benjamini-Hochberg level over all scored candidates
    test_level: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.05  # one-sided level at which the test confirms


class PoolSettings(Section):
    """The combined forecast of all new factors, which decides `run.patience`, and the short list that a run ends
    with."""

    model: Literal["ridge", "equal"] = "ridge"  # which weights decide and are taken to the test; both are shown
    ridge: Annotated[float, Field(gt=0.0)] | Literal["auto"] = "auto"  # penalty of the weights, as a share of the
    # mean variance of the ranks; auto: chosen by walking forward over earlier dates
    refit: Count = 21  # dates that weights are kept for when they walk forward over the validation rows
    short_list: bool = True  # choose the factors at the end, of all that was measured; false: those that were admitted,
    # and the search ends when there are `run.wanted`
    min_t: Annotated[float, Field(ge=0.0)] = 1.0  # least |t| in training of each factor of the short list, in place of
    # `gates.min_t`

    @field_validator("ridge", mode="before")
    @classmethod
    def _auto_or_a_penalty(cls, value: Any) -> Any:
        known = isinstance(value, int | float) and not isinstance(value, bool) and 0.0 < value < math.inf
        if value != "auto" and not known:
            raise ValueError("must be auto or a number above 0")
        return value


class WideSettings(Section):
    """The wide pool: the forecast of every formula that was measured and is no copy."""

    enabled: bool = True  # forecast with every formula that was measured
    dates_a_year: Count = 48  # training dates, sampled, on which formulas are held against each other
    near_copy: Annotated[float, Field(gt=0.0, le=1.0)] = (
        0.9  # |correlation| with an earlier formula on a few dates that leaves a proposal out, unmeasured; 1: none is
    )
    fresh: Annotated[float | None, Field(ge=0.0, le=1.0)] = (
        0.75  # share of proposals that `evolve` draws anew rather than breeds; null: as its moves pay
    )
    penalty: Annotated[float | None, Field(gt=0.0)] = None  # penalty of its weights; null: chosen by walking forward
    level: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.01  # one-sided level on validation at which it opens the test


class ControlSettings(Section):
    """Null controls, shown beside what the run found: random formulas and shuffled labels. Each costs about as much as
    the run's gates."""

    random: bool = True  # as many random formulas, of the sizes of the run's candidates, through the same gates
    shuffle: Annotated[int, Field(ge=0)] = 0  # times that all candidates are selected anew on shuffled labels
    shuffle_block: Count = 21  # dates that stay together when labels are shuffled


class LoggingSettings(Section):
    """Standard-library logging of the run's lines."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"  # least level that is written
    log_file: str | None = None  # written there too


class TrackingSettings(Section):
    """A copy of the run in MLflow."""

    mlflow_uri: str | None = None  # URL of a tracking server or of a database: sqlite:///mlflow.db
    experiment: Annotated[str, Field(min_length=1, max_length=500)] = "fama-fast"  # its name in MLflow

    @field_validator("mlflow_uri")
    @classmethod
    def _url_without_password(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"[a-z][a-z0-9+.-]*://\S+\Z", value):
            raise ValueError("must be a URL such as http://127.0.0.1:5000 or sqlite:///mlflow.db")
        if value is not None and re.match(r"[^/]*://[^/@]*:[^/]*@", value):
            raise ValueError(
                "must not hold a password, which would be stored with the run: set MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD for a server, or what the database's own client reads (PGPASSWORD)"
            )
        return value


class ClusterSettings(Section):
    """The cluster on which candidates are scored. `cluster: local:4` is short for its address alone."""

    address: str | None = None  # of a Dask scheduler, tcp://host:port, or local:N; none means this process
    memory_limit: Size | None = None  # of each local worker, such as "4GB"
    retries: Count = 3  # workers that one task may lose before the run ends
    wait_s: Annotated[float, Field(gt=0.0)] = 60.0  # for a worker that may take part

    @field_validator("address")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value is not None:
            from fama_fast.cluster.address import read_address

            try:
                read_address(value)
            except ConfigError as error:
                raise ValueError(str(error)) from None
        return value

    @property
    def memory_bytes(self) -> int | None:
        """The limit in bytes."""
        from fama_fast.engine.budget import parse_bytes

        return None if self.memory_limit is None else parse_bytes(self.memory_limit)


class MiningConfig(Section):
    """All settings of one mining run."""

    k: Count = 7  # clusters of Cross-Sample Selection
    l: Count = 5  # noqa: E741  (the paper's name)  examples that a prompt shows; never more than one a cluster
    u: Annotated[int, Field(ge=0)] = 20  # chains are extended or split only once the library holds so many factors
    proposer: Annotated[str, AfterValidator(check_kind)] = "evolve"  # who proposes formulas: evolve, llm, mixed or
    # replay
    mix: dict[Annotated[str, AfterValidator(_share_of)], Positive] = {}  # shares of the proposers of `proposer:
    # mixed`: {llm: 0.3, evolve: 0.7}
    library: Annotated[str, AfterValidator(check_library)] = (
        SEEDS  # what the search starts from where paths.factor_cache has no factors:
    )
    # seeds, alpha101, alpha158, alpha360, gtja191, or the path of a file or folder of factors
    ledger: Annotated[str | None, Role.PLACE] = None  # file or SQLAlchemy URL; default <paths.output_dir>/ledger.sqlite
    css: CSSSettings = CSSSettings()
    coe: CoESettings = CoESettings()
    run: RunSettings = RunSettings()
    paths: PathSettings = PathSettings()
    data: DataSettings = DataSettings()
    splits: SplitSettings = SplitSettings()
    target: TargetSettings = TargetSettings()
    gates: GateSettings = GateSettings()
    racing: RacingSettings = RacingSettings()
    verdict: VerdictSettings = VerdictSettings()
    pool: PoolSettings = PoolSettings()
    wide: WideSettings = WideSettings()
    control: Annotated[ControlSettings, Role.LENGTH] = ControlSettings()
    objective: Annotated[str, AfterValidator(check_objective)] = DEFAULT  # rank_ic, ic, spread or net: what the search
    # climbs, gates test and the pool fits; thresholds are RankICs, into which spreads are converted
    cost_bps: Annotated[float, Field(ge=0.0)] = COST_BPS  # costs of a net return, in hundredths of a percent of what
    # is traded
    objectives: list[Objective] = []  # admit the Pareto front of two or more of these, in place of one score
    llm: LLMSettings = LLMSettings()
    logging: Annotated[LoggingSettings, Role.PLACE] = LoggingSettings()
    tracking: Annotated[TrackingSettings, Role.PLACE] = TrackingSettings()
    cluster: Annotated[ClusterSettings, Role.PLACE] = ClusterSettings()

    @field_validator("objectives")
    @classmethod
    def _several_objectives(cls, value: list[Objective]) -> list[Objective]:
        if len(value) == 1 or len(set(value)) < len(value):
            raise ValueError("must be none, or two or more different ones")
        return value

    @model_validator(mode="after")
    def _mix_has_shares(self) -> MiningConfig:
        if self.proposer == "mixed" and not self.mix:
            raise ValueError("proposer: mixed needs the key mix, such as {llm: 0.3, evolve: 0.7}")
        return self

    @model_validator(mode="after")
    def _target_makes_sense(self) -> MiningConfig:
        if self.target != TargetSettings():
            try:
                _ = self.predicted
            except FamaError as error:
                raise ValueError(f"target: {error}") from error
        return self

    @property
    def predicted(self) -> Target:
        """The target, with what `splits` says of it; a horizon and an entry lag of 1 there say nothing."""
        from fama_fast.target import Target

        return Target.of_settings(self.target.model_dump(), self.splits.horizon, self.splits.entry_lag)

    @property
    def lists(self) -> bool:
        """Whether a run ends with a short list: where there is a wide pool to choose it from, and no front instead."""
        return self.pool.short_list and self.wide.enabled and not self.objectives

    @property
    def batch_size(self) -> int:
        """Candidates asked for in a round."""
        wanted = getattr(self.llm, "max_new_factors", None) if self.proposer == "llm" else None
        return int(wanted) if wanted else self.run.candidates
