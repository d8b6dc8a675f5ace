"""`fama-fast score`: scores expressions against forward returns, as a table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path  # noqa: TC003  (typer reads annotations)
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fama_fast.cli.clusters import Cluster, open_scoring
from fama_fast.cli.common import (
    EXPRESSION_COMMAND,
    AsJson,
    DataPath,
    Dialect,
    Expressions,
    Groups,
    MinMembers,
    Universe,
    check_ending,
    note,
    print_table,
    reject_options,
)
from fama_fast.cli.given import LedgerPath, read_given
from fama_fast.cli.large import MemoryBudget  # noqa: TC001  (typer reads annotations)
from fama_fast.cli.reading import takes_reading
from fama_fast.cli.targets import Neutralize, TargetReturns, TradableBar, Winsorize, target_given
from fama_fast.errors import ConfigError, DataError
from fama_fast.panel.reading import PLAIN, Reading
from fama_fast.terminal import json_text, say_json

if TYPE_CHECKING:
    import polars as pl

    from fama_fast.cli.given import Given
    from fama_fast.data.labels import Sessions
    from fama_fast.panel import Panel
    from fama_fast.panel.dataset import Dataset
    from fama_fast.target import Target
    from fama_fast.types import IntArray

ENDINGS = (".parquet", ".csv", ".json")
DECIMALS = (
    dict.fromkeys(("rank_icir", "icir", "hit_rate", "coverage", "turnover", "traded"), 3)
    | dict.fromkeys(("rank_ic_t", "ic_t", "spread_t", "net_t"), 2)
    | dict.fromkeys(("spread_bp", "net_bp"), 1)
)
_SPARE = ("icir", "ic_t", "traded")  # what a terminal too narrow for everything goes without


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("score", context_settings=EXPRESSION_COMMAND)(takes_reading(score, dates=False))


def score(
    ctx: typer.Context,
    expressions: Expressions,
    data: DataPath = None,
    horizon: Annotated[
        list[str] | None,
        typer.Option(
            "--horizon",
            metavar="DAYS",
            help="Days (or bars) held, or sessions, as in '2 sessions'; repeat for several.  [default: 1]",
            show_default=False,
        ),
    ] = None,
    entry_lag: Annotated[
        int | None,
        typer.Option(
            "--entry-lag",
            metavar="DAYS",
            help="Days between knowing and entering; 0: same close.  [default: 1]",
            min=0,
            show_default=False,
        ),
    ] = None,
    target: TargetReturns = None,
    neutralize: Neutralize = None,
    tradable: TradableBar = None,
    winsorize: Winsorize = None,
    dialect: Dialect = "fama",
    universe: Universe = None,
    groups: Groups = None,
    split: Annotated[
        str | None,
        typer.Option("--split", metavar="NAME", help="Score train, valid or test only.", show_default=False),
    ] = None,
    splits: Annotated[
        str | None,
        typer.Option(
            "--splits",
            metavar="A/B/C",
            help="Fractions by date, e.g. 60/20/20: one row a split.",
            show_default=False,
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--start", metavar="DATE", help="First date scored; windows look back before it.", show_default=False
        ),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--end", metavar="DATE", help="Last date scored.", show_default=False)
    ] = None,
    min_members: MinMembers = None,
    memory_budget: MemoryBudget = None,
    ledger: LedgerPath = None,
    cluster: Cluster = None,
    cost_bps: Annotated[
        float | None,
        typer.Option(
            "--cost-bps",
            metavar="BPS",
            help="What trading costs, in hundredths of a percent of what is traded.  [default: 10]",
            min=0.0,
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help="Also write the table: .parquet, .csv or .json.",
            show_default=False,
        ),
    ] = None,
    *,
    reading: Reading = PLAIN,
) -> None:
    """Score expressions against forward returns.

    Prints RankIC, IC, their stability, hit rate, coverage and turnover of ranks; and what the top tenth earns more than
    the bottom one, before (spread) and after (net) costs, in hundredths of a percent a day. Each EXPR is an expression,
    a file of them, or a run (see compute). Factors of a run are scored on its data, label and splits, unless options
    say others.
    """
    from fama_fast.atomic import ensure_writable
    from fama_fast.data.labels import MIN_MEMBERS, say_unscored
    from fama_fast.evaluation.score import score as score_expressions
    from fama_fast.evaluation.spread import COST_BPS

    reject_options(expressions, ctx)
    if output is not None:
        check_ending(output, ENDINGS)
        ensure_writable(output)
    given = read_given(expressions, ledger=ledger)
    alphas = given.compiled(dialect)  # mistakes show before the data are read
    predicted = _predicted(
        given,
        [_horizon(h) for h in horizon] if horizon else None,
        entry_lag,
        target_given(
            given.target if target is None else None,
            returns=target,
            neutralize=neutralize,
            tradable=tradable,
            winsorize=winsorize,
            dialect=dialect,
        ),
    )
    needed = [*alphas, *predicted.needs()]
    if min_members is None:
        min_members = given.min_members
    least = MIN_MEMBERS if min_members is None else min_members
    # What is read: the dates scored, those that windows look back to, and as many more as a label is held, for what is
    # traded on the first.
    chosen = given.data(data, universe=universe, groups=groups, reading=reading, parts=memory_budget is not None)
    first, last = start or chosen.reading.start, end or chosen.reading.end
    held = max(h if isinstance(h, int) else 1 for h in predicted.keys)
    back = replace(chosen.reading, start=first, end=last, history=held + max(a.lookback for a in needed))
    opened = open_scoring(
        cluster, chosen.data, memory_budget, needed_by=needed, **{**chosen.options(), "reading": back}
    )
    with opened as (panel, elsewhere):
        frame = score_expressions(
            given.compiled(dialect, panel),
            panel,
            target=predicted,
            split=split,
            splits=splits if splits is not None or split is None else given.fractions,
            start=start,
            end=end,
            min_members=least,
            min_coverage=given.min_coverage,
            cost_bps=COST_BPS if cost_bps is None else cost_bps,
            memory_budget=memory_budget,
            cluster=elsewhere,
        )
    rows = frame.to_dicts()
    if split == "test" or any(row.get("split") == "test" for row in rows):
        _log_look(ledger, panel.data_hash)
    members = _members(panel, start)
    if not any(row["n_days"] for row in rows):
        _refuse_unscorable(panel, predicted, members, least)
    unscored = say_unscored(int((members < least).sum()), members.size, least)
    for text in (*unscored, *_left_out(panel, predicted, start, least, memory_budget)):
        note(f"warning: {text}")
    if output is not None:
        _write(frame, rows, output)
        note(f"wrote {output}")
    if as_json:
        say_json(rows)
    else:
        figures = [{k: v for k, v in row.items() if k != "canonical"} for row in rows]
        print_table(figures, long_column="expression", decimals=DECIMALS, spare=_SPARE)


def _log_look(ledger: str | None, data_hash: str) -> None:
    """Log a look at the test dates in the ledger, where there is one."""
    from pathlib import Path

    from fama_fast.errors import StoreError
    from fama_fast.ledger.ledger import Ledger
    from fama_fast.mining.config_file import config_from_dict
    from fama_fast.mining.run.setup import ledger_place

    place = ledger or ledger_place(config_from_dict({}))
    if ledger is None and not Path(place).exists():
        return
    try:
        with Ledger.open(place, create=False) as store:
            store.log_look(data_hash, "score")
    except StoreError as error:
        note(f"warning: this look at the test dates is not logged: {error}")


def _horizon(text: str) -> int | Sessions:
    from fama_fast.data.labels import read_horizon

    try:
        return read_horizon(text)
    except ConfigError as error:
        raise ConfigError(f"--horizon: {error}") from None


def _left_out(
    panel: Panel | Dataset, target: Target, start: str | None, least: int, memory_budget: str | None
) -> tuple[str, ...]:
    """How many labels from `start` on could not be entered, in words."""
    from fama_fast.evaluation.left_out import left_out
    from fama_fast.panel.calendar import read_when

    first = 0 if start is None else int((panel.dates < read_when(start, "start")).sum())
    return left_out(panel, target, first=first, min_members=least, memory_budget=memory_budget).said()


def _members(panel: Panel | Dataset, start: str | None) -> IntArray:
    """Number of members of the universe on each date from `start` on that was read; empty without a universe."""
    import numpy as np

    from fama_fast.panel import Panel
    from fama_fast.panel.calendar import read_when

    counts: IntArray = np.empty(0, dtype=np.int64)
    if not isinstance(panel, Panel):
        counts = panel.members if panel.has_universe else counts
    elif panel.universe is not None:
        counts = np.count_nonzero(panel.universe, axis=1)
    if start is not None and counts.size:
        counts = counts[panel.dates >= read_when(start, "start")]
    return counts[counts >= 0]


def _predicted(
    given: Given, horizons: list[int | Sessions] | None, entry_lag: int | None, target: Target | None
) -> Target:
    """The target, with the horizons and the entry lag of the options, else of the runs that the factors come from."""
    from fama_fast.target import Target

    chosen = target or Target()
    if horizons is None and chosen.is_plain and chosen.horizons is None and given.horizon is not None:
        horizons = [given.horizon]
    if entry_lag is None and chosen.is_plain and chosen.entry_lag is None:
        entry_lag = given.entry_lag
    return chosen.with_short_form(horizons, entry_lag)


def _refuse_unscorable(panel: Panel | Dataset, target: Target, members: IntArray, min_members: int) -> None:
    """Refuse data in which no day can be scored, whatever the expression: a table of blanks would look like an
    answer."""
    import numpy as np

    from fama_fast.evaluation import MIN_PAIRS
    from fama_fast.panel import Panel

    dates, symbols = panel.shape
    start = f"{panel.source}: no day could be scored ({dates:,} dates x {symbols:,} symbols)"
    if members.size and members.max() < min_members:
        raise DataError(
            f"{start}: the universe has at most {members.max()} members, --min-members asks for {min_members}"
        )
    # Of data read in parts nothing is left to look at: no figure at all on any date is proof enough.
    most = 0
    if isinstance(panel, Panel):
        values = target.values(panel, target.keys[0], min_members=min_members)
        most = np.isfinite(values).sum(axis=1).max()
    if most < MIN_PAIRS and (isinstance(panel, Panel) or panel.shape[1] < MIN_PAIRS):
        what = "a forward return" if target.is_default else "a label"
        raise DataError(f"{start}: none has {what} for {MIN_PAIRS} symbols")


def _write(frame: pl.DataFrame, rows: list[dict[str, Any]], output: Path) -> None:
    from fama_fast.atomic import atomic_write

    with atomic_write(output) as temporary:
        ending = output.suffix.lower()
        if ending == ".json":
            temporary.write_text(json_text(rows) + "\n", encoding="utf-8")
        elif ending == ".csv":
            frame.fill_nan(None).write_csv(temporary)
        else:
            frame.fill_nan(None).write_parquet(temporary)
