"""Rows in sorted order, under the name that the evaluation has for them (`backends.numba_vm.sorted_rows`)."""

from __future__ import annotations

from fama_fast.backends.numba_vm.sorted_rows import (
    SortedRows,
    checked_rows,
    chosen_rows,
    mask_matrix,
    matrix,
    over_rows,
    same_shape,
    sorted_rows,
)

__all__ = [
    "SortedRows",
    "checked_rows",
    "chosen_rows",
    "mask_matrix",
    "matrix",
    "over_rows",
    "same_shape",
    "sorted_rows",
]
