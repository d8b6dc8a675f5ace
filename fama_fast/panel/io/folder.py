"""Lists the files that a path stands for: one rule for a file, a folder, a glob and a URI.

- A folder stands for the CSV or Parquet files in it and in its sub-folders. Names that begin with `.` or `_`, of files
  and of folders, are left out, and so are files of other kinds.
- In a glob (`prices/20*.parquet`, `prices/**/*.csv`) the pattern decides. A wildcard does not stand for a first `.` or
  `_`; a pattern that spells it (`prices/_*.parquet`) does. A folder that matches stands for what is in it.
- A file that is named is read, whatever its name; text files of another ending (`.txt`, `.tsv`) are read as CSV.

What is left out is counted (`Listing.left_out`). It opens no file; how the files are laid out is decided elsewhere.
"""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from fama_fast.errors import DataError, nearest_name
from fama_fast.panel.io.csv_bytes import PACKED
from fama_fast.terminal import is_text

if TYPE_CHECKING:
    from collections.abc import Sequence

Kind = Literal["parquet", "csv"]

ENDINGS: dict[Kind, tuple[str, ...]] = {
    "parquet": (".parquet", ".pq"),
    "csv": (".csv", *(f".csv{packed}" for packed in PACKED)),
}
TEXT_ENDINGS = tuple(f"{text}{packed}" for text in (".txt", ".tsv") for packed in ("", *PACKED))
"""Of text files that are read as CSV where a caller names them, and left out of a folder."""
KNOWN_ENDINGS = (*(e for endings in ENDINGS.values() for e in endings), *TEXT_ENDINGS)

_WAYS_IN: dict[tuple[str, ...], str] = {
    (".zip", ".7z", ".rar", ".tar", ".tgz", ".tar.gz"): "unpack it first (CSV may be packed as .csv.gz)",
    (".feather", ".arrow", ".ipc"): "polars.read_ipc(FILE).write_parquet('FILE.parquet') makes Parquet of it",
    (".pkl", ".pickle"): "pandas.read_pickle(FILE).to_parquet('FILE.parquet') makes Parquet of it",
    (".h5", ".hdf", ".hdf5"): "pandas.read_hdf(FILE).to_parquet('FILE.parquet') makes Parquet of it",
    (".xlsx", ".xls", ".ods"): "save it as CSV",
    (".json", ".jsonl", ".ndjson", ".npy", ".npz", ".mat", ".dta", ".sas7bdat", ".db", ".sqlite", ".duckdb"): (
        "write it as CSV or Parquet, a row a date and symbol"
    ),
}
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_HIDDEN = (".", "_")
_SHOWN = 3

Parts = tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """One data file: its name for messages, where its file system has it, and its path below what was asked for.

    `below` is empty for a file that was named itself.
    """

    name: str
    path: str
    below: Parts = ()

    @property
    def stem(self) -> str:
        """The file's name without folders and without the ending that says its kind: `000001.SZ` of `000001.SZ.csv`."""
        return stem_of(PurePosixPath(Path(self.path).as_posix()).name)


@dataclass(frozen=True)
class Listing:
    """The data files that a path stands for, sorted by their folders and names.

    Attributes:
        source: the path as given. kind: of all files. one: the path names a single file.
        left_out: names, relative to the folder, of what was there and is not read; folders end in `/`.
        filesystem: the pyarrow file system of `files`, None for this machine's.
    """

    source: str
    files: tuple[Place, ...]
    kind: Kind
    one: bool
    left_out: tuple[str, ...] = ()
    filesystem: Any = None

    @property
    def text(self) -> str:
        """The listing in words: `12 files; 2 left out (README.md, _old/)`; empty for a single file."""
        files = "" if self.one else f"{len(self.files):,} file{'s' * (len(self.files) != 1)}"
        return "; ".join(t for t in (files, self.left_out_text) if t)

    @property
    def left_out_text(self) -> str:
        """What was left out, in words: `2 left out (README.md, _old/)`, or nothing."""
        if not self.left_out:
            return ""
        more = ", ..." if len(self.left_out) > _SHOWN else ""
        return f"{len(self.left_out):,} left out ({', '.join(self.left_out[:_SHOWN])}{more})"


