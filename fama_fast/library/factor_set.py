"""An ordered collection of factors, unique by fingerprint, and its YAML file.

It knows factors and files, and nothing of market data or of how factors are found.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from fama_fast import notebook_html as html
from fama_fast.errors import StoreError, nearest_name, shortened
from fama_fast.library.codec import OnMismatch, check_keys, factor_from_dict, factor_to_dict
from fama_fast.library.factor import Factor
from fama_fast.library.strict_yaml import dump, load
from fama_fast.number_text import signed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

SCHEMA = 1

_KEYS = ("schema", "factors")
_SHOWN = 50  # factors of a table in a notebook


class FactorSet:
    """Factors in the order they came, each fingerprint once.

    `in` takes a factor or a fingerprint; indexing is by position. Two sets are equal when they hold equal
    factors in the same order.
    """

    def __init__(self, factors: Iterable[Factor] = ()) -> None:
        self._by_fingerprint: dict[str, Factor] = {}
        for factor in factors:
            self.add(factor)

    def add(self, factor: Factor) -> None:
        """Append a factor.

        Raises:
            StoreError: one with this fingerprint is there already (`replace` updates it).
        """
        present = self._by_fingerprint.get(factor.fingerprint)
        if present is not None:
            raise StoreError(
                f"the factor {factor.expression} is there already, as {present.expression}"
                f" (fingerprint {factor.fingerprint})"
            )
        self._by_fingerprint[factor.fingerprint] = factor

    def replace(self, fingerprint: str, factor: Factor) -> Factor:
        """Put `factor` in the place of the one with this fingerprint, and return the one that left.

        Raises:
            StoreError: none has this fingerprint, or another member already is `factor`.
        """
        old = self._known(fingerprint)
        if factor.fingerprint != fingerprint and factor.fingerprint in self._by_fingerprint:
            raise StoreError(f"the factor {factor.expression} is there already")
        members = [factor if f is old else f for f in self]
        self._by_fingerprint = {f.fingerprint: f for f in members}
        return old

    def remove(self, fingerprint: str) -> Factor:
        """Remove and return the factor with this fingerprint; StoreError when there is none."""
        self._known(fingerprint)
        return self._by_fingerprint.pop(fingerprint)

    @overload
    def get(self, fingerprint: str) -> Factor | None: ...
    @overload
    def get(self, fingerprint: str, default: Factor) -> Factor: ...
    def get(self, fingerprint: str, default: Factor | None = None) -> Factor | None:
        """The factor with this fingerprint, or `default`."""
        return self._by_fingerprint.get(fingerprint, default)

    def copy(self) -> FactorSet:
        """Another set of the same factors (factors are immutable and shared)."""
        return FactorSet(self)

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """The fingerprints, in order."""
        return tuple(self._by_fingerprint)

    @property
    def expressions(self) -> tuple[str, ...]:
        """The texts as proposed, in order."""
        return tuple(f.expression for f in self)

    def _known(self, fingerprint: str) -> Factor:
        place = self._by_fingerprint.get(fingerprint)
        if place is None:
            near = nearest_name(fingerprint, self._by_fingerprint)
            raise StoreError(f"no factor has the fingerprint {fingerprint!r}{f' (nearest: {near})' if near else ''}")
        return place

    def __contains__(self, item: object) -> bool:
        key = item.fingerprint if isinstance(item, Factor) else item
        return key in self._by_fingerprint

    def __iter__(self) -> Iterator[Factor]:
        return iter(tuple(self._by_fingerprint.values()))

    def __len__(self) -> int:
        return len(self._by_fingerprint)

    @overload
    def __getitem__(self, index: int) -> Factor: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Factor, ...]: ...
    def __getitem__(self, index: int | slice) -> Factor | tuple[Factor, ...]:
        return tuple(self)[index]

    def __eq__(self, other: object) -> bool:
        return tuple(self) == tuple(other) if isinstance(other, FactorSet) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"FactorSet({len(self)} factor{'s' * (len(self) != 1)})"

    def _repr_html_(self) -> str:
        shown = self[:_SHOWN]
        splits = [s for s in ("train", "valid", "test") if any("rank_ic" in f.scores.get(s, {}) for f in shown)]
        ideas = any(f.hypothesis for f in shown)
        rows = []
        for at, factor in enumerate(shown):
            texts = [str(at), shortened(factor.expression, 200)]
            texts += [shortened(factor.hypothesis, 120)] if ideas else []
            rows.append([*texts, *(signed(factor.scores.get(s, {}).get("rank_ic")) for s in splits)])
        head = ["", "factor", *(["idea"] if ideas else []), *(f"RankIC, {s}" for s in splits)]
        table = html.table(head, rows, texts=2 + ideas, more=len(self) - _SHOWN) if rows else ""
        return html.card(repr(self), {}, table)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: `schema` and `factors`, each an entry with the keys of `codec.KEYS`."""
        return {"schema": SCHEMA, "factors": [factor_to_dict(f) for f in self]}

    @classmethod
    def from_dict(
        cls,
        data: Any,
        *,
        source: str = "factors",
        on_mismatch: OnMismatch = "error",
        fields: Collection[str] | None = None,
        groups: Collection[str] | None = None,
    ) -> FactorSet:
        """The set that `to_dict` described; entries may be bare expressions.

        Args:
            source: names the data in errors. on_mismatch: `error` or `warn` when an expression is no longer
                the one that was scored. fields, groups: those of the loaded data; any other name is then an
                error.

        Raises:
            StoreError: anything wrong, with the number of the entry (the first is 1) and the key.
        """
        if not isinstance(data, Mapping):
            raise StoreError(f"{source}: expected a mapping with the keys {', '.join(_KEYS)}")
        check_keys(data, _KEYS, source)
        schema = data.get("schema", SCHEMA)
        if isinstance(schema, bool) or not isinstance(schema, int):
            raise StoreError(f"{source}: schema must be a whole number, found {schema!r}")
        if schema != SCHEMA:
            raise StoreError(f"{source}: schema {schema} is not known here (this version reads {SCHEMA})")
        entries = data.get("factors")
        if not isinstance(entries, list):
            raise StoreError(f"{source}: the key 'factors' must be a list of factors")
        factors = cls()
        for number, entry in enumerate(entries, start=1):
            where = f"{source}, entry {number}"
            factor = factor_from_dict(entry, where=where, on_mismatch=on_mismatch, fields=fields, groups=groups)
            if factor in factors:
                earlier = factors.fingerprints.index(factor.fingerprint) + 1
                raise StoreError(f"{where} ({factor.expression}): the same factor as entry {earlier}")
            factors.add(factor)
        return factors

    def to_yaml(self, path: str | Path) -> None:
        """Write the set to a file, whole or not at all.

        Raises:
            OutputError: the file cannot be written. StoreError: a value cannot be stored.
        """
        from fama_fast.atomic import atomic_write

        text = dump(self.to_dict())
        with atomic_write(path) as temporary:
            temporary.write_text(text, encoding="utf-8")

    @classmethod
    def from_yaml(
        cls,
        path: str | Path,
        *,
        on_mismatch: OnMismatch = "error",
        fields: Collection[str] | None = None,
        groups: Collection[str] | None = None,
    ) -> FactorSet:
        """Read a set from a file; every expression is compiled again and checked against its fingerprint.

        Options as in `from_dict`.

        Raises:
            StoreError: missing, not YAML, wrong keys, an expression that does not parse or is not the one
                that was scored; file, entry and key are named.
        """
        file = Path(path).expanduser()
        try:
            text = file.read_text(encoding="utf-8")
        except OSError as error:
            raise StoreError(f"cannot read {file}: {error.strerror or type(error).__name__}") from error
        except UnicodeDecodeError as error:
            raise StoreError(f"cannot read {file}: it is not UTF-8 text") from error
        data = load(text, str(file))
        if data is None:
            raise StoreError(f"{file}: the file is empty")
        return cls.from_dict(data, source=str(file), on_mismatch=on_mismatch, fields=fields, groups=groups)
