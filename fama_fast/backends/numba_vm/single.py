"""One operator on plain arrays: for the Polars back end, where Polars has no native form, and for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fama_fast import ops
from fama_fast.backends.numba_vm.run import execute
from fama_fast.ir import field, group, make
from fama_fast.panel import GroupField, Panel
from fama_fast.plan import make_plan
from fama_fast.types import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.ir import Param
    from fama_fast.types import FloatArray


def apply(
    op: str,
    operands: Sequence[FloatArray],
    params: Sequence[Param] = (),
    *,
    threads: int | None = None,
    tile_rows: int | None = None,
) -> FloatArray:
    """The kernel of operator `op` on (T, N) arrays (group operands as codes from 0); the result is (T, N).

    Raises:
        UnknownName: no such operator. TypeError: it has no kernel of its own.
    """
    spec = ops.get(op)
    if spec.kernel is None:
        raise TypeError(f"{spec.name} has no kernel: it is lowered into other operators")
    t, n = operands[0].shape
    fields: dict[str, FloatArray] = {}
    groups: dict[str, GroupField] = {}
    args = []
    for i, (parameter, values) in enumerate(zip(spec.operands, operands, strict=True)):
        name = f"X{i}"
        if parameter.kind is Kind.GROUP:
            present = values[np.isfinite(values)]
            labels = tuple(map(str, range(int(present.max()) + 1))) if present.size else ()
            groups[name] = GroupField(np.asarray(values, dtype=np.float64), labels)
            args.append(group(name))
        else:
            fields[name] = values
            args.append(field(name))
    dates = np.datetime64("2000-01-01") + np.arange(t)
    panel = Panel(dates, range(n), fields, groups=groups)
    plan = make_plan([make(spec.name, args, tuple(params))])
    return execute(plan, panel, threads=threads, tile_rows=tile_rows)[0]
