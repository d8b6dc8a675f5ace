"""Published libraries hold the values that other systems give them, formula by formula.

`tests/support/published_values.py` made the values: Alpha158 and Alpha360 by qlib's own code, in single precision,
GTJA's 191 alphas and the 101 Formulaic Alphas by qweave. What differs is listed here with the reason, and is held to
that.
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
from tests.support.published_panel import LATE_ROWS, QLIB_ROWS, SHORT, SYMBOLS, Array, dates, groups, market, names
from tests.support.published_values import CAP, digest

QLIB = {"alpha158": alpha158(), "alpha360": alpha360()}
GTJA = gtja191()
WHOLE_PAST = 1900  # days of an SMA that lose nothing: (59/60) ** 1900 is 1e-14

# Of the formulas that differ in some cells: why, and the least share of cells that are equal.
TIES = "it ranks correlations or covariances of ranks over few days; what ties but for the last bits falls either way"
LINE = "a correlation over two or three days is often 1 or -1: exactly here, to the last bits there, and is ranked"
FLAT = "a correlation with what did not move is missing here; there it is what rounding left"
LATEST = "of equal lows or highs the latest counts here, the first there"
PRESENT = "min and max of two series take the present one where one is missing; there both must be present"
BY_ZERO = "a division by zero is missing here and infinite there"
DIFFERENT = {
    "gtja191": {
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
    },
    "alpha101": {
        13: (TIES, 0.95),
        15: (LINE, 0.9),
        16: (TIES, 0.95),
        45: (LINE, 0.1),
        66: (BY_ZERO, 0.9),
        78: (FLAT, 0.95),
        85: (FLAT, 0.95),
        88: (PRESENT, 0.95),
        92: (PRESENT, 0.6),
        94: (TIES, 0.95),
        96: (PRESENT, 0.75),
        98: (TIES, 0.85),
    },
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
    levels = {level: np.tile(own_group, len(dates())) for level, own_group in groups().items()}
    frame = pl.DataFrame({"date": days, "symbol": np.tile(names(), len(dates())), **own, **index, **levels})
    return ff.Panel.from_frame(frame.with_columns(cap=pl.col("close") * CAP))


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
    usual = np.nanmedian(np.abs(theirs)) if np.isfinite(theirs).any() else 0.0
    size = np.maximum(np.abs(theirs), usual)
    return (np.isnan(ours) & np.isnan(theirs)) | (np.abs(ours - theirs) <= tolerance * size)


@pytest.fixture(scope="module")
def of_gtja(panel: ff.Panel) -> dict[int, Array]:
    """By number, with the whole past in every SMA, on the stored dates."""
    texts = GTJA | READ_OTHERWISE
    found = ff.evaluate([whole_past(text) for text in texts.values()], panel)
    return {number: values[list(LATE_ROWS)] for number, values in zip(texts, found, strict=True)}


def counted_from_the_oldest(text: str) -> str:
    """The text with every Ts_ArgMax as qweave has it: days from the window's first to its first extreme."""
    match = re.search(r"(?i)\bts_arg(max|min)\(", text)
    if match is None:
        return text
    depth, end = 1, match.end()
    while depth:
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        end += 1
    inner = text[match.end() : end - 1]
    days = int(float(inner.rpartition(",")[2]))
    rest = counted_from_the_oldest(text[end:])
    return f"{text[: match.start()]}({days - 1} - ts_arg{match[1]}_first({counted_from_the_oldest(inner)})){rest}"


@pytest.fixture(scope="module")
def of_alpha101(panel: ff.Panel) -> dict[int, Array]:
    """By number on the stored dates, with the mean volume for adv{d}, as qweave reads it; the paper means its value."""
    texts = ff.alpha101()
    days = sorted({int(d) for text in texts.values() for d in re.findall(r"\badv(\d+)", text)})
    means = ff.evaluate([f"TS_MEAN(VOLUME, {d})" for d in days], panel)
    given = panel.replace(fields={f"ADV{d}": mean for d, mean in zip(days, means, strict=True)})
    read = [ff.compile(counted_from_the_oldest(text), dialect="alpha101") for text in texts.values()]
    found = ff.evaluate(read, given)
    return {number: values[list(LATE_ROWS)] for number, values in zip(texts, found, strict=True)}


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


