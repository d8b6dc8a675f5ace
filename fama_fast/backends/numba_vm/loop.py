"""The virtual machine's loop: run a stage's instructions over a range of tiles, without the GIL.

A stage is described by a job: int64 numbers that all threads read (`CODE` to `DIMS`, then `base`, `stride` and `item`
of each slot). An instruction is a row of its code: the kernel's address, its kind, the number of its slots, the offset
of its parameters, then the slots. The address of a slot for a tile is `base + tile * stride`: registers have stride 0,
blocked arrays step by one symbol block in a time stage. Slots of float32 arrays are reached by kernels that know them.

A thread that works on a job has a desk of its own, memory for its copy of what changes from tile to tile, registers and
scratch. `lead` runs a job with the helpers that are awake; `serve` is what they do (`threads`).

Most elementwise work is in chains (`chain`), each one instruction. Neighbours of another kind that any piece of a tile
will do for (a logarithm, the copy into a result) run together with them piece by piece: a piece of each register stays
in the first-level cache from one to the next, where whole tiles would go through the second.
"""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from fama_fast.backends.numba_vm.abi import (
    END_TILE,
    FIRST_DATE,
    FIRST_TILE,
    N_DIMS,
    ROWS,
    SCRATCH,
    TILE,
    WIDTH,
    address_of,
    as_integers,
    helper,
)
from fama_fast.backends.numba_vm.caching import njit_cached

KERNEL = 0
KIND = 1
N_SLOTS = 2
PARAMS = 3
FIRST_SLOT = 4
MAX_SLOTS = 16
INSTRUCTION_WIDTH = FIRST_SLOT + MAX_SLOTS

WHOLE = 0  # the kernel wants the whole tile
FLAT = 1  # elementwise: any piece of the tile, as flat memory
EMIT_BLOCK = 2  # any rows of a time tile, into a result of (dates, symbols)
LAG = 3  # any rows of a time tile, from rows before them of an operand that the whole tile has already

PIECE = 4096

# A job.
CODE = 0  # address of (instructions, INSTRUCTION_WIDTH) int64
N_CODE = 1
CODE_PARAMS = 2  # address of all instructions' parameters
JOB_SLOTS = 3
N_REGISTERS = 4  # the first slots
REGISTER_BYTES = 5
REGISTERS_AT = 6  # where on a desk the registers begin, in bytes
SCRATCH_AT = 7
CHUNK = 8  # neighbouring tiles that a thread takes at a time
TILES = 9
TILE_FIRST = 10  # addresses of the first date and of the number of dates of each tile; 0 in a time stage, whose tiles
TILE_ROWS = 11  # are symbol blocks
COUNTER = 20  # tiles taken so far: in a cache line of its own
DIMS = 28  # the kernels' dimensions to begin with, then the slots
SLOTS = DIMS + N_DIMS

# A helper's mailbox: each entry that is waited for in a cache line of its own.
JOB = 0  # address of a job that nobody has taken yet, or 0
DESK = 1  # address of the helper's desk
DONE = 8  # 1 when the job that was taken is done
STATE = 16
MAILBOX = 24
AWAKE = 0
ASLEEP = 1

SPINS = 1 << 16  # looks at an empty mailbox before a helper goes to sleep: one to three milliseconds
_PATIENCE = 64  # looks between two times that the processor is offered to other threads


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


@intrinsic
def _exchange(typingctx: Any, address: Any, value: Any) -> Any:
    """Put a value into the int64 at `address` and return what was there; all threads agree on the order."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("xchg", pointer, args[1], "seq_cst")

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def _look(typingctx: Any, address: Any) -> Any:
    """The int64 at `address` as another thread may just have written it."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        return builder.load_atomic(pointer, "seq_cst", 8)

    return types.int64(types.int64), codegen


@intrinsic
def _pause(typingctx: Any) -> Any:
    """Tell the processor that this thread waits for another, where there is a way."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        machine = platform.machine()
        if machine in ("x86_64", "AMD64"):
            pause = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, pause, "llvm.x86.sse2.pause"), [])
        elif machine in ("aarch64", "arm64"):
            hint = ir.FunctionType(ir.VoidType(), [ir.IntType(32)])
            function = cgutils.get_or_insert_function(builder.module, hint, "llvm.aarch64.hint")
            builder.call(function, [ir.Constant(ir.IntType(32), 1)])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def _call_plain(typingctx: Any, address: Any) -> Any:
    """Call a C function without arguments."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        function = ir.FunctionType(ir.IntType(32), [])
        builder.call(builder.inttoptr(args[0], function.as_pointer()), [])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


# mypy takes the typing context for an argument
take_tiles: Any = _take_tiles
call_kernel: Any = _call_kernel
exchange: Any = _exchange
look: Any = _look
pause: Any = _pause
call_plain: Any = _call_plain
integers: Any = as_integers
where: Any = address_of


