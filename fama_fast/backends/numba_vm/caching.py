"""Compiled code that outlives the process, in one folder per version of the source.

Numba's own cache looks only at the file of the cached function, not at the helpers compiled into it, and wants to
write beside the source. Here the folder's name is a digest of all sources of this back end, so nothing stale is ever
loaded, and it lies in the user's cache (`FAMA_CACHE_DIR`, else the platform's cache folder), so a read-only
installation works; a log record of `fama_fast` names the folder when it is first made. Where that is not writable
either, code is compiled anew in each process and a warning says so once.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import warnings
from pathlib import Path
from typing import Any

import platformdirs
from numba import njit
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.ccallback import CFunc

_SOURCES = Path(__file__).resolve().parent
_LOG = logging.getLogger("fama_fast")


@functools.cache
def source_digest() -> str:
    """Digest of every source file that kernels are compiled from."""
    h = hashlib.sha256()
    for path in sorted(_SOURCES.rglob("*.py")):
        h.update(path.relative_to(_SOURCES).as_posix().encode())
        h.update(path.read_bytes())
    return h.hexdigest()[:16]


@functools.cache
def cache_dir() -> Path | None:
    """The folder for compiled code, or None when none can be written."""
    root = os.environ.get("FAMA_CACHE_DIR")
    base = Path(root) if root else Path(platformdirs.user_cache_dir("fama_fast", appauthor=False))
    folder = base / f"kernels-{source_digest()}"
    first = not folder.is_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".write-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as e:
        warnings.warn(
            f"compiled kernels cannot be kept in {folder} ({e.strerror}): every process compiles them anew; "
            "set FAMA_CACHE_DIR to a writable folder",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    if first:
        _LOG.info("kernels are compiled when they are first used and kept in %s", folder)
    return folder


class _Locator(_CacheLocator):
    def __init__(self, py_func: Any, py_file: str) -> None:
        self._py_file = py_file
        self._line = py_func.__code__.co_firstlineno
        self._module = py_func.__module__

    def get_cache_path(self) -> str:
        return str(cache_dir())

    def get_source_stamp(self) -> str:
        # Kernels from outside the package are not in the digest of the folder's name.
        return hashlib.sha256(Path(self._py_file).read_bytes()).hexdigest()

    def get_disambiguator(self) -> str:
        return f"{self._module}-{self._line}"

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> Any:
        if cache_dir() is None or not Path(py_file).is_file():
            return None
        return cls(py_func, py_file)


class _CacheImpl(CompileResultCacheImpl):
    _locator_classes = [_Locator]  # noqa: RUF012  (numba's own shape)


class _KernelCache(FunctionCache):
    _impl_class = _CacheImpl


def _cacheable(function: Any) -> bool:
    return cache_dir() is not None and Path(function.__code__.co_filename).is_file()


def compile_kernel(function: Any, kind: Any) -> Any:
    """A kernel function of this signature as a numba C callback; read from the cache when it is there.

    `address` of the result is what the loop calls; the object must be kept alive.
    """
    signature: Any = (list(kind.args), kind.return_type)
    callback: Any = CFunc(function, signature, locals={}, options={"nopython": True, "error_model": "numpy"})
    if _cacheable(function):
        callback._cache = _KernelCache(function)
    callback.compile()
    return callback


def njit_cached(function: Any, *, fastmath: frozenset[str] = frozenset()) -> Any:
    """`numba.njit` without the GIL, with numpy's error model and this module's cache; `fastmath` as numba has it."""
    dispatcher: Any = njit(nogil=True, error_model="numpy", fastmath=set(fastmath))(function)
    if _cacheable(function):
        dispatcher._cache = _KernelCache(function)
    return dispatcher
