"""What the package knows of one operator, as one frozen value that is checked when it registers.

The grammar names no operator: parser, printer, passes, both back ends, the prompts, the command line and the common
tests all read these entries. A kernel is named by text (`"ts_moments.mean"`, a function of
`fama_fast.backends.numba_vm.kernels.ts_moments`, or `"package.module:function"` for an operator from outside), so that
registering an operator imports neither numba nor Polars.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from fama_fast.ops.conditioning import Conditioning
from fama_fast.ops.unit_rule import UnitRule
from fama_fast.types import Family, Kind

if TYPE_CHECKING:
    from polars import Expr

    from fama_fast.ir import Node, Param

MAX_WINDOW = 10_000

_NAME = re.compile(r"[A-Z][A-Z0-9_]*\Z")
_KERNEL = re.compile(r"\w+\.\w+\Z|\w+(\.\w+)*:\w+\Z")
_CONDITIONS = frozenset({"condition", "trigger", "exit"})
_REQUIRED: Any = object()


class PolarsContext(Protocol):
    """What a Polars lowering may use; made by the Polars back end. Operands arrive as plain columns."""

    pl: Any

    def by_symbol(self, expr: Expr) -> Expr:
        """`expr` evaluated over each symbol's rows in date order."""

    def by_date(self, expr: Expr) -> Expr:
        """`expr` evaluated over the rows of each date."""

    def by_date_and(self, group: Expr, expr: Expr) -> Expr:
        """`expr` evaluated over each (date, group); rows without a group are missing."""

    def finite(self, expr: Expr) -> Expr:
        """`expr` with NaN and infinities turned into null."""

    def step(self, expr: Expr) -> Expr:
        """`expr` computed once as a column of its own, to be used again, or inside another window.

        Polars evaluates an `.over` within an `.over` inside the outer one's groups, so windows never nest: the inner
        one is a step.
        """

    def mend(self, value: Expr, where: Expr, again: Callable[[], Expr]) -> Expr:
        """`value`, and `again()` where `where` is true: its steps run only where that is so anywhere in the frame."""

    def kernel(self, op: str, operands: list[Expr], params: tuple[Param, ...]) -> Expr:
        """The operator's numba kernel through `map_batches`, for what Polars has no native form of."""


PolarsLowering = Callable[..., "Expr"]


@dataclass(frozen=True)
class Parameter:
    """One parameter: operands (SERIES, GROUP) come first in a signature, static ones after them."""

    name: str
    kind: Kind
    default: Any = _REQUIRED
    minimum: float | None = None
    maximum: float | None = None
    keyword_only: bool = False
    doc: str = ""
    choices: tuple[str, ...] = ()

    @property
    def required(self) -> bool:
        return self.default is _REQUIRED

    @property
    def is_condition(self) -> bool:
        """An operand that is true or false, by its name."""
        return self.name in _CONDITIONS

    @property
    def shown_default(self) -> str:
        return f'"{self.default}"' if self.kind is Kind.TEXT else str(self.default)


def series(name: str = "x", doc: str = "", default: Any = _REQUIRED) -> Parameter:
    """`default` is the number that an operand not given stands for."""
    return Parameter(name, Kind.SERIES, default, doc=doc)


def group(name: str = "group", doc: str = "") -> Parameter:
    return Parameter(name, Kind.GROUP, doc=doc)


def window(name: str = "d", minimum: int = 1, default: Any = _REQUIRED) -> Parameter:
    return Parameter(name, Kind.WINDOW, default, minimum, MAX_WINDOW, doc="days, today included")


def lag(name: str = "d", default: Any = _REQUIRED) -> Parameter:
    return Parameter(name, Kind.WINDOW, default, 1, MAX_WINDOW, doc="market days back")


def number(
    name: str,
    default: Any = _REQUIRED,
    minimum: float | None = None,
    maximum: float | None = None,
    doc: str = "",
) -> Parameter:
    return Parameter(name, Kind.NUMBER, default, minimum, maximum, doc=doc)


def count(name: str = "n", default: Any = _REQUIRED, minimum: int = 1, doc: str = "") -> Parameter:
    return Parameter(name, Kind.COUNT, default, minimum, MAX_WINDOW, doc=doc)


def flag(name: str, default: bool = False, doc: str = "") -> Parameter:
    return Parameter(name, Kind.FLAG, default, doc=doc)


def text(name: str, default: str = "", doc: str = "") -> Parameter:
    """A text in quotes; only operators of a dialect have one."""
    return Parameter(name, Kind.TEXT, default, doc=doc)


