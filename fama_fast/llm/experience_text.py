"""What a prompt says of the run: examples, a path, the library, the model's own results, ideas and parents, in words.

Every formula has a label (A1, S2, P1, I1), by which an answer may name what it builds on. Everything from a model, a
library file or the data is one line of printable text of bounded length.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fama_fast.llm.one_line import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.library.factor import Factor
    from fama_fast.proposals.protocol import Attempt, Experience, PathStep, PromptContext, Rejection

MAX_EXPRESSION_SHOWN = 400
MAX_HYPOTHESIS_SHOWN = 240
MAX_REASON_SHOWN = 600
MAX_AVOID = 20
MAX_LIBRARY = 6_000  # characters of the library's list
MAX_RESULTS = 16  # of the model's own results that are told with their figures
MAX_REPEATED = 3_000  # characters of those that are named only
_NONE = "(none this time)"


def expression_shown(text: str) -> str:
    """A formula as a prompt shows it."""
    return one_line(text, MAX_EXPRESSION_SHOWN)


def score_text(value: float) -> str:
    """A RankIC, or that there is none."""
    return "not scored" if math.isnan(value) else f"{value:+.4f}"


def labelled(context: PromptContext) -> dict[str, tuple[str, str]]:
    """(fingerprint, canonical text) of everything that a prompt shows under a label, by the label."""
    out = {f"I{i}": (a.fingerprint, a.expression) for i, a in enumerate(context.thread, 1)}
    out |= {f"A{i}": (f.fingerprint, f.canonical) for i, f in enumerate(context.exemplars, 1)}
    out |= {f"S{i}": (s.factor.fingerprint, s.factor.canonical) for i, s in enumerate(context.path, 1)}
    out |= {f"P{i}": (e.fingerprint, e.canonical) for i, e in enumerate(context.parents, 1)}
    out |= {f"R{i}": (p.fingerprint, p.canonical) for i, p in enumerate(context.pairs, 1)}
    return out


def examples_text(factors: Sequence[Factor], round_: int) -> str:
    """Exemplars with their figures, one a line."""
    if not factors:
        return "(none: no factor of the library is significant on these data yet)"
    return "\n".join(_factor_line(f"A{i}", f, _figures(f, round_)) for i, f in enumerate(factors, 1))


def _factor_line(label: str, factor: Factor, figures: str) -> str:
    line = f"{label}. `{expression_shown(factor.canonical)}` ({figures})"
    hypothesis = one_line(factor.hypothesis, MAX_HYPOTHESIS_SHOWN)
    if not hypothesis:
        return line
    # The data are the judge: what was thought is shown with what was found.
    return f"{line}: {'contradicted by the data, which turned its sign: ' if factor.contradicted else ''}{hypothesis}"


def contradicted_text(factors: Sequence[Factor]) -> str:
    """Factors whose hypothesis training contradicted, for which another is asked."""
    if not factors:
        return _NONE
    lines = [
        f"- `{expression_shown(f.canonical)}`, thought for its negative: {one_line(f.hypothesis, MAX_HYPOTHESIS_SHOWN)}"
        for f in factors
    ]
    ask = (
        "Training turned these round, which contradicts what was thought. Beside your new alphas give each of them "
        "once more, exactly as it is written here, with a hypothesis that fits it."
    )
    return "\n".join([*lines, ask])


def _figures(factor: Factor, round_: int) -> str:
    """RankIC, its t, IC, spread, turnover and age, of what is known of them."""
    train = factor.scores.get("train", {})
    found = [f"RankIC {score_text(train.get('rank_ic', factor.score))}"]
    for key, form in (
        ("rank_ic_t", "t {:.1f}"),
        ("ic", "IC {:+.4f}"),
        ("spread", "spread {:+.2%} a day"),
        ("traded", "turnover {:.0%} a day"),
    ):
        value = train.get(key, math.nan)
        if math.isfinite(value):
            found.append(form.format(value))
    admitted = factor.provenance.get("round")
    age = (
        f"admitted {round_ - admitted} rounds ago"
        if isinstance(admitted, int) and round_ > admitted
        else "from the start"
    )
    return ", ".join([*found, age])


def path_text(path: Sequence[PathStep]) -> str:
    """A path of improvements, with what each step gains beyond noise; or the one factor that begins one."""
    if not path:
        return _NONE
    lines = []
    for i, step in enumerate(path, 1):
        figures = f"RankIC {score_text(step.factor.score)}"
        if math.isfinite(step.gain):
            figures += (
                f", {step.gain:+.4f} on S{i - 1} with t {step.t:.1f}, correlation {step.correlation:+.2f} with it"
            )
        lines.append(_factor_line(f"S{i}", step.factor, figures))
    if len(path) == 1:
        lines.append("It is the beginning of a path. Improve on it: keep what makes it work, and add what it misses.")
    else:
        lines.append(
            "Each step improved on the one before by more than chance. Extend the path: find what the last step still "
            "misses. Or split it: go back to an earlier step and develop its idea in another direction."
        )
    return "\n".join(lines)


def library_text(experience: Experience) -> str:
    """The library's formulas, newest first, as many as there is room for; what is one of them is a duplicate."""
    if not experience.library:
        return "(empty)"
    lines, room = [], MAX_LIBRARY
    for factor in reversed(experience.library):
        line = f"`{expression_shown(factor.canonical)}`"
        room -= len(line) + 1
        if room < 0:
            break
        lines.append(line)
    left = len(experience.library) - len(lines)
    if left:
        lines.append(f"and {left} more")
    if experience.overused:
        parts = "; ".join(f"`{expression_shown(text)}` ({count} of them)" for text, count in experience.overused)
        lines.append(f"Parts that many of them share, of which there is enough: {parts}")
    return "\n".join(lines)


