"""What differs between the systems that write alphas, as data.

A dialect never changes what an operator means, only which operator, field or group a piece of text stands
for. The printer always writes the `fama` dialect.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from fama_fast.errors import UnknownName, nearest_name

if TYPE_CHECKING:
    from collections.abc import Mapping


def _table(entries: dict[str, str] | None = None) -> Mapping[str, str]:
    return MappingProxyType(dict(entries or {}))


@dataclass(frozen=True)
class Dialect:
    """One way of writing.

    Attributes:
        name: as given to `dialect=`. source: where its conventions are written down.
        operators, fields, groups: its names (upper case) for ours, looked up before the registry and the
        data.
        whole_windows: a fractional window or lag is rounded down instead of refused.
        rolling: operators that become another one when the second argument is a literal of at least 1.
    """

    name: str
    source: str
    operators: Mapping[str, str] = field(default_factory=_table)
    fields: Mapping[str, str] = field(default_factory=_table)
    groups: Mapping[str, str] = field(default_factory=_table)
    whole_windows: bool = False
    rolling: Mapping[str, str] = field(default_factory=_table)


FAMA = Dialect(name="fama", source="fama_fast binding semantics")

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
            "MIN": "MIN",
            "MAX": "MAX",
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
    whole_windows=True,
    rolling=_table({"MIN": "TS_MIN", "MAX": "TS_MAX"}),
)

DIALECTS: Mapping[str, Dialect] = MappingProxyType({d.name: d for d in (FAMA, ALPHA101)})


def get_dialect(name: str | Dialect) -> Dialect:
    """The dialect of this name.

    Raises:
        UnknownName: with the nearest dialect.
    """
    if isinstance(name, Dialect):
        return name
    found = DIALECTS.get(str(name).casefold())
    if found is None:
        known = ", ".join(DIALECTS)
        raise UnknownName(
            f"unknown dialect {str(name)[:40]!r} (there are {known})",
            suggestion=nearest_name(str(name), DIALECTS),
        )
    return found


# What names of any dialect are here, for suggestions: RETURNS is RET, INDCLASS.SECTOR is SECTOR.
FOREIGN_FIELDS: Mapping[str, str] = MappingProxyType({k: v for d in DIALECTS.values() for k, v in d.fields.items()})
FOREIGN_GROUPS: Mapping[str, str] = MappingProxyType({k: v for d in DIALECTS.values() for k, v in d.groups.items()})
