"""What earlier runs on the same kind of data have learnt, as counts and effect sizes by structure: values alone.

`mining/run/themes.py` makes one of a ledger; a proposer that reads prompts may show it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Theme:
    """A structure that formulas of earlier runs share, and how they fared in training beside the rest.

    Attributes:
        kind: `operator`, `field`, `pair` (an operator on a field) or `history`. name: CORREL, VOLUME, CORREL on VOLUME,
            "21 to 60 days".
        tried: formulas of it that were measured. passed: those of them that passed the gates of training.
        effect: their mean objective in training, counted as a RankIC, less that of the rest. t: of the difference.
    """

    kind: str
    name: str
    tried: int
    passed: int
    effect: float
    t: float


@dataclass(frozen=True)
class Memory:
    """The themes of earlier runs, those that did better than the rest and those that did worse, clearest first.

    Attributes:
        runs, formulas: how many it was distilled from. passed: formulas that passed the gates of training. mean: their
            mean objective in training, counted as a RankIC.
    """

    runs: int = 0
    formulas: int = 0
    passed: int = 0
    mean: float = 0.0
    better: tuple[Theme, ...] = ()
    worse: tuple[Theme, ...] = ()
