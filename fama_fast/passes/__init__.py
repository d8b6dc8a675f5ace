"""Rewrites of checked nodes that keep their values. They know operators through the registry and no data."""

from fama_fast.passes.fold_constants import fold_constants
from fama_fast.passes.lookback import lookback
from fama_fast.passes.lower import lower
from fama_fast.passes.normalise import normalise
from fama_fast.passes.pipeline import PIPELINE, canonicalise, share
from fama_fast.passes.simplify import simplify
from fama_fast.passes.verify import InvalidNodeError, verify

__all__ = [
    "PIPELINE",
    "InvalidNodeError",
    "canonicalise",
    "fold_constants",
    "lookback",
    "lower",
    "normalise",
    "share",
    "simplify",
    "verify",
]
