"""The table of proposers by name, and the function that makes one from settings. What cannot be made is an error that
says what to set, never another proposer.

    PROPOSERS["mine"] = ProposerKind("what it does, in a few words", lambda settings: MyProposer(settings.seed))

The key `proposer` of a configuration, `mix`, the command line's help and the messages all read this one table.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from fama_fast.errors import ConfigError, one_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from fama_fast.llm.settings import LLMSettings
    from fama_fast.proposals.protocol import Proposer


@dataclass(frozen=True)
class ProposerSettings:
    """The settings that `make_proposer` needs.

    Attributes:
        kind: which proposer. seed: mixed into what `evolve` draws. mix: shares of a `mixed` one by kind.
        llm: settings of the language model (for `llm`, and for a replay by prompt hash); None means defaults.
        prompts_dir: folder of templates that replace the packaged ones of the same name.
        exchange_log: folder or `.jsonl` file that every exchange is appended to and answered from on a
            repeat.
        replay_path: recorded exchanges, or a list of expressions. replay_match: how recorded answers are
            found.
    """

    kind: str = "evolve"
    seed: int = 0
    llm: LLMSettings | None = field(default=None)
    prompts_dir: Path | None = None
    exchange_log: Path | None = None
    replay_path: Path | None = None
    replay_match: Literal["order", "hash"] = "order"
    mix: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ProposerKind:
    """One kind of proposer: what it does in a few words, and how it is made; `mixes`: it may have a share in `mix`."""

    summary: str
    make: Callable[[ProposerSettings], Proposer]
    mixes: bool = True


def make_proposer(settings: ProposerSettings) -> Proposer:
    """The proposer of `settings.kind`.

    Raises:
        ConfigError: a kind, key, model, template or replay file that is missing or unusable.
        ProposerError: a recorded file that cannot be read.
    """
    try:
        check_kind(settings.kind)
    except ValueError as error:
        raise ConfigError(f"proposer {error}") from None
    return PROPOSERS[settings.kind].make(settings)


def check_kind(kind: str, *, mixes: bool = False) -> str:
    """The kind itself; with `mixes`, one that may have a share.

    Raises:
        ValueError: there is no such kind; it names those that there are and the nearest.
    """
    return one_of(kind, [name for name, entry in PROPOSERS.items() if entry.mixes or not mixes])


def _evolve(settings: ProposerSettings) -> Proposer:
    from fama_fast.mining.proposers.kinds.evolve import EvolveProposer

    return EvolveProposer(settings.seed)


def _llm(settings: ProposerSettings) -> Proposer:
    from fama_fast.llm.exchange_log import ExchangeLog
    from fama_fast.llm.prompt import load_templates
    from fama_fast.llm.settings import LLMSettings
    from fama_fast.mining.proposers.kinds.llm import LLMProposer, make_client

    llm = settings.llm or LLMSettings()
    templates = load_templates(settings.prompts_dir, llm.instructions_path)
    log = ExchangeLog(settings.exchange_log) if settings.exchange_log is not None else None
    if llm.models:
        from fama_fast.mining.proposers.kinds.several import SeveralModels

        members = {n: LLMProposer(own, make_client(own), templates=templates, log=log) for n, own in llm.each.items()}
        return SeveralModels(members, llm.per_prompt)
    client = make_client(llm)
    return LLMProposer(llm, client, templates=templates, log=log)


def _replay(settings: ProposerSettings) -> Proposer:
    from fama_fast.llm.prompt import load_templates
    from fama_fast.llm.settings import LLMSettings
    from fama_fast.mining.proposers.kinds.replay import ReplayProposer

    if settings.replay_path is None:
        raise ConfigError("paths.replay: the replay proposer needs a file of recorded exchanges or expressions")
    llm = settings.llm or LLMSettings()
    templates = load_templates(settings.prompts_dir, llm.instructions_path)
    return ReplayProposer(settings.replay_path, match=settings.replay_match, templates=templates, settings=llm)


def _mixed(settings: ProposerSettings) -> Proposer:
    from fama_fast.mining.proposers.kinds.mixed import MixedProposer

    if not settings.mix:
        raise ConfigError("mix: the mixed proposer needs shares, such as {llm: 0.3, evolve: 0.7}")
    for kind in settings.mix:
        try:
            check_kind(kind, mixes=True)
        except ValueError as error:
            raise ConfigError(f"mix {error}") from None
    return MixedProposer({k: (make_proposer(replace(settings, kind=k)), w) for k, w in settings.mix.items()})


PROPOSERS: dict[str, ProposerKind] = {
    "evolve": ProposerKind("varies and combines what did well; needs no model", _evolve),
    "llm": ProposerKind("asks a language model", _llm),
    "replay": ProposerKind("repeats recorded answers, or a list of expressions", _replay),
    "mixed": ProposerKind("several of the others, each with its share (`mix`)", _mixed, mixes=False),
}
