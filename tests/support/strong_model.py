"""A scripted model that writes as a strong one does: published formulas, refinements of what it is shown, typical
mistakes. Equal prompts get equal answers, and it reads its prompt: what the prompt says is known it does not repeat, a
path it develops, an idea that is sent back with its weakest side it mends on that side.

`python -m tests.support.strong_model [simulator|sp500|a-shares|us3000]` runs twelve rounds and prints what the prompts
and the chains were.
"""

from __future__ import annotations

import functools
import hashlib
import json
import random
import re
from typing import TYPE_CHECKING, Any

from fama_fast.errors import FamaError
from fama_fast.llm.chat import Reply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.llm.prompt import Message

FORGETS = 0.05  # share of its proposals for which it does not look whether they are known
WRONG = 0.1  # share that is one of the typical mistakes
_TICKED = re.compile(r"`([^`\n]{3,})`")
_STEP = re.compile(r"^(?P<label>[ASPRI]\d+)\. `(?P<text>[^`\n]+)`(?P<rest>.*)$", re.MULTILINE)
_THOUGHT = re.compile(r"^- `([^`]+)`, thought for its negative: (.*)$", re.MULTILINE)
MISTAKES = (
    "RANK(RETURNS_5D)",  # a field that is not there
    "RANK(TS_ZSCORE(CLOSE))",  # a window that is missing
    "RANK(CLOSE - DELAY(CLOSE, 5))",  # price levels
    "RANK(TS_MEAN(CLOSE / DELAY(CLOSE, 1), 500))",  # more history than allowed
    "CLOSE > OPEN",  # a condition
    "RANK(TS_CORR(VOLUME, CLOSE, 10)",  # cut short
)
# Words of a direction, and what formulas of that kind contain.
_KINDS = {
    "volume": "VOLUME",
    "range": "HIGH",
    "risk": "STDDEV",
    "overnight": "OPEN",
    "liquidity": "VOLUME",
    "price and volume": "CORREL",
    "closing pressure": "VWAP",
    "anchors": "TS_MAX",
    "momentum": "DELAY",
}


@functools.cache
def published() -> tuple[str, ...]:
    """Canonical texts of published formulas."""
    from fama_fast.library.published import PUBLISHED

    return tuple(
        dict.fromkeys(f.canonical for name in ("alpha101", "gtja191", "alpha158") for f in PUBLISHED[name].factors())
    )


@functools.cache
def canonical(text: str) -> str:
    """The canonical text, or the text itself where it is no expression."""
    from fama_fast.engine import compile as compile_alpha

    try:
        return compile_alpha(text).canonical
    except FamaError:
        return text


def negative(text: str) -> str:
    return canonical(f"-1 * ({text})")


