"""BRAIN's operators that take a text in quotes: bounds of buckets, and numbers that count as missing."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from fama_fast.errors import ArgumentError
from fama_fast.ops import MAX_WINDOW, build

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.ir import Node


def _numbers(text: str, what: str, separator: str | None) -> list[float]:
    numbers = []
    for word in text.split(separator):
        try:
            number = float(word)
        except ValueError:
            raise ArgumentError(f"{what} holds numbers, and {word.strip()!r} is none") from None
        if not math.isfinite(number):
            raise ArgumentError(f"{what} holds finite numbers, not {word.strip()}")
        numbers.append(number)
    return numbers


def _by_range(x: Node, text: str, skip_begin: bool, skip_end: bool) -> tuple[Node, int]:
    """The bucket of x, and the last bucket's number."""
    numbers = _numbers(text, "range", ",")
    if len(numbers) != 3:
        raise ArgumentError(f'bucket: range is "start, end, step", three numbers, not {len(numbers)}')
    start, end, step = numbers
    if step <= 0.0 or end < start:
        raise ArgumentError("bucket: range goes up from start to end by a step above 0")
    last = math.floor(min((end - start) / step, MAX_WINDOW) + 1e-9) + 1
    return build("BUCKET", x, start, end, step, skip_begin, skip_end), last


def _by_bounds(x: Node, text: str, skip_begin: bool, skip_end: bool) -> tuple[Node, int]:
    bounds = _numbers(text, "buckets", ",")
    if any(b <= a for a, b in pairwise(bounds)):
        raise ArgumentError("bucket: buckets go up from one bound to the next")
    return build("BUCKET", _bounds_below(x, bounds), 0, len(bounds) - 1, 1, skip_begin, skip_end), len(bounds)


def _bounds_below(x: Node, bounds: Sequence[float]) -> Node:
    level = [build("GT", x, b) for b in bounds]
    while len(level) > 1:
        pairs = [build("ADD", a, b) for a, b in zip(level[::2], level[1::2], strict=False)]
        level = pairs + level[2 * len(pairs) :]
    return level[0]


def bucket(x: Node, range_: str, buckets: str, begin: bool, end: bool, both: bool, nan_group: bool) -> Node:
    """BRAIN's bucket: the number of bounds below x; with nan_group a missing x is in a group after the last.

    Raises:
        ArgumentError: neither or both of range and buckets, or what they hold is no list of bounds.
    """
    if bool(range_.strip()) == bool(buckets.strip()):
        raise ArgumentError('bucket needs either range="start, end, step" or buckets="bound, bound, ..."')
    by, text = (_by_range, range_) if range_.strip() else (_by_bounds, buckets)
    code, last = by(x, text, begin or both, end or both)
    if not nan_group:
        return code
    # BUCKET of a whole number up to its last bound is that number: what remains is a group.
    own = build("IF_ELSE", build("IS_NAN", x), last + 1, code)
    return build("BUCKET", own, 0, last + 1, 1)


def without(x: Node, ignore: str) -> Node:
    """x where it is none of the numbers in `ignore`; NAN among them is what holds anyway.

    Raises:
        ArgumentError: something in it is neither a number nor NAN.
    """
    for number in _numbers(" ".join(w for w in ignore.split() if w.upper() != "NAN"), "ignore", None):
        x = build("MASK", x, build("NE", x, number))
    return x
