"""A chain book as plain data and back, for the store and for YAML.

Each factor is written once; chains name their members by fingerprint.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fama_fast.errors import FamaError, StoreError
from fama_fast.library.codec import check_keys
from fama_fast.library.factor_set import FactorSet
from fama_fast.mining.coe.book import ChainBook
from fama_fast.mining.coe.chain import Chain

if TYPE_CHECKING:
    from collections.abc import Collection

    from fama_fast.library.codec import OnMismatch

SCHEMA = 1

_KEYS = ("schema", "visit_penalty", "next_id", "chains", "factors")
_CHAIN_KEYS = ("id", "members", "visits", "cluster", "parent")


def book_to_dict(book: ChainBook) -> dict[str, Any]:
    """Plain data of a book."""
    return {
        "schema": SCHEMA,
        "visit_penalty": book.visit_penalty,
        "next_id": book.next_id,
        "chains": [
            {
                "id": c.id,
                "members": [f.fingerprint for f in c.members],
                "visits": c.visits,
                "cluster": c.cluster,
                "parent": c.parent,
            }
            for c in book
        ],
        "factors": FactorSet(book.members()).to_dict()["factors"],
    }


def book_from_dict(
    data: Any,
    *,
    source: str = "chains",
    on_mismatch: OnMismatch = "error",
    fields: Collection[str] | None = None,
    groups: Collection[str] | None = None,
) -> ChainBook:
    """The book that `book_to_dict` described.

    Raises:
        StoreError: wrong keys or values, a member that is not among the factors, chains that break their
        order.
    """
    if not isinstance(data, Mapping):
        raise StoreError(f"{source}: expected a mapping with the keys {', '.join(_KEYS)}")
    check_keys(data, _KEYS, source)
    if data.get("schema") != SCHEMA:
        raise StoreError(f"{source}: schema {data.get('schema')!r} is not known here (this version reads {SCHEMA})")
    factors = FactorSet.from_dict(
        {"factors": data.get("factors")}, source=source, on_mismatch=on_mismatch, fields=fields, groups=groups
    )
    entries = data.get("chains")
    if not isinstance(entries, list):
        raise StoreError(f"{source}: the key 'chains' must be a list")
    chains = tuple(_chain(entry, factors, f"{source}, chain {n}") for n, entry in enumerate(entries, start=1))
    penalty, next_id = data.get("visit_penalty"), data.get("next_id")
    if isinstance(penalty, bool) or not isinstance(penalty, (int, float)):
        raise StoreError(f"{source}: visit_penalty must be a number, found {penalty!r}")
    if isinstance(next_id, bool) or not isinstance(next_id, int):
        raise StoreError(f"{source}: next_id must be a whole number, found {next_id!r}")
    try:
        return ChainBook(chains, float(penalty), next_id)
    except FamaError as error:
        raise StoreError(f"{source}: {error}") from error


def _chain(entry: Any, factors: FactorSet, where: str) -> Chain:
    if not isinstance(entry, Mapping):
        raise StoreError(f"{where}: expected a mapping with the keys {', '.join(_CHAIN_KEYS)}")
    check_keys(entry, _CHAIN_KEYS, where)
    numbers = {key: entry.get(key) for key in ("id", "visits", "cluster", "parent")}
    for key, value in numbers.items():
        optional = key in ("cluster", "parent") and value is None
        if not optional and (isinstance(value, bool) or not isinstance(value, int)):
            raise StoreError(f"{where}: {key} must be a whole number, found {value!r}")
    listed = entry.get("members")
    if not isinstance(listed, list):
        raise StoreError(f"{where}: members must be a list of fingerprints")
    members = []
    for fingerprint in listed:
        factor = factors.get(fingerprint) if isinstance(fingerprint, str) else None
        if factor is None:
            raise StoreError(f"{where}: the member {fingerprint!r} is not among the factors")
        members.append(factor)
    try:
        return Chain(
            id=numbers["id"],  # type: ignore[arg-type]
            members=tuple(members),
            visits=numbers["visits"],  # type: ignore[arg-type]
            cluster=numbers["cluster"],
            parent=numbers["parent"],
        )
    except FamaError as error:
        raise StoreError(f"{where}: {error}") from error
