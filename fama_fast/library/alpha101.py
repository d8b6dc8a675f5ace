"""The 101 formulas of Kakushadze, Z. (2016), "101 Formulaic Alphas", arXiv:1601.00991, Appendix A, verbatim.

They are text in the `alpha101` dialect; this module reads the data file beside it and parses nothing.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, overload

from fama_fast.errors import UnknownName

if TYPE_CHECKING:
    from collections.abc import Mapping


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
