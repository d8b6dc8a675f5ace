"""The factors that a store has, as they are on these data, and those that it is to add."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fama_fast import passes
from fama_fast.engine.alpha import compile
from fama_fast.engine.prepare import lowered_roots, read_names
from fama_fast.errors import ConfigError
from fama_fast.factor_store.history import check_names, names_read
from fama_fast.factor_store.manifest import StoredFactor

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fama_fast.engine.alpha import Alpha
    from fama_fast.factor_store.manifest import Manifest, Settings
    from fama_fast.ir import Node
    from fama_fast.panel import Panel
    from fama_fast.panel.dataset import Dataset

_SETTINGS = {
    "min_coverage": "min_coverage",
    "dtype": "the type of the data's fields",
    "universe": "whether there is a universe",
    "days": "whether dates are days",
}


@dataclass
class Factors:
    """Factors with the expressions that the engine computes for them on some data.

    Attributes:
        roots: lowered expressions by fingerprint.
    """

    source: Panel | Dataset
    settings: Settings
    roots: dict[str, Node] = field(default_factory=dict)

    def of(self, factors: Iterable[StoredFactor]) -> list[Node]:
        """The expressions to compute for these factors."""
        return [self.roots[f.fingerprint] for f in factors]

    def names(self, factors: Iterable[StoredFactor]) -> tuple[list[str], list[str]]:
        """Names of the fields and groups that the values of any of these depend on."""
        return names_read(self.of(factors), self.source)

    def make(self, name: str, alpha: Alpha, block: str) -> StoredFactor:
        """The stored form of a factor on these data."""
        root = lowered_roots([alpha], self.source, self.settings.min_coverage)[0]
        self.roots[alpha.fingerprint] = root
        fields, groups = read_names([root], self.source)
        return StoredFactor(
            name,
            alpha.fingerprint,
            alpha.text,
            alpha.dialect,
            alpha.canonical,
            passes.lookback(root, frozenset(self.source.supplied_fields)),
            tuple(fields),
            tuple(groups),
            block,
        )

    def stored(self, base: Manifest) -> tuple[list[StoredFactor], str]:
        """The stored factors as they are now; and the reason why their values cannot be continued, "" if they can."""
        reasons = [
            f"{text} differs: {getattr(base.settings, key)!r} stored, {getattr(self.settings, key)!r} now"
            for key, text in _SETTINGS.items()
            if getattr(base.settings, key) != getattr(self.settings, key)
        ]
        out = []
        for factor in base.factors:
            fields, groups = self.source.fields, self.source.groups
            alpha = compile(factor.expression, dialect=factor.dialect, fields=fields, groups=groups)
            today = self.make(factor.name, alpha, factor.block)
            out.append(today)
            if today.fingerprint != factor.fingerprint:
                reasons.append(f"{factor.name} ({factor.expression}) means something else in this version")
            elif (today.fields, today.groups) != (factor.fields, factor.groups):
                before, now = ", ".join(factor.fields), ", ".join(today.fields)
                reasons.append(f"{factor.name} was computed from {before}, and with these data would be from {now}")
        if base.partitions and not reasons:
            gone = set(base.partitions[-1].data) - set(check_names(*self.names(out), self.source))
            if gone:
                reasons.append(f"values hang on {', '.join(sorted(gone))}, which they would no longer with these data")
        return out, reasons[0] if reasons else ""

    def new(self, base: Manifest, given: Sequence[tuple[str | None, Alpha]], block: str) -> list[StoredFactor]:
        """The factors given that the store lacks; one whose name is None is called by its canonical text.

        Raises:
            ConfigError: a name that is taken, the same formula twice.
        """
        stored = {f.fingerprint: f for f in base.factors}
        taken = {f.name: f.expression for f in base.factors}
        asked: dict[str, str] = {}
        out = []
        for name, alpha in given:
            label = name or alpha.text
            if alpha.fingerprint in asked:
                raise ConfigError(f"{asked[alpha.fingerprint]} and {label} are the same formula: leave one out")
            asked[alpha.fingerprint] = label
            there = stored.get(alpha.fingerprint)
            if there is not None:
                if name not in (None, there.name):
                    raise ConfigError(f"{name} is stored already, under the name {there.name}: {there.expression}")
                continue
            free = name if name is not None else alpha.canonical
            if free in taken:
                raise ConfigError(f"the name {free!r} is taken by another formula, {taken[free]}: choose another name")
            if free in ("date", "symbol"):
                raise ConfigError(f"a factor cannot be called {free!r}: choose another name")
            taken[free] = alpha.text
            out.append(self.make(free, alpha, block))
        return out
