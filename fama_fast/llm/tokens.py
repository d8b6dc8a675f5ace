"""Estimates how many tokens a text is, without the model's own tokeniser.

Calibrated with SmolLM2's tokeniser (49,152 tokens, digits one by one): .95 to 1.06 of its counts on prose, cards and
answers, .9 on bare formulas (docs/decisions/047-system-message.md). Larger vocabularies need fewer.
"""

from __future__ import annotations

import re

_PIECE = re.compile(r"[A-Z]{2,}|[A-Z]?[a-z]+|[A-Z]|\d|\n+| {2,}|[^\sA-Za-z\d]")
_CAPITALS, _LETTERS = 3, 9  # letters of one token


def tokens_of(text: str) -> int:
    """About how many tokens `text` is."""
    total = 0
    for match in _PIECE.finditer(text):
        piece = match[0]
        if len(piece) == 1 or not piece.isalpha():
            total += 1
        else:
            total += -(-len(piece) // (_CAPITALS if piece.isupper() else _LETTERS))
    return total
