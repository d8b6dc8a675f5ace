"""The same program for float32 arrays: what it reads of a panel, or what it writes, in half the memory.

Registers and buffers stay float64, and so does every kernel that computes: numbers change their width on the way in and
on the way out, in pieces that stay in the first-level cache where the neighbours are elementwise.
1. In a time stage a field is widened into a register before its first use; a lag reads the field itself, as it needs
   rows of it that later pieces of a register would not have yet.
2. In a date stage fields are copied into registers anyway, and widen as they are.
3. What writes a result has a narrow twin. A result that would be computed where it shall lie is computed in a register.
"""

from __future__ import annotations

import functools
from dataclasses import replace

from fama_fast.plan.program import Instruction, Plan, Slot, Space, Stage
from fama_fast.plan.universe import UNIVERSE

# Kernels with a twin that reads float32.
_READS = {"memory.gather": "memory.gather_narrow", "ts_lag.delay": "ts_lag.delay_narrow"}
# Kernels with a twin that writes float32.
_WRITES = {
    "memory.copy": "memory.narrow",
    "memory.scatter": "memory.scatter_narrow",
    "memory.emit_block": "memory.emit_block_narrow",
    "memory.emit_dates": "memory.emit_dates_narrow",
}



@functools.lru_cache(maxsize=256)
def narrowed(plan: Plan, *, fields: bool, results: bool) -> Plan:
    """The plan for float32 fields (groups and the universe stay float64), float32 results (a sink's do not), or both."""
    narrow: set[Slot] = set()
    if fields:
        narrow.update(
            Slot(Space.FIELD, i)
            for i, name in enumerate(plan.fields)
            if name != UNIVERSE and not name.startswith("group:")
        )
    if results and not plan.sink:
        narrow.update(Slot(Space.OUTPUT, i) for i in range(plan.n_outputs))
    return replace(plan, stages=tuple(_narrowed(stage, narrow) for stage in plan.stages)) if narrow else plan


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

    for i, (kernel, out, inputs, params) in enumerate(map(_parts, stage.instructions)):
        if kernel in _READS and inputs[0] in narrow:
            kernel = _READS[kernel]
        else:
            for slot in inputs:
                if slot in narrow and slot not in register:
                    done.append(Instruction("memory.widen", hold(slot), (slot,)))
            inputs = tuple(register.get(slot, slot) for slot in inputs)
        if out not in narrow:
            done.append(Instruction(kernel, out, inputs, params))
        elif kernel in _WRITES:
            done.append(Instruction(_WRITES[kernel], out, inputs, params))
        else:
            done.append(Instruction(kernel, hold(out), inputs, params))
            done.append(Instruction("memory.narrow", out, (register[out],)))
        free.extend(register.pop(slot) for slot in list(register) if last[slot] == i)
    return replace(stage, instructions=tuple(done), n_registers=n_registers)


def _parts(instruction: Instruction) -> tuple[str, Slot, tuple[Slot, ...], tuple[float, ...]]:
    return instruction.kernel, instruction.out, instruction.inputs, instruction.params
