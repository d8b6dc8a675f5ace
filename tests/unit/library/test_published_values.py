"""Published libraries hold the values that other systems give them, formula by formula.

`tests/support/published_values.py` made the values: Alpha158 and Alpha360 by qlib's own code, in single precision,
GTJA's 191 alphas by qweave. What differs is listed here with the reason, and is held to that.
"""

from __future__ import annotations

import re

import numpy as np
import polars as pl
import pytest

import fama_fast as ff
from fama_fast.library import alpha158, alpha360, gtja191
from fama_fast.library.gtja191 import LEFT_OUT, SPARSE
from tests.support.paths import GOLDEN
from tests.support.published_panel import GTJA_ROWS, QLIB_ROWS, SHORT, SYMBOLS, Array, dates, market, names
from tests.support.published_values import digest

QLIB = {"alpha158": alpha158(), "alpha360": alpha360()}
GTJA = gtja191()
WHOLE_PAST = 1900  # days of an SMA that lose nothing: (59/60) ** 1900 is 1e-14

# Of the formulas that differ in some cells: why, and the least share of cells that are equal.
TIES = "it ranks correlations or covariances of ranks over few days; what ties but for the last bits falls either way"
LINE = "a correlation over two or three days is often 1 or -1: exactly here, to the last bits there, and is ranked"
FLAT = "a correlation with what did not move is missing here; there it is what rounding left"
LATEST = "of equal lows or highs the latest counts here, the first there"
BY_ZERO = "a division by zero is missing here and infinite there"
DIFFERENT = {
    32: (LINE, 0.9),
    83: (TIES, 0.95),
    87: (BY_ZERO, 0.9),
    99: (TIES, 0.95),
    103: (LATEST, 0.9),
    113: (LINE, 0.1),
    115: (FLAT, 0.95),
    119: (TIES, 0.9),
    121: (TIES, 0.95),
    133: (LATEST, 0.9),
    140: (TIES, 0.95),
    141: (TIES, 0.95),
    177: (LATEST, 0.95),
}

# Two formulas whose print cannot be computed as it stands, as qweave reads them.
READ_OTHERWISE = {
    166: "-20 * (20 - 1) ^ 1.5 * TS_SUM(CLOSE / DELAY(CLOSE, 1) - 1 - TS_MEAN(CLOSE / DELAY(CLOSE, 1) - 1, 20), 20) "
    "/ ((20 - 1) * (20 - 2) * TS_SUM(CLOSE / DELAY(CLOSE, 1), 20) ^ 2) ^ 1.5",
    190: gtja191(190).replace(
        "1 - ((CLOSE / DELAY(CLOSE, 19)) ^ 0.05 - 1)) ^ 2", "1 - (CLOSE / DELAY(CLOSE, 19)) ^ 0.05 - 1) ^ 2", 1
    ),
}


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "published.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def panel() -> ff.Panel:
    fields = market()
    days = np.repeat(dates(), SYMBOLS)
    own = {f: v.ravel() for f, v in fields.items() if not f.startswith("index")}
    index = {f.replace("index", "benchmark"): v.ravel() for f, v in fields.items() if f.startswith("index")}
    return ff.Panel.from_frame(pl.DataFrame({"date": days, "symbol": np.tile(names(), len(dates())), **own, **index}))


def whole_past(text: str) -> str:
    """The text with every SMA over as many days as it takes to lose nothing, from the first day on."""
    out, opened = [], []
    for part in re.split(r"(\bSMA\(|\(|\))", text):
        if part.endswith("("):
            opened.append(part)
        elif part == ")" and opened.pop() == "SMA(":
            out.append(f", {WHOLE_PAST}, min_periods=1")
        out.append(part)
    return "".join(out)


def same(ours: Array, theirs: Array, tolerance: float) -> np.ndarray:
    """Cells that are both missing, or equal to a share of the value or of the formula's usual size."""
    theirs = np.where(np.isfinite(theirs), theirs, np.nan).astype(np.float64)
    size = np.maximum(np.abs(theirs), np.nanmedian(np.abs(theirs)))
    return (np.isnan(ours) & np.isnan(theirs)) | (np.abs(ours - theirs) <= tolerance * size)


