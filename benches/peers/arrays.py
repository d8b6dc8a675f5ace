"""Dense (T, N) arrays cut for peers that want time contiguous, and read back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fama_fast.types import FloatArray


def by_symbol(values: FloatArray) -> FloatArray:
    """(T, N) as a contiguous (N, T)."""
    return np.ascontiguousarray(values.T)


def by_date(values: FloatArray) -> FloatArray:
    """(N, T) as (T, N)."""
    return values.T


def same(values: FloatArray) -> FloatArray:
    """(T, N) as it is."""
    return values
