"""The combined signal of a run on new dates: what its pool says of each symbol, what to hold by it, and how it does."""

from fama_fast.signal.monitor import Monitor, monitor
from fama_fast.signal.pool import SignalPool
from fama_fast.signal.positions import Positions, positions
from fama_fast.signal.refit import refitted
from fama_fast.signal.stream import SignalStream

__all__ = ["Monitor", "Positions", "SignalPool", "SignalStream", "monitor", "positions", "refitted"]
