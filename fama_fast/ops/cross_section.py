"""All members of the universe on one date. A missing x stays missing; non-members are missing."""

from __future__ import annotations

from typing import Any

from fama_fast.ops import slices
from fama_fast.ops.registry import register
from fama_fast.ops.spec import Algebra, OpSpec, Parameter, PolarsLowering, number, series
from fama_fast.types import Family


def _cross(
    name: str,
    kernel: str,
    doc: str,
    source: str,
    polars: PolarsLowering,
    *static: Parameter,
    algebra: Algebra,
    **more: Any,
) -> None:
    more.setdefault("example", f"{name}(DELTA(CLOSE, 5))")
    more.setdefault("missing", "missing when x is missing")
    register(
        OpSpec(
            name=name,
            family=Family.CROSS_SECTION,
            parameters=(series(), *static),
            doc=doc,
            source=source,
            algebra=algebra,
            polars=polars,
            kernel=f"cross_section.{kernel}",
            **more,
        )
    )


_cross(
    "RANK",
    "rank",
    "The rank among the members present that date, r/n in (0, 1], average ties.",
    "Kakushadze (2016), rank; pandas rank(pct=True)",
    slices.rank,
    aliases=("CS_RANK",),
    algebra=Algebra(idempotent=True, increasing=True),
    notes="BRAIN scales to [0, 1]. qlib's Rank is TS_RANK.",
)
_cross(
    "Z_SCORE",
    "zscore",
    "(x - mean) / standard deviation (ddof 1) of the members present that date.",
    "WorldQuant BRAIN zscore",
    slices.zscore,
    aliases=("ZSCORE", "CS_ZSCORE"),
    algebra=Algebra(odd=True, increasing=True),
    missing="missing when x is missing, when all members have one value, or with fewer than 2 members",
)
_cross(
    "DEMEAN",
    "demean",
    "x minus the mean of the members present that date.",
    "WorldQuant BRAIN normalize",
    slices.demean,
    aliases=("NORMALIZE", "CS_DEMEAN"),
    algebra=Algebra(odd=True, increasing=True),
)
_cross(
    "SCALE",
    "scale",
    "x scaled so that the absolute values of the members sum to a.",
    "Kakushadze (2016), scale; WorldQuant BRAIN scale",
    slices.scale,
    number("a", 1.0, minimum=0.0, doc="sum of absolute values"),
    algebra=Algebra(odd=True, increasing=True),
    missing="missing when x is missing or all members are 0",
)
_cross(
    "WINSORIZE",
    "winsorize",
    "x held within the mean of the date's members plus and minus std standard deviations (ddof 1).",
    "WorldQuant BRAIN winsorize",
    slices.winsorize,
    number("std", 4.0, minimum=0.0, doc="standard deviations kept"),
    algebra=Algebra(odd=True, increasing=True),
    missing="missing when x is missing or with fewer than 2 members",
    example="WINSORIZE(RET, 3)",
)
