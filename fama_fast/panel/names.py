"""Translates the column names of known data sources: `vol` is VOLUME, `trade_date` the date, `收盘` CLOSE.

One table, `SOURCES`: a source of data and its names for the keys, fields and groups. Only names are translated, no
units: Tushare's volume is in lots and its amount in thousands of yuan, here as there. A name that says what it is
itself (`close`) wins over all others; see `panel.columns` for the rules. It knows no data.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from fama_fast.types import STANDARD_FIELDS, STANDARD_GROUPS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

DATE, SYMBOL = "date", "symbol"
ADJUSTED_CLOSE, ADJUSTMENT_FACTOR = "ADJ_CLOSE", "ADJ_FACTOR"

Names = dict[str, str]

SOURCES: Mapping[str, Names] = MappingProxyType(
    {
        "common": {
            "date": "datetime timestamp time trade_date tradedate trading_date trading_day day as_of_date unix",
            "symbol": "ticker code instrument asset sid stock_code security_code asset_id asset_code",
            "CLOSE": "close_price price_close price last last_price close_last",
            "OPEN": "open_price price_open",
            "HIGH": "high_price price_high",
            "LOW": "low_price price_low",
            "VOLUME": "vol trade_volume",
            "ADJ_CLOSE": "adjclose adjusted_close closeadj close_adj adjusted_closing_price adj_close_price",
            "CAP": "market_cap marketcap mktcap mkt_cap market_capitalization",
            "SECTOR": "sector_name gics_sector",
            "INDUSTRY": "industry_name gics_industry",
            "SUBINDUSTRY": "sub_industry gics_sub_industry gics_subindustry",
        },
        "Tushare": {"date": "trade_date", "symbol": "ts_code con_code", "VOLUME": "vol", "CAP": "total_mv"},
        "AkShare and efinance": {
            "date": "日期 交易日期 交易日 时间",
            "symbol": "股票代码 代码 证券代码 成分券代码",
            "OPEN": "开盘 开盘价 今开",
            "HIGH": "最高 最高价",
            "LOW": "最低 最低价",
            "CLOSE": "收盘 收盘价 最新价",
            "VOLUME": "成交量",
            "AMOUNT": "成交额",
            "TURNOVER": "换手率",
            "PCT_CHG": "涨跌幅",
            "CHANGE": "涨跌额",
            "AMPLITUDE": "振幅",
            "PRE_CLOSE": "前收盘 前收盘价 昨收",
            "CAP": "总市值",
            "CIRC_MV": "流通市值",
            "ADJ_FACTOR": "复权因子",
            "NAME": "名称 股票名称 股票简称 证券简称",
            "SECTOR": "板块",
            "INDUSTRY": "行业 所属行业",
        },
        "JoinQuant": {"date": "time", "symbol": "code", "AMOUNT": "money"},
        "RiceQuant": {"symbol": "order_book_id", "AMOUNT": "total_turnover"},
        "BaoStock": {
            "date": "date",
            "symbol": "code",
            "TURNOVER": "turn",
            "PRE_CLOSE": "preclose",
            "PCT_CHG": "pctchg",
        },
        "Wind": {
            "date": "trade_dt",
            "symbol": "s_info_windcode wind_code",
            "OPEN": "s_dq_open",
            "HIGH": "s_dq_high",
            "LOW": "s_dq_low",
            "CLOSE": "s_dq_close",
            "VOLUME": "s_dq_volume",
            "AMOUNT": "s_dq_amount",
            "ADJ_CLOSE": "s_dq_adjclose",
            "ADJ_FACTOR": "s_dq_adjfactor",
        },
        "CSMAR": {
            "date": "trddt",
            "symbol": "stkcd",
            "OPEN": "opnprc",
            "HIGH": "hiprc",
            "LOW": "loprc",
            "CLOSE": "clsprc",
            "VOLUME": "dnshrtrd",
            "AMOUNT": "dnvaltrd",
            "ADJ_CLOSE": "adjprcwd",
        },
        "qlib": {
            "date": "datetime",
            "symbol": "instrument",
            "OPEN": "$open",
            "HIGH": "$high",
            "LOW": "$low",
            "CLOSE": "$close",
            "VOLUME": "$volume",
            "VWAP": "$vwap",
        },
        "Stooq, MetaStock": {"date": "<DATE> <DTYYYYMMDD>", "symbol": "<TICKER>", "VOLUME": "<VOL>"},
        "yfinance": {"date": "Date", "symbol": "Ticker", "ADJ_CLOSE": "adj_close"},
        "Alpha Vantage": {
            "date": "timestamp",
            "OPEN": "1_open",
            "HIGH": "2_high",
            "LOW": "3_low",
            "CLOSE": "4_close",
            "ADJ_CLOSE": "5_adjusted_close",
            "VOLUME": "5_volume 6_volume",
        },
        "Quandl WIKI, Sharadar": {"date": "date", "symbol": "ticker", "ADJ_CLOSE": "adj_close closeadj"},
        "Bloomberg": {
            "symbol": "ticker",
            "OPEN": "px_open",
            "HIGH": "px_high",
            "LOW": "px_low",
            "CLOSE": "px_last",
            "VOLUME": "px_volume",
            "CAP": "cur_mkt_cap",
        },
        "CRSP": {
            "date": "dlycaldt caldt",
            "symbol": "permno",
            "OPEN": "openprc dlyopen",
            "HIGH": "askhi dlyhigh",
            "LOW": "bidlo dlylow",
            "CLOSE": "prc dlyprc",
            "VOLUME": "vol dlyvol",
            "RET": "dlyret",
            "CAP": "dlycap",
        },
        "Compustat": {
            "date": "datadate",
            "symbol": "tic",
            "OPEN": "prcod",
            "HIGH": "prchd",
            "LOW": "prcld",
            "CLOSE": "prccd",
            "VOLUME": "cshtrd",
            "SECTOR": "gsector",
            "INDUSTRY": "gind",
            "SUBINDUSTRY": "gsubind",
        },
        "Binance and ccxt": {
            "date": "open_time opentime timestamp",
            "AMOUNT": "quote_asset_volume quote_volume",
        },
        "Databento": {"date": "ts_event"},
        "NSE of India": {"VOLUME": "tottrdqty ttltrdqnty", "AMOUNT": "tottrdval"},
        "JPX": {"date": "日付", "symbol": "securitiescode securities_code 銘柄コード コード"},
        "KRX": {
            "date": "날짜 일자",
            "symbol": "종목코드 티커",
            "OPEN": "시가",
            "HIGH": "고가",
            "LOW": "저가",
            "CLOSE": "종가",
            "VOLUME": "거래량",
            "AMOUNT": "거래대금",
        },
        "Japanese": {
            "OPEN": "始値",
            "HIGH": "高値",
            "LOW": "安値",
            "CLOSE": "終値",
            "VOLUME": "出来高",
            "ADJ_CLOSE": "調整後終値",
        },
        "German": {
            "date": "datum",
            "OPEN": "eröffnung erster",
            "HIGH": "hoch",
            "LOW": "tief",
            "CLOSE": "schluss schlusskurs",
            "VOLUME": "volumen",
        },
    }
)

# Of a bar in one letter each, as polygon and finnhub send them; a table is one only where it has these four.
LETTERS: Mapping[str, str] = MappingProxyType(
    {"t": DATE, "o": "OPEN", "h": "HIGH", "l": "LOW", "c": "CLOSE", "v": "VOLUME", "vw": "VWAP"}
)
_BAR = frozenset("ohlc")

# A table without a column of the first kind may have one of these instead.
DATE_FALLBACKS = ("window_start", "index_level_0", "unnamed_0", "index", "level_0", "")
SYMBOL_FALLBACKS = ("gvkey", "security", "ric", "isin", "sedol", "cusip", "figi", "name")
# CRSP's number is a security for ever; tickers beside it are given to another one after a while.
SYMBOL_FIRST = ("permno",)
UNIVERSE_NAMES = ("universe", "in_universe", "member")

# Row numbers that pandas writes, and when a bar ended: no fields.
ROW_NUMBERS = frozenset({"", "index", "level_0", "level_1", "index_level_0", "rowid", "row_id"})
NO_FIELDS = frozenset({"close_time", "closetime"})
# Text that names or describes a company: one label a symbol, so no group to compare within.
NAME_COLUMNS = (
    "NAME",
    "COMPANY",
    "COMPANY_NAME",
    "LONG_NAME",
    "SHORT_NAME",
    "SECURITY",
    "DESCRIPTION",
    "COMNAM",
    "CONM",
)
# Numbers and texts that say which company it is, and nothing about it.
IDENTIFIERS = frozenset(
    [
        "PERMNO",
        "PERMCO",
        "LPERMNO",
        "LPERMCO",
        "GVKEY",
        "IID",
        "CIK",
        "CUSIP",
        "NCUSIP",
        "HCUSIP",
        "ISIN",
        "SEDOL",
        "FIGI",
        "COMPOSITE_FIGI",
        "RIC",
        "ISSUNO",
    ]
)

_UNNAMED = re.compile(r"unnamed(_\d+)?\Z")
_NOT_WORD = re.compile(r"[^\w$]+")
_UNIT = re.compile(r"\s*[(\[][^()\[\]]*[)\]]\s*\Z")
_NOT_NAME = re.compile(r"[^A-Z0-9_]+")
_FIELD_NAME = re.compile(r"[A-Z][A-Z0-9_]*\Z")


@lru_cache(1 << 16)
def plain(column: str) -> str:
    """A column's name in the form of the table: in lower case, words joined by `_` (`Adj Close` is adj_close)."""
    text = unicodedata.normalize("NFKC", column).strip().lower()
    return _NOT_WORD.sub("_", text).strip("_").removeprefix("$")