class StrongModel:
    """A `ChatClient`. `seen` keeps every user message, in the order of arrival."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def complete(self, messages: Sequence[Message], *_: Any, **__: Any) -> Reply:
        """Its answer to a dialogue."""
        if len(messages) == 1:  # whether it is there
            return Reply("Hello.", "stop", 6, 2)
        user = messages[-1].content
        self.seen.append((messages[1].content, user))
        if len(messages) > 2:
            wanted = int(re.search(r"Write (\d+) corrected", user)[1])  # type: ignore[index]
            return _reply(messages, self._alphas(messages[1].content, wanted, user))
        wanted = int(re.search(r"Propose (\d+) new alphas", user)[1])  # type: ignore[index]
        return _reply(messages, self._alphas(user, wanted, ""))

    def _alphas(self, prompt: str, wanted: int, again: str) -> list[dict[str, str]]:
        rng = random.Random(hashlib.blake2b((prompt + again).encode(), digest_size=8).digest())
        # It knows its mistakes when they are sent back; it knows a formula in whichever direction it is written.
        known = {canonical(t) for t in _TICKED.findall(prompt + again)}
        known |= {negative(t) for t in known}
        rethought = [
            {"hypothesis": f"the other way round: {m[2]}", "expression": m[1], "explanation": "as the data say"}
            for m in re.finditer(
                r"^- `([^`]+)`, thought for its negative: (.*)$", "" if again else prompt, re.MULTILINE
            )
        ]
        out: list[dict[str, str]] = []
        ideas = [*self._refined(prompt, rng), *self._developed(prompt, rng)]
        fresh = self._textbook(prompt, rng)
        while len(out) < wanted:
            if not again and rng.random() < WRONG:
                out.append({"hypothesis": "quick idea", "expression": rng.choice(MISTAKES), "explanation": ""})
                continue
            text, label = ideas.pop(0) if ideas and len(out) % 2 == 0 else (next(fresh), "")
            if canonical(text) in known and rng.random() >= FORGETS:
                continue
            known |= {canonical(text), negative(text)}
            alpha = {"hypothesis": _hypothesis(text), "expression": text, "explanation": "as it says"}
            out.append({**alpha, "builds_on": label} if label else alpha)
        return [*rethought, *out]

    @staticmethod
    def _refined(prompt: str, rng: random.Random) -> list[tuple[str, str]]:
        """The idea that was sent back, mended where it is weakest."""
        own = [m for m in _STEP.finditer(prompt) if m["label"].startswith("I")]
        out: list[tuple[str, str]] = []
        for m in own[-1:]:
            text, side = m["text"], m["rest"].rpartition("weakest side:")[2]
            if "trades" in side:
                ways = ["TS_MEAN({x}, 5)", "TS_DECAY_LINEAR({x}, 10)"]
            elif "correlation" in side:
                ways = [
                    "({x}) * RANK(TS_STDDEV(CLOSE / DELAY(CLOSE, 1), 20))",
                    "({x}) * RANK(VOLUME / TS_MEAN(VOLUME, 20))",
                ]
            else:
                ways = [
                    "TS_MEAN({x}, 3)",
                    "RANK({x}) - RANK(CLOSE / DELAY(CLOSE, 3))",
                    "RANK({x}) - RANK(CLOSE / VWAP)",
                ]
            rng.shuffle(ways)
            out += [(w.format(x=text), m["label"]) for w in ways]
        return out

    @staticmethod
    def _developed(prompt: str, rng: random.Random) -> list[tuple[str, str]]:
        """What it makes of the path and the parents that it is shown."""
        shown = {m["label"]: m["text"] for m in _STEP.finditer(prompt)}
        path = [label for label in shown if label.startswith("S")]
        others = [t for label, t in shown.items() if label.startswith("A")]
        out: list[tuple[str, str]] = []
        for label in [*path[-1:], *path[:-1][-1:], *[p for p in shown if p.startswith("P")]]:
            ways = [
                "TS_DECAY_LINEAR({x}, 5)",
                "RANK({x}) - RANK(CLOSE / DELAY(CLOSE, 5))",
                "RANK({x}) - RANK(CLOSE / VWAP)",
            ]
            ways += [f"RANK({{x}}) + RANK({other})" for other in others[:2] if other != shown[label]]
            rng.shuffle(ways)
            out += [(w.format(x=shown[label]), label) for w in ways[:2]]
        return out

    @staticmethod
    def _textbook(prompt: str, rng: random.Random) -> Any:
        """Published formulas, those of the direction first."""
        direction = (re.search(r"Look in this direction: ([^.]*)", prompt) or ["", ""])[1]
        wanted = [part for word, part in _KINDS.items() if word in direction]
        pool = [t for t in published() if len(t) < 200]
        rng.shuffle(pool)
        pool.sort(key=lambda t: not any(part in t for part in wanted))
        yield from pool
        for n in range(2, 200):
            yield f"RANK(TS_STDDEV(CLOSE / DELAY(CLOSE, {n}), {n + 3}))"


def _hypothesis(text: str) -> str:
    return "what trades unusually comes back" if "VOLUME" in text else "prices that went too far come back"


def _reply(messages: Sequence[Message], alphas: list[dict[str, str]]) -> Reply:
    text = json.dumps({"alphas": alphas})
    return Reply(text, "stop", sum(len(m.content) for m in messages) // 4, len(text) // 4)


PANELS: dict[str, dict[str, Any]] = {
    "simulator": {},
    "sp500": {
        "paths": {"market_data": "{data}/sp500_2013_2018.parquet", "groups": "{data}/sp500_sectors.csv"},
    },
    "a-shares": {
        "paths": {
            "market_data": "{data}/cn_ashare_next1000_2020_2023.parquet",
            "groups": "{data}/cn_ashare_next1000_industry.csv",
        },
    },
    "us3000": {"paths": {"market_data": "{data}/us_stocks_3000_2014_2017.parquet"}},
}


def mined(
    panel: str,
    folder: str,
    data: str = "",
    *,
    resume: str | None = None,
    model: StrongModel | None = None,
    **changes: Any,
) -> tuple[StrongModel, Any, Any]:
    """Rounds of the model on a panel, twelve by default: the model, the result, and the run's ledger rows."""
    from pathlib import Path

    from fama_fast.ledger.ledger import Ledger
    from fama_fast.llm.settings import LLMSettings
    from fama_fast.mining.config_file import config_from_dict
    from fama_fast.mining.proposers.kinds.llm import LLMProposer
    from fama_fast.mining.run.mine import mine

    model = model or StrongModel()
    named = PANELS.get(panel, {"paths": {"market_data": panel}})  # or a file
    paths = {k: v.format(data=data) for k, v in named.get("paths", {}).items()}
    run = {"rounds": 12, "candidates": 40, "patience": 100, "seed": 1, "threads": 1}
    settings: dict[str, Any] = {
        "proposer": "llm",
        "paths": {**paths, "output_dir": str(Path(folder))},
        "llm": {
            "model": "scripted",
            "api_key_env": None,
            "base_url": "http://127.0.0.1:1/v1",
            "constraint": "none",
            "concurrency": 1,
        },
        "control": {"random": False},
        **changes,
        "run": {**run, **changes.get("run", {})},
    }
    config = config_from_dict(settings)
    assert isinstance(config.llm, LLMSettings)
    result = mine(config, proposer=LLMProposer(config.llm, model), resume=resume)
    with Ledger.open(Path(folder) / "ledger.sqlite", create=False) as ledger:
        rows, steps = ledger.candidates(result.run_id), ledger.chain_steps(result.run_id)
    return model, result, (rows, steps)


