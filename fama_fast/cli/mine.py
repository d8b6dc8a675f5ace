"""`fama-fast mine`: a mining run from the command line.

Exit codes: 0 found, 1 the run ended with any other verdict, 2 wrong use or bad input.
"""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003  (typer reads the annotations when it runs)
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fama_fast.cli.clusters import Cluster  # noqa: TC001  (typer reads the annotations)
from fama_fast.cli.common import DataPath, Groups, MinMembers, Threads, Universe, note
from fama_fast.cli.json_errors import error_as_json
from fama_fast.cli.large import MemoryBudget  # noqa: TC001
from fama_fast.cli.reading import options_given, takes_reading
from fama_fast.cli.run_settings import ConfigFile, Ideas, RunLedger, run_settings
from fama_fast.cli.signals import first_asks
from fama_fast.cli.targets import Neutralize, TargetReturns, TradableBar, Winsorize  # noqa: TC001
from fama_fast.errors import EXIT_INTERRUPTED
from fama_fast.library.published import LIBRARIES
from fama_fast.mining.proposers.registry import PROPOSERS
from fama_fast.panel.reading import PLAIN, Reading
from fama_fast.terminal import raw, say, say_prose

if TYPE_CHECKING:
    from collections.abc import Callable

    from fama_fast.mining.config import MiningConfig
    from fama_fast.mining.progress.plain import Progress
    from fama_fast.mining.run.stopping import StopRequest


_STOPPING = "finishing the batch at hand, then stopping; once more stops at once"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("mine")(takes_reading(mine))


def mine(
    config: ConfigFile = None,
    data: DataPath = None,
    universe: Universe = None,
    groups: Groups = None,
    proposer: Annotated[
        str | None,
        typer.Option("--proposer", metavar="NAME", help=f"{', '.join(PROPOSERS)}.", show_default=False),
    ] = None,
    library: Annotated[
        str | None,
        typer.Option(
            "--library",
            metavar="NAME|PATH",
            help=f"What the search starts from, without a factor cache: {', '.join(LIBRARIES)}, or a file or folder of "
            "factors.",
            show_default=False,
        ),
    ] = None,
    idea: Ideas = None,
    rounds: Annotated[
        int | None, typer.Option("--rounds", metavar="N", help="Rounds at most.", show_default=False)
    ] = None,
    new: Annotated[
        int | None, typer.Option("--new", metavar="N", help="New factors wanted.", show_default=False)
    ] = None,
    candidates: Annotated[
        int | None,
        typer.Option("--candidates", metavar="N", help="Candidates at most, in all.", show_default=False),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="S", help="Equal seeds, equal results.", show_default=False),
    ] = None,
    skip_css: Annotated[bool, typer.Option("--skip-css", help="Without Cross-Sample Selection.")] = False,
    skip_coe: Annotated[bool, typer.Option("--skip-coe", help="Without Chain-of-Experience.")] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Write the result, as YAML or (.json) JSON.", show_default=False),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume",
            metavar="RUN",
            help="Go on with an unfinished run of the ledger ('last' is the latest).",
            show_default=False,
        ),
    ] = None,
    ledger: RunLedger = None,
    threads: Threads = None,
    horizon: Annotated[
        list[int] | None,
        typer.Option(
            "--horizon", metavar="DAYS", help="Days held; repeat for several, which are averaged.", show_default=False
        ),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            "--objective",
            metavar="NAME",
            help="What the search climbs: rank_ic, ic, spread or net (after costs).",
            show_default=False,
        ),
    ] = None,
    target: TargetReturns = None,
    neutralize: Neutralize = None,
    tradable: TradableBar = None,
    winsorize: Winsorize = None,
    min_members: MinMembers = None,
    cluster: Cluster = None,
    memory_budget: MemoryBudget = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print every setting of the run as YAML, and mine nothing.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only data and result.")] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="For machines: a JSON object a line, for the start, every round and the end."),
    ] = False,
    *,
    reading: Reading = PLAIN,
) -> None:
    """Mine new factors: propose, check, score, and admit what earns its place.

    Without --data the market is simulated, and the first line says so. The verdict is one line: found (exit code 0);
    found, but no better than random formulas; ranks, but does not pay; not confirmed; nothing found (all exit code 1).
    Found means: significant in training and on validation, confirmed by the test, a spread on the test above zero with
    its 95% interval, and better than random formulas on validation. Ctrl-C finishes the batch at hand, writes the
    result so far and says how to go on (exit code 130).
    """
    known: list[Progress] = []
    with error_as_json(as_json, lambda: _run_of(known)):
        overrides: dict[str, Any] = {
            "paths.market_data": data,
            "paths.universe": universe,
            "paths.groups": groups,
            "proposer": proposer,
            "library": library,
            "llm.direction": idea or None,
            "run.rounds": rounds,
            "run.wanted": new,
            "run.max_candidates": candidates,
            "objective": objective,
            "run.seed": seed,
            "run.use_css": False if skip_css else None,
            "run.use_coe": False if skip_coe else None,
            "splits.min_members": min_members,
            "splits.horizon": horizon[0] if horizon and len(horizon) == 1 else None,
            "target.horizons": horizon if horizon and len(horizon) > 1 else None,
            "target.returns": target,
            "target.neutralize": neutralize or None,
            "target.tradable": tradable,
            "target.winsorize": winsorize,
            "run.threads": threads,
            "run.memory_budget": memory_budget,
            "cluster.address": cluster,
            "ledger": ledger,
            **options_given(reading),
        }
        _check_output(output, config)
        settings = run_settings(config, overrides, resume)
        if print_config:
            print(_as_yaml(settings), end="")
            raise typer.Exit
        run_id, document, exit_code = _mined(settings, resume, output, known, quiet=quiet, as_json=as_json)
        if as_json:
            from fama_fast.mining.progress.json_lines import end_line

            print(end_line(run_id, document, exit_code), flush=True)
        else:
            _show(document)
        if output is not None:
            note(f"wrote {output}")
        if exit_code == EXIT_INTERRUPTED:
            done = document["search"]["rounds"]
            note(f"stopped after {done} rounds, all kept; to go on: fama-fast mine --resume {run_id}")
        raise typer.Exit(exit_code)


