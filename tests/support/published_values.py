"""Writes the values of published libraries that their own systems, or independent packages, have on a made market.

    python -m tests.support.published_values

writes `tests/golden/published.npz`. It needs NumPy, Polars, qweave (GTJA's 191 alphas, the 101 Formulaic Alphas) and
pyqlib (Alpha158 and Alpha360, by qlib's own code), which the package does not: run it in an environment of its own.
What is kept: values in single precision on some dates, and of qlib's sets a digest of names and texts.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.support.published_panel import LATE_ROWS, QLIB_ROWS, SHORT, SYMBOLS, Array, dates, groups, market, names
from tests.support.qlib_folder import write_qlib

OUT = Path(__file__).parents[1] / "golden" / "published.npz"
CAP = 1e6  # market value of a symbol over its close
PRICES = ("open", "high", "low", "close", "volume", "vwap")


def digest(formulas: Iterable[tuple[str, str]]) -> str:
    """Of names and texts in order."""
    return hashlib.sha256("".join(f"{name}\t{text}\n" for name, text in formulas).encode()).hexdigest()


def by_qweave(fields: dict[str, Array]) -> dict[str, Array]:
    """(K, rows, N): of GTJA's set and the 101 Formulaic Alphas the value of each formula.

    The returns of other factors, which formula 30 of the former needs, are 0.
    """
    import qweave

    frame = pl.DataFrame(
        {
            "symbol": np.repeat(names(), len(dates())),
            "date": np.tile(dates(), SYMBOLS),
            **{field: values.T.ravel() for field, values in fields.items()},
            **{level: np.repeat(np.array(own, dtype=np.int32), len(dates())) for level, own in groups().items()},
        }
    ).with_columns(*(pl.lit(0.0).alias(f) for f in ("mkt", "smb", "hml")), cap=pl.col("close") * CAP)
    out = {}
    for key, alphas in {"gtja191": qweave.gtja_alpha191({}), "alpha101": qweave.worldquant_alpha101({})}.items():
        found = qweave.with_alphas(frame, "symbol", "date", alphas)
        columns = [found[a.output_name()].cast(pl.Float64).to_numpy().reshape(SYMBOLS, -1).T for a in alphas]
        out[key] = np.array([c[list(LATE_ROWS)] for c in columns])
    return out


def by_qlib(fields: dict[str, Array]) -> dict[str, tuple[Array, str]]:
    """(K, rows, N) of each set, and the digest of its names and texts."""
    import qlib
    from qlib.contrib.data.loader import Alpha158DL, Alpha360DL
    from qlib.data import D

    own = {f: v[-SHORT:].ravel() for f, v in fields.items() if f in PRICES}
    days = dates()[-SHORT:]
    frame = pl.DataFrame({"date": np.repeat(days, SYMBOLS), "symbol": np.tile(names(), SHORT), **own})
    features: dict[str, Any] = {
        "alpha158": {
            "kbar": {},
            "price": {"windows": [0], "feature": ["OPEN", "HIGH", "LOW", "VWAP"]},
            "rolling": {},
        }
    }
    texts = {
        "alpha158": Alpha158DL.get_feature_config(features["alpha158"]),
        "alpha360": Alpha360DL.get_feature_config(),
    }
    out = {}
    with tempfile.TemporaryDirectory() as folder:
        where = write_qlib(frame, Path(folder) / "data")
        qlib.init(provider_uri=str(where), kernels=1, logging_level=40, expression_cache=None, dataset_cache=None)
        for key, (expressions, called) in texts.items():
            found = D.features(names(), expressions, freq="day")
            found.columns = called
            dense = np.array([found[c].unstack(0)[names()].to_numpy()[list(QLIB_ROWS)] for c in called])
            out[key] = dense.astype(np.float64), digest(zip(called, expressions, strict=True))
    return out


def main() -> None:
    """Compute and write."""
    fields = market()
    arrays: dict[str, Any] = {key: values.astype(np.float32) for key, values in by_qweave(fields).items()}
    for key, (values, text) in by_qlib(fields).items():
        arrays |= {key: values.astype(np.float32), f"{key}_texts": np.array(text)}
    arrays["made_by"] = np.array([f"{name} {version(name)}" for name in ("qweave", "pyqlib")])
    np.savez_compressed(OUT, **arrays)


if __name__ == "__main__":
    main()
