"""The operators: one registration each, in one module a family. Importing this package fills the registry."""

from fama_fast.ops import (  # noqa: F401  (each registers its operators when imported)
    arithmetic,
    arithmetic_functions,
    cross_section,
    cross_section_neutral,
    group,
    logical,
    stateful,
    ts_earliest_extreme,
    ts_lag,
    ts_moments,
    ts_order,
    ts_pairs,
    ts_regression,
    ts_weights,
    turnover,
)
from fama_fast.ops.conditioning import Conditioning
from fama_fast.ops.registry import build, check_param, find, get, is_group, names, register, specs, unregister
from fama_fast.ops.spec import MAX_WINDOW, MIN_PERIODS, Algebra, OpSpec, Parameter
from fama_fast.ops.unit_rule import UnitRule

__all__ = [
    "MAX_WINDOW",
    "MIN_PERIODS",
    "Algebra",
    "Conditioning",
    "OpSpec",
    "Parameter",
    "UnitRule",
    "build",
    "check_param",
    "find",
    "get",
    "is_group",
    "names",
    "register",
    "specs",
    "unregister",
]
