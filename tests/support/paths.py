"""Where the project and its market data lie."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
# Real market data, for the tests that need them; without the folder those are skipped.
MARKET = Path(os.environ.get("FAMA_DATA", ROOT.parent / "shared" / "data"))