def is_uri(path: str | Path) -> bool:
    """Whether a path is a URI, `s3://...` and the like, rather than local."""
    return isinstance(path, str) and _URI.match(path) is not None


def kind_of(name: str) -> Kind | None:
    """The kind of a file (CSV or Parquet) by its name."""
    low = name.lower()
    return next((kind for kind, endings in ENDINGS.items() if low.endswith(endings)), None)


def _way_in(name: str) -> str:
    """Advice how to convert a file of another kind to one that can be read; empty where that is not known."""
    return next((f"; {way}" for ends, way in _WAYS_IN.items() if name.lower().endswith(ends)), "")


def names_file(text: str) -> bool:
    """Whether a text is the name of a data file rather than of a column: by its ending, or because it is there."""
    return text.lower().endswith(KNOWN_ENDINGS) or Path(text).is_file()


def one_csv(path: str | Path) -> bool:
    """Whether a path is a single CSV file, which can only be read whole, where a folder of them is read file by
    file."""
    if is_uri(path):
        return False
    place = Path(path).expanduser()
    text = kind_of(place.name) == "csv" or place.name.lower().endswith(TEXT_ENDINGS)
    return text and (place.is_file() or not (place.exists() or glob.has_magic(str(place))))


def stem_of(name: str) -> str:
    """A data file's name without the ending that says its kind."""
    low = name.lower()
    ending = max((e for e in KNOWN_ENDINGS if low.endswith(e)), key=len, default="")
    return name[: len(name) - len(ending)] if ending else name


def list_files(path: str | Path) -> Listing:
    """The data files of a file, folder, glob or URI.

    Raises:
        DataError: nothing there (with the nearest existing name), a folder without data files or with both kinds, a
            file that is neither CSV nor Parquet, an empty file, a URI that cannot be opened.
    """
    if is_uri(path):
        return _list_remote(str(path))
    if not str(path).strip():
        # Path("") is the working folder, which nobody means by it.
        raise DataError("the path of the data is empty")
    place = Path(path).expanduser()
    if place.is_dir():
        paths, left_out = _inside(place)
        files = [Place("/".join(p), str(place.joinpath(*p)), p) for p in paths]
        return _of_one_kind(path, files, left_out, "the directory holds no .parquet or .csv file")
    if place.exists():
        kind = kind_of(place.name) or ("csv" if place.name.lower().endswith(TEXT_ENDINGS) else None)
        if kind is None:
            raise DataError(
                f"{path}: neither CSV nor Parquet (expected a name ending in .csv, .parquet or .pq)"
                f"{_way_in(place.name)}"
            )
        if _is_empty(place):
            raise _no_bytes(str(place))
        return Listing(str(path), (Place(str(path), str(place)),), kind, one=True)
    if glob.has_magic(str(place)):
        return _list_matching(path, place)
    raise DataError(f"{path}: no such file{_near(place)}")


def _list_matching(path: str | Path, place: Path) -> Listing:
    anchor, pattern = _split(place.parts)
    base = Path(*anchor) if anchor else Path()
    matching: dict[Parts, None] = {}
    left_out: dict[str, None] = {}
    # Path.glob takes no absolute pattern.
    for hit in sorted(glob.glob(str(place), recursive=True, include_hidden=True)):  # noqa: PTH207
        parts = Path(hit).parts[len(anchor) :]
        hidden = _hidden(parts, pattern)
        if hidden is not None:
            left_out[hidden + "/" * (hidden == "/".join(parts) and Path(hit).is_dir())] = None
        elif not Path(hit).is_dir():
            matching[parts] = None
        elif matches(parts, pattern):
            inside, names = _inside(Path(hit))
            matching |= {(*parts, *p): None for p in inside}
            left_out |= {"/".join((*parts, name)): None for name in names}
    if not matching and not left_out:
        raise DataError(f"{path}: no file matches this pattern{_near(place)}")
    files = [Place(str(base.joinpath(*p)), str(base.joinpath(*p)), p) for p in sorted(matching)]
    return _of_one_kind(path, files, list(left_out), "no .parquet or .csv file matches this pattern", texts=True)


