"""`fama-fast runs`: list, show, export and report the runs of the ledger, and the lineage of factors."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fama_fast.cli.common import EXPRESSION_COMMAND, AsJson, note, print_table, reject_options
from fama_fast.cli.completion import run_names
from fama_fast.ledger.records import to_the_second
from fama_fast.terminal import ascii_only, json_text, printable, say, say_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fama_fast.ledger.kin import ChainLink, ChainPath, Kin
    from fama_fast.ledger.ledger import Ledger
    from fama_fast.ledger.records import RunRecord

RunId = Annotated[
    str,
    typer.Argument(metavar="RUN", help="Run id, the beginning of one, or 'last'.", autocompletion=run_names),
]
LedgerPath = Annotated[
    str | None,
    typer.Option("--ledger", metavar="FILE", help="The ledger (default: runs/ledger.sqlite).", show_default=False),
]
ConfigPath = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Configuration that names the ledger.", show_default=False),
]
OutputPath = Annotated[
    Path | None,
    typer.Option("--output", metavar="FILE", help="Write there instead of printing.", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the sub-commands."""
    runs = typer.Typer(name="runs", help="Look into recorded mining runs.", no_args_is_help=True, rich_markup_mode=None)
    runs.command("list")(_reads(list_runs))
    runs.command("show")(_reads(show))
    runs.command("export")(_reads(export))
    runs.command("lineage", context_settings=EXPRESSION_COMMAND)(_reads(lineage))
    runs.command("report")(_reads(report))
    app.add_typer(runs)


def _reads(command: Callable[..., None]) -> Callable[..., None]:
    """Decorator of a command that reads the ledger: a document that is not as it was written is damage, not a fault."""

    @functools.wraps(command)
    def run(*args: Any, **options: Any) -> None:
        from fama_fast.ledger.store import understood

        with understood(lambda: _place(options["ledger"], options["config"]), "what it holds of a run"):
            command(*args, **options)

    return run


def _place(ledger: str | None, config: Path | None) -> str:
    from fama_fast.mining.config_file import load_config
    from fama_fast.mining.run.setup import ledger_place

    return ledger_place(load_config(config, {"ledger": ledger}))


def _open(ledger: str | None, config: Path | None) -> Ledger:
    from fama_fast.ledger.ledger import Ledger

    return Ledger.open(_place(ledger, config), create=False)


