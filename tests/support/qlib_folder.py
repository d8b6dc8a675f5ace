"""Writes a long frame as a qlib folder, byte for byte as qlib's own dump does: for tests of the reader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl


def write_qlib(
    frame: pl.DataFrame, folder: Path, *, indices: dict[str, list[tuple[str, str, str]]] | None = None
) -> Path:
    """`frame` has date, symbol and number columns; `indices` lines of further index files, by their names."""
    (folder / "calendars").mkdir(parents=True)
    (folder / "instruments").mkdir()
    days = frame["date"].unique().sort()
    (folder / "calendars" / "day.txt").write_text("".join(f"{d}\n" for d in days))
    place = {d: i for i, d in enumerate(days.to_list())}
    lines = []
    for (symbol,), own in frame.sort("date").group_by("symbol", maintain_order=True):
        first, last = own["date"][0], own["date"][-1]
        lines.append(f"{symbol}\t{first}\t{last}\n")
        into = folder / "features" / str(symbol).lower()
        into.mkdir(parents=True)
        at = np.array([place[d] for d in own["date"].to_list()]) - place[first]
        for field in own.columns:
            if field in ("date", "symbol") or not own[field].dtype.is_numeric():
                continue
            values = np.full(place[last] - place[first] + 1, np.nan)
            values[at] = own[field].cast(pl.Float64).to_numpy()
            np.hstack([place[first], values]).astype("<f").tofile(into / f"{field.lower()}.day.bin")
    (folder / "instruments" / "all.txt").write_text("".join(sorted(lines)))
    for name, spells in (indices or {}).items():
        (folder / "instruments" / f"{name}.txt").write_text("".join("\t".join(s) + "\n" for s in spells))
    return folder
