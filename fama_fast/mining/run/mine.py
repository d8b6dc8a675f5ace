"""Mines from settings to result: opens the data, runs the loop, writes what came of it."""

from __future__ import annotations

import gc
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from fama_fast.errors import ConfigError, DataError, FamaError, OutputError, StoreError
from fama_fast.evaluation.rank_correlation import import_beside
from fama_fast.ledger.ledger import Ledger
from fama_fast.llm.chat import Halted
from fama_fast.mining.config import MiningConfig
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.measure.cluster_scorer import open_market
from fama_fast.mining.progress.mlflow import tracked
from fama_fast.mining.progress.plain import NoProgress, Progress
from fama_fast.mining.run.data_quality import quality_line, quality_of
from fama_fast.mining.run.loop import Miner
from fama_fast.mining.run.setup import (
    check_budget,
    configured_proposer,
    data_again,
    ledger_place,
    open_data,
    read_through,
    resumable,
    say_source,
)
from fama_fast.mining.run.starting import check_cache, starting_library
from fama_fast.mining.run.to_records import data_record
from fama_fast.mining.verdict.results import MiningResult, write_document
from fama_fast.proposals.protocol import AsksServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from fama_fast.ledger.records import RunRecord
    from fama_fast.mining.run.stopping import StopRequest
    from fama_fast.panel import Panel
    from fama_fast.panel.dataset import Dataset
    from fama_fast.proposals.protocol import Proposer


_COLLECTED_AFTER = 50_000  # objects that were made and not freed


def mine(
    config: MiningConfig | Mapping[str, Any] | None = None,
    *,
    panel: Panel | Dataset | None = None,
    proposer: Proposer | None = None,
    progress: Progress | None = None,
    resume: str | None = None,
    stop: StopRequest | None = None,
    output: str | Path | None = None,
) -> MiningResult:
    """Mine factors.

    Args:
        config: settings, or a mapping of them; defaults for what is not given.
        panel: the data, in place of what `config.paths` names; a `Dataset` is read in parts, within
            `run.memory_budget`. proposer: in place of the configured one.
        progress: where to report to; nowhere by default.
        resume: id of an unfinished run in the ledger (or "last") to resume.
        stop: asked to stop, the run ends after the current batch with what there is; it can be resumed.
        output: YAML file for the result document: what the search found as soon as it is over, then all of it.

    Returns:
        The result; `exit_code` is 1 when nothing met the bar.

    Raises:
        ConfigError: wrong settings, or a resumed run whose settings or data were different.
        DataError: data that cannot be mined. StoreError: the ledger, or the factor cache. OutputError: the output.
            ProposerError: the proposer gave up; rounds that were committed stay and can be resumed. ClusterError: the
            cluster was lost; so do they. RunError: no memory was left; so do they.
    """
    settings = config if isinstance(config, MiningConfig) else config_from_dict(config or {})
    reporter: Progress = progress or NoProgress()
    record, begun = None, []
    opened = ExitStack()
    opened.enter_context(old_objects_left_alone())
    # Last, and in any case, for it has the terminal; whichever `reporter` is by then.
    opened.callback(lambda: reporter.close())  # noqa: PLW0108
    try:
        if resume is not None:
            with Ledger.open(ledger_place(settings), create=False) as ledger:
                record = resumable(ledger, resume, settings)
                begun = [f.canonical for f in ledger.starting_factors(record.id)]
        # Everything that can be wrong is met before the ledger is written to, or made.
        given = panel
        if panel is None and record is not None:
            given = _given_before(settings, record)
        check_budget(settings, given)
        start = None if record is not None else starting_library(settings.paths.factor_cache, settings.library)
        if start is not None:
            begun = [f.canonical for f in start.factors]
        proposer = proposer or configured_proposer(settings)
        if isinstance(proposer, AsksServer):
            with suppress(Halted):  # the run begins, and ends at once
                proposer.check_server(None if stop is None else lambda: stop.reason is not None)
        data = given if given is not None else open_data(settings)
        read_through(data, settings)
        say_source(data, reporter)
        if record is not None and record.data_hash != data.data_hash:
            raise ConfigError(
                f"run {record.id} was made on other data: {record.source} with hash {record.data_hash}, "
                f"now {data.source} with hash {data.data_hash}"
            )
        known = _known_data(data, settings, record, given=given is not None)
        reporter.note(quality_line(known["quality"], data.source))
        opened.enter_context(_clustering_made_ready(settings))
        market = opened.enter_context(
            open_market(
                data,
                settings,
                given=given is not None,
                library=begun,
                note=lambda text: reporter.note(f"warning: {text}"),
            )
        )
        for text in market.warnings:
            reporter.note(f"warning: {text}")
        if settings.paths.factor_cache is not None and settings.run.update_cache:
            check_cache(settings.paths.factor_cache)
        reporter = tracked(settings, reporter)
        with Ledger.open(ledger_place(settings)) as ledger:
            result = Miner(settings, market, proposer, ledger, reporter, record, stop, output, known, start).run()
        _hand_over(result, reporter, output)
        return result
    finally:
        opened.close()


