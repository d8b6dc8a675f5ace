"""Inputs of `tests.support.file_fuzz` that are more than one table: result files, qlib folders, wide tables."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

import fama_fast as ff
from tests.support.paths import GOLDEN

RESULT = GOLDEN / "older" / "result.yaml"


def results(rng: random.Random, folder: Path) -> str:
    """Result files of `mine` after accidents, or with one line dropped or doubled."""
    from fama_fast.mining.run.factor_source import read_factors
    from tests.support.file_fuzz import broken, refused_or

    lines = RESULT.read_bytes().splitlines(keepends=True)
    at = rng.randrange(len(lines))
    what = rng.randrange(3)
    if what == 0:
        raw = broken(rng, b"".join(lines))
    else:
        raw = b"".join(lines[:at] + ([lines[at]] * 2 if what == 1 else []) + lines[at + 1 :])
    path = folder / "result.yaml"
    path.write_bytes(raw)
    return refused_or(lambda: read_factors(path) and None)


def qlib_folders(rng: random.Random, folder: Path) -> str:
    """qlib folders, whole or with one file after accidents."""
    from tests.support.file_fuzz import broken, in_memory_and_in_parts, refused_or

    root = folder / "cn_data"
    days = [f"2020-01-{d:02}" for d in sorted(rng.sample(range(1, 29), rng.randint(1, 8)))]
    symbols = [f"SH60000{i}" for i in range(rng.randint(1, 4))]
    spells = "".join(f"{s}\t{days[0]}\t{days[-1]}\n" for s in symbols)
    files: dict[str, bytes] = {
        "calendars/day.txt": "".join(f"{d}\n" for d in days).encode(),
        "instruments/all.txt": spells.encode(),
        "instruments/csi300.txt": spells.encode(),
    }
    values: dict[str, list[float]] = {}
    for symbol in symbols:
        values[symbol] = [float(np.float32(rng.uniform(1, 100))) for _ in days]
        for name in ("close", "volume"):
            stored = np.array([0.0, *values[symbol]], dtype="<f4").tobytes()
            files[f"features/{symbol.lower()}/{name}.day.bin"] = stored
    whole = rng.random() < 0.2
    if not whole:
        name = rng.choice(list(files))
        files[name] = broken(rng, files[name])
    for name, raw in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(raw)

    def read() -> None:
        in_memory_and_in_parts(root, **({"universe": "csi300"} if rng.random() < 0.5 else {}))
        if whole:
            panel = ff.load_market_data(root)
            np.testing.assert_array_equal(panel["CLOSE"], np.array([values[s] for s in symbols]).T)

    return refused_or(read)


def wide_tables(rng: random.Random, folder: Path) -> str:
    """Folders of wide tables, CSV or Parquet, with days and symbols of their own, whole or after accidents."""
    from tests.support.file_fuzz import broken, in_memory_and_in_parts, refused_or

    place, text = folder / "wide", rng.random() < 0.5
    place.mkdir()
    whole = rng.random() < 0.4
    closes: pl.DataFrame | None = None
    names = ["close", *rng.sample(["open", "volume", "adv20", "universe"], rng.randint(0, 3))]
    for name in names:
        days = [f"2020-02-{d:02}" for d in sorted(rng.sample(range(1, 29), rng.randint(1, 6)))]
        if rng.random() < 0.3:
            days = [d.replace("-", "") for d in days]
        symbols = rng.sample(["A", "BRK.B", "000001", "NA", "TRUE", "1E5", "F"], rng.randint(2, 6))
        table = pl.DataFrame({"date": days, **{s: [round(rng.uniform(1, 9), 3) for _ in days] for s in symbols}})
        if name == "universe":
            table = table.with_columns(pl.col(symbols) > 5)
        closes = table if name == "close" else closes
        path = place / f"{name}.{'csv' if text else 'parquet'}"
        if text:
            table.write_csv(path)
        else:
            table.write_parquet(path)
        if not whole and name == names[-1]:
            path.write_bytes(broken(rng, path.read_bytes()))

    def read() -> None:
        in_memory_and_in_parts(place)
        if whole and names == ["close"] and closes is not None:
            panel = ff.load_market_data(place)
            expected = closes.select(sorted(closes.columns[1:])).to_numpy()
            np.testing.assert_array_equal(panel["CLOSE"], expected)

    return refused_or(read)


LAYOUTS: dict[str, Callable[[random.Random, Path], str]] = {
    "results": results,
    "qlib_folders": qlib_folders,
    "wide_tables": wide_tables,
}
