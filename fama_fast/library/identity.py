"""Who a factor is: its canonical text and fingerprint, from the text as proposed.

The compiler decides both; this module only asks it, and is imported without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fama_fast.library.factor import Factor

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


def identify(
    expression: str,
    *,
    dialect: str = "fama",
    fields: Collection[str] | None = None,
    groups: Collection[str] | None = None,
    recorded: bool = False,
) -> tuple[str, str]:
    """Canonical text and fingerprint (hex) of an expression.

    `fields` and `groups` are those of the data, when it is known; without them a name that is not close to a
    standard one is taken to be a column, and any name of a text that was `recorded`, for a stored factor outlives the
    panel it was found on.

    Raises:
        ExpressionError: the text is not a valid expression of the dialect.
    """
    from fama_fast.engine import compile as compile_alpha
    from fama_fast.engine import compile_recorded

    read = compile_recorded if recorded else compile_alpha
    alpha = read(expression, dialect=dialect, fields=fields, groups=groups)
    return alpha.canonical, alpha.fingerprint


def make_factor(
    expression: str,
    *,
    dialect: str = "fama",
    fields: Collection[str] | None = None,
    groups: Collection[str] | None = None,
    sign: int = 1,
    scores: Mapping[str, Mapping[str, float]] | None = None,
    hypothesis: str = "",
    provenance: Mapping[str, Any] | None = None,
) -> Factor:
    """A Factor with its identity filled in.

    `fields` and `groups` as in `identify`. A dialect other than `fama` is noted in the provenance, for
    without it the text cannot be read again.

    Raises:
        ExpressionError: the text is not a valid expression of the dialect.
    """
    canonical, fingerprint = identify(expression, dialect=dialect, fields=fields, groups=groups)
    origin = dict(provenance or {})
    if dialect != "fama":
        origin["dialect"] = dialect
    return Factor(
        expression,
        canonical,
        fingerprint,
        sign=sign,
        scores={split: dict(metrics) for split, metrics in (scores or {}).items()},
        hypothesis=hypothesis,
        provenance=origin,
    )
