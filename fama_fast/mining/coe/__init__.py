"""Chain-of-Experience: chains of ever better factors through the library, and a log of failed candidates."""

from fama_fast.mining.coe.book import ChainBook, ChainEvent, Match, Outcome
from fama_fast.mining.coe.chain import Chain
from fama_fast.mining.coe.failures import Failure, FailureLog, Pattern
from fama_fast.mining.coe.path import improvement_path, parents_of

__all__ = [
    "Chain",
    "ChainBook",
    "ChainEvent",
    "Failure",
    "FailureLog",
    "Match",
    "Outcome",
    "Pattern",
    "improvement_path",
    "parents_of",
]
