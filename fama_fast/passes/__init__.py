"""Rewrites of checked nodes that keep their values. They know operators through the registry and no data."""

from fama_fast.passes.across import comparing_operator
from fama_fast.passes.fold_constants import fold_constants
from fama_fast.passes.identity import identity
from fama_fast.passes.lookback import lookback
from fama_fast.passes.lower import lower
from fama_fast.passes.normalise import normalise
from fama_fast.passes.pipeline import PIPELINE, canonicalise, oriented, share
from fama_fast.passes.price_level import depends_on_level, level_of
from fama_fast.passes.ranking import ranking_fingerprint, ranking_hash, without_wrappers
from fama_fast.passes.simplify import simplify
from fama_fast.passes.units import UnitError, infer_units
from fama_fast.passes.verify import InvalidNodeError, verify

__all__ = [
    "PIPELINE",
    "InvalidNodeError",
    "UnitError",
    "canonicalise",
    "comparing_operator",
    "depends_on_level",
    "fold_constants",
    "identity",
    "infer_units",
    "level_of",
    "lookback",
    "lower",
    "normalise",
    "oriented",
    "ranking_fingerprint",
    "ranking_hash",
    "share",
    "simplify",
    "verify",
    "without_wrappers",
]
