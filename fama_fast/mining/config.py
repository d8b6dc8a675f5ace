"""What a mining run may be told, as validated settings with defaults: an empty file is a whole configuration.

The key names of the original scaffold are kept (`k l u css.* coe.* run.* paths.* llm.* logging.*`). Reading
YAML, folding older names and turning validation errors into messages is `config_file`'s work; this module is
only the table of keys, their types and their meaning.
"""

from __future__ import annotations

import datetime as dt  # noqa: TC003  (pydantic reads the annotations when the models are made)
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from fama_fast.mining.proposers.settings import LLMSettings

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Section(BaseModel):
    """Unknown keys are errors; a value has the type it is written with (no "5" for 5)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class CSSSettings(Section):
    """Cross-Sample Selection."""

    draw: Literal["random", "centroid"] = "random"  # from each cluster: at random (the paper), or the most central
    n_dates: Count = 64  # dates of the training rows that rank vectors are taken on
    similarity_metric: Literal["spearman"] = "spearman"  # rank vectors make it Spearman's


class CoESettings(Section):
    """Chain-of-Experience."""

    max_length: Count = 5  # members of a chain that are shown, the best ones
    visit_penalty: Annotated[float, Field(ge=0.0)] = 0.25  # what being shown often costs a chain
    min_edge_score: Share = 0.0  # least |correlation| that ties an exemplar to a chain it is not in
    split_threshold: Share = 0.0  # a chain splits only when the better parent is closer by this much


class RunSettings(Section):
    """How long and how wide the search goes."""

    use_css: bool = True
    use_coe: bool = True
    rounds: Count = 3
    candidates: Count = 40  # asked for in each round
    patience: Count = 3  # rounds without gain of the pool's validation RankIC before stopping
    min_gain: Annotated[float, Field(ge=0.0)] = 0.0  # what counts as gain
    max_candidates: Count | None = None  # budgets over the whole run
    max_tokens: Count | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    threads: Count | None = None
    min_coverage: Annotated[float, Field(gt=0.0, le=1.0)] | None = None  # share of a window that must be present
    update_cache: bool = True  # write admitted factors to paths.factor_cache, where one is set


class PathSettings(Section):
    """Files. Relative paths are looked for beside the configuration file, then in the working folder."""

    market_data: str | None = None  # CSV or Parquet: file, folder or glob; none means the simulator
    universe: str | None = None  # membership file: symbol, start, end
    groups: str | list[str] | None = None  # group files, joined by symbol
    factor_cache: str | None = None  # starting library (YAML file, or a folder of them)
    prompts_dir: str | None = None
    output_dir: str = "runs"
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


class DataSettings(Section):
    """Which part of the data is used."""

    fields: list[str] | None = None
    start: dt.date | str | None = None
    end: dt.date | str | None = None
    simulator: SimulatorSettings = SimulatorSettings()


class SplitSettings(Section):
    """Train, validation and test by date, and the label."""

    fractions: Annotated[list[float], Field(min_length=3, max_length=3)] = [0.6, 0.2, 0.2]
    horizon: Count = 1
    entry_lag: Annotated[int, Field(ge=0)] = 1  # 1: enter at the next close; 0: the FAMA paper's same close
    embargo: Annotated[int, Field(ge=0)] = 0  # dates left out after each split, beyond the purge

    @field_validator("fractions")
    @classmethod
    def _sum_to_one(cls, value: list[float]) -> list[float]:
        if min(value) <= 0.0 or abs(sum(value) - 1.0) > 1e-9:
            raise ValueError("must be three shares above 0 that add up to 1")
        return value


class GateSettings(Section):
    """Limits of the gates; see `gates.GATES` for their order."""

    max_nodes: Count = 40
    max_depth: Count = 12
    max_lookback: Count = 250
    strict_units: bool = False  # stop what mixes units, such as CLOSE + VOLUME
    max_overlap: Share = 0.9  # largest subtree shared with a library member, as a share of the larger of the two
    min_coverage: Share = 0.5  # members with a value, mean over training dates
    min_dates: Count = 20  # training dates with a defined RankIC
    screening_dates: Count = 60  # training dates of the cheap first look
    screening_rank_ic: Annotated[float, Field(ge=0.0)] = 0.003
    min_rank_ic: Annotated[float, Field(ge=0.0)] = 0.01  # |RankIC| on the training rows
    min_t: Annotated[float, Field(ge=0.0)] = 2.0  # |Newey-West t| of it
    max_correlation: Share = 0.7  # |correlation| of rank vectors with any library member
    complexity_penalty: Annotated[float, Field(ge=0.0)] = 0.00005  # RankIC charged for each node
    replace_margin: Annotated[float, Field(ge=0.0)] = 0.2  # a rival must be better by this share of its score


class VerdictSettings(Section):
    """The bar that a find must clear."""

    fdr: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.05  # Benjamini-Hochberg level over all scored candidates
    test_level: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.05  # one-sided level at which the test confirms


class LoggingSettings(Section):
    """Standard-library logging of the run's lines."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    log_file: str | None = None


class MiningConfig(Section):
    """All settings of one mining run."""

    k: Count = 7  # clusters of CSS
    l: Count = 5  # noqa: E741  (the paper's name)  exemplars shown; never more than one a cluster
    u: Count = 20  # new factors wanted
    proposer: Literal["evolve", "llm", "replay"] = "evolve"
    ledger: str | None = None  # file or SQLAlchemy URL; default <paths.output_dir>/ledger.sqlite
    css: CSSSettings = CSSSettings()
    coe: CoESettings = CoESettings()
    run: RunSettings = RunSettings()
    paths: PathSettings = PathSettings()
    data: DataSettings = DataSettings()
    splits: SplitSettings = SplitSettings()
    gates: GateSettings = GateSettings()
    verdict: VerdictSettings = VerdictSettings()
    llm: LLMSettings = LLMSettings()
    logging: LoggingSettings = LoggingSettings()

    @property
    def batch_size(self) -> int:
        """Candidates asked for in a round."""
        wanted = getattr(self.llm, "max_new_factors", None) if self.proposer == "llm" else None
        return int(wanted) if wanted else self.run.candidates
