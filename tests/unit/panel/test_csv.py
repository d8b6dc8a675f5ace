"""Text files as people have them: whole rows, encodings, packed files, separators, decimal marks, headers."""

from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import fama_fast as ff
from fama_fast.cli.app import build_app
from fama_fast.errors import ConfigError, DataError, UnknownName
from fama_fast.panel import Panel
from fama_fast.panel.io.csv_table import csv_columns, read_csv
from fama_fast.panel.reading import reading_of

TEXT = "date,symbol,open,high,low,close,volume\n2020-01-02,AA,10,11,9,10.5,100\n2020-01-03,AA,10,11,9,12.5,200\n"


def file(folder: Path, content: str | bytes, name: str = "p.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def load(folder: Path, content: str | bytes, name: str = "p.csv", **options: Any) -> Panel:
    return ff.load_market_data(file(folder, content, name), **options)


# Whole rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXT + "2020-01-04,AA,10,11,9,1", r"row 3 has 6 cells and the header 7: the file is cut short .*11,9,1'"),
        (TEXT + "2020-01-04,A", r"row 3 has 2 cells and the header 7: the file is cut short"),
        (TEXT + "2020-01-04", r"row 3 has 1 cells"),
        (TEXT.replace("AA,10,11,9,10.5", "AA,10"), r"row 1 has 4 cells and the header 7: it ends early"),
        (TEXT.replace("12.5", "12,5"), r"row 2 has 8 cells and the header 7: .*decimal comma"),
        (TEXT.replace(",", ";").replace("12.5", "12;5"), r"row 2 has 8 cells and the header 7 \("),
        (TEXT.replace("\n", ",\n").replace("volume,", "volume"), r"row 1 has 8 cells and the header 7"),
        # Blank lines are no rows, and quoted line ends are inside of one.
        (TEXT.replace("\n2020-01-03", "\n\n2020-01-03,B"), r"row 2 has 8 cells"),
        (TEXT.replace("AA", '"A\nA"') + "x", r"row 3 has 1 cells"),
    ],
)
def test_a_row_of_another_length_is_named(tmp_path: Path, text: str, message: str) -> None:
    for name, packed in (("p.csv", text.encode()), ("p.csv.gz", gzip.compress(text.encode()))):
        with pytest.raises(DataError, match=message) as caught:
            load(tmp_path, packed, name)
        assert str(tmp_path / name) in str(caught.value)


def test_a_short_row_of_one_file_of_many(tmp_path: Path) -> None:
    file(tmp_path, TEXT, "a.csv")
    file(tmp_path, TEXT.replace("2020-01-0", "2020-02-0") + "2020-01-04,AA", "b.csv")
    with pytest.raises(DataError, match=r"b\.csv: row 3 has 2 cells"):
        ff.load_market_data(tmp_path)


@pytest.mark.parametrize("kind", ["universe", "groups"])
def test_a_short_row_of_members_and_groups(tmp_path: Path, kind: str) -> None:
    beside = file(tmp_path, "symbol,start,end,sector\nAA,2020-01-01,,a\nBB,2020-01-01\n", "beside.csv")
    with pytest.raises(DataError, match=r"beside\.csv: row 2 has 2 cells and the header 4"):
        load(tmp_path, TEXT, **{kind: beside})


def test_a_file_that_is_cut_within_a_character_or_a_quote(tmp_path: Path) -> None:
    text = TEXT.replace("volume", "sector").replace("100", "银行").replace("200", "银").encode()
    with pytest.raises(DataError, match=r"line 3: the last character is not whole: the file is cut short"):
        load(tmp_path, text.rstrip()[:-1])
    with pytest.raises(DataError, match=r"the last row ends within quotes: the file is cut short"):
        load(tmp_path, TEXT + '2020-01-04,AA,1,1,1,1,"10')
    # A quote that opens nothing is a character.
    assert load(tmp_path, TEXT.replace("volume", 'note\n2020-01-06,AA,1,1,1,1,5" pipe')).shape == (3, 1)


