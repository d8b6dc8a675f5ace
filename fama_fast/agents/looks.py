"""How often some data were looked at, and what is left of a p-value when all looks are counted.

A look is a formula whose figures on the data somebody saw: in this session, or in an earlier run of the same ledger on
the same data. The correction is Bonferroni's, which holds however the looks depend on each other; but not for an agent
that builds a formula from what it saw of others on validation, for whom only the test is fresh.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fama_fast.evaluation import p_value
from fama_fast.mining.verdict.verdict import objective_t, one_sided

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Looks:
    """The looks at some data so far.

    Attributes:
        session: different formulas measured in this session. earlier: in earlier runs alone. level: at which a formula
            holds, `verdict.fdr`.
    """

    session: int
    earlier: int
    level: float

    @property
    def total(self) -> int:
        return self.session + self.earlier

    def as_dict(self) -> dict[str, int]:
        """The counts, for an answer."""
        return {"looks": self.total, "of_this_session": self.session, "of_earlier_runs": self.earlier}

    def judged(self, scores: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
        """The family-wise p-values of a formula's figures, and the t that a formula needs on validation after so many
        looks.

        Args:
            scores: by split, in the direction of training.

        Returns:
            `family_wise_p`: of training (two-sided), of validation (one-sided, in the direction of training), and of
            both together, the larger one, each times the number of looks and at most 1; 1 where no t is known.
            `valid_t`, and the `valid_t_needed` for a p-value of `level` after the correction.
        """
        t_train, t_valid = (objective_t(scores, split) for split in ("train", "valid"))
        train = self._corrected(p_value(t_train) if math.isfinite(t_train) else 1.0)
        valid = self._corrected(one_sided(t_valid))
        return {
            "family_wise_p": {"train": train, "valid": valid, "both": max(train, valid)},
            "valid_t": t_valid,
            "valid_t_needed": self.needed(),
        }

    def _corrected(self, p: float) -> float:
        return min(1.0, p * max(1, self.total))

    def needed(self) -> float:
        """The one-sided t whose p-value is `level` after the correction for all looks."""
        from scipy.special import ndtri

        return float(-ndtri(self.level / max(1, self.total)))
