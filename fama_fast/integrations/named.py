"""Several alphas with the names that their columns shall have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from fama_fast.engine import Alpha, compile, compile_recorded
from fama_fast.errors import ConfigError, ExpressionError

Alphas = str | Alpha | Mapping[str, str | Alpha] | Iterable[str | Alpha]
"""`{name: expression}`, or expressions that are named by their own text."""


def named_alphas(
    alphas: Alphas, *, dialect: str = "fama", columns: Callable[[], Iterable[str]] | None = None
) -> dict[str, Alpha]:
    """Compiled alphas by name, in order.

    Args:
        columns: names the columns of the data that they are for. It is asked only where a name looks like a slip of a
            standard one: of data with a column `vol` it is none.

    Raises:
        ConfigError: there is none, or two have one name. ExpressionError: as `compile`.
    """
    pairs: list[tuple[str, str | Alpha]]
    if isinstance(alphas, str | Alpha):
        pairs = [(str(alphas), alphas)]
    elif isinstance(alphas, Mapping):
        pairs = list(alphas.items())
    else:
        pairs = [(a.text if isinstance(a, Alpha) else a, a) for a in alphas]
    if not pairs:
        raise ConfigError("no alphas were given")
    named: dict[str, Alpha] = {}
    for name, alpha in pairs:
        if name in named:
            raise ConfigError(f"two alphas are called {name!r}: give them names, {{name: expression}}")
        named[name] = alpha if isinstance(alpha, Alpha) else _compiled(alpha, dialect, columns)
    return named


def _compiled(text: str, dialect: str, columns: Callable[[], Iterable[str]] | None) -> Alpha:
    try:
        return compile(text, dialect=dialect)
    except ExpressionError:
        if columns is None:
            raise
        with suppress(ExpressionError):
            alpha = compile_recorded(text, dialect=dialect)
            if {c.upper() for c in columns()}.issuperset((*alpha.required_fields, *alpha.groups)):
                return alpha
        raise
