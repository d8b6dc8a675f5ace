"""Reads the library that a search starts from: the factor cache, a packaged library, or files of factors.

Every file is read by `factor_source`, as commands read theirs; here they are chosen, put together, and recorded with a
hash of their content. New factors go to the factor cache.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fama_fast.atomic import ensure_writable
from fama_fast.errors import DataError, StoreError, listed, nearest_name
from fama_fast.library import FactorCache, FactorSet, seed_factors
from fama_fast.library.published import LIBRARIES, PUBLISHED, SEEDS
from fama_fast.mining.run.factor_source import DOCUMENTS, TABLES, read_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fama_fast.library.factor import Factor

ENDINGS = (*DOCUMENTS, *TABLES, ".txt")  # of the files of a folder that are read
_SHOWN = 3


@dataclass(frozen=True)
class FileRead:
    """A file of factors that was read: its path, the blake2b hash of its content (hex), and how many factors it holds
    that no earlier file had."""

    path: str
    hash: str
    factors: int


@dataclass(frozen=True)
class StartingLibrary:
    """The library that a search starts from, before it is measured.

    Attributes:
        factors: each fingerprint once, in the order read. source: what they are from, for people.
        files: what was read of the disk, in order; none of a packaged library. notes: what people should know of it.
    """

    factors: tuple[Factor, ...]
    source: str
    files: tuple[FileRead, ...] = ()
    notes: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """What the ledger and the result keep of it: `source`, and `files` with path, hash and number of factors."""
        return {
            "source": self.source,
            "files": [{"path": f.path, "hash": f.hash, "factors": f.factors} for f in self.files],
        }


def starting_library(cache: str | None, library: str = SEEDS) -> StartingLibrary:
    """The library to start from: the factor cache where it holds factors, else what `library` names.

    Args:
        cache: path of the factor cache, if there is one. library: one of `LIBRARIES`, or the path of a file or folder
            of factors. A folder has all its files of factors read, in the order of their names.

    Raises:
        DataError: there is no such file, or nothing in it is a factor. StoreError: a file, or the cache, is damaged:
            file and row or key are named.
    """
    if cache is None:
        return _named(library)
    kept = FactorCache(cache)
    cached = tuple(kept.load())
    if cached:
        unused = "" if library == SEEDS else f", which comes before library: {library}"
        read = FileRead(str(kept.factors_path), content_hash(kept.factors_path), len(cached))
        return StartingLibrary(cached, f"the factor cache {kept.factors_path}{unused}", (read,))
    found = _named(library)
    source = f"{found.source} (the factor cache {kept.factors_path} holds none yet)"
    return StartingLibrary(found.factors, source, found.files, found.notes)


def content_hash(path: Path) -> str:
    """The blake2b hash of a file's bytes, 32 hex digits.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or type(error).__name__}") from error


def _named(library: str) -> StartingLibrary:
    if library == SEEDS:
        return StartingLibrary(tuple(seed_factors()), "the packaged seed alphas")
    if library in LIBRARIES:
        published = PUBLISHED[library]
        return StartingLibrary(tuple(published.factors()), published.title)
    path = Path(library).expanduser()
    if path.is_dir():
        files = _files_of(path)
        return _of_files(files, f"{len(files)} file{'s' * (len(files) != 1)} of the folder {path}")
    if not path.exists():
        raise DataError(f"library: there is no file or folder {path}{_nearest(path)}")
    return _of_files([path], f"the file {path}")


def _nearest(path: Path) -> str:
    try:
        names = [p.name for p in path.parent.iterdir()]
    except OSError:
        return f" (nor the folder {path.parent})"
    near = nearest_name(path.name, names)
    return "" if near is None else f"; did you mean {path.parent / near}?"


def _files_of(folder: Path) -> list[Path]:
    """The files of factors in a folder, in the order of their names; hidden ones and the notes that `compute` writes
    beside its values are none."""
    try:
        entries = sorted((p for p in folder.iterdir() if p.is_file()), key=lambda p: p.name)
    except OSError as error:
        raise DataError(f"cannot read the folder {folder}: {error.strerror or type(error).__name__}") from error
    names = {p.name for p in entries}
    files = [
        p
        for p in entries
        if p.suffix.lower() in ENDINGS
        and not p.name.startswith(".")
        and not (p.suffix == ".json" and p.name.removesuffix(".json") in names)
    ]
    if not files:
        raise DataError(f"library: the folder {folder} has no file of factors ({', '.join(ENDINGS)})")
    return files


def _of_files(files: Sequence[Path], source: str) -> StartingLibrary:
    """The factors of all files, those that came before left out and counted in a note."""
    found: dict[str, Factor] = {}
    read, notes, again = [], [], []
    for path in files:
        digest = content_hash(path)
        given = read_file(path)
        if given.note:
            notes.append(given.note)
        before = len(found)
        for factor in given.factors:
            if factor.fingerprint in found:
                again.append(f"{factor.canonical} of {path.name}")
            found.setdefault(factor.fingerprint, factor)
        read.append(FileRead(str(path), digest, len(found) - before))
    if not found:
        raise DataError(f"library: there is no factor in {source}")
    if again:
        what = "1 factor that came before counts" if len(again) == 1 else f"{len(again)} factors that came before count"
        notes.append(f"library: {what} once ({listed(again, _SHOWN)})")
    return StartingLibrary(tuple(found.values()), source, tuple(read), tuple(notes))


def _check_unchanged(files: Sequence[FileRead], record: Mapping[str, Any] | None) -> None:
    then = {} if record is None else {f["path"]: f["hash"] for f in record["files"]}
    for file in files:
        if then.get(file.path, file.hash) != file.hash:
            raise StoreError(f"{file.path} was changed since the run started from it")


def check_cache(path: str) -> None:
    """Check that the cache can be written before a run begins that will want to.

    Raises:
        StoreError: it is not a factor cache. OutputError: it cannot be written.
    """
    cache = FactorCache(path)
    if not cache.stores_values or cache.factors_path.parent.exists():
        ensure_writable(cache.factors_path)


def save_factors(
    path: str, new: Sequence[Factor], library: str = SEEDS, record: Mapping[str, Any] | None = None
) -> None:
    """Add new factors to the cache. One that was empty gets the starting library too.

    Args:
        path: of the cache. library: as in `starting_library`. record: what a run noted of it when it began.

    Raises:
        OutputError: it cannot be written. DataError: the library cannot be read again. StoreError: nor can the cache,
            or the library is no longer what the run began with.
    """
    cache = FactorCache(path)
    factors = cache.load()
    if not len(factors):
        begun = _named(library)
        _check_unchanged(begun.files, record)
        factors = FactorSet(begun.factors)
    for factor in new:
        if factor not in factors:
            factors.add(factor)
    cache.save(factors)