def matches(parts: Sequence[str], pattern: Sequence[str], *, hidden: bool = False) -> bool:
    """Whether a path matches a glob, both as lists of parts.

    A wildcard does not stand for a leading `.` or `_`, unless `hidden`.
    """
    if not pattern:
        return not parts
    unseen = bool(parts) and not hidden and parts[0].startswith(_HIDDEN)
    if pattern[0] == "**":
        if matches(parts, pattern[1:], hidden=hidden):
            return True
        return bool(parts) and not unseen and matches(parts[1:], pattern, hidden=hidden)
    if not parts or not fnmatch(parts[0], pattern[0]) or (unseen and pattern[0][0] != parts[0][0]):
        return False
    return matches(parts[1:], pattern[1:], hidden=hidden)


def _hidden(parts: Parts, pattern: Parts) -> str | None:
    """The hidden name, a file's or a folder's, for which a file that a pattern could stand for is left out; None: there
    is none.

    The pattern may match the file or a folder that holds it.
    """
    held = next((i for i in range(len(parts) + 1) if matches(parts[:i], pattern)), 0)
    at = next((i for i in range(held, len(parts)) if parts[i].startswith(_HIDDEN)), None)
    return None if at is None else "/".join(parts[: at + 1]) + "/" * (at + 1 < len(parts))


def _split(parts: Parts) -> tuple[Parts, Parts]:
    """A pattern as the folders before its first wildcard, and the rest."""
    at = next((i for i, p in enumerate(parts) if glob.has_magic(p)), len(parts))
    return parts[:at], parts[at:]


def _inside(folder: Path) -> tuple[list[Parts], list[str]]:
    """Files of a folder and its sub-folders, sorted; and the hidden names, which are not looked into."""
    files: list[Parts] = []
    left_out: list[str] = []
    seen = {folder.resolve()}

    def look(at: Path, below: Parts) -> None:
        try:
            entries = sorted(os.scandir(at), key=lambda e: e.name)
        except OSError as error:
            raise DataError(f"{at}: cannot be read: {error.strerror}") from error
        for entry in entries:
            parts = (*below, entry.name)
            if entry.name.startswith(_HIDDEN):
                left_out.append("/".join(parts) + "/" * entry.is_dir())
            elif entry.is_dir():
                real = Path(entry.path).resolve()
                # Links to folders are followed, but not in a circle.
                if real not in seen:
                    seen.add(real)
                    look(Path(entry.path), parts)
            elif entry.is_file():
                files.append(parts)

    look(folder, ())
    return sorted(files), left_out


def _of_one_kind(
    path: str | Path,
    files: Sequence[Place],
    left_out: Sequence[str],
    nothing: str,
    *,
    texts: bool = False,
    filesystem: Any = None,
) -> Listing:
    """The data files among `files`; `texts`: other text files are CSV where there is nothing else."""
    if any(PurePosixPath(name.rstrip("/")).name == "_delta_log" for name in left_out):
        raise DataError(f"{path}: a Delta table, of which some Parquet files are no longer part: export it as Parquet")
    kinds: dict[Kind, list[Place]] = {}
    others: list[Place] = []
    for file in files:
        kind = kind_of(file.path)
        if kind is None:
            others.append(file)
        else:
            kinds.setdefault(kind, []).append(file)
    if len(kinds) > 1:
        first = " and ".join(group[0].name for group in kinds.values())
        raise DataError(
            f"{path}: both CSV and Parquet files ({first}); name one kind, such as {Path(path) / '**' / '*.parquet'}"
        )
    readable = [f for f in others if f.path.lower().endswith(TEXT_ENDINGS)]
    if not kinds and readable and texts:
        kinds, others = {"csv": readable}, [f for f in others if f not in readable]
    if not kinds:
        names = [*("/".join(f.below) for f in others), *left_out]
        there = f" (there is {', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''})" if names else ""
        hint = f"; name text files with a pattern, such as {Path(path) / '*.txt'}" if readable else ""
        hint = hint or next((way for name in names if (way := _way_in(name))), "")
        raise DataError(f"{path}: {nothing}{there}{hint}")
    ((kind, chosen),) = kinds.items()
    if filesystem is None:
        empty = dict.fromkeys(file for file in chosen if _is_empty(Path(file.path)))
        if empty and (kind != "csv" or len(empty) == len(chosen)):
            first_empty = next(iter(empty))
            raise _no_bytes(first_empty.path if texts else first_empty.name)
        # As one that has no rows: the symbol of a folder of many that was never traded, or not yet downloaded.
        left_out = [*left_out, *("/".join(file.below) + " (empty)" for file in empty)]
        chosen = [file for file in chosen if file not in empty]
    skipped = [*left_out, *("/".join(f.below) for f in others)]
    return Listing(str(path), tuple(chosen), kind, one=False, left_out=tuple(sorted(skipped)), filesystem=filesystem)


