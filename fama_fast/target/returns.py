"""What a target is made of before anything is done to it: an expression that looks ahead, or a column of the data.

Each LEAD(x, d) is x as an alpha, computed on its own rows, moved up d rows and put in place as a field; the expression
around it is then an alpha over such fields. So every operator, window and cross-section has the meaning that it has in
an alpha, on the date that it is taken of, and chunks of dates give the bits of all at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fama_fast import passes
from fama_fast.data.labels import check_days
from fama_fast.errors import ConfigError, UnknownName, listed, nearest_name, shortened
from fama_fast.ir import FIELD, GROUP, postorder
from fama_fast.lang.leads import parse_leading
from fama_fast.ops import get
from fama_fast.panel import Panel
from fama_fast.plan import UNIVERSE, make_plan, mask_members
from fama_fast.types import PRICE_FIELDS, derived_field

if TYPE_CHECKING:
    from fama_fast.engine.chunks import Loaded
    from fama_fast.ir import Node
    from fama_fast.panel.source import Source
    from fama_fast.plan import Plan
    from fama_fast.types import FloatArray

# A price of zero or below is no price.
_PRICES = frozenset((*PRICE_FIELDS, "VWAP"))


@dataclass(frozen=True)
class Leads:
    """How far an expression looks ahead: `last` rows at most, `first` at least; 0 where something in it is of today or
    before. `entered`: the fields that it looks at on the nearest row (a return's is CLOSE)."""

    first: int
    last: int
    entered: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Part:
    """A piece of the expression: what it is called (empty: the whole), its program, and on which rows it is needed.

    To have it on the rows [a, b) the piece is computed on [a + days, b + days). For labels of the dates [start, stop)
    it is needed on [start - before, stop + after). `plain`: it is this field and nothing else.
    """

    name: str
    days: int
    plan: Plan
    fields: tuple[str, ...]
    groups: tuple[str, ...]
    lookback: int
    before: int
    after: int
    plain: str | None


@dataclass(frozen=True)
class LeadReturns:
    """An expression that looks ahead, made ready for the names of some data. `parts` in the order of computing."""

    parts: tuple[_Part, ...]
    fields: tuple[str, ...]
    groups: tuple[str, ...]
    rows_before: int
    leads: Leads

    @property
    def rows_after(self) -> int:
        """Rows that the expression looks ahead."""
        return self.leads.last

    @property
    def cell_bytes(self) -> int:
        """What computing it takes a cell."""
        return 8 * (2 * len(self.fields) + 2 * len(self.parts) + max(p.plan.peak_buffers for p in self.parts))

    @classmethod
    def of(cls, text: str, dialect: str, source: Source) -> LeadReturns:
        """For these data.

        Raises:
            ExpressionError: as `lang.leads.parse_leading`, with the names of the data.
        """
        read = parse_leading(text, dialect=dialect, fields=source.fields, groups=source.groups)
        pieces = [*((a.name, a.node, a.days) for a in read.ahead), ("", read.node, 0)]
        return _bound(text, pieces, source)

    def rows(self, loaded: Loaded, start: int, stop: int, threads: int | None = None) -> FloatArray:
        """(stop - start, N) values on the dates [start, stop), NaN where missing."""
        dates = _dates(loaded)
        made: dict[str, tuple[int, FloatArray]] = {}  # by name, with the row that the array begins at
        for part in self.parts:
            first = min(dates, max(0, start - part.before))
            last = max(first, min(dates, stop + part.after))
            a, b = min(dates, first + part.days), min(dates, last + part.days)
            values = _values(part, loaded, made, a, b, threads)
            if part.days or b - a < last - first:
                moved = np.full((last - first, values.shape[1]), np.nan)
                moved[: b - a] = values
                values = moved
            made[part.name] = first, values
        return made[""][1]


def leads_of(text: str, dialect: str) -> Leads:
    """How far a text looks ahead, whatever the data.

    Raises:
        ExpressionError: it is not in the language. ConfigError: it does not look ahead at all.
    """
    read = parse_leading(text, dialect=dialect)
    pieces = [*((a.name, a.node, a.days) for a in read.ahead), ("", read.node, 0)]
    leads = _leads(pieces)
    if leads.last == 0:
        raise ConfigError(
            f"returns {shortened(text)}: they are known today: what is predicted has a LEAD, such as "
            "LEAD(CLOSE, 2) / LEAD(CLOSE, 1) - 1"
        )
    return leads


def _leads(pieces: list[tuple[str, Node, int]]) -> Leads:
    """Of the fields of the data that the pieces read, how many rows ahead the nearest and the farthest is."""
    ahead: dict[str, tuple[int, int]] = {"": (0, 0)}
    found: list[tuple[int, int, str]] = []
    for name, node, days in reversed(pieces):
        if name not in ahead:
            continue  # what stood in front of it was not there after all
        near, far = ahead[name][0] + days, ahead[name][1] + days
        for leaf, back in _looked_back(node).items():
            if leaf.startswith("LEAD "):
                known = ahead.get(leaf, (near - back, far))
                ahead[leaf] = min(known[0], near - back), max(known[1], far)
            else:
                derived = derived_field(leaf)
                own = derived.inputs[0] if derived and derived.lookback else leaf
                found.append((near - back - (derived.lookback if derived else 0), far, own))
    if not found:
        return Leads(0, 0)
    first = min(near for near, _, _ in found)
    entered = dict.fromkeys(name for near, _, name in found if near == first)
    return Leads(max(0, first), max(far for _, far, _ in found), tuple(entered))


def _looked_back(root: Node) -> dict[str, int]:
    """How many rows back each field is looked at, at most."""
    rows: dict[Node, int] = {root: 0}
    out: dict[str, int] = {}
    for node in reversed(list(postorder(root))):
        if node.op == FIELD:
            out[node.name] = max(out.get(node.name, 0), rows[node])
        elif node.args:
            back = rows[node] + get(node.op).own_lookback(node.params)
            for arg in node.args:
                rows[arg] = max(rows.get(arg, 0), back)
    return out


def _bound(text: str, pieces: list[tuple[str, Node, int]], source: Source) -> LeadReturns:
    ours = {name for name, _, _ in pieces if name}
    supplied = frozenset(source.supplied_fields) | ours
    available = frozenset(source.fields) | ours
    before: dict[str, int] = {"": 0}
    after: dict[str, int] = {"": 0}
    parts: list[_Part] = []
    needed: dict[str, None] = {}
    groups: dict[str, None] = {}
    rows_before = 0
    for name, written, days in reversed(pieces):
        if name not in before:
            continue
        root = passes.share(passes.lower(passes.canonicalise(written), available))
        if source.has_universe:
            (root,) = mask_members([root])
        lookback = passes.lookback(root, supplied)
        names, own_groups = _names(root, source, ours)
        early = before[name] - days + lookback
        for field in names:
            if field in ours:
                before[field] = max(before.get(field, early), early)
                after[field] = max(after.get(field, 0), after[name] + days)
            else:
                needed[field] = None
                rows_before = max(rows_before, early)
        groups.update(dict.fromkeys(own_groups))
        plain = root.name if root.op == FIELD and root.name != UNIVERSE else None
        parts.append(
            _Part(
                name,
                days,
                make_plan((root,)),
                tuple(names),
                tuple(own_groups),
                lookback,
                before[name],
                after[name],
                plain,
            )
        )
    return LeadReturns(tuple(reversed(parts)), tuple(needed), tuple(groups), rows_before, _leads(pieces))


def _names(root: Node, source: Source, ours: set[str]) -> tuple[list[str], list[str]]:
    """Fields that a piece reads (those that others derive from in their place) and groups."""
    fields: dict[str, None] = {}
    groups: dict[str, None] = {}
    for node in postorder(root):
        if node.op == GROUP:
            groups[node.name] = None
        elif node.op == FIELD and node.name != UNIVERSE:
            given = node.name in source.supplied_fields or node.name in ours
            derived = None if given else derived_field(node.name)
            fields.update(dict.fromkeys(derived.inputs if derived else (node.name,)))
    return list(fields), list(groups)


def _dates(loaded: Loaded) -> int:
    """One behind the last row in memory, which is the data's last where labels reach behind it."""
    at, panel = loaded.pieces[-1]
    return at + len(panel.dates)


def _values(
    part: _Part, loaded: Loaded, made: dict[str, tuple[int, FloatArray]], start: int, stop: int, threads: int | None
) -> FloatArray:
    """A piece on the rows [start, stop), of fields of the data and of pieces that are made."""
    from fama_fast.backends.numba_vm.run import execute

    begin = max(0, start - part.lookback)
    if stop <= start:
        return np.empty((0, len(loaded.pieces[0][1].symbols)))
    view = loaded.rows(begin, stop)
    arrays = {name: _cut(made[name], begin, stop) if name in made else _price(name, view[name]) for name in part.fields}
    if part.plain in arrays:
        return arrays[part.plain][start - begin :]
    panel = Panel(
        view.dates,
        view.symbols,
        arrays,
        universe=view.universe,
        groups={g: view.group(g) for g in part.groups},
        copy=False,
    )
    if part.plain is not None:
        return panel[part.plain][start - begin :]
    (found,) = execute(part.plan, panel, threads=threads, origin=begin, wanted=start - begin)
    return found


def _cut(piece: tuple[int, FloatArray], start: int, stop: int) -> FloatArray:
    first, values = piece
    return values[start - first : stop - first]


def _price(name: str, values: FloatArray) -> FloatArray:
    """Values of a field as float64, those of a price missing where it is no price."""
    out: FloatArray = np.ascontiguousarray(values, dtype=np.float64)
    if name in _PRICES:
        no_price = out <= 0.0
        if no_price.any():
            out = np.where(no_price, np.nan, out)
    return out


@dataclass(frozen=True)
class ColumnReturns:
    """An own label: the values of a column, which look `rows_after` rows ahead. `dates`: of the data.

    The last `rows_after` dates have none, as no label has that looks behind the last row: of data that are cut where
    the test begins, the column would tell of the test.
    """

    column: str
    rows_after: int
    dates: int
    rows_before: int = 0
    groups: tuple[str, ...] = ()

    @classmethod
    def of(cls, column: str, reach: int, source: Source) -> ColumnReturns:
        """Of these data.

        Raises:
            UnknownName: they have no such column.
        """
        name = column.upper()
        if name not in source.supplied_fields:
            raise UnknownName(
                f"the target's column: the data has no field {column!r} (it has {listed(source.supplied_fields)})",
                suggestion=nearest_name(column, source.supplied_fields),
            )
        return cls(name, check_days(reach, "reach", 1), len(source.dates))

    @property
    def fields(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)

    @property
    def cell_bytes(self) -> int:
        """What its copy takes a cell."""
        return 8

    def rows(self, loaded: Loaded, start: int, stop: int, threads: int | None = None) -> FloatArray:
        """(stop - start, N) values on the dates [start, stop), NaN where missing."""
        del threads
        found = np.array(loaded.rows(start, stop)[self.column], dtype=np.float64)
        found[max(0, self.dates - self.rows_after - start) :] = np.nan
        return found
