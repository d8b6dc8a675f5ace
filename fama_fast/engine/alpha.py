"""A compiled expression: its identity, its requirements, and its values on a panel or in Polars."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, overload

from fama_fast import lang, passes
from fama_fast.errors import LimitError, ParseError, shortened
from fama_fast.ir import FIELD, GROUP, Node, count_nodes, postorder
from fama_fast.ops.registry import on_unregister

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import pandas as pd
    import polars as pl

    from fama_fast.engine.stream import Stream
    from fama_fast.panel import Panel
    from fama_fast.panel.labelled import Library
    from fama_fast.panel.market_data import MarketData
    from fama_fast.panel.source import Source
    from fama_fast.types import FloatArray


@dataclass(frozen=True, repr=False)
class Alpha:
    """A checked expression in canonical form. Make one with `compile`.

    Attributes:
        text: as it was written. dialect: the language it was written in.
        node: the canonical graph, from which everything else follows.
    """

    text: str
    dialect: str
    node: Node

    @functools.cached_property
    def canonical(self) -> str:
        """The canonical text: readable, with composite operators as they are named (`DELTA(CLOSE, 5)`).

        `compile(alpha.canonical)` has the same node.

        Raises:
            LimitError: written in our operators it would be longer than any text that is read. A dialect's operator may
            stand for many of ours.
        """
        return lang.to_text(self.node)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Identity, 32 hex digits, the same in every process: equal formulas written differently share it.

        A composite operator and its definition count as one: `DELTA(CLOSE, 5)` and `CLOSE - DELAY(CLOSE, 5)`.
        """
        return passes.identity(self.node).key

    @functools.cached_property
    def lookback(self) -> int:
        """Rows needed before today: the value at t depends on rows t - lookback .. t and on no others."""
        return passes.lookback(self.node)

    @functools.cached_property
    def fields(self) -> tuple[str, ...]:
        """Fields that the canonical form names, each once (RET stays RET; see `required_fields`)."""
        return tuple(dict.fromkeys(n.name for n in postorder(self.node) if n.op == FIELD))

    @functools.cached_property
    def groups(self) -> tuple[str, ...]:
        """Group fields that the canonical form names."""
        return tuple(dict.fromkeys(n.name for n in postorder(self.node) if n.op == GROUP))

    @functools.cached_property
    def required_fields(self) -> tuple[str, ...]:
        """Columns of raw data that suffice: derived fields are replaced by what they follow from."""
        lowered = passes.lower(self.node)
        return tuple(dict.fromkeys(n.name for n in postorder(lowered) if n.op == FIELD))

    @functools.cached_property
    def unit(self) -> str:
        """Unit of the values: price, volume, money, return, ratio, dimensionless, boolean, price^2, ..."""
        return str(passes.infer_units(self.node).unit)

    @functools.cached_property
    def warnings(self) -> tuple[str, ...]:
        """Likely mistakes in an expression that can be computed: places that mix units, such as a price plus a
        volume."""
        return passes.infer_units(self.node).warnings

    @functools.cached_property
    def level_dependence(self) -> str | None:
        """The part of the expression that makes the order across symbols depend on an arbitrary price level, None when
        nothing does."""
        return passes.depends_on_level(self.node)

    @functools.cached_property
    def ranking_fingerprint(self) -> str:
        """Identity for ranking: equal for alphas that put the symbols of every date in the same order."""
        return passes.ranking_fingerprint(self.node)

    @property
    def n_nodes(self) -> int:
        """Nodes of the canonical form written out as a tree."""
        return count_nodes(self.node)

    @property
    def depth(self) -> int:
        """Longest path from the root to a leaf, both counted."""
        return self.node.depth

    def oriented(self, sign: int) -> Alpha:
        """This alpha for sign 1; for -1 its negative, simplified, in the package's own language.

        Raises:
            ValueError: another sign.
        """
        if sign == 1:
            return self
        node = passes.oriented(self.node, sign)
        return Alpha(lang.to_text(node), "fama", node)

    @overload
    def evaluate(
        self, panel: Source | MarketData, *, threads: int | None = ..., frame: None = ..., name: str | None = ...
    ) -> FloatArray: ...
    @overload
    def evaluate(
        self,
        panel: Source | MarketData,
        *,
        threads: int | None = ...,
        frame: Literal["polars"],
        name: str | None = ...,
    ) -> pl.DataFrame: ...
    @overload
    def evaluate(
        self,
        panel: Source | MarketData,
        *,
        threads: int | None = ...,
        frame: Literal["pandas"],
        name: str | None = ...,
    ) -> pd.DataFrame: ...
    def evaluate(
        self,
        panel: Source | MarketData,
        *,
        threads: int | None = None,
        frame: Library | None = None,
        name: str | None = None,
    ) -> FloatArray | pl.DataFrame | pd.DataFrame:
        """Values on a panel, (T, N) float64, NaN where missing; with `frame` a labelled frame of them.

        Args:
            panel, threads, frame: as for `fama_fast.evaluate`: a panel, a path, or frames. name: of the frame's column
                of values, by default the canonical text.
        """
        from fama_fast.engine.evaluate import evaluate

        if frame is None:
            return evaluate([self], panel, threads=threads)[0]
        return evaluate([self], panel, threads=threads, frame=frame, names=None if name is None else [name])

    def stream(self, panel: Panel, *, min_coverage: float | None = None, threads: int = 1) -> Stream:
        """Continue from a panel's last date, one new date at a time (`Stream.push`), bit-identical to `evaluate`."""
        from fama_fast.engine.stream import Stream

        return Stream(self, panel, min_coverage=min_coverage, threads=threads)

    def to_polars(
        self,
        columns: Mapping[str, str | pl.Expr] | None = None,
        *,
        universe: str | None = None,
        check_grid: bool = True,
        allow_single: bool = False,
    ) -> pl.Expr:
        """A Polars expression over a long frame with columns `date`, `symbol` and lower-case fields.

        Args:
            columns: other column names (or expressions), by field: `{"CLOSE": "px_last"}`. A derived field (RET, VWAP,
                ADV20) that is not mapped is computed inline.
            universe: boolean column of membership for cross-sectional and group operators.
            check_grid: refuse, when it runs, a frame that is not a complete date x symbol grid.
            allow_single: take a single symbol where the alpha compares symbols, and a single date where it looks back.
                Such rows are mostly a group of a larger frame, as inside `.over("symbol")` or a `group_by`, and are
                refused unless you say that they are all there is.
        """
        from fama_fast.backends.polars_expr import to_expr

        return to_expr(self.node, columns=columns, universe=universe, check_grid=check_grid, allow_single=allow_single)

    def __repr__(self) -> str:
        dialect = "" if self.dialect == "fama" else f", dialect={self.dialect!r}"
        return f"Alpha({shortened(self.text, 100)!r}{dialect})"

    def _repr_html_(self) -> str:
        from fama_fast import notebook_html as html

        text = str(self)
        facts = {
            "fields": ", ".join(self.fields) or None,
            "groups": ", ".join(self.groups) or None,
            "looks back": f"{self.lookback:,} rows",
            "unit": self.unit,
            "size": f"{self.n_nodes:,} nodes, {self.depth} deep",
            f"as written ({self.dialect})": None if text == self.text else self.text,
            "fingerprint": self.fingerprint,
        }
        return html.card("Alpha", facts, html.notes(self.warnings), lead=html.code(text))

    def __str__(self) -> str:
        try:
            return self.canonical
        except LimitError:
            return self.text


