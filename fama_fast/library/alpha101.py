"""The 101 formulas of Kakushadze, Z. (2016), "101 Formulaic Alphas", arXiv:1601.00991, Appendix A, verbatim.

They are text in the `alpha101` dialect; this module reads the data file beside it, and says of each formula what it
needs and, on given data, how much of them it covers.

A neutralised formula names `IndClass.sector`, `industry` or `subindustry`. Data whose finest level has another name
lend it: `panel.replace(groups={"SUBINDUSTRY": panel.group("INDUSTRY")})`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, overload

from fama_fast.errors import UnknownName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fama_fast.engine import Alpha
    from fama_fast.panel import Panel
    from fama_fast.types import FloatArray

DIALECT = "alpha101"

# Share of a window that the relaxed coverage asks for.
RELAXED = 0.5

# Formulas evaluated together: enough to share work, few enough to hold their values.
_BATCH = 10

_FLAT = "It correlates ranks over few days; such a window is often constant, which has no correlation, and "
SPARSE: Mapping[int, str] = MappingProxyType(
    {
        96: f"{_FLAT}the strict windows above it (ts_argmax over 12, decay_linear over 14; decay_linear over 4, "
        "ts_rank over 8) then lack one, on either side of its max.",
        97: f"{_FLAT}the strict windows above it (ts_rank over 18, decay_linear over 15) then lack one.",
    }
)


@cache
def _formulas() -> Mapping[int, str]:
    text = files("fama_fast.library").joinpath("alpha101.txt").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if line.strip() and not line.startswith("#"))
    pairs = (line.split("\t", 1) for line in lines)
    return MappingProxyType({int(number): formula.strip() for number, formula in pairs})


@overload
def alpha101() -> dict[int, str]: ...
@overload
def alpha101(number: int) -> str: ...
def alpha101(number: int | None = None) -> dict[int, str] | str:
    """All formulas by number, 1 to 101, or the one of this number; compile them with `dialect="alpha101"`.

    Raises:
        UnknownName: there is no formula of this number.
    """
    formulas = _formulas()
    if number is None:
        return dict(formulas)
    if number not in formulas:
        raise UnknownName(f"there is no Alpha101 formula {number}: they are numbered 1 to {len(formulas)}")
    return formulas[number]


@dataclass(frozen=True)
class Alpha101Facts:
    """The requirements of one formula, and its coverage of given data.

    Attributes:
        number, formula: in the paper. lookback: rows needed before today.
        fields: raw fields that suffice (VWAP, returns and adv{d} derive). groups: group fields.
        coverage: share of the symbols with a close that have a value, mean over the dates after the lookback; None
            without data. relaxed_coverage: the same with half of each window present (`min_coverage=0.5`).
        lacking: fields and groups that the data lack, so that there is no coverage.
        note: why many values are missing, where they are.
    """

    number: int
    formula: str
    lookback: int
    fields: tuple[str, ...]
    groups: tuple[str, ...]
    coverage: float | None = None
    relaxed_coverage: float | None = None
    lacking: tuple[str, ...] = ()
    note: str = ""


def alpha101_facts(panel: Panel | None = None) -> tuple[Alpha101Facts, ...]:
    """The requirements of each of the 101 formulas; with a panel, also its coverage of it.

    A formula whose fields or groups the panel lacks has no coverage, and says what it lacks.
    """
    from fama_fast.engine import compile as compile_alpha

    alphas = {n: compile_alpha(text, dialect=DIALECT) for n, text in _formulas().items()}
    lacking = {n: _lacking(alpha, panel) for n, alpha in alphas.items()}
    coverage: dict[int, tuple[float, float]] = {}
    none: tuple[float | None, float | None] = (None, None)
    if panel is not None:
        coverage = _coverage({n: a for n, a in alphas.items() if not lacking[n]}, panel)
    facts = []
    for n, alpha in alphas.items():
        strict, relaxed = coverage.get(n, none)
        facts.append(
            Alpha101Facts(
                n,
                alpha.text,
                alpha.lookback,
                alpha.required_fields,
                alpha.groups,
                strict,
                relaxed,
                lacking[n],
                SPARSE.get(n, ""),
            )
        )
    return tuple(facts)


def _lacking(alpha: Alpha, panel: Panel | None) -> tuple[str, ...]:
    if panel is None:
        return ()
    fields = [f for f in alpha.fields if f not in panel]
    needed = alpha.required_fields if any(f not in panel.fields for f in fields) else ()
    return (*(f for f in needed if f not in panel), *(g for g in alpha.groups if g not in panel.groups))


def _coverage(alphas: Mapping[int, Alpha], panel: Panel) -> dict[int, tuple[float, float]]:
    import numpy as np

    from fama_fast.engine import evaluate

    present = np.isfinite(panel["CLOSE"])
    if panel.universe is not None:
        present = present & panel.universe

    def share(alpha: Alpha, values: FloatArray) -> float:
        rows = slice(min(alpha.lookback, len(values)), None)
        counted = present[rows].sum(axis=1)
        covered = (np.isfinite(values[rows]) & present[rows]).sum(axis=1)
        return float(np.mean(covered[counted > 0] / counted[counted > 0])) if (counted > 0).any() else 0.0

    numbers = list(alphas)
    shares: dict[int, tuple[float, float]] = {}
    for start in range(0, len(numbers), _BATCH):
        batch = numbers[start : start + _BATCH]
        items = [alphas[n] for n in batch]
        strict, relaxed = evaluate(items, panel), evaluate(items, panel, min_coverage=RELAXED)
        for n, a, b in zip(batch, strict, relaxed, strict=True):
            shares[n] = share(alphas[n], a), share(alphas[n], b)
    return shares
