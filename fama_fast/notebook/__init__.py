"""Mining from Python and notebooks: market data in any form in, a result that shows itself out."""

from fama_fast.notebook.mined import Mined
from fama_fast.notebook.mining import mine

__all__ = ["Mined", "mine"]
