"""Text at its edges: odd numbers, many operands, deep nesting, in every dialect and all that takes a text or a node.

What is read can be written in our dialect and read back, or is refused with the limit that it breaks.
"""

from __future__ import annotations

import copy
import math
import pickle
import random
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import fama_fast as ff
from fama_fast import ops
from fama_fast.errors import ArgumentError, FamaError, LimitError, ParseError
from fama_fast.ir import Node, field
from fama_fast.lang import DIALECTS, MAX_DEPTH, MAX_LENGTH, MAX_NODES, get_dialect, parse, shortened, to_text
from fama_fast.lang.define import MAX_LEVELS
from fama_fast.ops import OpSpec, build
from fama_fast.passes import depends_on_level, ranking_fingerprint
from fama_fast.types import Kind

CLOSE = field("CLOSE")
FIELDS = ("close", "open", "volume")


def a_panel() -> ff.Panel:
    rng = np.random.default_rng(1)
    fields = {name.upper(): rng.uniform(1, 9, (7, 3)) for name in (*FIELDS, "high", "low")}
    groups = {g: ff.GroupField(np.zeros((7, 3)), ("all",)) for g in ("SECTOR", "INDUSTRY", "SUBINDUSTRY")}
    return ff.Panel(np.datetime64("2024-01-02") + np.arange(7), ["A", "B", "C"], fields, groups=groups)


PANEL = a_panel()


def reads_back(alpha: ff.Alpha) -> None:
    """Its canonical text has its node, or is over a limit that the error says."""
    try:
        text = alpha.canonical
    except LimitError as error:
        assert any(str(limit) in str(error) for limit in (MAX_DEPTH, MAX_LENGTH, MAX_NODES))  # noqa: PT017
        assert str(alpha) == alpha.text
        return
    assert ff.compile(text).node is alpha.node
    assert str(alpha) == text


def use(alpha: ff.Alpha) -> None:
    """Everything that takes an alpha or its node, but for what a panel lacks."""
    reads_back(alpha)
    assert pickle.loads(pickle.dumps(alpha)).node is alpha.node
    assert copy.deepcopy(alpha).node is copy.copy(alpha.node) is alpha.node
    assert len(repr(alpha.node)) < 3000
    assert len(alpha.fingerprint) == len(ranking_fingerprint(alpha.node)) == 32
    assert alpha.unit
    assert isinstance(alpha.warnings, tuple)
    assert depends_on_level(alpha.node) != ""
    assert alpha.lookback >= 0
    assert alpha.required_fields is not None
    alpha.to_polars()
    assert alpha.evaluate(PANEL).shape == PANEL.shape
    alpha.stream(PANEL)


# --- numbers --------------------------------------------------------------------------------------

BY_VALUE = {
    "NAN": math.nan,
    "-NAN": math.nan,
    "0 / 0": math.nan,
    "1e308 * 10": math.nan,
    "-1e308 * 10": math.nan,
    "-0": 0.0,
    "5.": 5.0,
    ".5": 0.5,
    "1e308": 1e308,
    "9" * 300: 1e300,
    "5e-324": 5e-324,
    "0.0e-999": 0.0,
    "TRUE": 1.0,
}
REFUSED = {
    "1e309": "too large: at most 1.79",
    "-1e400": "too large",
    "9" * 400: "too large",
    "1e-400": "too small: it would be 0",
    "0." + "0" * 400 + "1": "too small",
    "0x10": "unexpected name 'x10'",
    "1_000": "unexpected name '_000'",
    "1e": "unexpected name 'e'",
    "1e5e5": "unexpected name 'e5'",
    ".5.5": "unexpected number",
    "\N{ARABIC-INDIC DIGIT ONE}": "unexpected character",
    "\N{SUPERSCRIPT TWO}": "unexpected character",
    "1\N{NO-BREAK SPACE}": "unexpected character",
}
USES = ("{n}", "{x} ^ {n}", "{n} ^ {x}", "{x} * {n}", "{x} / ({n})", "log({x}) * {n}", "{x} > {n} ? {x} : {n}")


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("number", BY_VALUE)
def test_numbers_are_read_as_they_are_and_used_anywhere(number: str, dialect: str) -> None:
    np.testing.assert_equal(ff.compile(number, dialect=dialect).node.value, BY_VALUE[number])
    close = f"{get_dialect(dialect).sigil}close"
    for form in USES:
        use(ff.compile(form.format(n=number, x=close), dialect=dialect))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("number", REFUSED)
