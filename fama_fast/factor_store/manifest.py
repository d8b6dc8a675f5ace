"""The manifest: the state of a factor store, as one JSON file a generation.

Generation g + 1 is committed by giving a finished file the name `manifests/<g + 1>.json`, which fails if that name
exists. So of two writers that started from the same state one commits and the other gets an error, whatever became of
their locks; and a reader finds either the old state or the new one.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import re
import secrets
import tempfile
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.errors import OutputError, StoreError
from fama_fast.factor_store.combination import Combination  # noqa: TC001  (pydantic reads annotations)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

FORMAT = 1
ENGINE = version("fama_fast")
"""The version of the package whose engine computes."""

_NAME = re.compile(r"(\d{8})\.json\Z")
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EACCES})


@dataclass(frozen=True)
class StoredFactor:
    """A factor whose values are kept.

    Attributes:
        name: its column when it is read. fingerprint: its identity, and its column in the files.
        expression, dialect: as it was written. canonical: its canonical text. lookback: rows needed before a date.
        fields, groups: what it reads of the data. block: the files that hold it.
        combination: of a combined signal, of which there is no expression; `expression` says what it is.
    """

    name: str
    fingerprint: str
    expression: str
    dialect: str
    canonical: str
    lookback: int
    fields: tuple[str, ...]
    groups: tuple[str, ...]
    block: str
    combination: Combination | None = None


@dataclass(frozen=True)
class Segment:
    """A file of values: its path in the store, its number of rows, the version of the package that computed it."""

    file: str
    rows: int
    engine: str


@dataclass(frozen=True)
class Partition:
    """A month of the store.

    Attributes:
        month: "2024-01". dates: of the data, microseconds since 1970. data: hash of the data on these dates, by field.
        checks: the file of sums that tells which dates and symbols differ when a hash does. values: files by block.
    """

    month: str
    dates: tuple[int, ...]
    data: dict[str, str]
    checks: str
    values: dict[str, tuple[Segment, ...]]

    @property
    def files(self) -> set[str]:
        """Paths of all files of the month."""
        return {self.checks, *(s.file for segments in self.values.values() for s in segments)}


@dataclass(frozen=True)
class DataFile:
    """A file of the data as it was when its dates were last compared; `first` and `last` in microseconds since 1970."""

    path: str
    size: int
    modified_ns: int
    first: int
    last: int


@dataclass(frozen=True)
class Settings:
    """The settings that hold for all values of a store.

    Attributes:
        min_coverage: as of `ff.evaluate`. dtype: of the data's fields. universe: whether cross-sections see members
            only. days: dates are days, not times.
    """

    min_coverage: float | None
    dtype: str
    universe: bool
    days: bool


@dataclass(frozen=True)
class Manifest:
    """The state of a store.

    Attributes:
        generation: number of the commit. engine: version of the package that wrote last. source: the data's path.
        factors: in the order they were added. partitions: months in order. data_files: see `DataFile`.
    """

    generation: int
    engine: str
    source: str
    settings: Settings
    factors: tuple[StoredFactor, ...] = ()
    partitions: tuple[Partition, ...] = ()
    data_files: tuple[DataFile, ...] = field(default=(), repr=False)
    data_columns: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def moments(self) -> Any:
        """(T,) dates, microseconds since 1970."""
        return np.array([d for p in self.partitions for d in p.dates], dtype=np.int64)

    @property
    def dates(self) -> Any:
        """(T,) dates, datetime64 of days or microseconds."""
        return show_moments(self.moments, self.settings.days)

    @property
    def files(self) -> set[str]:
        """Paths of all files that the state consists of."""
        return set().union(*(p.files for p in self.partitions))

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, **asdict(self)}, ensure_ascii=False)


def show_moments(moments: Any, days: bool) -> Any:
    """Microseconds since 1970 as datetime64."""
    times = np.asarray(moments, dtype=np.int64).astype("datetime64[us]")
    return times.astype("datetime64[D]") if days else times


@functools.cache
def _shape() -> Any:
    """The validator that reads a manifest and checks the type of each value."""
    from pydantic import TypeAdapter

    return TypeAdapter(Manifest)


def _from_json(text: str, path: Path) -> Manifest:
    try:
        written = json.loads(text)["format"]
        if written != FORMAT:
            raise StoreError(
                f"{path}: the store has format {written}, this version of fama_fast reads {FORMAT}: "
                "use the version that wrote it, or make a new store"
            )
        manifest: Manifest = _shape().validate_json(text, strict=True)
        days = [d for p in manifest.partitions for d in p.dates]
        if manifest.generation < 1 or not days or days != sorted(days) or any(not p.dates for p in manifest.partitions):
            raise ValueError("its generation or its dates are out of order")
        for partition in manifest.partitions:
            np.datetime64(partition.month, "M")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        why = " ".join(str(error).split())[:200]
        raise StoreError(f"{path}: the manifest is damaged ({type(error).__name__}: {why})") from error
    return manifest


def manifest_path(root: Path, generation: int) -> Path:
    return root / "manifests" / f"{generation:08}.json"


def generations(root: Path) -> list[int]:
    """Numbers of the manifests there, ascending."""
    try:
        return sorted(int(hit[1]) for f in (root / "manifests").iterdir() if (hit := _NAME.match(f.name)))
    except (FileNotFoundError, NotADirectoryError):
        return []


def read_manifest(root: Path, generation: int | None = None) -> Manifest | None:
    """The latest state (or that of a generation), None where nothing was ever committed.

    Raises:
        StoreError: a manifest that cannot be read.
    """
    for _ in range(10):
        numbers = generations(root)
        if not numbers:
            return None
        path = manifest_path(root, numbers[-1] if generation is None else generation)
        try:
            return _from_json(path.read_text(encoding="utf-8"), path)
        except FileNotFoundError:
            continue  # two commits since it was listed: a newer one is there
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(f"{path}: the manifest cannot be read: {error}") from error
    raise StoreError(f"{root}: the manifest keeps changing")


def commit(root: Path, manifest: Manifest, settled: AbstractSet[str] = frozenset()) -> None:
    """Make a state the store's current one, if it follows the one that is there.

    Its files are put on disk first, so that a power cut does not leave a state without them; `settled` ones are there.

    Raises:
        StoreError: another writer has committed since. OutputError: it cannot be written.
    """
    target = manifest_path(root, manifest.generation)
    latest = max(generations(root), default=0)
    if latest + 1 != manifest.generation:
        raise StoreError(overtaken(root))
    try:
        _settle(root, manifest.files - settled)
    except OSError as error:
        raise OutputError(f"cannot write {root}: {error.strerror or error}") from error
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".g{manifest.generation:08}-", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(manifest.to_json())
            out.flush()
            os.fsync(out.fileno())
        Path(name).chmod(0o644)
        try:
            os.link(name, target)
        except FileExistsError:
            raise StoreError(overtaken(root)) from None
        except OSError as error:
            if error.errno not in _NO_LINKS or target.exists():
                raise
            Path(name).rename(target)  # no hard links here: the lock alone keeps writers apart
        _sync(target.parent)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        Path(name).unlink(missing_ok=True)


def overtaken(root: Path) -> str:
    """The error message of a writer that another one has overtaken."""
    return f"{root}: another writer has changed the store meanwhile; nothing was written: run it again"


def _settle(root: Path, files: Iterable[str]) -> None:
    """Sync files and the names of their folders to disk."""
    folders = {root}
    for file in files:
        path = root / file
        _sync(path)
        folders.update(p for p in path.parents if p.is_relative_to(root))
    for folder in folders:
        _sync(folder)


def _sync(path: Path) -> None:
    if os.name == "nt":
        return  # Windows opens no folder, and syncs what is open for writing only
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


_MADE = re.compile(r"\.?g(\d{8})-.*\.(parquet|tmp)\Z")


def new_stamp(generation: int) -> str:
    """A prefix for the names of an attempt's files, by which `clean` and `discard` recognise them."""
    return f"g{generation:08}-{secrets.token_hex(6)}"


