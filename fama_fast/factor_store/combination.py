"""A combined signal as a store keeps it: formulas, and their weights with the dates that these are for."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.types import FloatArray


@dataclass(frozen=True)
class Fit:
    """Weights of K formulas, and from when on they are used.

    Attributes:
        since: the first date whose signal they make, microseconds since 1970; None: every date before the next fit.
        taught: what they were fitted on, in words. weights: (K,), of centred ranks.
    """

    since: int | None
    taught: str
    weights: tuple[float, ...]


@dataclass(frozen=True)
class Combination:
    """A sum of weighted ranks of formulas.

    Attributes:
        run, pool: where it comes from. forms: (text, sign) of K formulas, in the order in which they are added up.
        fits: in order of their dates; the first has none.
    """

    run: str
    pool: str
    forms: tuple[tuple[str, Literal[1, -1]], ...]
    fits: tuple[Fit, ...]

    @property
    def fingerprint(self) -> str:
        """Identity, 32 hex digits: of all but the later fits, which may grow."""
        text = json.dumps([self.run, self.pool, self.forms, asdict(self.fits[0])])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    @property
    def text(self) -> str:
        """What it is, for people."""
        return f"combined signal of run {self.run}: {self.pool}, {len(self.forms):,} formulas"


def weights_at(fits: Sequence[Fit], dates: Any) -> FloatArray:
    """(K, T) the weights of each date (T,)."""
    moments = np.asarray(dates).astype("datetime64[us]").astype(np.int64)
    begins = np.array([fit.since for fit in fits[1:]], dtype=np.int64)
    table = np.array([fit.weights for fit in fits], dtype=np.float64).reshape(len(fits), -1)
    return np.ascontiguousarray(table[np.searchsorted(begins, moments, side="right")].T)
