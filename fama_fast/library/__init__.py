"""Stored factors: the set with its YAML form, the cache on disk, seed alphas and the published libraries.

It knows how factors are identified and stored, and nothing of how they are mined.
"""

from fama_fast.library.alpha101 import Alpha101Facts, alpha101, alpha101_facts
from fama_fast.library.alpha158 import alpha158
from fama_fast.library.alpha360 import alpha360
from fama_fast.library.cache import FactorCache
from fama_fast.library.factor import Factor
from fama_fast.library.factor_set import FactorSet
from fama_fast.library.gtja191 import gtja191
from fama_fast.library.identity import make_factor
from fama_fast.library.seeds import list_seed_alphas, seed_factors

__all__ = [
    "Alpha101Facts",
    "Factor",
    "FactorCache",
    "FactorSet",
    "alpha101",
    "alpha101_facts",
    "alpha158",
    "alpha360",
    "gtja191",
    "list_seed_alphas",
    "make_factor",
    "seed_factors",
]
