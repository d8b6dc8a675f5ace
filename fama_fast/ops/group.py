"""All members of one group on one date. A missing x stays missing; a symbol with no group is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fama_fast.ops import slices
from fama_fast.ops.conditioning import Conditioning
from fama_fast.ops.registry import build, register
from fama_fast.ops.spec import Algebra, OpSpec, Parameter, PolarsLowering, number, series
from fama_fast.ops.spec import group as group_parameter
from fama_fast.ops.unit_rule import UnitRule
from fama_fast.types import Family, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fama_fast.ir import Node

_BRAIN = "WorldQuant BRAIN operator reference, group"


def _register(name: str, doc: str, *static: Parameter, **more: Any) -> None:
    more.setdefault("source", _BRAIN)
    more.setdefault("missing", "missing when x or the group is missing")
    more.setdefault("example", f"GROUP_{name}(RET, SECTOR)")
    register(
        OpSpec(
            name=f"GROUP_{name}",
            family=Family.GROUP,
            parameters=(series(), group_parameter(), *static),
            doc=doc,
            **more,
        )
    )


def _group(name: str, doc: str, polars: PolarsLowering, *static: Parameter, algebra: Algebra, **more: Any) -> None:
    more.setdefault("kernel", f"group.{name.lower()}")
    _register(name, doc, *static, algebra=algebra, polars=polars, **more)


def _composite(name: str, doc: str, lower: Callable[..., Node], *static: Parameter, **more: Any) -> None:
    _register(name, doc, *static, lower=lower, **more)


def _normalize(x: Node, group: Node, scale: float) -> Node:
    return build("MUL", build("DIV", x, build("GROUP_SUM", build("ABS", x), group)), scale)


def _added(terms: Sequence[Node]) -> Node:
    """The sum as a balanced tree, whose depth grows with the logarithm of the number of terms."""
    level = list(terms)
    while len(level) > 1:
        pairs = [build("ADD", a, b) for a, b in zip(level[::2], level[1::2], strict=False)]
        level = pairs + level[2 * len(pairs) :]
    return level[0]


def _near_1(size: Node) -> Node:
    """A power of two whose product with values whose sizes add up to this has squares that are numbers.

    1 for ordinary values; sizes whose sum is too large for a number, and so missing, are large.
    """
    small = build("IF_ELSE", build("LT", size, 2.0**-400), 2.0**600, 1)
    return build("NAN_TO", build("IF_ELSE", build("GT", size, 2.0**400), 2.0**-600, small), 2.0**-600)


def _backfill(x: Node, group: Node, d: int, std: float) -> Node:
    """Sums over today's group, lag by lag. NAN_TO lets them reach members whose own value is missing."""

    def filled(values: Sequence[Node]) -> list[Node]:
        return [build("NAN_TO", v, 0) for v in values]

    def in_group(values: Sequence[Node]) -> Node:
        return build("GROUP_SUM", _added(filled(values)), group)

    def over_days(values: Sequence[Node]) -> Node:
        return _added([build("GROUP_SUM", v, group) for v in filled(values)])

    n = in_group([build("EQ", x, x)])  # present for every member with a group
    own = build("MASK", x, n)
    days = [own, *(build("DELAY", own, k) for k in range(1, d))]
    if d > 1:  # whole numbers: they may be added up in any order
        n = in_group([build("EQ", v, v) for v in days])
    # Twice: the second pass removes the rounding of the first.
    mean = build("DIV", over_days(days), n)
    mean = build("ADD", mean, build("DIV", over_days([build("SUB", v, mean) for v in days]), n))
    # Squares of numbers far from 1 are taken times a power of two.
    scale = _near_1(in_group([build("ABS", v) for v in days]))
    squares = over_days([build("POWER", build("MUL", build("SUB", v, mean), scale), 2) for v in days])
    deviation = build("SQRT", build("DIV", squares, build("MAX", build("SUB", n, 1), 1)))
    reach = build("MUL", build("DIV", deviation, scale), std)
    # Deviations, not values, are held and added up: the mean is put back last.
    held = [build("MIN", build("MAX", build("SUB", v, mean), build("NEG", reach)), reach) for v in days]
    return build("IF_ELSE", build("IS_NAN", own), build("ADD", mean, build("DIV", over_days(held), n)), own)


