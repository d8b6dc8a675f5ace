"""The settings of a mining run, validated and with defaults: an empty file is a complete configuration.

The key names of the original scaffold are kept (`k l u css.* coe.* run.* paths.* llm.* logging.*`). Reading
YAML, folding older names and turning validation errors into messages is `config_file`'s work; this module is
only the table of keys, their types and their meaning.
"""

from __future__ import annotations

import datetime as dt  # noqa: TC003  (pydantic reads the annotations when the models are made)
import math
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from fama_fast.errors import ConfigError, FamaError
from fama_fast.evaluation.spread import COST_BPS
from fama_fast.library.published import SEEDS, check_library
from fama_fast.llm.settings import LLMSettings
from fama_fast.mining.objective import DEFAULT, check_objective
from fama_fast.mining.proposers.registry import check_kind
from fama_fast.proposals.protocol import Limits
from fama_fast.proposals.setting_roles import Role

if TYPE_CHECKING:
    from fama_fast.target import Target

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]


def _size(value: int | str) -> int | str:
    from fama_fast.engine.budget import parse_bytes

    try:
        parse_bytes(value)
    except ConfigError:
        raise ValueError(f'must be bytes or a size such as "800MB" or "4GiB", not {value!r}') from None
    return value


def _share_of(kind: str) -> str:
    return check_kind(kind, mixes=True)


Size = Annotated[int | str, AfterValidator(_size)]
Objective = Literal["rank_ic", "stability", "turnover", "decay", "novelty"]  # see `objectives`


class Section(BaseModel):
    """Unknown keys are errors; a value has the type it is written with (no "5" for 5). A section within it without keys
    is at its defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _empty_sections(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        fields = cls.model_fields
        empty = {k for k, v in data.items() if v is None and k in fields and isinstance(fields[k].default, Section)}
        return {k: v for k, v in data.items() if k not in empty} if empty else data


class CSSSettings(Section):
    """Cross-Sample Selection."""

    draw: Literal["random", "centroid"] = "random"  # from each cluster: at random (the paper), or the most central
    min_t: Annotated[float, Field(ge=0.0)] = 2.0  # of the objective in training, of a factor that is an example
    n_dates: Count = 64  # dates of the training rows that rank vectors are taken on
    similarity_metric: Literal["spearman"] = "spearman"  # rank vectors make it Spearman's


class CoESettings(Section):
    """Chain-of-Experience."""

    max_length: Count = 5  # steps of a path that are shown, the last ones
    visit_penalty: Annotated[float, Field(ge=0.0)] = 0.25  # what being shown often costs a chain
    min_edge_score: Share = 0.3  # least |correlation| of a step with its parent, and that ties a factor to a chain
    min_t: Annotated[float, Field(ge=0.0)] = 1.0  # of a step's lead on its parent, day by day, on the objective
    split_threshold: Share = 0.0  # a chain splits only when the better parent is closer by this much


class RunSettings(Section):
    """Size and limits of the search."""

    use_css: bool = True
    use_coe: bool = True
    rounds: Annotated[Count, Role.LENGTH] = 3
    wanted: Count = 20  # new factors: of the short list at most; the search ends by its other limits
    candidates: Count = 40  # asked for in each round
    reward: Literal["own", "pool"] = "own"  # what evolve is paid for: own score, or what the wide pool earns by it
    patience: Count = 3  # rounds without gain of the pool's validation RankIC before stopping
    min_gain: Annotated[float, Field(ge=0.0)] = 0.0  # what counts as gain
    max_candidates: Annotated[Count | None, Role.LENGTH] = None  # budgets over the whole run
    max_tokens: Annotated[Count | None, Role.LENGTH] = None
    max_seconds: Annotated[Positive | None, Role.LENGTH] = None  # of search, over all parts of a resumed run
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    threads: Annotated[Count | None, Role.PLACE] = None
    memory_budget: Annotated[Size | None, Role.PLACE] = (
        None  # such as "1GB": Parquet is read part by part within it, not loaded
    )
    min_coverage: Annotated[float, Field(gt=0.0, le=1.0)] | None = None  # share of a window that must be present
    update_cache: bool = True  # write admitted factors to paths.factor_cache, where one is set


class PathSettings(Section):
    """Paths of input and output files. Relative ones are looked for beside the configuration file, then in the working
    folder."""

    market_data: Annotated[str | None, Role.DATA] = (
        None  # CSV or Parquet: file, folder or glob; none means the simulator
    )
    universe: str | None = None  # membership file: symbol, start, end
    groups: str | list[str] | None = None  # group files, joined by symbol
    factor_cache: str | None = None  # starting library (YAML file, or a folder of them)
    prompts_dir: str | None = None
    output_dir: Annotated[str, Role.PLACE] = "runs"
    replay: str | None = None  # what `proposer: replay` replays


class SignalSettings(Section):
    """A planted signal of the simulator."""

    expression: str
    rank_ic: Annotated[float, Field(gt=-1.0, lt=1.0)]


class SimulatorSettings(Section):
    """The data when `paths.market_data` is not given; what is not set is the packaged default's."""

    symbols: Count | None = None
    dates: Count | None = None
    seed: Annotated[int, Field(ge=0)] | None = None
    signals: list[SignalSettings] | None = None  # [] is pure noise
    kind: Literal["symmetric", "martingale"] | None = None  # martingale: ranks can be predicted, and nothing pays


