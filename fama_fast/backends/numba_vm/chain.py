"""Neighbouring elementwise instructions of a stage as one instruction, whose kernel runs them step by step.

The kernel (`kernels.steps`) takes 128 cells at a time through all steps. What a step makes is kept in so many cells of
scratch memory, unless somebody behind the chain reads it: then it goes where the instruction would have put it. An
operand of d days ago is read where it lies, so a lag costs nothing of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.backends.numba_vm import loop
from fama_fast.backends.numba_vm.kernels import steps
from fama_fast.plan import Instruction, Slot, Space

if TYPE_CHECKING:
    from collections.abc import Sequence

_LAG = "ts_lag.delay"
_FILL = "memory.fill"
KERNEL = "steps.run"


def _is_step(made: Instruction) -> bool:
    if made.kernel == "elementwise.power":
        return made.inputs[1].space is Space.NUMBER and made.params[1] in steps.POWERS
    return made.kernel in steps.STEPS or made.kernel == _FILL or (made.kernel == _LAG and not made.narrow)


def chained(made: Sequence[Instruction], kinds: Sequence[int]) -> tuple[list[Instruction], list[int]]:
    """A stage's instructions and how the loop runs them, with chains in place of what they do."""
    out: list[Instruction] = []
    out_kinds: list[int] = []
    i = 0
    while i < len(made):
        end, touched = i, set[Slot]()
        while end < len(made) and kinds[end] != loop.WHOLE and _is_step(made[end]):
            touched.update((made[end].out, *made[end].inputs))
            if len(touched) > loop.MAX_SLOTS:
                break
            end += 1
        if end == i:
            out.append(made[i])
            out_kinds.append(kinds[i])
            i += 1
            continue
        chain = _Chain(made[i:end], made[end:])
        if chain.steps:
            out.append(chain.instruction())
            out_kinds.append(loop.LAG if chain.lags else loop.FLAT)
        i = end
    return out, out_kinds


def scratch_doubles(made: Instruction) -> int:
    """Scratch memory of a chain."""
    return steps.scratch_doubles(int(made.params[0]), int(made.params[1]))


_Operand = tuple[Slot | int | float, int]  # a slot of rows ago, a value that a step makes, or a number


class _Chain:
    """Steps of neighbouring instructions. Values are numbered by the step that makes them."""

    def __init__(self, made: Sequence[Instruction], rest: Sequence[Instruction]) -> None:
        self.steps: list[tuple[int, list[_Operand]]] = []
        self.stored: dict[int, Slot] = {}
        self.lags = False
        self._value: dict[Slot, _Operand] = {}  # of slots that the chain has written, and of float32 that it has read
        for instruction in made:
            self._add(instruction)
        written = {instruction.out for instruction in made}
        for slot in sorted(written & _read_later(written, rest), key=lambda slot: (slot.space.value, slot.index)):
            self._store(slot)

    def _add(self, made: Instruction) -> None:
        if made.kernel == _FILL:
            self._value[made.out] = (float(made.params[0]), 0)
            return
        if made.kernel == _LAG:
            self.lags = True
            self._value[made.out] = (made.inputs[0], int(made.params[0]))
            return
        first_number = len(made.params) - len(made.inputs)
        operands: list[_Operand] = []
        for j, slot in enumerate(made.inputs):
            if slot.space is Space.NUMBER:
                operands.append((made.params[first_number + j], 0))
            elif slot in self._value:
                operands.append(self._value[slot])
            elif made.narrow:
                self._value[slot] = self._step(steps.WIDEN, [(slot, 0)])
                operands.append(self._value[slot])
            else:
                operands.append((slot, 0))
        if made.kernel == "elementwise.power":
            self._value[made.out] = self._step(steps.POWERS[made.params[1]], operands[:1])
            return
        if made.kernel == "elementwise.nan_to":
            operands.append((made.params[0], 0))
        if made.kernel == "memory.copy" and made.narrow:
            self._value[made.out] = operands[0]
        else:
            self._value[made.out] = self._step(steps.STEPS[made.kernel], operands)

    def _step(self, code: int, operands: list[_Operand]) -> _Operand:
        self.steps.append((code, operands))
        return len(self.steps) - 1, 0

    def _store(self, slot: Slot) -> None:
        """What the chain has put into this slot is read behind it."""
        value, rows = self._value[slot]
        if not isinstance(value, int) or value in self.stored:
            value, rows = self._step(steps.COPY, [(value, rows)])
        assert isinstance(value, int)
        self.stored[value] = slot

    def _unchecked(self) -> set[int]:
        """Steps whose result may be infinite, for it is missing from what is computed of it."""
        found = {k for k, (code, _) in enumerate(self.steps) if code in steps.UNCHECKED and k not in self.stored}
        for code, operands in self.steps:
            for i, (value, _) in enumerate(operands):
                if isinstance(value, int) and (code, i) not in steps.KEEP:
                    found.discard(value)
        return found

    def instruction(self) -> Instruction:
        """Where everything lies: the kernel's parameters, and the slots it works on in no particular order."""
        # By their digits: 0 and -0 are different numbers.
        numbers = {v.hex(): v for _, operands in self.steps for v, _ in operands if isinstance(v, float)}
        number_at = {digits: j for j, digits in enumerate(numbers)}
        slots: dict[Slot, int] = {}
        last = {v: k for k, (_, operands) in enumerate(self.steps) for v, _ in operands if isinstance(v, int)}
        unchecked = self._unchecked()
        local: dict[int, int] = {}
        free: list[int] = []
        n_locals = len(numbers)
        rows: list[float] = []
        for k, (code, operands) in enumerate(self.steps):
            places: list[float] = []
            for operand, ago in operands:
                value = self.stored.get(operand, operand) if isinstance(operand, int) else operand
                if isinstance(value, Slot):
                    places += (slots.setdefault(value, len(slots)), ago)
                else:
                    places += (-1 - (number_at[value.hex()] if isinstance(value, float) else local[value]), 0)
            # A result may lie where an operand lay: a cell is read before it is written.
            free += [local[v] for v, _ in dict.fromkeys(operands) if isinstance(v, int) and v in local and last[v] == k]
            if k in self.stored:
                to = slots.setdefault(self.stored[k], len(slots))
            else:
                if not free:
                    free.append(n_locals)
                    n_locals += 1
                local[k] = free.pop()
                to = -1 - local[k]
            places += [-1, 0] * (3 - len(operands))
            rows += [steps.UNCHECKED[code] if k in unchecked else code, to, *places]
        out, *inputs = slots
        params = (len(self.steps), n_locals + steps.SPARE, len(numbers), *numbers.values(), *rows)
        return Instruction(KERNEL, out, tuple(inputs), tuple(map(float, params)))


def _read_later(written: set[Slot], rest: Sequence[Instruction]) -> set[Slot]:
    """Which of the slots are read with the values that they have now; results and buffers always are."""
    found = {slot for slot in written if slot.space is not Space.REGISTER}
    waiting = written - found
    for instruction in rest:
        if not waiting:
            break
        found |= waiting.intersection(instruction.inputs)
        waiting -= {*instruction.inputs, instruction.out}
    return found
