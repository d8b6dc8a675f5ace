"""An alpha one date at a time: the bits of the batch, in time that does not grow with the history.

1. The lowered expression is cut where an operator looks back (`_levels`, `_Cut`). A level holds the time-series
   operators whose operands earlier levels know, then everything of the new date that follows from them.
2. For each operand of a time-series operator the last rows are kept (`_History`), as many as the longest look back
   needs; nothing else of the past is.
3. `push` evaluates, level by level, the time-series operators on their operands' windows and keeps the last row, then
   the rest of the level on the one new row.

Why the bits are those of the batch: a window's value depends on the rows inside it and on where its half-blocks are
cut, which the absolute index of the date decides (`kernels.blocks`); rows kept + 1 cover the window, and `origin` tells
the kernels the index of the first of them. Other kernels see one date at a time anyway.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast import lang, ops, passes
from fama_fast.engine.evaluate import lowered_roots
from fama_fast.errors import DataError, FamaError, StoreError, UnknownName, nearest_name
from fama_fast.ir import CONST, FIELD, GROUP, LEAVES, Node, field, make, postorder
from fama_fast.panel import GroupField, Panel
from fama_fast.plan import UNIVERSE, Plan, make_plan
from fama_fast.types import Family, derived_field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fama_fast.engine.alpha import Alpha
    from fama_fast.types import FloatArray

_FORMAT = 1


def _levels(root: Node) -> dict[Node, int]:
    """Time-series operators stand one level above their operands, all else beside the highest of them."""
    levels: dict[Node, int] = {}
    for node in postorder(root):
        above = node.op not in LEAVES and ops.get(node.op).family is Family.TIME_SERIES
        levels[node] = max((levels[a] for a in node.args), default=0) + above
    return levels


@dataclass(frozen=True)
class _Cut:
    """One level: what runs on windows, then what runs on the new row, each with the nodes its outputs are."""

    window: int  # rows before today that the time-series operators need
    rolling: tuple[Node, ...]
    rolling_plan: Plan | None
    cells: tuple[Node, ...]
    cells_plan: Plan | None


class _Schedule:
    """The levels of an expression and what must be kept between dates."""

    def __init__(self, root: Node) -> None:
        self.root = root
        levels = _levels(root)
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
        self.cuts: list[_Cut] = []
        for level in range(max(levels.values()) + 1):
            window = max((ops.get(n.op).own_lookback(n.params) for n in rolling[level]), default=0)
            for operand in (a for n in rolling[level] for a in n.args if a.op not in (CONST, GROUP)):
                self.keep[operand] = max(self.keep.get(operand, 0), window)
            stand_ins = [make(n.op, [self._known(a) for a in n.args], n.params) for n in rolling[level]]
            wanted = tuple(n for n in cells[level] if n in read)
            self.cuts.append(
                _Cut(
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
        """The wanted ones of a level's nodes over leaves that are known."""
        here = set(nodes)
        done: dict[Node, Node] = {}
        for node in nodes:  # operands first
            args = [done[a] if a in here else self._known(a) for a in node.args]
            done[node] = make(node.op, args, node.params)
        return [done[n] for n in wanted]


def _crosses(node: Node, operand: Node, level: int, levels: Mapping[Node, int]) -> bool:
    """The operand's values are needed outside the evaluation that makes them."""
    return levels[operand] != level or ops.get(node.op).family is Family.TIME_SERIES


class _History:
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


