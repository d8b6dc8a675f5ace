"""Computes an alpha one date at a time, bit-identical to the batch, in time that does not grow with the history.

1. The lowered expression is cut where an operator looks back (`levels_of`, `Cut`). A level holds the time-series
   operators whose operands earlier levels know, then everything of the new date that follows from them.
2. For each operand of a time-series operator the last rows are kept (`History`), as many as the longest look back
   needs; nothing else of the past is.
3. `push` evaluates, level by level, the time-series operators on their operands' windows and keeps the last row, then
   the rest of the level on the one new row.

Why it is bit-identical to the batch: a window's value depends on the rows inside it and on where its half-blocks are
cut, which the absolute index of the date decides (`kernels.blocks`); rows kept + 1 cover the window, and `origin` gives
the kernels the index of the first of them. Other kernels see one date at a time anyway.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast import lang, passes
from fama_fast.arguments import numbers, shown, truths, whole
from fama_fast.backends.numba_vm.threads import thread_count
from fama_fast.engine.prepare import lowered_roots
from fama_fast.engine.stream_schedule import Cut, History, Schedule
from fama_fast.errors import DataError, FamaError, StoreError, UnknownName, nearest_name, shortened
from fama_fast.ir import CONST, FIELD, GROUP, Node, postorder
from fama_fast.panel import GroupField, Panel
from fama_fast.plan import UNIVERSE, make_plan
from fama_fast.types import derived_field

if TYPE_CHECKING:
    from fama_fast.engine.alpha import Alpha
    from fama_fast.types import FloatArray

_FORMAT = 1

# What comes of bytes that are no state, one way or the other.
_DAMAGE = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    OSError,
    EOFError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)


def _read_date(date: Any, dtype: Any) -> Any:
    """Parse a date into the form that the panel has.

    Raises:
        DataError: not a date.
    """
    try:
        when = np.datetime64(date).astype(dtype)
    except (TypeError, ValueError, OverflowError):
        when = np.datetime64("NaT")
    if isinstance(date, bool | int | float | np.number) or when.shape or np.isnat(when):
        raise DataError(f"a date such as 2024-01-31 is due, not {shown(date)}")
    return when


class Stream:
    """Computes the values of one new date from that date's rows. Made by `Alpha.stream`.

    Attributes:
        alpha: what is computed. symbols: the order of every row.
        required_fields, required_groups: what it reads of the data.
        n_dates: dates since the history's first.
    """

    def __init__(self, alpha: Alpha, panel: Panel, *, min_coverage: float | None = None, threads: int = 1) -> None:
        """`panel` is the history so far; what is not needed of it is not kept.

        Raises:
            ConfigError: threads or min_coverage out of range. UnknownName: the panel lacks what the alpha reads.
        """
        thread_count(threads)
        self._set_up(alpha, panel, min_coverage, threads)
        self.n_dates = len(panel.dates)
        self._histories = self._past(panel)
        self._last = self._needed(panel)

    def _set_up(self, alpha: Alpha, panel: Panel, min_coverage: float | None, threads: int) -> None:
        self.alpha = alpha
        self.symbols = panel.symbols
        self.threads = threads
        self._min_coverage = min_coverage
        self._schedule = Schedule(lowered_roots([alpha], panel, min_coverage)[0])
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
        """The date pushed last."""
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

    def _past(self, panel: Panel) -> dict[Node, History]:
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
        return {node: History(v, rows) for (node, rows), v in zip(keep.items(), values, strict=True)}

    def push(
        self,
        date: Any,
        fields: Mapping[str, Any],
        *,
        universe: Any = None,
        groups: Mapping[str, Sequence[str | None]] | None = None,
    ) -> FloatArray:
        """Add the rows of one more market date; returns the values for that date, (N,) float64, NaN where missing.

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

    def check(self, date: Any, fields: Mapping[str, Any], *, universe: Any = None, groups: Any = None) -> None:
        """Raise what `push` would of these rows, and take nothing."""
        self._today(date, fields, universe, groups or {})

    def _run(self, cut: Cut, rows: dict[Node, FloatArray], today: Panel) -> None:
        """Compute the values of one level for the new date, into `rows`."""
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
            labels = {
                g: GroupField.view(today.group(g).codes[-1:], today.group(g).labels) for g in self.required_groups
            }
            panel = Panel(today.dates[-1:], self.symbols, fields, universe=universe, groups=labels)
            values = execute(cut.cells_plan, panel, threads=self.threads)
            rows.update({n: v[0] for n, v in zip(cut.cells, values, strict=True)})

    def _today(self, date: Any, fields: Mapping[str, Any], universe: Any, groups: Mapping[str, Any]) -> Panel:
        """The date before and the new one as a panel, which derives what follows from both."""
        last = self._last
        when = _read_date(date, last.dates.dtype)
        if not when > last.dates[-1]:
            raise DataError(f"{when} is not after {last.dates[-1]}, the last date taken")
        if not isinstance(fields, Mapping) or not all(isinstance(name, str) for name in fields):
            raise DataError(
                f"fields must be a mapping from names to rows, such as {{'CLOSE': row}}, not {shown(fields)}"
            )
        if not isinstance(groups, Mapping):
            raise DataError(f"groups must be rows of labels by name, not {shown(groups)}")
        rows = {name.upper(): row for name, row in fields.items()}
        for name in rows:
            if name not in self._supplied:
                near = nearest_name(name, self._supplied)
                raise UnknownName(f"the panel has no field {name!r}", suggestion=near)
        absent = [name for name in self.required_fields if name not in rows]
        if absent:
            raise DataError(f"the rows of {when} lack {', '.join(absent)}")
        both = {name: np.stack([last[name][0], self._numbers(name, rows[name])]) for name in self.required_fields}
        mask = None
        if universe is not None and last.universe is None:
            raise DataError("the panel had no universe: its symbols are always members")
        if last.universe is not None:
            now = last.universe[0] if universe is None else self._fits("universe", truths(universe, "universe"))
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
                out[name] = GroupField.view(np.repeat(before.codes, 2, axis=0), before.labels)
                continue
            row = self._labels(name, given[name])
            codes = {label: float(i) for i, label in enumerate(before.labels)}
            now = [np.nan if x is None else codes.setdefault(str(x), float(len(codes))) for x in row]
            out[name] = GroupField(np.stack([before.codes[0], np.array(now)]), tuple(codes))
        return out

    def _numbers(self, name: str, values: Any) -> Any:
        return self._fits(name, numbers(values, name))

    def _labels(self, name: str, values: Any) -> Any:
        if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray):
            raise DataError(f"{name} must be a row of labels, not {shown(values)}")
        labels = [x for x in values if x is not None and not (isinstance(x, float) and math.isnan(x))]
        if any(not isinstance(x, str) for x in labels):
            raise DataError(f"{name} must be a row of labels (text, or None for no group), not {shown(values)}")
        return self._fits(name, np.array([x if isinstance(x, str) else None for x in values], dtype=object))

    def _fits(self, name: str, row: Any) -> Any:
        if row.shape != self.symbols.shape:
            raise DataError(f"{name} has shape {row.shape}, not ({len(self.symbols)},): one value a symbol")
        return row

    def state(self) -> bytes:
        """The state that `restore` needs to continue, as one file's content (NumPy's npz; nothing in it is
        executed)."""
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
            StoreError: not a stream's state, a damaged one, or one whose expression means something else in this
            version. ConfigError: threads that are no number of them.
        """
        thread_count(threads)
        try:
            with np.load(io.BytesIO(state), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            header = json.loads(arrays["header"].tobytes())
            version = header["format"]
            if version != _FORMAT:
                raise StoreError(f"the stream's state has format {version}, this version reads {_FORMAT}")
            return cls._restored(header, arrays, threads)
        except StoreError:
            raise
        except (FamaError, *_DAMAGE) as error:
            raise StoreError(
                f"this is not the state of a stream, or it is damaged: {shortened(str(error), 160)}"
            ) from None

    @classmethod
    def _restored(cls, header: Mapping[str, Any], arrays: Mapping[str, Any], threads: int) -> Stream:
        from fama_fast.engine.alpha import Alpha

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
        stream.n_dates = whole(header["n_dates"], "n_dates", 1, 10**12)
        stream._last = last
        stream._histories = {}
        for n, rows in keep.items():
            history = numbers(arrays[f"history {n.key}"], "a history", ndim=2)
            if history.shape != (min(rows, stream.n_dates), last.symbols.size):
                raise DataError(f"a history has shape {history.shape}")
            stream._histories[n] = History(history, rows)
        return stream