class DataSettings(Section):
    """Selection of the data: which part is used, and how it is read."""

    fields: list[str] | None = None
    start: dt.date | str | None = None
    end: dt.date | str | None = None
    columns: dict[str, str] = {}  # what the data call things: {close: px_last, date: day, symbol: code}
    adjusted: bool = False  # returns and labels of the adjusted close
    timezone: str | None = None  # of the market, where stamps of daily bars are another's
    duplicates: Literal["error", "first", "last"] = "error"  # rows of one date and symbol that differ
    min_symbols: Annotated[float, Field(gt=0.0)] | None = None  # fewer symbols (a share below 1): no market day
    encoding: str | None = None  # of CSV files
    decimal: Literal[".", ","] | None = None
    mask: bool = (
        False  # prompts, and an agent's server, name neither the market nor a date, which a model may have read of
    )

    simulator: SimulatorSettings = SimulatorSettings()

    @field_validator("timezone")
    @classmethod
    def _is_zone(cls, value: str | None) -> str | None:
        if value is None:
            return None
        from fama_fast.panel.zones import read_zone

        try:
            return read_zone(value)
        except ConfigError as error:
            raise ValueError(str(error)) from None


class SplitSettings(Section):
    """Train, validation and test by date, and the label."""

    fractions: Annotated[list[float], Field(min_length=3, max_length=3)] = [0.6, 0.2, 0.2]
    horizon: Count = 1
    entry_lag: Annotated[int, Field(ge=0)] = 1  # 1: enter at the next close; 0: the FAMA paper's same close
    embargo: Annotated[int, Field(ge=0)] = 0  # dates left out after each split, beyond the purge
    min_members: Count = 10  # dates on which the universe has fewer members are not scored

    @field_validator("fractions")
    @classmethod
    def _sum_to_one(cls, value: list[float]) -> list[float]:
        if min(value) <= 0.0 or abs(sum(value) - 1.0) > 1e-9:
            raise ValueError("must be three shares above 0 that add up to 1")
        return value


class TargetSettings(Section):
    """What is predicted, and what can be traded; see `fama_fast.target`. Empty: the close's return of `splits.horizon`
    rows, entered `splits.entry_lag` rows later, which are its short form."""

    returns: str | None = None  # LEAD(OPEN, 2) / LEAD(OPEN, 1) - 1: x as it will be d rows later is LEAD(x, d)
    column: str | None = None  # in place of it a column of the data that is the label
    reach: Count | None = None  # rows that the column looks ahead
    horizons: list[Count] | None = None  # rows held; several are several labels, whose measures are averaged
    neutralize: list[str] = []  # groups and expressions known at t whose part is taken out
    beta: bool | int | None = None  # less the market's part; days of the slope (true: 60)
    winsorize: Annotated[float, Field(gt=0.0, lt=0.5)] | None = None  # share of a date's labels held in at either end
    tradable: str | None = None  # condition on the bar of the entry, or a-share
    dialect: str = "fama"  # of the expressions


class GateSettings(Section):
    """Limits of the gates; see `gates.GATES` for their order."""

    max_nodes: Count = 40
    max_depth: Count = 12
    max_lookback: Count = 250
    price_level: Literal["refuse", "allow"] = "refuse"  # an order that hangs on price levels; allow: unadjusted ones
    strict_units: bool = False  # stop what mixes units, such as CLOSE + VOLUME
    max_overlap: Share = 0.9  # largest subtree shared with a library member, as a share of the larger of the two
    min_coverage: Share = 0.5  # members with a value, mean over training dates
    min_dates: Count = 20  # training dates with a defined RankIC
    min_rank_ic: Annotated[float, Field(ge=0.0)] = 0.01  # |RankIC| on the training rows
    min_t: Annotated[float, Field(ge=0.0)] = 2.0  # |Newey-West t| of it
    sign_agreement: bool = False  # IC, RankIC and spread must have one sign in training
    periods: Count = 1  # parts that the training rows are cut into, one after another; 1: not looked at
    min_periods_share: Share = 1.0  # of them in which the mean must be above 0
    max_correlation: Share = 0.7  # |correlation| of rank vectors with any library member
    complexity_penalty: Annotated[float, Field(ge=0.0)] = 0.00005  # RankIC charged for each node
    replace_margin: Annotated[float, Field(ge=0.0)] = 0.1  # a rival must be better by this share of its score
    replace_t: Annotated[float, Field(ge=0.0)] = 2.0  # and by this Newey-West t of the daily difference

    @property
    def limits(self) -> Limits:
        """Limits of formula size, history and price levels."""
        return Limits(self.max_nodes, self.max_depth, self.max_lookback, self.price_level == "refuse")


