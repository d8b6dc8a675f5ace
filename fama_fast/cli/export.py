"""`fama-fast export`: factors as texts of other systems, as alphalens's factor_data, or as values."""

from __future__ import annotations

import enum
from pathlib import Path  # noqa: TC003  (typer reads annotations)
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fama_fast.cli.common import EXPRESSION_COMMAND, AsJson, Dialect, Groups, Universe, note, reject_options
from fama_fast.cli.given import LedgerPath, read_given
from fama_fast.cli.reading import takes_reading
from fama_fast.errors import EXIT_NOTHING_FOUND, ConfigError, DataError
from fama_fast.panel.reading import PLAIN, Reading
from fama_fast.terminal import say, say_json

if TYPE_CHECKING:
    from fama_fast.cli.given import Given
    from fama_fast.exporting import Exported, Translation
    from fama_fast.panel import Panel


class To(enum.StrEnum):
    """Kinds of exports."""

    BRAIN = "brain"
    QLIB = "qlib"
    ALPHALENS = "alphalens"
    CSV = "csv"
    PARQUET = "parquet"


_TEXTS = (To.BRAIN, To.QLIB)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export", context_settings=EXPRESSION_COMMAND)(takes_reading(export))


def export(
    ctx: typer.Context,
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|FILE",
            help="Run id, the beginning of one, or 'last'; a file of factors; or an expression.",
            show_default=False,
        ),
    ],
    to: Annotated[To, typer.Option("--to", help="brain, qlib: texts; alphalens: factor_data; csv, parquet: values.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE|DIR",
            help="Texts: .txt or .json (default: printed). Values: a file. alphalens: .parquet, or a folder.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="PATH",
            help="Values: computed on it (default: the run's own data). Texts: compared with the formulas on it.",
            show_default=False,
        ),
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(
            "--field",
            metavar="OURS=THEIRS",
            help="What the other system calls a field or group: AMOUNT=turnover. May be given several times.",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        str | None,
        typer.Option(
            "--settings",
            metavar="KEY=VALUE,...",
            help="Of BRAIN: delay=1,decay=4,neutralization=SUBINDUSTRY,universe=TOP3000,region=USA,truncation=0.08.",
            show_default=False,
        ),
    ] = None,
    periods: Annotated[
        str, typer.Option("--periods", metavar="N,N,...", help="Days held, of alphalens's returns.")
    ] = "1,5,10",
    quantiles: Annotated[int, typer.Option("--quantiles", metavar="N", help="Buckets of alphalens.")] = 5,
    group: Annotated[
        str | None, typer.Option("--group", metavar="GROUP", help="Group of alphalens.", show_default=False)
    ] = None,
    dialect: Dialect = "fama",
    universe: Universe = None,
    groups: Groups = None,
    ledger: LedgerPath = None,
    as_json: AsJson = False,
    *,
    reading: Reading = PLAIN,
) -> None:
    """Write factors for other systems, each as it points upwards: high values, high returns.

    What a language cannot say is named, operator by operator, and so is what it says otherwise: every text is read
    back and computed beside the formula. The exit code is 1 when none could be said.
    """
    from fama_fast.exporting import export as run

    reject_options(sources, ctx)
    fields = dict(_pair(text, "--field", "AMOUNT=turnover") for text in field or ())
    chosen, days = _settings(settings), _days(periods)
    given = read_given(sources, ledger=ledger)
    alphas = given.compiled(dialect)
    panel = _panel(to, given, data, universe, groups, reading)
    if panel is not None:
        alphas = given.compiled(dialect, panel)
    done = run(
        alphas,
        to.value,
        output,
        data=panel,
        names=given.columns(alphas),
        fields=fields,
        settings=chosen,
        entry_lag=given.entry_lag if to in (To.BRAIN, To.ALPHALENS) else None,
        periods=days,
        quantiles=quantiles,
        group=group,
        min_coverage=given.min_coverage,
    )
    if as_json:
        say_json(_document(done))
    elif to in _TEXTS:
        _show(done, printed=output is None)
    for file in done.files:
        note(f"wrote {file}")
    if to in _TEXTS and not done.texts:
        raise typer.Exit(EXIT_NOTHING_FOUND)


def _panel(
    to: To, given: Given, data: str | None, universe: str | None, groups: str | None, reading: Reading
) -> Panel | None:
    """The data to compute on; texts need none.

    Raises:
        DataError: values of factors that come with no data, and none are named.
    """
    from fama_fast.cli.common import open_panel
    from fama_fast.panel import Panel

    if to in _TEXTS and data is None:
        if universe is not None or groups is not None or reading.options():
            raise ConfigError("how data are read is said of those that --data names")
        return None
    if data is None and not given.runs:
        raise DataError(f"an export to {to} is of values: name the data that they are computed on with --data")
    chosen = given.data(data, universe=universe, groups=groups, reading=reading)
    if chosen.opened is not None:
        assert isinstance(chosen.opened, Panel)  # data in parts are not asked for
        return chosen.opened
    return open_panel(chosen.data, universe=chosen.universe, groups=chosen.groups, reading=chosen.reading)


def _pair(text: str, option: str, example: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key.strip() or not value.strip():
        raise ConfigError(f"{option} says {example}, not {text!r}")
    return key.strip(), value.strip()


def _settings(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    return dict(_pair(part, "--settings", "delay=1,decay=4") for part in text.split(","))


def _days(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--periods are whole days such as 1,5,10, not {text!r}") from None


def _document(done: Exported) -> dict[str, Any]:
    return {
        "to": done.to,
        "factors": [
            {
                "name": t.name,
                "formula": t.formula,
                "text": t.text or None,
                "meaning": t.meaning,
                "cannot": list(t.cannot),
                "differs": list(t.differs),
                "needs": list(t.needs),
            }
            for t in done.translations
        ],
        "files": [str(file) for file in done.files],
    }


def _show(done: Exported, *, printed: bool) -> None:
    """Texts on standard output where they go to no file, and what is to be known of each on standard error."""
    for item in done.translations:
        if item.said and printed:
            say(item.text)
        _remark(item)
    total = len(done.translations)
    note(f"{len(done.texts)} of {total} factor{'s' * (total != 1)} said in {done.to}")


def _remark(item: Translation) -> None:
    from fama_fast.exporting.translate import MEANINGS

    note(f"{item.name}: {MEANINGS[item.meaning]}")
    for reason in (*item.cannot, *item.differs):
        note(f"  {reason}")
    if item.needs:
        note(f"  beyond the base level: {', '.join(item.needs)}")
    if item.on_data is not None and item.on_data.cells:
        figures = item.on_data
        more = f", {figures.added:.2%} more besides" if figures.added else ""
        note(
            f"  on the data: {figures.equal:.2%} of {figures.cells:,} values equal{more}; "
            f"mean daily rank correlation {figures.order:.6f}"
        )