def test_what_is_no_number_says_so(number: str, dialect: str) -> None:
    for text in (number, f"abs({number})"):
        with pytest.raises(ParseError, match=REFUSED[number]) as caught:
            parse(text, dialect=dialect)
        assert len(str(caught.value)) < 600


@pytest.mark.parametrize("number", ["NAN", "0 / 0", "1e300", "-1e308", "1e300 * 1e300"])
@pytest.mark.parametrize("form", ["CLOSE ^ ({n})", "SIGNED_POWER(VOLUME, {n})", "LOG(CLOSE) * ({n})", "-CLOSE^({n})"])
def test_check_takes_any_exponent(form: str, number: str, capsys: pytest.CaptureFixture[str]) -> None:
    from fama_fast.cli import main

    for more in ([], ["--json"]):
        assert main(["check", form.format(n=number), *more]) == 0
    assert "price^1000" not in capsys.readouterr().out


def test_units_beyond_use_are_unknown() -> None:
    assert ff.compile("CLOSE ^ 10000").unit == "price^10000"
    assert ff.compile("CLOSE ^ 10001").unit == "unknown"
    assert ff.compile("TS_PRODUCT(CLOSE ^ 2, 9000)").unit == "unknown"
    roots = "CLOSE"
    for p in (997, 991, 983, 977):
        roots = f"({roots}) ^ (1 / {p})"
    assert ff.compile(roots).unit == "unknown"
    assert depends_on_level(parse("CLOSE ^ NAN")) is None
    assert depends_on_level(parse("LOG(CLOSE) * NAN")) is None
    assert depends_on_level(parse("CLOSE ^ 20000")) == "CLOSE^20000"
    assert depends_on_level(parse("RET ^ 20000")) is None


# --- many operands --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["max", "min", "add", "multiply", "subtract"])
def test_calls_of_many_operands_work_or_say_how_many_may_be(name: str) -> None:
    def call(n: int) -> str:
        return f"{name}({', '.join(f'ts_delay(close, {i + 1})' for i in range(n))})"

    for n in (2, 3, 40, MAX_DEPTH - 3):
        use(ff.compile(call(n), dialect="brain"))
    for n in (MAX_DEPTH + 1, 150, 400, 3000):
        with pytest.raises(LimitError, match=f"at most {MAX_DEPTH}"):
            ff.compile(call(n), dialect="brain")
    # A call within a call is one level of ours for each operand.
    inner = "close"
    for _ in range(20):
        inner = f"{name}({inner}, {', '.join(['open'] * 10)})"
    with pytest.raises(LimitError, match=rf"levels deep, at most {MAX_DEPTH}"):
        ff.compile(f"{inner} / {call(9)}", dialect="brain")


def test_operands_are_taken_from_the_left() -> None:
    node = parse("subtract(close, open, volume, filter=true)", dialect="brain")
    assert node is parse("NAN_TO(NAN_TO(CLOSE, 0) - NAN_TO(OPEN, 0), 0) - NAN_TO(VOLUME, 0)")
    assert parse("max(close, open, volume)", dialect="brain") is parse("MAX(MAX(CLOSE, OPEN), VOLUME)")
    with pytest.raises(ArgumentError, match="must come before"):
        parse("add(close, filter=true, open, volume)", dialect="brain")


# --- deep nesting ---------------------------------------------------------------------------------


def nested(x: str, y: str, n: int) -> Iterator[str]:
    yield "(" * n + x + ")" * n
    yield "-" * n + x
    yield "-(" * n + x + ")" * n
    yield "!" * n + x
    yield "abs(" * n + x + ")" * n
    yield "+".join([x] * (n + 1))
    yield f"{x} + (" * n + x + ")" * n
    yield "^".join([x] * (n + 1))
    yield f"{x} ? {y} : " * n + x
    yield "(" * n + x + f" < {y})" * n
    yield " && ".join([x] * (n + 1))
    yield f"-{x}" + f" - {y}" * n


