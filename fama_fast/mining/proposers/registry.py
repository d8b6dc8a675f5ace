"""Makes the proposer that was asked for. What cannot be made is an error that says what to set, never another
one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from fama_fast.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fama_fast.llm.settings import LLMSettings
    from fama_fast.proposals.protocol import Proposer


_SINGLE: tuple[Literal["evolve", "llm", "replay"], ...] = ("evolve", "llm", "replay")


@dataclass(frozen=True)
class ProposerSettings:
    """What `make_proposer` needs.

    Attributes:
        kind: which proposer. seed: mixed into what `evolve` draws. mix: shares of a `mixed` one by kind.
        llm: settings of the language model (for `llm`, and for a replay by prompt hash); None means defaults.
        prompts_dir: folder of templates that replace the packaged ones of the same name.
        exchange_log: folder or `.jsonl` file that every exchange is appended to and answered from on a
            repeat.
        replay_path: recorded exchanges, or a list of expressions. replay_match: how recorded answers are
            found.
    """

    kind: Literal["evolve", "llm", "replay", "mixed"] = "evolve"
    seed: int = 0
    llm: LLMSettings | None = field(default=None)
    prompts_dir: Path | None = None
    exchange_log: Path | None = None
    replay_path: Path | None = None
    replay_match: Literal["order", "hash"] = "order"
    mix: Mapping[str, float] = field(default_factory=dict)


def make_proposer(settings: ProposerSettings) -> Proposer:
    """The proposer of `settings.kind`.

    Raises:
        ConfigError: a key, model, template or replay file that is missing or unusable.
        ProposerError: a recorded file that cannot be read.
    """
    if settings.kind == "mixed":
        from fama_fast.mining.proposers.mixed import MixedProposer

        if not settings.mix:
            raise ConfigError("mix: the mixed proposer needs shares, such as {llm: 0.3, evolve: 0.7}")
        unknown = sorted(set(settings.mix) - set(_SINGLE))
        if unknown:
            raise ConfigError(f"mix: {unknown[0]!r} is not one of {', '.join(_SINGLE)}")
        parts: dict[str, tuple[Proposer, float]] = {}
        for kind in _SINGLE:
            if kind in settings.mix:
                parts[kind] = make_proposer(replace(settings, kind=kind)), settings.mix[kind]
        return MixedProposer(parts)
    if settings.kind == "evolve":
        from fama_fast.mining.proposers.evolve import EvolveProposer

        return EvolveProposer(settings.seed)
    from fama_fast.llm.prompt import load_templates
    from fama_fast.llm.settings import LLMSettings

    llm = settings.llm or LLMSettings()
    if settings.kind == "replay":
        from fama_fast.mining.proposers.replay import ReplayProposer

        if settings.replay_path is None:
            raise ConfigError("paths.replay: the replay proposer needs a file of recorded exchanges or expressions")
        templates = load_templates(settings.prompts_dir, llm.instructions_path)
        return ReplayProposer(settings.replay_path, match=settings.replay_match, templates=templates, settings=llm)
    if settings.kind == "llm":
        from fama_fast.llm.exchange_log import ExchangeLog
        from fama_fast.mining.proposers.llm import LLMProposer, make_client

        templates = load_templates(settings.prompts_dir, llm.instructions_path)
        client = make_client(llm)
        log = ExchangeLog(settings.exchange_log) if settings.exchange_log is not None else None
        return LLMProposer(llm, client, templates=templates, log=log)
    raise ConfigError(f"proposer: {settings.kind!r} is not one of evolve, llm, replay, mixed")
