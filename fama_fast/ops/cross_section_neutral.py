"""What is left of an operand across the symbols of a date when its part along others is taken away."""

from __future__ import annotations

from fama_fast.ops import slices
from fama_fast.ops.conditioning import Conditioning
from fama_fast.ops.registry import register
from fama_fast.ops.spec import Algebra, OpSpec, series
from fama_fast.ops.unit_rule import UnitRule
from fama_fast.types import Family

_BRAIN = "WorldQuant BRAIN operator reference, cross-sectional"

register(
    OpSpec(
        name="VECTOR_NEUT",
        family=Family.CROSS_SECTION,
        parameters=(series(), series("y")),
        doc="x less its part along y: x - y (x.y)/(y.y), over the members that have both.",
        example="VECTOR_NEUT(RANK(RET), RANK(VOLUME))",
        source=_BRAIN,
        missing="missing when either is missing, or y is 0 for all",
        aliases=("CS_VECTOR_NEUT",),
        algebra=Algebra(odd=True),
        polars=slices.vector_neut,
        kernel="neutral.vector",
        unit=UnitRule.SLICE_SAME,
        conditioning=Conditioning.LARGEST_OPERAND,
    )
)
register(
    OpSpec(
        name="REGRESSION_NEUT",
        family=Family.CROSS_SECTION,
        parameters=(
            series("y"),
            series("x1"),
            series("x2", default=0.0, doc="a second regressor"),
            series("x3", default=0.0, doc="a third regressor"),
        ),
        doc="The residual of the date's ordinary least squares of y on the regressors and an intercept, over the "
        "members that have all of them; a regressor with one value on the date adds nothing.",
        example="REGRESSION_NEUT(RANK(RET), LOG(VOLUME))",
        source=f"{_BRAIN}, regression_neut; numpy.linalg.lstsq",
        missing="missing when an operand is missing, when there are fewer than two more members than regressors that "
        "vary, or when what is left of a regressor beside those before it is below 1e-9 of its size",
        aliases=("CS_REGRESSION_NEUT", "REGRESSION_RESIDUAL"),
        algebra=Algebra(odd=True, residual=True),
        polars=slices.regression_neut,
        kernel="neutral.regression",
        unit=UnitRule.SLICE_SAME,
        conditioning=Conditioning.LARGEST_OPERAND,
    )
)