WINDOWS = {
    "fama": ("RANK({})", "TS_STDDEV({}, 5)", "CORREL({}, OPEN, 5)", "GROUP_RANK({}, SECTOR)"),
    "alpha101": ("rank({})", "stddev({}, 5)", "correlation({}, open, 5)", "max({}, open)"),
    "qlib": ("Abs({})", "Std({}, 5)", "Corr({}, $open, 5)", "Greater({}, $open)"),
    "brain": ("rank({})", "ts_std_dev({}, 5)", "ts_rank({}, 5)", "group_zscore({}, sector)", "winsorize({})"),
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("n", [5, MAX_DEPTH - 2, MAX_DEPTH - 1, MAX_DEPTH, 400, 5000])
def test_deep_nesting_works_or_says_how_deep_it_may_be(n: int, dialect: str) -> None:
    mark = get_dialect(dialect).sigil
    texts = [*nested(f"{mark}close", f"{mark}open", n)]
    for form in WINDOWS[dialect] if n < MAX_DEPTH else ():
        text = f"{mark}close"
        for _ in range(min(n, 12)):
            text = form.format(text)
        texts.append(text)
    read = 0
    for text in texts:
        try:
            alpha = ff.compile(text, dialect=dialect)
        except LimitError as error:
            assert str(MAX_DEPTH) in str(error)  # noqa: PT017
            assert n >= MAX_DEPTH - 2, text
            continue
        use(alpha)
        read += 1
    assert read == len(texts) if n < MAX_DEPTH - 2 else read <= len(texts)
    if n > MAX_DEPTH:
        assert read == 0


@pytest.mark.parametrize(
    "grow",
    [
        lambda x, i: build("TANH", x),
        lambda x, i: build("RANK", build("NEG", x)),
        lambda x, i: build("MUL", build("ADD", x, i), x),  # twice as many parts each time
    ],
)
def test_graphs_that_no_text_could_hold_are_handled_all_the_same(grow: Callable[[Node, int], Node]) -> None:
    node = CLOSE
    for i in range(1200):
        node = grow(node, i)
    alpha = ff.Alpha("made by hand", "fama", node)
    assert node.depth > MAX_DEPTH
    with pytest.raises(LimitError, match=f"{node.depth} levels deep, at most {MAX_DEPTH}"):
        to_text(node)
    assert len(shortened(node, 80)) <= 80
    use(alpha)


def test_wide_graphs_are_written_up_to_a_limit() -> None:
    wide = CLOSE
    for i in range(20):
        wide = build("MUL", build("ADD", wide, i + 1), wide)
    with pytest.raises(LimitError, match=f"parts, at most {MAX_NODES}"):
        to_text(wide)
    many = [build("DELAY", field("A" * 128 + "." + "B" * 128), i + 1) for i in range(512)]
    while len(many) > 1:
        many = [build("ADD", x, y) for x, y in zip(many[::2], many[1::2], strict=True)]
    with pytest.raises(LimitError, match=f"characters, at most {MAX_LENGTH}"):
        to_text(many[0])


# --- definitions ----------------------------------------------------------------------------------


@pytest.fixture
def _tidy() -> Iterator[None]:
    before = {s.name for s in ops.specs()}
    yield
    for spec in tuple(ops.specs()):
        if spec.name not in before:
            ops.unregister(spec.name)


@pytest.mark.usefixtures("_tidy")
def test_definitions_within_definitions() -> None:
    ff.define("LEVEL0(x) = x + 1")
    for i in range(1, MAX_LEVELS):
        ff.define(f"LEVEL{i}(x) = LEVEL{i - 1}(x) + 1")
        if i in (1, 55, MAX_LEVELS - 2):
            alpha = ff.compile(f"LEVEL{i}(CLOSE)")
            use(alpha)
            np.testing.assert_allclose(alpha.evaluate(PANEL), PANEL["CLOSE"] + i + 1.0)
    with pytest.raises(LimitError, match=f"more than {MAX_LEVELS} levels"):
        ff.define(f"LEVEL{MAX_LEVELS}(x) = LEVEL{MAX_LEVELS - 1}(x) + 1")


@pytest.mark.usefixtures("_tidy")
def test_nothing_is_defined_by_itself() -> None:
    ff.define("FIRST(x) = x + 1")
    ff.define("SECOND(x) = FIRST(x) * 2")
    for body in ("FIRST(x)", "SECOND(x) + 1", "RANK(SECOND(x))"):
        with pytest.raises(ArgumentError, match="FIRST cannot be defined by itself"):
            ff.define(f"FIRST(x) = {body}", replace=True)
    np.testing.assert_allclose(ff.compile("SECOND(CLOSE)").evaluate(PANEL), (PANEL["CLOSE"] + 1) * 2)


@pytest.mark.usefixtures("_tidy")
def test_definitions_may_use_calls_of_many_operands() -> None:
    ff.define("WIDEST(x, y, d=3) = max(x, y, ts_mean(x, d), ts_mean(y, 2 * d))", dialect="brain")
    assert ff.compile("WIDEST(CLOSE, OPEN)").lookback == 5
    ours = "MAX(MAX(MAX(CLOSE, OPEN), TS_MEAN(CLOSE, 3, min_periods=1)), TS_MEAN(OPEN, 6, min_periods=1))"
    assert ff.compile("WIDEST(CLOSE, OPEN)").fingerprint == ff.compile(ours).fingerprint


# --- anything -------------------------------------------------------------------------------------

ODD = ("0", "1", "-1", "2.5", "1e300", "-1e-300", "NAN", "TRUE", "0 / 0", "3", "9999", "1e400", "1e-400")


class Maker:
    """Random texts of a dialect: its own operators and ours, right arguments mostly."""

    def __init__(self, dialect: str, seed: int) -> None:
        self.random = random.Random(seed)
        self.dialect = get_dialect(dialect)
        ours = [s for s in ops.specs() if s.name not in self.dialect.refused]
        self.specs = [*ours, *[s for s in self.dialect.own.values() for _ in range(4)]]

    def text(self, depth: int) -> str:
        draw = self.random.random()
        if depth <= 1 or draw < 0.1:
            return self.dialect.sigil + self.random.choice(FIELDS) if draw < 0.9 else self.random.choice(ODD)
        if draw < 0.35:
            symbol = self.random.choice(["+", "-", "*", "/", "^", "<", ">=", "==", "&&", "||"])
            return f"({self.text(depth - 1)}) {symbol} ({self.text(depth - 1)})"
        if draw < 0.4:
            return f"-({self.text(depth - 1)})"
        if draw < 0.45:
            return f"(({self.text(depth - 1)}) ? {self.text(depth - 1)} : {self.text(depth - 1)})"
        return self.call(self.random.choice(self.specs), depth)

    def call(self, spec: OpSpec, depth: int) -> str:
        arguments = []
        for p in spec.parameters:
            if p.kind is Kind.SERIES:
                arguments.append(self.text(depth - 1))
            elif p.kind is Kind.GROUP:
                arguments.append("SECTOR")
            elif p.required or self.random.random() < 0.3:
                arguments.append(f"{p.name}={self.static(p)}")
        count = sum(p.kind is Kind.SERIES for p in spec.parameters)
        if spec.name in self.dialect.chained:
            arguments[count:count] = [self.text(depth - 1) for _ in range(self.random.choice([0, 0, 1, 3]))]
        return f"{spec.name}({', '.join(arguments)})"

    def static(self, p: ops.Parameter) -> str:
        if self.random.random() < 0.05:
            return self.random.choice(ODD)
        if p.kind is Kind.FLAG:
            return self.random.choice(["TRUE", "FALSE"])
        if p.kind is Kind.CHOICE:
            return self.random.choice(p.choices)
        if p.kind is Kind.TEXT:
            return self.random.choice(['"0, 1, 0.1"', '"NAN 0"', '"2, 5, 9"', '""'])
        if p.kind in (Kind.WINDOW, Kind.COUNT):
            return str(self.random.randint(int(p.minimum or 1), int(p.minimum or 1) + 9))
        return f"{self.random.uniform(p.minimum or 0.0, p.maximum or 3.0):.3g}"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_whatever_compiles_can_be_written_and_read_back(dialect: str) -> None:
    maker = Maker(dialect, seed=7)
    good = 0
    for i in range(250):
        text = maker.text(2 + i % 4)
        try:
            alpha = ff.compile(text, dialect=dialect)
        except FamaError:
            continue
        reads_back(alpha)
        assert alpha.unit
        assert isinstance(alpha.warnings, tuple)
        assert set(alpha.required_fields) <= {name.upper() for name in FIELDS}
        assert copy.deepcopy(alpha.node) is pickle.loads(pickle.dumps(alpha.node)) is alpha.node
        good += 1
    assert good > 90