def test_lines_that_are_no_rows(tmp_path: Path) -> None:
    plain = load(tmp_path, TEXT)
    blanks = TEXT.replace("\n2020-01-03", "\n\n,,,,,,\n   \n,,\n2020-01-03") + "\n\n,,,,,,\n"
    for text in (blanks, TEXT.rstrip(), "\n\n" + TEXT, "sep=,\n" + TEXT, TEXT.replace("\n", ",\n")):
        assert load(tmp_path, text).data_hash == plain.data_hash


def test_line_ends_spaces_and_marks(tmp_path: Path) -> None:
    plain = load(tmp_path, TEXT)
    for text in (
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("\n", "\r"),
        TEXT.replace("\n", "\r\n", 1),
        TEXT.replace(",", ", "),
        "\ufeff" + TEXT,
        TEXT.replace("AA", '"AA"').replace("date", '"date"'),
    ):
        assert load(tmp_path, text).data_hash == plain.data_hash


# Packed files and encodings

CHINESE = "日期,股票代码,收盘,成交量,行业\n2020-01-02,000001,10.5,100,银行\n2020-01-03,000001,11,200,银行\n"


@pytest.mark.parametrize(
    ("ending", "pack"),
    [
        (".gz", gzip.compress),
        (".bz2", bz2.compress),
        (".xz", lzma.compress),
        (".zst", lambda b: __import__("pyarrow").compress(b, codec="zstd", asbytes=True)),
    ],
)
def test_packed_files(tmp_path: Path, ending: str, pack: Any) -> None:
    plain = load(tmp_path, CHINESE)
    packed = pack(CHINESE.encode() * 1)
    assert load(tmp_path, packed, f"q.csv{ending}").data_hash == plain.data_hash
    assert load(tmp_path, packed, f"q.txt{ending}").data_hash == plain.data_hash
    big = CHINESE + "".join(f"2021-01-02,S{i},{i},{i},x\n" for i in range(20_000))
    cut = pack(big.encode())
    with pytest.raises(DataError, match=r"cut\.csv.*cannot be unpacked, the file is cut short or corrupt"):
        load(tmp_path, cut[: len(cut) // 2], f"cut.csv{ending}")


def test_packed_members_and_groups(tmp_path: Path) -> None:
    members = file(tmp_path, gzip.compress(b"code,in_date,out_date\n000001,2020-01-03,\n"), "m.csv.gz")
    groups = file(tmp_path, gzip.compress("代码,行业\n000001,银行\n".encode()), "g.csv.gz")
    panel = load(tmp_path, CHINESE, universe=str(members), groups=groups)
    assert panel.universe is not None
    assert panel.universe.tolist() == [[False], [True]]
    assert panel.group("INDUSTRY").labels == ("银行",)


@pytest.mark.parametrize("encoding", ["gbk", "gb18030", "utf-16", "utf-8-sig", "utf-32", "big5"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    text = CHINESE if encoding != "big5" else CHINESE.replace("票", "").replace("银行", "銀行").replace("盘", "盤")
    if encoding == "big5":
        text = "日期,代碼,close,volume,industry\n2020-01-02,000001,10.5,100,銀行\n2020-01-03,000001,11,200,銀行\n"
        text = text.replace("代碼", "code")
    marked = encoding.startswith("utf")
    panel = load(tmp_path, text.encode(encoding), **({} if marked else {"encoding": encoding}))
    assert panel.symbols.tolist() == ["000001"]
    assert panel.group("INDUSTRY").labels == (text.split(",")[-1].strip(),)
    assert panel["CLOSE"][0, 0] == 10.5


def test_an_encoding_that_is_not_said_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 1: the byte 0x.. is not UTF-8 text.*--encoding, such as gbk"):
        load(tmp_path, CHINESE.encode("gbk"))
    with pytest.raises(DataError, match=r"line 3: the byte 0xf6 is not UTF-8 text.*such as cp1252"):
        load(tmp_path, TEXT.replace("2020-01-03,AA", "2020-01-03,Böhme").encode("latin-1"))
    with pytest.raises(DataError, match=r"holds binary data.*--encoding utf-16-le"):
        load(tmp_path, CHINESE.encode("utf-16-le"))
    assert load(tmp_path, CHINESE.encode("utf-16-le"), encoding="utf-16-le").shape == (2, 1)
    with pytest.raises(DataError, match=r"line 2: the byte 0xff is not gb18030 text"):
        load(tmp_path, CHINESE.encode("gbk").replace(b"10.5", b"\xff\xff"), encoding="gbk")
    with pytest.raises(ConfigError, match=r"no encoding 'gbkk'; did you mean 'gbk'"):
        load(tmp_path, CHINESE, encoding="gbkk")
    with pytest.raises(ConfigError, match=r"no encoding 'base64'"):
        load(tmp_path, CHINESE, encoding="base64")


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"\xef\xbb\xbfdate,symbol,close\n\xa4\n", {}, "line 2: the byte 0xa4 is not UTF-8"),
        (b"\xef\xbb\xbfdate,symbol,close\n\0,A,1\n", {}, "holds binary data"),
        (b"date,symbol,close\n", {"encoding": "utf-16"}, "not utf-16 text.*utf-16-le or utf-16-be"),
        (b"date,symbol,close\n", {"encoding": "utf-32"}, "not utf-32 text.*utf-32-le or utf-32-be"),
        (b"date;symbol;close\n", {"encoding": "punycode"}, "not punycode text"),
        ("close\0a,close\0b,date\n".encode("utf-16"), {}, "no symbol column"),
    ],
)
def test_odd_bytes(tmp_path: Path, content: bytes, options: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(tmp_path, content, **options)


def test_members_and_groups_may_be_of_the_encoding_or_of_utf8(tmp_path: Path) -> None:
    for encoding in ("gbk", "utf-8"):
        groups = file(tmp_path, "代码,行业\n000001,银行\n".encode(encoding), "g.csv")
        panel = load(tmp_path, CHINESE.encode("gbk"), encoding="gbk", groups=groups)
        assert panel.group("INDUSTRY").labels == ("银行",)
        frame = pl.DataFrame({"date": ["2020-01-02"], "symbol": ["000001"], "close": [1.0]})
        frame.write_parquet(tmp_path / "p.parquet")
        scanned = ff.scan_market_data(tmp_path / "p.parquet", encoding="gbk", groups=groups)
        assert scanned.panel().group("INDUSTRY").labels == ("银行",)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"PK\x03\x04 and so on", "a ZIP archive or an Excel workbook"),
        (b"\xd0\xcf\x11\xe0 and so on", "an Excel workbook"),
        (b"PAR1 and so on", "a Parquet file"),
    ],
)
def test_files_of_other_kinds_say_what_they_are(tmp_path: Path, content: bytes, what: str) -> None:
    with pytest.raises(DataError, match=f"not a CSV text file but {what}"):
        load(tmp_path, content)