@functools.lru_cache(maxsize=65536)
def _compile(text: str, dialect: str, fields: frozenset[str] | None, groups: frozenset[str] | None) -> Alpha:
    return _canonical(text, dialect, lang.parse(text, dialect=dialect, fields=fields, groups=groups))


@functools.lru_cache(maxsize=65536)
def _compile_recorded(text: str, dialect: str) -> Alpha:
    return _canonical(text, dialect, lang.parse_recorded(text, dialect=dialect))


def _canonical(text: str, dialect: str, node: Node) -> Alpha:
    node = passes.canonicalise(node)
    if node.depth > lang.MAX_DEPTH:
        message = f"written in our operators the expression is {node.depth} levels deep, at most {lang.MAX_DEPTH}"
        raise LimitError(message, text=text, end=len(text))
    return Alpha(text, dialect, node)


on_unregister(_compile.cache_clear)
on_unregister(_compile_recorded.cache_clear)


def compile(  # noqa: A001  (the published name)
    text: str,
    *,
    dialect: str = "fama",
    fields: Collection[str] | None = None,
    groups: Collection[str] | None = None,
    strict_units: bool = False,
) -> Alpha:
    """Parse, check and canonicalise an expression; cached.

    Args:
        text: the expression.
        dialect: "fama"; "alpha101", "qlib" or "brain" for the conventions of those systems.
        fields: names of the data's fields, when they are known: any other name is then an error. Without it, names
            that are not close to a standard field are taken to be columns of the data, checked when evaluated.
        groups: likewise for group fields.
        strict_units: refuse what `Alpha.warnings` would only name.

    Raises:
        ParseError, UnknownName, ArgumentError, WindowError, LimitError: with line, column and the nearest name.
        UnitError: with strict_units, where units are mixed.
    """
    if not isinstance(text, str):
        raise ParseError(f"an expression is text, not {type(text).__name__}")
    alpha = _compile(
        text,
        dialect,
        None if fields is None else frozenset(f.upper() for f in fields),
        None if groups is None else frozenset(g.upper() for g in groups),
    )
    if strict_units and alpha.warnings:
        raise passes.UnitError("; ".join(alpha.warnings), text=text, end=len(text))
    return alpha


def compile_recorded(
    text: str,
    *,
    dialect: str = "fama",
    fields: Collection[str] | None = None,
    groups: Collection[str] | None = None,
) -> Alpha:
    """Compile a text that was recorded: in a ledger, a result, a factor set or a factor store.

    Args:
        text: the text. dialect: that it was written in.
        fields, groups: of the data that it was written about, where they are known. Without them every name is taken
            as the column that it was then, even one that `compile` would take for a slip of a standard name.

    Raises:
        ExpressionError: as `compile`.
    """
    if fields is None and groups is None:
        return _compile_recorded(text, dialect)
    return compile(text, dialect=dialect, fields=fields, groups=groups)
