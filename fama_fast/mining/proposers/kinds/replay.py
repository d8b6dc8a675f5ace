"""The proposer of recorded answers: exchanges with a model, or a plain list of expressions. It works offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fama_fast.errors import ConfigError, ProposerError
from fama_fast.llm.exchange_log import FILE_NAME, Exchange, read_exchanges
from fama_fast.llm.settings import LLMSettings
from fama_fast.mining.proposers.kinds.llm import LLMProposer
from fama_fast.proposals.protocol import Capabilities, Proposal, ProposalBatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.llm.chat import Constraint, Reply
    from fama_fast.llm.prompt import Message
    from fama_fast.llm.templates import Templates
    from fama_fast.proposals.protocol import ProposalRequest

_ASIDE = frozenset({"probe", "check"})  # in the sampling of exchanges that ask for no proposals
_LISTS = ("factors", "alphas", "expressions", "proposals")


class _RecordedClient:
    """A chat client that answers with the recorded texts in order."""

    def __init__(self, exchanges: Sequence[Exchange], source: Path) -> None:
        self._exchanges = list(exchanges)
        self._source = source
        self._next = 0

    def complete(self, messages: Sequence[Message], constraint: Constraint | None = None, **_: Any) -> Reply:
        """The next recorded reply, whatever is asked."""
        if self._next >= len(self._exchanges):
            raise ProposerError(f"{self._source}: all {len(self._exchanges)} recorded answers have been replayed")
        exchange = self._exchanges[self._next]
        self._next += 1
        return exchange.reply()


class _ByHash:
    """A log of recorded answers, in which each prompt that is asked must be; implements `recorded.Log`."""

    def __init__(self, exchanges: Sequence[Exchange], source: Path) -> None:
        self._found = {e.prompt_hash: e for e in exchanges}
        self._source = source

    def find(self, prompt_hash: str) -> Exchange:
        """The recorded exchange."""
        exchange = self._found.get(prompt_hash)
        if exchange is None:
            raise ProposerError(
                f"{self._source}: no exchange with prompt hash {prompt_hash} was recorded: templates, data, settings "
                "or library differ from the recorded run"
            )
        return exchange

    def append(self, exchange: Exchange) -> None:
        """Nothing is new in a replay."""
        raise AssertionError(exchange.prompt_hash)


def _sampling(exchange: Exchange) -> dict[str, Any]:
    sampling = exchange.request.get("sampling")
    return sampling if isinstance(sampling, dict) else {}


def _in_order(exchanges: Sequence[Exchange]) -> list[Exchange]:
    """Exchanges in the order of a run without concurrency, without the greetings and probes of constraints.

    Answers of one round are recorded as they come. Runs of several seeds in one file stay one after the other.
    """
    answers = [e for e in exchanges if not _ASIDE.intersection(_sampling(e))]
    seeds: dict[Any, int] = {}
    keyed = []
    for n, exchange in enumerate(answers):
        draw = _sampling(exchange).get("draw")
        if not (isinstance(draw, list) and len(draw) == 4 and all(isinstance(d, int) for d in draw)):
            return answers
        keyed.append(((seeds.setdefault(draw[0], len(seeds)), *draw[1:], n), exchange))
    return [e for _, e in sorted(keyed, key=lambda k: k[0])]


class ReplayProposer:
    """Proposes the answers recorded in a file.

    The file is either recorded exchanges (`.jsonl`, or the folder that holds `exchanges.jsonl`), or
    expressions: YAML or JSON lines of texts or of mappings with `expression` (and `hypothesis`,
    `explanation`), or plain text with one expression a line (`#` starts a comment). A list that is used up
    gives empty batches; exchanges that are used up, or a prompt hash that was not recorded, are a
    ProposerError.
    """

    name = "replay"
    capabilities = Capabilities(deterministic=True, uses_prompt=False, costs_money=False)

    def __init__(
        self,
        path: str | Path,
        *,
        match: Literal["order", "hash"] = "order",
        templates: Templates | None = None,
        settings: LLMSettings | None = None,
    ) -> None:
        """`match`: recorded answers in order, or by prompt hash (`settings` as in the recorded run; default:
        from
        the record). `templates` matter to prompt hashes only."""
        path = Path(path)
        if path.is_dir():
            path = path / FILE_NAME
        if not path.is_file():
            raise ConfigError(f"paths.replay: {path} does not exist")
        self._dialogue: LLMProposer | None = None
        self._items: list[Proposal] = []
        self._next = 0
        if _holds_exchanges(path):
            exchanges = read_exchanges(path)
            llm = settings if settings is not None and settings.model else _recorded_settings(exchanges, settings)
            if match == "hash":
                # The server is that of the record: whoever replays it may have another, or none.
                recorded = _first(exchanges).server or {} if exchanges else {}
                client, found = _RecordedClient((), path), _ByHash(exchanges, path)
                self._dialogue = LLMProposer(llm, client, templates=templates, log=found, server=recorded)
            else:
                # One dialogue after the other, so that each finds its own repairs next.
                plain = llm.model_copy(update={"constraint": "none", "response_format": "text", "concurrency": 1})
                self._dialogue = LLMProposer(plain, _RecordedClient(_in_order(exchanges), path), templates=templates)
        elif match == "hash":
            raise ConfigError(f"{path}: a list of expressions has no prompt hashes; replay it in order")
        else:
            self._items = read_expressions(path)

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        """The next recorded answer, or the next `request.count` expressions of a list."""
        if self._dialogue is not None:
            return self._dialogue.propose(request)
        batch = self._items[self._next : self._next + request.count]
        self._next += len(batch)
        return ProposalBatch(tuple(batch))


def _first(exchanges: Sequence[Exchange]) -> Exchange:
    """The first exchange that is an answer; of none, an empty one."""
    return next((e for e in exchanges if not _ASIDE.intersection(_sampling(e))), Exchange("", ""))


def _recorded_settings(exchanges: Sequence[Exchange], settings: LLMSettings | None) -> LLMSettings:
    """The settings that decide prompt hashes, as recorded with the first exchange."""
    base = (settings or LLMSettings()).model_dump()
    request, sampling = _first(exchanges).request, _sampling(_first(exchanges))
    base |= {k: v for k, v in sampling.items() if k in base}
    base["model"] = request.get("model") or base["model"]
    try:
        return LLMSettings(**base)
    except ValueError:
        return settings or LLMSettings()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None


def _holds_exchanges(path: Path) -> bool:
    if path.suffix != ".jsonl":
        return False
    first = next((line for line in _read(path).split("\n") if line.strip()), "")
    try:
        record = json.loads(first)
    except (ValueError, RecursionError):
        return False
    return isinstance(record, dict) and "prompt_hash" in record and "text" in record


def _proposal(item: object, where: str) -> Proposal:
    if isinstance(item, str) and item.strip():
        return Proposal(item.strip(), origin="replay")
    if isinstance(item, dict) and isinstance(item.get("expression"), str):
        hypothesis, explanation = (str(item.get(k) or "") for k in ("hypothesis", "explanation"))
        return Proposal(item["expression"].strip(), hypothesis, explanation, origin="replay")
    raise ConfigError(f"{where}: expected an expression, or a mapping with the key `expression`")


def read_expressions(path: Path) -> list[Proposal]:
    """Proposals of a YAML, JSON-lines or text file in order. Raises ConfigError that names the file and the
    item.
    """
    text = _read(path)
    lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    if path.suffix == ".jsonl":
        out = []
        for n, line in lines:
            try:
                item = json.loads(line)
            except (ValueError, RecursionError):
                raise ConfigError(f"{path}, line {n}: not JSON") from None
            out.append(_proposal(item, f"{path}, line {n}"))
    elif path.suffix in (".yaml", ".yml", ".json"):
        import yaml

        try:
            data = yaml.safe_load(text)
        except (yaml.YAMLError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            where = f", line {mark.line + 1}" if mark else ""
            raise ConfigError(f"{path}{where}: not YAML") from None
        if isinstance(data, dict):
            data = next((data[k] for k in _LISTS if k in data), data)
        if not isinstance(data, list):
            raise ConfigError(f"{path}: expected a list, or a mapping with one of {', '.join(_LISTS)}")
        out = [_proposal(item, f"{path}, item {n}") for n, item in enumerate(data, 1)]
    else:
        bare = ((n, line.split("#", 1)[0].strip()) for n, line in lines)
        out = [_proposal(line, f"{path}, line {n}") for n, line in bare if line]
    if not out:
        raise ConfigError(f"{path}: holds no expression")
    return out
