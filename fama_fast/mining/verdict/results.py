"""The result of a run: one document for file and ledger, and tables for terminals.

Everything in the document but `record` follows from configuration, data, seed and what the ledger already holds
on these data: two equal runs write it equal, bit for bit. Times, names of runs and places are in `record`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fama_fast.ledger import records
from fama_fast.library.codec import factor_to_dict
from fama_fast.mining.verdict.findings import Status, Verdict
from fama_fast.mining.verdict.measures import in_units
from fama_fast.terminal import printable

if TYPE_CHECKING:
    from fama_fast.library import Factor, FactorSet

SCHEMA = 1


@dataclass(frozen=True)
class MiningResult:
    """The factors, verdict and facts of a finished run.

    Attributes:
        factors: the short list in the order chosen; without one the new factors in order of admission; in the direction
            of training. library: all members at the end.
        verdict: see `verdict`. funnel: candidates by the gate that stopped them, and "admitted".
        stop: why the search ended. data, splits, settings: what it ran on and with, plain data.
        rivals: the random control's factors; not in the document.
        front: the Pareto front by falling crowding distance, where objectives were asked for.
        record: run id, ledger, times: all that may differ between two equal runs.
        unsaved: why the new factors are not in the factor cache that was to have them; not in the document.
    """

    factors: FactorSet
    library: tuple[Factor, ...]
    verdict: Verdict
    funnel: dict[str, int]
    rounds: int
    stop: str
    data: dict[str, Any]
    splits: dict[str, Any]
    settings: dict[str, Any]
    proposer: str
    test: dict[str, dict[str, float]] = field(default_factory=dict)
    rivals: tuple[Factor, ...] = ()
    front: list[dict[str, Any]] = field(default_factory=list)
    record: dict[str, Any] = field(default_factory=dict)
    unsaved: str = ""

    @property
    def exit_code(self) -> int:
        """0 when something was found, 1 when nothing met the bar."""
        return self.verdict.exit_code

    @property
    def run_id(self) -> str:
        return str(self.record.get("run", ""))

    @property
    def candidates(self) -> int:
        """Expressions proposed in all."""
        return sum(self.funnel.values())

    def to_dict(self) -> dict[str, Any]:
        """The result document."""
        judged = {f.fingerprint: f for f in self.verdict.factors}
        factors = []
        for factor in self.factors:
            entry = factor_to_dict(factor)
            if factor.fingerprint in self.test:
                entry["scores"] = {**entry["scores"], "test": self.test[factor.fingerprint]}
            if factor.fingerprint in judged:
                entry["verdict"] = judged[factor.fingerprint].as_dict()
            factors.append(entry)
        return {
            "schema": SCHEMA,
            "verdict": self.verdict.as_dict(),
            "data": self.data,
            "splits": self.splits,
            "search": {
                "proposer": self.proposer,
                "rounds": self.rounds,
                "stop": self.stop,
                "candidates": self.candidates,
                "funnel": self.funnel,
            },
            "factors": factors,
            **({"front": self.front} if self.front else {}),
            "settings": self.settings,
            "record": self.record,
        }

    def to_yaml(self, path: str | Path) -> None:
        """Write the document, whole or not at all; as JSON where the name ends so.

        Raises:
            OutputError: the file cannot be written.
        """
        write_document(self.to_dict(), path)


def write_document(document: dict[str, Any], path: str | Path) -> None:
    """Write a result document as YAML, or as JSON (what is not a number is null) where the name ends in .json, whole or
    not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    from fama_fast.atomic import atomic_write
    from fama_fast.library.strict_yaml import dump, plain

    if Path(path).suffix.lower() == ".json":
        text = json.dumps(records.plain(document), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    else:
        text = dump(plain(document, "result"))
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


_SPLITS = ("train", "valid", "test")


def measure_rows(document: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a pool or new factor and split for a table: the four measures beside each other, and the expression.

    `holds` is what the verdict says of a factor; spread and net are basis points a day. Pools come first. A split that
    was not looked at has no row; what is not known is None.
    """
    said, horizon = {None: "", True: "yes", False: "no"}, _horizon(document)
    return [_measured(said[holds], split, scores, horizon, name) for holds, split, scores, name in _shown(document)]


def figures_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The same in numbers: a pool by its name in `pool`, a factor by its `expression`; `holds` is None of a pool.
    Spread and net are basis points a day."""
    scale = 1e4 / _horizon(document)
    rows: list[dict[str, Any]] = []
    for holds, split, scores, name in _shown(document):
        found = {key: scores.get(key) for key in ("rank_ic", "rank_ic_t", "ic", "spread", "net", "turnover")}
        for key in ("spread", "net"):
            value = found[key]
            found[key] = None if value is None else value * scale
        pool, expression = (name, None) if holds is None else (None, name)
        rows.append({"pool": pool, "holds": holds, "split": split, **found, "expression": expression})
    return rows


def _horizon(document: dict[str, Any]) -> int:
    return int(document["verdict"].get("horizon") or document["settings"].get("splits", {}).get("horizon") or 1)


def _shown(document: dict[str, Any]) -> list[tuple[bool | None, str, dict[str, Any], str]]:
    """Whether it holds, split, scores and name of every pool and factor on every split that was looked at."""
    verdict = document["verdict"]
    wide, pools = verdict.get("wide", {}), verdict.get("pool", {})
    shown: list[tuple[bool | None, str, dict[str, Any], str]] = []
    for name, pool in (("the wide pool", wide), ("the pool", pools)):
        shown += [(None, split, pool[split], name) for split in ("valid", "test") if pool.get(split)]
    for entry in document["factors"]:
        holds, scores = bool(entry.get("verdict", {}).get("holds")), entry["scores"]
        shown += [(holds, split, scores[split], entry["expression"]) for split in _SPLITS if split in scores]
    return shown


def _measured(holds: str, split: str, scores: dict[str, Any], horizon: int, expression: str) -> dict[str, Any]:
    def in_points(name: str) -> str | None:
        text = in_units(name, scores.get(name), horizon, unit=False)
        return None if text == "-" else text

    return {
        "holds": holds,
        "split": split,
        "RankIC": scores.get("rank_ic"),
        "t": scores.get("rank_ic_t"),
        "IC": scores.get("ic"),
        "spread": in_points("spread"),
        "net": in_points("net"),
        "turnover": scores.get("turnover"),
        "expression": expression,
    }


_FORMATS = {"t": "+.2f", "turnover": ".4f"}


def _cell(value: Any, column: str = "") -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "-"
    return format(value, _FORMATS.get(column, "+.4f")) if isinstance(value, float) else str(value)


_COLOURS = {
    Status.FOUND: "bold green",
    Status.NOT_BETTER: "bold yellow",
    Status.DOES_NOT_PAY: "bold yellow",
    Status.NOT_CONFIRMED: "bold red",
    Status.NOTHING_FOUND: "bold red",
}


def coloured_headline(document: dict[str, Any]) -> Any:
    """The verdict's line as rich text, in the colour of its status."""
    from rich.text import Text

    verdict = document["verdict"]
    colours = {status.value: colour for status, colour in _COLOURS.items()}
    return Text(printable(verdict["headline"]), style=colours.get(verdict["status"], "bold"))


def factor_table(document: dict[str, Any]) -> Any:
    """The pools and factors as a rich table."""
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title="New factors, in the direction of training; spread and net in basis points a day", title_justify="left"
    )
    for name in ("holds", "split", "RankIC", "t", "IC", "spread", "net", "turnover"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("expression", overflow="fold", min_width=16)
    before = ""
    for row in measure_rows(document):
        new = row["expression"] != before
        before = row["expression"]
        shown = row if new else {**row, "holds": "", "expression": ""}
        if new:
            table.add_section()
        table.add_row(*(Text(printable(_cell(v, name))) for name, v in shown.items()))
    return table


def plain_lines(document: dict[str, Any]) -> list[str]:
    """Pools and factors as tab-separated lines, header first; empty without factors."""
    rows = measure_rows(document)
    if not rows:
        return []
    return ["\t".join(rows[0])] + ["\t".join(_cell(v, name) for name, v in row.items()) for row in rows]


def funnel_line(document: dict[str, Any]) -> str:
    """The funnel of candidates through the gates, on one line."""
    search = document["search"]
    parts = ", ".join(f"{gate} {n}" for gate, n in search["funnel"].items() if n)
    return f"{search['candidates']} candidates in {search['rounds']} rounds: {parts or 'none'}"


def markdown(document: dict[str, Any]) -> str:
    """A short report of a run."""
    data, search, verdict = document["data"], document["search"], document["verdict"]
    lines = [
        f"# Mining run {document['record'].get('run', '')}".rstrip(),
        "",
        f"**{verdict['headline']}**",
        "",
        *verdict.get("statements", ()),
        "",
        f"- data: {data['source']}, {data['dates']} dates x {data['symbols']} symbols, hash {data['hash']}",
        *(f"- {name}: {s['first']} to {s['last']}, {s['days']} days" for name, s in document["splits"].items()),
        f"- search: {search['proposer']}, {funnel_line(document)}; ended: {search['stop']}",
    ]
    if verdict["status"] == Status.NOTHING_FOUND.value:
        lines.append("- the test split was not opened")
    rows = measure_rows(document)
    if rows:
        lines += ["", "| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
        for row in rows:
            cells = [_cell(v, name).replace("|", "\\|") for name, v in row.items()]
            cells[-1] = f"`{cells[-1]}`"
            lines.append("| " + " | ".join(cells) + " |")
    if document.get("front"):
        names = list(document["front"][0]["objectives"])
        lines += ["", "Pareto front, least crowded first:", "", f"| {' | '.join(names)} | expression |"]
        lines.append("|" + "---|" * (len(names) + 1))
        for entry in document["front"]:
            cells = [_cell(entry["objectives"][name]) for name in names]
            lines.append(f"| {' | '.join(cells)} | `{entry['expression'].replace('|', chr(92) + '|')}` |")
    return "".join(f"{printable(line)}\n" for line in lines)
