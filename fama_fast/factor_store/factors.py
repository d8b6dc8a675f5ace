"""The factors that a store has, as they are on these data, and those that it is to add."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fama_fast import passes
from fama_fast.engine.alpha import compile
from fama_fast.engine.prepare import lowered, lowered_roots, read_names
from fama_fast.errors import ConfigError, StoreError
from fama_fast.evaluation.blend import weighted_ranks
from fama_fast.factor_store.combination import Combination, weights_at
from fama_fast.factor_store.history import check_names, names_read
from fama_fast.factor_store.manifest import StoredFactor, show_moments

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fama_fast.engine.alpha import Alpha
    from fama_fast.factor_store.manifest import Manifest, Settings
    from fama_fast.ir import Node
    from fama_fast.panel import Panel
    from fama_fast.panel.dataset import Dataset
    from fama_fast.types import FloatArray

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
        roots: lowered expressions by fingerprint: one of a factor, of a combined signal the ranks of its formulas.
    """

    source: Panel | Dataset
    settings: Settings
    roots: dict[str, tuple[Node, ...]] = field(default_factory=dict)

    def of(self, factors: Iterable[StoredFactor]) -> list[Node]:
        """The expressions to compute for these factors."""
        return [root for f in factors for root in self.roots[f.fingerprint]]

    def columns(
        self, factors: Iterable[StoredFactor], dates: Any, values: Sequence[FloatArray], threads: int | None
    ) -> Iterator[FloatArray]:
        """(T, N) of each factor on these dates, of the values of `of`."""
        at = 0
        for factor in factors:
            made = factor.combination
            own = values[at : at + len(self.roots[factor.fingerprint])]
            at += len(own)
            if made is None:
                yield own[0]
                continue
            signs = [sign for _, sign in made.forms]
            shape = (len(dates), len(self.source.symbols))
            yield weighted_ranks(own, signs, weights_at(made.fits, dates), shape, threads=threads)

    def names(self, factors: Iterable[StoredFactor]) -> tuple[list[str], list[str]]:
        """Names of the fields and groups that the values of any of these depend on."""
        return names_read(self.of(factors), self.source)

    def make(self, name: str, alpha: Alpha, block: str) -> StoredFactor:
        """The stored form of a factor on these data."""
        root = lowered_roots([alpha], self.source, self.settings.min_coverage)
        return self._made(name, alpha.fingerprint, (alpha.text, alpha.dialect, alpha.canonical), root, block)

    def make_combined(self, name: str, made: Combination, block: str) -> StoredFactor:
        """The stored form of a combined signal on these data."""
        roots = lowered([f"RANK({text})" for text, _ in made.forms], self.source, self.settings.min_coverage)
        return self._made(name, made.fingerprint, (made.text, "", made.text), roots, block, made)

    def _made(
        self,
        name: str,
        fingerprint: str,
        texts: tuple[str, str, str],
        roots: tuple[Node, ...],
        block: str,
        made: Combination | None = None,
    ) -> StoredFactor:
        self.roots[fingerprint] = roots
        fields, groups = read_names(roots, self.source)
        available = frozenset(self.source.supplied_fields)
        lookback = max(passes.lookback(root, available) for root in roots)
        return StoredFactor(name, fingerprint, *texts, lookback, tuple(fields), tuple(groups), block, made)

    def stored(self, base: Manifest) -> tuple[list[StoredFactor], str]:
        """The stored factors as they are now; and the reason why their values cannot be continued, "" if they can."""
        reasons = [
            f"{text} differs: {getattr(base.settings, key)!r} stored, {getattr(self.settings, key)!r} now"
            for key, text in _SETTINGS.items()
            if getattr(base.settings, key) != getattr(self.settings, key)
        ]
        out = []
        for factor in base.factors:
            if factor.combination is not None:
                today = self.make_combined(factor.name, factor.combination, factor.block)
            else:
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

    def with_signal(
        self, base: Manifest, kept: Sequence[StoredFactor], name: str, given: Combination, block: str
    ) -> tuple[list[StoredFactor], list[StoredFactor]]:
        """The stored factors, where the signal of this name goes on with weights that are given; and what is new.

        Raises:
            ConfigError: the name is taken by a factor. StoreError: by another signal, or the new weights are for dates
                that are stored.
        """
        there = next((f for f in kept if f.name == name), None)
        if there is None:
            return list(kept), [self.make_combined(name, given, block)]
        if there.combination is None:
            raise ConfigError(f"the name {name!r} is taken by a formula, {there.expression}: choose another store")
        stored = there.combination
        if stored.fingerprint != given.fingerprint:
            raise StoreError(
                f"the store has another signal: {_told(stored)}; what was given is {_told(given)}: give it a folder of "
                "its own"
            )
        further = [fit for fit in given.fits[1:] if fit not in stored.fits]
        last = int(base.moments[-1])
        early = [fit for fit in further if fit.since is not None and fit.since <= last]
        if early:
            day = show_moments(last, self.settings.days)
            raise StoreError(
                f"the store has signals up to {day}, and weights taught by {early[0].taught} would change some of "
                f"them: refit on data up to {day} or later, or make another store"
            )
        grown = Combination(stored.run, stored.pool, stored.forms, (*stored.fits, *further))
        return [self.make_combined(name, grown, f.block) if f is there else f for f in kept], []


def _told(made: Combination) -> str:
    return f"run {made.run}, {made.pool}, {len(made.forms):,} formulas, weights taught by {made.fits[0].taught}"
