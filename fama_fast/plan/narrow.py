"""The same program for float32 arrays: what it reads of a panel, or what it writes, in half the memory.

Registers and buffers stay float64, and so is every computation: numbers change their width on the way in and out.
1. Kernels of the families named below have twins that read float32. They serve where all operands are float32 fields.
   Those of weighted windows, which take longest to compile, have none.
2. Elsewhere a field is widened into a register before its first use: between elementwise neighbours piece by piece, so
   that the pieces stay in the first-level cache.
3. What writes a result has a twin that rounds. A result that would be computed where it shall lie is computed in a
   register first.
"""

from __future__ import annotations

import functools
from dataclasses import replace

from fama_fast.plan.program import NUMBER, Instruction, Plan, Slot, Space, Stage
from fama_fast.plan.universe import UNIVERSE

_READ_BOTH = (
    "elementwise.",
    "memory.copy",
    "memory.emit_block",
    "memory.gather",
    "memory.narrow",
    "ts_lag.",
    "ts_moments.",
    "ts_order.",
    "ts_pairs.",
    "ts_product.",
    "ts_spread.",
)
_READ_FLOAT64 = {
    # They read cell by cell.
    "elementwise.mod",
    "ts_order.quantile",
    # They read a whole window for each of its dates: to widen it once is less.
    "ts_moments.kurt",
    "ts_moments.skew",
    "ts_order.rank",
}
_NARROW_RESULT = {
    "memory.copy": "memory.narrow",
    "memory.scatter": "memory.scatter_narrow",
    "memory.emit_block": "memory.emit_block_narrow",
    "memory.emit_dates": "memory.emit_dates_narrow",
}


@functools.lru_cache(maxsize=256)
def narrowed(plan: Plan, *, fields: bool, results: bool) -> Plan:
    """The plan for float32 fields (not groups and the universe), for float32 results (not of a sink), or for both."""
    narrow: set[Slot] = set()
    if fields:
        narrow.update(
            Slot(Space.FIELD, i)
            for i, name in enumerate(plan.fields)
            if name != UNIVERSE and not name.startswith("group:")
        )
    if results and not plan.sink:
        narrow.update(Slot(Space.OUTPUT, i) for i in range(plan.n_outputs))
    return replace(plan, stages=tuple(_narrowed(stage, narrow) for stage in plan.stages))


def _narrowed(stage: Stage, narrow: set[Slot]) -> Stage:
    """The stage where the arrays of `narrow` are float32, with a register for each while it is in use."""
    last = {slot: i for i, used in enumerate(stage.instructions) for slot in (used.out, *used.inputs)}
    done: list[Instruction] = []
    register: dict[Slot, Slot] = {}
    free: list[Slot] = []
    n_registers = stage.n_registers

    def hold(slot: Slot) -> Slot:
        nonlocal n_registers
        if not free:
            free.append(Slot(Space.REGISTER, n_registers))
            n_registers += 1
        register[slot] = free.pop()
        return register[slot]

    for i, instruction in enumerate(stage.instructions):
        writes = instruction.out in narrow
        emits = writes and instruction.kernel in _NARROW_RESULT
        kernel = _NARROW_RESULT[instruction.kernel] if emits else instruction.kernel
        twin = _has_twin(kernel) and _all_fields(instruction, narrow)
        inputs = instruction.inputs
        if not twin:
            new = dict.fromkeys(slot for slot in inputs if slot in narrow and slot not in register)
            done.extend(Instruction("memory.copy", hold(slot), (slot,), narrow=True) for slot in new)
            inputs = tuple(register.get(slot, slot) for slot in inputs)
        if kernel == "memory.emit_block_narrow":
            inputs = (*inputs, Slot(Space.REGISTER, n_registers))
            n_registers += 1
        out = hold(instruction.out) if writes and not emits else instruction.out
        done.append(Instruction(kernel, out, inputs, instruction.params, twin))
        if out != instruction.out:
            done.append(Instruction("memory.narrow", instruction.out, (out,)))
        free.extend(register.pop(slot) for slot in list(register) if last[slot] == i)
    return replace(stage, instructions=tuple(done), n_registers=n_registers)


def _has_twin(kernel: str) -> bool:
    # A colon: from outside the package.
    return kernel.startswith(_READ_BOTH) and kernel not in _READ_FLOAT64 and ":" not in kernel


def _all_fields(made: Instruction, narrow: set[Slot]) -> bool:
    """Whether all operands that are not numbers are float32 fields."""
    arrays = [slot for slot in made.inputs if slot != NUMBER]
    return bool(arrays) and all(slot in narrow and slot.space is Space.FIELD for slot in arrays)
