"""A report in a few lines of Markdown, for terminals, pull requests and mail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.number_text import signed
from fama_fast.report.page import studied
from fama_fast.report.statistics import STATISTICS
from fama_fast.terminal import printable

if TYPE_CHECKING:
    from fama_fast.report.content import Content


def markdown_summary(content: Content) -> str:
    """The report as Markdown: the verdict in words, its source, and one row a factor."""
    lines = [f"# {_text(content.title)}", ""]
    if content.verdict:
        lines += [f"**{_text(content.verdict['headline'])}**", ""]
        lines += [f"- {_text(sentence)}" for sentence in content.verdict.get("statements", ())]
    else:
        lines += [f"No verdict: {_text(content.not_supplied['verdict'])}."]
    lines.append("")
    if content.data:
        d = content.data
        lines.append(
            f"Data: {_text(d['source'])}, {d['dates']} dates x {d['symbols']} symbols, {d['first']} to {d['last']}, "
            f"hash {d['hash']}."
        )
    if content.predicted:
        lines.append(f"Predicted: {_text(content.predicted)}.")
    if content.read:
        lines.append(_text(content.read))
    if content.search:
        s = content.search
        lines.append(f"Search: {s['candidates']} candidates in {s['rounds']} rounds by {s['proposer']}; {s['stop']}.")
    if content.quality.get("checked"):
        found = ", ".join(f"{f['check']} {f['count']:,}" for f in content.quality["findings"])
        lines.append(f"Quality checks: {found or 'nothing found'}.")
    elif content.quality:
        lines.append(f"Quality checks were not made: {_text(content.quality['why'])}.")
    if content.studied:
        lines.append(studied(content))
    for what, why in content.not_supplied.items():
        if what != "verdict":
            lines.append(f"{what.capitalize()} not supplied: {_text(why)}.")
    if content.entries:
        statistics = [s for s in STATISTICS if s.in_summary]
        names = ["factor", "holds", "train", "valid", "test", *(s.title for s in statistics), "formula"]
        lines += ["", "| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
        for e in content.entries:
            cells = [
                e.name,
                "-" if e.holds is None else "yes" if e.holds else "no",
                *(signed(e.scores.get(split)) for split in ("train", "valid", "test")),
                *(s.text(e.statistics.get(s.title)) for s in statistics),
                f"`{_text(e.expression)}`",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "".join(f"{printable(line)}\n" for line in lines)


def _text(value: object) -> str:
    """A text on one line, without what ends a Markdown cell or code span."""
    return " ".join(str(value).split()).replace("|", "\\|").replace("`", "'")