@pytest.fixture(scope="module")
def by_set(of_gtja: dict[int, Array], of_alpha101: dict[int, Array]) -> dict[str, dict[int, Array]]:
    return {"gtja191": of_gtja, "alpha101": of_alpha101}


@pytest.mark.parametrize("key", DIFFERENT)
def test_of_the_others_every_value_is_qweaves_or_is_listed(
    by_set: dict[str, dict[int, Array]], stored: dict[str, np.ndarray], key: str
) -> None:
    last, sparse, left_out = {"gtja191": (191, {*SPARSE}, {*LEFT_OUT}), "alpha101": (101, {96, 97}, set())}[key]
    assert {*by_set[key]} | left_out == set(range(1, last + 1))
    assert stored[key].shape == (last, len(LATE_ROWS), SYMBOLS)
    for number, ours in by_set[key].items():
        equal = same(ours, stored[key][number - 1], 1e-6)
        reason, least = DIFFERENT[key].get(number, ("", 1.0))
        assert least <= equal.mean(), f"{number} {reason}"
        assert bool(reason) is not bool(equal.all()), f"{number} is equal: take it off the list"
        assert np.isfinite(ours).mean() > (0.0 if number in sparse else 0.4), number


@pytest.mark.parametrize("key", DIFFERENT)
def test_what_is_listed_differs_for_its_reason(
    panel: ff.Panel, by_set: dict[str, dict[int, Array]], stored: dict[str, np.ndarray], key: str
) -> None:
    for number, (reason, _) in DIFFERENT[key].items():
        ours, theirs = by_set[key][number], stored[key][number - 1]
        both = np.isfinite(ours) & np.isfinite(theirs)
        if reason is LATEST:
            first = GTJA[number].replace("TS_ARGMIN(", "TS_ARGMIN_FIRST(").replace("TS_ARGMAX(", "TS_ARGMAX_FIRST(")
            assert same(ff.evaluate([first], panel)[0][list(LATE_ROWS)], theirs, 1e-6).all(), number
        elif reason in (BY_ZERO, FLAT):
            assert same(ours, theirs, 1e-6)[both].all(), number
        elif both.any():
            assert np.corrcoef(ours[both], theirs[both])[0, 1] > 0.98, number
        if reason is PRESENT:
            assert (np.isfinite(ours) | ~np.isfinite(theirs)).all(), number


def test_two_readings_are_ours(panel: ff.Panel, of_gtja: dict[int, Array]) -> None:
    for number, other in READ_OTHERWISE.items():
        assert other != GTJA[number]
        ours = ff.evaluate([GTJA[number]], panel)[0][list(LATE_ROWS)]
        assert np.isfinite(ours).all()
        assert not same(ours, of_gtja[number], 1e-3).any()


def test_a_finite_window_of_sma_ranks_as_the_whole_past_does(panel: ff.Panel, of_gtja: dict[int, Array]) -> None:
    smoothed = [number for number, text in GTJA.items() if "SMA(" in text]
    found = ff.evaluate([GTJA[number] for number in smoothed], panel)
    alike = {}
    for number, values in zip(smoothed, found, strict=True):
        rows = zip(values[list(LATE_ROWS)], of_gtja[number], strict=True)
        alike[number] = float(np.mean([np.corrcoef(_ranked(a), _ranked(b))[0, 1] for a, b in rows]))
    assert len(alike) == 33
    assert np.median(list(alike.values())) > 0.96
    assert min(alike.values()) > 0.8


def _ranked(x: Array) -> Array:
    return np.asarray(x.argsort().argsort(), dtype=np.float64)