class RacingSettings(Section):
    """Screening on a growing sample of training dates; see `racing` for the rule and its assumption."""

    enabled: bool = True
    error: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.05  # of dropping a candidate that would reach its bar
    blocks: Annotated[int, Field(ge=2)] = 6  # parts that the training dates are cut into
    rungs: Annotated[int, Field(ge=1)] = 2  # parts that are run before a score is exact
    share_of_best: Share = 0.25  # the bar is at least this share of the best new factor's RankIC


class VerdictSettings(Section):
    """Significance levels that a factor must clear."""

    fdr: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.05  # Benjamini-Hochberg level over all scored candidates
    test_level: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.05  # one-sided level at which the test confirms


class PoolSettings(Section):
    """The combined forecast of all new factors, which decides `run.patience`, and the short list that a run ends with;
    see `pools.short_list`."""

    model: Literal["ridge", "equal"] = "ridge"  # which one decides and is taken to the test; both are shown
    ridge: Annotated[float, Field(gt=0.0)] | Literal["auto"] = "auto"  # penalty, as a share of the mean variance of the
    # ranks; auto: chosen by walking forward over earlier dates
    refit: Count = 21  # dates that weights are kept for when they walk forward over the validation rows
    short_list: bool = True  # choose the factors at the end, of all that was measured; false: those that were admitted,
    # and the search ends when there are `run.wanted`
    min_t: Annotated[float, Field(ge=0.0)] = 1.0  # |t| in training of a factor of the short list by itself, in place of
    # `gates.min_t`

    @field_validator("ridge", mode="before")
    @classmethod
    def _auto_or_a_penalty(cls, value: Any) -> Any:
        known = isinstance(value, int | float) and not isinstance(value, bool) and 0.0 < value < math.inf
        if value != "auto" and not known:
            raise ValueError("must be auto or a number above 0")
        return value


class WideSettings(Section):
    """The wide pool: the forecast of every formula that was measured and is no copy; see `pools.wide`."""

    enabled: bool = True
    dates_a_year: Count = 48  # training dates, sampled, on which formulas are held against each other
    near_copy: Annotated[float, Field(gt=0.0, le=1.0)] = (
        0.9  # |correlation| with an earlier formula on a few dates that leaves a proposal out, unmeasured; 1: none is
    )
    penalty: Annotated[float | None, Field(gt=0.0)] = None  # of its weights; none: chosen by walking forward
    level: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.01  # one-sided level on validation at which it opens the test


class ControlSettings(Section):
    """Null controls, shown beside what the run found: random formulas and shuffled labels. Each costs about as much as
    the run's gates."""

    random: bool = True  # as many random formulas, of the sizes of the run's candidates, through the same gates
    shuffle: Annotated[int, Field(ge=0)] = 0  # times that all candidates are selected anew on shuffled labels
    shuffle_block: Count = 21  # dates that stay together when labels are shuffled


class LoggingSettings(Section):
    """Standard-library logging of the run's lines."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    log_file: str | None = None


class TrackingSettings(Section):
    """A copy of the run in MLflow; see `tracking`."""

    mlflow_uri: str | None = None  # http(s) of a tracking server, or of a database, such as sqlite:///mlflow.db
    experiment: Annotated[str, Field(min_length=1, max_length=500)] = "fama-fast"

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
    """The cluster on which candidates are scored; see `fama_fast.cluster`. `cluster: local:4` is short for its address
    alone."""

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
    l: Count = 5  # noqa: E741  (the paper's name)  exemplars shown; never more than one a cluster
    u: Annotated[int, Field(ge=0)] = 20  # chains are extended or split only once the library holds so many factors
    proposer: Annotated[str, AfterValidator(check_kind)] = "evolve"
    mix: dict[Annotated[str, AfterValidator(_share_of)], Positive] = {}  # shares of `mixed`
    library: Annotated[str, AfterValidator(check_library)] = (
        SEEDS  # that the search starts from where no cache has one:
    )
    # a name, or the path of a file or folder of factors
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
    cost_bps: Annotated[float, Field(ge=0.0)] = COST_BPS  # of net: hundredths of a percent of what is traded
    objectives: list[Objective] = []  # admit the Pareto front of these, in place of RankIC less complexity
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
