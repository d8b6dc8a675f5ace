"""How a panel shows itself in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fama_fast import notebook_html as html
from fama_fast.errors import listed
from fama_fast.number_text import decimal
from fama_fast.panel.presence import trading

if TYPE_CHECKING:
    from fama_fast.panel.presence import DensePanel

_CELLS = 2_000_000  # of a field that its figures are made of
_FIELDS = 40


def panel_card(panel: DensePanel) -> str:
    """HTML: what the panel holds, how many symbols each date has, and figures of each field."""
    t, n = panel.shape
    step = max(1, -(-t * n // _CELLS))
    groups = [f"{name} ({len(panel.group(name).labels):,})" for name in panel.groups]
    members = None if panel.universe is None else f"{panel.universe.sum(axis=1).mean():,.0f} members a date"
    facts = {
        "dates": f"{t:,}, {panel.dates[0]} to {panel.dates[-1]}",
        "symbols": f"{n:,}: {listed(panel.symbols.tolist(), 5)}",
        "groups": ", ".join(groups) or None,
        "universe": members,
        "source": panel.source + (f" ({panel.layout})" if panel.layout else ""),
        "type": None if panel.dtype == np.float64 else str(panel.dtype),
    }
    rows = []
    for name in panel.supplied_fields[:_FIELDS]:
        values = panel[name][::step]
        known = values[np.isfinite(values)]
        middle, low, high = (np.median(known), known.min(), known.max()) if known.size else (np.nan,) * 3
        share = known.size / values.size
        rows.append([name, f"{share:.1%}", *(_short(float(v)) for v in (middle, low, high))])
    derived = [name for name in panel.fields if name not in panel.supplied_fields]
    rows += [[name, "derived", "", "", ""] for name in derived]
    head = ["field", "has a value", "median", "lowest", "highest"]
    some = [f"figures of every {step}th date"] if step > 1 else []
    return html.card(
        "Panel",
        facts,
        html.table(head, rows, more=len(panel.supplied_fields) - _FIELDS),
        html.lines({"symbols": trading(panel).sum(axis=1).tolist()}, "symbols in the data, by date"),
        html.notes([*some, *panel.warnings]),
    )


def _short(value: float) -> str:
    if value and (abs(value) < 0.01 or abs(value) >= 1e9):
        return f"{value:.4g}"
    return decimal(value, 0 if abs(value) >= 10_000 else 2)
