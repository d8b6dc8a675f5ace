"""Opens the data on a worker, and checks by hash that they are the client's.

`MappedPanel` is for workers of the client's own machine: they map the arrays that the client wrote, so that all share
one copy. `MarketFiles` is read by each worker from the path that the client read: a file system that all machines see,
or a URI. Both end in a hash that must be the client's.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.panel import GroupField, Panel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fama_fast.panel.dataset import Dataset


@dataclass(frozen=True)
class MappedPanel:
    """A panel stored as files of arrays, which workers map; `hash` is its `data_hash`."""

    folder: str
    hash: str

    @classmethod
    def write(cls, panel: Panel, folder: Path) -> MappedPanel:
        """Write a panel's arrays to `folder`, which must be empty."""
        labels = {g: list(panel.group(g).labels) for g in panel.groups}
        names = {"fields": list(panel.supplied_fields), "groups": labels}
        np.save(folder / "dates.npy", panel.dates)
        for i, field in enumerate(panel.supplied_fields):
            np.save(folder / f"field{i}.npy", panel[field])
        for i, group in enumerate(panel.groups):
            np.save(folder / f"group{i}.npy", panel.group(group).codes)
        if panel.universe is not None:
            np.save(folder / "universe.npy", panel.universe)
        about = {**names, "symbols": panel.symbols.tolist(), "source": panel.source, "dtype": panel.dtype.name}
        (folder / "panel.json").write_text(json.dumps(about), encoding="utf-8")
        return cls(str(folder), panel.data_hash)

    def open(self) -> Panel:
        """Open the panel; its arrays are read when they are used."""
        folder = Path(self.folder)
        about = json.loads((folder / "panel.json").read_text(encoding="utf-8"))

        def array(name: str) -> Any:
            return np.load(folder / f"{name}.npy", mmap_mode="r")

        mask = folder / "universe.npy"
        return Panel(
            np.load(folder / "dates.npy"),
            about["symbols"],
            {name: array(f"field{i}") for i, name in enumerate(about["fields"])},
            groups={
                name: GroupField.view(array(f"group{i}"), tuple(labels))
                for i, (name, labels) in enumerate(about["groups"].items())
            },
            universe=np.load(mask) if mask.exists() else None,
            source=about["source"],
            dtype=about["dtype"],
            copy=False,
        )


@dataclass(frozen=True)
class MarketFiles:
    """Market data that each worker reads itself: a path with the options of `scan_market_data` (in parts) or of
    `load_market_data`; `hash` as of `hash_of`."""

    path: str
    options: Mapping[str, Any]
    hash: str
    parts: bool = False

    def open(self) -> Panel | Dataset:
        """Open the data of the path as this machine sees it."""
        from fama_fast.data import load_market_data, scan_market_data

        read = scan_market_data if self.parts else load_market_data
        return read(self.path, **self.options)


Source = MappedPanel | MarketFiles


def hash_of(data: Panel | Dataset) -> str:
    """Hash of data, hex: `Panel.data_hash`, or of a data set that of its axes, columns and files' footers.

    A footer has each column chunk's size and, as a rule, least and greatest value; the values are not read. So two data
    sets with one hash have the same keys, and could differ in values only where all of these agree.
    """
    if isinstance(data, Panel):
        return data.data_hash
    digest = hashlib.blake2b(digest_size=16)
    digest.update(np.ascontiguousarray(data.moments).data)
    digest.update("\0".join(data.symbols).encode())
    digest.update(repr((sorted(data.supplied_fields), sorted(data.groups), data.has_universe)).encode())
    for text in data.files.fingerprint():
        digest.update(text.encode())
    return digest.hexdigest()


def absolute(path: str) -> str:
    """The path in absolute form; a URI as it is."""
    return path if "://" in path else str(Path(path).expanduser().absolute())