def _as_yaml(settings: MiningConfig) -> str:
    """Every key of the settings with its value."""
    from fama_fast.library.strict_yaml import dump, plain
    from fama_fast.mining.config_file import document

    return dump(plain(document(settings), "configuration"))


def _check_output(output: Path | None, config: Path | None) -> None:
    from fama_fast.atomic import ensure_writable
    from fama_fast.errors import OutputError

    if output is None:
        return
    if config is not None and output.expanduser().resolve() == config.expanduser().resolve():
        raise OutputError(f"--output {output} would overwrite the configuration: give another name")
    ensure_writable(output)


def _mined(
    settings: MiningConfig,
    resume: str | None,
    output: Path | None,
    known: list[Progress],
    *,
    quiet: bool,
    as_json: bool,
) -> tuple[str, dict[str, Any], int]:
    """Run a search; returns id, result document and exit code, also of a run that had ended before it could be resumed.

    `known` gets the start of the run as soon as it is reported.
    """
    from fama_fast.mining.run.mine import mine as run_loop
    from fama_fast.mining.run.stopping import StopRequest
    from fama_fast.mining.verdict.findings import Status
    from fama_fast.mining.verdict.results import write_document

    ended = None if resume is None else _ended_before(settings, resume)
    if ended is not None:
        note(f"run {ended[0]} had ended already: this is its result as recorded")
        if output is not None:
            write_document(ended[1], output)
        return ended
    progress = _progress(settings, quiet=quiet, as_json=as_json)
    known.append(progress)
    stop = StopRequest()
    ask, message = _stopping(stop, progress)
    try:
        with first_asks(ask, message):
            result = run_loop(settings, progress=progress, resume=resume, stop=stop, output=output)
    except KeyboardInterrupt:
        note("stopped; committed rounds are kept, and --resume last goes on with them")
        raise
    interrupted = result.verdict.status is Status.INTERRUPTED
    return result.run_id, result.to_dict(), EXIT_INTERRUPTED if interrupted else result.exit_code