def field_name(column: str) -> str | None:
    """The name under which expressions know a column (`Adj Close` is ADJ_CLOSE), or None when it has none."""
    name = _NOT_NAME.sub("_", column.strip().upper()).strip("_")
    return name if _FIELD_NAME.match(name) and column.isascii() else None


def _table() -> tuple[dict[str, str], tuple[str, ...], tuple[str, ...]]:
    fields: dict[str, str] = {}
    keys: dict[str, dict[str, None]] = {DATE: {DATE: None}, SYMBOL: {SYMBOL: None}}
    for names in SOURCES.values():
        for role, columns in names.items():
            for column in map(plain, columns.split()):
                if role in keys:
                    keys[role][column] = None
                elif fields.setdefault(column, role) != role:
                    raise ValueError(f"{column!r} is both {fields[column]} and {role}")
    return fields, tuple(keys[DATE]), tuple(keys[SYMBOL])


_FIELDS, DATE_NAMES, SYMBOL_NAMES = _table()
FIELD_ALIASES: Mapping[str, str] = MappingProxyType({k: v for k, v in _FIELDS.items() if k != v.lower()})
"""Column (as `plain` spells it) -> field or group, where the two differ."""


def is_bar_of_letters(columns: Collection[str]) -> bool:
    """Whether a table has open, high, low and close in one letter each."""
    return {plain(c) for c in columns} >= _BAR