# Separators and decimal marks

EUROPEAN = "Datum;Code;Schlusskurs;Volumen\n02.01.2020;SAP;10,5;1.200\n03.01.2020;SAP;1.011,25;900\n"


def test_separators(tmp_path: Path) -> None:
    plain = load(tmp_path, TEXT)
    for separator in (";", "\t", "|"):
        assert load(tmp_path, TEXT.replace(",", separator)).data_hash == plain.data_hash
        headed = TEXT.replace(",", separator).replace("volume", '"volume, shares"')
        assert load(tmp_path, headed).supplied_fields[-1] == "VOLUME_SHARES"


def test_a_decimal_comma_is_found(tmp_path: Path) -> None:
    panel = load(tmp_path, EUROPEAN)
    np.testing.assert_array_equal(panel["CLOSE"][:, 0], [10.5, 1011.25])
    np.testing.assert_array_equal(panel["VOLUME"][:, 0], [1200, 900])
    assert [str(d) for d in panel.dates] == ["2020-01-02", "2020-01-03"]
    assert load(tmp_path, EUROPEAN.replace(";", "\t")).data_hash == panel.data_hash
    assert load(tmp_path, EUROPEAN, decimal=",").data_hash == panel.data_hash
    # Whole numbers and points alone are what they were.
    assert load(tmp_path, TEXT.replace(",", ";")).data_hash == load(tmp_path, TEXT).data_hash


