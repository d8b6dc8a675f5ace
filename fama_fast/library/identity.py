"""Makes factors from texts or alphas: the compiler gives the canonical text and the fingerprint.

The compiler decides both; this module only asks it, and is imported without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fama_fast.library.direction import turned_scores
from fama_fast.library.factor import Factor

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from fama_fast.engine import Alpha


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
    """A Factor with its identity filled in: the expression, or its negative for a sign of -1.

    `fields` and `groups` are those of the data, when it is known; without them a name that is not close to a standard
    one is taken to be a column. `scores` are those of the expression. A dialect other than `fama` is noted in the
    provenance, for without it the text cannot be read again.

    Raises:
        ExpressionError: the text is not a valid expression of the dialect. ValueError: another sign.
    """
    from fama_fast.engine import compile as compile_alpha

    origin = dict(provenance or {})
    if dialect != "fama":
        origin["dialect"] = dialect
    alpha = compile_alpha(expression, dialect=dialect, fields=fields, groups=groups)
    return factor_from_alpha(alpha, sign, scores=scores or {}, hypothesis=hypothesis, provenance=origin)


def factor_from_alpha(
    alpha: Alpha,
    sign: int,
    *,
    scores: Mapping[str, Mapping[str, float]],
    hypothesis: str = "",
    provenance: Mapping[str, Any],
) -> Factor:
    """The factor that `sign` times an alpha is; `scores` are the alpha's.

    Raises:
        ValueError: a sign that is neither 1 nor -1.
    """
    turned = alpha.oriented(sign)
    if sign > 0:
        own = {split: dict(metrics) for split, metrics in scores.items()}
        return Factor(alpha.text, alpha.canonical, alpha.fingerprint, own, hypothesis, dict(provenance))
    return Factor(
        turned.canonical,
        turned.canonical,
        turned.fingerprint,
        turned_scores(scores),
        hypothesis,
        # The negative is written in the package's own language, whichever the expression was in.
        {key: value for key, value in provenance.items() if key != "dialect"},
        proposed=alpha.canonical,
    )