def figures(model: StrongModel, rows: Sequence[Any], steps: Sequence[Any]) -> dict[str, Any]:
    """What a run is asked to reach."""
    from collections import Counter

    admitted = [r for r in rows if r["admitted"]]
    grown = Counter(s.action for _, s in steps if s.action not in ("build", "rebuild"))
    # Those of which the proposer knew are sent back, and counted here too where the model had no other.
    in_library = [r for r in rows if r["gate"] in ("duplicate", "answer") and "in the library already" in r["reason"]]
    again = [r for r in rows if r["gate"] == "duplicate"]
    prompts = [first for first, last in model.seen if first == last]
    shown = [
        (float(m[1]), float(m[2]))
        for prompt in prompts
        for m in re.finditer(r"on S\d+ with t (-?[\d.]+), correlation ([-+][\d.]+) with it", prompt)
    ]
    return {
        "proposals": len(rows),
        "admitted": len(admitted),
        "steps": dict(grown),
        "share": sum(grown[a] for a in ("extend", "split", "start")) / max(1, len(admitted)),
        "prompts": len(prompts),
        "equal_prompts": len(prompts) - len(set(prompts)),
        "in_library": len(in_library) / max(1, len(rows)),
        "duplicates": len(again) / max(1, len(rows)),
        "shown_steps": len(shown),
        "least_t": min((t for t, _ in shown), default=None),
        "least_r": min((abs(r) for _, r in shown), default=None),
        "gates": dict(Counter(r["gate"] or "admitted" for r in rows)),
        "characters": round(sum(map(len, prompts)) / max(1, len(prompts))),
    }


if __name__ == "__main__":
    import os
    import sys
    import tempfile
    import time

    for panel in sys.argv[1:] or PANELS:
        with tempfile.TemporaryDirectory() as folder:
            began = time.time()
            model, _, (rows, steps) = mined(panel, folder, os.environ.get("FAMA_DATA", "."))
            print(panel, f"{time.time() - began:.0f} s", json.dumps(figures(model, rows, steps)), flush=True)
