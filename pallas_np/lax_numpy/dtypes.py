"""Families of dtypes, for the functions whose meaning depends on them. Imports NumPy and ml_dtypes only.

`dtype.kind` cannot tell bfloat16 from int4: ml_dtypes gives both kind 'V'. What follows tells them apart by
`dtype.num`, an integer that is unique to a dtype and costs one attribute access to read.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np

Array = np.ndarray
"""An array, or a NumPy scalar (`np.generic`), which has the same attributes and methods."""

NARROW_SIGNED = tuple(np.dtype(getattr(ml_dtypes, name)) for name in ("int1", "int2", "int4"))
NARROW_UNSIGNED = tuple(np.dtype(getattr(ml_dtypes, name)) for name in ("uint1", "uint2", "uint4"))
NARROW_INTEGERS = NARROW_SIGNED + NARROW_UNSIGNED

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
ML_FLOATS = (
    BFLOAT16,
    *(
        np.dtype(getattr(ml_dtypes, name))
        for name in dir(ml_dtypes)
        if name.startswith("float") and isinstance(getattr(ml_dtypes, name), type)
    ),
)

FLOAT16, FLOAT32, FLOAT64 = np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64)
INT8, INT32, INT64 = np.dtype(np.int8), np.dtype(np.int32), np.dtype(np.int64)

KIND = {np.dtype(char).num: np.dtype(char).kind for char in "?bBhHiIlLqQefdFD"}
KIND |= {dtype.num: "i" for dtype in NARROW_SIGNED}
KIND |= {dtype.num: "u" for dtype in NARROW_UNSIGNED}
KIND |= {dtype.num: "f" for dtype in ML_FLOATS}
"""`dtype.num` to one of 'b', 'i', 'u', 'f', 'c', ml_dtypes included."""

NARROW_INTEGER_NUMS = frozenset(dtype.num for dtype in NARROW_INTEGERS)
NARROW_FLOAT_NUMS = frozenset(dtype.num for dtype in (FLOAT16, *ML_FLOATS))
ML_FLOAT_NUMS = frozenset(dtype.num for dtype in ML_FLOATS)

BITS = {dtype: dtype.itemsize * 8 for dtype in map(np.dtype, "?bBhHiIlLqQefdFD")}
BITS |= {dtype: int(ml_dtypes.iinfo(dtype).bits) for dtype in NARROW_INTEGERS}
BITS |= {dtype: int(ml_dtypes.finfo(dtype).bits) for dtype in ML_FLOATS}
"""Width in bits as XLA sees it: 4 for int4, although NumPy stores it in a byte."""

SIGNED_OF_SIZE = {size: np.dtype(f"i{size}") for size in (1, 2, 4, 8)}
UNSIGNED_OF_SIZE = {size: np.dtype(f"u{size}") for size in (1, 2, 4, 8)}


def kind_of(dtype: np.dtype) -> str:
    """One of 'b', 'i', 'u', 'f', 'c'."""
    return KIND[dtype.num]


def integer_limits(dtype: np.dtype) -> tuple[int, int]:
    """Smallest and largest value of an integer dtype, the narrow ones included."""
    info = ml_dtypes.iinfo(dtype) if dtype.num in NARROW_INTEGER_NUMS else np.iinfo(dtype)
    return int(info.min), int(info.max)


def lowest(dtype: np.dtype) -> Array:
    """The identity of `max`: -inf, or the smallest value where there is no infinity."""
    return _extreme(dtype, sign=-1)


def highest(dtype: np.dtype) -> Array:
    """The identity of `min`: inf, or the largest value where there is no infinity."""
    return _extreme(dtype, sign=1)


def _extreme(dtype: np.dtype, sign: int) -> Array:
    kind = kind_of(dtype)
    if kind == "b":
        return np.array(sign > 0)
    if kind in "iu":
        return np.array(integer_limits(dtype)[sign > 0]).astype(dtype)[()]
    if kind == "c":
        return dtype.type(complex(sign * np.inf, sign * np.inf))
    value = np.array(sign * np.inf, np.float32).astype(dtype)
    if np.isinf(value.astype(np.float32)):
        return value[()]
    info = ml_dtypes.finfo(dtype)
    return np.asarray(info.max if sign > 0 else info.min, dtype)[()]


def zero_signs(x: Array, negative: bool) -> Array:
    """The bits of the zeros among floats x, and of a zero of the given sign wherever x is not zero."""
    zero = x.dtype.type(0)
    signed = np.where(x == 0, np.copysign(zero, x), -zero if negative else zero)
    return signed.astype(x.dtype, copy=False).view(SIGNED_OF_SIZE[x.dtype.itemsize])
