"""Random checked expressions from the registry, and golden files, for the tests of language and passes."""

from __future__ import annotations

from hypothesis import strategies as st

from fama_fast.ir import Node, const, field, group
from fama_fast.ops import OpSpec, Parameter, build, specs
from fama_fast.types import STANDARD_GROUPS, Kind
from tests.support.paths import GOLDEN

FIELDS = ("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "RET", "VWAP", "CAP", "ADV20")
NUMBERS = st.one_of(
    st.sampled_from([0.0, 1.0, -1.0, 2.0, 5.0, 0.5, -0.1, 1e-5, 1e22, float("nan")]),
    st.floats(allow_nan=False, allow_infinity=False),
)
LEAVES = st.one_of(st.sampled_from(FIELDS).map(field), NUMBERS.map(const))


def cases(name: str) -> list[tuple[str, str]]:
    """`before => after` lines of a golden file."""
    lines = (GOLDEN / name).read_text(encoding="utf-8").splitlines()
    split = (line.split(" => ") for line in lines if line and not line.startswith("#"))
    return [(before, after) for before, after in split]


def _static(p: Parameter) -> st.SearchStrategy[object]:
    if p.kind is Kind.FLAG:
        return st.booleans()
    if p.kind is Kind.CHOICE:
        return st.sampled_from(p.choices)
    if p.kind in (Kind.WINDOW, Kind.COUNT):
        least = int(1 if p.minimum is None else p.minimum)
        return st.integers(least, int(min(least + 20, p.maximum or least + 20)))
    return st.floats(p.minimum, p.maximum, allow_nan=False, allow_infinity=False)


@st.composite
def _operation(draw: st.DrawFn, operands: st.SearchStrategy[Node], allowed: list[OpSpec]) -> Node:
    spec = draw(st.sampled_from(allowed))
    given: dict[str, object] = {}
    for p in spec.parameters:
        if p.kind is Kind.SERIES:
            given[p.name] = draw(operands)
        elif p.kind is Kind.GROUP:
            made = st.builds(lambda x, n: build("CS_BUCKET", x, n), operands, st.integers(2, 20))
            given[p.name] = draw(st.one_of(st.sampled_from(STANDARD_GROUPS).map(group), made))
        elif p.name == "min_periods":
            d = given.get("d")
            if isinstance(d, int) and draw(st.booleans()):
                given[p.name] = draw(st.integers(1, d))
        elif p.required or draw(st.booleans()):
            given[p.name] = draw(_static(p))
    wrong = spec.out_of_order({p.name: given.get(p.name, p.default) for p in spec.statics})
    if wrong is not None:
        low, high = wrong
        given[low] = given[high] = given.get(low, given.get(high))
    return build(spec.name, **given)


def nodes(max_leaves: int = 12, allowed: list[OpSpec] | None = None) -> st.SearchStrategy[Node]:
    """Nodes made by `ops.build` over all operators (or those allowed), standard fields and any constant."""
    table = list(specs()) if allowed is None else allowed
    return st.recursive(LEAVES, lambda inner: _operation(inner, table), max_leaves=max_leaves)
