"""Running sums, products and extremes along one axis. Imports NumPy only.

Floats of 16 bits and fewer accumulate in float32, each result rounded once. `reverse` runs from the end.
"""

from __future__ import annotations

import builtins

import numpy as np

from .dtypes import FLOAT32, INT8, NARROW_FLOAT_NUMS, NARROW_INTEGER_NUMS, Array, kind_of, zero_signs


def cumsum(x: Array, axis: int, reverse: bool) -> Array:
    """Running sum, in x's dtype."""
    return _running(np.add, x, axis, reverse)


def cumprod(x: Array, axis: int, reverse: bool) -> Array:
    """Running product, in x's dtype."""
    return _running(np.multiply, x, axis, reverse)


def cummax(x: Array, axis: int, reverse: bool) -> Array:
    """Running maximum; NaN from the first NaN on; +0 above -0."""
    return _with_signed_zeros(np.maximum, np.bitwise_and, x, axis, reverse)


def cummin(x: Array, axis: int, reverse: bool) -> Array:
    """Running minimum; NaN from the first NaN on; -0 below +0."""
    return _with_signed_zeros(np.minimum, np.bitwise_or, x, axis, reverse)


def cumlogsumexp(x: Array, axis: int, reverse: bool) -> Array:
    """Running log(sum(exp(x))), computed without overflow."""
    return _running(np.logaddexp, x, axis, reverse)


def _running(ufunc: np.ufunc, x: Array, axis: int, reverse: bool) -> Array:
    dtype = wide = x.dtype
    if dtype.num in NARROW_FLOAT_NUMS:
        wide = FLOAT32
    elif dtype.num in NARROW_INTEGER_NUMS:
        wide = INT8
    if wide is not dtype:
        x = x.astype(wide)
    if not reverse:
        result = ufunc.accumulate(x, axis, wide)
    else:
        backwards = (builtins.slice(None),) * axis + (builtins.slice(None, None, -1),)
        result = ufunc.accumulate(x[backwards], axis, wide)[backwards]
    return result if wide is dtype else result.astype(dtype)


def _with_signed_zeros(ufunc: np.ufunc, combine_bits: np.ufunc, x: Array, axis: int, reverse: bool) -> Array:
    result = _running(ufunc, x, axis, reverse)
    if np.count_nonzero(result) == result.size or kind_of(x.dtype) != "f":
        return result
    # NumPy may give either zero. A result of zero takes its sign from all the zeros so far.
    signs = zero_signs(x, ufunc is np.maximum)
    zero = _running(combine_bits, signs, axis, reverse).view(x.dtype)
    return np.where(result == 0, zero, result)
