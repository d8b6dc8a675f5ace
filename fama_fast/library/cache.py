"""The factor cache on disk: one YAML file, or a folder that also keeps values.

A folder holds `factors.yaml` and, for each (fingerprint, data hash), `values/<fingerprint>.<data hash>.npy`
with a small `.json` beside it that states shape, type and digest. The values file is moved into place before
its note, so an entry exists only when it is whole; a note whose values do not match is an error, never a
miss. It computes nothing: callers put values.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fama_fast.atomic import atomic_write
from fama_fast.errors import OutputError, StoreError
from fama_fast.library.factor_set import FactorSet

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy as np
    from numpy.typing import NDArray

    from fama_fast.library.codec import OnMismatch

_YAML = frozenset({".yaml", ".yml"})
# Names of other formats: making a folder of such a name would only hide a wrong setting.
_OTHER = frozenset({".parquet", ".csv", ".json", ".npy", ".npz", ".pkl", ".pickle", ".sqlite", ".db", ".txt", ".h5"})
_KEY = re.compile(r"[0-9A-Za-z_-]{1,128}\Z")


class FactorCache:
    """A factor cache at `path`: a file when the name ends in .yaml or .yml, else a folder.

    Raises:
        StoreError: the path is, or is named as, something else.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        suffix = self.path.suffix.lower()
        self._is_file = suffix in _YAML and not self.path.is_dir()
        if self._is_file:
            return
        if self.path.exists() and not self.path.is_dir():
            raise StoreError(f"{self.path}: a factor cache is a folder or a file that ends in .yaml, not this file")
        if suffix in _OTHER and not self.path.exists():
            raise StoreError(f"{self.path}: a factor cache is a folder or a .yaml file, not {suffix}")

    @property
    def stores_values(self) -> bool:
        """Whether the cache can keep values: a folder can, a file cannot."""
        return not self._is_file

    @property
    def factors_path(self) -> Path:
        """The YAML file of the factor set."""
        return self.path if self._is_file else self.path / "factors.yaml"

    def load(
        self,
        *,
        on_mismatch: OnMismatch = "error",
        fields: Collection[str] | None = None,
        groups: Collection[str] | None = None,
    ) -> FactorSet:
        """The factors in the cache; empty when none were saved yet. Options as in `FactorSet.from_dict`.

        Raises:
            StoreError: the file cannot be read or is wrong (see `FactorSet.from_yaml`).
        """
        if not self.factors_path.exists():
            return FactorSet()
        return FactorSet.from_yaml(self.factors_path, on_mismatch=on_mismatch, fields=fields, groups=groups)

    def save(self, factors: FactorSet) -> None:
        """Write the factor set, whole or not at all; a folder is made when it is missing.

        Raises:
            OutputError: it cannot be written.
        """
        if not self._is_file:
            _make_folder(self.path)
        factors.to_yaml(self.factors_path)

    def entries(self) -> tuple[tuple[str, str], ...]:
        """The (fingerprint, data hash) pairs whose values are kept, sorted."""
        notes = (self.path / "values").glob("*.json") if self.stores_values else ()
        pairs = [tuple(note.name.removesuffix(".json").split(".")) for note in notes]
        return tuple(sorted((p[0], p[1]) for p in pairs if len(p) == 2))

    def values(self, fingerprint: str, data_hash: str, *, verify: bool = True) -> NDArray[np.floating[Any]] | None:
        """Values (T, N) of a factor on some data, memory-mapped and read-only; None when they are not kept.

        `verify` compares the digest, which reads the file once.

        Raises:
            StoreError: the entry is damaged; the file is named.
        """
        import numpy as np

        if self._is_file:
            return None
        file, note = self._entry(fingerprint, data_hash)
        if not (note.exists() and file.exists()):
            return None
        stated = _read_note(note)
        try:
            mapped = np.load(file, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # a header that is cut is read as Python text, which fails in many ways
            raise StoreError(f"{file}: the cached values are damaged ({error}): delete the file") from error
        if list(mapped.shape) != stated["shape"] or str(mapped.dtype) != stated["dtype"]:
            raise StoreError(
                f"{file}: the cached values are {mapped.dtype} of shape {mapped.shape}, but {note.name} says"
                f" {stated['dtype']} of shape {tuple(stated['shape'])}: delete both files"
            )
        if verify and _digest(mapped) != stated["digest"]:
            raise StoreError(f"{file}: the cached values are damaged (their digest differs): delete the file")
        return mapped  # type: ignore[no-any-return]

    def put_values(self, fingerprint: str, data_hash: str, values: NDArray[np.floating[Any]]) -> None:
        """Keep values (T, N), float64 or float32. An entry that holds these very bits is left as it is.

        Raises:
            StoreError: this cache is a file, or the values are not a float matrix. OutputError: cannot be
            written.
        """
        import numpy as np

        if self._is_file:
            raise StoreError(f"{self.path}: a factor cache that is a file keeps no values; give a folder")
        array = np.ascontiguousarray(values)
        if array.ndim != 2 or array.size == 0 or array.dtype not in (np.float64, np.float32):
            raise StoreError(f"values must be float64 or float32 of shape (T, N), not {array.dtype} {array.shape}")
        file, note = self._entry(fingerprint, data_hash)
        stated = {"shape": list(array.shape), "dtype": str(array.dtype), "digest": _digest(array)}
        if file.exists() and note.exists() and _read_note(note) == stated:
            return
        _make_folder(file.parent)
        note.unlink(missing_ok=True)
        with atomic_write(file) as temporary, temporary.open("wb") as out:
            np.save(out, array, allow_pickle=False)
        with atomic_write(note) as temporary:
            temporary.write_text(json.dumps(stated), encoding="utf-8")

    def _entry(self, fingerprint: str, data_hash: str) -> tuple[Path, Path]:
        for label, key in (("fingerprint", fingerprint), ("data hash", data_hash)):
            if not _KEY.match(key):
                raise StoreError(f"the {label} {key!r} cannot name a cache entry")
        stem = f"{fingerprint}.{data_hash}"
        return self.path / "values" / f"{stem}.npy", self.path / "values" / f"{stem}.json"


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {path}: {error.strerror or type(error).__name__}") from error


def _digest(array: NDArray[np.floating[Any]]) -> str:
    return hashlib.blake2b(array.data, digest_size=16).hexdigest()


def _read_note(note: Path) -> dict[str, Any]:
    try:
        data = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{note}: the cache entry is damaged ({error}): delete the file") from error
    kinds = {"shape": list, "dtype": str, "digest": str}
    if not isinstance(data, dict) or {k: type(v) for k, v in data.items()} != kinds:
        raise StoreError(f"{note}: the cache entry is damaged (wrong keys or values): delete the file")
    return data
