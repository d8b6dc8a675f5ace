"""Alpha101's operators that are not ours by another name.

The paper says of `min` and `max` only that they are those of two series, or of d days. Its ports take NumPy's `fmin`
and `fmax` or a row's extreme in pandas, which skip a missing side. A number is no series: beside one a missing value
stays missing, or a symbol that does not trade would get the number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.lang.constants import constant_value
from fama_fast.lang.dialects.operators import own
from fama_fast.ops import build
from fama_fast.ops.spec import series

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fama_fast.ir import Node
    from fama_fast.ops import OpSpec

_SOURCE = "Kakushadze (2016), 101 Formulaic Alphas, appendix A.1; NumPy's fmin and fmax"


def _of_two(name: str, word: str) -> OpSpec:
    def lower(x: Node, y: Node) -> Node:
        number = constant_value(x) is not None or constant_value(y) is not None
        return build(name if number else f"F{name}", x, y)

    doc = (
        f"The {word} of two series, or the present one where the other is missing; beside a number a missing value "
        f"stays missing, and with a number from 1 as second argument it is TS_{name}."
    )
    return own(name, (series("x"), series("y")), lower, doc, _SOURCE)


_MIN, _MAX = _of_two("MIN", "smaller"), _of_two("MAX", "larger")
OPERATORS: Mapping[str, OpSpec] = {"MIN": _MIN, "MINIMUM": _MIN, "MAX": _MAX, "MAXIMUM": _MAX}