@pytest.fixture(scope="module")
def of_gtja(panel: ff.Panel) -> dict[int, Array]:
    """By number, with the whole past in every SMA, on the stored dates."""
    texts = GTJA | READ_OTHERWISE
    found = ff.evaluate([whole_past(text) for text in texts.values()], panel)
    return {number: values[list(GTJA_ROWS)] for number, values in zip(texts, found, strict=True)}


@pytest.mark.parametrize("key", QLIB)
def test_of_qlib_every_text_and_value_is_its_own(panel: ff.Panel, stored: dict[str, np.ndarray], key: str) -> None:
    formulas = QLIB[key]
    assert digest(formulas.items()) == str(stored[f"{key}_texts"])
    late = panel.slice_dates(len(dates()) - SHORT, len(dates()))
    found = ff.evaluate([ff.compile(text, dialect="qlib") for text in formulas.values()], late)
    assert stored[key].shape == (len(formulas), len(QLIB_ROWS), SYMBOLS)
    known = 0
    for name, ours, theirs in zip(formulas, found, stored[key], strict=True):
        assert same(ours[list(QLIB_ROWS)], theirs, 2e-5).all(), name
        known += int(np.isfinite(theirs).sum())
    assert known > 0.6 * stored[key].size


def test_of_gtja_every_value_is_qweaves_or_is_listed(of_gtja: dict[int, Array], stored: dict[str, np.ndarray]) -> None:
    theirs = stored["gtja191"]
    assert theirs.shape == (191, len(GTJA_ROWS), SYMBOLS)
    assert set(of_gtja) | set(LEFT_OUT) == set(range(1, 192))
    for number, ours in of_gtja.items():
        equal = same(ours, theirs[number - 1], 1e-6)
        reason, least = DIFFERENT.get(number, ("", 1.0))
        assert least <= equal.mean(), f"{number} {reason}"
        assert bool(reason) is not bool(equal.all()), f"{number} is equal: take it off the list"
        assert np.isfinite(ours).mean() > (0.0 if number in SPARSE else 0.4), number


def test_what_is_listed_differs_for_its_reason(
    panel: ff.Panel, of_gtja: dict[int, Array], stored: dict[str, np.ndarray]
) -> None:
    for number, (reason, _) in DIFFERENT.items():
        ours, theirs = of_gtja[number], stored["gtja191"][number - 1]
        both = np.isfinite(ours) & np.isfinite(theirs)
        if reason is LATEST:
            first = GTJA[number].replace("TS_ARGMIN(", "TS_ARGMIN_FIRST(").replace("TS_ARGMAX(", "TS_ARGMAX_FIRST(")
            assert same(ff.evaluate([first], panel)[0][list(GTJA_ROWS)], theirs, 1e-6).all(), number
        elif reason in (BY_ZERO, FLAT):
            assert same(ours, theirs, 1e-6)[both].all(), number
        else:
            assert np.corrcoef(ours[both], theirs[both])[0, 1] > 0.98, number


def test_two_readings_are_ours(panel: ff.Panel, of_gtja: dict[int, Array]) -> None:
    for number, other in READ_OTHERWISE.items():
        assert other != GTJA[number]
        ours = ff.evaluate([GTJA[number]], panel)[0][list(GTJA_ROWS)]
        assert np.isfinite(ours).all()
        assert not same(ours, of_gtja[number], 1e-3).any()


def test_a_finite_window_of_sma_ranks_as_the_whole_past_does(panel: ff.Panel, of_gtja: dict[int, Array]) -> None:
    smoothed = [number for number, text in GTJA.items() if "SMA(" in text]
    found = ff.evaluate([GTJA[number] for number in smoothed], panel)
    alike = {}
    for number, values in zip(smoothed, found, strict=True):
        rows = zip(values[list(GTJA_ROWS)], of_gtja[number], strict=True)
        alike[number] = float(np.mean([np.corrcoef(_ranked(a), _ranked(b))[0, 1] for a, b in rows]))
    assert len(alike) == 33
    assert np.median(list(alike.values())) > 0.96
    assert min(alike.values()) > 0.8


def _ranked(x: Array) -> Array:
    return np.asarray(x.argsort().argsort(), dtype=np.float64)
