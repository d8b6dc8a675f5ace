"""Alpha360, the set of raw prices and volumes of Microsoft's qlib: names and texts in the `qlib` dialect.

Written after its definition, `Alpha360DL.get_feature_config` in qlib/contrib/data/loader.py of microsoft/qlib: close,
open, high, low, vwap and volume of today and of each of the 59 days before. Prices stand beside today's close, volumes
beside today's volume, so levels cancel. Two say nothing and are there to complete the blocks: CLOSE0 is 1, and VOLUME0
is 1 wherever anything was traded.
"""

from __future__ import annotations

from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, overload

from fama_fast.errors import UnknownName, nearest_name

if TYPE_CHECKING:
    from collections.abc import Mapping

DAYS = 60
PRICES = ("CLOSE", "OPEN", "HIGH", "LOW", "VWAP")
CONSTANT = ("CLOSE0", "VOLUME0")
DIALECT = "qlib"


def _block(field: str, beside: str) -> dict[str, str]:
    """One field from the oldest day to today, beside today's value of another."""
    name = f"${field.lower()}"
    return {f"{field}{d}": f"{f'Ref({name}, {d})' if d else name}/{beside}" for d in range(DAYS - 1, -1, -1)}


@cache
def _expressions() -> Mapping[str, str]:
    found: dict[str, str] = {}
    for price in PRICES:
        found |= _block(price, "$close")
    return MappingProxyType(found | _block("VOLUME", "($volume+1e-12)"))


@overload
def alpha360() -> dict[str, str]: ...
@overload
def alpha360(name: str) -> str: ...
def alpha360(name: str | None = None) -> dict[str, str] | str:
    """All 360 expressions by name in qlib's order, or the one of this name; compile them with `dialect="qlib"`.

    Raises:
        UnknownName: there is no factor of this name.
    """
    expressions = _expressions()
    if name is None:
        return dict(expressions)
    if name.upper() not in expressions:
        raise UnknownName(f"there is no Alpha360 factor {name[:40]!r}", suggestion=nearest_name(name, expressions))
    return expressions[name.upper()]