class Stream:
    """Takes one new date's rows and gives that date's values. Made by `Alpha.stream`.

    Attributes:
        alpha: what is computed. symbols: the order of every row.
        required_fields, required_groups: what it reads of the data.
        n_dates: dates since the history's first.
    """

    def __init__(self, alpha: Alpha, panel: Panel, *, min_coverage: float | None = None, threads: int = 1) -> None:
        """`panel` is the history so far; what is not needed of it is not kept."""
        self._set_up(alpha, panel, min_coverage, threads)
        self.n_dates = len(panel.dates)
        self._histories = self._past(panel)
        self._last = self._needed(panel)

    def _set_up(self, alpha: Alpha, panel: Panel, min_coverage: float | None, threads: int) -> None:
        self.alpha = alpha
        self.symbols = panel.symbols
        self.threads = threads
        self._min_coverage = min_coverage
        self._schedule = _Schedule(lowered_roots([alpha], panel, min_coverage)[0])
        self._supplied = panel.supplied_fields
        leaves = [n for n in postorder(self._schedule.root) if n.op in (FIELD, GROUP)]
        self._fields = tuple(n.name for n in leaves if n.op == FIELD and n.name != UNIVERSE)
        self.required_groups = tuple(n.name for n in leaves if n.op == GROUP)
        inputs: dict[str, None] = {}
        for name in self._fields:
            derived = None if name in self._supplied else derived_field(name)
            inputs.update(dict.fromkeys(derived.inputs if derived else (name,)))
        self.required_fields = tuple(inputs)

    @property
    def date(self) -> np.datetime64:
        """The last date taken."""
        return self._last.dates[-1]  # type: ignore[no-any-return]

    def _needed(self, panel: Panel) -> Panel:
        """The last date of a panel, with what the alpha reads."""
        end = len(panel.dates)
        last = panel.slice_dates(end - 1, end)
        return Panel(
            last.dates,
            last.symbols,
            {name: last[name] for name in self.required_fields},
            universe=last.universe,
            groups={name: last.group(name) for name in self.required_groups},
        )

    def _past(self, panel: Panel) -> dict[Node, _History]:
        """The last rows of every kept node, from no more of the panel than they need."""
        from fama_fast.backends.numba_vm.run import execute

        keep = self._schedule.keep
        if not keep:
            return {}
        supplied = frozenset(panel.supplied_fields)
        need = max(rows + passes.lookback(node, supplied) for node, rows in keep.items())
        start = max(0, self.n_dates - need - 1)
        part = panel.slice_dates(start, self.n_dates)
        values = execute(make_plan(list(keep)), part, threads=self.threads, origin=start)
        return {node: _History(v, rows) for (node, rows), v in zip(keep.items(), values, strict=True)}

    def push(
        self,
        date: Any,
        fields: Mapping[str, Any],
        *,
        universe: Any = None,
        groups: Mapping[str, Sequence[str | None]] | None = None,
    ) -> FloatArray:
        """Take the rows of one more market date; values for that date, (N,) float64, NaN where missing.

        Args:
            date: after the last one.
            fields: a row of N numbers for each of `required_fields`, in the order of `symbols`; NaN is missing. Other
                fields of the panel may be there and are not read.
            universe: N booleans; None: the members of the date before.
            groups: N labels (None: no group) by group field; a group field not given keeps the labels of the date
                before.

        Raises:
            DataError: a date that is not later, a field that is absent, a row of another length. Nothing is taken
            then. UnknownName: a field or group that the panel did not have.
        """
        today = self._today(date, fields, universe, groups or {})
        rows: dict[Node, FloatArray] = {}
        for node in postorder(self._schedule.root):
            if node.op == FIELD and node.name != UNIVERSE:
                rows[node] = today[node.name][-1]
        for cut in self._schedule.cuts:
            self._run(cut, rows, today)
        for node, history in self._histories.items():
            history.add(rows[node])
        self._last = self._needed(today)
        self.n_dates += 1
        root = self._schedule.root
        if root.op == CONST:
            return np.full(len(self.symbols), root.value)
        return rows[root].copy()

    def _run(self, cut: _Cut, rows: dict[Node, FloatArray], today: Panel) -> None:
        """The values of one level for the new date, into `rows`."""
        from fama_fast.backends.numba_vm.run import execute

        names = self._schedule.names
        if cut.rolling_plan is not None:
            before = min(cut.window, self.n_dates)
            operands = {a for n in cut.rolling for a in n.args if a in self._histories}
            fields = {names[a]: self._histories[a].window(before, rows[a]) for a in operands}
            panel = Panel(np.datetime64(0, "D") + np.arange(before + 1), self.symbols, fields)
            values = execute(cut.rolling_plan, panel, threads=self.threads, origin=self.n_dates - before)
            rows.update({n: v[-1] for n, v in zip(cut.rolling, values, strict=True)})
        if cut.cells_plan is not None:
            fields = {names[n]: row[None, :] for n, row in rows.items() if n in names}
            universe = None if today.universe is None else today.universe[-1:]
            labels = {g: GroupField(today.group(g).codes[-1:], today.group(g).labels) for g in self.required_groups}
            panel = Panel(today.dates[-1:], self.symbols, fields, universe=universe, groups=labels)
            values = execute(cut.cells_plan, panel, threads=self.threads)
            rows.update({n: v[0] for n, v in zip(cut.cells, values, strict=True)})

    def _today(self, date: Any, fields: Mapping[str, Any], universe: Any, groups: Mapping[str, Any]) -> Panel:
        """The date before and the new one as a panel, which derives what follows from both."""
        last = self._last
        when = np.datetime64(date).astype(last.dates.dtype)
        if not when > last.dates[-1]:
            raise DataError(f"{when} is not after {last.dates[-1]}, the last date taken")
        given = {name.upper(): row for name, row in fields.items()}
        for name in given:
            if name not in self._supplied:
                near = nearest_name(name, self._supplied)
                raise UnknownName(f"the panel has no field {name!r}", suggestion=near)
        absent = [name for name in self.required_fields if name not in given]
        if absent:
            raise DataError(f"the rows of {when} lack {', '.join(absent)}")
        both = {
            name: np.stack([last[name][0], self._row(name, given[name], np.float64)]) for name in self.required_fields
        }
        mask = None
        if universe is not None and last.universe is None:
            raise DataError("the panel had no universe: its symbols are always members")
        if last.universe is not None:
            now = last.universe[0] if universe is None else self._row("universe", universe, np.bool_)
            mask = np.stack([last.universe[0], now])
        return Panel(
            np.array([last.dates[-1], when]),
            self.symbols,
            both,
            universe=mask,
            groups=self._labelled({name.upper(): labels for name, labels in groups.items()}),
        )

    def _labelled(self, given: Mapping[str, Any]) -> dict[str, GroupField]:
        for name in given:
            if name not in self.required_groups:
                raise UnknownName(
                    f"the alpha reads no group field {name!r}", suggestion=nearest_name(name, self.required_groups)
                )
        out = {}
        for name in self.required_groups:
            before = self._last.group(name)
            if name not in given:
                out[name] = GroupField(np.repeat(before.codes, 2, axis=0), before.labels)
                continue
            row = self._row(name, given[name], np.object_)
            codes = {label: float(i) for i, label in enumerate(before.labels)}
            now = [np.nan if x is None else codes.setdefault(str(x), float(len(codes))) for x in row]
            out[name] = GroupField(np.stack([before.codes[0], np.array(now)]), tuple(codes))
        return out

    def _row(self, name: str, values: Any, dtype: Any) -> Any:
        row = np.asarray(values, dtype=dtype)
        if row.shape != self.symbols.shape:
            raise DataError(f"{name} has shape {row.shape}, not ({len(self.symbols)},): one value a symbol")
        return row

    def state(self) -> bytes:
        """All that `restore` needs to go on, as one file's content (NumPy's npz; nothing in it is executed)."""
        last = self._last
        header = {
            "format": _FORMAT,
            "text": self.alpha.text,
            "dialect": self.alpha.dialect,
            "canonical": self.alpha.canonical,
            "fingerprint": self.alpha.fingerprint,
            "min_coverage": self._min_coverage,
            "n_dates": self.n_dates,
            "supplied": self._supplied,
            "fields": self.required_fields,
            "groups": {name: last.group(name).labels for name in self.required_groups},
            "symbols": list(self.symbols),
            "date": str(last.dates[0]),
            "unit": last.dates.dtype.str,
            "universe": last.universe is not None,
        }
        arrays: dict[str, Any] = {f"field {n}": last[n][0] for n in self.required_fields}
        arrays |= {f"group {n}": last.group(n).codes[0] for n in self.required_groups}
        arrays |= {f"history {n.key}": h.rows for n, h in self._histories.items()}
        if last.universe is not None:
            arrays["universe"] = last.universe[0]
        out = io.BytesIO()
        np.savez(out, header=np.frombuffer(json.dumps(header).encode(), dtype=np.uint8), **arrays)
        return out.getvalue()

    @classmethod
    def restore(cls, state: bytes, *, threads: int = 1) -> Stream:
        """The stream that `state` was taken from.

        Raises:
            StoreError: not a stream's state, or one whose expression means something else in this version.
        """
        try:
            return cls._restored(state, threads)
        except FamaError:
            raise
        except Exception as error:  # whatever bytes may be given
            raise StoreError(f"this is not the state of a stream: {type(error).__name__}: {error}") from error

    @classmethod
    def _restored(cls, state: bytes, threads: int) -> Stream:
        from fama_fast.engine.alpha import Alpha

        try:
            with np.load(io.BytesIO(state), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            header = json.loads(arrays["header"].tobytes())
            version = header["format"]
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise StoreError(f"this is not the state of a stream: {error}") from None
        if version != _FORMAT:
            raise StoreError(f"the stream's state has format {version}, this version reads {_FORMAT}")
        supplied = tuple(header["supplied"])
        groups = {n: GroupField(arrays[f"group {n}"][None, :], tuple(v)) for n, v in header["groups"].items()}
        last = Panel(
            np.array([header["date"]], dtype=header["unit"]),
            header["symbols"],
            {n: arrays[f"field {n}"][None, :] for n in header["fields"]},
            universe=arrays["universe"][None, :] if header["universe"] else None,
            groups=groups,
        )
        node = passes.canonicalise(lang.parse(header["canonical"], fields=last.fields, groups=last.groups))
        alpha = Alpha(header["text"], header["dialect"], node)
        stream = cls.__new__(cls)
        stream._set_up(alpha, last, header["min_coverage"], threads)
        keep = stream._schedule.keep
        if alpha.fingerprint != header["fingerprint"] or any(f"history {n.key}" not in arrays for n in keep):
            raise StoreError("the stream's expression is computed otherwise in this version: start it from a panel")
        stream._supplied = supplied
        stream.n_dates = header["n_dates"]
        stream._last = last
        stream._histories = {n: _History(arrays[f"history {n.key}"], rows) for n, rows in keep.items()}
        return stream
