"""Fetching: each source's answers as it gives them, replayed by a local server; errors, resuming, tokens."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

import fama_fast as ff
from fama_fast.cli import main
from fama_fast.data.fetch import SOURCES, FetchError, RateLimitError, SymbolError, fetch
from fama_fast.errors import ConfigError, DataError, OutputError

START, END = dt.date(2024, 1, 2), dt.date(2024, 1, 5)
STOOQ = "Date,Open,High,Low,Close,Volume\r\n2024-01-02,187.15,188.44,183.89,185.64,82488700\r\n"
STOOQ += "2024-01-03,184.22,185.88,183.43,184.25,58414500\r\n"
HEADER = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_a,taker_b,ignore"
TOKEN = "0123456789abcdef" * 3


@pytest.fixture(autouse=True)
def waits(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[float]:
    """Seconds that would have been slept. The server has nothing but what it was given."""
    slept: list[float] = []
    httpserver.no_handler_status_code = 404
    monkeypatch.setattr("fama_fast.data.fetch.client._sleep", slept.append)
    for source in SOURCES.values():
        if source.token:
            monkeypatch.delenv(source.token, raising=False)
    monkeypatch.chdir(tmp_path)
    return slept


def get(server: HTTPServer, source: str, *symbols: str, **more: Any) -> Any:
    options = {"start": START, "end": END, "base_url": server.url_for(""), **more}
    return fetch(source, symbols, "out.parquet", **options)


def chart(stamps: list[int], closes: list[float | None]) -> dict[str, Any]:
    bars: dict[str, Any] = dict.fromkeys(("open", "high", "low", "close"), closes) | {"volume": [10] * len(closes)}
    meta = {"symbol": "AAPL", "exchangeTimezoneName": "America/New_York", "gmtoffset": -18000}
    found = {"meta": meta, "timestamp": stamps, "indicators": {"quote": [bars], "adjclose": [{"adjclose": closes}]}}
    return {"chart": {"result": [found], "error": None}}


def archive(*rows: str, name: str = "BTCUSDT-1d-2024-01") -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as file:
        file.writestr(f"{name}.csv", "".join(f"{row}\n" for row in rows))
    return held.getvalue()


def kline(stamp: int) -> str:
    return f"{stamp},42283.58,44184.10,42180.77,44179.55,27174.29,{stamp + 86399999},1169995681.01,1112693,1.0,2.0,0"


def serve_archive(server: HTTPServer, kind: str, stamp: str, content: bytes, checksum: str | None = None) -> None:
    path = f"/data/spot/{kind}/klines/BTCUSDT/1d/BTCUSDT-1d-{stamp}.zip"
    server.expect_request(path).respond_with_data(content)
    told = checksum or hashlib.sha256(content).hexdigest()
    server.expect_request(f"{path}.CHECKSUM").respond_with_data(f"{told}  BTCUSDT-1d-{stamp}.zip\n")


def test_stooq(httpserver: HTTPServer) -> None:
    query = {"s": "aapl.us", "d1": "20240102", "d2": "20240105", "i": "d"}
    httpserver.expect_request("/q/d/l/", query_string=query).respond_with_data(STOOQ)
    done = get(httpserver, "stooq", "aapl.us")
    frame = pl.read_parquet(done.path)
    assert frame.columns == ["date", "symbol", "open", "high", "low", "close", "volume"]
    assert frame.row(1) == (dt.date(2024, 1, 3), "aapl.us", 184.22, 185.88, 183.43, 184.25, 58414500.0)
    assert (done.rows, done.symbols, done.missing) == (2, ("aapl.us",), ())
    assert ff.load_market_data(done.path).shape == (2, 1)
    assert not Path("out.parquet.parts").exists()


def test_yahoo_by_the_days_of_the_exchange(httpserver: HTTPServer) -> None:
    stamps = [1704205800, 1704292200, 1704378600]  # 14:30 UTC on 2, 3 and 4 January
    httpserver.expect_request("/v8/finance/chart/AAPL").respond_with_json(chart(stamps, [185.64, None, 181.91]))
    frame = pl.read_parquet(get(httpserver, "yfinance", "AAPL").path)
    assert frame["date"].to_list() == [dt.date(2024, 1, 2), dt.date(2024, 1, 4)]
    assert frame["adj_close"].to_list() == [185.64, 181.91]


def test_binance_months_days_and_microseconds(httpserver: HTTPServer) -> None:
    december = archive(kline(1703894400000), kline(1703980800000), name="x")  # 30 and 31 December 2023
    serve_archive(httpserver, "monthly", "2023-12", december)
    serve_archive(httpserver, "daily", "2024-01-01", archive(kline(1704067200000000)))
    serve_archive(httpserver, "daily", "2024-01-02", archive(HEADER, kline(1704153600000)))
    frame = pl.read_parquet(get(httpserver, "binance", "btcusdt", start=dt.date(2023, 12, 31)).path)
    assert frame["date"].to_list() == [dt.date(2023, 12, 31), dt.date(2024, 1, 1), dt.date(2024, 1, 2)]
    assert frame["close"].to_list() == [44179.55] * 3
    assert frame["amount"][0] == 1169995681.01


def test_a_wrong_checksum_is_refused(httpserver: HTTPServer) -> None:
    serve_archive(httpserver, "monthly", "2024-01", archive(kline(1704153600000)), checksum="0" * 64)
    with pytest.raises(FetchError, match=r"BTCUSDT-1d-2024-01.zip has the checksum .* should have 000000000000"):
        get(httpserver, "binance", "BTCUSDT")
    assert not Path("out.parquet").exists()
    assert not Path("out.parquet.parts").exists()


def test_tushare_sends_the_token_and_turns_units(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUSHARE_TOKEN", TOKEN)
    asked: list[dict[str, Any]] = []

    def answer(request: Request) -> Response:
        asked.append(request.get_json())
        fields = ["trade_date", "open", "high", "low", "close", "vol", "amount"]
        items = [["20240103", 10.0, 11.0, 9.0, 10.5, 120.0, 1250.5], ["20240102", 9.0, 10.0, 8.0, 9.5, 100.0, 950.0]]
        body = {"request_id": "r", "code": 0, "msg": None, "data": {"fields": fields, "items": items}}
        return Response(json.dumps(body), content_type="application/json")

    httpserver.expect_request("/", method="POST").respond_with_handler(answer)
    frame = pl.read_parquet(get(httpserver, "tushare", "600519.SH").path)
    assert frame["date"].to_list() == [dt.date(2024, 1, 2), dt.date(2024, 1, 3)]
    assert frame["volume"].to_list() == [10_000.0, 12_000.0]
    assert frame["amount"].to_list() == [950_000.0, 1_250_500.0]
    assert asked[0]["token"] == TOKEN
    assert asked[0]["params"] == {"ts_code": "600519.SH", "start_date": "20240102", "end_date": "20240105"}
    long = SOURCES["tushare"].requests("600519.SH", dt.date(1991, 5, 1), dt.date(2024, 1, 5), TOKEN)
    assert [r.body["params"]["end_date"] for r in long if r.body] == ["20101231", "20240105"]
    assert TOKEN not in repr(long)


@pytest.mark.parametrize(
    ("source", "symbol", "answer", "error", "words"),
    [
        ("stooq", "nope.us", b"No data", SymbolError, "stooq has no data of nope.us: symbols look like aapl.us"),
        (
            "stooq",
            "a.us",
            b"Exceeded the daily hits limit",
            RateLimitError,
            "limit of requests is reached: what was fetched",
        ),
        ("stooq", "a.us", b"Get your apikey:\n1. Open", ConfigError, "set STOOQ_API_KEY"),
        ("stooq", "a.us", b"<html>maintenance", FetchError, "cannot be read: it begins '<html>maintenance'"),
        ("stooq", "a.us", b"Date,Open,High,Low,Close\n2024-01-02,1,x,1,1", FetchError, "cannot be read"),
        ("stooq", "a b", b"", SymbolError, "'a b' is no symbol"),
        ("yahoo", "AAPL", b"{}", FetchError, "cannot be read: KeyError"),
        ("yahoo", "AAPL", json.dumps(chart([], [])).encode(), SymbolError, "no bars of AAPL"),
        ("binance", "BTC-USDT", b"", SymbolError, "they look like BTCUSDT"),
        ("tushare", "600519", b"", SymbolError, "they look like 600519.SH"),
        ("tushare", "600519.SH", b'{"code": 40101, "msg": "token xx"}', ConfigError, "the token in TUSHARE_TOKEN"),
        (
            "tushare",
            "600519.SH",
            '{"code": 40203, "msg": "每天最多访问"}'.encode(),
            RateLimitError,
            "run the same again",
        ),
        ("tushare", "600519.SH", '{"code": 2002, "msg": "没有权限"}'.encode(), FetchError, "may not read daily bars"),
    ],
)
def test_what_a_source_says_in_place_of_data(
    source: str,
    symbol: str,
    answer: bytes,
    error: type[Exception],
    words: str,
    httpserver: HTTPServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TUSHARE_TOKEN", TOKEN)
    httpserver.expect_request("/q/d/l/").respond_with_data(answer)
    httpserver.expect_request(f"/v8/finance/chart/{symbol}").respond_with_data(answer)
    httpserver.expect_request("/", method="POST").respond_with_data(answer)
    with pytest.raises(error, match=words) as caught:
        get(httpserver, source, symbol)
    assert TOKEN not in str(caught.value)
    assert not Path("out.parquet").exists()


def test_a_symbol_that_the_archive_or_the_chart_does_not_have(httpserver: HTTPServer) -> None:
    with pytest.raises(SymbolError, match="binance has no data of NOPEUSDT from 2024-01-02 to 2024-01-05"):
        get(httpserver, "binance", "NOPEUSDT")
    gone = {"chart": {"result": None, "error": {"code": "Not Found", "description": "No data found"}}}
    httpserver.expect_request("/v8/finance/chart/NOPE").respond_with_json(gone, status=404)
    with pytest.raises(SymbolError, match=r"yahoo has no data of NOPE \(No data found\)"):
        get(httpserver, "yahoo", "NOPE")


def test_retries_wait_as_long_as_they_are_told(httpserver: HTTPServer, waits: list[float]) -> None:
    httpserver.expect_ordered_request("/q/d/l/").respond_with_data("", status=429, headers={"Retry-After": "7"})
    httpserver.expect_ordered_request("/q/d/l/").respond_with_data("", status=503)
    httpserver.expect_ordered_request("/q/d/l/").respond_with_data(STOOQ)
    assert get(httpserver, "stooq", "aapl.us").rows == 2
    assert waits == [7.0, 0.5, 4.0, 0.5]


def test_too_many_requests_for_too_long(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/q/d/l/").respond_with_data("", status=429, headers={"Retry-After": "3600"})
    with pytest.raises(RateLimitError, match=r"HTTP 429.*what was fetched is kept"):
        get(httpserver, "stooq", "aapl.us")


def test_a_minute_s_limit_is_waited_for(
    httpserver: HTTPServer, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUSHARE_TOKEN", TOKEN)
    fields = ["trade_date", "open", "high", "low", "close", "vol", "amount"]
    table = {"fields": fields, "items": [["20240102", 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]]}
    httpserver.expect_ordered_request("/").respond_with_json({"code": 40203, "msg": "每分钟最多访问该接口500次"})
    httpserver.expect_ordered_request("/").respond_with_json({"code": 0, "msg": None, "data": table})
    assert get(httpserver, "tushare", "000001.SZ").rows == 1
    assert 60.0 in waits


def test_no_network(waits: list[float]) -> None:
    options: dict[str, Any] = {"start": START, "end": END, "base_url": "http://127.0.0.1:9"}
    with pytest.raises(FetchError, match=r"stooq: 127.0.0.1:9 cannot be reached: is there a network"):
        fetch("stooq", ["aapl.us"], "out.parquet", **options)
    assert len(waits) == 6  # between four tries, and the source's pause before three


@pytest.mark.parametrize("status", [401, 403, 418])
def test_refusals(status: int, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/q/d/l/").respond_with_data("no", status=status)
    with pytest.raises(FetchError, match=f"HTTP {status}"):
        get(httpserver, "stooq", "aapl.us")


def test_a_stopped_call_goes_on_and_another_is_refused(httpserver: HTTPServer) -> None:
    def rows(symbol: str) -> None:
        httpserver.expect_oneshot_request("/q/d/l/", query_string=_query(symbol)).respond_with_data(STOOQ)

    rows("a.us")
    httpserver.expect_oneshot_request("/q/d/l/", query_string=_query("b.us")).respond_with_data(
        "Exceeded the daily hits limit"
    )
    with pytest.raises(RateLimitError, match="run the same again later"):
        get(httpserver, "stooq", "a.us", "b.us")
    assert sorted(p.name for p in Path("out.parquet.parts").iterdir()) == ["a.us.parquet", "call.json"]
    with pytest.raises(DataError, match=r"of another call \(source stooq, start 2024-01-02, end 2024-01-05\)"):
        get(httpserver, "stooq", "a.us", start=dt.date(2023, 1, 1))
    rows("b.us")
    done = get(httpserver, "stooq", "a.us", "b.us", end=None)  # a.us is not asked for again, the last day is kept
    assert pl.read_parquet(done.path)["symbol"].to_list() == ["a.us", "b.us"] * 2
    httpserver.check_assertions()


def _query(symbol: str) -> dict[str, str]:
    return {"s": symbol, "d1": "20240102", "d2": "20240105", "i": "d"}


def test_missing_symbols_are_all_named_or_left_out(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/q/d/l/", query_string=_query("a.us")).respond_with_data(STOOQ)
    httpserver.expect_request("/q/d/l/").respond_with_data("No data")
    with pytest.raises(SymbolError, match=r"no data of x\.us.*no data of y\.us.*--skip-missing"):
        get(httpserver, "stooq", "x.us", "a.us", "y.us")
    done = get(httpserver, "stooq", "x.us", "a.us", "y.us", skip_missing=True)
    assert (done.symbols, done.missing) == (("a.us",), ("x.us", "y.us"))
    with pytest.raises(SymbolError, match=r"no data of x\.us"):
        get(httpserver, "stooq", "x.us", skip_missing=True)


def test_the_token_of_a_dotenv_file_and_of_none(httpserver: HTTPServer) -> None:
    with pytest.raises(ConfigError, match=r"needs your own token: set TUSHARE_TOKEN in the environment or a \.env"):
        get(httpserver, "tushare", "600519.SH")
    Path(".env").write_text(f"STOOQ_API_KEY={TOKEN}\n", encoding="utf-8")
    httpserver.expect_request("/q/d/l/", query_string=_query("a.us") | {"apikey": TOKEN}).respond_with_data(STOOQ)
    assert get(httpserver, "stooq", "a.us").rows == 2
    assert not any(TOKEN.encode() in p.read_bytes() for p in Path().glob("*.parquet"))


def test_the_command(httpserver: HTTPServer, capsys: pytest.CaptureFixture[str]) -> None:
    httpserver.expect_request("/q/d/l/").respond_with_data(STOOQ)
    Path("list.txt").write_text("b.us  # a comment\n\n", encoding="utf-8")
    options = ["--start", "2024-01-02", "--end", "2024-01-05", "--base-url", httpserver.url_for("")]
    assert main(["data", "fetch", "stooq", "a.us", "--symbols", "list.txt", "-o", "p.parquet", *options]) == 0
    out, err = capsys.readouterr()
    assert out == "wrote p.parquet: 4 rows of 2 symbols\n"
    assert "stooq: for personal use; not to be passed on or sold: https://stooq.com/db/" in err
    assert main(["data", "fetch", "--sources"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()] == list(SOURCES)
    assert "TUSHARE_TOKEN" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["stoq", "a.us", "-o", "p.parquet", "--start", "2024-01-02"], "did you mean stooq?"),
        (["stooq", "-o", "p.parquet", "--start", "2024-01-02"], "say which symbols"),
        (["stooq", "a.us", "--start", "2024-01-02"], "say where to write"),
        (["stooq", "a.us", "-o", "p.parquet"], "say the first day"),
        (["stooq", "a.us", "-o", "p.parquet", "--start", "2.1.24"], "--start must be a date"),
        (["stooq", "a.us", "-o", "p.parquet", "--start", "2024-01-02", "--end", "2023-01-02"], "is behind the last"),
        (["stooq", "a.us", "-o", "p.csv", "--start", "2024-01-02"], "written as .parquet"),
        (["stooq", "a.us", "-o", "no/p.parquet", "--start", "2024-01-02"], "the folder no does not exist"),
        (
            ["stooq", "a.us", "-o", "p.parquet", "--start", "2024-01-02", "--symbols", "gone.txt"],
            "cannot read gone.txt",
        ),
        (["stooq", "a.us", "-o", "p.parquet", "--start", "2024-01-02", "--base-url", "stooq"], "is no address"),
        ([], "say where to fetch from"),
    ],
)
def test_wrong_use(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "fetch", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not Path("p.parquet").exists()
    assert issubclass(FetchError, DataError)
    assert issubclass(OutputError, ff.FamaError)
