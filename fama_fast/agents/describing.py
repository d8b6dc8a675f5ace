"""What a session says before anything is measured: the data, the operators, and whether a formula may be scored.

Figures of the data are those of the dates before the test split.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast import ops
from fama_fast.agents.answers import figures
from fama_fast.agents.measuring import gate_context, refusal
from fama_fast.errors import UnknownName, nearest_name
from fama_fast.lang import get_dialect
from fama_fast.mining.candidate import Candidate
from fama_fast.mining.run.brief import market_name
from fama_fast.mining.run.to_records import split_days
from fama_fast.panel import Panel
from fama_fast.proposals.operator_text import describe, first_sentence
from fama_fast.proposals.operators import proposable_specs
from fama_fast.proposals.protocol import Proposal
from fama_fast.target.words import in_words

if TYPE_CHECKING:
    from fama_fast.agents.session import AgentSession
    from fama_fast.mining.measure.market import Market


MASKED = "masked"  # in place of the market's name, where `data.mask` hides it


def data_description(session: AgentSession) -> dict[str, Any]:
    """Market, bars, fields, splits, target, objective, gates and limits, in figures, and the looks so far."""
    market, config = session.market, session.config
    whole, gates, splits = market.whole, config.gates, split_days(market)
    vocabulary = market.vocabulary
    shown = ("days",) if config.data.mask else ("first", "last", "days")
    described = {
        "source": MASKED if config.data.mask else market_name(whole.source),
        "symbols": whole.shape[1],
        "dates": whole.shape[0],
        "splits": {name: {key: splits[name][key] for key in shown} for name in ("train", "valid", "test")},
        "test_split": "closed: no tool reads it but `verdict`, once, where something holds before it",
        "members_a_date": float(market.members.mean()),
        "fields": _fields(market, vocabulary.fields),
        "groups": list(vocabulary.groups),
        "target": in_words(market.target),
        "horizon": market.horizon,
        "objective": config.objective,
        "cost_bps": config.cost_bps,
        "limits": {
            "nodes": gates.max_nodes,
            "depth": gates.max_depth,
            "rows_of_history": gates.max_lookback,
            "longest_window": vocabulary.max_window,
            "order_may_hang_on_price_levels": gates.price_level == "allow",
        },
        "gates": {
            "min_coverage": gates.min_coverage,
            "min_rank_ic_in_training": gates.min_rank_ic,
            "min_t_in_training": gates.min_t,
            "max_correlation_with_the_library": gates.max_correlation,
            "rank_ic_charged_a_node": gates.complexity_penalty,
        },
        "library": len(session.state.library),
        "run": session.run.id,
        **session.looks.as_dict(),
        "valid_t_needed": session.looks.needed(),
        "warnings": [] if config.data.mask else [*whole.warnings, *market.warnings],
    }
    return dict(figures(described))


def _fields(market: Market, names: tuple[str, ...]) -> Any:
    """Coverage, and the range of the middle nine tenths, of each field before the test; names alone of data that are
    read in parts."""
    if not isinstance(market.panel, Panel):
        return list(names)
    out = {}
    for name in names:
        values = market.panel[name]
        known = values[np.isfinite(values)]
        low, middle, high = np.quantile(known, (0.05, 0.5, 0.95)).tolist() if known.size else (None, None, None)
        out[name] = {"coverage": known.size / values.size, "low": low, "median": middle, "high": high}
    return out


def operator_list(session: AgentSession) -> dict[str, Any]:
    """The operators that the data can serve, by family: signature and first sentence."""
    families: dict[str, list[str]] = {}
    for spec in proposable_specs(session.market.vocabulary):
        families.setdefault(spec.family.value, []).append(f"{spec.signature}: {first_sentence(spec.doc)}")
    return {
        "operators": families,
        "infix": "+ - * / ^, comparisons, && || !, condition ? a : b; ADV20 is the mean of CLOSE * VOLUME over 20 days",
        "windows": "whole numbers from 1; a window ends today, and lags are positive: nothing can look ahead",
    }


def operator_description(name: str) -> dict[str, Any]:
    """One operator in full, by name or alias.

    Raises:
        UnknownName: there is none; the message has the nearest.
    """
    folded = name.strip().upper()
    spec = ops.find(get_dialect("fama").operators.get(folded, folded))
    if spec is None:
        raise UnknownName(f"unknown operator {name[:64]!r}", suggestion=nearest_name(name, ops.names()))
    return {key: value for key, value in describe(spec).items() if value not in ("", [], None)}


def check(session: AgentSession, expression: str) -> dict[str, Any]:
    """Read a formula without measuring it: canonical form, history, size, unit, warnings, and whether it may be scored.

    Raises:
        ExpressionError: it is not in the language; the message says where and what is nearest.
    """
    with session.lock:
        alpha = session.compiled(expression)
        candidate = Candidate(0, Proposal(expression), alpha=alpha)
        why = refusal(candidate, gate_context(session.state, session.config, session.market))
        known = session.known(alpha)
        library = {m.factor.fingerprint for m in session.state.library.members} | set(session.state.turned)
        return {
            "canonical": alpha.canonical,
            "fingerprint": alpha.fingerprint,
            "fields": list(alpha.fields),
            "groups": list(alpha.groups),
            "rows_of_history": alpha.lookback,
            "nodes": alpha.n_nodes,
            "depth": alpha.depth,
            "unit": alpha.unit,
            "warnings": list(alpha.warnings),
            "may_be_scored": why is None,
            **({} if why is None else {"why_not": why}),
            "known": f"trial {known.number}"
            if known is not None
            else "in the library"
            if alpha.fingerprint in library
            else "no",
        }
