"""From lowered expressions to a program: which work happens over which axis, in which order, in which registers."""

from fama_fast.plan.narrow import narrowed
from fama_fast.plan.program import Axis, Instruction, Plan, Slot, Space, Stage
from fama_fast.plan.schedule import make_plan
from fama_fast.plan.universe import UNIVERSE, mask_members, set_min_coverage

__all__ = [
    "UNIVERSE",
    "Axis",
    "Instruction",
    "Plan",
    "Slot",
    "Space",
    "Stage",
    "make_plan",
    "mask_members",
    "narrowed",
    "set_min_coverage",
]
