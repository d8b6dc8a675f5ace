"""The suites by name: what each seed of them does. `SUITES` is the whole list."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benches.mining import ablation as memories
from benches.mining import panels
from benches.mining.measure import described, mined, scored


@dataclass(frozen=True)
class Suite:
    """A question asked once a seed.

    Attributes:
        run: (arm, seed, candidates, threads) to plain data. arms: what is compared within a seed. data: a real panel
            that it needs.
    """

    name: str
    about: str
    seeds: int
    candidates: int
    run: Callable[[str, int, int, int], dict[str, Any]]
    arms: tuple[str, ...] = ("",)
    data: str | None = None

    def missing(self) -> str | None:
        """What it lacks here."""
        return panels.missing(self.data) if self.data else None


def noise(_arm: str, seed: int, candidates: int, threads: int) -> dict[str, Any]:
    """Pure noise: the verdict must be that nothing was found."""
    result, _ = mined(panels.noise(seed), seed, candidates, threads)
    return {**described(result), "right": result.verdict.status.value == "nothing found"}


def planted(_arm: str, seed: int, candidates: int, threads: int) -> dict[str, Any]:
    """One planted signal: how much of its test RankIC the best admitted factor, and the best in training, have."""
    import fama_fast as ff

    panel, text = panels.planted(seed)
    truth = ff.score([text], panel, split="test")["rank_ic"][0]
    result, config = mined(panel, seed, candidates, threads, control={"random": False})
    found = scored(panel, config, tuple(result.factors))
    rows = found["factors"]
    best = found.get("best_test", 0.0)
    first = max(rows, key=lambda r: r["train"], default={"test": 0.0})["test"]
    return {
        **described(result),
        **found,
        "signal": text,
        "signal_test": truth,
        "share_of_best": best / abs(truth),
        "share_of_first": first / abs(truth),
        "right": best >= 0.8 * abs(truth),
    }


SMALL = (300, 750)  # symbols, dates: a run takes seconds


def verdicts(arm: str, seed: int, candidates: int, threads: int) -> dict[str, Any]:
    """One small market: "found" is wrong where nothing pays, and anything else but a find where a signal is planted."""
    if arm == "planted":
        panel, _ = panels.planted(seed, *SMALL, rank_ic=0.06)
    else:
        panel = {"noise": panels.noise, "martingale": panels.martingale}[arm](seed, *SMALL)
    result, _ = mined(panel, seed, candidates, threads)
    status = result.verdict.status.value
    right = status.startswith("found") if arm == "planted" else status != "found"
    tested = result.verdict.tested
    low = None if tested is None else tested.spread_interval[0]
    return {
        "status": status,
        "headline": result.verdict.headline,
        "admitted": len(result.factors),
        "holding": len(result.verdict.holding),
        "spread_test_low": low,
        "pays": status != "found" or (low is not None and low > 0.0),
        "right": right,
    }


def _real(name: str) -> Callable[[str, int, int, int], dict[str, Any]]:
    def run(arm: str, seed: int, candidates: int, threads: int) -> dict[str, Any]:
        panel = panels.real(name)
        if arm == "gplearn":
            from benches.mining.gplearn_arm import gplearn_arm

            return gplearn_arm(panel, seed, candidates, threads)
        result, config = mined(panel, seed, candidates, threads)
        found = scored(panel, config, tuple(result.factors))
        contradicted = result.verdict.status.value == "found" and (found["pool_test"].get("ridge") or 0.0) <= 0.0
        return {**described(result), **found, "contradicted": contradicted, **_rival(panel, config, result)}

    return run


def _rival(panel: Any, config: Any, result: Any) -> dict[str, Any]:
    """The test of the random-formula control's pool, whether the run opened its test or not."""
    found = scored(panel, config, result.rivals)
    return {
        "random_admitted": len(result.rivals),
        "random_pool_test": found["pool_test"],
        "random_test_over_train": found.get("test_over_train"),
    }


def ablation(arm: str, seed: int, candidates: int, threads: int) -> dict[str, Any]:
    """The memories switched on and off, same data and budget."""
    run = {"use_css": arm in ("css", "both"), "use_coe": arm in ("coe", "both")}
    panel = panels.real("ashare")
    result, config = mined(panel, seed, candidates, threads, run=run, control={"random": False})
    found = scored(panel, config, tuple(result.factors))
    return {**described(result), **found, "per_1000": 1000.0 * len(result.factors) / max(1, result.candidates)}