def _known_data(
    data: Panel | Dataset, settings: MiningConfig, record: RunRecord | None, *, given: bool
) -> dict[str, Any]:
    """The record of a run's data; a resumed run has it, the quality checks too."""
    if record is not None and record.data is not None and "quality" in record.data:
        return record.data
    return data_record(data, quality_of(data, settings), given=given)


def _given_before(settings: MiningConfig, record: RunRecord) -> Panel | Dataset | None:
    """The data that a resumed run was given when it began; None where its settings name them.

    Raises:
        ConfigError: they cannot be had again.
    """
    known = record.data
    if known is None or not known.get("given") or settings.paths.market_data != record.config["paths"]["market_data"]:
        return None
    try:
        return data_again(settings, known, record.source, parts=settings.run.memory_budget is not None)
    except DataError as error:
        raise ConfigError(f"run {record.id}: {error}: name them with --data, or give mine() the panel") from error


def _hand_over(result: MiningResult, reporter: Progress, output: str | Path | None) -> None:
    """Write the result to the output and report it to the progress; what could not be written is raised at the end.

    Raises:
        OutputError: the file cannot be written. StoreError: the factor cache could not.
    """
    failed: FamaError | None = None
    if output is not None:
        try:
            write_document(result.to_dict(), output)
        except OutputError as error:
            again = f"fama-fast mine --resume {result.run_id} --output FILE"
            failed = OutputError(f"{error}; the run is kept in the ledger, and {again} writes its result")
    reporter.run_ended(result.to_dict())
    if failed is not None:
        raise failed
    if result.unsaved:
        export = f"fama-fast runs export {result.run_id} --output FILE"
        raise StoreError(
            f"{result.unsaved}; the run is finished and kept, but the factor cache lacks its factors: {export} writes "
            "them"
        )


@contextmanager
def old_objects_left_alone() -> Iterator[None]:
    """Inside the block garbage collection runs seldom, and skips the objects that existed before it.

    A search makes many expressions and hardly a cycle (docs/decisions/005-time-outside-kernels.md).
    """
    thresholds = gc.get_threshold()
    gc.freeze()
    if thresholds[0]:  # else somebody has switched it off
        gc.set_threshold(max(_COLLECTED_AFTER, thresholds[0]), *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


@contextmanager
def _clustering_made_ready(config: MiningConfig) -> Iterator[None]:
    """Inside the block a thread imports the clustering libraries, which takes a second or two while kernels of the
    block run without the interpreter."""
    if not (config.run.use_css or config.run.use_coe):
        yield
        return
    ready = import_beside("sklearn.cluster")
    try:
        yield
    finally:
        ready.join()
