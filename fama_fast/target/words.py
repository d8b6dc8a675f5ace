"""What a target predicts, in words for reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.data.labels import Sessions
from fama_fast.target.tradable import A_SHARE, is_preset

if TYPE_CHECKING:
    from fama_fast.target.target import Target


def in_words(target: Target) -> str:
    """What is predicted, step by step, in the order in which labels are made: one line without a full stop."""
    parts = [_returns(target)]
    if target.tradable is not None:
        preset = is_preset(target.tradable)
        parts.append(f"only of bars that can be entered ({A_SHARE if preset else target.tradable})")
    if target.winsorize is not None:
        parts.append(f"held within each date's outer {100 * target.winsorize:g}%")
    if target.beta is not None:
        parts.append(f"less beta over {target.beta} days times the date's mean")
    if target.neutralize:
        parts.append(f"neutral to {', '.join(target.neutralize)}")
    return "; ".join(parts)


def _returns(target: Target) -> str:
    if target.returns is not None:
        return target.returns
    if target.column is not None:
        return f"column {target.column}, which looks {_rows(target.reach or 1)} ahead"
    keys = [str(key) if isinstance(key, Sessions) else _rows(key) for key in target.keys]
    held = keys[0] if len(keys) == 1 else f"{', '.join(keys[:-1])} and {keys[-1]}"
    entered = "entered at the same close" if not target.entry else f"entered {_rows(target.entry)} later"
    return f"the close's return over {held}, {entered}"


def _rows(count: int) -> str:
    return f"{count} row{'' if count == 1 else 's'}"
