"""The combined signal of a run on new dates: what its pool says of each symbol, and what to hold by it."""

from fama_fast.signal.pool import SignalPool
from fama_fast.signal.positions import Positions, positions

__all__ = ["Positions", "SignalPool", "positions"]
