"""All members of one group on one date. A missing x stays missing; a symbol with no group is missing."""

from __future__ import annotations

from typing import Any

from fama_fast.ops import slices
from fama_fast.ops.registry import register
from fama_fast.ops.spec import Algebra, OpSpec, PolarsLowering, series
from fama_fast.ops.spec import group as group_parameter
from fama_fast.types import Family

_BRAIN = "WorldQuant BRAIN operator reference, group"


def _group(name: str, doc: str, polars: PolarsLowering, *, algebra: Algebra, **more: Any) -> None:
    more.setdefault("source", _BRAIN)
    more.setdefault("missing", "missing when x or the group is missing")
    register(
        OpSpec(
            name=f"GROUP_{name}",
            family=Family.GROUP,
            parameters=(series(), group_parameter()),
            doc=doc,
            example=f"GROUP_{name}(RET, SECTOR)",
            algebra=algebra,
            polars=polars,
            kernel=f"group.{name.lower()}",
            **more,
        )
    )


_group(
    "RANK",
    "The rank within the group that date, r/n in (0, 1], average ties.",
    slices.group_rank,
    algebra=Algebra(idempotent=True),
    notes="BRAIN scales to [0, 1].",
)
_group("MEAN", "The mean of the group that date.", slices.group_mean, algebra=Algebra(odd=True))
_group("SUM", "The sum over the group that date.", slices.group_sum, algebra=Algebra(odd=True))
_group(
    "COUNT",
    "How many members of the group are present that date.",
    slices.group_count,
    algebra=Algebra(even=True),
)
_group(
    "NEUTRALIZE",
    "x minus the mean of its group that date.",
    slices.group_neutralize,
    algebra=Algebra(odd=True),
    source=f"{_BRAIN}; Kakushadze (2016), indneutralize",
    aliases=("INDNEUTRALIZE", "GROUP_DEMEAN"),
)
_group(
    "ZSCORE",
    "(x - mean) / standard deviation (ddof 1) within the group that date.",
    slices.group_zscore,
    algebra=Algebra(odd=True),
    aliases=("GROUP_Z_SCORE",),
    missing="missing when x or the group is missing, and when the group has one value or one member",
)
_group(
    "SCALE",
    "(x - min) / (max - min) within the group that date.",
    slices.group_scale,
    algebra=Algebra(idempotent=True),
    missing="missing when x or the group is missing, and when the group has one value",
)
_group(
    "STD",
    "The standard deviation (ddof 1) of the group that date; exactly 0 when it has one value.",
    slices.group_std,
    algebra=Algebra(even=True),
    aliases=("GROUP_STD_DEV", "GROUP_STDDEV"),
    missing="missing when x or the group is missing, and for a lone member",
)
_group("MAX", "The largest value of the group that date.", slices.group_max, algebra=Algebra(idempotent=True))
_group("MIN", "The smallest value of the group that date.", slices.group_min, algebra=Algebra(idempotent=True))
