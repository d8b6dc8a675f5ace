"""A scikit-learn transformer whose columns are alphas.

What a table means is said when the transformer is made (`layout`), never guessed:

- a long frame: one row a date and symbol, in any order; the answer has its rows;
- a `Panel`: the answer has a row for each cell, dates outermost, symbols within;
- with `date=None, symbol=None`, a table of numbers: the rows are consecutive dates of one symbol.

A value depends on the rows of the dates before it, so rows must not be shuffled or dropped between steps, and a table
whose first `lookback_` dates are history has missing values there. Nothing is learnt from data: `fit` compiles the
expressions and checks that the table has what they need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from fama_fast.engine import compile, evaluate
from fama_fast.errors import ConfigError, DataError
from fama_fast.integrations.named import named_alphas
from fama_fast.panel import Panel
from fama_fast.panel.columns import assign_columns
from fama_fast.panel.grid import lay_out
from fama_fast.panel.io.frames import polars_frame
from fama_fast.panel.keys import read_dates, read_symbols
from fama_fast.panel.reading import reading_of
from fama_fast.passes import comparing_operator

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from numpy.typing import NDArray

    from fama_fast.engine import Alpha
    from fama_fast.integrations.named import Alphas
    from fama_fast.types import FloatArray

_SOURCE = "X"


class AlphaTransformer(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is not typed
    """One column of values for each alpha, NaN where missing.

    Args:
        alphas: `{name: expression}`, or expressions whose text becomes the column's name.
        dialect: of the expressions.
        date, symbol: the key columns of a long frame (of Polars, pandas or Arrow, also as pandas index levels); both
            None: rows are consecutive dates of one symbol, fields are the columns' names, or X0, X1, ... of an array,
            and no alpha compares symbols.
        columns: column by field, where it is not the field's name in any case: `{"CLOSE": "px_last"}`.
        universe: boolean column of membership for cross-sectional and group operators.
        min_coverage: share of a window that must be present where an operator gives no `min_periods` (default: all).
        threads: as in `fama_fast.evaluate`.

    Attributes:
        alphas_: compiled alphas by name. lookback_: dates needed before the first complete one.
        n_features_in_, feature_names_in_: of the table seen by `fit` (not set for a Panel).
    """

    def __init__(
        self,
        alphas: Alphas = (),
        *,
        dialect: str = "fama",
        date: str | None = "date",
        symbol: str | None = "symbol",
        columns: Mapping[str, str] | None = None,
        universe: str | None = None,
        min_coverage: float | None = None,
        threads: int | None = None,
    ) -> None:
        self.alphas = alphas
        self.dialect = dialect
        self.date = date
        self.symbol = symbol
        self.columns = columns
        self.universe = universe
        self.min_coverage = min_coverage
        self.threads = threads

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        # A long frame has text in it; only one symbol's rows are a table of numbers.
        tags.input_tags.two_d_array = self.date is None
        tags.input_tags.string = self.date is not None
        return tags

    def fit(self, X: Any, y: object = None) -> AlphaTransformer:
        """Compile the alphas and check that `X` carries their fields; `y` is ignored.

        Raises:
            ExpressionError: an alpha, or a field or group that `X` lacks. ConfigError: the parameters. DataError: a
            table of another layout.
        """
        if (self.date is None) != (self.symbol is None):
            raise ConfigError("date and symbol are both columns, or both None for the rows of one symbol")
        alphas = named_alphas(self.alphas, dialect=self.dialect, columns=lambda: self._columns(X))
        if self.date is None:
            for name, alpha in alphas.items():
                compares = comparing_operator(alpha.node)
                if compares is not None:
                    raise ConfigError(
                        f"{name}: {compares} compares the symbols of a date, and with date=None, symbol=None the rows "
                        "are of one symbol: give a long frame with both columns"
                    )
            table = validate_data(self, X, dtype=np.float64, ensure_all_finite=False, reset=True)
            _check(alphas, self._field_names(table.shape[1]), ())
        elif isinstance(X, Panel):
            _check(alphas, X.fields, X.groups)
        else:
            frame = self._frame(X)
            schema = dict(frame.collect_schema())
            assign_columns(schema, **self._wanted(alphas), source=_SOURCE)
            self.feature_names_in_ = np.array(list(_names(X)), dtype=object)
            self.n_features_in_ = len(self.feature_names_in_)
        self.alphas_ = alphas
        self.lookback_ = max(a.lookback for a in alphas.values())
        return self

    def transform(self, X: Any) -> FloatArray:
        """Values, (rows of `X`, alphas) float64, in the rows' order.

        Raises:
            NotFittedError. DataError: two rows for one (date, symbol), text in place of numbers, another layout.
        """
        check_is_fitted(self, "alphas_")
        if self.date is None:
            return self._one_symbol(X)
        if isinstance(X, Panel):
            return self._values(X).reshape(-1, len(self.alphas_))
        frame = self._frame(X).collect()
        panel = Panel.from_frame(frame, **self._wanted(self.alphas_), source=_SOURCE)
        dates = read_dates(frame[self.date], source=_SOURCE)
        symbols = read_symbols(frame[str(self.symbol)], source=_SOURCE)
        values = self._values(panel).reshape(-1, len(self.alphas_))
        out: FloatArray = values[lay_out(dates, symbols).cells]
        return out

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """The alphas' names; what they are computed from does not enter."""
        check_is_fitted(self, "alphas_")
        return np.array(list(self.alphas_), dtype=object)

    def _values(self, panel: Panel) -> FloatArray:
        """(T, N, alphas)."""
        arrays = evaluate(list(self.alphas_.values()), panel, threads=self.threads, min_coverage=self.min_coverage)
        return np.stack(arrays, axis=-1)

    def _one_symbol(self, X: Any) -> FloatArray:
        table = validate_data(self, X, dtype=np.float64, ensure_all_finite=False, reset=False)
        names = self._field_names(table.shape[1])
        dates = np.datetime64("1970-01-01") + np.arange(len(table))
        panel = Panel(dates, ["X"], {n: table[:, i : i + 1] for i, n in enumerate(names)})
        return self._values(panel)[:, 0, :]

    def _columns(self, X: Any) -> Iterable[str]:
        """Names that alphas may use of data like `X`."""
        if isinstance(X, Panel):
            return (*X.fields, *X.groups)
        return (*_names(X), *(self.columns or {}))

    def _field_names(self, n: int) -> list[str]:
        written = getattr(self, "feature_names_in_", None)
        fields = {str(v): k.upper() for k, v in (self.columns or {}).items()}
        names = [f"X{i}" for i in range(n)] if written is None else [str(w) for w in written]
        return [fields.get(name, name.upper()) for name in names]

    def _wanted(self, alphas: Mapping[str, Alpha]) -> dict[str, Any]:
        return {
            "fields": tuple(dict.fromkeys(f for a in alphas.values() for f in a.fields)),
            "groups": tuple(dict.fromkeys(g for a in alphas.values() for g in a.groups)),
            "universe": self.universe,
            "reading": reading_of(date=self.date, symbol=self.symbol),
        }

    def _frame(self, X: Any) -> pl.LazyFrame:
        """A long frame of either library, fields under their own names."""
        keys = (self.date, self.symbol)
        read = polars_frame(X, reading_of(date=self.date, symbol=self.symbol))
        if read is None:
            raise DataError(
                f"AlphaTransformer takes a long frame with the columns {self.date} and {self.symbol}, or a Panel, not "
                f"{type(X).__name__}; for an array of one symbol's rows make it with date=None, symbol=None"
            )
        frame = read.lazy()
        names = frame.collect_schema().names()
        for key in keys:
            if key not in names:
                raise DataError(f"the frame has no column {key!r} (columns: {', '.join(names)})")
        mapped = {field.upper(): column for field, column in (self.columns or {}).items()}
        for field, column in mapped.items():
            if column not in names:
                raise DataError(f"the frame has no column {column!r} for {field} (columns: {', '.join(names)})")
        hidden = [n for n in names if n.upper() in mapped]
        return (
            frame.with_columns(pl.col(c).alias(f"#{f}") for f, c in mapped.items())
            .drop(hidden)
            .rename({f"#{f}": f for f in mapped})
        )


def _names(X: Any) -> list[str]:
    """Names of a frame's columns; of pandas without those of its index, of what is no frame none."""
    if isinstance(X, pl.LazyFrame):
        return X.collect_schema().names()
    names = getattr(X, "column_names", None)
    return [str(c) for c in (getattr(X, "columns", ()) if names is None else names)]


def _check(alphas: Mapping[str, Alpha], fields: Collection[str], groups: Collection[str]) -> None:
    """Compiling against the names that are there says which one is not, where, and what is near."""
    for alpha in alphas.values():
        compile(alpha.text, dialect=alpha.dialect, fields=fields, groups=groups)