def test_a_comma_that_may_be_thousands_is_asked(tmp_path: Path) -> None:
    doubtful = EUROPEAN.replace("10,5", "1,500").replace("1.011,25", "2,250").replace("1.200", "12")
    with pytest.raises(DataError, match=r"'Schlusskurs' holds text.*row 1 is '1,500'.*--decimal ,"):
        load(tmp_path, doubtful)
    np.testing.assert_array_equal(load(tmp_path, doubtful, decimal=",")["CLOSE"][:, 0], [1.5, 2.25])
    with pytest.raises(DataError, match=r"'Schlusskurs' holds text"):
        load(tmp_path, EUROPEAN, decimal=".")
    # Two marks in one file speak against each other.
    with pytest.raises(DataError, match=r"holds text"):
        load(tmp_path, EUROPEAN.replace("1.200", "1.5"))
    with pytest.raises(DataError, match=r"'Volumen' holds text, not numbers: row 1 is '1.5'"):
        load(tmp_path, EUROPEAN.replace("1.200", "1.5"), decimal=",")


def test_a_decimal_comma_in_quotes(tmp_path: Path) -> None:
    text = TEXT.replace("10.5", '"10,5"').replace("12.5", '"12,5"')
    with pytest.raises(DataError, match=r"'close' holds text.*row 1 is '10,5'.*--decimal ,"):
        load(tmp_path, text)
    assert load(tmp_path, text, decimal=",").data_hash == load(tmp_path, TEXT).data_hash


# Types of columns


def test_cells_decide_the_type_of_a_column(tmp_path: Path) -> None:
    text = "date,code,a,b,c,d,e,f,g\n20200102,007,1,1.5,true,0101,NA,x, 5 \n20200103,008,N/A,-,FALSE,0202,nan,y,\n"
    found = read_csv(file(tmp_path, text), reading_of())
    kinds = [pl.String, pl.String, pl.Int64, pl.Float64, pl.Boolean, pl.String, pl.Null, pl.String, pl.Int64]
    assert found.dtypes == kinds
    assert found.row(0) == ("20200102", "007", 1, 1.5, True, "0101", None, "x", 5)
    assert found.row(1) == ("20200103", "008", None, None, False, "0202", None, "y", None)
    # Prices are no codes, and keys that the caller names are text.
    assert read_csv(file(tmp_path, "close,stk\n010,000001\n"), reading_of(symbol="stk")).row(0) == (10, "000001")


@pytest.mark.parametrize("value", ["1e400", "9223372036854775808", "-0", "+5", "5.", ".5", "1E-5", "inf"])
def test_numbers_are_read_as_python_reads_them(tmp_path: Path, value: str) -> None:
    found = read_csv(file(tmp_path, f"date,symbol,close\n2020-01-02,A,{value}\n"), reading_of())
    assert float(found["close"][0]) == float(value)


def test_what_is_named_is_the_culprit_and_no_longer_than_a_line(tmp_path: Path) -> None:
    text = "date,symbol,close\n2020-01-02,A,NA\n2020-01-03,A,1\n2020-01-06,A,--\n"
    with pytest.raises(DataError, match=r"'close' holds text, not numbers: row 3 is '--'\Z"):
        load(tmp_path, text)
    long = "x" * 100_000
    for broken in (
        f"date,symbol,close\n2020-01-02,A,{long}\n",
        f"date,symbol,close\n{long},A,1\n",
        f"date,symbol,close\n2020-01-02,A,1,{long}\n",
        f"date,{long},close\n2020-01-02,A,1\n",
        f"date,symbol,close,{long},{long}\n2020-01-02,A,1,2,3\n",
        f"{long}\n",
        f'date,symbol,close\n2020-01-02,A,"{long}',
    ):
        with pytest.raises(DataError) as caught:
            load(tmp_path, broken)
        assert len(str(caught.value)) < 800
    assert load(tmp_path, f"date,symbol,close\n2020-01-02,{long},1\n").symbols.tolist() == [long]
    assert all(len(w) < 300 for w in load(tmp_path, f"date,symbol,close,{long}\n2020-01-02,A,1,2\n").warnings)


