"""Runs the quality checks on a run's data; findings, or why they were not made, are plain data for result and
report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fama_fast.panel import Panel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fama_fast.mining.config import MiningConfig
    from fama_fast.panel.dataset import Dataset

MOST_BYTES = 4 << 30  # that the checks of data in memory may take beside them


def quality_of(data: Panel | Dataset, config: MiningConfig) -> dict[str, Any]:
    """`{"checked": True, "findings": [...]}`, each with check, severity, count, message and examples; or
    `{"checked": False, "why": ...}` where the checks would take more memory than there is for them.
    """
    from fama_fast.data.quality.panel_checks import bytes_needed, panel_findings
    from fama_fast.engine.budget import DEFAULT_BUDGET, parse_bytes, show_bytes

    dates, symbols = data.shape
    fields = data.supplied_fields
    needed, most, what = bytes_needed(dates, symbols), MOST_BYTES, "there is for them"
    if not isinstance(data, Panel):
        asked = config.run.memory_budget
        most = DEFAULT_BUDGET if asked is None else parse_bytes(asked)
        needed += 5 * data.dtype.itemsize * len(fields) * dates * symbols // 4  # the panel, and what is being decoded
        what = "run.memory_budget allows"
    if needed > most:
        return {"checked": False, "why": f"they take {show_bytes(needed)}, more than {what} ({show_bytes(most)})"}
    panel = data if isinstance(data, Panel) else data.reader(fields, []).read(0, dates)
    findings = [
        {
            "check": f.check,
            "severity": f.severity,
            "count": f.count,
            "message": f.message,
            "examples": list(f.examples),
        }
        for f in panel_findings(panel)
    ]
    return {"checked": True, "findings": findings}


def quality_line(quality: Mapping[str, Any], source: str) -> str:
    """The findings on one line."""
    if not quality["checked"]:
        return f"quality checks not made: {quality['why']}; 'fama-fast data check {source}' makes them"
    findings = ", ".join(f"{f['check']} {f['count']:,}" for f in quality["findings"])
    return f"quality checks: {findings}" if findings else "quality checks: nothing found"
