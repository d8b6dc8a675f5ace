"""The study of one formula for an agent: how its figures spread over years, groups, horizons and buckets.

It is made on the panel of the search, which ends before the test, so that neither values nor labels can know the test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fama_fast.agents.answers import figures
from fama_fast.agents.measuring import Refused
from fama_fast.engine import evaluate
from fama_fast.evaluation import StudyData, StudySettings, study
from fama_fast.panel import Panel
from fama_fast.report.recorded import horizons_shown

if TYPE_CHECKING:
    from fama_fast.agents.session import AgentSession
    from fama_fast.evaluation.study import FactorStudy

_LEFT_OUT = ("by_month", "not_supplied", "sign")  # too long for an answer, or said elsewhere


class Studies:
    """What formulas of one market are studied against, made when the first is asked for."""

    def __init__(self, session: AgentSession) -> None:
        self._session = session
        self._data: StudyData | None = None

    def of(self, expression: str) -> dict[str, Any]:
        """The study of a formula on training and on validation, in the direction of training.

        What was not scored yet is scored first, as a counted trial.

        Raises:
            ExpressionError, Refused: as of a score. Refused: the data are read in parts.
        """
        session = self._session
        panel = session.market.panel
        if not isinstance(panel, Panel):
            raise Refused("a study needs the data in memory, and these are read in parts (run.memory_budget)")
        with session.lock:
            score = session.score(expression)
            trial = session.trials[score["fingerprint"]]
            rows, threads = session.market.rows, session.config.run.threads
            data = self._studied(panel)
            (values,) = evaluate(session.market.compiled([trial.proposed[1]]), panel, threads=threads)
            parts = {
                name: _short(
                    study(values, data, rows=getattr(rows, name), sign=trial.direction), masked=session.config.data.mask
                )
                for name in ("train", "valid")
            }
            return {
                "factor": trial.canonical,
                "trial": score["trial"],
                "study": parts,
                "not_supplied": dict(data.not_supplied),
            }

    def _studied(self, panel: Panel) -> StudyData:
        """What formulas are studied against; `panel` ends before the test."""
        if self._data is None:
            config = self._session.config
            target = config.predicted
            settings = StudySettings(
                entry_lag=target.entry,
                horizons=horizons_shown(target),
                target=None if target.is_default else target,
                min_members=config.splits.min_members,
            )
            self._data = StudyData.from_panel(panel, settings, threads=config.run.threads)
        return self._data


def _short(found: FactorStudy, *, masked: bool) -> dict[str, Any]:
    """The figures that an answer has room for."""
    left_out = (*_LEFT_OUT, *(("by_year",) if masked else ()))
    own = {name: value for name, value in found.figures.items() if name not in left_out}
    return dict(figures(own))
