"""The pool of a run as formulas with weights, and its combined signal on any data that have their fields.

The signal of a date is the sum of weight times centred rank over the formulas, a missing rank counting as the middle;
a symbol without any rank has none. On the dates of the run's own test it is what the verdict judged, bit for bit: the
weights are those recorded, and ranks are added in the same order. Where they were fitted again (`refit`), later dates
have later weights.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fama_fast.engine.chunks import chunks, compute
from fama_fast.engine.prepare import lowered, plan_chunks, read_names
from fama_fast.errors import DataError, StoreError
from fama_fast.evaluation.blend import weighted_ranks
from fama_fast.factor_store import Combination, Fit
from fama_fast.factor_store.combination import weights_at
from fama_fast.ledger.records import as_proposed
from fama_fast.library.codec import KEYS, factor_from_dict
from fama_fast.mining.config_file import config_from_dict, stored_config
from fama_fast.mining.measure.streamed_forecast import by_lookback

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fama_fast.ir import Node
    from fama_fast.ledger.ledger import Ledger
    from fama_fast.ledger.records import RunRecord
    from fama_fast.library.factor import Factor
    from fama_fast.panel.source import Source
    from fama_fast.types import FloatArray

Which = Literal["list", "wide"]
POOLS: dict[str, str] = {"list": "the short list", "wide": "the wide pool"}


@dataclass(frozen=True)
class SignalPool:
    """Formulas with their weights, as of one fit.

    Attributes:
        forms: (canonical text as it was proposed, its sign) of K formulas. weights: (K,), of centred ranks. name: which
            pool, in words. fitted: the split that the weights were fitted for: "valid", or "test", where training and
            validation taught them. run: id. min_coverage: share of a window that must be there, as the run had it.
        by_lookback: whether ranks are added up in the order of the formulas' lookbacks, as a wide pool does.
        later: weights of later dates, which were fitted again on request, in order.
    """

    forms: tuple[tuple[str, int], ...]
    weights: tuple[float, ...]
    name: str
    fitted: str
    run: str
    min_coverage: float | None = None
    by_lookback: bool = False
    later: tuple[Fit, ...] = ()

    @classmethod
    def of_run(cls, ledger: Ledger, run: RunRecord, which: Which = "list") -> SignalPool:
        """The pool of a finished run: with the weights of the test where that was opened, else those of validation.

        Raises:
            DataError: the run is not finished, has no such pool, or was made by a version that kept no weights of it.
        """
        if run.summary is None:
            raise DataError(f"run {run.id} is not finished: go on with 'fama-fast mine --resume {run.id}'")
        if which == "list":
            return cls.of_document(run.summary)
        config = stored_config(run.config, source=f"the settings of run {run.id}")
        more: dict[str, Any] = {"run": run.id, "min_coverage": config.run.min_coverage, "name": POOLS[which]}
        return cls(**_wide(ledger, run), **more, by_lookback=True)

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> SignalPool:
        """The short list's pool of a result document, likewise."""
        run = str(document["record"].get("run", ""))
        config = config_from_dict(document["settings"])
        listed = _listed(document, f"run {run}", config.pool.model)
        return cls(**listed, run=run, min_coverage=config.run.min_coverage, name=POOLS["list"])

    def signal(
        self, data: Source, first: int = 0, last: int | None = None, *, threads: int | None = None
    ) -> FloatArray:
        """(last - first, N) the combined signal on rows of some data; NaN for a symbol without any rank.

        Raises:
            ExpressionError: the data lack a field that a formula reads. DataError: from reading.
        """
        stop = data.shape[0] if last is None else last
        order = self.order(data)
        known = self._roots(data)
        roots = [known[i] for i in order]
        signs = [self.forms[i][1] for i in order]
        weights = weights_at(self.fits, data.dates[first:stop])[list(order)]
        out = np.full((stop - first, data.shape[1]), np.nan)
        if first >= stop:
            return out
        fields, groups = read_names(roots, data)
        schedule = plan_chunks(roots, data, None, fields=fields, groups=groups, kept=1, walked=stop - first)
        for loaded in chunks(data, schedule, fields, groups, first, stop):
            # Batches are in the order of the roots where no memory is counted, and only one of them is there at a time.
            batches = (found for _, found in compute(loaded, schedule.batches, threads=threads))
            rows = slice(loaded.start - first, loaded.stop - first)
            shape = (loaded.stop - loaded.start, data.shape[1])
            shares = itertools.chain.from_iterable(batches)
            out[rows] = weighted_ranks(shares, signs, weights[:, rows], shape, threads=threads)
        return out

    def _roots(self, data: Source) -> tuple[Node, ...]:
        """The rank of each formula as it is computed when it is judged: the rank of what only grows with a formula is
        that of the formula, which rounding could tell apart."""
        return lowered([f"RANK({text})" for text, _ in self.forms], data, self.min_coverage)

    @property
    def taught(self) -> str:
        """What the run's own weights were fitted on, in words."""
        return "training and validation" if self.fitted == "test" else "training"

    @property
    def fits(self) -> tuple[Fit, ...]:
        """All weights, with the dates that they are for: those of the run, then later ones."""
        return (Fit(None, self.taught, self.weights), *self.later)

    def combination(self, data: Source) -> Combination:
        """What a factor store keeps of it, to go on with: on these data, whose fields decide how far a formula looks
        back."""
        order = self.order(data)
        fits = tuple(replace(fit, weights=tuple(fit.weights[i] for i in order)) for fit in self.fits)
        forms: Any = tuple(self.forms[i] for i in order)
        return Combination(self.run, self.name, forms, fits)

    def order(self, data: Source) -> Sequence[int]:
        """Places of the formulas in the order in which their ranks are added up on these data."""
        if not self.by_lookback:
            return range(len(self.forms))
        return by_lookback(self._roots(data), data)


