"""A small context-free grammar: its rules, their clean-up, the longest text, and random texts of it.

It knows no language: what the rules mean is for `expressions` to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable


@dataclass(frozen=True)
class Ref:
    """Symbol that stands for another rule."""

    name: str


@dataclass(frozen=True)
class Text:
    """Symbol that stands for exactly these characters (printable ASCII)."""

    value: str


@dataclass(frozen=True)
class Prose:
    """Symbol for 1 to `limit` characters that may stand inside a JSON string as they are."""

    limit: int


Symbol = Ref | Text | Prose
Alternative = tuple[Symbol, ...]


class Grammar:
    """Rules by name; `start` is where a text begins."""

    def __init__(self, start: str) -> None:
        self.start = start
        self.rules: dict[str, tuple[Alternative, ...]] = {}

    def add(self, name: str, alternatives: Iterable[Alternative]) -> Ref:
        """Add alternatives to a rule, each once and in order."""
        self.rules[name] = tuple(dict.fromkeys((*self.rules.get(name, ()), *alternatives)))
        return Ref(name)

    def cleaned(self) -> Grammar:
        """An equivalent grammar without rules that produce no text, are never used, or only rename."""
        productive = self._productive()
        out = Grammar(self.start)
        for name, alternatives in self.rules.items():
            if name in productive:
                usable = [a for a in alternatives if all(not isinstance(s, Ref) or s.name in productive for s in a)]
                out.add(name, usable)
        renames = {n: a[0][0] for n, a in out.rules.items() if len(a) == 1 and len(a[0]) == 1}

        def final(symbol: Symbol) -> Symbol:
            while isinstance(symbol, Ref) and symbol.name in renames:
                symbol = renames[symbol.name]
            return symbol

        short = Grammar(self.start)
        for name, alternatives in out.rules.items():
            if name not in renames or name == self.start:
                short.add(name, [tuple(final(s) for s in a) for a in alternatives])
        reached: set[str] = set()
        pending = [short.start] if short.start in short.rules else []
        while pending:
            name = pending.pop()
            if name not in reached:
                reached.add(name)
                pending += [s.name for a in short.rules[name] for s in a if isinstance(s, Ref)]
        short.rules = {n: a for n, a in short.rules.items() if n in reached}
        return short

    def _productive(self) -> set[str]:
        productive: set[str] = set()
        grew = True
        while grew:
            grew = False
            for name, alternatives in self.rules.items():
                if name not in productive and any(
                    all(not isinstance(s, Ref) or s.name in productive for s in a) for a in alternatives
                ):
                    productive.add(name)
                    grew = True
        return productive

    def longest(self) -> int:
        """Characters of the longest text. The grammar must not be recursive, which it is not by construction.

        Raises:
            RecursionError: it is recursive, so that there is no longest text.
        """
        known: dict[str, int] = {}
        open_rules: set[str] = set()

        def measure(name: str) -> int:
            if name in known:
                return known[name]
            if name in open_rules:
                raise RecursionError(f"the rule {name} contains itself")
            open_rules.add(name)
            known[name] = max(sum(size(s) for s in a) for a in self.rules[name])
            open_rules.discard(name)
            return known[name]

        def size(symbol: Symbol) -> int:
            if isinstance(symbol, Text):
                return len(symbol.value)
            return symbol.limit if isinstance(symbol, Prose) else measure(symbol.name)

        return measure(self.start)

    def sample(self, rng: random.Random) -> str:
        """A random text: each alternative of a rule is equally likely."""
        parts: list[str] = []
        pending: list[Symbol] = [Ref(self.start)]
        while pending:
            symbol = pending.pop()
            if isinstance(symbol, Ref):
                pending.extend(reversed(rng.choice(self.rules[symbol.name])))
            elif isinstance(symbol, Text):
                parts.append(symbol.value)
            else:
                parts.append("".join(rng.choices("abc xyz,.-", k=rng.randint(1, min(symbol.limit, 30)))))
        return "".join(parts)
