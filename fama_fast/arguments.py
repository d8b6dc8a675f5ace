"""Numbers and arrays that a caller gives, checked before anything is computed with them.

Compiled code trusts what it is handed: a wrong shape, type or index there is a crash or foreign memory, not an error.
So every public entry reads its numbers and arrays with these functions, and what they give is what compiled loops take:
a whole number in its range, a finite number, a C-contiguous array of the machine's own numbers. It knows no data and
no meaning of what it reads.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.errors import ConfigError, DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SHOWN = 60  # characters of a value in a message
_KINDS = {"U": "text", "S": "bytes", "M": "dates", "m": "durations", "c": "complex numbers", "V": "records"}


def shown(value: object) -> str:
    """A value fit for a message: its text, cut when long; of an array its type and shape."""
    if isinstance(value, np.ndarray) and value.ndim:
        return f"an array of shape {value.shape}"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def whole(value: Any, name: str, low: int | None = None, high: int | None = None) -> int:
    """`value` as a whole number from `low` to `high`.

    Raises:
        ConfigError: not a whole number (1.5, 2.0, "2" and True are none), or out of range.
    """
    number = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if number and (low is None or value >= low) and (high is None or value <= high):
        return int(value)
    raise ConfigError(f"{name} must be a whole number{_range(low, high)}, not {shown(value)}")


def real(
    value: Any, name: str, low: float | None = None, high: float | None = None, *, above: float | None = None
) -> float:
    """`value` as a finite number, from `low` to `high`, or larger than `above`.

    Raises:
        ConfigError: not a number (True is none), not finite, or out of range.
    """
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        fits = (low is None or number >= low) and (high is None or number <= high) and (above is None or number > above)
        if math.isfinite(number) and fits:
            return number
    bounds = _range(low, high) if above is None else f" above {above:g}{'' if high is None else f', at most {high:g}'}"
    raise ConfigError(f"{name} must be a number{bounds}, not {shown(value)}")


def _range(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    return f", at least {low:g}" if low is not None else f", at most {high:g}" if high is not None else ""


def numbers(
    values: Any,
    name: str,
    *,
    shape: tuple[int, ...] | None = None,
    ndim: int | None = None,
    dtype: Any = np.float64,
    copy: bool = False,
) -> NDArray[Any]:
    """`values` as an aligned C-contiguous array of `dtype` in the machine's byte order, a view where that is possible.

    Masked cells and None are NaN. Numbers too large for `dtype` are infinite.

    Args:
        name: of the argument, for messages. shape, ndim: that it must have. copy: never a view.

    Raises:
        DataError: not numbers (text, dates, complex numbers, objects), or of another shape.
    """
    array = _array(values, name)
    if array.dtype.kind in _KINDS:
        raise DataError(f"{name} must be numbers, not {_KINDS[array.dtype.kind]}")
    if array.dtype.kind == "O" and any(isinstance(v, str | bytes) for v in array.flat):
        raise DataError(f"{name} must be numbers, not text")
    _check_shape(array, name, shape, ndim)
    if isinstance(array, np.ma.MaskedArray):
        array = np.where(np.ma.getmaskarray(array), np.nan, np.asarray(array, dtype=np.float64))
    kind = np.dtype(dtype).newbyteorder("=")
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            if copy:
                return np.array(array, dtype=kind, order="C", copy=True, subok=False)
            return np.require(np.asarray(array), dtype=kind, requirements=["C", "A"])
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{name} must be numbers: {error}") from None


def truths(values: Any, name: str, *, shape: tuple[int, ...] | None = None, copy: bool = False) -> NDArray[np.bool_]:
    """`values` as a C-contiguous array of booleans: those of booleans, or of numbers that are all 0 or 1.

    Raises:
        DataError: anything else, such as a NaN or text, or another shape.
    """
    array = _array(values, name)
    _check_shape(array, name, shape, None)
    masked = int(np.count_nonzero(np.ma.getmaskarray(array))) if isinstance(array, np.ma.MaskedArray) else 0
    if masked:
        raise DataError(f"{name} must be true or false: {masked} cells are masked")
    plain = np.asarray(array)
    if plain.dtype.kind == "O" and all(isinstance(v, bool | np.bool_) for v in plain.flat):
        plain = plain.astype(np.bool_)
    if plain.dtype.kind in "iuf":
        wrong = (plain != 0) & (plain != 1)
        if bool(wrong.any()):
            first = plain[tuple(np.argwhere(wrong)[0])]
            raise DataError(
                f"{name} must be true or false (1 or 0): {np.count_nonzero(wrong)} cells are not, like {first}"
            )
    elif plain.dtype.kind != "b":
        raise DataError(f"{name} must be true or false, not {_KINDS.get(plain.dtype.kind, 'objects')}")
    out: NDArray[np.bool_] = np.array(plain, dtype=np.bool_, order="C", copy=copy or None)
    return out


def _array(values: Any, name: str) -> NDArray[Any]:
    if isinstance(values, str | bytes | dict | set) or values is None:
        raise DataError(f"{name} must be an array, not {shown(values)}")
    try:
        array: NDArray[Any] = np.asanyarray(values)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} must be an array: {error}") from None
    if array.dtype.kind == "O" and not array.ndim:
        raise DataError(f"{name} must be an array, not {type(values).__name__}")
    return array


def _check_shape(array: NDArray[Any], name: str, shape: tuple[int, ...] | None, ndim: int | None) -> None:
    if shape is not None and array.shape != shape:
        raise DataError(f"{name} has shape {array.shape}, not {shape}")
    if ndim is not None and array.ndim != ndim:
        what = {1: "a row of values", 2: "a (dates, symbols) array", 3: "a (number, dates, symbols) array"}[ndim]
        raise DataError(f"{name} must be {what}, not of shape {array.shape}")


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """A read-only view: compiled functions then meet one array type, whatever the caller's flags were."""
    view = array.view()
    view.flags.writeable = False
    return view
