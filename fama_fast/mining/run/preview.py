"""The prompts that the next round of a run would send, exactly, with what they cost; nothing is sent or recorded."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fama_fast._version import __version__
from fama_fast.errors import ConfigError, StoreError
from fama_fast.ledger.ledger import Ledger
from fama_fast.ledger.records import RunRecord, now
from fama_fast.llm.prompt import load_templates
from fama_fast.llm.tokens import tokens_of
from fama_fast.mining.config_file import document
from fama_fast.mining.measure.cluster_scorer import open_market
from fama_fast.mining.proposers.kinds.llm import LLMProposer
from fama_fast.mining.proposers.kinds.mixed import shares
from fama_fast.mining.run.asking import ask
from fama_fast.mining.run.chains import build_chains
from fama_fast.mining.run.setup import check_budget, ledger_place, open_data, read_through, resumable
from fama_fast.mining.run.starting import starting_library
from fama_fast.mining.run.state import first_state, restored_state
from fama_fast.mining.run.themes import earlier_themes
from fama_fast.mining.run.to_records import describe, split_days
from fama_fast.proposals.memory import Memory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fama_fast.library.factor import Factor
    from fama_fast.llm.chat import Reply
    from fama_fast.llm.prompt import Message
    from fama_fast.llm.settings import LLMSettings
    from fama_fast.mining.config import MiningConfig
    from fama_fast.mining.measure.market import Market
    from fama_fast.mining.run.state import LoopState
    from fama_fast.panel import Panel
    from fama_fast.panel.dataset import Dataset

ALPHA_TOKENS = 81  # of one proposal as JSON, with a sentence of hypothesis and of explanation


@dataclass(frozen=True)
class NextPrompts:
    """The prompts of a round.

    Attributes:
        round: its number. run: the id of the run that goes on, empty for a new one. prompts: the messages of each.
        wanted: proposals asked for, in all. settings: of the model.
    """

    round: int
    run: str
    prompts: tuple[tuple[Message, ...], ...]
    wanted: int
    settings: LLMSettings

    @property
    def tokens(self) -> tuple[int, ...]:
        """About how many tokens each prompt has."""
        return tuple(sum(tokens_of(m.content) for m in messages) for messages in self.prompts)

    @property
    def answer_tokens(self) -> tuple[int, int]:
        """Tokens of the answers: about, without thinking, and at most."""
        most = len(self.prompts) * self.settings.max_tokens
        return min(most, self.wanted * ALPHA_TOKENS), most

    @property
    def cost(self) -> tuple[float, float] | None:
        """Money for the round's first answers: about, and at most; None without prices. Repairs come on top."""
        if self.settings.price_in is None or self.settings.price_out is None:
            return None
        about, most = (self.settings.cost(sum(self.tokens), n, batched=self.settings.batch) for n in self.answer_tokens)
        return about, most

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        about, most = self.answer_tokens
        return {
            "run": self.run or None,
            "round": self.round,
            "model": self.settings.model,
            "wanted": self.wanted,
            "prompts": [
                {"tokens": n, "messages": [{"role": m.role, "content": m.content} for m in messages]}
                for n, messages in zip(self.tokens, self.prompts, strict=True)
            ],
            "tokens": sum(self.tokens),
            "answer_tokens": {"about": about, "at_most": most},
            "cost": None if self.cost is None else {"about": self.cost[0], "at_most": self.cost[1]},
        }


class _Silent:
    """A client that has nobody to send to; implements `ChatClient`."""

    def complete(self, *_: Any, **__: Any) -> Reply:
        raise AssertionError("a preview sends nothing")


