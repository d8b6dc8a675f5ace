"""Has anything become slower? `python -m benches.check [--update]`, behind `make bench-check`.

Ratios are compared with those of `baseline.json`, never times. A ratio is a regression when it exceeds the baseline by
more than both a fixed share and a multiple of the noise that was measured, in the baseline and now; what looks like one
is measured again before it counts. `--update` measures (three runs) and writes the baseline.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benches.measurements import Measurement, Session, joined, load, merged, save, this_machine
from benches.run import HERE, add_arguments, measure
from fama_fast.errors import DataError, FamaError

if TYPE_CHECKING:
    from collections.abc import Sequence

BASELINE = HERE / "baseline.json"
FLOOR = 0.20  # ratios within a fifth of the baseline are never a regression: shared machines wander that much
NOISES = 4.0  # deviations of the measured noise that are needed beyond it
CEILING = 1.0  # twice the baseline is a regression however noisy


@dataclass(frozen=True)
class Change:
    """One measurement beside its baseline.

    Attributes:
        growth: by how much the ratio grew, as a share (0.5: half as much again). allowed: what noise explains.
    """

    before: Measurement
    now: Measurement
    growth: float
    allowed: float

    @property
    def regressed(self) -> bool:
        """Slower than noise explains."""
        return self.growth > self.allowed

    @property
    def improved(self) -> bool:
        """Faster than noise explains: the baseline could be renewed."""
        return self.growth < -self.allowed / (1.0 + self.allowed)

    def __str__(self) -> str:
        return (
            f"{self.now.bench} (size {self.now.size}) against {self.now.yardstick}: "
            f"{self.before.ratio:.3g} -> {self.now.ratio:.3g} ({self.growth:+.0%}, noise explains {self.allowed:.0%})"
        )


def allowed(before: Measurement, now: Measurement) -> float:
    """Growth of the ratio that the noise of the two explains, between `FLOOR` and `CEILING`."""
    return min(CEILING, max(FLOOR, NOISES * math.hypot(before.noise, now.noise)))


def compare(baseline: Session, now: Session) -> list[Change]:
    """Every measurement that both have, the largest growth first."""
    old = baseline.by_key()
    changes = [
        Change(old[m.key], m, m.ratio / old[m.key].ratio - 1.0, allowed(old[m.key], m))
        for m in now.measurements
        if m.key in old
    ]
    return sorted(changes, key=lambda c: -c.growth)


def report(changes: Sequence[Change], baseline: Session, now: Session) -> str:
    """The comparison in words."""
    lines = [f"{len(changes)} ratios beside the baseline of {baseline.date} ({baseline.runs} runs)"]
    if baseline.shape != now.shape:
        lines.append(f"note: the baseline was measured on another machine ({baseline.shape}); this is {now.shape}")
    new = [m for m in now.measurements if m.key not in baseline.by_key()]
    if new:
        lines.append(f"not in the baseline: {', '.join(sorted({m.bench for m in new}))}")
    improved = [c for c in changes if c.improved]
    lines += [f"faster: {c}" for c in improved]
    regressed = [c for c in changes if c.regressed]
    lines += [f"SLOWER: {c}" for c in regressed]
    lines.append(f"{len(regressed)} slower, {len(improved)} faster, the rest within noise")
    return "\n".join(lines)


def _confirmed(baseline: Session, first: Session, options: argparse.Namespace) -> Session:
    """The session with suspects measured again: two runs more of each, joined with the first by the median."""
    suspects = {c.now.node for c in compare(baseline, first) if c.regressed}
    if not suspects:
        return first
    print(f"measuring {len(suspects)} suspects again", file=sys.stderr)
    again = measure(argparse.Namespace(**{**vars(options), "repeat": 2}), sorted(suspects))
    suspected = Session(tuple(m for m in first.measurements if m.node in suspects), first.machine, first.date)
    return merged(first, joined([suspected, *again]))


def _kept(options: argparse.Namespace) -> Session | None:
    """The baseline, looked at before anything is measured for minutes; None when a new one is to be written.

    Raises:
        DataError: there is none to compare with, or none of this machine to add to.
    """
    if not options.baseline.is_file():
        if options.update:
            return None
        raise DataError(f"cannot read {options.baseline}: there is no baseline yet; measure one with --update")
    if options.update and options.fresh:
        return None
    kept = load(options.baseline)
    here = Session((), this_machine(), "")
    if options.update and not options.source and kept.shape != here.shape:
        raise DataError(f"the baseline is of {kept.shape}, and this is {here.shape}: start anew with --fresh")
    return kept


def main(argv: Sequence[str] | None = None) -> int:
    """0: nothing slower; 1: something is, named with its figures; 2: wrong use or benches that fail."""
    parser = argparse.ArgumentParser(prog="python -m benches.check", description=(__doc__ or "").split("\n")[0])
    add_arguments(parser)
    parser.add_argument("--baseline", type=Path, default=BASELINE, help="the committed figures")
    parser.add_argument(
        "--from", dest="source", type=Path, action="append", help="figures already measured (repeatable)"
    )
    parser.add_argument("--update", action="store_true", help="measure and write the baseline (three runs)")
    parser.add_argument("--fresh", action="store_true", help="with --update: drop what this run does not measure")
    options = parser.parse_args(argv)
    try:
        kept = _kept(options)
        if options.update:
            options.repeat = max(3, options.repeat)
        now = joined([load(p) for p in options.source] if options.source else measure(options))
        if options.update or kept is None:
            save(merged(kept, now) if kept else now, options.baseline)
            print(f"wrote {options.baseline}")
            return 0
        if not options.source:
            now = _confirmed(kept, now, options)
        changes = compare(kept, now)
    except FamaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(report(changes, kept, now))
    return 1 if any(c.regressed for c in changes) else 0


if __name__ == "__main__":
    sys.exit(main())
