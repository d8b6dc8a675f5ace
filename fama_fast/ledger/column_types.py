"""Column types that check each value on reading: one of another kind than its column's is damage.

SQLite keeps in any column whatever stands in the file, so a page that was overwritten gives bytes for a text or a text
for a number. Here that is a ValueError as soon as it is read, which `store` reports as damage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect


class _Seen(sa.TypeDecorator[Any]):
    """Base type that checks that values, NULL apart, are of `kinds`. Each subclass says itself that its statements may
    be cached."""

    impl: Any = sa.Text
    kinds: tuple[type, ...] = ()

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        if value is None or type(value) in self.kinds:
            return value
        raise ValueError(f"a {type(value).__name__} where a {self.kinds[0].__name__} was written")


class Words(_Seen):
    """Text of any length."""

    impl: Any = sa.Text
    cache_ok = True
    kinds = (str,)


class Name(_Seen):
    """Text of a bounded length."""

    impl: Any = sa.String
    cache_ok = True
    kinds = (str,)


class Whole(_Seen):
    """A whole number."""

    impl: Any = sa.Integer
    cache_ok = True
    kinds = (int,)


class Large(_Seen):
    """A whole number of 64 bits."""

    impl: Any = sa.BigInteger
    cache_ok = True
    kinds = (int,)


class Number(_Seen):
    """A floating-point number."""

    impl: Any = sa.Float
    cache_ok = True
    kinds = (float, int)


class _Json(_Seen):
    impl: Any = sa.JSON

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        return self.impl_instance.coerce_compared_value(op, value)


class Document(_Json):
    """A JSON object."""

    cache_ok = True
    kinds = (dict,)


class Listed(_Json):
    """A JSON list."""

    cache_ok = True
    kinds = (list,)


def complete(row: Any, table: sa.Table) -> dict[str, Any]:
    """A row of a table as a mapping by column, checked to have all its values.

    Raises:
        ValueError: nothing stands where something must.
    """
    values = dict(row)
    for column in table.columns:
        if not column.nullable and values[column.name] is None:
            raise ValueError(f"nothing where {table.name}.{column.name} was written")
    return values