def next_prompts(
    config: MiningConfig,
    *,
    panel: Panel | Dataset | None = None,
    resume: str | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> NextPrompts:
    """The prompts of the next round.

    Args:
        config: of the run; its proposer is `llm`, or `mixed` with a share for `llm`. No key and no model is needed.
        panel: the data, in place of what `config.paths` names. resume: id of an unfinished run whose next round it is
            ("last": the latest).

    Raises:
        ConfigError: a proposer without prompts; settings or data that a resumed run did not have. Others: as `mine`.
    """
    if config.proposer != "llm" and not (config.proposer == "mixed" and "llm" in config.mix):
        raise ConfigError(f"proposer: {config.proposer} sends no prompts: set proposer: llm")
    templates = load_templates(
        config.paths.prompts_dir and Path(config.paths.prompts_dir), config.llm.instructions_path
    )
    proposer = LLMProposer(config.llm, _Silent(), templates=templates)
    with ExitStack() as opened:
        ledger = record = None
        if resume is not None:
            ledger = opened.enter_context(Ledger.open(ledger_place(config), create=False))
            record = resumable(ledger, resume, config)
        check_budget(config, panel)
        data = panel if panel is not None else open_data(config)
        read_through(data, config)
        if record is not None and record.data_hash != data.data_hash:
            raise ConfigError(f"run {record.id} was made on other data: {record.source} with hash {record.data_hash}")
        start = starting_library(config.paths.factor_cache, config.library) if record is None else None
        library = _begun(ledger, record) if start is None else [f.canonical for f in start.factors]
        market = opened.enter_context(open_market(data, config, given=panel is not None, library=library, note=note))
        state = _restored(market, ledger, record) if start is None else _first(config, market, start.factors)
        number = state.round + 1
        memory = _memory(config, market, ledger, record) if config.llm.memory else None
        _, request = ask(state, config, market, number, memory=memory)
    if config.proposer == "mixed":
        request = replace(request, count=shares(config.mix, request.count, number)["llm"])
    prompts = tuple(tuple(messages) for messages in proposer.prompts(request)) if request.count else ()
    return NextPrompts(number, "" if record is None else record.id, prompts, request.count, config.llm)


def _begun(ledger: Ledger | None, record: RunRecord | None) -> list[str]:
    assert ledger is not None
    assert record is not None
    return [f.canonical for f in ledger.starting_factors(record.id)]


def _first(config: MiningConfig, market: Market, start: Sequence[Factor]) -> LoopState:
    state, _ = first_state(market, start)
    build_chains(state, config, market)
    return state


def _restored(market: Market, ledger: Ledger | None, record: RunRecord | None) -> LoopState:
    assert ledger is not None
    assert record is not None
    if record.state is None:
        raise StoreError(f"run {record.id} has no stored state to go on from: start a new one")
    return restored_state(market, record.state, ledger.candidates(record.id), ledger.starting_factors(record.id))


def _memory(config: MiningConfig, market: Market, ledger: Ledger | None, record: RunRecord | None) -> Memory | None:
    """What earlier runs of the ledger have learnt, for a run that goes on or one that would begin now."""
    test_first = split_days(market)["test"]["first"]
    if record is not None and ledger is not None:
        return earlier_themes(ledger, record, test_first)
    place, data = ledger_place(config), market.whole
    if "://" not in place and not Path(place).is_file():
        return Memory()
    run = RunRecord(
        id="",
        source=data.source,
        data_hash=data.data_hash,
        seed=config.run.seed,
        proposer=config.proposer,
        config=document(config),
        version=__version__,
        started_at=now(),
        data=describe(data),
    )
    with Ledger.open(place, create=False) as known:
        return earlier_themes(known, run, test_first)


def text_of(found: NextPrompts) -> str:
    """The prompts as people read them: what they cost first, then every message as it would be sent."""
    lines = [_headline(found)]
    for n, (tokens, messages) in enumerate(zip(found.tokens, found.prompts, strict=True), 1):
        for message in messages:
            same = n > 1 and message.role == "system" and message == found.prompts[0][0]
            head = f"=== prompt {n} of {len(found.prompts)}, {message.role}"
            size = f"about {tokens_of(message.content):,} tokens of {tokens:,}"
            lines += ["", f"{head} ({size}{'; as in prompt 1' if same else ''})"]
            lines += [] if same else [message.content]
    return "\n".join(lines)


def _headline(found: NextPrompts) -> str:
    run = f" of run {found.run}" if found.run else ""
    if not found.prompts:
        return f"round {found.round}{run}: the model is asked for nothing"
    about, most = found.answer_tokens
    many = len(found.prompts)
    said = (
        f"round {found.round}{run}: {many} prompt{'' if many == 1 else 's'} for {found.wanted} alphas, "
        f"about {sum(found.tokens):,} tokens; answers of about {about:,} tokens, at most {most:,}"
    )
    if found.cost is None:
        return f"{said}; for an estimate of money set llm.price_in and llm.price_out; nothing was sent"
    return f"{said}; about {found.cost[0]:.4f}, at most {found.cost[1]:.4f} without repairs; nothing was sent"
