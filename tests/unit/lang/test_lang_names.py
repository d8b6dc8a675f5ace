"""What names mean: fields, groups, constants, dialects; what is a slip and what may be a column."""

from __future__ import annotations

import pytest

from fama_fast.errors import ArgumentError, UnknownName, WindowError
from fama_fast.ir import const, field, group
from fama_fast.lang import DIALECTS, get_dialect, parse, to_text
from fama_fast.lang.scope import edit_distance, misspelt
from fama_fast.ops import build, find
from fama_fast.types import STANDARD_FIELDS, STANDARD_GROUPS
from tests.support.paths import MARKET, ROOT

CLOSE, OPEN = field("CLOSE"), field("OPEN")


@pytest.mark.parametrize(
    "name", [*STANDARD_FIELDS, "ADV20", "ADV5", "ADJ_CLOSE", "PE", "CAPEX", "TURNOVER", "X", "REV"]
)
def test_standard_names_and_columns_not_seen_yet(name: str) -> None:
    assert parse(name.lower()) is field(name)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CLSOE", "CLOSE"),
        ("CLOSEE", "CLOSE"),
        ("HGIH", "HIGH"),
        ("VOLUM", "VOLUME"),
        ("VOL", "VOLUME"),
        ("LWO", "LOW"),
        ("RETURN", "RET"),
        ("RETURNS", "RET"),
        ("SUBINDUSTY", "SUBINDUSTRY"),
        ("ADV", "ADV20"),
    ],
)
def test_a_slip_of_a_standard_name_is_refused_when_the_data_is_not_known(name: str, meant: str) -> None:
    with pytest.raises(UnknownName) as caught:
        parse(f"RANK({name})")
    assert caught.value.suggestion == meant
    assert caught.value.text[caught.value.start : caught.value.end] == name


def test_with_the_fields_given_exactly_those_and_what_derives_from_them_exist() -> None:
    fields = ("close", "volume", "CLSOE", "rank")
    for name in ("CLOSE", "VOLUME", "CLSOE", "RANK", "RET", "ADV20"):
        assert parse(name, fields=fields) is field(name)
    assert parse("RANK(RANK)", fields=fields) is build("RANK", field("RANK"))
    for name in ("OPEN", "VWAP", "CAP", "PE"):
        with pytest.raises(UnknownName, match="the data has no field"):
            parse(name, fields=fields)
    with pytest.raises(UnknownName):
        parse("ADV20", fields=("CLOSE",))
    assert parse("VWAP", fields=("vwap",)) is field("VWAP")


def test_groups() -> None:
    for name in (*STANDARD_GROUPS, "COUNTRY"):
        assert parse(f"group_rank(close, {name.lower()})") is build("GROUP_RANK", CLOSE, group(name))
    assert parse("group_rank(close, country)", groups=["Country"]).args[1] is group("COUNTRY")
    with pytest.raises(UnknownName, match="the data has no group"):
        parse("group_rank(close, sector)", groups=["Country"])
    # A column may be both: a numeric industry code is a field where a series is due.
    both = parse("group_rank(industry, industry)", fields=["INDUSTRY"], groups=["INDUSTRY"])
    assert both.args == (field("INDUSTRY"), group("INDUSTRY"))
    with pytest.raises(ArgumentError):
        parse("group_rank(close, close)", fields=["CLOSE"], groups=["SECTOR"])


def test_constants_and_flags() -> None:
    assert parse("TRUE") is const(1)
    assert parse("false") is const(0)
    assert parse("nan") is const(float("nan"))
    assert parse("TS_MEAN(CLOSE, 5, min_periods=NONE)") is build("TS_MEAN", CLOSE, 5)
    assert parse("RANK(2)") is build("RANK", 2)


@pytest.mark.parametrize("text", ["DELAY(CLOSE, -1)", "TS_MEAN(CLOSE, 2 - 7)", "DELTA(CLOSE, -(1))", "REF(CLOSE, -5)"])
def test_looking_ahead_is_impossible(text: str) -> None:
    with pytest.raises(WindowError, match="look ahead"):
        parse(text)


def test_edit_distance_counts_swaps_once_and_stops_at_the_limit() -> None:
    assert edit_distance("CLOSE", "CLOSE", 2) == 0
    assert edit_distance("CLSOE", "CLOSE", 2) == 1
    assert edit_distance("OPN", "OPEN", 2) == 1
    assert edit_distance("KITTEN", "SITTING", 5) == 3
    assert edit_distance("A", "ABCDEFG", 2) == 3
    assert misspelt("AD", STANDARD_FIELDS) is None


def test_dialects() -> None:
    with pytest.raises(UnknownName) as caught:
        parse("CLOSE", dialect="alpha_101")
    assert caught.value.suggestion == "alpha101"
    assert get_dialect("Alpha101") is DIALECTS["alpha101"]
    for dialect in DIALECTS.values():
        assert all(find(name) for name in (*dialect.operators.values(), *dialect.rolling.values()))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("ts_min(vwap, 16.1219)", "TS_MIN(VWAP, 16)"),
        ("min(close, 5)", "TS_MIN(CLOSE, 5)"),
        ("max(close, 4.79)", "TS_MAX(CLOSE, 4)"),
        ("max(close, open)", "FMAX(CLOSE, OPEN)"),
        ("Min(close, delay(close, 1))", "FMIN(CLOSE, DELAY(CLOSE, 1))"),
        ("maximum(close, open)", "FMAX(CLOSE, OPEN)"),
        ("max(close, 0)", "MAX(CLOSE, 0)"),
        ("min(1 / 4, close)", "MIN(1 / 4, CLOSE)"),
        ("fmax(close, 0)", "FMAX(CLOSE, 0)"),
        ("max(close, -1)", "MAX(CLOSE, -1)"),
        ("indneutralize(returns, IndClass.subindustry)", "GROUP_NEUTRALIZE(RET, SUBINDUSTRY)"),
        ("IndNeutralize(vwap, INDCLASS.Sector)", "GROUP_NEUTRALIZE(VWAP, SECTOR)"),
        ("SignedPower(close, 2.)", "SIGNED_POWER(CLOSE, 2)"),
        ("sum(adv20, 22.4101)", "TS_SUM(ADV20, 22)"),
        ("close * 0.5", "CLOSE * 0.5"),
    ],
)
def test_alpha101_dialect(text: str, canonical: str) -> None:
    assert to_text(parse(text, dialect="alpha101")) == canonical


def test_the_fama_dialect_does_not_floor_or_roll() -> None:
    with pytest.raises(WindowError):
        parse("TS_MIN(CLOSE, 16.1219)")
    assert parse("MIN(CLOSE, 5)") is build("MIN", CLOSE, 5)


def _formulas() -> list[str]:
    shipped = ROOT / "fama_fast" / "library" / "alpha101.txt"
    shared = MARKET.parent / "alpha101.txt"
    path = next((p for p in (shipped, shared) if p.is_file()), None)
    if path is None:
        pytest.skip("the 101 formulas are neither shipped nor beside the data")
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.split("\t")[1] for line in lines if line and not line.startswith("#")]


def test_all_101_formulas_parse_verbatim() -> None:
    formulas = _formulas()
    assert len(formulas) == 101
    for formula in formulas:
        node = parse(formula, dialect="alpha101")
        assert parse(to_text(node)) is node
