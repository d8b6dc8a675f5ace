"""Aligns the files of one data set: which of its columns each file has, under which name and of which type."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from fama_fast.panel.io.layout import key_names, known_field
from fama_fast.panel.io.schema import aligned, common_schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.panel.io.source import File
    from fama_fast.panel.reading import Reading

_SHOWN = 3


class Alignment:
    """The common columns of files, each with the number of its rows.

    Attributes:
        files: those with rows (one without, if none has any). schema: columns and types of the data set.
        warnings: which columns are missing where, and which files have no rows.
    """

    def __init__(self, files: Sequence[tuple[File, int]], reading: Reading) -> None:
        """Compares their columns; a file without rows has no say in what a column is.

        Raises:
            DataError: a file's columns differ from the others'.
        """
        self.files = tuple(f for f, rows in files if rows) or (files[0][0],)
        common = common_schema(
            [(f.name, f.schema) for f in self.files],
            keys=key_names(reading),
            needed=lambda c: known_field(c, reading) == "CLOSE",
        )
        self.schema: dict[str, pl.DataType] = common.schema
        empty = [f.name for f, rows in files if not rows]
        self.warnings = common.warnings if len(files) == 1 else (*common.warnings, *_without_rows(empty))
        self._names = {f.path: names for f, names in zip(self.files, common.names, strict=True)}

    def stored(self, file: File, columns: Sequence[str]) -> list[str]:
        """The file's own names of these columns of the data set, as far as it has them."""
        names = self._names[file.path]
        return [names[c] for c in columns if c in names and names[c] not in file.constants]

    def shape(self, file: File, columns: Sequence[str]) -> list[pl.Expr]:
        """These columns of the data set, as expressions of the file's own; none for what is the same in both."""
        names = self._names[file.path]
        out = []
        for column in columns:
            want, own = self.schema[column], names.get(column)
            if isinstance(want, pl.Null) or (own is not None and isinstance(file.schema[own], pl.Null)):
                out.append(pl.lit(None, dtype=want).alias(column))
            elif own is None or own in file.constants:
                value = None if own is None else file.constants[own]
                text = isinstance(want, pl.String) and value is not None
                out.append(pl.lit(str(value) if text else value, dtype=want).alias(column))
            elif own != column or file.schema[own] != want:
                out.append(aligned(pl.col(own), file.schema[own], want).alias(column))
        return out

    def same(self, one: File, other: File) -> bool:
        """Whether two files have the same columns, apart from what their names and folders spell."""
        return (
            self._names[one.path] == self._names[other.path]
            and one.constants.keys() == other.constants.keys()
            and one.schema == other.schema
        )


def _without_rows(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    more = ", ..." if len(names) > _SHOWN else ""
    return [f"{len(names):,} file{'s have' if len(names) > 1 else ' has'} no rows: {', '.join(names[:_SHOWN])}{more}"]
