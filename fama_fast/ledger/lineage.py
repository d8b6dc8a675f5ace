"""Lineage of factors: ancestors, descendants and chains, queried with recursive SQL.

Parentage is a graph over candidates (`parents`): a candidate's parents are rows written before it, so that
following `parent_id` downwards in row numbers always ends, whatever a damaged database holds. Chains are a forest
over `chain_steps`. The queries run alike on SQLite and PostgreSQL and touch only what they return.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fama_fast.errors import NotRecorded, StoreError, nearest_name
from fama_fast.ledger import schema
from fama_fast.ledger.earlier_versions import negative, oriented_text
from fama_fast.ledger.kin import ChainLink, ChainPath, Kin, canonical_of, kin_of
from fama_fast.ledger.rows import standing_row

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from fama_fast.ledger.store import Store

_CANDIDATES, _PARENTS, _STEPS = schema.candidates, schema.parents, schema.chain_steps
_MANY = 500


class Lineage:
    """Queries about lineage within one run of a store."""

    def __init__(self, store: Store, run_id: str) -> None:
        """`run_id` in full, as `Ledger.get_run` gives it."""
        self._store, self._run = store, run_id

    def find(self, name: str) -> str:
        """The fingerprint that `name` means: a fingerprint or the beginning of one, an expression, or `best` for the
        admitted factor of highest score.

        Raises:
            NotRecorded: the run has no such factor; names the nearest expression.
        """
        c_, s_ = _CANDIDATES.c, schema.starting_factors.c
        with self._store.transaction() as c:
            if name == "best":
                query = sa.select(c_.fingerprint).where(c_.run_id == self._run, c_.admitted, c_.score.is_not(None))
                fingerprints = c.scalars(query.order_by(c_.score.desc(), c_.id).limit(1)).all()
                if not fingerprints:
                    raise NotRecorded(f"ledger {self._store.place}: run {self._run} has admitted no factor yet")
                return str(fingerprints[0])
            wanted = (name.strip(), canonical_of(name))
            hits: set[str] = set()
            for key, run, texts in (
                (c_.fingerprint, c_.run_id, (c_.text, c_.canonical)),
                (s_.fingerprint, s_.run_id, (s_.canonical,)),
            ):
                same = sa.or_(*(t.in_(wanted) for t in texts), key.startswith(name, autoescape=True))
                hits |= set(c.scalars(sa.select(key).where(run == self._run, key.is_not(None), same).distinct()))
            if not hits:
                hits = self._turned(c, wanted, name)
            if len(hits) == 1:
                return str(hits.pop())
            if name in hits:
                return name
            if hits:
                raise StoreError(f"ledger {self._store.place}: {name!r} is the beginning of {len(hits)} factors")
            query = sa.select(c_.canonical).where(c_.run_id == self._run, c_.canonical.is_not(None)).limit(20_000)
            near = nearest_name(name, c.scalars(query))
        hint = f"; did you mean {near}?" if near else ""
        raise NotRecorded(f"ledger {self._store.place}: run {self._run} has no factor {name[:80]!r}{hint}")

    def _turned(self, c: sa.Connection, texts: Collection[str], fingerprint: str) -> set[str]:
        """Factors of an older run that have a text or the beginning of a fingerprint in the direction of training: its
        rows are as they were proposed."""
        hits = set()
        for t in (_CANDIDATES.c, schema.starting_factors.c):
            query = sa.select(t.fingerprint, t.canonical).where(t.run_id == self._run, t.sign == -1).distinct()
            for row in c.execute(query):
                name, text = negative(row.canonical, row.fingerprint)
                if text in texts or (fingerprint and name.startswith(fingerprint)):
                    hits.add(row.fingerprint)
        return hits

    def ancestors(self, fingerprint: str) -> list[Kin]:
        """The factor and everything it descends from, nearest generation first, each once.

        Raises:
            NotRecorded: the run has no such factor.
        """
        with self._store.transaction() as c:
            own = self._own_row(c, fingerprint)
            if own is None:
                return [*self._starting(c, {fingerprint: 0})]
            kin = sa.select(sa.literal(own, sa.Integer).label("id")).cte(
                "kin", recursive=True
            )  # UNION drops what was met before, so a factor with many paths to it is followed once
            kin = kin.union(
                sa.select(_PARENTS.c.parent_id)
                .join(kin, _PARENTS.c.candidate_id == kin.c.id)
                .where(_PARENTS.c.parent_id.is_not(None), _PARENTS.c.parent_id < kin.c.id)
            )
            rows = self._rows(c, sa.select(kin.c.id))
            links = self._links(c, sa.select(kin.c.id))
            up: dict[Any, list[Any]] = {}
            for child, name, parent in links:
                up.setdefault(child, []).append(name if parent is None else parent)
            distances, parents = _distances([own], up), _names(links)
            relatives = [kin_of(rows[i], d, parents) for i, d in distances.items() if i in rows]
            names = {i: d for i, d in distances.items() if isinstance(i, str)}
            relatives += self._starting(c, names)
        return sorted(relatives, key=lambda k: (k.distance, -(k.id or 0), k.fingerprint or ""))

    def path(self, fingerprint: str) -> list[Kin]:
        """The best path to a factor, its start first: from every member back to its strongest parent (training
        RankIC).

        Raises:
            NotRecorded: the run has no such factor.
        """
        p, start = _PARENTS.c, schema.starting_factors
        with self._store.transaction() as c:
            own = self._own_row(c, fingerprint)
            if own is None:
                return [*self._starting(c, {fingerprint: 0})]
            # A parent outside the run's candidates is one of the library that the run began with.
            score = sa.func.coalesce(_CANDIDATES.c.score, start.c.score, -1.0)

            def strongest(child: Any) -> Any:
                """Fingerprint of a child's strongest parent."""
                return (
                    sa.select(p.parent_fingerprint)
                    .outerjoin(_CANDIDATES, _CANDIDATES.c.id == p.parent_id)
                    .outerjoin(start, sa.and_(start.c.run_id == self._run, start.c.fingerprint == p.parent_fingerprint))
                    .where(p.candidate_id == child, sa.or_(p.parent_id.is_(None), p.parent_id < child))
                    .order_by(score.desc(), p.parent_fingerprint)
                    .limit(1)
                    .correlate(way, _PARENTS_OUTER)
                    .scalar_subquery()
                )

            way = sa.select(
                sa.literal(own, sa.Integer).label("id"),
                sa.literal(fingerprint, sa.String).label("fingerprint"),
                sa.literal(0, sa.Integer).label("distance"),
            ).cte("way", recursive=True)
            step = _PARENTS_OUTER
            way = way.union_all(
                sa.select(step.c.parent_id, sa.cast(step.c.parent_fingerprint, sa.String), way.c.distance + 1)
                .join(way, step.c.candidate_id == way.c.id)
                .where(step.c.parent_fingerprint == strongest(way.c.id))
            )
            reached = c.execute(sa.select(way.c.id, way.c.fingerprint, way.c.distance)).all()
            ids = [int(row.id) for row in reached if row.id is not None]
            rows = self._rows(c, ids)
            parents = _names(self._links(c, ids))
            out = [kin_of(rows[row.id], row.distance, parents) for row in reached if row.id is not None]
            out += self._starting(c, {row.fingerprint: row.distance for row in reached if row.id is None})
        return sorted(out, key=lambda k: -k.distance)

    def descendants(self, *, prompt_hash: str | None = None, round_number: int | None = None) -> list[Kin]:
        """The candidates of a prompt (by the beginning of its hash) or of a round, and all their descendants, nearest
        generation first, each once.

        Raises:
            StoreError: nothing came of such a prompt or round, or neither is given.
        """
        c_ = _CANDIDATES.c
        if prompt_hash is not None:
            origin, what = c_.prompt_hash.startswith(prompt_hash, autoescape=True), f"prompt {prompt_hash!r}"
        elif round_number is not None:
            origin, what = c_.round == round_number, f"round {round_number}"
        else:
            raise StoreError("name a prompt's hash or a round")
        with self._store.transaction() as c:
            first = list(c.scalars(sa.select(c_.id).where(c_.run_id == self._run, origin).order_by(c_.id)))
            if not first:
                raise NotRecorded(f"ledger {self._store.place}: run {self._run} has no candidate of {what}")
            kin = sa.select(c_.id).where(c_.run_id == self._run, origin).cte("kin", recursive=True)
            kin = kin.union(
                sa.select(_PARENTS.c.candidate_id)
                .join(kin, _PARENTS.c.parent_id == kin.c.id)
                .where(_PARENTS.c.candidate_id > kin.c.id)
            )
            rows = self._rows(c, sa.select(kin.c.id))
            links = self._links(c, sa.select(kin.c.id))
        down: dict[Any, list[Any]] = {}
        for child, _, parent in links:
            if parent in rows:
                down.setdefault(parent, []).append(child)
        parents = _names(links)
        relatives = [kin_of(rows[i], d, parents) for i, d in _distances(first, down).items()]
        return sorted(relatives, key=lambda k: (k.distance, k.id or 0))

    def chains(self) -> list[ChainPath]:
        """Every chain of the run from its first member to its last, by id."""
        s = _STEPS.c
        with self._store.transaction() as c:
            followed = _STEPS.alias("followed")
            # Later is a later round, then a later row of it; a migration adds rows of round 0 last.
            order = sa.func.row_number().over(partition_by=s.chain, order_by=(s.round.desc(), s.id.desc()))
            ranked = sa.select(s.id, order.label("place")).where(s.run_id == self._run, s.chain.is_not(None)).subquery()
            ends = sa.select(ranked.c.id).where(ranked.c.place == 1).subquery()
            way = (
                sa.select(s.chain.label("of"), s.id, s.round, s.parent_fingerprint)
                .join(ends, ends.c.id == s.id)
                .cte("way", recursive=True)
            )
            way = way.union(
                sa.select(way.c.of, followed.c.id, followed.c.round, followed.c.parent_fingerprint).where(
                    followed.c.run_id == self._run,
                    followed.c.fingerprint == way.c.parent_fingerprint,
                    sa.or_(
                        followed.c.round < way.c.round,
                        sa.and_(followed.c.round == way.c.round, followed.c.id < way.c.id),
                    ),
                )
            )
            rows = c.execute(
                sa.select(way.c.of, s.chain, s.fingerprint, s.action, s.round, s.score)
                .join(_STEPS, s.id == way.c.id)
                .order_by(way.c.of, s.round, s.id)
            ).all()
            expressions = self._expressions(c, {row.fingerprint for row in rows})
        grouped: dict[int, list[Any]] = {}
        for row in rows:
            grouped.setdefault(int(row.of), []).append(row)
        out = []
        for number, members in grouped.items():
            links = []
            for m in members:
                expression, prompt = expressions.get(m.fingerprint, ("", None))
                links.append(ChainLink(m.fingerprint, expression, m.action, m.round, m.score, prompt))
            shared = [m.chain for m in members if m.chain != number]
            out.append(ChainPath(number, tuple(links), shared[-1] if shared else None))
        return out

    # Rows

    def _own_row(self, c: sa.Connection, fingerprint: str) -> int | None:
        """The row that stands for a fingerprint; None for a starting factor.

        Raises:
            StoreError: it is neither.
        """
        c_, s_ = _CANDIDATES.c, schema.starting_factors.c
        query = sa.select(standing_row()).where(c_.run_id == self._run, c_.fingerprint == fingerprint)
        row = c.execute(query).scalar()
        start = sa.select(s_.fingerprint).where(s_.run_id == self._run, s_.fingerprint == fingerprint)
        if c.execute(start).first() is not None:
            return None
        if row is None:
            raise NotRecorded(f"ledger {self._store.place}: run {self._run} has no factor {fingerprint[:80]!r}")
        return int(row)

    def _rows(self, c: sa.Connection, ids: Any) -> dict[int, Any]:
        t = _CANDIDATES.c
        columns = (
            *(t.id, t.round, t.text, t.canonical, t.fingerprint, t.proposer, t.origin, t.prompt_hash),
            *(t.gate, t.admitted, t.score, t.data_hash, t.sign),
        )
        return {row.id: row for part in _parts(ids) for row in c.execute(sa.select(*columns).where(t.id.in_(part)))}

    def _links(self, c: sa.Connection, ids: Any) -> list[tuple[int, str, int | None]]:
        """(child, parent's fingerprint, parent's row or None) of these children."""
        p = _PARENTS.c
        query = sa.select(p.candidate_id, p.parent_fingerprint, p.parent_id)
        out: list[tuple[int, str, int | None]] = []
        for part in _parts(ids):
            rows = c.execute(query.where(p.candidate_id.in_(part)).order_by(p.candidate_id, p.parent_fingerprint))
            out += [(int(child), str(name), None if row is None else int(row)) for child, name, row in rows]
        return out

    def _starting(self, c: sa.Connection, distances: dict[str, int]) -> list[Kin]:
        """Members of the starting library by their distance; what no table knows keeps only its fingerprint."""
        s = schema.starting_factors.c
        columns = (s.fingerprint, s.canonical, s.score, s.sign)
        known = {
            row.fingerprint: row
            for part in _parts(sorted(distances))
            for row in c.execute(sa.select(*columns).where(s.run_id == self._run, s.fingerprint.in_(part)))
        }
        out = []
        for fingerprint, distance in distances.items():
            kin = Kin(distance, "", fingerprint)
            if fingerprint in known:
                row = known[fingerprint]
                kin = replace(kin, expression=oriented_text(row.canonical or "", row.sign), score=row.score)
            out.append(kin)
        return out

    def _expressions(self, c: sa.Connection, fingerprints: set[str]) -> dict[str, tuple[str, str | None]]:
        """Expression and prompt hash of candidates and starting factors."""
        t, s = _CANDIDATES.c, schema.starting_factors.c
        out: dict[str, tuple[str, str | None]] = {}
        for part in _parts(sorted(fingerprints)):
            mine = sa.select(t.fingerprint, t.canonical, t.sign, t.prompt_hash)
            mine = mine.where(t.run_id == self._run, t.fingerprint.in_(part), t.occurrence == 1)
            for name, text, sign, prompt in c.execute(mine):
                out[name] = oriented_text(text or "", sign), prompt
            start = sa.select(s.fingerprint, s.canonical, s.sign).where(s.run_id == self._run, s.fingerprint.in_(part))
            for row in c.execute(start):
                out[row.fingerprint] = oriented_text(row.canonical or "", row.sign), None
        return out


_PARENTS_OUTER = _PARENTS.alias("followed_parent")


def _parts(ids: Any) -> Iterable[Any]:
    """A query as it is; a list in pieces that databases take as parameters."""
    if isinstance(ids, sa.Select):
        return [ids]
    return [ids[i : i + _MANY] for i in range(0, len(ids), _MANY)]


def _names(links: Iterable[tuple[int, str, int | None]]) -> dict[int, list[str]]:
    """Parents' fingerprints by child."""
    out: dict[int, list[str]] = {}
    for child, name, _ in links:
        out.setdefault(child, []).append(name)
    return out


def _distances(start: Sequence[Any], edges: dict[Any, list[Any]]) -> dict[Any, int]:
    """Number of steps from `start` to every fingerprint that can be reached, the fewest."""
    out = dict.fromkeys(start, 0)
    queue = deque(start)
    while queue:
        at = queue.popleft()
        for then in edges.get(at, ()):
            if then not in out:
                out[then] = out[at] + 1
                queue.append(then)
    return out