def _racing(panel_of: Callable[[int], Any]) -> Callable[[str, int, int, int], dict[str, Any]]:
    """Screening by races beside exact scoring of everything, on the same data with the same budget."""

    def run(arm: str, seed: int, candidates: int, threads: int) -> dict[str, Any]:
        from benches.mining.watched_race import watched_race

        panel = panel_of(seed)
        mined(panel, seed + 1, 40, threads, control={"random": False})  # kernels compile once, for good
        began = time.perf_counter()
        with watched_race(decides=arm == "race") as watch:
            result, config = mined(panel, seed, candidates, threads, control={"random": False})
        wall = time.perf_counter() - began
        scoring = watch.measuring
        extra: dict[str, Any] = {}
        if arm == "race":
            scoring += watch.racing
        else:  # races were only watched
            wall -= watch.racing
            missed = [f.canonical for f in result.factors if f.fingerprint in watch.lost]
            extra = {"missed": missed, "raced": watch.raced, "lost": len(watch.lost), "watched": watch.racing}
        found = scored(panel, config, tuple(result.factors))
        rate = result.candidates / wall
        return {**described(result), **found, **extra, "wall": wall, "per_second": rate, "scoring": scoring}

    return run


def throughput(arm: str, seed: int, candidates: int, threads: int) -> dict[str, Any]:
    """Candidates a second of a whole run, and the share of its time inside the engine's kernels."""
    from benches.mining.kernel_time import kernel_seconds

    panel = {"A": lambda: panels.noise(seed), "sp500": lambda: panels.real("sp500"), "B": lambda: panels.noise(
        seed, 3000, 2520
    )}[arm]()  # fmt: skip
    # As long a run first, so that the kernels are compiled; with another seed, for what the run itself remembers of its
    # expressions is part of its work.
    with kernel_seconds():
        mined(panel, seed + 1, candidates, threads, control={"random": False})
    began = time.perf_counter()
    with kernel_seconds() as spent:
        result, _ = mined(panel, seed, candidates, threads, control={"random": False})
    wall = time.perf_counter() - began
    return {
        **described(result),
        "wall": wall,
        "per_second": result.candidates / wall,
        "kernel_share": spent.seconds / wall,
    }


def _objective(name: str) -> Callable[[str, int, int, int], dict[str, Any]]:
    """The measure that the search climbs, by the returns of its pool on dates that the search has not seen."""

    def run(arm: str, seed: int, candidates: int, threads: int) -> dict[str, Any]:
        measure, _, days = arm.partition("-")
        splits = {"horizon": int(days)}
        panel = panels.tuning(name)
        result, config = mined(
            panel, seed, candidates, threads, objective=measure, splits=splits, control={"random": False}
        )
        return {**described(result), **scored(panel, config, tuple(result.factors))}

    return run


_OBJECTIVES = tuple(f"{measure}-{days}" for days in (1, 5) for measure in ("rank_ic", "ic", "spread", "net"))

SUITES = {
    s.name: s
    for s in (
        Suite("noise", "pure noise, 500 x 1260: nothing may be found", 40, 3000, noise),
        Suite("planted", "one planted signal of RankIC .03, 500 x 1260", 20, 3000, planted),
        Suite("ashare", "A-shares, where signals persist", 10, 3000, _real("ashare"), ("mine", "gplearn"), "ashare"),
        Suite("sp500", "S&P 500, where signals reverse", 10, 3000, _real("sp500"), ("mine",), "sp500"),
        Suite(
            "ablation", "with and without CSS and CoE", 10, 1000, ablation, ("neither", "css", "coe", "both"), "ashare"
        ),
        *(
            Suite(
                f"ablation-{where}-{proposer}",
                f"with and without CSS and CoE, {proposer} on {words}",
                10,
                400,
                memories.ablation(panel_of, proposer),
                memories.ARMS,
                data,
            )
            for where, words, panel_of, data in (
                ("simulator", "a simulated market with three weak signals", memories.simulated, None),
                ("sp500", "a part of the S&P 500", memories.part_of_sp500, "sp500"),
            )
            for proposer in memories.PROPOSERS
        ),
        Suite(
            "racing",
            "races beside exact scoring, one planted signal",
            10,
            3000,
            _racing(lambda seed: panels.planted(seed)[0]),
            ("race", "exact"),
        ),
        Suite(
            "racing-ashare",
            "races beside exact scoring, A-shares",
            10,
            3000,
            _racing(lambda _seed: panels.real("ashare")),
            ("race", "exact"),
            "ashare",
        ),
        Suite(
            "racing-large",
            "races beside exact scoring, one planted signal, 3000 x 2520",
            5,
            1500,
            _racing(lambda seed: panels.planted(seed, 3000, 2520)[0]),
            ("race", "exact"),
        ),
        *(
            Suite(
                f"objective-{name}",
                f"what the search climbs, at 1 and 5 days, on {words}",
                3,
                1000,
                _objective(name),
                _OBJECTIVES,
                name,
            )
            for name, words in (("csi300", "the CSI300"), ("ashare", "A-shares"), ("sp500", "the S&P 500"))
        ),
        Suite(
            "verdicts",
            "how runs end on noise, on martingales that rank but do not pay, and with a planted signal, 300 x 750",
            40,
            500,
            verdicts,
            ("noise", "martingale", "planted"),
        ),
        Suite("throughput", "candidates a second", 1, 500, throughput, ("A", "sp500", "B")),
    )
}
