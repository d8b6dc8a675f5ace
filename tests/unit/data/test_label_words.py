"""Symbols and labels as people write them: spaces, leading zeros, words for "no value", texts that are no labels."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import fama_fast as ff
from fama_fast.data import quality_report
from fama_fast.panel import Panel
from fama_fast.panel.text_values import MISSING_TOKENS, no_group

DAYS = [dt.date(2020, 1, 1) + dt.timedelta(d) for d in range(4)]
SYMBOLS = ["A", "B", "C"]


def market(**columns: Any) -> pl.DataFrame:
    """Four days of three symbols, by date."""
    rows = {"date": [d for d in DAYS for _ in SYMBOLS], "symbol": SYMBOLS * 4, "close": np.arange(12.0) + 1}
    return pl.DataFrame({**rows, **columns})


def every_way(frame: pl.DataFrame, folder: Path, **options: Any) -> Panel:
    """The panel of a frame: as it is, from CSV, from Parquet whole and in parts; all the same."""
    frame.write_csv(folder / "p.csv")
    frame.write_parquet(folder / "p.parquet", row_group_size=5)
    panel = Panel.from_frame(frame) if not options else ff.load_market_data(folder / "p.parquet", **options)
    for path in ("p.csv", "p.parquet"):
        other = ff.load_market_data(folder / path, **options)
        assert other.data_hash == panel.data_hash
        assert sorted(other.warnings) == sorted(panel.warnings)
    parts = ff.scan_market_data(folder / "p.parquet", **options)
    assert parts.groups == panel.groups
    assert parts.data_hash == panel.data_hash
    assert sorted(parts.panel().warnings) == sorted(panel.warnings)
    return panel


# Symbols


def test_symbols_are_stripped(tmp_path: Path) -> None:
    panel = every_way(market(symbol=[" A", "B ", "\u00a0C\u3000"] * 4), tmp_path)
    assert panel.symbols.tolist() == SYMBOLS


def test_symbols_that_meet_after_stripping_are_duplicates() -> None:
    with pytest.raises(ff.FamaError, match=r"4 \(date, symbol\) keys are in more than one row"):
        Panel.from_frame(market(symbol=["A", "A ", "C"] * 4))


@pytest.mark.parametrize("blank", ["", " ", "\t"])
def test_an_empty_symbol_names_its_row(blank: str) -> None:
    with pytest.raises(ff.FamaError, match=r"'symbol', row 2: an empty value is not a symbol"):
        Panel.from_frame(market(symbol=["A", blank, "C"] * 4))


@pytest.mark.parametrize("column", ["symbol", "code", "stk_code", "证券代码", "Stkcd", "T i"])
def test_leading_zeros_of_every_key_column(tmp_path: Path, column: str) -> None:
    codes = ["000001", "600000", "000333"]
    frame = market(symbol=codes * 4).rename({"symbol": column})
    options = {"symbol": column} if column in ("stk_code", "T i") else {}
    beside = {}
    for kind, text in (("universe", "2020-01-02,"), ("groups", "x")):
        head = f"{column},start,end" if kind == "universe" else f"{column},sector"
        rows = "".join(f"{c},{text}\n" for c in codes)
        (tmp_path / f"{kind}.csv").write_text(f"{head}\n{rows}", encoding="utf-8")
        beside[kind] = tmp_path / f"{kind}.csv"
    panel = every_way(frame, tmp_path, **options, **beside)
    assert panel.symbols.tolist() == sorted(codes)
    assert panel.group("SECTOR").labels == ("x",)
    assert panel.universe is not None
    assert panel.universe.sum() == 9


def test_whole_numbers_and_their_digits_are_the_same_symbols(tmp_path: Path) -> None:
    frame = market(symbol=[10107, 14593, 90319] * 4).rename({"symbol": "PERMNO"})
    pl.DataFrame({"permno": [10107, 14593], "sector": ["a", "b"]}).write_parquet(tmp_path / "g.parquet")
    (tmp_path / "m.csv").write_text("permno,start,ending\n10107,19900101,20991231\n", encoding="utf-8")
    panel = every_way(frame, tmp_path, groups=tmp_path / "g.parquet", universe=tmp_path / "m.csv")
    assert panel.group("SECTOR").labels == ("a", "b")
    assert panel.universe is not None
    assert panel.universe.sum(axis=0).tolist() == [4, 0, 0]


# Words for "no value"


@pytest.mark.parametrize("word", [*MISSING_TOKENS, " nan ", None])
def test_words_for_no_value_are_no_labels(tmp_path: Path, word: str | None) -> None:
    panel = every_way(market(sector=["x", word, "y"] * 4, theme=["p", "p", word] * 4), tmp_path)
    assert panel.group("SECTOR").labels == ("x", "y")
    assert panel.group("THEME").labels == ("p",)
    np.testing.assert_array_equal(panel.group("SECTOR").codes[0], [0, np.nan, 1])
    (tmp_path / "g.csv").write_text(f"symbol,sector\nA,x\nB,{word or ''}\nC,y\n", encoding="utf-8")
    joined = ff.load_market_data(tmp_path / "p.parquet", groups=tmp_path / "g.csv")
    assert joined.group("SECTOR").labels == ("x", "y")
    assert "1 symbols have no SECTOR in g.csv: B" in joined.warnings


def test_a_word_that_only_looks_like_one_is_a_label(tmp_path: Path) -> None:
    panel = every_way(market(sector=["NAM", "none of these", "n.a."] * 4), tmp_path)
    assert len(panel.group("SECTOR").labels) == 3


# Texts that are no labels

DISGUISED = {
    "percent": ["1.5%", "-0.3%", "12%"],
    "thousands": ["1,300", "2,450,000", "900"],
    "suffix": ["1.2B", "300M", "4.5k"],
    "minus": ["\u22121.5", "2.5", "3"],
    "currency": ["$12", "-$3.50", "€4"],
    "parentheses": ["(3.4)", "1.2", "(5)"],
    "chinese": ["1.2亿", "300万", "4"],
    "spaces": ["1 300", "2\u00a0450", "12"],
    "dates": ["2020-01-02", "2019-12-31", "2001-05-07"],
    "days first": ["31.12.2020", "01.02.2019", "3.4.2018"],
}


@pytest.mark.parametrize("kind", DISGUISED)
def test_numbers_in_disguise_are_named_and_no_group(tmp_path: Path, kind: str) -> None:
    frame = market(odd=DISGUISED[kind] * 4)
    panel = every_way(frame, tmp_path)
    assert panel.groups == ()
    what = "it holds dates such as" if "da" in kind else "it holds numbers written as text, such as"
    assert [w for w in panel.warnings if f"column 'odd' is not used: {what}" in w] == list(panel.warnings)
    report = quality_report(frame)
    assert report.groups == ()
    assert report.count("unused_columns") == 1
    # Who asks for it by name has it.
    assert Panel.from_frame(frame, groups=["odd"]).groups == ("ODD",)
    (tmp_path / "g.csv").write_text(
        "symbol,sector,odd\n" + "".join(f'{s},x,"{t}"\n' for s, t in zip(SYMBOLS, DISGUISED[kind], strict=True)),
        encoding="utf-8",
    )
    for load in (ff.load_market_data, ff.scan_market_data):
        market(a=1).write_parquet(tmp_path / "q.parquet")
        found = load(tmp_path / "q.parquet", groups=tmp_path / "g.csv")
        joined = found if isinstance(found, Panel) else found.panel()
        assert joined.groups == ("SECTOR",)
        assert any("g.csv: column 'odd' is not used" in w for w in joined.warnings)


def test_labels_that_look_like_numbers_a_little_are_labels(tmp_path: Path) -> None:
    frame = market(
        code=["801010", "801020", "801010"] * 4, size=["1-5", "6-9", "10+"] * 4, maker=["3M", "IBM", "3M"] * 4
    )
    panel = every_way(
        frame.rename({"code": "industry_code"}).with_columns(pl.col("industry_code").str.pad_start(7, "0")), tmp_path
    )
    assert panel.groups == ("INDUSTRY_CODE", "SIZE", "MAKER")


def test_a_label_for_nearly_every_row_is_no_group(tmp_path: Path) -> None:
    panel = every_way(market(note=[f"note {i}" for i in range(12)], sector=["x", "y", "z"] * 4), tmp_path)
    assert panel.groups == ("SECTOR",)
    assert any("column 'note' is not used: it has 12 labels in 12 rows" in w for w in panel.warnings)
    # A label a symbol, of few symbols, may be a group; of many it is a name.
    assert every_way(market(theme=["p", "q", "r"] * 4), tmp_path).groups == ("THEME",)
    many = [f"S{i}" for i in range(20)]
    wide = pl.DataFrame(
        {
            "date": [d for d in DAYS for _ in many],
            "symbol": many * 4,
            "close": 1.0,
            "web": [f"{s}.com" for s in many] * 4,
        }
    )
    panel = every_way(wide, tmp_path)
    assert panel.groups == ()
    assert any("column 'web' is not used: it has 20 labels for 20 symbols" in w for w in panel.warnings)


def test_a_column_of_a_group_file_that_names_companies_is_no_group(tmp_path: Path) -> None:
    many = [f"S{i}" for i in range(20)]
    pl.DataFrame({"date": [DAYS[0]] * 20, "symbol": many, "close": 1.0}).write_parquet(tmp_path / "p.parquet")
    pl.DataFrame(
        {"symbol": many, "sector": ["a", "b"] * 10, "web": [f"{s}.com" for s in many], "cusip": many}
    ).write_csv(tmp_path / "g.csv")
    panel = ff.load_market_data(tmp_path / "p.parquet", groups=tmp_path / "g.csv")
    assert panel.groups == ("SECTOR",)
    assert any("g.csv: column 'web' is not used: it has 20 labels for 20 symbols" in w for w in panel.warnings)
    asked = ff.load_market_data(tmp_path / "p.parquet", groups=tmp_path / "g.csv", group_fields=["web"])
    assert asked.groups == ("WEB",)


def test_a_group_file_without_a_group(tmp_path: Path) -> None:
    market().write_parquet(tmp_path / "p.parquet")
    (tmp_path / "g.csv").write_text("symbol,cap\nA,1\nA,2\nB,3\n", encoding="utf-8")
    assert ff.load_market_data(tmp_path / "p.parquet", groups=tmp_path / "g.csv").groups == ()


@pytest.mark.parametrize(
    ("labels", "rows", "symbols", "group"),
    [
        ([], 0, 100, True),
        (["a"], 1, 1, True),
        (["a", "b", "c"], 3, 3, True),
        (["a", "b", "c", "d"], 4, 1, False),
        (["a", "b"], 4, 2, True),
        ([str(i) for i in range(9)], None, 10, False),
        ([str(i) for i in range(8)], None, 10, True),
        (["1", "2", "3.5"], 100, 50, False),
        (["1", "2", "3"], 100, 50, True),
    ],
)
def test_where_the_line_is(labels: list[str], rows: int | None, symbols: int, group: bool) -> None:
    assert (no_group("THEME", "theme", labels, rows=rows, symbols=symbols) is None) == group
    # A column that is called a sector is one, however many it has.
    if all(label.isalpha() or label.isdigit() for label in labels):
        assert no_group("SECTOR", "sector", labels, rows=rows, symbols=symbols) is None
