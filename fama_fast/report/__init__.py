"""Reports of runs and factors: one HTML page that opens from disk.

`content` gathers, `figures` draws, `page` writes. The run summary in text lives in `fama_fast.mining.verdict.results`.
"""

from fama_fast.report.content import Content, Entry, from_document, from_factors, from_run
from fama_fast.report.page import render, write, write_figures

__all__ = ["Content", "Entry", "from_document", "from_factors", "from_run", "render", "write", "write_figures"]
