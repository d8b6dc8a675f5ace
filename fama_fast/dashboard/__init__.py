"""The dashboard: a local web page that shows the runs of a ledger, live while one is being mined.

`reading` opens the store so that it can only be read; `tallies`, `runs`, `candidates` and `factor` ask it; `pages`
shows the answers (NiceGUI, AG Grid and Vega-Lite, all served from this machine); `server` serves them. Nothing here
writes to the store, decides anything, or shows a figure of the test split that the run itself did not open.
"""

from fama_fast.dashboard.reading import ReadOnlyLedger

__all__ = ["ReadOnlyLedger"]
