"""All daily figures of the factors that are kept, which take their values: one pass over the data for a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fama_fast.evaluation.chunked import daily_by_labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.engine import Alpha
    from fama_fast.evaluation import Daily
    from fama_fast.panel.source import Source
    from fama_fast.target import LabelRows
    from fama_fast.types import FloatArray


class FullFigures:
    """Figures of alphas with the labels of one horizon, those of the latest batch kept.

    Args:
        data: the mining rows. labels: theirs. span: rows that a label is held. options: of `daily_by_labels`.

    Attributes:
        asked: alphas that share a pass.
    """

    def __init__(self, data: Source, labels: LabelRows, span: int, options: dict[str, Any]) -> None:
        self.data, self.labels, self.span, self.options = data, labels, span, options
        self.asked: list[Alpha] = []
        self._known: dict[str, tuple[Daily, dict[int, FloatArray]]] = {}

    def share(self, alphas: Sequence[Alpha]) -> None:
        """The figures of these will be asked for one after another."""
        self.asked, self._known = list(alphas), {}

    def of(self, alpha: Alpha, ahead: int, asked: list[Alpha]) -> tuple[Daily, FloatArray]:
        """Daily figures (T,), and the RankIC of each date with the labels `ahead` dates later.

        Args:
            asked: those that share a pass, this one among them or not.
        """
        self.asked = asked
        known = self._known.get(alpha.canonical)
        if known is None or ahead not in known[1]:
            if all(a.canonical != alpha.canonical for a in self.asked):
                self.asked = [alpha]
            labels = {0: self.labels, ahead: self.labels.later(ahead)} if ahead else {0: self.labels}
            spans = dict.fromkeys(labels, self.span)
            found = daily_by_labels(self.asked, self.data, labels, spans=spans, **self.options)
            self._known = {
                a.canonical: (f[0], {key: figures.rank_ic for key, figures in f.items()})
                for a, f in zip(self.asked, found, strict=True)
            }
            known = self._known[alpha.canonical]
        return known[0], known[1][ahead]
