"""Cut a graph of expressions into stages and put each stage's values into registers.

1. Every node gets a level (`_levels`): even levels run along time (a block of symbols, all dates), odd ones across
   symbols (some dates, all symbols). A time-series operator sits at the lowest even level at or above its operands, a
   cross-sectional one at the lowest odd level, and elementwise work joins the highest of its operands.
2. A value that another level reads is kept in a buffer (`_Planner.buffer_of`); everything else lives in registers.
3. Within a stage, registers are reused as soon as their value has been read for the last time (`_Stager._take`), so
   the working set is the widest moment of the program, not its length.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from fama_fast import ops, passes
from fama_fast.ir import CONST, FIELD, GROUP, LEAVES, Node, postorder
from fama_fast.plan.program import NUMBER, Axis, Instruction, Plan, Slot, Space, Stage
from fama_fast.types import Family

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MEMORY = -1  # level of leaves: readable in every stage


def _levels(roots: Sequence[Node]) -> dict[Node, int]:
    levels: dict[Node, int] = {}
    for node in postorder(*roots):
        if node.op in LEAVES:
            levels[node] = _MEMORY
            continue
        highest = max([levels[a] for a in node.args] + [0])
        family = ops.get(node.op).family
        if family is Family.TIME_SERIES:
            highest += highest % 2
        elif family in (Family.CROSS_SECTION, Family.GROUP):
            highest += 1 - highest % 2
        levels[node] = highest
    return levels


def _static_params(node: Node) -> tuple[float, ...]:
    """Static parameters as the kernel reads them: min_periods not given means the whole window."""
    named = ops.get(node.op).named(node.params)
    return tuple(float(named["d"]) if v is None else float(v) for v in named.values())


class _Stager:
    """Builds the instructions of one stage."""

    def __init__(self, plan: _Planner, level: int, nodes: list[Node]) -> None:
        self.plan = plan
        self.level = level
        self.axis = Axis.TIME if level % 2 == 0 else Axis.DATE
        self.nodes = nodes
        self.instructions: list[Instruction] = []
        self.where: dict[Node, Slot] = {}
        self.free: list[int] = []
        self.n_registers = 0
        self.max_window = 1
        self.sinks = plan.sinks_at.get(level, [])
        self.uses: dict[Node, int] = defaultdict(int)
        for node in nodes:
            for a in node.args:
                self.uses[a] += 1

    def _take(self) -> Slot:
        if self.free:
            return Slot(Space.REGISTER, self.free.pop())
        self.n_registers += 1
        return Slot(Space.REGISTER, self.n_registers - 1)

    def _release(self, slot: Slot) -> None:
        if slot.space is Space.REGISTER:
            self.free.append(slot.index)

    def _operand(self, node: Node) -> Slot:
        """The slot that holds an operand in this stage, loading or filling a register where needed."""
        if node in self.where:
            return self.where[node]
        if node.op == CONST:
            slot = self._take()
            self.instructions.append(Instruction("memory.fill", slot, (), (node.value,)))
        else:
            slot = self.plan.memory(node)
            if self.axis is Axis.DATE:
                register = self._take()
                self.instructions.append(Instruction("memory.gather", register, (slot,)))
                slot = register
        self.where[node] = slot
        return slot

    def _compute(self, node: Node) -> None:
        spec = ops.get(node.op)
        assert spec.kernel is not None
        params = _static_params(node)
        if "d" in (p.name for p in spec.statics):
            self.max_window = max(self.max_window, int(params[0]))
        scalar_ok = spec.family is Family.ELEMENT and len(node.args) == 2
        inputs: list[Slot] = []
        values: list[float] = []
        for i, a in enumerate(node.args):
            if a.op == CONST and scalar_ok and not (i == 1 and inputs[0] == NUMBER):
                inputs.append(NUMBER)
                values.append(a.value)
            else:
                inputs.append(self._operand(a))
                values.append(0.0)
        keep = self.plan.buffer_of.get(node)
        out = Slot(Space.BUFFER, keep) if keep is not None and self.axis is Axis.TIME else self._take()
        self.instructions.append(Instruction(spec.kernel, out, tuple(inputs), (*params, *values)))
        self.where[node] = out
        if keep is not None and self.axis is Axis.DATE:
            self.instructions.append(Instruction("memory.scatter", Slot(Space.BUFFER, keep), (out,)))
        for a in node.args:
            self.uses[a] -= 1
            if self.uses[a] == 0 and a in self.where:
                self._release(self.where.pop(a))

    def _emit(self, node: Node) -> None:
        kernel = "memory.emit_block" if self.axis is Axis.TIME else "memory.emit_dates"
        for index in self.plan.outputs_of[node]:
            self.instructions.append(Instruction(kernel, Slot(Space.OUTPUT, index), (self._operand(node),)))
        if self.uses[node] == 0:
            self._release(self.where[node])

    def _in_order(self) -> Iterable[Node]:
        """Operands first, and elementwise work as late as it may be, so that it runs in one go (see the VM's loop).

        A window or a cross-section is computed as soon as the elementwise work below it is; what is left of an
        elementwise root follows it in one piece.
        """
        here = set(self.nodes)
        done: set[Node] = set()

        def flush(root: Node) -> Iterable[Node]:
            for node in postorder(root):
                if node in here and node not in done:
                    done.add(node)
                    yield node

        for node in self.nodes:
            last = node in self.plan.outputs_of or node in self.plan.buffer_of or node in self.sinks
            if last:
                for inner in postorder(node):
                    if inner in here and inner not in done and ops.get(inner.op).family is not Family.ELEMENT:
                        yield from flush(inner)
            if last or ops.get(node.op).family is not Family.ELEMENT:
                yield from flush(node)
        for node in self.nodes:
            yield from flush(node)

    def _sink(self, node: Node) -> None:
        external = tuple(Slot(Space.EXTERNAL, i) for i in range(3))
        for index in self.plan.outputs_of[node]:
            inputs = (self._operand(node), *external)
            self.instructions.append(
                Instruction("sinks.rank_ic", Slot(Space.OUTPUT, index), inputs, (float(self.plan.min_pairs),))
            )
        self.uses[node] -= 1
        if self.uses[node] == 0:
            self._release(self.where.pop(node))

    def build(self, leaves: Iterable[Node]) -> None:
        """All instructions; `leaves` are results that nothing computes, `sinks` values whose figures are taken here."""
        waiting = set(self.sinks)
        for node in self.sinks:
            self.uses[node] += 1
        for node in self._in_order():
            self._compute(node)
            if node in waiting:
                waiting.remove(node)
                self._sink(node)
            elif node in self.plan.outputs_of and not self.plan.sink:
                self._emit(node)
            elif self.uses[node] == 0:
                self._release(self.where[node])
        for node in self.sinks:
            if node in waiting:
                self._sink(node)
        for leaf in leaves:
            self._emit(leaf)


class _Planner:
    def __init__(self, roots: Sequence[Node], *, sink: bool, min_pairs: int) -> None:
        self.levels = _levels(roots)
        self.sink, self.min_pairs = sink, min_pairs
        self.fields: dict[str, int] = {}
        self.outputs_of: dict[Node, list[int]] = defaultdict(list)
        for i, root in enumerate(roots):
            self.outputs_of[root].append(i)
        self.buffer_of: dict[Node, int] = {}
        self.last_level: dict[int, int] = {}
        for node, level in self.levels.items():
            for a in node.args:
                if self.levels[a] not in (_MEMORY, level):
                    self._keep(a, level)
        self.sinks_at: dict[int, list[Node]] = defaultdict(list)
        if sink:
            for root in self.outputs_of:
                level = max(self.levels[root], 0)
                level += 1 - level % 2
                self.sinks_at[level].append(root)
                if self.levels[root] not in (_MEMORY, level):
                    self._keep(root, level)

    def _keep(self, node: Node, level: int) -> None:
        """`level` reads what an earlier one computes."""
        buffer = self.buffer_of.setdefault(node, len(self.buffer_of))
        self.last_level[buffer] = max(self.last_level.get(buffer, 0), level)

    def memory(self, node: Node) -> Slot:
        """Where a leaf or a value of an earlier stage lies."""
        if node.op in (FIELD, GROUP):
            name = node.name if node.op == FIELD else f"group:{node.name}"
            return Slot(Space.FIELD, self.fields.setdefault(name, len(self.fields)))
        return Slot(Space.BUFFER, self.buffer_of[node])

    def plan(self, n_outputs: int, lookback: int) -> Plan:
        by_level: dict[int, list[Node]] = defaultdict(list)
        for node, level in self.levels.items():
            if level != _MEMORY:
                by_level[level].append(node)
        leaves = [] if self.sink else [n for n in self.outputs_of if self.levels[n] == _MEMORY]
        for level in [*([0] if leaves else []), *self.sinks_at]:
            by_level[level] = by_level.get(level, [])
        stages = []
        alive = peak = 0
        for level in sorted(by_level):
            stager = _Stager(self, level, by_level[level])
            stager.build(leaves if level == 0 else ())
            allocates = tuple(self.buffer_of[n] for n in by_level[level] if n in self.buffer_of)
            releases = tuple(b for b, last in self.last_level.items() if last == level)
            alive += len(allocates)
            peak = max(peak, alive)
            alive -= len(releases)
            stages.append(
                Stage(
                    stager.axis,
                    tuple(stager.instructions),
                    stager.n_registers,
                    stager.max_window,
                    allocates,
                    releases,
                )
            )
        return Plan(
            tuple(self.fields), tuple(stages), len(self.buffer_of), n_outputs, peak, sink=self.sink, lookback=lookback
        )


def make_plan(roots: Sequence[Node], *, sink: bool = False, min_pairs: int = 3) -> Plan:
    """The program that computes lowered expressions `roots`; the i-th is output i.

    With `sink`, output i is (dates, 2): the daily RankIC of root i with labels that are brought when it runs (missing
    with fewer than `min_pairs` pairs), and how many values it has that date.
    """
    lookback = max((passes.lookback(r) for r in roots), default=0) if sink else 0
    return _Planner(roots, sink=sink, min_pairs=min_pairs).plan(len(roots), lookback)