_group(
    "RANK",
    "The rank within the group that date, r/n in (0, 1], average ties.",
    slices.group_rank,
    algebra=Algebra(idempotent=True),
    notes="BRAIN scales to [0, 1].",
    unit=UnitRule.SLICE,
)
_group(
    "MEAN", "The mean of the group that date.", slices.group_mean, algebra=Algebra(odd=True), unit=UnitRule.SLICE_SAME
)
_group(
    "SUM", "The sum over the group that date.", slices.group_sum, algebra=Algebra(odd=True), unit=UnitRule.SLICE_SAME
)
_group(
    "COUNT",
    "How many members of the group are present that date.",
    slices.group_count,
    algebra=Algebra(even=True),
    unit=UnitRule.PRESENCE_COUNT,
)
_group(
    "NEUTRALIZE",
    "x minus the mean of its group that date.",
    slices.group_neutralize,
    algebra=Algebra(odd=True),
    source=f"{_BRAIN}; Kakushadze (2016), indneutralize",
    aliases=("INDNEUTRALIZE", "GROUP_DEMEAN"),
    unit=UnitRule.SLICE_SAME,
    usage=14,
)
_group(
    "ZSCORE",
    "(x - mean) / standard deviation (ddof 1) within the group that date.",
    slices.group_zscore,
    algebra=Algebra(odd=True),
    aliases=("GROUP_Z_SCORE",),
    missing="missing when x or the group is missing, and when the group has one value or one member",
    unit=UnitRule.SLICE,
)
_group(
    "SCALE",
    "(x - min) / (max - min) within the group that date.",
    slices.group_scale,
    algebra=Algebra(idempotent=True),
    missing="missing when x or the group is missing, and when the group has one value",
    unit=UnitRule.SLICE,
)
_group(
    "STD",
    "The standard deviation (ddof 1) of the group that date; exactly 0 when it has one value.",
    slices.group_std,
    algebra=Algebra(even=True),
    aliases=("GROUP_STD_DEV", "GROUP_STDDEV"),
    missing="missing when x or the group is missing, and for a lone member",
    unit=UnitRule.SLICE_SAME,
)
_group(
    "PERCENTAGE",
    "The quantile of the group that date, with linear interpolation.",
    slices.group_percentile,
    number("percentage", 0.5, 0.0, 1.0, doc="share of the members below"),
    algebra=Algebra(),
    kernel="group_quantile.percentile",
    aliases=("GROUP_PERCENTILE",),
    unit=UnitRule.SLICE_SAME,
)
_composite(
    "MEDIAN",
    "The median of the group that date.",
    lambda x, g: build("GROUP_PERCENTAGE", x, g, 0.5),
    algebra=Algebra(),
)
_composite(
    "NORMALIZE",
    "x scaled so that the absolute values of its group that date sum to `scale`.",
    _normalize,
    Parameter("scale", Kind.NUMBER, 1.0, 0.0, keyword_only=True, doc="sum of absolute values"),
    algebra=Algebra(odd=True),
    missing="missing when x or the group is missing, and when all of the group are 0",
    notes="BRAIN's constantCheck and tolerance, which set a constant group to 0, are not here.",
)
_composite(
    "BACKFILL",
    "x, and where it is missing the winsorised mean of all values that today's members of its group had on the past d "
    "days, today included: each held within std standard deviations (ddof 1) of their mean.",
    _backfill,
    Parameter("d", Kind.WINDOW, minimum=1, maximum=64, doc="days, today included"),
    number("std", 4.0, minimum=0.0, doc="standard deviations kept"),
    algebra=Algebra(odd=True),
    lookback=lambda p: int(p["d"]) - 1,
    missing="missing when the group is missing, or when x is and the group has no value in d days",
    notes="Of a past day only members of the universe with a group count. One value, or several that are equal, have a "
    "standard deviation of 0.",
    example="GROUP_BACKFILL(VOLUME, SECTOR, 5)",
    no_min_periods="none: one value of the group within the d days suffices by definition",
)
register(
    OpSpec(
        name="GROUP_VECTOR_NEUT",
        family=Family.GROUP,
        parameters=(series(), series("y"), group_parameter()),
        doc="x less its part along y within the group that date: x - y (x.y)/(y.y), over the members that have both.",
        example="GROUP_VECTOR_NEUT(RET, RANK(VOLUME), SECTOR)",
        source=_BRAIN,
        missing="missing when x, y or the group is missing, or y is 0 for all of the group",
        algebra=Algebra(odd=True),
        polars=slices.group_vector_neut,
        kernel="neutral.group_vector",
        unit=UnitRule.SLICE_SAME,
        conditioning=Conditioning.LARGEST_OPERAND,
    )
)
_group(
    "MAX",
    "The largest value of the group that date.",
    slices.group_max,
    algebra=Algebra(idempotent=True),
    unit=UnitRule.SLICE_SAME,
)
_group(
    "MIN",
    "The smallest value of the group that date.",
    slices.group_min,
    algebra=Algebra(idempotent=True),
    unit=UnitRule.SLICE_SAME,
)
