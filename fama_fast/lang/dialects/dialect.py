"""What differs between the systems that write alphas, as data.

A dialect never changes what an operator means, only which operator, field or group a piece of text stands
for: where a system computes a name differently, the name stands for an expression of our operators. The printer
always writes the `fama` dialect.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from fama_fast.errors import UnknownName, nearest_name
from fama_fast.lang.dialects import alpha101, brain, on_time, qlib

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fama_fast.ops import OpSpec


def _table(entries: Mapping[str, str] | None = None) -> Mapping[str, str]:
    return MappingProxyType(dict(entries or {}))


def _none() -> Mapping[str, OpSpec]:
    return MappingProxyType({})


@dataclass(frozen=True)
class Dialect:
    """One way of writing.

    Attributes:
        name: as given to `dialect=`. source: where its conventions are written down.
        operators, fields, groups: its names (upper case) for ours, looked up before the registry and the
        data.
        whole_windows: a fractional window or lag is rounded down instead of refused.
        rolling: operators that become another one when the second argument is a literal of at least 1.
        own: operators that are written in ours (see `dialect_operators`), infix ones by our name for them.
        refused: names with no counterpart, and why.
        min_periods: of windowed operators that are not given one; None is all of the window.
        no_window: what this system means by a window of 0, which is refused.
        sigil: the mark that every field carries, such as qlib's `$`.
        chained: our operators of two operands that this system writes with any number: max(x, y, z).
        counters: names of a count of days, which may only stand as a regressor (see `on_time`).
        quotes: texts in quotes may be arguments.
    """

    name: str
    source: str
    operators: Mapping[str, str] = field(default_factory=_table)
    fields: Mapping[str, str] = field(default_factory=_table)
    groups: Mapping[str, str] = field(default_factory=_table)
    whole_windows: bool = False
    rolling: Mapping[str, str] = field(default_factory=_table)
    own: Mapping[str, OpSpec] = field(default_factory=_none)
    refused: Mapping[str, str] = field(default_factory=_table)
    min_periods: int | None = None
    no_window: str = ""
    sigil: str = ""
    chained: frozenset[str] = frozenset()
    counters: frozenset[str] = frozenset()
    quotes: bool = False


FAMA = Dialect(
    name="fama",
    source="fama_fast binding semantics",
    refused=_table(dict.fromkeys(on_time.COUNTERS, on_time.REASON)),
    counters=on_time.COUNTERS,
)

ALPHA101 = Dialect(
    name="alpha101",
    source="Kakushadze (2016), 101 Formulaic Alphas, arXiv:1601.00991, appendix A.1",
    operators=_table(
        {
            "RANK": "RANK",
            "DELAY": "DELAY",
            "CORRELATION": "CORREL",
            "COVARIANCE": "TS_COVARIANCE",
            "SCALE": "SCALE",
            "DELTA": "DELTA",
            "SIGNEDPOWER": "SIGNED_POWER",
            "DECAY_LINEAR": "DECAY_LINEAR",
            "INDNEUTRALIZE": "GROUP_NEUTRALIZE",
            "TS_MIN": "TS_MIN",
            "TS_MAX": "TS_MAX",
            "TS_ARGMAX": "TS_ARGMAX",
            "TS_ARGMIN": "TS_ARGMIN",
            "TS_RANK": "TS_RANK",
            "SUM": "TS_SUM",
            "PRODUCT": "TS_PRODUCT",
            "STDDEV": "TS_STDDEV",
            "LOG": "LOG",
            "ABS": "ABS",
            "SIGN": "SIGN",
        }
    ),
    fields=_table({"RETURNS": "RET"}),
    groups=_table(
        {
            "INDCLASS.SECTOR": "SECTOR",
            "INDCLASS.INDUSTRY": "INDUSTRY",
            "INDCLASS.SUBINDUSTRY": "SUBINDUSTRY",
        }
    ),
    own=alpha101.OPERATORS,
    whole_windows=True,
    rolling=_table({"MIN": "TS_MIN", "MAX": "TS_MAX"}),
)

QLIB = Dialect(
    name="qlib",
    source="microsoft/qlib, qlib/data/ops.py",
    operators=_table(qlib.RENAMED),
    own=qlib.OPERATORS,
    refused=_table(qlib.REFUSED),
    min_periods=1,
    no_window="qlib's 0 means the whole history, which has no finite lookback",
    sigil="$",
)

BRAIN = Dialect(
    name="brain",
    source="WorldQuant BRAIN operator reference",
    operators=_table(brain.RENAMED),
    fields=_table({"RETURNS": "RET"}),
    own=brain.OPERATORS,
    refused=_table({**brain.REFUSED, **dict.fromkeys(on_time.COUNTERS, on_time.REASON)}),
    min_periods=1,
    chained=frozenset({"ADD", "SUB", "MUL", "MIN", "MAX"}),
    counters=on_time.COUNTERS,
    quotes=True,
)

DIALECTS: Mapping[str, Dialect] = MappingProxyType({d.name: d for d in (FAMA, ALPHA101, QLIB, BRAIN)})


def get_dialect(name: str | Dialect) -> Dialect:
    """The dialect of this name.

    Raises:
        UnknownName: with the nearest dialect.
    """
    if isinstance(name, Dialect):
        return name
    dialect = DIALECTS.get(str(name).casefold())
    if dialect is None:
        known = ", ".join(DIALECTS)
        raise UnknownName(
            f"unknown dialect {str(name)[:40]!r} (there are {known})",
            suggestion=nearest_name(str(name), DIALECTS),
        )
    return dialect


# What names of any dialect are here, for suggestions: RETURNS is RET, INDCLASS.SECTOR is SECTOR.
FOREIGN_FIELDS: Mapping[str, str] = MappingProxyType({k: v for d in DIALECTS.values() for k, v in d.fields.items()})
FOREIGN_GROUPS: Mapping[str, str] = MappingProxyType({k: v for d in DIALECTS.values() for k, v in d.groups.items()})