def alias_of(column: str, *, letters: bool = False) -> str | None:
    """The field or group that a column holds by another name; None where it has no other name than its own.

    Args:
        letters: the table is a bar of letters (`is_bar_of_letters`).
    """
    name = plain(column)
    if letters and name in LETTERS:
        role = LETTERS[name]
        return None if role == DATE else role
    alias = FIELD_ALIASES.get(name)
    if alias is None and not column.isascii():
        # `成交量(手)`, `涨跌幅(%)`
        alias = FIELD_ALIASES.get(plain(_UNIT.sub("", unicodedata.normalize("NFKC", column))))
    return alias


def is_key_name(column: str, *, letters: bool = False) -> bool:
    """Whether a name is one of those of dates or symbols."""
    name = plain(column)
    return name in DATE_NAMES or name in SYMBOL_NAMES or (letters and LETTERS.get(name) == DATE)


def is_row_number(column: str) -> bool:
    """Whether a column without a name of its own numbers the rows, or is left over from a spreadsheet."""
    name = plain(column)
    return name in ROW_NUMBERS or _UNNAMED.match(name) is not None


def meant_by(name: str) -> str | None:
    """The field or group that a name in an expression is an alias of: VOLUME for VOL."""
    field = FIELD_ALIASES.get(plain(name))
    return field if field in (*STANDARD_FIELDS, *STANDARD_GROUPS) else None
