"""Formulas in another system's language, each held against what it was written for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from fama_fast.errors import ExpressionError
from fama_fast.exporting.brain_text import BRAIN
from fama_fast.exporting.qlib_text import QLIB
from fama_fast.exporting.reading_back import Agreement, agreements, agreements_on_whole, read_back
from fama_fast.exporting.spelling import ROUNDING
from fama_fast.exporting.writing import PARTIAL, Writing, write
from fama_fast.passes import without_wrappers

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from fama_fast.engine.alpha import Alpha
    from fama_fast.exporting.spelling import Spelling
    from fama_fast.panel import Panel

Language = Literal["brain", "qlib"]
LANGUAGES: Mapping[str, Spelling] = {"brain": BRAIN, "qlib": QLIB}

Meaning = Literal["same", "order", "near", "unsaid"]
MEANINGS: Mapping[Meaning, str] = {
    "same": "the same values",
    "order": "the same order of symbols on every date, other values",
    "near": "other values, as stated",
    "unsaid": "cannot be said",
}


@dataclass(frozen=True)
class Translation:
    """One formula in another language.

    Attributes:
        name: of the factor. formula: ours, canonical and pointing upwards. text: theirs, empty where it cannot be said.
        meaning: what is the same, measured on a market without gaps: see MEANINGS. cannot: operators and fields that
            the language has no words for, "NAME: why" each. differs: where values are others, likewise. needs:
            operators beyond the base level. whole: the agreement that `meaning` rests on. on_data: that on the user's
            data, where they were given.
    """

    name: str
    formula: str
    text: str
    meaning: Meaning
    cannot: tuple[str, ...] = ()
    differs: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    whole: Agreement | None = None
    on_data: Agreement | None = None

    @property
    def said(self) -> bool:
        """There is a text."""
        return bool(self.text)


def translate(
    alphas: Sequence[Alpha],
    names: Sequence[str],
    language: Language,
    *,
    fields: Mapping[str, str] | None = None,
    data: Panel | None = None,
) -> list[Translation]:
    """Every alpha in that language, or why it has no text.

    Args:
        names: of the alphas. fields: what the other system's data call fields and groups, by our name. data: to measure
            the agreement on, besides; a derived field that they lack is written out.
    """
    spelling, own = LANGUAGES[language], dict(fields or {})
    derive = () if data is None else tuple(f for f in ("VWAP",) if f not in data.supplied_fields)
    found = [_translated(name, alpha, spelling, own, derive) for name, alpha in zip(names, alphas, strict=True)]
    read = [(at, read_back(t.text, language, own)) for at, t in enumerate(found) if t.said]
    pairs = [(alphas[at], back) for at, back in read]
    late = [any(reason.startswith(PARTIAL) for reason in found[at].differs) for at, _ in read]
    whole = agreements_on_whole(pairs, late)
    on_data = agreements(pairs, data) if data is not None and pairs else [None] * len(pairs)
    for (at, _), measured, beside in zip(read, whole, on_data, strict=True):
        found[at] = _judged(found[at], measured, beside)
    return found


def _translated(
    name: str, alpha: Alpha, spelling: Spelling, fields: Mapping[str, str], derive: Collection[str]
) -> Translation:
    if alpha.dialect == spelling.name:  # it was written in that language
        return Translation(name, str(alpha), " ".join(alpha.text.split()), "near")
    written = write(alpha.node, spelling, fields=fields, derive=derive)
    if written.cannot:
        bare = without_wrappers(alpha.node)
        inner = written if bare is alpha.node else write(bare, spelling, fields=fields, derive=derive)
        if inner.text:
            left = "; ".join(dict.fromkeys(reason.partition(":")[0] for reason in written.cannot))
            why = f"{left}: left out where it is outermost and keeps the order of symbols; rank the values of a date"
            written = replace(inner, differs=(why, *inner.differs))
    if written.text:
        try:
            read_back(written.text, spelling.name, fields)
        except ExpressionError as error:
            written = Writing("", (f"the text {written.text!r}: {spelling.name} would not read it ({error})",))
    return Translation(
        name,
        str(alpha),
        written.text,
        "near" if written.text else "unsaid",
        written.cannot,
        tuple(reason for reason in written.differs if not reason.endswith(f": {ROUNDING}")),
        written.needs,
    )


def _judged(translation: Translation, whole: Agreement, on_data: Agreement | None) -> Translation:
    """With what was measured; a text that differs where nothing was said of it is no text."""
    found = replace(translation, whole=whole, on_data=on_data)
    if whole.same:
        return replace(found, meaning="same")
    if whole.same_order and translation.differs:
        return replace(found, meaning="order")
    if translation.differs:
        return found
    measured = f"{whole.equal:.2%} of {whole.cells:,} values are equal" if whole.cells else "the formula has no values"
    why = f"the text {translation.text!r}: read back it is another formula ({measured})"
    return replace(found, text="", meaning="unsaid", cannot=(why,))
