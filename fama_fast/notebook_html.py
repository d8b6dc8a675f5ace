"""Small pieces of HTML for notebooks: a card with facts, a table, a line chart as inline SVG.

Everything is escaped, takes the notebook's own colours (light or dark), runs no script and loads nothing from the
network. It imports nothing of the package.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_WIDTH, _HEIGHT = 360, 60
_MOST_POINTS = 720  # of a line: two a pixel
_BOX = "border:1px solid rgba(128,128,128,.4);border-radius:4px;padding:8px 12px;max-width:900px;overflow-x:auto"
_CELL = "padding:1px 10px 1px 0;vertical-align:top;border:0"
_TABLE = "border-collapse:collapse;border:0;font-size:inherit"
_FAINT = "opacity:.7"
_COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5")


def card(title: str, facts: Mapping[str, Any], *parts: str, lead: str = "") -> str:
    """A box with a title, a line for each fact (None is left out), and parts that are HTML already.

    Args:
        lead: a part that comes before the facts.
    """
    shown = {name: value for name, value in facts.items() if value is not None}
    lines = "".join(
        f'<tr style="background:none"><td style="{_CELL};{_FAINT};text-align:left">{escape(name)}</td>'
        f'<td style="{_CELL};text-align:left">{escape(str(value))}</td></tr>'
        for name, value in shown.items()
    )
    return (
        f'<div style="{_BOX}"><div><strong>{escape(title)}</strong></div>{lead}'
        f'<table style="{_TABLE}">{lines}</table>{"".join(parts)}</div>'
    )


def code(text: str) -> str:
    """A formula, which may wrap."""
    return f'<div style="margin:4px 0"><code style="white-space:pre-wrap">{escape(text)}</code></div>'


def notes(sentences: Iterable[str], most: int = 5) -> str:
    """Sentences one below the other; of many the first ones and how many more."""
    have = list(sentences)
    more = [f"and {len(have) - most} more"] if len(have) > most else []
    return "".join(f'<div style="{_FAINT}">{escape(said)}</div>' for said in [*have[:most], *more])


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], *, texts: int = 1, more: int = 0) -> str:
    """A table of cells that are text already.

    Args:
        texts: the first columns, which hold text and start at the left; others end at the right. more: rows that are
            not shown, counted below.
    """
    align = ["left" if i < texts else "right" for i in range(len(head))]

    def line(cells: Sequence[Any], tag: str) -> str:
        inside = "".join(
            f'<{tag} style="{_CELL};text-align:{side}">{escape(str(cell))}</{tag}>'
            for cell, side in zip(cells, align, strict=True)
        )
        return f'<tr style="background:none">{inside}</tr>'

    body = "".join(line(row, "td") for row in rows)
    below = f'<div style="{_FAINT}">and {more:,} more</div>' if more > 0 else ""
    return (
        f'<table style="{_TABLE};margin-top:6px;font-variant-numeric:tabular-nums">'
        f"<thead>{line(head, 'th')}</thead><tbody>{body}</tbody></table>{below}"
    )


def lines(series: Mapping[str, Sequence[float]], caption: str) -> str:
    """A small chart of one or more lines over the same steps; a missing value is a gap. Empty without a finite value.

    Args:
        series: values by name; several are named below the chart. caption: what is seen, below it and for readers that
            do not see it.
    """
    kept = {name: _thinned(values) for name, values in list(series.items())[: len(_COLOURS)]}
    known = [v for values in kept.values() for _, v in values if math.isfinite(v)]
    if not known:
        return ""
    low, high = min(known), max(known)
    reach = (high - low) or 1.0
    steps = max(max((at for at, _ in values), default=0) for values in kept.values()) or 1
    paths = []
    for colour, values in zip(_COLOURS, kept.values(), strict=False):
        d, pen = [], "M"
        for at, v in values:
            if not math.isfinite(v):
                pen = "M"
                continue
            y = _HEIGHT - 3 - (_HEIGHT - 6) * (v - low) / reach
            d.append(f"{pen}{1 + (_WIDTH - 2) * at / steps:.1f} {y:.1f}")
            pen = "L"
        paths.append(f'<path d="{"".join(d)}" fill="none" stroke="{colour}" stroke-width="1.3"/>')
    names = ""
    if len(kept) > 1:
        names = "".join(
            f'<span style="color:{c}">&#9632;</span> {escape(n[:60])} &nbsp; '
            for c, n in zip(_COLOURS, kept, strict=False)
        )
    scale = f"{caption} ({low:,.4g} to {high:,.4g})"
    return (
        f'<div style="margin-top:6px"><svg role="img" aria-label="{escape(scale)}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" style="max-width:100%">{"".join(paths)}</svg>'
        f'<div style="{_FAINT}">{escape(scale)}</div><div>{names}</div></div>'
    )


def _thinned(values: Sequence[float]) -> list[tuple[int, float]]:
    """Places and values of at most `_MOST_POINTS` of them, the last one among them."""
    count = len(values)
    step = max(1, -(-count // _MOST_POINTS))
    places = [*range(0, count, step)]
    if count and places[-1] != count - 1:
        places.append(count - 1)
    return [(at, float(values[at])) for at in places]