def discard(root: Path, stamp: str) -> None:
    """Remove the files of an attempt that failed; of one that was committed after all, none."""
    latest = read_manifest(root)
    keep = latest.files if latest is not None else set()
    for top in ("values", "checks"):
        for path in (root / top).rglob(f"{stamp}-*"):
            if path.relative_to(root).as_posix() not in keep:
                path.unlink(missing_ok=True)


def clean(root: Path, manifest: Manifest) -> int:
    """Remove files that neither this state nor the one before it refers to; returns how many.

    The state before stays whole, for those who are reading it. Files of later generations are another writer's.
    """
    keep = set(manifest.files)
    before = manifest.generation - 1
    if before in generations(root) and (earlier := read_manifest(root, before)) is not None:
        keep |= earlier.files
    removed = 0
    for top in ("values", "checks", "manifests"):
        # Deepest first, so that a folder comes after what is in it.
        for path in sorted((root / top).rglob("*"), reverse=True):
            hit = _MADE.match(path.name)
            if path.is_dir():
                with contextlib.suppress(OSError):
                    path.rmdir()  # if it is empty
            elif hit and int(hit[1]) <= manifest.generation and path.relative_to(root).as_posix() not in keep:
                path.unlink(missing_ok=True)
                removed += 1
    for generation in generations(root):
        if generation < before:
            manifest_path(root, generation).unlink(missing_ok=True)
    return removed
