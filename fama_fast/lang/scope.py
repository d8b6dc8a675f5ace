"""Which bare names there are: fields, groups, and what a mistyped one probably meant.

With the data's names given, exactly those and what derives from them exist. Without, any name may be a column
of data not seen yet, to be looked up when evaluated; only names that are close to a standard one are refused
as misspelt. In a recorded text none is: it was checked against its data when it was written. It knows no operator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.errors import nearest_name
from fama_fast.lang.dialects.dialect import FOREIGN_FIELDS, FOREIGN_GROUPS
from fama_fast.panel.names import meant_by
from fama_fast.types import DERIVED_FIELDS, STANDARD_FIELDS, STANDARD_GROUPS, derived_field

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fama_fast.lang.dialects.dialect import Dialect

_MAX_LISTED = 20


def edit_distance(a: str, b: str, limit: int) -> int:
    """Insertions, deletions, substitutions and swaps of neighbours from `a` to `b`, up to `limit + 1`."""
    if abs(len(a) - len(b)) > limit:
        return limit + 1
    before: list[int] = []
    previous = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            cost = min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, previous = previous, row
    return min(previous[-1], limit + 1)


def misspelt(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` is a slip or a beginning of, if any.

    Stricter than `nearest_name`, because a column of the user's data must not be refused for a faint likeness
    (ADJ_CLOSE, CAPEX, REV): one slip, two in a long name, or at least three leading letters; of a name as
    short as RET, which many columns are one letter away from, only letters swapped or a plural.
    """
    if len(name) < 3:
        return None
    for k in known:
        limit = 2 if len(k) >= 8 else 1
        if len(k) < 4:  # noqa: SIM108  (two rules, each with its own line)
            slip = sorted(name) == sorted(k) or name == f"{k}S"
        else:
            slip = edit_distance(name, k, limit) <= limit
        if slip or k.startswith(name):
            return k
    return None


class Scope:
    """The fields and groups that an expression may name; None means that the data is not known yet."""

    recorded = False

    def __init__(self, dialect: Dialect, fields: Iterable[str] | None, groups: Iterable[str] | None) -> None:
        self._dialect = dialect
        self._fields = None if fields is None else {f.upper() for f in fields}
        self._groups = None if groups is None else {g.upper() for g in groups}

    def field(self, written: str) -> str | None:
        """The field that a name stands for, or None when there is no such field."""
        name = self._dialect.fields.get(written.upper(), written.upper())
        if self._fields is None:
            return None if self.is_group(name) or "." in name or self._slip(name) else name
        derived = derived_field(name)
        if name in self._fields or (derived is not None and self._fields.issuperset(derived.inputs)):
            return name
        return None

    def group(self, written: str) -> str | None:
        """The group that a name stands for, or None when there is no such group."""
        name = self._dialect.groups.get(written.upper(), written.upper())
        if self._groups is not None:
            return name if name in self._groups else None
        if name in STANDARD_GROUPS:
            return name
        known = self._is_standard_field(name) or "." in name or misspelt(name, STANDARD_GROUPS)
        return None if known else name

    def is_field(self, written: str) -> bool:
        """Certainly a field, not just possibly a column."""
        name = self._dialect.fields.get(written.upper(), written.upper())
        return name in self._fields if self._fields is not None else self._is_standard_field(name)

    def is_group(self, written: str) -> bool:
        """Certainly a group."""
        name = self._dialect.groups.get(written.upper(), written.upper())
        return name in (STANDARD_GROUPS if self._groups is None else self._groups)

    def no_field(self, written: str) -> tuple[str, str | None]:
        """Why there is no such field, and the nearest one."""
        name = written.upper()
        meant = FOREIGN_FIELDS.get(name) or meant_by(name)
        if self._fields is None:
            return f"unknown field {written!r}", self._slip(name) or nearest_name(name, STANDARD_FIELDS)
        known = [*self._fields, *(n for n in DERIVED_FIELDS if self.field(n))]
        if meant in known:
            return f"the data has no field {written!r}", meant
        return f"the data has no field {written!r} ({_listed(self._fields)})", nearest_name(name, known)

    def no_group(self, written: str) -> tuple[str, str | None]:
        """Why there is no such group, and the nearest one."""
        name = written.upper()
        if self._groups is None:
            nearest = nearest_name(name.rpartition(".")[2], STANDARD_GROUPS)
            return f"unknown group {written!r}", FOREIGN_GROUPS.get(name) or nearest
        have = _listed(self._groups) if self._groups else "it has none: join a group file"
        wanted = self._dialect.groups.get(name, name)
        nearest = nearest_name(wanted, self._groups)
        if nearest and wanted in STANDARD_GROUPS:
            have += f"; to lend it one: panel.replace(groups={{'{wanted}': panel.group('{nearest}')}})"
        return f"the data has no group {written!r} ({have})", nearest

    @staticmethod
    def _is_standard_field(name: str) -> bool:
        return name in STANDARD_FIELDS or derived_field(name) is not None

    def _slip(self, name: str) -> str | None:
        if self._is_standard_field(name):
            return None
        if name.startswith("ADV") and (name[3:].isdigit() or name == "ADV"):
            return "ADV20"
        meant = misspelt(name, (*STANDARD_FIELDS, *STANDARD_GROUPS, *FOREIGN_FIELDS))
        return FOREIGN_FIELDS.get(meant, meant) if meant else None


class RecordedScope(Scope):
    """Names of a text that was checked against its data when it was written, and whose data are not at hand.

    Every name is a field where a series is due and a group where a group is due, however close to a standard name it
    is: a column `vol` is no slip of VOLUME.
    """

    recorded = True

    def __init__(self, dialect: Dialect) -> None:
        super().__init__(dialect, None, None)

    def field(self, written: str) -> str | None:
        name = self._dialect.fields.get(written.upper(), written.upper())
        return None if "." in name else name

    def group(self, written: str) -> str | None:
        name = self._dialect.groups.get(written.upper(), written.upper())
        return None if "." in name else name

    def is_field(self, written: str) -> bool:
        return True

    def is_group(self, written: str) -> bool:
        return True


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - _MAX_LISTED} more" if len(ordered) > _MAX_LISTED else ""
    return f"it has {', '.join(ordered[:_MAX_LISTED])}{more}"
