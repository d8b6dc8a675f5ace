"""The virtual machine's loop: run a stage's instructions over a range of tiles, without the GIL.

An instruction is a row of `code`: the kernel's address, the number of its slots, the offset of its parameters, then
the slots. The address of a slot for a tile is `base + tile * stride`: registers have stride 0, blocked arrays step by
one symbol block in a time stage.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from fama_fast.backends.numba_vm.abi import FIRST_DATE, ROWS, TILE
from fama_fast.backends.numba_vm.caching import njit_cached

KERNEL = 0
N_SLOTS = 1
PARAMS = 2
FIRST_SLOT = 3
MAX_SLOTS = 8
INSTRUCTION_WIDTH = FIRST_SLOT + MAX_SLOTS


@intrinsic
def _call_kernel(typingctx: Any, address: Any, slots: Any, dims: Any, params: Any) -> Any:
    """Call the C function at `address` with the kernel signature; the rest are addresses of its arrays."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        i64p = ir.IntType(64).as_pointer()
        f64p = ir.DoubleType().as_pointer()
        fnty = ir.FunctionType(ir.VoidType(), [i64p, i64p, f64p])
        fn = builder.inttoptr(args[0], fnty.as_pointer())
        builder.call(
            fn,
            [
                builder.inttoptr(args[1], i64p),
                builder.inttoptr(args[2], i64p),
                builder.inttoptr(args[3], f64p),
            ],
        )
        return context.get_dummy_value()

    return types.void(address, slots, dims, params), codegen


call_kernel: Any = _call_kernel  # mypy takes the typing context for an argument


@njit_cached
def run_tiles(code, base, stride, params, dims, work, first, last, rows_per_tile, total_rows):  # type: ignore[no-untyped-def]
    """Run tiles [first, last). `work` holds MAX_SLOTS + len(base) int64; `rows_per_tile` is 0 in a time stage."""
    n_slots = base.size
    for tile in range(first, last):
        dims[TILE] = tile
        if rows_per_tile > 0:
            dims[FIRST_DATE] = tile * rows_per_tile
            dims[ROWS] = min(rows_per_tile, total_rows - tile * rows_per_tile)
        for s in range(n_slots):
            work[MAX_SLOTS + s] = base[s] + tile * stride[s]
        for i in range(code.shape[0]):
            for j in range(code[i, N_SLOTS]):
                s = code[i, FIRST_SLOT + j]
                work[j] = work[MAX_SLOTS + s] if s >= 0 else 0
            at = params.ctypes.data + 8 * code[i, PARAMS]
            call_kernel(code[i, KERNEL], work.ctypes.data, dims.ctypes.data, at)