@pytest.mark.parametrize("value", ["1", "x"])
def test_ten_thousand_columns(tmp_path: Path, value: str) -> None:
    names = ",".join(f"c{i:05d}" for i in range(10_000))
    text = f"date,symbol,close,{names}\n2020-01-02,A,1,{','.join([value] * 10_000)}\n"
    panel = load(tmp_path, text)
    assert panel.shape == (1, 1)
    assert len(panel.supplied_fields) == (10_001 if value == "1" else 1)
    assert len(panel.groups) == (10_000 if value == "x" else 0)
    frame = pl.DataFrame({"date": ["2020-01-02"], "symbol": ["A"], **dict.fromkeys(names.split(","), 1.0)})
    for ask in (lambda: panel["OPEN"], lambda: panel.group("SECTOR"), lambda: Panel.from_frame(frame, fields=["OPEN"])):
        with pytest.raises(UnknownName) as caught:
            ask()
        assert len(str(caught.value)) < 800


def test_rows_longer_than_a_block_are_read(tmp_path: Path) -> None:
    text = f"date,symbol,close,note\n2020-01-02,A,1,{'x' * 9_000_000}\n2020-01-03,A,2,y\n"
    np.testing.assert_array_equal(load(tmp_path, text)["CLOSE"], [[1], [2]])


def test_codes_in_the_returns_of_crsp(tmp_path: Path) -> None:
    text = (
        "PERMNO,date,TICKER,PRC,VOL,RET\n10107,02JAN2020,MSFT,160.62,100,C\n10107,03JAN2020,MSFT,158.62,200,-0.0125\n"
    )
    panel = load(tmp_path, text)
    np.testing.assert_array_equal(panel["RET"][:, 0], [np.nan, -0.0125])
    assert panel.symbols.tolist() == ["10107"]
    with pytest.raises(DataError, match=r"'PRC' holds text.*is 'C'"):
        load(tmp_path, text.replace("160.62", "C"))


def test_texts_that_are_kept_from_excel(tmp_path: Path) -> None:
    text = '="日期",代码,收盘\n="20200102",="000001",="10.5"\n="20200103",="000001",11\n'
    panel = load(tmp_path, text.replace('="日期"', "日期"))
    assert panel.symbols.tolist() == ["000001"]
    np.testing.assert_array_equal(panel["CLOSE"][:, 0], [10.5, 11])


STOOQ = "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n"


def test_the_time_of_bars_within_a_day(tmp_path: Path) -> None:
    rows = "".join(
        f"AAPL.US,5,2024010{d},{t},1,2,{t[3]},{d},5,0\n" for d in (2, 3) for t in ("093500", "094000", "100000")
    )
    panel = load(tmp_path, STOOQ + rows, "aapl.us.txt")
    stamps = [f"2024-01-0{d}T{t}:00.000000" for d in (2, 3) for t in ("09:35", "09:40", "10:00")]
    assert [str(d) for d in panel.dates] == stamps
    for other in (
        rows.replace(",09", ",9"),
        rows.replace("3500,", "35,").replace("4000,", "40,").replace("0000,", "00,"),
        rows.replace("093500", "09:35").replace("094000", "9:40:00").replace("100000", "10:00"),
    ):
        assert load(tmp_path, STOOQ + other, "aapl.us.txt").data_hash == panel.data_hash
    # Beside daily bars a time means nothing, and what is no time of day leaves the rows as they are.
    daily = "".join(f"AAPL.US,D,2024010{d},000000,1,2,1,{d},5,0\n" for d in (2, 3))
    assert [str(d) for d in load(tmp_path, STOOQ + daily).dates] == ["2024-01-02", "2024-01-03"]
    last = "date,symbol,close,time\n2024-01-02,A,1,09:31\n2024-01-02,B,1,15:00\n"
    assert load(tmp_path, last).shape == (1, 2)
    with pytest.raises(DataError, match=r"more than one row"):
        load(tmp_path, STOOQ + rows.replace("100000", "250000"))


