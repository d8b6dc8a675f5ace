"""The formulas of the fixed arms: published sets and random draws, with what reads them."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

from fama_fast.engine import compile as compile_alpha
from fama_fast.errors import FamaError
from fama_fast.lang import to_text
from fama_fast.library.published import PUBLISHED as SETS
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.proposers.kinds.evolve import EvolveProposer
from fama_fast.mining.proposers.random_tree import random_expression
from fama_fast.passes import canonicalise, ranking_hash
from fama_fast.proposals.admissible import admissible
from fama_fast.proposals.protocol import ProposalRequest, SearchView, Vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fama_fast.engine import Alpha
    from fama_fast.panel import Panel

    Reader = Callable[[Sequence[str]], list[Alpha]]

MAX_LOOKBACK = 120  # rows that a random formula may need before a date
_DEPTHS = (3, 4, 4, 4, 5)
PUBLISHED = {name: known.dialect for name, known in SETS.items()}
SEARCHERS = "random-search"
RANDOM = ("random", "random-free", SEARCHERS)
_ROUND = 40  # formulas that the searcher is asked for at a time, as in a run


def published(name: str, panel: Panel) -> list[str]:
    """The texts of a published set that the data can serve, in its dialect and order."""
    out = []
    for text in SETS[name].texts().values():
        try:
            compile_alpha(text, dialect=PUBLISHED[name], fields=panel.fields, groups=panel.groups)
        except FamaError:  # a group or a field that the data lack
            continue
        out.append(text)
    return out


def drawn(panel: Panel, seed: int, count: int, *, level_free: bool) -> list[str]:
    """So many different random formulas in canonical text; the first n do not depend on how many there are."""
    vocabulary = Vocabulary(panel.fields, (), 250)
    rng = random.Random(7 + seed)
    texts: list[str] = []
    seen: set[str] = set()
    while len(texts) < count:
        try:
            node = canonicalise(random_expression(rng, vocabulary, max_depth=rng.choice(_DEPTHS)))
            alpha = compile_alpha(text := to_text(node), fields=panel.fields)
        except FamaError:  # parameters that do not go together
            continue
        if text in seen or alpha.lookback > MAX_LOOKBACK or (level_free and alpha.level_dependence):
            continue
        seen.add(text)
        texts.append(text)
    return texts


def fresh(panel: Panel, seed: int, count: int) -> list[str]:
    """So many fresh formulas of the searcher, which has nothing to breed from, that its gates let read: distinct
    rankings, level-free, with a lookback of up to theirs. The first n do not depend on how many there are.

    They are of the stream that a run with this seed draws from, which breeds in place of some and leaves near-copies
    out: what the two differ by is what the search adds.
    """
    config = config_from_dict({})
    limits = config.gates.limits
    asked = ProposalRequest(
        _ROUND, vocabulary=Vocabulary(panel.fields, (), min(limits.max_lookback + 1, 250)), limits=limits, seed=seed
    )
    proposer, known = EvolveProposer(seed), frozenset[str]()
    rankings: frozenset[str] = frozenset()
    texts: list[str] = []
    number = 0
    while len(texts) < count:
        number += 1
        found = proposer.propose(
            replace(asked, round=number, known=known, search=SearchView(ranking_hashes=rankings))
        ).proposals
        nodes = [compile_alpha(p.expression, fields=panel.fields).node for p in found]
        texts += [p.expression for p, node in zip(found, nodes, strict=True) if admissible(node, limits) is None]
        known |= {p.expression for p in found}
        rankings |= {ranking_hash(node) for node in nodes}
    return texts[:count]


def texts_of(arm: str, panel: Panel, seed: int, count: int) -> list[str]:
    """The formulas of a fixed arm."""
    if arm in PUBLISHED:
        return published(arm, panel)
    if arm == SEARCHERS:
        return fresh(panel, seed, count)
    return drawn(panel, seed, count, level_free=arm == "random-free")


def reader(arm: str, panel: Panel) -> Reader:
    """What compiles texts of an arm on these data."""
    dialect = PUBLISHED.get(arm, "fama")

    def read(texts: Sequence[str]) -> list[Alpha]:
        return [compile_alpha(t, dialect=dialect, fields=panel.fields, groups=panel.groups) for t in texts]

    return read
