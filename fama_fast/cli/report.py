"""`fama-fast report`: writes a run, or a file of factors, as one HTML page."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fama_fast.cli.common import DataPath, Groups, Universe, note
from fama_fast.cli.completion import run_names
from fama_fast.cli.reading import takes_reading
from fama_fast.cli.targets import Neutralize, TargetReturns, TradableBar, Winsorize, target_given
from fama_fast.panel.reading import PLAIN, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fama_fast.ledger.ledger import Ledger
    from fama_fast.ledger.records import RunRecord
    from fama_fast.panel import Panel
    from fama_fast.panel.dataset import Dataset
    from fama_fast.report import Content
    from fama_fast.target import Target


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(takes_reading(report))


def report(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN|FILE",
            help="Run id, the beginning of one, or 'last'; or a file: a run's result, an exported run, a factor set, "
            "expressions one a line.",
            show_default=False,
            autocompletion=run_names,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help="The page (default: report.html, or none when only figures are asked for), or with --markdown the "
            "summary.",
        ),
    ] = None,
    data: DataPath = None,
    groups: Groups = None,
    universe: Universe = None,
    ledger: Annotated[
        str | None,
        typer.Option("--ledger", metavar="FILE", help="The ledger (default: runs/ledger.sqlite).", show_default=False),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Configuration that names the ledger.", show_default=False),
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option("--figures", metavar="FOLDER", help="Also write every figure there, as a file of its own."),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option("--format", metavar="svg|png", help="Kind of those files (default: svg).", show_default=False),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Instead of the page print (or --output) a compact summary in Markdown.")
    ] = False,
    predicted: TargetReturns = None,
    neutralize: Neutralize = None,
    tradable: TradableBar = None,
    winsorize: Winsorize = None,
    *,
    reading: Reading = PLAIN,
) -> None:
    """Write a report: one HTML file that opens from disk and works offline.

    The data of a run are read again from where the run found them, unless --data names them; what cannot be measured
    is shown as not supplied. Factors are measured against what the run predicted, unless options say another target.
    """
    from fama_fast.errors import ConfigError
    from fama_fast.report import write, write_figures

    if image not in (None, "svg", "png"):
        raise ConfigError(f"--format is svg or png, not {image!r}")
    if image is not None and figures is None:
        raise ConfigError("--format is the kind of the files of --figures FOLDER, which is not given")
    if markdown and output is not None and output.suffix.lower() in (".html", ".htm"):
        raise ConfigError(f"--markdown writes Markdown, not a page: name another file than {output}, such as report.md")
    if data is None and (groups is not None or universe is not None or reading != PLAIN):
        raise ConfigError("how data are read goes with --data: without it the run's own data are read as the run did")

    def measured(settings: Mapping[str, Any] | None) -> Target | None:
        """The target of the options, laid over that of a run's settings and in its dialect; None where they say
        nothing. Asked for before data are read, for then mistakes show."""
        said: dict[str, Any] = {
            "returns": predicted,
            "neutralize": neutralize,
            "tradable": tradable,
            "winsorize": winsorize,
        }
        base = None
        if settings is not None and predicted is None and any(said.values()):
            from fama_fast.report.recorded import predicted_by

            base = predicted_by(settings)
        return target_given(base, **said)

    options = {"data": data, "groups": groups, "universe": universe, "reading": reading, "target": measured}
    content = _content(target, ledger, config, options)
    for what, why in content.not_supplied.items():
        note(f"{what} not supplied: {why}")
    if figures is not None:
        note(f"wrote {len(write_figures(content, figures, image or 'svg'))} figures to {figures}")
    if markdown:
        _summary(content, output)
    elif output is not None or figures is None:
        path = output or Path("report.html")
        write(content, path)
        note(f"wrote {path}")


def _summary(content: Content, output: Path | None) -> None:
    """Print the summary, or write it to `output`."""
    from fama_fast.atomic import atomic_write
    from fama_fast.report.summary import markdown_summary

    text = markdown_summary(content)
    if output is None:
        print(text, end="")
        return
    with atomic_write(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    note(f"wrote {output}")


def _content(target: str, ledger: str | None, config: Path | None, options: dict[str, Any]) -> Content:
    from fama_fast.ledger.ledger import Ledger
    from fama_fast.ledger.store import understood
    from fama_fast.mining.config_file import load_config, stored_config
    from fama_fast.mining.run.factor_source import is_file
    from fama_fast.mining.run.setup import data_again, ledger_place
    from fama_fast.report import from_run

    if is_file(target):
        return _of_file(Path(target), options)
    place = ledger_place(load_config(config, {"ledger": ledger}))
    with Ledger.open(place, create=False) as store, understood(store.place, "what it holds of a run"):
        run = store.get_run(target)
        if run.test_opened_at is not None:
            _log_look(store, run)
        predicted = options["target"](None if run.summary is None else run.summary["settings"])
        again = partial(
            data_again, stored_config(run.config, source=f"the settings of run {run.id}"), run.data, run.source
        )
        panel, why = _panel(options, run.data_hash, run.source, again)
        return from_run(store, run, panel, no_panel=why, target=predicted)


def _log_look(store: Ledger, run: RunRecord) -> None:
    """Log that the test of a run is looked at; a ledger that may only be read is told of, and read all the same."""
    from fama_fast.errors import StoreError

    try:
        store.log_look(run.data_hash, "report", run.id)
    except StoreError as error:
        note(f"warning: this look at the test dates is not logged: {error}")


def _of_file(path: Path, options: dict[str, Any]) -> Content:
    from fama_fast.errors import DataError
    from fama_fast.mining.config_file import config_from_dict
    from fama_fast.mining.run.factor_source import read_factors
    from fama_fast.mining.run.setup import data_again
    from fama_fast.report import from_document, from_factors

    source = read_factors(path)
    document = source.document
    if document is not None:
        data = document["data"]
        predicted = options["target"](document["settings"])
        again = partial(
            data_again, config_from_dict(document["settings"]), document["record"].get("data"), data["source"]
        )
        panel, why = _panel(options, data["hash"], data["source"], again)
        title = f"Mining run {source.run_id}".strip()
        return from_document(document, panel, title=title, no_panel=why, target=predicted)
    if not source.factors:
        raise DataError(f"{path}: there is no factor in it to report on")
    if source.note:
        note(source.note)
    predicted = options["target"](None)
    panel, why = None, "name the market data with --data"
    if options["data"] is not None:
        panel = _opened(options)
    return from_factors(
        source.factors,
        panel,
        title=f"Factors of {path.name}",
        source=str(path),
        no_panel=why,
        target=predicted,
    )


def _opened(options: dict[str, Any]) -> Panel:
    from fama_fast.cli.common import open_panel

    return open_panel(
        options["data"], universe=options["universe"], groups=options["groups"], reading=options["reading"]
    )


def _panel(
    options: dict[str, Any], data_hash: str, source: str, again: Callable[[], Panel | Dataset]
) -> tuple[Panel | None, str]:
    """The data of a run, or the reason why there are none. What --data names must be right; what the run named may be
    gone by now."""
    from fama_fast.errors import FamaError
    from fama_fast.panel import Panel

    if options["data"] is not None:
        return _opened(options), ""
    try:
        panel = again()
        assert isinstance(panel, Panel)  # it was not asked for parts
        found_hash = panel.data_hash
    except FamaError as error:
        return None, f"the data of the run cannot be read again ({error}): name them with --data"
    if found_hash != data_hash:
        changed = f"{source} is no longer the data of the run (now {panel.source}, hash {found_hash}; then {data_hash})"
        return None, f"{changed}: name those with --data"
    return panel, ""