# Headers


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2020-01-02,10,11\n2020-01-03,11,12\n", r"first line holds values \('2020-01-02', '10', '11', ...\)"),
        ("1577836800000,7195.2,7255\n", r"first line holds values"),
        ("date,symbol,close,close\n2020-01-02,A,1,2\n", r"the header has two columns 'close'"),
        ("\n \n", r"no line with the names of columns"),
    ],
)
def test_headers_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(tmp_path, text)


def test_columns_without_a_name(tmp_path: Path) -> None:
    plain = load(tmp_path, TEXT)
    numbered = "".join(f"{i or ''},{line},,\n" for i, line in enumerate(TEXT.splitlines()))
    assert load(tmp_path, numbered).data_hash == plain.data_hash
    assert load(tmp_path, TEXT.replace("date,", ",", 1)).data_hash == plain.data_hash
    kept = load(
        tmp_path, TEXT.replace("volume\n", "volume,,\n").replace("100\n", "100,7,\n").replace("200\n", "200,,\n")
    )
    assert kept.supplied_fields == plain.supplied_fields
    assert any("it has no name" in w for w in kept.warnings)


YAHOO = """Price,Close,Close,Volume,Volume,Adj Close,Adj Close
Ticker,AAPL,MSFT,AAPL,MSFT,AAPL,MSFT
Date,,,,,,
2024-01-02,185.5,370.75,82488700,25258600,184.5,
2024-01-03,184.25,,58414500,,183.5,
"""


@pytest.mark.parametrize(
    "text",
    [
        YAHOO,
        YAHOO.replace("Price,", ",").replace("Ticker,", ","),
        YAHOO.replace("Date,,,,,,\n", ""),
        "\n".join([YAHOO.splitlines()[1], YAHOO.splitlines()[0], *YAHOO.splitlines()[2:]]) + "\n",
        YAHOO.replace("Price,", "Attributes,").replace("Ticker,", "Symbols,"),
    ],
)
def test_headers_of_two_lines(tmp_path: Path, text: str) -> None:
    panel = load(tmp_path, text, "yahoo.csv")
    assert panel.symbols.tolist() == ["AAPL", "MSFT"]
    assert panel.supplied_fields == ("CLOSE", "VOLUME", "ADJ_CLOSE")
    np.testing.assert_array_equal(panel["CLOSE"], [[185.5, 370.75], [184.25, np.nan]])
    np.testing.assert_array_equal(panel["VOLUME"][0], [82488700, 25258600])
    assert load(tmp_path, text, "yahoo.csv", adjusted=True)["CLOSE"][0, 0] == 184.5
    assert csv_columns(tmp_path / "yahoo.csv") == ("Date", "Symbol", "Close", "Volume", "Adj Close")


# From the command line


def test_options_reach_every_command(tmp_path: Path) -> None:
    days = [f"{d:02d}.{m:02d}.2020" for m in (1, 2) for d in range(1, 25)]
    rows = [f"{d};公司{i};{i + j % 7},5;{i * j}" for j, d in enumerate(days) for i in range(12)]
    path = file(tmp_path, "\n".join(["日期;代码;收盘;成交量", *rows]).encode("gbk"))
    runner = CliRunner()
    options = ["--encoding", "gbk", "--decimal", ","]
    for command in (
        ["score", "RANK(VOLUME)", "--data", str(path)],
        ["compute", "RANK(VOLUME)", "--data", str(path), "--output", str(tmp_path / "v.parquet")],
        ["check", "RANK(VOLUME)", "--data", str(path)],
        ["data", "check", str(path)],
        ["data", "describe", str(path)],
    ):
        done = runner.invoke(build_app(), [*command, *options])
        assert done.exit_code == 0, (command, done.output)
    assert "公司3" in pl.read_parquet(tmp_path / "v.parquet")["symbol"].to_list()