def choice(name: str, *choices: str, doc: str = "") -> Parameter:
    """One of a few words, the first by default."""
    return Parameter(name, Kind.CHOICE, choices[0], doc=doc or f"one of {', '.join(choices)}", choices=choices)


MIN_PERIODS = Parameter(
    "min_periods",
    Kind.WINDOW,
    None,
    1,
    MAX_WINDOW,
    keyword_only=True,
    doc="present days that suffice (default: all of the window)",
)


@dataclass(frozen=True)
class Algebra:
    """Laws as data: rules query them, one property test proves each on values, bit for bit."""

    commutative: bool = False  # f(a, b) = f(b, a)
    odd: bool = False  # f(-x) = -f(x), for the first operand
    even: bool = False  # f(-x) = f(x)
    idempotent: bool = False  # f(f(x)) = f(x)
    residual: bool = False  # f(y, x) is uncorrelated with x across the symbols of a date
    increasing: bool = False  # x < y implies f(x) <= f(y): cross-sectional order is kept
    strictly_increasing: bool = False  # x < y implies f(x) < f(y) beyond rounding, and neither is missing
    of_order: bool = False  # f(x) follows from the order of x alone
    neutral: float | None = None  # f(x, neutral) = x, but for the rounding of a power


@dataclass(frozen=True)
class OpSpec:
    """Everything about one operator.

    Attributes:
        name: canonical, upper case. aliases: other systems' names, matched without regard to case.
        family: the access pattern.
        parameters: operands first, then static parameters; a windowed operator ends with MIN_PERIODS.
        doc: the definition, one or two sentences. example: a valid expression that uses it. source: where from.
        lookback: rows before today that the operator itself needs, from its static parameters by name.
        missing: how missing values are treated, in words.
        polars: lowering `(ctx, *operands, *params) -> Expr`.
        kernel: where its numba kernel is; exactly one of kernel and lower is given.
        lower: rewrite into other operators, `(*operands, *params) -> Node`; both back ends then share it.
        evaluate: value on constant operands for operators of constants alone (element family), used by folding.
        symbol, precedence: infix form, where it has one. notes: how other systems differ.
        boolean: the result is 1, 0 or missing.
        gives_group: the result is a group code, whole numbers from 0: it may stand where a group is asked for.
        ordered: pairs of static parameters of which the first is at most the second, where both are given.
        no_min_periods: why an operator with a window takes no `min_periods`.
        unit: how the result is measured, or a function from the static parameters by name to that. None: as what it is
            lowered into; with a kernel, true or false where `boolean`, else unknown, which goes with any unit.
        usage: in how many formulas of published sets of alphas it stands: of the 101 of Kakushadze (2016) and a fifth
            of Qlib's 158 (each of which comes in five windows); 14 at most, so that the commonest do not crowd out the
            rest. Random expressions draw it the more often.
        conditioning: beside what an error of the result is rounding, or a function from the static parameters by name
            to that. None: the result itself, across symbols the largest result of the date.
        internal: for the engine and for reading other systems' formulas; no proposal may use it.
    """

    name: str
    family: Family
    parameters: tuple[Parameter, ...]
    doc: str
    example: str
    source: str
    missing: str = ""
    aliases: tuple[str, ...] = ()
    lookback: Callable[[Mapping[str, Any]], int] | None = None
    algebra: Algebra = field(default_factory=Algebra)
    polars: PolarsLowering | None = None
    kernel: str | None = None
    lower: Callable[..., Node] | None = None
    evaluate: Callable[..., float] | None = None
    symbol: str | None = None
    precedence: int = 0
    notes: str = ""
    boolean: bool = False
    gives_group: bool = False
    ordered: tuple[tuple[str, str], ...] = ()
    no_min_periods: str = ""
    unit: UnitRule | Callable[[Mapping[str, Any]], UnitRule] | None = None
    usage: int = 0
    conditioning: Conditioning | Callable[[Mapping[str, Any]], Conditioning] | None = None
    internal: bool = False

    @functools.cached_property
    def operands(self) -> tuple[Parameter, ...]:
        return tuple(p for p in self.parameters if p.kind.is_operand)

    @functools.cached_property
    def statics(self) -> tuple[Parameter, ...]:
        return tuple(p for p in self.parameters if not p.kind.is_operand)

    @functools.cached_property
    def windowed(self) -> bool:
        """Takes `min_periods`."""
        return MIN_PERIODS in self.parameters

    @property
    def signature(self) -> str:
        """`TS_MEAN(x, d, min_periods=None)`."""
        parts = [p.name if p.required else f"{p.name}={p.shown_default}" for p in self.parameters]
        return f"{self.name}({', '.join(parts)})"

    def named(self, params: tuple[Param, ...]) -> dict[str, Any]:
        """Static parameters by name."""
        return {p.name: v for p, v in zip(self.statics, params, strict=True)}

    def own_lookback(self, params: tuple[Param, ...]) -> int:
        return self.lookback(self.named(params)) if self.lookback else 0

    def own_unit(self, params: tuple[Param, ...]) -> UnitRule | None:
        """How the result is measured; None where the operator does not say."""
        return self.unit(self.named(params)) if callable(self.unit) else self.unit

    def own_conditioning(self, params: tuple[Param, ...]) -> Conditioning:
        """Beside what an error of the result is rounding."""
        if self.conditioning is None:
            across = self.family in (Family.CROSS_SECTION, Family.GROUP)
            return Conditioning.LARGEST_RESULT if across else Conditioning.RESULT
        return self.conditioning(self.named(params)) if callable(self.conditioning) else self.conditioning

    @functools.cached_property
    def _order(self) -> tuple[tuple[str, str], ...]:
        within = self.windowed and any(p.name == "d" for p in self.statics)
        return (*self.ordered, ("min_periods", "d")) if within else self.ordered

    def out_of_order(self, named: Mapping[str, Any]) -> tuple[str, str] | None:
        """Two static parameters of which the first is larger than the second, though it may not be."""
        for low, high in self._order:
            if named[low] is not None and named[high] is not None and named[low] > named[high]:
                return low, high
        return None

    def __post_init__(self) -> None:
        def bad(why: str) -> ValueError:
            return ValueError(f"operator {self.name}: {why}")

        if not _NAME.match(self.name):
            raise bad("the canonical name must be upper case letters, digits and underscores")
        for text, label in ((self.doc, "doc"), (self.example, "example"), (self.source, "source")):
            if not text.strip():
                raise bad(f"it needs a {label}")
        kinds = [p.kind.is_operand for p in self.parameters]
        if not any(kinds):
            raise bad("it takes no operand")
        if kinds != sorted(kinds, reverse=True):
            raise bad("operands must come before static parameters")
        if len({p.name for p in self.parameters}) != len(self.parameters):
            raise bad("two parameters share a name")
        if (self.kernel is None) == (self.lower is None):
            raise bad("give a kernel or a lowering into other operators, one of the two")
        if self.kernel is not None and self.polars is None:
            raise bad("an operator with a kernel needs a Polars lowering (ctx.kernel is one)")
        if self.kernel is not None:
            if not _KERNEL.match(self.kernel):
                raise bad(f"its kernel is named family.function or package.module:function, not {self.kernel!r}")
            for p in self.statics:
                if p.default is None and p is not MIN_PERIODS:
                    raise bad(f"a kernel takes numbers, and {p.name} is none by default")
            if self.windowed and not any(p.name == "d" and p.kind is Kind.WINDOW for p in self.statics):
                raise bad("the window that min_periods counts days of is called d")
        for p in self.parameters:
            if p.kind is Kind.CHOICE and (p.default not in p.choices or any(c != c.casefold() for c in p.choices)):
                raise bad(f"{p.name} needs lower-case choices and one of them as default")
        if self.kernel is not None and any(p.kind in (Kind.CHOICE, Kind.TEXT) for p in self.parameters):
            raise bad("a kernel takes numbers only: lower each choice into an operator of its own")
        if self.family is Family.TIME_SERIES and self.lookback is None:
            raise bad("a time-series operator declares its lookback")
        if self.algebra.commutative and len(self.operands) != 2:
            raise bad("commutative means two operands")
        if self.windowed and self.parameters[-1] is not MIN_PERIODS:
            raise bad("min_periods comes last")
        if self.windowed and self.no_min_periods:
            raise bad("it takes min_periods, and says why it does not")
        statics = {p.name for p in self.statics}
        if any(name not in statics for pair in self.ordered for name in pair):
            raise bad("only static parameters are ordered")
        if isinstance(self.unit, UnitRule):
            if len(self.operands) < self.unit.operands:
                raise bad(f"the unit rule {self.unit.word} is of {self.unit.operands} operands")
            if self.unit.of_a_static_parameter and not self.statics:
                raise bad(f"the unit rule {self.unit.word} is of a static parameter")
        if self.usage < 0:
            raise bad("usage is a count")
        if self.name not in self.example.upper() and (self.symbol is None or self.symbol not in self.example):
            raise bad("its example does not use it")