def _run_of(known: list[Progress]) -> str:
    """The id of the run that was reported to start; empty before there is one."""
    from fama_fast.mining.progress.json_lines import JsonProgress
    from fama_fast.mining.progress.plain import PassedOn

    shown = known[0] if known else None
    while isinstance(shown, PassedOn):
        shown = shown.shown
    return shown.run if isinstance(shown, JsonProgress) else ""


def _ended_before(settings: MiningConfig, resume: str) -> tuple[str, dict[str, Any], int] | None:
    """Id, result document and exit code of a run that ended before it could be resumed, under these very settings.

    A run may be killed between its last commit and its output; resuming it then means to report its result.
    """
    from fama_fast.errors import EXIT_NOTHING_FOUND, EXIT_OK
    from fama_fast.ledger.ledger import Ledger
    from fama_fast.mining.config_file import differences, document, stored_config
    from fama_fast.mining.run.setup import WHERE_IT_RUNS, ledger_place
    from fama_fast.mining.verdict.findings import Status

    with Ledger.open(ledger_place(settings), create=False) as store:
        run = store.get_run(resume)
    if run.summary is None:
        return None
    theirs = document(stored_config(run.config, source=f"the settings of run {run.id}"))
    if differences(document(settings), theirs, WHERE_IT_RUNS):
        return None
    success = run.summary["verdict"]["status"] == Status.FOUND.value
    return run.id, run.summary, EXIT_OK if success else EXIT_NOTHING_FOUND


def _progress(settings: MiningConfig, *, quiet: bool, as_json: bool) -> Progress:
    from fama_fast.mining.progress.json_lines import JsonProgress
    from fama_fast.mining.progress.live import RichProgress, can_draw
    from fama_fast.mining.progress.plain import LoggedProgress, PlainProgress

    shown: Progress
    if as_json:
        shown = JsonProgress(rounds=not quiet)
    elif sys.stdout.isatty() and not quiet and can_draw():
        shown = RichProgress()
    else:
        shown = PlainProgress(rounds=not quiet)
    if settings.logging.log_file is None:
        return shown
    return LoggedProgress(shown, settings.logging.log_file, settings.logging.level)


def _stopping(stop: StopRequest, progress: Progress) -> tuple[Callable[[str], None], str | None]:
    """The handler of the first Ctrl-C, and the message it writes; a live display says it itself, since it owns the
    screen."""
    from fama_fast.mining.progress.live import RichProgress
    from fama_fast.mining.progress.plain import LoggedProgress

    live = progress.shown if isinstance(progress, LoggedProgress) else progress
    if not isinstance(live, RichProgress):
        return stop.ask, _STOPPING

    def ask(reason: str) -> None:
        stop.ask(reason)
        live.stopping(_STOPPING)

    return ask, None


def _show(document: dict[str, Any]) -> None:
    """Print the result: the verdict's line first of all, then the table, the search and the evidence."""
    from fama_fast.mining.verdict.results import coloured_headline, factor_table, funnel_line, plain_lines

    if sys.stdout.isatty():
        from rich.console import Console

        console = Console(file=raw(sys.stdout))
        console.print(coloured_headline(document), soft_wrap=True)
        if document["factors"]:
            console.print(factor_table(document))
    else:
        say(document["verdict"]["headline"], *plain_lines(document))
    say_prose(f"{funnel_line(document)}; ended: {document['search']['stop']}")
    say_prose(*document["verdict"].get("statements", ()))