def _is_empty(file: Path) -> bool:
    if not is_text(file):
        raise DataError(f"{file}: the name is not UTF-8 text, and such a file cannot be opened: rename it")
    return file.stat().st_size == 0


def _no_bytes(name: str) -> DataError:
    return DataError(f"{name}: the file is empty")


def _near(place: Path) -> str:
    folder = place.parent
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    if folder != place.parent:
        return f" (there is no directory {place.parent})"
    try:
        names = [f.name for f in folder.iterdir() if not f.name.startswith(".")]
    except OSError:
        return ""
    near = nearest_name(place.name, names)
    return f"; did you mean {folder / near}?" if near else ""


def _list_remote(uri: str) -> Listing:
    import pyarrow as pa
    import pyarrow.fs

    head: str = uri
    pattern: Parts = ()
    if "*" in uri:
        before, _, _ = uri.partition("*")
        head = before.rpartition("/")[0]
        pattern = PurePosixPath(uri[len(head) :].lstrip("/")).parts
    try:
        filesystem, root = pyarrow.fs.FileSystem.from_uri(head)
    except (pa.ArrowException, ValueError, OSError) as error:
        filesystem, root = _fsspec(head, error)
    try:
        info = filesystem.get_file_info(root)
        if info.type == pyarrow.fs.FileType.File:
            return Listing(uri, (Place(uri, root),), "parquet", one=True, filesystem=filesystem)
        infos = filesystem.get_file_info(pyarrow.fs.FileSelector(root, recursive=True, allow_not_found=True))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{uri}: cannot be opened: {first_line(error)}") from error
    files: list[Place] = []
    left_out: dict[str, None] = {}
    for item in sorted((i for i in infos if i.is_file), key=lambda i: PurePosixPath(i.path).parts):
        parts = PurePosixPath(item.path[len(root) :].lstrip("/")).parts
        if pattern and not any(matches(parts[:i], pattern, hidden=True) for i in range(1, len(parts) + 1)):
            continue
        hidden = _hidden(parts, pattern)
        if hidden is None:
            files.append(Place(item.path, item.path, parts))
        else:
            left_out[hidden] = None
    listing = _of_one_kind(uri, files, list(left_out), "no Parquet file there", filesystem=filesystem)
    if listing.kind != "parquet":
        raise DataError(f"{uri}: of remote files only Parquet can be read: write the data as Parquet once")
    return listing


def _fsspec(uri: str, error: Exception) -> tuple[Any, str]:
    import pyarrow.fs

    try:
        import fsspec
    except ImportError:
        scheme = uri.partition("://")[0]
        hint = f"{scheme}:// needs the package fsspec (and the one that it names for {scheme})"
        raise DataError(f"{uri}: cannot be opened: {first_line(error)}; {hint}") from error
    try:
        filesystem, root = fsspec.core.url_to_fs(uri)
    except (ValueError, ImportError, OSError) as failure:
        raise DataError(f"{uri}: cannot be opened: {first_line(failure)}") from failure
    return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(filesystem)), root


def first_line(error: Exception) -> str:
    """The message of an error on one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
