"""Gathers the content of a report as plain data, from a run or a file, before it is drawn.

`from_run` and `from_document` read what a run recorded, `from_factors` any list of factors. Figures that need market
data are made from a panel; where there is none, or where it is not the data of the run, `not_supplied` says so and
nothing stands in. The test split's dates are looked at only for factors whose test the run itself opened.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.errors import DataError, ExpressionError
from fama_fast.evaluation import LibraryStudy, StudyData, StudySettings, by_period, study, study_library
from fama_fast.ledger.earlier_versions import oriented_document
from fama_fast.library.factor import contradicted
from fama_fast.report.recorded import (
    dates_before,
    horizons_shown,
    predicted_by,
    ranked_by,
    read_of,
    split_rows,
    training_cutoff,
)
from fama_fast.report.searched import chains, progress, proposers
from fama_fast.report.statistics import STATISTICS, Measured
from fama_fast.target import Target
from fama_fast.target.words import in_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fama_fast.ledger.ledger import Ledger
    from fama_fast.ledger.records import RunRecord
    from fama_fast.library.factor import Factor
    from fama_fast.panel import Panel
    from fama_fast.types import IntArray

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Entry:
    """One factor of a report.

    Attributes:
        name: short, such as F3. contradicted: training turned the expression round, against its hypothesis.
        scores: RankIC by split. holds: the run's judgement; None without one.
        verdict: its t and adjusted p. parents: names or formulas. figures: of its study; empty when not supplied.
        statistics: by the title of its column; likewise. studied: the dates that these are of.
    """

    name: str
    expression: str
    canonical: str
    fingerprint: str
    hypothesis: str = ""
    contradicted: bool = False
    explanation: str = ""
    origin: str = ""
    parents: tuple[str, ...] = ()
    scores: dict[str, float] = field(default_factory=dict)
    holds: bool | None = None
    verdict: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    statistics: dict[str, float | None] = field(default_factory=dict)
    studied: str = ""


@dataclass(frozen=True)
class Content:
    """The data of the whole page.

    Attributes:
        title, source: what is reported on. verdict: of the run's document; empty for plain factors. data, splits,
            search, record: its sections. reading: what reading the data let pass. quality: what the quality checks
            found, see `mining.quality`; empty where nobody made them. gates: candidates by gate. entries: the factors.
        study: how they fared and relate; None when there was no data. studied: the dates that its figures are of, those
            of how factors relate among them; series_from: the first date of its series. dates: (T,) of these.
        horizon: days of the label that the run ranked by. predicted: what the figures are measured against, in words.
        tested_from: first test date when the test was opened.
        cutoff: to which the model was trained that the run asked; None where that is not known. read: a sentence on
            the dates before it. before: how many of each split they are, None where that cannot be told.
        recorded: the ledger has the run. progress: one row a candidate. chains: paths of members. usage: what language
            models cost. proposers: of a run that asked one, who proposed what, see `searched.proposers`.
        not_supplied: reason by part of the page.
    """

    title: str
    source: str
    verdict: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    reading: tuple[str, ...] = ()
    quality: dict[str, Any] = field(default_factory=dict)
    splits: dict[str, Any] = field(default_factory=dict)
    search: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
    gates: dict[str, int] = field(default_factory=dict)
    entries: tuple[Entry, ...] = ()
    study: LibraryStudy | None = None
    dates: Any = None
    studied: str = ""
    series_from: str = ""
    predicted: str = ""
    horizon: int = 1
    tested_from: str | None = None
    cutoff: str | None = None
    read: str = ""
    before: dict[str, int | None] = field(default_factory=dict)
    recorded: bool = False
    progress: tuple[dict[str, Any], ...] = ()
    chains: tuple[tuple[dict[str, Any], ...], ...] = ()
    usage: dict[str, Any] = field(default_factory=dict)
    proposers: tuple[dict[str, Any], ...] = ()
    not_supplied: dict[str, str] = field(default_factory=dict)


def from_run(
    ledger: Ledger, run: RunRecord, panel: Panel | None, *, no_panel: str = "", target: Target | None = None
) -> Content:
    """The content for a finished run of the ledger.

    Args:
        panel: the data of the run, or None with the reason in `no_panel`. target: as of `from_document`.

    Raises:
        DataError: the run is not finished, or the panel is other data than the run's.
    """
    if run.summary is None:
        raise DataError(f"run {run.id} is not finished: go on with --resume {run.id}")
    rows = ledger.candidates(run.id)
    content = from_document(
        run.summary,
        panel,
        title=f"Mining run {run.id}",
        no_panel=no_panel,
        target=target,
        lineage={
            r["fingerprint"]: r for r in rows if r["fingerprint"] and (r["gate"] is None or "train" in r["scores"])
        },
        texts={f.fingerprint: f.canonical for f in ledger.starting_factors(run.id)}
        | {r["fingerprint"]: r["canonical"] for r in rows if r["fingerprint"]},
    )
    usage: dict[str, Any] = {}
    exchanges = ledger.exchanges(run.id)
    for exchange in exchanges:
        for key, value in (exchange["usage"] or {}).items():
            if isinstance(value, int | float):
                usage[key] = usage.get(key, 0) + value
    names = {e.fingerprint: e.name for e in content.entries}
    return replace(
        content,
        recorded=True,
        progress=tuple(progress(rows)),
        chains=chains(run, names),
        usage=usage,
        proposers=tuple(proposers(rows, {e.fingerprint for e in content.entries}, exchanges)),
    )


def from_document(
    document: Mapping[str, Any],
    panel: Panel | None,
    *,
    title: str = "Mining run",
    no_panel: str = "",
    lineage: Mapping[str, Mapping[str, Any]] | None = None,
    texts: Mapping[str, str] | None = None,
    target: Target | None = None,
) -> Content:
    """The content for a result document, as `mine --output` wrote it or the ledger keeps it; also of earlier versions.

    Args:
        lineage: rows of the ledger by fingerprint of a measured factor. texts: formulas of whatever may be a parent.
        target: what the figures measure the factors against, in place of what the run predicted.

    Raises:
        DataError: the panel is other data than the run's.
    """
    document = oriented_document(document)
    data = dict(document["data"])
    if panel is not None and panel.data_hash != data["hash"]:
        raise DataError(
            f"{panel.source} is not the data of this run: its hash is {panel.data_hash}, the run's {data['hash']}"
        )
    entries = [
        _entry(f"F{i}", e, (lineage or {}).get(e["fingerprint"], {})) for i, e in enumerate(document["factors"], 1)
    ]
    names = {e.fingerprint: e.name for e in entries}
    entries = [_named_parents(e, {**(texts or {}), **names}) for e in entries]
    verdict = dict(document["verdict"])
    opened = [e for e in entries if "test" in e.scores]
    missing: dict[str, str] = {}
    study, dates, studied, series_from = None, None, "", ""
    splits, predicted = dict(document["splits"]), target or predicted_by(document["settings"])
    horizon = ranked_by(predicted)
    if panel is None:
        missing["figures"] = no_panel or "the market data was not given"
    elif not entries:
        missing["figures"] = "the run found no new factor"
    else:
        settings = document["settings"]["splits"]
        chosen = StudySettings(
            entry_lag=predicted.entry,
            horizons=horizons_shown(predicted),
            target=None if predicted.is_default else predicted,
            min_members=settings.get("min_members", 0),  # runs of earlier versions scored every date
        )
        rows = {name: split_rows(panel, splits[name]) for name in SPLITS}
        study, entries = _studied(entries, panel, chosen, rows, horizon)
        dates, series_from = panel.dates, splits["train"]["first"]
        studied, tested = (f"{splits[name]['first']} to {splits[name]['last']}" for name in ("valid", "test"))
        studied = f"validation dates ({studied})"
        entries = [
            replace(e, studied=f"{studied} and test dates ({tested})" if "test" in e.scores else studied)
            for e in entries
        ]
    cutoff = training_cutoff(document["settings"], document["search"]["proposer"])
    before = {} if cutoff is None else dates_before(cutoff, panel, splits)
    return Content(
        title=title,
        source=data["source"],
        verdict=verdict,
        cutoff=cutoff,
        read="" if cutoff is None else read_of(cutoff, before, splits),
        before=before,
        data=data,
        reading=tuple(data.get("warnings", ())),
        quality=dict(data.get("quality") or {}),
        splits=splits,
        search=dict(document["search"]),
        settings=dict(document["settings"]),
        record=dict(document.get("record", {})),
        gates=dict(document["search"]["funnel"]),
        entries=tuple(entries),
        study=study,
        dates=dates,
        studied=studied,
        series_from=series_from,
        predicted=in_words(predicted),
        horizon=horizon,
        tested_from=splits["test"]["first"] if opened and study is not None else None,
        not_supplied=missing,
    )


def _entry(name: str, entry: Mapping[str, Any], row: Mapping[str, Any]) -> Entry:
    provenance = entry.get("provenance", {})
    scores = {
        split: entry["scores"][split]["rank_ic"]
        for split in SPLITS
        if entry["scores"].get(split, {}).get("rank_ic") is not None
    }
    verdict = entry.get("verdict") or {}
    return Entry(
        name=name,
        expression=entry["expression"],
        canonical=entry["canonical"],
        fingerprint=entry["fingerprint"],
        hypothesis=entry.get("hypothesis", ""),
        contradicted=contradicted(entry.get("hypothesis", ""), provenance),
        explanation=provenance.get("explanation", "") or row.get("explanation", ""),
        origin=f"{provenance.get('origin', '')} (round {provenance['round']})" if "round" in provenance else "",
        parents=tuple(provenance.get("parents", ())),
        scores=scores,
        holds=verdict.get("holds"),
        verdict=dict(verdict),
    )


def _named_parents(entry: Entry, names: Mapping[str, str]) -> Entry:
    return replace(entry, parents=tuple(names.get(p, f"a factor known before ({p[:12]})") for p in entry.parents))


def from_factors(
    factors: Sequence[Factor],
    panel: Panel | None,
    *,
    title: str,
    source: str,
    no_panel: str = "",
    target: Target | None = None,
) -> Content:
    """The content for plain factors, without a run: everything is measured over all dates, and the page says so."""
    entries = [
        Entry(
            name=f"F{i}",
            expression=f.expression,
            canonical=f.canonical,
            fingerprint=f.fingerprint,
            hypothesis=f.hypothesis,
            contradicted=f.contradicted,
            scores={s: v["rank_ic"] for s, v in f.scores.items() if s in SPLITS and "rank_ic" in v},
        )
        for i, f in enumerate(factors, start=1)
    ]
    missing = {"verdict": "these factors come from a file, not from a run: nothing was held back to test them on"}
    study, dates, studied, data = None, None, "", {}
    horizon = 1 if target is None else ranked_by(target)
    if panel is None:
        missing["figures"] = no_panel or "the market data was not given"
    else:
        t = panel.shape[0]
        everything = np.arange(t)
        rows = {"train": everything, "valid": everything, "test": everything[:0]}
        own = target or Target()
        chosen = StudySettings(horizons=horizons_shown(own), entry_lag=own.entry, target=target)
        study, entries = _studied(entries, panel, chosen, rows, horizon)
        dates, studied = panel.dates, "all dates, which may be those the factors were chosen on"
        entries = [replace(e, studied=studied) for e in entries]
        days = panel.dates.astype("datetime64[D]").astype(str)
        data = {
            "source": panel.source,
            "hash": panel.data_hash,
            "dates": t,
            "symbols": panel.shape[1],
            "first": days[0],
            "last": days[-1],
        }
    return Content(
        title=title,
        source=source,
        data=data,
        reading=() if panel is None else panel.warnings,
        entries=tuple(entries),
        study=study,
        dates=dates,
        studied=studied,
        predicted="" if panel is None else in_words(target or Target()),
        horizon=horizon,
        series_from=str(data.get("first", "")),
        not_supplied=missing,
    )


def _studied(
    entries: Sequence[Entry], panel: Panel, settings: StudySettings, rows: Mapping[str, IntArray], horizon: int
) -> tuple[LibraryStudy, list[Entry]]:
    """Studies of the factors on validation dates, with series (T,) from the first training date.

    Everything is measured against labels of a panel that ends with validation, so nothing reaches further; factors
    whose test was opened are then measured once more, on validation and test dates: what lies between belongs to
    neither.
    """
    first, valid_end = int(rows["train"][0]), int(rows["valid"][-1]) + 1
    closed = StudyData.from_panel(panel.slice_dates(0, valid_end), settings)
    pending: dict[str, Any] = {}  # values of those that are measured twice

    def before_test() -> Iterator[tuple[str, Any]]:
        for entry in entries:
            values = _values(entry, panel)
            if "test" in entry.scores and len(rows["test"]):
                pending[entry.name] = values
            yield entry.name, values[:valid_end]

    library = study_library(before_test(), closed, rows=rows["valid"])
    opened = StudyData.from_panel(panel, settings) if pending else None
    both = np.concatenate([rows["valid"], rows["test"]])
    studies, out = [], []
    for entry, part_study in zip(entries, library.studies, strict=True):
        final, end, part = part_study, valid_end, rows["valid"]
        if opened is not None and entry.name in pending:
            end, part = int(rows["test"][-1]) + 1, both
            final = study(pending.pop(entry.name), opened, rows=both)
        measured = Measured(final.figures, {name: series[part] for name, series in final.daily.items()}, horizon)
        # Years are shown from the first training date on: a factor that lived early should be seen to have done so.
        figures = dict(final.figures)
        figures["by_year"] = by_period(final.daily["rank_ic"][first:end], panel.dates[first:end], "year")
        daily = {}
        for name, series in final.daily.items():
            daily[name] = np.full(panel.shape[0], np.nan)
            daily[name][first:end] = series[first:end]
        studies.append(replace(final, figures=figures, daily=daily))
        out.append(replace(entry, figures=figures, statistics={s.title: s.of(measured) for s in STATISTICS}))
    return replace(library, studies=tuple(studies)), out


def _values(entry: Entry, panel: Panel) -> Any:
    from fama_fast.engine import compile_recorded, evaluate

    try:
        alpha = compile_recorded(entry.canonical, fields=panel.fields, groups=panel.groups)
    except ExpressionError as error:
        raise DataError(f"{panel.source} does not serve {entry.canonical}: {error.message}") from error
    return evaluate([alpha], panel)[0]
