"""One compiled expression: its identity, what it needs, and its two ways to values."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fama_fast import lang, passes
from fama_fast.ir import FIELD, GROUP, Node, count_nodes, postorder

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import polars as pl

    from fama_fast.panel import Panel
    from fama_fast.types import FloatArray


@dataclass(frozen=True)
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
        """The canonical text: equal formulas written differently have equal canonical texts."""
        return lang.to_text(self.node)

    @property
    def fingerprint(self) -> str:
        """Identity of the canonical form, 32 hex digits, the same in every process."""
        return self.node.key

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

    @property
    def n_nodes(self) -> int:
        """Nodes of the canonical form written out as a tree."""
        return count_nodes(self.node)

    @property
    def depth(self) -> int:
        """Longest path from the root to a leaf, both counted."""
        return self.node.depth

    def evaluate(self, panel: Panel, *, threads: int | None = None) -> FloatArray:
        """Values on a panel, (T, N) float64, NaN where missing."""
        from fama_fast.engine.evaluate import evaluate

        return evaluate([self], panel, threads=threads)[0]

    def to_polars(
        self,
        columns: Mapping[str, str] | None = None,
        *,
        universe: str | None = None,
        check_grid: bool = True,
    ) -> pl.Expr:
        """A Polars expression over a long frame with columns `date`, `symbol` and lower-case fields.

        Args:
            columns: other column names, by field: `{"CLOSE": "px_last"}`. A derived field (RET, VWAP, ADV20) that is
                not mapped is computed inline.
            universe: boolean column of membership for cross-sectional and group operators.
            check_grid: refuse, when it runs, a frame that is not a complete date x symbol grid.
        """
        from fama_fast.backends.polars_expr import to_expr

        return to_expr(self.node, columns=columns, universe=universe, check_grid=check_grid)

    def __str__(self) -> str:
        return self.canonical


@functools.lru_cache(maxsize=65536)
def _compile(text: str, dialect: str, fields: frozenset[str] | None, groups: frozenset[str] | None) -> Alpha:
    node = lang.parse(text, dialect=dialect, fields=fields, groups=groups)
    return Alpha(text, dialect, passes.canonicalise(node))


def compile(  # noqa: A001  (the published name)
    text: str,
    *,
    dialect: str = "fama",
    fields: Collection[str] | None = None,
    groups: Collection[str] | None = None,
) -> Alpha:
    """Parse, check and canonicalise an expression; cached.

    Args:
        text: the expression.
        dialect: "fama", or "alpha101" for the paper's conventions.
        fields: names of the data's fields, when they are known: any other name is then an error. Without it, names
            that are not close to a standard field are taken to be columns of the data, checked when evaluated.
        groups: likewise for group fields.

    Raises:
        ParseError, UnknownName, ArgumentError, WindowError, LimitError: with line, column and the nearest name.
    """
    return _compile(
        text,
        dialect,
        None if fields is None else frozenset(f.upper() for f in fields),
        None if groups is None else frozenset(g.upper() for g in groups),
    )
