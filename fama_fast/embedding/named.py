"""Several alphas with the names that their columns shall have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fama_fast.engine import Alpha, compile
from fama_fast.errors import ConfigError

Alphas = str | Alpha | Mapping[str, str | Alpha] | Iterable[str | Alpha]
"""`{name: expression}`, or expressions that are named by their own text."""


def named_alphas(alphas: Alphas, *, dialect: str = "fama") -> dict[str, Alpha]:
    """Compiled alphas by name, in order.

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
        named[name] = alpha if isinstance(alpha, Alpha) else compile(alpha, dialect=dialect)
    return named
