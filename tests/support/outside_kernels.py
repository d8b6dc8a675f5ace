"""A kernel outside the package, as docs/embedding.md explains it."""

from __future__ import annotations

from typing import Any

from fama_fast.backends.numba_vm.abi import ROWS, as_doubles
from fama_fast.backends.numba_vm.simd import LANES, load, select, splat, store


def up_days(slots: Any, dims: Any, params: Any) -> None:
    """How many of the past d days had a positive value; missing before there are d days."""
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    d = int(params[0])
    for t in range(dims[ROWS]):
        count = splat(0.0)
        for k in range(max(0, t - d + 1), t + 1):
            count = count + select(load(x, k * LANES) > 0.0, splat(1.0), splat(0.0))
        store(out, t * LANES, count if t >= d - 1 else splat(float("nan")))
