"""All members of the universe on one date. A missing x stays missing; non-members are missing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fama_fast.ops import slices
from fama_fast.ops.conditioning import Conditioning
from fama_fast.ops.registry import build, register
from fama_fast.ops.spec import (
    MAX_WINDOW,
    Algebra,
    OpSpec,
    Parameter,
    PolarsLowering,
    choice,
    count,
    flag,
    number,
    series,
)
from fama_fast.ops.unit_rule import UnitRule
from fama_fast.types import Family

if TYPE_CHECKING:
    from collections.abc import Callable

    from fama_fast.ir import Node

_BRAIN = "WorldQuant BRAIN operator reference, cross-sectional"

# A normal distribution's standard deviation as a multiple of its median absolute deviation.
NORMAL_MAD = 1.4826


def _cross(
    name: str,
    kernel: str,
    doc: str,
    source: str,
    polars: PolarsLowering,
    *static: Parameter,
    algebra: Algebra,
    module: str = "cross_section",
    **more: Any,
) -> None:
    more.setdefault("example", f"{name}(TS_RETURNS(CLOSE, 5))")
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
            kernel=f"{module}.{kernel}",
            **more,
        )
    )


def _composite(
    name: str,
    doc: str,
    source: str,
    lower: Callable[..., Node],
    *static: Parameter,
    algebra: Algebra,
    **more: Any,
) -> None:
    more.setdefault("example", f"{name}(TS_RETURNS(CLOSE, 5))")
    more.setdefault("missing", "missing when x is missing")
    register(
        OpSpec(
            name=name,
            family=Family.CROSS_SECTION,
            parameters=(series(), *static),
            doc=doc,
            source=source,
            algebra=algebra,
            lower=lower,
            **more,
        )
    )


def _normalize(x: Node, use_std: bool, limit: float) -> Node:
    value = build("Z_SCORE" if use_std else "DEMEAN", x)
    return value if limit == 0.0 else build("CLIP", value, -limit, limit)


def _mad_clip(x: Node, k: float) -> Node:
    middle = build("CS_MEDIAN", x)
    reach = build("MUL", build("CS_MEDIAN", build("ABS", build("SUB", x, middle))), k * NORMAL_MAD)
    return build("MIN", build("MAX", x, build("SUB", middle, reach)), build("ADD", middle, reach))


def _bucket_by_count(x: Node, n: int) -> Node:
    # A rank that is a whole number of n-ths up to rounding belongs to the group it closes.
    return build("SUB", build("CEIL", build("SUB", build("MUL", build("RANK", x), n), 1e-9)), 1)


def _bucket(x: Node, start: float, end: float, step: float, skip_begin: bool, skip_end: bool) -> Node:
    last = math.floor(min(max((end - start) / step, 0.0), MAX_WINDOW) + 1e-9) + 1
    steps = build("DIV", build("SUB", x, start), step)
    code = build("CLIP", build("CEIL", build("SUB", steps, 1e-9)), 0, last)
    if skip_begin:
        code = build("IF_ELSE", build("EQ", code, 0), math.nan, code)
    if skip_end:
        code = build("IF_ELSE", build("EQ", code, last), math.nan, code)
    return code


_cross(
    "RANK",
    "rank",
    "The rank among the members present that date, r/n in (0, 1], average ties.",
    "Kakushadze (2016), rank; pandas rank(pct=True)",
    slices.rank,
    aliases=("CS_RANK",),
    algebra=Algebra(idempotent=True, increasing=True, strictly_increasing=True, of_order=True),
    notes="BRAIN scales to [0, 1], (r - 1)/(n - 1), and its second parameter only sets the precision. qlib's Rank is "
    "TS_RANK; its CSRankNorm is (r/n - 0.5) * 3.46.",
    unit=UnitRule.SLICE,
    usage=14,
)
_cross(
    "Z_SCORE",
    "zscore",
    "(x - mean) / standard deviation (ddof 1) of the members present that date.",
    "WorldQuant BRAIN zscore",
    slices.zscore,
    aliases=("ZSCORE", "CS_ZSCORE"),
    algebra=Algebra(odd=True, increasing=True, strictly_increasing=True),
    missing="missing when x is missing, when all members have one value, or with fewer than 2 members",
    unit=UnitRule.SLICE,
)
_cross(
    "DEMEAN",
    "demean",
    "x minus the mean of the members present that date.",
    "WorldQuant BRAIN normalize",
    slices.demean,
    aliases=("CS_DEMEAN",),
    algebra=Algebra(odd=True, increasing=True, strictly_increasing=True),
    unit=UnitRule.SLICE_SAME,
)
_composite(
    "NORMALIZE",
    "x minus the mean of the members present that date; with useStd divided by their standard deviation (ddof 1); with "
    "a limit other than 0 held between -limit and limit.",
    _BRAIN,
    _normalize,
    flag("useStd", doc="divide by the standard deviation"),
    number("limit", 0.0, minimum=0.0, doc="bound of the result; 0 is none"),
    algebra=Algebra(odd=True, increasing=True),
    missing="missing when x is missing; with useStd also when all members have one value",
    example="NORMALIZE(TS_RETURNS(CLOSE, 5), useStd=TRUE, limit=3)",
    conditioning=Conditioning.LARGEST_OPERAND,
)
_cross(
    "SCALE",
    "scale",
    "x scaled so that the absolute values of the members sum to a; with longscale or shortscale, so that the positive "
    "ones sum to longscale and the negative ones to -shortscale.",
    "Kakushadze (2016), scale; WorldQuant BRAIN scale",
    slices.scale,
    number("a", 1.0, minimum=0.0, doc="sum of absolute values"),
    number("longscale", 0.0, minimum=0.0, doc="sum of the positive values, when either side is given"),
    number("shortscale", 0.0, minimum=0.0, doc="size of the sum of the negative values, when either side is given"),
    algebra=Algebra(increasing=True),
    missing="missing when x is missing; without longscale and shortscale also when all members are 0",
    notes="BRAIN calls a `scale`. A side that is not given while the other is, is scaled to 0.",
    module="cross_section_statistics",
    unit=UnitRule.SLICE,
    usage=9,
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
    notes="BRAIN's divides by n in the standard deviation. By quantiles: WINSORIZE_QUANTILE; by the median: MAD_CLIP.",
    unit=UnitRule.SLICE_SAME,
)
_cross(
    "WINSORIZE_QUANTILE",
    "winsorize_quantile",
    "x held within the lower and the upper quantile of the date's members, with linear interpolation.",
    "SciPy scipy.stats.mstats.winsorize, by interpolated quantiles",
    slices.winsorize_quantile,
    number("lower", 0.05, 0.0, 1.0, doc="quantile below which values are raised"),
    number("upper", 0.95, 0.0, 1.0, doc="quantile above which values are lowered"),
    algebra=Algebra(increasing=True),
    aliases=("CS_WINSORIZE_QUANTILE",),
    example="WINSORIZE_QUANTILE(RET, 0.01, 0.99)",
    ordered=(("lower", "upper"),),
    module="cross_section_statistics",
    unit=UnitRule.SLICE_SAME,
)
_composite(
    "MAD_CLIP",
    "x held within the median of the date's members plus and minus k times 1.4826 of their median absolute deviation, "
    "which is a standard deviation where they are normal.",
    "Leys et al. (2013), J. Exp. Soc. Psychol. 49(4); qlib RobustZScoreNorm",
    _mad_clip,
    number("k", 3.0, minimum=0.0, doc="deviations kept"),
    algebra=Algebra(),
    aliases=("CS_MAD_CLIP", "WINSORIZE_MAD"),
    example="MAD_CLIP(RET, 5)",
    notes="Without the factor 1.4826, as some systems have it: MAD_CLIP(x, k / 1.4826).",
)
for _name, _aggregate, _what, _law, _more in (
    (
        "COUNT",
        lambda x: x.count(),
        "How many members are present that date.",
        Algebra(even=True),
        {"unit": UnitRule.PRESENCE_COUNT},
    ),
    ("SUM", lambda x: x.sum(), "The sum over the members present that date.", Algebra(odd=True), {}),
    ("MEAN", lambda x: x.mean(), "The mean of the members present that date.", Algebra(odd=True), {}),
    ("MAX", lambda x: x.max(), "The largest value of the members present that date.", Algebra(idempotent=True), {}),
    ("MIN", lambda x: x.min(), "The smallest value of the members present that date.", Algebra(idempotent=True), {}),
    (
        "STD",
        None,
        "The standard deviation (ddof 1) of the members present that date; exactly 0 when they have one value.",
        Algebra(even=True),
        {"aliases": ("CS_STDDEV",), "missing": "missing when x is missing, and for a lone member"},
    ),
):
    _cross(
        f"CS_{_name}",
        _name.lower(),
        _what,
        "pandas, groupby(date).transform",
        slices.std if _aggregate is None else slices.statistic(_aggregate),
        algebra=_law,
        module="cross_section_statistics",
        **{"unit": UnitRule.SLICE_SAME, **_more},
    )
_cross(
    "CS_PERCENTILE",
    "percentile",
    "The quantile of the members present that date, with linear interpolation.",
    "NumPy quantile, method linear",
    slices.percentile,
    number("percentage", 0.5, 0.0, 1.0, doc="share of the members below"),
    algebra=Algebra(),
    example="CS_PERCENTILE(RET, 0.9)",
    module="cross_section_statistics",
    unit=UnitRule.SLICE_SAME,
)
_composite(
    "CS_MEDIAN",
    "The median of the members present that date.",
    "pandas, groupby(date).transform",
    lambda x: build("CS_PERCENTILE", x, 0.5),
    algebra=Algebra(),
)
for _driver, _formula in (
    ("UNIFORM", "p - 0.5"),
    ("GAUSSIAN", "the standard normal quantile at p"),
    ("CAUCHY", "the Cauchy quantile at p, tan(pi (p - 0.5))"),
):
    _cross(
        f"QUANTILE_{_driver}",
        f"quantile_{_driver.lower()}",
        f"The rank among the members present that date, as {_formula}, where p = 1/n + (r - 1)/(n - 1) (1 - 2/n) for "
        "the average rank r of n; 0 for a lone member.",
        f"{_BRAIN}, quantile",
        getattr(slices, f"quantile_{_driver.lower()}"),
        algebra=Algebra(odd=True, increasing=True, strictly_increasing=True, of_order=True),
        unit=UnitRule.SLICE,
        module="cross_section_statistics",
    )
_composite(
    "QUANTILE",
    "The rank among the members present that date, shifted into [1/n, 1 - 1/n], as a quantile of the driver's "
    "distribution times sigma: see QUANTILE_GAUSSIAN, QUANTILE_UNIFORM, QUANTILE_CAUCHY.",
    _BRAIN,
    lambda x, driver, sigma: build("MUL", build(f"QUANTILE_{driver.upper()}", x), sigma),
    choice("driver", "gaussian", "uniform", "cauchy", doc="the distribution: gaussian, uniform or cauchy"),
    number("sigma", 1.0, minimum=0.0, doc="factor of the result"),
    algebra=Algebra(odd=True, increasing=True),
    aliases=("CS_QUANTILE",),
    example="QUANTILE(TS_RETURNS(CLOSE, 5), driver=cauchy)",
    notes="qlib's Quantile is TS_QUANTILE. The q-quantile of a date is CS_PERCENTILE.",
)
for _end, _which in (("TOP", "largest"), ("BOTTOM", "smallest")):
    _cross(
        _end,
        _end.lower(),
        f"1 for the n {_which} members present that date, else 0; whoever equals the last of them is in as well.",
        f"pandas, rank(method='min', ascending={_end == 'BOTTOM'}) <= n",
        slices.flag(top=_end == "TOP"),
        count("n", doc="how many"),
        algebra=Algebra(increasing=_end == "TOP"),
        aliases=(f"CS_{_end}",),
        example=f"{_end}(CAP, 100)",
        boolean=True,
        unit=UnitRule.SLICE,
        module="cross_section_statistics",
    )
_cross(
    "DENSIFY",
    "densify",
    "Groups of the members with one value, numbered from 0 in the order of the values, without gaps.",
    f"{_BRAIN}, densify",
    slices.densify,
    algebra=Algebra(idempotent=True, increasing=True),
    example="GROUP_MEAN(RET, DENSIFY(ROUND(LOG(VOLUME))))",
    gives_group=True,
    module="cross_section_statistics",
    unit=UnitRule.SLICE,
)
_composite(
    "CS_BUCKET",
    "The group that a member falls into when the members present that date are sorted and cut into n of equal count: 0 "
    "for the smallest to n - 1.",
    "pandas qcut, by average ranks",
    _bucket_by_count,
    count("n", 10, minimum=2, doc="how many groups"),
    algebra=Algebra(increasing=True),
    aliases=("QCUT", "NTILE"),
    example="GROUP_RANK(RET, CS_BUCKET(VOLUME, 5))",
    notes="Equal values share a group. Bounds given as numbers: BUCKET.",
    gives_group=True,
)
register(
    OpSpec(
        name="BUCKET",
        family=Family.ELEMENT,
        parameters=(
            series(),
            number("start", 0.0, doc="the first bound"),
            number("end", 1.0, doc="the last bound, not above start + 10000 steps"),
            number("step", 0.1, 1e-9, doc="from one bound to the next"),
            flag("skipBegin", doc="what is not above the first bound is in no group"),
            flag("skipEnd", doc="what is above the last bound is in no group"),
        ),
        doc="The group that x falls into by the bounds start, start + step, ..., end: the number of bounds below x "
        "(within 1e-9 of a step), so a bound belongs to the group under it.",
        example="GROUP_NEUTRALIZE(RET, BUCKET(RANK(VOLUME), 0.1, 1, 0.1))",
        source=f"{_BRAIN}, bucket with range",
        missing="missing when x is missing; a symbol whose group is missing is in none",
        algebra=Algebra(),
        lower=_bucket,
        notes='BRAIN writes range="start, end, step" as text. For n groups of equal count: CS_BUCKET.',
        gives_group=True,
    )
)
