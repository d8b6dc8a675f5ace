"""What this version wrote, as versions before it would have: texts as proposed, and beside them a sign."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

from fama_fast.engine import compile_recorded

SIGNED = ("rank_ic", "rank_icir", "rank_ic_t", "ic", "icir", "ic_t", "spread", "spread_t")
# Figures of which those of the negative do not follow, or that no such version had.
LATER = ("net_t", "objective", "objective_t", "score")


def known_then(figures: dict[str, Any]) -> dict[str, Any]:
    """Figures of a split without those."""
    return {k: v for k, v in figures.items() if k not in LATER}


def raw_figures(figures: dict[str, Any]) -> dict[str, Any]:
    out = {k: -v if k in SIGNED and v is not None else v for k, v in known_then(figures).items()}
    if out.get("net") is not None:
        out["net"] -= 2.0 * figures["spread"]
    if out.get("hit_rate") is not None:
        out["hit_rate"] = 1.0 - out["hit_rate"]
    return out


def raw_scores(scores: dict[str, Any]) -> dict[str, Any]:
    return {split: raw_figures(f) for split, f in scores.items()}


def old_entry(entry: dict[str, Any]) -> dict[str, Any]:
    """A factor's entry of a result, a set or a state."""
    out = {k: v for k, v in entry.items() if k != "proposed"}
    if "proposed" not in entry:
        return out | {"sign": 1}
    text = entry["proposed"]
    names = {"expression": text, "canonical": text, "fingerprint": compile_recorded(text).fingerprint}
    return out | names | {"sign": -1, "scores": raw_scores(entry["scores"])}


def old_set(data: dict[str, Any]) -> dict[str, Any]:
    """A factor set."""
    return data | {"factors": [old_entry(e) for e in data["factors"]]}


def old_verdict(verdict: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    pool = {
        split: {**figures, "weights": {names.get(f, f): w for f, w in figures["weights"].items()}} if figures else {}
        for split, figures in verdict["pool"].items()
    }
    return verdict | {"holding": [names.get(f, f) for f in verdict["holding"]], "pool": pool}


def names_of(entries: list[dict[str, Any]]) -> dict[str, str]:
    """Fingerprints as proposed by those of the factors."""
    return {e["fingerprint"]: compile_recorded(e["proposed"]).fingerprint for e in entries if "proposed" in e}


def old_document(document: dict[str, Any]) -> dict[str, Any]:
    """A run's result."""
    names = names_of(document["factors"])
    return old_set(document) | {"verdict": old_verdict(document["verdict"], names)}


def age(path: Path) -> None:
    """Turn a ledger of one run into one of an earlier version."""
    c = sqlite3.connect(path)
    c.row_factory = sqlite3.Row
    state = json.loads(c.execute("SELECT state FROM runs").fetchone()["state"])
    names: dict[str, str] = {}
    for fingerprint, text in state.pop("begun_as").items():
        names[fingerprint] = raw = compile_recorded(text).fingerprint
        c.execute(
            "UPDATE starting_factors SET fingerprint = ?, canonical = ?, sign = -1 WHERE fingerprint = ?",
            (raw, text, fingerprint),
        )
    seen: Counter[str] = Counter()
    for row in c.execute("SELECT id, fingerprint, canonical, scores, extra FROM candidates ORDER BY id").fetchall():
        kept = (json.loads(row["extra"]) or {}).get("as_proposed")
        fingerprint, canonical, scores = row["fingerprint"], row["canonical"], json.loads(row["scores"])
        if kept:
            names[fingerprint] = kept["fingerprint"]
            fingerprint, canonical, scores = kept["fingerprint"], kept["canonical"], raw_scores(scores)
        seen[fingerprint] += 1
        c.execute(
            "UPDATE candidates SET fingerprint = ?, canonical = ?, scores = ?, extra = '{}', occurrence = ?, "
            "sign = CASE WHEN sign IS NULL THEN NULL WHEN ? THEN -1 ELSE 1 END WHERE id = ?",
            (fingerprint, canonical, json.dumps(scores), seen[fingerprint], bool(kept), row["id"]),
        )
    for table, column in (
        ("parents", "parent_fingerprint"),
        ("chain_steps", "fingerprint"),
        ("chain_steps", "parent_fingerprint"),
    ):
        for now, before in names.items():
            c.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (before, now))
    for row in c.execute("SELECT fingerprint, split, scores FROM results").fetchall():
        if row["fingerprint"] in names:
            c.execute(
                "UPDATE results SET fingerprint = ?, scores = ? WHERE fingerprint = ? AND split = ?",
                (
                    names[row["fingerprint"]],
                    json.dumps(raw_figures(json.loads(row["scores"]))),
                    row["fingerprint"],
                    row["split"],
                ),
            )
    for row in c.execute("SELECT id, exemplars, chain FROM exchanges").fetchall():
        lists = [json.dumps([names.get(f, f) for f in json.loads(row[k])]) for k in ("exemplars", "chain")]
        c.execute("UPDATE exchanges SET exemplars = ?, chain = ? WHERE id = ?", (*lists, row["id"]))
    del state["layout"]
    state["library"] = [{**m, "factor": old_entry(m["factor"])} for m in state["library"]]
    book = state["book"]
    book["factors"] = [old_entry(f) for f in book["factors"]]
    for chain in book["chains"]:
        chain["members"] = [names.get(f, f) for f in chain["members"]]
    state["memory"]["elites"] = [[names.get(f, f), *rest] for f, *rest in state["memory"]["elites"]]
    kept = state["residuals"]["kept"]
    state["residuals"] = {"kept": [[names.get(f, f), *rest[:2]] for f, *rest in kept], "used": [], "shown": []}
    run = c.execute("SELECT summary, verdict FROM runs").fetchone()
    summary, verdict = (json.loads(run[k]) if run[k] else None for k in ("summary", "verdict"))
    c.execute(
        "UPDATE runs SET state = ?, summary = ?, verdict = ?",
        (
            json.dumps(state),
            json.dumps(summary and old_document(summary)),
            json.dumps(verdict and old_verdict(verdict, names)),
        ),
    )
    c.commit()
    c.close()
