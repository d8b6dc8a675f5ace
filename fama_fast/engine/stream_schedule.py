"""Plans the computation of an expression one date at a time: its levels, and the rows that are kept between dates."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fama_fast import ops
from fama_fast.ir import CONST, FIELD, GROUP, LEAVES, Node, field, make, postorder
from fama_fast.plan import UNIVERSE, Plan, make_plan
from fama_fast.types import Family

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fama_fast.types import FloatArray


def levels_of(root: Node) -> dict[Node, int]:
    """The level of each node: time-series operators stand one level above their operands, all else beside the highest
    of them."""
    levels: dict[Node, int] = {}
    for node in postorder(root):
        above = node.op not in LEAVES and ops.get(node.op).family is Family.TIME_SERIES
        levels[node] = max((levels[a] for a in node.args), default=0) + above
    return levels


@dataclass(frozen=True)
class Cut:
    """One level: what runs on windows, then what runs on the new row, each with the nodes of its outputs."""

    window: int  # rows before today that the time-series operators need
    rolling: tuple[Node, ...]
    rolling_plan: Plan | None
    cells: tuple[Node, ...]
    cells_plan: Plan | None


class Schedule:
    """The levels of an expression, and what must be kept between dates."""

    def __init__(self, root: Node) -> None:
        self.root = root
        levels = levels_of(root)
        self.names: dict[Node, str] = {}  # nodes whose values stand as fields of a later evaluation
        rolling: dict[int, list[Node]] = defaultdict(list)
        cells: dict[int, list[Node]] = defaultdict(list)
        self.keep: dict[Node, int] = {}
        for node, level in levels.items():
            if node.op in LEAVES:
                continue
            above = ops.get(node.op).family is Family.TIME_SERIES
            (rolling if above else cells)[level].append(node)
        read = {root} | {a for n, at in levels.items() for a in n.args if _crosses(n, a, at, levels)}
        self.cuts: list[Cut] = []
        for level in range(max(levels.values()) + 1):
            window = max((ops.get(n.op).own_lookback(n.params) for n in rolling[level]), default=0)
            for operand in (a for n in rolling[level] for a in n.args if a.op not in (CONST, GROUP)):
                self.keep[operand] = max(self.keep.get(operand, 0), window)
            stand_ins = [make(n.op, [self._known(a) for a in n.args], n.params) for n in rolling[level]]
            wanted = tuple(n for n in cells[level] if n in read)
            self.cuts.append(
                Cut(
                    window,
                    tuple(rolling[level]),
                    make_plan(stand_ins) if stand_ins else None,
                    wanted,
                    make_plan(self._written(cells[level], wanted)) if wanted else None,
                )
            )

    def _known(self, node: Node) -> Node:
        """The leaf that stands for a node whose values are there."""
        if node.op in (CONST, GROUP) or (node.op == FIELD and node.name == UNIVERSE):
            return node
        return field(self.names.setdefault(node, f"#{len(self.names)}"))

    def _written(self, nodes: Sequence[Node], wanted: Sequence[Node]) -> list[Node]:
        """The wanted nodes of a level, rewritten over leaves that are known."""
        here = set(nodes)
        done: dict[Node, Node] = {}
        for node in nodes:  # operands first
            args = [done[a] if a in here else self._known(a) for a in node.args]
            done[node] = make(node.op, args, node.params)
        return [done[n] for n in wanted]


def _crosses(node: Node, operand: Node, level: int, levels: Mapping[Node, int]) -> bool:
    """Whether the operand's values are needed outside the evaluation that makes them."""
    return levels[operand] != level or ops.get(node.op).family is Family.TIME_SERIES


class History:
    """The last rows of one node's values. The rows lie in the middle of a longer array, so that adding is a copy of
    one row, and moving them back to its start is rare.
    """

    def __init__(self, rows: FloatArray, keep: int) -> None:
        self.keep = keep
        rows = rows[max(0, len(rows) - keep) :]
        self._data = np.full((2 * keep + 16, rows.shape[1]), np.nan)
        self._data[: len(rows)] = rows
        self._end = len(rows)

    @property
    def rows(self) -> FloatArray:
        return self._data[max(0, self._end - self.keep) : self._end]

    def window(self, before: int, today: FloatArray) -> FloatArray:
        """At most `before` rows, then today's."""
        self._data[self._end] = today
        return self._data[max(0, self._end - before) : self._end + 1]

    def add(self, today: FloatArray) -> None:
        self._data[self._end] = today
        self._end += 1
        if self._end == len(self._data):
            rows = self.rows.copy()
            self._data[: len(rows)] = rows
            self._end = len(rows)
