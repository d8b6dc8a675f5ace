"""Pages of the table of a run's candidates: the database filters, sorts and cuts it, so that it may have any length.

The filter and sort models are AG Grid's. Every column that may be asked for is named here; anything else is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fama_fast.errors import ConfigError
from fama_fast.ledger import schema
from fama_fast.ledger.earlier_versions import oriented_text
from fama_fast.terminal import is_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fama_fast.ledger.store import Store

MOST_ROWS = 500  # in one answer
_SHOWN = 400  # characters of a text in a cell; the factor's page has all of them

_T = schema.candidates.c


def _oriented(split: str, figure: str) -> sa.ColumnElement[float]:
    # 1 but in runs of earlier versions, which kept figures as they were proposed.
    return sa.type_coerce(_T.scores[(split, figure)].as_float() * _T.sign, sa.Float)


NUMBERS: dict[str, sa.ColumnElement[Any]] = {
    "id": _T.id,
    "round": _T.round,
    "train": _T.score,
    "train_t": _oriented("train", "rank_ic_t"),
    "valid": _oriented("valid", "rank_ic"),
    "turnover": _T.scores[("train", "turnover")].as_float(),
    "nodes": _T.nodes,
}
TEXTS: dict[str, sa.ColumnElement[Any]] = {
    "fate": sa.func.coalesce(_T.gate, "admitted"),
    "expression": sa.func.coalesce(_T.canonical, _T.text),
    "origin": _T.origin,
    "proposer": _T.proposer,
    "hypothesis": _T.hypothesis,
    "reason": _T.reason,
}
_LARGEST = 2**53  # whole numbers up to here are the same to JSON and to every database
_MOST_CONDITIONS = 10
_DIRECTIONS = (None, "asc", "desc")
_LONG = ("expression", "hypothesis", "reason")


def page(
    store: Store,
    run_id: str,
    *,
    start: int = 0,
    end: int = 100,
    sort: Sequence[Mapping[str, Any]] = (),
    filters: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Rows `start` to `end` of the table, and how many there are in all.

    Args:
        sort: such as [{"colId": "train", "sort": "desc"}]; what is missing comes last either way.
        filters: AG Grid's filter model by column.

    Raises:
        ConfigError: an unknown column, or a filter or bounds that make no sense.
    """
    if not 0 <= start < end <= start + MOST_ROWS or end > _LARGEST:
        raise ConfigError(f"rows {start} to {end}: at most {MOST_ROWS} at a time, from 0 on")
    where = [_T.run_id == run_id, *(condition(name, model) for name, model in (filters or {}).items())]
    order = [*_order(sort), _T.id.asc()]
    columns = [*NUMBERS.items(), *TEXTS.items()]
    shown = [(sa.func.substr(c, 1, _SHOWN) if name in _LONG else c).label(name) for name, c in columns]
    selected = [_T.sign.label("sign"), _T.canonical.label("canonical")]
    with store.transaction() as c:
        total = c.execute(sa.select(sa.func.count()).select_from(schema.candidates).where(*where)).scalar()
        query = sa.select(*shown, *selected).where(*where).order_by(*order).offset(start).limit(end - start)
        return {"total": int(total or 0), "rows": [_row(dict(row)) for row in c.execute(query).mappings()]}


def _row(row: dict[str, Any]) -> dict[str, Any]:
    """A row as it is shown: the expression in the direction of training, which those of older runs are not."""
    sign, canonical = row.pop("sign"), row.pop("canonical")
    if sign is not None and sign < 0 and canonical:
        row["expression"] = oriented_text(canonical, sign)[:_SHOWN]
    return row


def _order(sort: Sequence[Any]) -> list[sa.ColumnElement[Any]]:
    if len(sort) > len(NUMBERS) + len(TEXTS):
        raise ConfigError(f"sorted by {len(sort)} columns: there are {len(NUMBERS) + len(TEXTS)}")
    order: list[sa.ColumnElement[Any]] = []
    for entry in sort:
        if not isinstance(entry, dict) or entry.get("sort", "asc") not in _DIRECTIONS:
            raise ConfigError('sort is a list of objects such as {"colId": "train", "sort": "desc"}')
        column = _column(str(entry.get("colId")))
        order.append((column.desc() if entry.get("sort") == "desc" else column.asc()).nulls_last())
    return order


def _column(name: str) -> sa.ColumnElement[Any]:
    column = NUMBERS.get(name, TEXTS.get(name))
    if column is None:
        raise ConfigError(f"there is no column {name[:40]!r}")
    return column


def condition(name: str, model: Any) -> sa.ColumnElement[bool]:
    """One column's filter as SQL.

    Raises:
        ConfigError: it is not a filter of such a column.
    """
    column = _column(name)
    if not isinstance(model, dict):
        raise ConfigError(f"column {name}: the filter is not an object")
    parts = model.get("conditions")
    if parts:
        # AG Grid joins simple conditions, never joined ones.
        if not isinstance(parts, list) or len(parts) > _MOST_CONDITIONS or any(_joined(part) for part in parts):
            raise ConfigError(f"column {name}: conditions are a list of at most {_MOST_CONDITIONS} simple filters")
        conditions = [condition(name, part) for part in parts]
        return sa.or_(*conditions) if model.get("operator") == "OR" else sa.and_(*conditions)
    kind, value = str(model.get("type")), model.get("filter")
    if kind == "blank":
        return sa.or_(column.is_(None), column == "") if name in TEXTS else column.is_(None)
    if kind == "notBlank":
        return sa.and_(column.is_not(None), column != "") if name in TEXTS else column.is_not(None)
    if name in TEXTS:
        return _text(name, column, kind, value)
    numbers = [_number(name, v) for v in (value, *([model.get("filterTo")] if kind == "inRange" else []))]
    if kind not in _COMPARED:
        raise ConfigError(f"column {name}: no filter {kind[:40]!r}")
    return _COMPARED[kind](column, *numbers)


def _joined(part: Any) -> bool:
    return isinstance(part, dict) and bool(part.get("conditions"))


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
        raise ConfigError(f"column {name}: {str(value)[:40]!r} is not a number that can be compared with")
    return value


_COMPARED: dict[str, Callable[..., sa.ColumnElement[bool]]] = {
    "equals": lambda c, v: c == v,
    "notEqual": lambda c, v: c != v,
    "lessThan": lambda c, v: c < v,
    "lessThanOrEqual": lambda c, v: c <= v,
    "greaterThan": lambda c, v: c > v,
    "greaterThanOrEqual": lambda c, v: c >= v,
    "inRange": lambda c, low, high: c.between(low, high),
}


def _text(name: str, column: sa.ColumnElement[Any], kind: str, value: Any) -> sa.ColumnElement[bool]:
    text = "" if value is None else value
    if not isinstance(text, str) or len(text) > _SHOWN or not is_text(text) or "\0" in text:
        raise ConfigError(f"column {name}: the filter is not a text of at most {_SHOWN} characters")
    lower = sa.func.lower(column)
    comparisons: dict[str, Callable[[], sa.ColumnElement[bool]]] = {
        "contains": lambda: column.icontains(text, autoescape=True),
        "notContains": lambda: sa.not_(column.icontains(text, autoescape=True)),
        "startsWith": lambda: column.istartswith(text, autoescape=True),
        "endsWith": lambda: column.iendswith(text, autoescape=True),
        "equals": lambda: lower == text.lower(),
        "notEqual": lambda: lower != text.lower(),
    }
    if kind not in comparisons:
        raise ConfigError(f"column {name}: no filter {kind[:40]!r}")
    return comparisons[kind]()
