"""Cut a graph of expressions into stages and put each stage's values into registers.

1. Expressions are taken a few at a time (`GROUP`), so that few intermediates live at once: on the 101 alphas that is
   faster than all at once, whose intermediates would wander through main memory. What several groups need, windows and
   cross-sections, is computed by the first and kept until the last (`_shared`); elementwise work is repeated. Those
   that keep most intermediates come first (`_kept`), when few results are there yet, so that fewer arrays live at once
   (docs/decisions/008-small-choices-of-speed.md).
2. Within a group every node gets a level (`_levels`): even levels run along time (a block of symbols, all dates), odd
   ones across symbols (some dates, all symbols). A time-series operator sits at the lowest even level at or above its
   operands, a cross-sectional one at the lowest odd level, and elementwise work joins the highest of its operands.
3. A value that another level reads is kept in a buffer (`_Planner.buffer_of`); everything else lives in registers.
4. Within a stage, registers are reused as soon as their value has been read for the last time (`_Stager._take`), so
   the working set is the widest moment of the program, not its length.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fama_fast import ops, passes
from fama_fast.ir import CONST, FIELD, LEAVES, Node, postorder, unknown
from fama_fast.ir import GROUP as GROUP_LEAF
from fama_fast.plan.program import NUMBER, Axis, Instruction, Plan, Slot, Space, Stage
from fama_fast.types import Family, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

GROUP = 8  # expressions that are computed together

# What writes a result: by the stage's axis and whether results are blocked.
_EMIT = {
    (Axis.TIME, False): "memory.emit_block",
    (Axis.TIME, True): "memory.copy",
    (Axis.DATE, False): "memory.emit_dates",
    (Axis.DATE, True): "memory.scatter",
}

_MEMORY = -1  # level of leaves and of what an earlier group kept: readable in every stage


def _levels(nodes: Iterable[Node]) -> dict[Node, int]:
    """Level of each node (operands first); whatever is not among them is in memory already."""
    levels: dict[Node, int] = {}
    for node in nodes:
        if node.op in LEAVES:
            continue
        highest = max([levels.get(a, _MEMORY) for a in node.args] + [0])
        family = ops.get(node.op).family
        if family is Family.TIME_SERIES:
            highest += highest % 2
        elif family in (Family.CROSS_SECTION, Family.GROUP):
            highest += 1 - highest % 2
        levels[node] = highest
    return levels


def _kept(root: Node) -> int:
    """How many values below a root another level reads."""
    levels = _levels(postorder(root))
    return len({a for node, level in levels.items() for a in node.args if levels.get(a, level) != level})


def _shared(groups: Sequence[Sequence[Node]]) -> set[Node]:
    """Windows and cross-sections that a later group reads from an earlier one."""
    uses: dict[Node, int] = defaultdict(int)
    for roots in groups:
        for node in postorder(*roots):
            if node.op not in LEAVES and ops.get(node.op).family is not Family.ELEMENT:
                uses[node] += 1
    common = {node for node, groups_of in uses.items() if groups_of > 1}
    computed: set[Node] = set()
    shared: set[Node] = set()
    for roots in groups:
        new = list(unknown(roots, computed))
        shared.update(a for node in new for a in node.args if a in computed)
        computed.update(node for node in new if node in common)
    return shared


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
        windows = (v for p, v in zip(spec.statics, params, strict=True) if p.kind is Kind.WINDOW)
        self.max_window = max(self.max_window, *map(int, windows), 1)
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
        if self.axis is Axis.TIME and keep is not None:
            out = Slot(Space.BUFFER, keep)
        elif self.axis is Axis.TIME and self.plan.blocked and node in self.plan.outputs_of:
            # A blocked result is laid out as a register is: it is computed where it shall lie.
            out = Slot(Space.OUTPUT, self.plan.outputs_of[node][0])
        else:
            out = self._take()
        self.instructions.append(Instruction(spec.kernel, out, tuple(inputs), (*params, *values)))
        self.where[node] = out
        if keep is not None and self.axis is Axis.DATE:
            self.instructions.append(Instruction("memory.scatter", Slot(Space.BUFFER, keep), (out,)))
        for a in node.args:
            self.uses[a] -= 1
            if self.uses[a] == 0 and a in self.where:
                self._release(self.where.pop(a))

    def _emit(self, node: Node) -> None:
        kernel = _EMIT[self.axis, self.plan.blocked]
        for index in self.plan.outputs_of.pop(node):
            out = Slot(Space.OUTPUT, index)
            if self.where.get(node) != out:
                self.instructions.append(Instruction(kernel, out, (self._operand(node),)))
        if self.uses[node] == 0:
            self._release(self.where[node])

    def _in_order(self) -> Iterable[Node]:
        """Operands first, and elementwise work as late as it may be, so that it runs in one go (see the VM's loop).

        A window or a cross-section is computed as soon as the elementwise work below it is; what is left of an
        elementwise root follows it in one piece.
        """
        here = set(self.nodes)
        done: set[Node] = set()

        def left(root: Node) -> list[Node]:
            """What is not done at or below `root`; below what another stage computes there is nothing of this one."""
            nodes: list[Node] = []
            seen: set[Node] = set()
            stack = [(root, False)]
            while stack:
                node, expanded = stack.pop()
                if node in seen or node in done or node not in here:
                    continue
                if expanded:
                    seen.add(node)
                    nodes.append(node)
                else:
                    stack.append((node, True))
                    stack.extend((a, False) for a in reversed(node.args))
            return nodes

        def flush(root: Node) -> list[Node]:
            nodes = left(root)
            done.update(nodes)
            return nodes

        for node in self.nodes:
            last = node in self.plan.outputs_of or node in self.plan.buffer_of or node in self.sinks
            if last:
                for inner in left(node):
                    if inner not in done and ops.get(inner.op).family is not Family.ELEMENT:
                        yield from flush(inner)
            if last or ops.get(node.op).family is not Family.ELEMENT:
                yield from flush(node)
        for node in self.nodes:
            yield from flush(node)

    def _sink(self, node: Node) -> None:
        external = tuple(Slot(Space.EXTERNAL, i) for i in range(5 if self.plan.levels else 4))
        for index in self.plan.outputs_of.pop(node):
            inputs = (self._operand(node), *external)
            self.instructions.append(
                Instruction(self.plan.kernel, Slot(Space.OUTPUT, index), inputs, (float(self.plan.min_pairs),))
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


@dataclass(frozen=True)
class _Draft:
    """A stage before it is known which buffers nobody reads after it."""

    stager: _Stager
    allocates: tuple[int, ...]


class _Planner:
    """Builds a plan group by group. What a `_Stager` may read of it describes the group at hand."""

    def __init__(
        self, roots: Sequence[Node], *, sink: bool, blocked: bool, min_pairs: int, every: bool, levels: bool
    ) -> None:
        self.sink, self.blocked, self.min_pairs, self.every, self.levels = sink, blocked, min_pairs, every, levels
        self.kernel = "sinks.daily_levels" if levels else "sinks.daily" if every else "sinks.rank_ic"
        self.fields: dict[str, int] = {}
        self.outputs_of: dict[Node, list[int]] = defaultdict(list)  # results not written yet
        for i, root in enumerate(roots):
            self.outputs_of[root].append(i)
        distinct = list(self.outputs_of)
        if not sink:
            distinct.sort(key=_kept, reverse=True)
        self.groups = [distinct[i : i + GROUP] for i in range(0, len(distinct), GROUP)]
        self.shared = _shared(self.groups)
        self.buffer_of: dict[Node, int] = {}
        self.sinks_at: dict[int, list[Node]] = {}
        self.kept: set[Node] = set()
        self.n_buffers = 0
        self.last_read: dict[int, int] = {}
        self.drafts: list[_Draft] = []

    def _keep(self, node: Node) -> None:
        """A later stage reads this value."""
        if node not in self.buffer_of:
            self.buffer_of[node] = self.n_buffers
            self.n_buffers += 1

    def memory(self, node: Node) -> Slot:
        """Where a leaf or a value of an earlier stage lies."""
        if node.op in (FIELD, GROUP_LEAF):
            name = node.name if node.op == FIELD else f"group:{node.name}"
            return Slot(Space.FIELD, self.fields.setdefault(name, len(self.fields)))
        buffer = self.buffer_of[node]
        self.last_read[buffer] = len(self.drafts)
        return Slot(Space.BUFFER, buffer)

    def _group(self, roots: Sequence[Node]) -> None:
        roots = [r for r in roots if r in self.outputs_of]
        levels = _levels(unknown(roots, self.kept))
        self.buffer_of = {n: b for n, b in self.buffer_of.items() if n in self.kept}
        for node, level in levels.items():
            if node in self.shared:
                self._keep(node)
            for a in node.args:
                if levels.get(a, level) != level:
                    self._keep(a)
        by_level: dict[int, list[Node]] = defaultdict(list)
        for node, level in levels.items():
            by_level[level].append(node)
        leaves: list[Node] = []
        self.sinks_at = defaultdict(list)
        for node in dict.fromkeys((*levels, *roots)):
            if node not in self.outputs_of:
                continue
            if self.sink:
                level = max(levels.get(node, 0), 0)
                level += 1 - level % 2
                self.sinks_at[level].append(node)
                if levels.get(node, level) != level:
                    self._keep(node)
            elif node not in levels:
                leaves.append(node)
        for level in [*([0] if leaves else []), *self.sinks_at]:
            by_level[level] = by_level.get(level, [])
        for level in sorted(by_level):
            stager = _Stager(self, level, by_level[level])
            stager.build(leaves if level == 0 else ())
            self.drafts.append(_Draft(stager, tuple(self.buffer_of[n] for n in by_level[level] if n in self.buffer_of)))
        self.kept.update(n for n in levels if n in self.shared)

    def plan(self, n_outputs: int, lookback: int) -> Plan:
        for roots in self.groups:
            self._group(roots)
        releases: dict[int, list[int]] = defaultdict(list)
        for i, draft in enumerate(self.drafts):
            for buffer in draft.allocates:
                releases[self.last_read.get(buffer, i)].append(buffer)
        alive = peak = most = 0
        written: set[int] = set()
        stages = []
        for i, draft in enumerate(self.drafts):
            alive += len(draft.allocates)
            peak = max(peak, alive)
            made = draft.stager
            if not self.sink:
                written.update(x.out.index for x in made.instructions if x.out.space is Space.OUTPUT)
            most = max(most, alive + len(written))
            alive -= len(releases[i])
            stages.append(
                Stage(
                    made.axis,
                    tuple(made.instructions),
                    made.n_registers,
                    made.max_window,
                    draft.allocates,
                    tuple(releases[i]),
                )
            )
        return Plan(
            tuple(self.fields),
            tuple(stages),
            self.n_buffers,
            n_outputs,
            peak,
            most,
            sink=self.sink,
            every=self.every,
            levels=self.levels,
            blocked=self.blocked,
            lookback=lookback,
        )


def make_plan(
    roots: Sequence[Node],
    *,
    sink: bool = False,
    blocked: bool = False,
    min_pairs: int = 3,
    every: bool = False,
    levels: bool = False,
) -> Plan:
    """The program that computes lowered expressions `roots`; the i-th is output i.

    With `blocked`, outputs are blocked arrays (blocks, dates, 8): nothing turns them into rows of dates. With `sink`,
    output i is (dates, 2): the daily RankIC of root i with labels that are brought when it runs (missing
    with fewer than `min_pairs` pairs), and how many values it has that date; with `every` all figures, see
    `Plan.figures`, and with `levels` behind them ranks in 8 bits.
    """
    lookback = max((passes.lookback(r) for r in roots), default=0)
    return _Planner(roots, sink=sink, blocked=blocked, min_pairs=min_pairs, every=every, levels=levels).plan(
        len(roots), lookback
    )
