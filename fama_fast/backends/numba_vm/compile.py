"""From an instruction's kernel name to the address of compiled code, compiled when first asked for."""

from __future__ import annotations

import functools
import importlib
import threading
from types import FunctionType
from typing import TYPE_CHECKING, Any

from numba.core.errors import NumbaError, UnsupportedBytecodeError

from fama_fast.backends.numba_vm.abi import NARROW_SIGNATURE, SIGNATURE
from fama_fast.backends.numba_vm.caching import compile_kernel
from fama_fast.errors import ConfigError

if TYPE_CHECKING:
    from fama_fast.plan import Instruction

_KERNELS = "fama_fast.backends.numba_vm.kernels"
_COMPILED: dict[tuple[str, bool], Any] = {}
_LOCK = threading.Lock()


class KernelError(ConfigError, LookupError):
    """The kernel of an operator that is not there, or that does not compile."""


def kernel_function(name: str) -> FunctionType:
    """The Python function of a kernel: "family.name" of this package, or "package.module:function" from outside.

    A function may end in an underscore where the bare name is a builtin's.

    Raises:
        KernelError: there is none of this name.
    """
    if ":" in name:
        module_name, function_name = name.split(":", 1)
    else:
        family, function_name = name.rsplit(".", 1)
        module_name = f"{_KERNELS}.{family}"
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise KernelError(f"kernel {name!r} cannot be loaded: {error}") from error
    for candidate in (function_name, f"{function_name}_"):
        found = vars(module).get(candidate)
        if isinstance(found, FunctionType):
            return found
    raise KernelError(f"kernel {name!r}: {module_name} has no function {function_name!r}")


def kernel_of(instruction: Instruction) -> str:
    """The name of the kernel that runs an instruction.

    A kernel over windows of params[0] days may have a twin, `NAME_relaxed`, for those that need fewer values than that
    (params[1]). A program seldom has both, and each takes a second or two to compile.
    """
    name, params = instruction.kernel, instruction.params
    return _relaxed(name) or name if len(params) > 1 and params[1] < params[0] else name


@functools.cache
def _relaxed(name: str) -> str | None:
    twin = f"{name.rstrip('_')}_relaxed"
    try:
        kernel_function(twin)
    except KernelError:
        return None
    return twin


def kernel_address(name: str, narrow: bool = False) -> int:
    """Address of the compiled kernel, or of its twin for float32 operands; the code lives as long as the process."""
    with _LOCK:
        found = _COMPILED.get((name, narrow))
        if found is None:
            signature = NARROW_SIGNATURE if narrow else SIGNATURE
            function = kernel_function(name)
            try:
                found = _COMPILED[name, narrow] = compile_kernel(function, signature)
            except (NumbaError, UnsupportedBytecodeError, TypeError) as error:
                if ":" not in name:
                    raise
                raise KernelError(f"kernel {name!r} does not compile: {_first_line(error)}") from error
        return int(found.address)


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines()[1:] if line.strip()), str(error).strip()[:200])
