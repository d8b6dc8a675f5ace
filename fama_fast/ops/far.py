"""Polars forms of what is done about numbers far from 1: their squares are taken times a power of two.

A power of two changes no digit. Only windows and dates whose squares would overflow or vanish are computed so, and
only in frames that have any (`PolarsContext.mend`). This module imports no Polars: the context carries it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fama_fast.ops.spec import PolarsContext

# Sums of squares between which squares, products of two series, third and fourth powers lose nothing that counts.
_LOW, _HIGH = 2.0**-440, 2.0**440
_LEAST = 2.0**-1022  # smaller numbers have fewer digits


def is_far(squares: Any) -> Any:
    """Where a sum of squares, or what came of it, is out of that range, infinite or no number."""
    return ~squares.is_between(_LOW, _HIGH)


def exponent(ctx: PolarsContext, size: Any, most: float = 1000.0) -> Any:
    """The whole e, from -most to most, for which size * 2^-e is near 1, as a step."""
    return ctx.step(size.log(2.0).floor().clip(-most, most))


def two_to(ctx: PolarsContext, e: Any) -> Any:
    """2^e, as a step; whole e from -1022 to 1022."""
    return ctx.step(ctx.pl.lit(2.0).pow(e))


def times_two_to(ctx: PolarsContext, value: Any, e: Any, *, digits: bool = True) -> Any:
    """value * 2^e, as a step; with `digits`, missing where that is too small a number to have them all."""
    half = ctx.step((e / 2.0).floor().clip(-1000.0, 1000.0))
    scaled = ctx.step(value * two_to(ctx, half) * two_to(ctx, (e - half).clip(-1000.0, 1000.0)))
    if not digits:
        return scaled
    return ctx.step(ctx.pl.when((scaled.abs() >= _LEAST) | (value == 0.0)).then(scaled))