def _listed(document: Mapping[str, Any], source: str, model: str) -> dict[str, Any]:
    """Formulas, weights and split of the short list of a result document."""
    if model != "ridge":
        raise DataError(f"{source} weighed its pool by {model!r}: a signal is made of a ridge pool (pool.model: ridge)")
    members, fitted = members_of(document, source)
    weights = document["verdict"]["pool"][fitted]["weights"]
    return {
        "forms": tuple(f.as_proposed for f in members),
        "weights": tuple(float(weights[f.fingerprint]) for f in members),
        "fitted": fitted,
    }


def members_of(document: Mapping[str, Any], source: str) -> tuple[list[Factor], str]:
    """The factors of the short list's pool, in their order, and the split that its last weights are for.

    Raises:
        DataError: there is no pool, or it has factors that the document lacks.
    """
    pools = document["verdict"].get("pool", {})
    fitted = next((split for split in ("test", "valid") if pools.get(split, {}).get("weights")), None)
    if fitted is None:
        raise DataError(f"{source} has no pool: it found no factor")
    weights = pools[fitted]["weights"]
    entries = [{key: entry[key] for key in KEYS if key in entry} for entry in document["factors"]]
    factors = [factor_from_dict(entry, where=source, on_mismatch="warn") for entry in entries]
    members = [f for f in factors if f.fingerprint in weights]
    if len(members) < len(weights):
        raise DataError(f"{source}: its pool has {len(weights)} factors, of which only {len(members)} are listed")
    return members, fitted


def _wide(ledger: Ledger, run: RunRecord) -> dict[str, Any]:
    """The same of the wide pool, whose weights are in the ledger."""
    summary = run.summary or {}
    wide = summary["verdict"].get("wide")
    if not wide:
        raise DataError(f"run {run.id} has no wide pool")
    kept = {name: own["wide"] for name, own in ledger.results(run.id).items() if "wide" in own}
    if not kept or any("scaled" not in own for own in kept.values()):
        raise DataError(f"run {run.id} was made by a version that kept no weights to make a signal of: mine again")
    proposed = {row["fingerprint"]: as_proposed(row)[1] for row in ledger.candidates(run.id) if row["fingerprint"]}
    begun_as = (run.state or {}).get("begun_as", {})
    proposed |= {f.fingerprint: begun_as.get(f.fingerprint) or f.canonical for f in ledger.starting_factors(run.id)}
    names = sorted(kept, key=lambda name: kept[name]["place"])
    missing = [name for name in names if name not in proposed]
    if missing:
        raise StoreError(f"run {run.id}: {len(missing)} formulas of its wide pool are not in the ledger")
    return {
        "forms": tuple((proposed[name], -1 if kept[name]["sign"] < 0 else 1) for name in names),
        "weights": tuple(float(kept[name]["scaled"]) for name in names),
        "fitted": "test" if wide.get("test") else "valid",
    }