def list_runs(ledger: LedgerPath = None, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """List the runs, oldest first."""
    from fama_fast.ledger.ownership import status_now, why

    with _open(ledger, config) as store:
        runs = store.list_runs()
    rows = [
        {
            "run": r.id,
            "status": status_now(r),
            "rounds": r.rounds,
            "verdict": (r.verdict or {}).get("status", "-"),
            "proposer": r.proposer,
            "seed": r.seed,
            "data": r.source,
            "reason": why(r) or "-",
        }
        for r in runs
    ]
    if as_json:
        say_json(rows)
    else:
        print_table(rows)


def show(
    run: RunId,
    ledger: LedgerPath = None,
    config: ConfigPath = None,
    candidates: Annotated[
        bool, typer.Option("--candidates", help="List every candidate and the gate that stopped it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show one run: its state, its funnel and its new factors."""
    from fama_fast.ledger.ownership import RUNNING, owner_text, status_now, why
    from fama_fast.ledger.records import trials_of
    from fama_fast.mining.library.gates import funnel
    from fama_fast.mining.verdict.results import measure_rows

    with _open(ledger, config) as store:
        record = store.get_run(run)
        proposed = trials_of(store.candidates(record.id))
        looks = store.test_looks(record.data_hash)
    if as_json:
        say_json(_as_data(record, proposed, candidates) | {"test_looks": looks})
        return
    counts = ", ".join(f"{gate} {n}" for gate, n in funnel(proposed).items() if n)
    say(
        f"run {record.id}: {status_now(record)}, {record.rounds} rounds, {len(proposed)} candidates",
        f"data: {record.source} (hash {record.data_hash})",
        f"proposer {record.proposer}, seed {record.seed}, started {to_the_second(record.started_at)}",
        f"gates: {counts or 'no candidate yet'}",
    )
    if candidates:
        print_table([_candidate_row(c) for c in proposed])
    if record.summary is not None:
        say(record.summary["verdict"]["headline"])
        print_table(measure_rows(record.summary))
        if looks:
            say(f"looks at the test dates of these data: {len(looks)}")
            print_table([_look_row(look, record.id) for look in looks])
    elif status_now(record) == RUNNING:
        say(f"not finished: {owner_text(record.owner)} works on it")
    else:
        say(f"not finished: go on with --resume {record.id}{f' ({why(record)})' if why(record) else ''}")


def _look_row(look: dict[str, Any], run: str) -> dict[str, Any]:
    return {
        "at": to_the_second(look["at"]),
        "why": look["why"],
        "run": "this run" if look["run_id"] == run else look["run_id"] or "-",
        "who": look["who"] or "-",
        "command": look["command"] or "-",
    }


def _candidate_row(row: Mapping[str, Any]) -> dict[str, Any]:
    train = row["scores"].get("train", {}).get("rank_ic")
    return {
        "round": row["round"],
        "position": row["position"],
        "gate": row["gate"] or "admitted",
        "train": train,
        "expression": row["canonical"] or row["text"],  # what the figure is of; the text may be its negative
        "reason": row["reason"],
    }


def _as_data(record: RunRecord, proposed: Sequence[Mapping[str, Any]], candidates: bool) -> dict[str, Any]:
    from dataclasses import asdict

    from fama_fast.ledger.ownership import status_now, why
    from fama_fast.mining.library.gates import funnel

    data = asdict(record) | {"status": status_now(record), "reason": why(record) or None}
    del data["state"]
    data["funnel"] = funnel(proposed)
    if candidates:
        data["candidates"] = proposed
    return data


def export(run: RunId, ledger: LedgerPath = None, config: ConfigPath = None, output: OutputPath = None) -> None:
    """Export a run.

    To a .yaml file (or printed): its new factors as a factor set, which score, compute and a factor cache read. To a
    .csv, .parquet or .json file: every candidate that was ever proposed, with its gate, scores and parents, and its
    place among the factors that the run ended with. Scores are of the formula under `canonical`; `text` is what was
    proposed, of which that may be the negative.
    """
    from fama_fast.cli.common import check_ending

    if output is not None and check_ending(output, (".yaml", ".yml", ".csv", ".parquet", ".json")) not in _FACTOR_SETS:
        _export_candidates(run, ledger, config, output)
        return
    _export_factors(run, ledger, config, output)


_FACTOR_SETS = (".yaml", ".yml")


def _export_candidates(run: str, ledger: str | None, config: Path | None, output: Path) -> None:
    import polars as pl

    from fama_fast.atomic import atomic_write
    from fama_fast.ledger.records import FACTORS

    with _open(ledger, config) as store:
        record = store.get_run(run)
        rows = [{**row, "place": None} for row in store.candidates(record.id)]
    places = {f["fingerprint"]: i for i, f in enumerate((record.state or {}).get(FACTORS, ()), start=1)}
    for row in rows:
        if "train" in row["scores"]:
            row["place"] = places.pop(row["fingerprint"], None)
    ending = output.suffix.lower()
    with atomic_write(output) as temporary:
        if ending == ".json":
            temporary.write_text(json_text(rows) + "\n", encoding="utf-8")
        else:
            frame = pl.DataFrame([_flat(row) for row in rows], infer_schema_length=None)
            if ending == ".parquet":
                frame.write_parquet(temporary)
            else:
                frame.write_csv(temporary)
    note(f"wrote {len(rows)} candidates to {output}")


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """A candidate as one row of a table: scores as columns such as train_rank_ic, lists and documents as JSON."""
    out = {k: v for k, v in row.items() if k not in ("scores", "timings", "extra", "parents", "id")}
    out |= {name: json.dumps(row[name], ensure_ascii=False) for name in ("parents", "timings", "extra")}
    for split, figures in row["scores"].items():
        out |= {f"{split}_{name}": _figure(value) for name, value in figures.items()}
    return out


def _figure(value: Any) -> float | None:
    if value is None or isinstance(value, (int, float)):
        return value
    raise ValueError(f"a {type(value).__name__} among the scores")


def lineage(
    ctx: typer.Context,
    run: RunId,
    factor: Annotated[
        str | None,
        typer.Argument(
            metavar="FACTOR",
            help="Expression, fingerprint (or its beginning), or 'best': its best path and all its ancestors.",
            show_default=False,
        ),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", metavar="HASH", help="What a prompt led to, by its hash.", show_default=False),
    ] = None,
    round_number: Annotated[
        int | None, typer.Option("--round", metavar="N", help="What a round led to.", show_default=False)
    ] = None,
    ledger: LedgerPath = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Show the lineage of a factor (its ancestors), of a prompt or a round (its descendants), or (with none) the
    chains."""
    from dataclasses import asdict

    from fama_fast.errors import ConfigError
    from fama_fast.ledger.lineage import Lineage

    reject_options([run, *([] if factor is None else [factor])], ctx)
    if sum(x is not None for x in (factor, prompt, round_number)) > 1:
        raise ConfigError("give a FACTOR, --prompt or --round, not several")
    with _open(ledger, config) as store:
        graph = Lineage(store, store.get_run(run).id)
        if factor is not None:
            fingerprint = graph.find(factor)
            parts = {"path": graph.path(fingerprint), "ancestors": graph.ancestors(fingerprint)}
        elif prompt is not None or round_number is not None:
            parts = {"descendants": graph.descendants(prompt_hash=prompt, round_number=round_number)}
        else:
            chains = graph.chains()
            if as_json:
                say_json([asdict(c) for c in chains])
            else:
                print_table([_link_row(c, link) for c in chains for link in c.links])
            return
    if as_json:
        say_json({name: [asdict(k) for k in kin] for name, kin in parts.items()})
        return
    for name, kin in parts.items():
        print(f"{name}:")
        print_table([_kin_row(k) for k in kin])


def _kin_row(kin: Kin) -> dict[str, Any]:
    return {
        "distance": kin.distance,
        "round": kin.round,
        "score": kin.score,
        "fate": "start" if kin.id is None else kin.gate or "admitted",
        "origin": kin.origin,
        "prompt": kin.prompt_hash,
        "fingerprint": kin.fingerprint,
        "expression": kin.expression,
    }


def _link_row(chain: ChainPath, link: ChainLink) -> dict[str, Any]:
    return {
        "chain": chain.chain,
        "branched from": chain.branched_from,
        "round": link.round,
        "how": link.action,
        "score": link.score,
        "expression": link.expression,
    }


def _export_factors(run: str, ledger: str | None, config: Path | None, output: Path | None) -> None:
    from fama_fast.errors import StoreError
    from fama_fast.library import FactorSet
    from fama_fast.library.strict_yaml import dump
    from fama_fast.mining.run.factor_source import run_factors

    with _open(ledger, config) as store:
        record = store.get_run(run)
        results = store.results(record.id)
    if record.state is None:
        raise StoreError(f"run {record.id} has no committed round: nothing to export")
    factors = FactorSet()
    for factor in run_factors(record, results):
        factors.add(factor)
    if output is None:
        text = dump(factors.to_dict())
        if ascii_only() or printable(text, keep="\n") != text:  # what is printed must read back as it was
            text = dump(factors.to_dict(), ascii_only=True)
        print(text, end="")
    else:
        factors.to_yaml(output)
        note(f"wrote {len(factors)} factors to {output}")


def report(run: RunId, ledger: LedgerPath = None, config: ConfigPath = None, output: OutputPath = None) -> None:
    """Write a short report (Markdown) of a finished run."""
    from fama_fast.atomic import atomic_write
    from fama_fast.errors import StoreError
    from fama_fast.mining.verdict.results import markdown

    with _open(ledger, config) as store:
        record = store.get_run(run)
    if record.summary is None:
        raise StoreError(f"run {record.id} is not finished: go on with --resume {record.id}")
    text = markdown(record.summary)
    if output is None:
        print(text, end="")
        return
    with atomic_write(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    note(f"wrote {output}")
