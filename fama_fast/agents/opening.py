"""Opens a session: its settings, its data, and whether it goes on with one that was left.

with open_session(config) as session:
    answer = session.score("RANK(DELTA(CLOSE, 5)) * -1")
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from fama_fast.agents.session import AgentSession
from fama_fast.errors import ConfigError
from fama_fast.ledger.ledger import Ledger
from fama_fast.ledger.ownership import RUNNING, Heartbeat, status_now
from fama_fast.ledger.records import AGENT
from fama_fast.mining.config_file import config_from_dict, differences, document
from fama_fast.mining.measure.cluster_scorer import open_market
from fama_fast.mining.run.data_quality import quality_of
from fama_fast.mining.run.mine import old_objects_left_alone
from fama_fast.mining.run.setup import MAY_CHANGE, check_budget, ledger_place, open_data, read_through
from fama_fast.mining.run.starting import check_cache, starting_library
from fama_fast.mining.run.to_records import data_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fama_fast.ledger.records import RunRecord
    from fama_fast.mining.config import MiningConfig
    from fama_fast.panel import Panel
    from fama_fast.panel.dataset import Dataset


def session_settings(config: MiningConfig) -> MiningConfig:
    """The settings of a session: those of a run, without the steps that an agent does for itself.

    Nobody is shown exemplars and chains, and each formula is measured in full rather than raced: an agent asks for few,
    and wants their figures.
    """
    racing = config.racing.model_copy(update={"enabled": False})
    run = config.run.model_copy(update={"use_css": False, "use_coe": False})
    return config.model_copy(update={"racing": racing, "run": run})


@contextmanager
def open_session(
    config: MiningConfig,
    *,
    panel: Panel | Dataset | None = None,
    resume: str | None = None,
    fresh: bool = False,
    note: Callable[[str], None] | None = None,
) -> Iterator[AgentSession]:
    """A session on the data that the configuration names, open as long as the block.

    It goes on with the newest session on the same data and settings that its process left unfinished, if there is one.

    Args:
        panel: the data, in place of what `config.paths` names. resume: id of the session to go on with, or "last".
        fresh: begin a new one in any case. note: is told what one should know.

    Raises:
        ConfigError: wrong settings, or a session that cannot be resumed with them. DataError: data that cannot be
            mined. StoreError: the ledger.
    """
    settings, say = session_settings(config), note or (lambda _: None)
    if fresh and resume is not None:
        raise ConfigError(f"a new session, or {resume} resumed: ask for one of them")
    check_budget(settings, panel)
    data = panel if panel is not None else open_data(settings)
    read_through(data, settings)
    for warning in data.warnings:
        say(f"warning: {warning}")
    known = data_record(data, quality_of(data, settings), given=panel is not None)
    with ExitStack() as opened:
        opened.enter_context(old_objects_left_alone())
        start = starting_library(settings.paths.factor_cache, settings.library)
        library = [f.canonical for f in start.factors]
        market = opened.enter_context(open_market(data, settings, given=panel is not None, library=library, note=say))
        for text in market.warnings:
            say(f"warning: {text}")
        if settings.paths.factor_cache is not None and settings.run.update_cache:
            check_cache(settings.paths.factor_cache)
        ledger = opened.enter_context(Ledger.open(ledger_place(settings)))
        session = AgentSession(settings, market, ledger, known)
        record = None if fresh else unfinished(ledger, settings, data.data_hash, resume)
        session.begin(record, start)
        opened.callback(session.leave)
        opened.enter_context(Heartbeat(lambda: ledger.beat(session.run.id)))
        what = "a new session" if record is None else f"going on with {session.looks.session} trials of session"
        say(f"{what} {session.run.id}; ledger {ledger.place}")
        yield session


def unfinished(ledger: Ledger, config: MiningConfig, data_hash: str, wanted: str | None) -> RunRecord | None:
    """The session to go on with: the one asked for, or the newest unfinished one on these data and settings that no
    process is working on.

    Raises:
        StoreError: there is no such run. ConfigError: it is no session, is finished, or is on other data or
            settings.
    """
    if wanted is not None:
        record = ledger.get_run(wanted)
        why = _why_not(record, config, data_hash)
        if why is not None:
            raise ConfigError(f"run {record.id} cannot be gone on with: {why}")
        return record
    return next((r for r in reversed(ledger.list_runs()) if _why_not(r, config, data_hash) is None), None)


def _why_not(record: RunRecord, config: MiningConfig, data_hash: str) -> str | None:
    """The reason not to go on with a run, or None."""
    if record.proposer != AGENT:
        return f"it is a search by {record.proposer}, no session of an agent"
    if record.summary is not None:
        return "it has its verdict"
    if status_now(record) == RUNNING:
        return "another process is working on it"
    if record.data_hash != data_hash:
        return f"it is on other data: {record.source} with hash {record.data_hash}"
    theirs = document(config_from_dict(record.config, source=f"the settings of run {record.id}"))
    changed = differences(document(config), theirs, MAY_CHANGE)
    return f"it has other settings: {'; '.join(changed)}" if changed else None
