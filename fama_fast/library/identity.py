"""Who a factor is: its canonical text and fingerprint, from the text as proposed.

The compiler decides both; this module only asks it, and is imported without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fama_fast.library.factor import Factor

if TYPE_CHECKING:
    from collections.abc import Mapping


def identify(expression: str, *, dialect: str = "fama") -> tuple[str, str]:
    """Canonical text and fingerprint (hex) of an expression.

    Fields and groups are not checked against any data: a stored factor outlives the panel it was found on.

    Raises:
        ExpressionError: the text is not a valid expression of the dialect.
    """
    from fama_fast.engine import compile as compile_alpha

    alpha = compile_alpha(expression, dialect=dialect)
    return alpha.canonical, alpha.fingerprint


def make_factor(
    expression: str,
    *,
    dialect: str = "fama",
    sign: int = 1,
    scores: Mapping[str, Mapping[str, float]] | None = None,
    hypothesis: str = "",
    provenance: Mapping[str, Any] | None = None,
) -> Factor:
    """A Factor with its identity filled in.

    A dialect other than `fama` is noted in the provenance, for without it the text cannot be read again.

    Raises:
        ExpressionError: the text is not a valid expression of the dialect.
    """
    canonical, fingerprint = identify(expression, dialect=dialect)
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