@helper
def _run_tiles(job_address, desk_address):  # type: ignore[no-untyped-def]
    """Run a job's tiles, a chunk of neighbours at a time, until none is left."""
    job, dims = integers(job_address), integers(desk_address)
    n_slots, n_registers = job[JOB_SLOTS], job[N_REGISTERS]
    base = integers(desk_address + 8 * N_DIMS)
    here = integers(desk_address + 8 * (N_DIMS + n_slots))  # addresses for the tile at hand
    work = integers(desk_address + 8 * (N_DIMS + 2 * n_slots))
    for s in range(n_slots):
        base[s] = job[SLOTS + s]
    for r in range(n_registers):
        base[r] = desk_address + job[REGISTERS_AT] + r * job[REGISTER_BYTES]
    for i in range(N_DIMS):
        dims[i] = job[DIMS + i]
    dims[SCRATCH] = desk_address + job[SCRATCH_AT]
    stride = integers(job_address + 8 * (SLOTS + n_slots))
    item = integers(job_address + 8 * (SLOTS + 2 * n_slots))
    code, n_code, params = integers(job[CODE]), job[N_CODE], job[CODE_PARAMS]
    tile_first, tile_rows = integers(job[TILE_FIRST]), integers(job[TILE_ROWS])
    tiles, chunk = job[TILES], job[CHUNK]
    rows_all, width_all = dims[ROWS], dims[WIDTH]
    last = 0
    tile = 0
    while True:
        if tile >= last:
            first = take_tiles(job_address + 8 * COUNTER, chunk)
            if first >= tiles:
                break
            tile, last = first, min(first + chunk, tiles)
            dims[FIRST_TILE], dims[END_TILE] = first, last
        dims[TILE] = tile
        dims[FIRST_DATE] = 0
        if job[TILE_FIRST] != 0:
            dims[FIRST_DATE] = tile_first[tile]
            rows_all = tile_rows[tile]
        for s in range(n_slots):
            here[s] = base[s] + tile * stride[s]
        i = 0
        while i < n_code:
            end = i + 1
            if code[i * INSTRUCTION_WIDTH + KIND] != WHOLE:
                while end < n_code and code[end * INSTRUCTION_WIDTH + KIND] != WHOLE:
                    end += 1
            first_date = dims[FIRST_DATE]
            total = rows_all * width_all
            piece = PIECE if end > i + 1 else total
            at = 0
            while at < total:
                cells = min(piece, total - at)
                for k in range(i, end):
                    row = k * INSTRUCTION_WIDTH
                    kind = code[row + KIND]
                    # Elementwise kernels see one long row; the others see the rows as they are.
                    dims[ROWS] = cells // width_all if kind != FLAT else 1
                    dims[WIDTH] = cells if kind == FLAT else width_all
                    if kind in (LAG, EMIT_BLOCK):
                        dims[FIRST_DATE] = at // width_all
                    for j in range(code[row + N_SLOTS]):
                        s = code[row + FIRST_SLOT + j]
                        if s < 0:
                            work[j] = 0
                        elif kind == EMIT_BLOCK and j == 0:
                            work[j] = here[s]
                        else:
                            work[j] = here[s] + item[s] * at
                    kernel_params = params + 8 * code[row + PARAMS]
                    call_kernel(code[row + KERNEL], where(work), desk_address, kernel_params)
                at += cells
            dims[FIRST_DATE] = first_date
            i = end
        dims[ROWS], dims[WIDTH] = rows_all, width_all
        tile += 1


@helper
def _wait(looks, give_way):  # type: ignore[no-untyped-def]
    """Between two looks at what another thread has to write: who has work goes first."""
    if looks % _PATIENCE == 0 and give_way != 0:
        call_plain(give_way)
    pause()


@njit_cached
def lead(job, desk, mailboxes, helpers, give_way):  # type: ignore[no-untyped-def]
    """Run a job on this thread and on helpers that are awake; when it returns, nobody works on it any more.

    mailboxes: address of the first of `helpers` mailboxes. give_way: address of a C function that offers the processor
    to other threads, or 0.
    """
    integers(job)[COUNTER] = 0
    for h in range(helpers):
        box = mailboxes + 8 * MAILBOX * h
        exchange(box + 8 * DONE, 0)
        exchange(box + 8 * JOB, job)
    _run_tiles(job, desk)
    for h in range(helpers):
        box = mailboxes + 8 * MAILBOX * h
        if exchange(box + 8 * JOB, 0) == 0:
            looks = 0
            while look(box + 8 * DONE) == 0:
                looks += 1
                _wait(looks, give_way)


@njit_cached
def serve(mailbox, give_way):  # type: ignore[no-untyped-def]
    """Run the jobs that come into a mailbox, until none has come for a while; then its state is `ASLEEP`."""
    box = integers(mailbox)
    left = SPINS
    while True:
        if look(mailbox + 8 * JOB) != 0:
            job = exchange(mailbox + 8 * JOB, 0)
            if job != 0:
                _run_tiles(job, box[DESK])
                exchange(mailbox + 8 * DONE, 1)
            left = SPINS
        elif left > 0:
            left -= 1
            _wait(left, give_way)
        else:
            exchange(mailbox + 8 * STATE, ASLEEP)
            # A job that came before that was not announced; who brings one later sees the state and wakes the helper.
            if look(mailbox + 8 * JOB) == 0 or exchange(mailbox + 8 * STATE, AWAKE) == AWAKE:
                return
            left = SPINS


@njit_cached
def rouse(mailbox):  # type: ignore[no-untyped-def]
    """Whether the helper of this mailbox slept, and is to be woken by the caller."""
    return exchange(mailbox + 8 * STATE, AWAKE) == ASLEEP
