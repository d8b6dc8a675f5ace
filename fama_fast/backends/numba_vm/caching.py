"""Compiled code that outlives the process, in one folder per version of the source.

Numba's own cache looks only at the file of the cached function, not at the helpers compiled into it, and wants to
write beside the source. Here the folder's name is a digest of all sources of this back end, so nothing stale is ever
loaded, and it lies in the user's cache (`FAMA_CACHE_DIR`, else the platform's cache folder), so a read-only
installation works; a log record of `fama_fast` names the folder when it is first made. Where that is not writable
either, or not the user's alone (`trust`), code is compiled anew in each process and a warning says so once. What is
damaged there is compiled anew and replaced (`cache_file`).
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

from fama_fast.backends.numba_vm.cache_file import KernelFiles, set_aside
from fama_fast.backends.numba_vm.trust import stranger

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
    """The folder for compiled code, or None when none can be written or others may write it."""
    root = os.environ.get("FAMA_CACHE_DIR")
    base = Path(root) if root else Path(platformdirs.user_cache_dir("fama_fast", appauthor=False))
    folder = base / f"kernels-{source_digest()}"
    first = not folder.is_dir()
    try:
        if os.path.lexists(folder) and not folder.is_dir():
            set_aside(folder)
        _make(folder)
        who = stranger(folder)
        probe = folder / f".write-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as e:
        _not_kept(
            f"compiled kernels cannot be kept in {folder} ({e.strerror}): every process compiles them anew; "
            "set FAMA_CACHE_DIR to a writable folder"
        )
        return None
    if who is not None:
        _not_kept(
            f"compiled kernels are neither read from nor kept in {folder}, since {who} and could put other code there: "
            "every process compiles them anew; set FAMA_CACHE_DIR to a folder that only you may write"
        )
        return None
    if first:
        _LOG.info("kernels are compiled when they are first used and kept in %s", folder)
    return folder.resolve()


def _make(folder: Path) -> None:
    """The folder and its parents as far as they are missing, for the user alone whatever the umask."""
    for missing in reversed([p for p in (folder, *folder.parents) if not p.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)


def _not_kept(why: str) -> None:
    warnings.warn(why, RuntimeWarning, stacklevel=3)


@functools.cache
def _not_saved(why: str) -> None:
    """Once for each reason: a full disk meets every kernel."""
    _not_kept(f"compiled kernels cannot be kept in {cache_dir()} ({why}): the next process compiles them anew")


class _Locator(_CacheLocator):
    def __init__(self, py_func: Any, py_file: str) -> None:
        self._py_file = py_file
        self._line = py_func.__code__.co_firstlineno
        self._module = py_func.__module__

    def get_cache_path(self) -> str:
        return str(cache_dir())

    def ensure_cache_path(self) -> None:
        _make(Path(self.get_cache_path()))

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

    def __init__(self, py_func: Any) -> None:
        super().__init__(py_func)
        locator = self._impl.locator
        files: Any = KernelFiles(locator.get_cache_path(), self._impl.filename_base, locator.get_source_stamp())
        self._cache_file = files

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # noqa: BLE001  (whatever a file does not load for, compiling is the cure)
            _LOG.info("the compiled kernel of %s cannot be loaded (%s): it is compiled anew", self._name, error)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _not_saved(error.strerror or type(error).__name__)


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