def results_text(results: Sequence[Attempt]) -> str:
    """What became of the model's last proposals, latest first: admitted and measured ones with their figures, then
    formulas that failed before they were measured."""
    measured = [a for a in reversed(results) if math.isfinite(a.score)]
    others = [a for a in reversed(results) if not math.isfinite(a.score)]
    lines = [attempt_line(a) for a in measured[:MAX_RESULTS]]
    lines += [f"- `{expression_shown(a.expression)}`: {_gate(a)}" for a in others[: MAX_RESULTS // 2]]
    names, room = [], MAX_REPEATED
    for attempt in (*measured[MAX_RESULTS:], *others[MAX_RESULTS // 2 :]):
        name = f"`{expression_shown(attempt.expression)}`"
        room -= len(name) + 2
        if attempt.gate is not None and attempt.fingerprint and room >= 0:
            names.append(name)
    if names:
        lines.append(f"- Proposed before and not admitted; a duplicate now: {', '.join(names)}")
    return "\n".join(lines) or "(nothing yet)"


def attempt_line(attempt: Attempt, label: str = "-") -> str:
    """One result with all that is known of it."""
    found = [f"score {score_text(attempt.score)}"]
    for value, form in (
        (attempt.t, "t {:.1f}"),
        (attempt.traded, "turnover {:.0%} a day"),
        (attempt.coverage, "coverage {:.0%}"),
    ):
        if math.isfinite(value):
            found.append(form.format(value))
    line = f"{label} `{expression_shown(attempt.expression)}`: {', '.join(found)}"
    if attempt.nearest:
        line += (
            f"; nearest in the library `{expression_shown(attempt.nearest)}`, correlation {attempt.correlation:+.2f}"
        )
    line += f"; {_gate(attempt)}"
    if attempt.weakest:
        line += f"; weakest side: {one_line(attempt.weakest, MAX_REASON_SHOWN)}"
    if attempt.doubt:
        line += f"; {one_line(attempt.doubt, MAX_REASON_SHOWN)}"
    if attempt.turned:
        line += "; its sign was turned, which contradicts its hypothesis"
    return line


def _gate(attempt: Attempt) -> str:
    if attempt.gate is None:
        return "admitted"
    return f"not admitted, {attempt.gate}: {one_line(attempt.reason, MAX_REASON_SHOWN)}"


def idea_text(thread: Sequence[Attempt]) -> str:
    """The idea that a prompt refines and what became of it so far."""
    if not thread:
        return "(a new one)"
    lines = []
    hypothesis = one_line(thread[0].hypothesis, MAX_HYPOTHESIS_SHOWN)
    if hypothesis:
        lines.append(f"The idea: {hypothesis}")
    lines += [attempt_line(a, f"I{i}.") for i, a in enumerate(thread, 1)]
    lines.append(
        "Refine it first: mend its weakest side and keep what works. Give at least one alpha that builds on it, then "
        "new ones."
    )
    return "\n".join(lines)


def parents_text(context: PromptContext) -> str:
    """Candidates outside the library that may be built on, and rejected ones with something new in them."""
    lines = [
        f"P{i}. `{expression_shown(e.canonical)}` (RankIC {score_text(e.score)}): good, and not in the library"
        for i, e in enumerate(context.parents, 1)
    ]
    lines += [
        f"R{i}. `{expression_shown(p.canonical)}` is too like `{expression_shown(p.beside_canonical)}`, but something "
        "in it is new: take what the first has and the second has not"
        for i, p in enumerate(context.pairs, 1)
    ]
    return "\n".join(lines) or _NONE


def failures_text(rejections: Sequence[Rejection]) -> str:
    """Patterns and expressions that failed."""
    lines = [
        f"- `{expression_shown(r.expression)}`: {one_line(r.reason, MAX_REASON_SHOWN)}" for r in rejections[-MAX_AVOID:]
    ]
    return "\n".join(lines) or "(nothing yet)"
