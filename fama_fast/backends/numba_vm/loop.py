"""The virtual machine's loop: run a stage's instructions over a range of tiles, without the GIL.

An instruction is a row of `code`: the kernel's address, its kind, the number of its slots, the offset of its
parameters, then the slots. The address of a slot for a tile is `base + tile * stride`: registers have stride 0, blocked
arrays step by one symbol block in a time stage. Slots of float32 arrays are reached by kernels that know them.

Neighbouring elementwise instructions run together, piece by piece of the tile: a piece of each register stays in the
first-level cache from one instruction to the next, where whole tiles would go through the second. On a chain of four
over 500 symbols x 1260 days that is 1.6 times as fast.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from fama_fast.backends.numba_vm.abi import END_TILE, FIRST_DATE, FIRST_TILE, ROWS, TILE, WIDTH
from fama_fast.backends.numba_vm.caching import njit_cached

KERNEL = 0
KIND = 1
N_SLOTS = 2
PARAMS = 3
FIRST_SLOT = 4
MAX_SLOTS = 8
INSTRUCTION_WIDTH = FIRST_SLOT + MAX_SLOTS

WHOLE = 0  # the kernel wants the whole tile
FLAT = 1  # elementwise: any piece of the tile, as flat memory
EMIT_BLOCK = 2  # any rows of a time tile, into a result of (dates, symbols)
LAG = 3  # any rows of a time tile, from rows before them of an operand that the whole tile has already

PIECE = 4096


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
            [builder.inttoptr(args[1], i64p), builder.inttoptr(args[2], i64p), builder.inttoptr(args[3], f64p)],
        )
        return context.get_dummy_value()

    return types.void(address, slots, dims, params), codegen


@intrinsic
def _take_tiles(typingctx: Any, counter: Any, many: Any) -> Any:
    """Add `many` to the int64 at address `counter` and return what it was: threads share out tiles by it."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("add", pointer, args[1], "monotonic")

    return types.int64(types.int64, types.int64), codegen


take_tiles: Any = _take_tiles
call_kernel: Any = _call_kernel  # mypy takes the typing context for an argument


@njit_cached
def run_tiles(code, base, stride, item, params, dims, work, counter, chunk, tiles, tile_first, tile_rows):  # type: ignore[no-untyped-def]
    """Run tiles, `chunk` neighbours at a time, until `counter` (an int64 that all threads share) has reached `tiles`.

    code: (instructions, INSTRUCTION_WIDTH) int64. base, stride, item: (slots,) int64, item being the
    bytes of a value. dims: the kernels' (N_DIMS,) int64.
    work: MAX_SLOTS + len(base) int64 of the caller's. tile_first, tile_rows: (tiles,) first date and number of dates of
    each tile of a date stage; empty in a time stage, whose tiles are symbol blocks.
    """
    n_code, n_slots = code.shape[0], base.size
    rows_all, width_all = dims[ROWS], dims[WIDTH]
    first = last = 0
    tile = 0
    while True:
        if tile >= last:
            first = take_tiles(counter.ctypes.data, chunk)
            if first >= tiles:
                break
            tile, last = first, min(first + chunk, tiles)
            dims[FIRST_TILE], dims[END_TILE] = first, last
        dims[TILE] = tile
        dims[FIRST_DATE] = 0
        if tile_first.size > 0:
            dims[FIRST_DATE] = tile_first[tile]
            rows_all = tile_rows[tile]
        for s in range(n_slots):
            work[MAX_SLOTS + s] = base[s] + tile * stride[s]
        i = 0
        while i < n_code:
            end = i + 1
            if code[i, KIND] != WHOLE:
                while end < n_code and code[end, KIND] != WHOLE:
                    end += 1
            first_date = dims[FIRST_DATE]
            total = rows_all * width_all
            piece = PIECE if end > i + 1 else total
            at = 0
            while at < total:
                here = min(piece, total - at)
                for k in range(i, end):
                    kind = code[k, KIND]
                    # Elementwise kernels see one long row; the others see the rows as they are.
                    dims[ROWS] = here // width_all if kind != FLAT else 1
                    dims[WIDTH] = here if kind == FLAT else width_all
                    if kind in (LAG, EMIT_BLOCK):
                        dims[FIRST_DATE] = at // width_all
                    for j in range(code[k, N_SLOTS]):
                        s = code[k, FIRST_SLOT + j]
                        if s < 0:
                            work[j] = 0
                        elif kind == EMIT_BLOCK and j == 0:
                            work[j] = work[MAX_SLOTS + s]
                        else:
                            work[j] = work[MAX_SLOTS + s] + item[s] * at
                    kernel_params = params.ctypes.data + 8 * code[k, PARAMS]
                    call_kernel(code[k, KERNEL], work.ctypes.data, dims.ctypes.data, kernel_params)
                at += here
            dims[FIRST_DATE] = first_date
            i = end
        dims[ROWS], dims[WIDTH] = rows_all, width_all
        tile += 1
    dims[WIDTH] = width_all
    dims[ROWS] = rows_all
