"""The arguments of a target, read and checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fama_fast.arguments import real, shown, whole
from fama_fast.data.labels import Sessions, read_horizon
from fama_fast.errors import ConfigError

BETA_DAYS = 60


def read_text(value: Any, name: str) -> str | None:
    """A text, or None.

    Raises:
        ConfigError: something else, or an empty one.
    """
    if value is not None and (not isinstance(value, str) or not value.strip()):
        raise ConfigError(f"the target's {name} must be text, not {shown(value)}")
    return value


def read_texts(value: Any, name: str) -> tuple[str, ...]:
    """Different texts, of a list of them or one.

    Raises:
        ConfigError: something else.
    """
    many = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(many, Sequence) or not all(isinstance(v, str) and v.strip() for v in many):
        raise ConfigError(f"{name} must be a list of group names and expressions, not {shown(value)}")
    return tuple(dict.fromkeys(v.strip() for v in many))


def read_horizons(value: Any) -> tuple[int | Sessions, ...] | None:
    """Different horizons, of a list of them or one; None of None.

    Raises:
        ConfigError: something else.
    """
    if value is None:
        return None
    many: Any = [value] if isinstance(value, str | int | np.integer | Sessions) else value
    if not isinstance(many, Sequence) or not len(many):
        raise ConfigError(f"horizons must be a list of rows or sessions, such as [1, 5], not {shown(value)}")
    return tuple(dict.fromkeys(read_horizon(h) for h in many))


def read_beta(value: Any) -> int | None:
    """Days of a beta, `BETA_DAYS` of True; None of None and False.

    Raises:
        ConfigError: something else.
    """
    if value is None or value is False:
        return None
    return BETA_DAYS if value is True else whole(value, "beta", 3, 5000)


def read_winsorize(value: Any) -> float | None:
    """A share of labels at either end, None of None.

    Raises:
        ConfigError: not above 0 and below a half.
    """
    if value is None:
        return None
    share = real(value, "winsorize")
    if not 0.0 < share < 0.5:
        raise ConfigError(f"winsorize is the share of labels at either end, above 0 and below 0.5, not {shown(value)}")
    return share
