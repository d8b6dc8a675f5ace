"""Directions: what one prompt is to look for, so that no two prompts of a run ask the same.

A theme (what moves the price), a horizon (how many days) and a form (how the idea is built) all change from one prompt
to the next, and every combination comes once before one comes again. A theme that needs a field the data lack is left
out; every field of the data beyond prices and volume is a theme of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.proposals.protocol import Vocabulary

# What a theme is about, and the fields that it takes.
_THEMES: tuple[tuple[str, frozenset[str]], ...] = (
    ("reversal: prices that went too far come back", frozenset({"CLOSE"})),
    ("volume: what unusual trading says of the next days", frozenset({"VOLUME"})),
    ("range: where the price stands between high and low, and how wide they lie", frozenset({"HIGH", "LOW"})),
    ("risk: how much returns vary, and whether that changes", frozenset({"CLOSE"})),
    ("overnight and intraday: the open against the closes around it", frozenset({"OPEN", "CLOSE"})),
    ("price and volume together: whether they move with or against each other", frozenset({"CLOSE", "VOLUME"})),
    ("momentum: what went up for long goes on", frozenset({"CLOSE"})),
    ("liquidity: how far the price moves for what is traded", frozenset({"CLOSE", "VOLUME"})),
    ("skewness and extremes: the best and the worst days of a window", frozenset({"CLOSE"})),
    ("anchors: the distance from the highest or lowest price of a window", frozenset({"CLOSE", "HIGH"})),
    ("persistence: how steady a move was, its fit to a line, its autocorrelation", frozenset({"CLOSE"})),
    ("closing pressure: the close against the mean price of the day", frozenset({"CLOSE", "HIGH", "LOW"})),
    ("regime: an effect that holds on some days and not on others", frozenset({"CLOSE"})),
)
_HORIZONS = (
    "over 1 to 5 days",
    "over 10 to 20 days",
    "over 40 to 120 days",
    "a short window against a long one",
    "one window within another",
)
_FORMS = (
    "alone, in its simplest form",
    "as the change of it",
    "scaled by its own variation",
    "as an interaction of two ranks",
    "under a condition",
    "as its surprise against its own past",
    "smoothed, with recent days weighing more",
)
_GROUPED = "relative to its group ({groups})"
_STANDARD = frozenset({"OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "VWAP", "RET", "RETURNS"})


def direction(number: int, vocabulary: Vocabulary, own_themes: Sequence[str] = ()) -> str:
    """The direction of the prompt with this number, a sentence; it repeats after as many as there are combinations.

    Args:
        number: of the prompt in the run, from 0. vocabulary: fields and groups of the data. own_themes: of the user, in
            place of those here.
    """
    fields = {f.upper() for f in vocabulary.fields}
    own = [f for f in vocabulary.fields if f.upper() not in _STANDARD]
    themes = [text for text, needed in _THEMES if needed <= fields]
    themes += [f"{name}: what this field of the data knows that prices do not" for name in own]
    if own_themes:
        themes = [" ".join(text.split()).rstrip(" .;") for text in own_themes]
    if not themes:
        themes = ["the fields of the data, and what they know of the next days"]
    forms = list(_FORMS)
    if vocabulary.groups:
        forms.append(_GROUPED.format(groups=", ".join(vocabulary.groups[:3])))
    at, turn = number % len(themes), number // len(themes)
    form = forms[(turn + at) % len(forms)]
    horizon = _HORIZONS[(turn // len(forms) + turn % len(forms) + at) % len(_HORIZONS)]
    return f"{themes[at]}; {horizon}; {form}"
