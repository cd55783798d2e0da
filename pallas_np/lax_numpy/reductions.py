"""Reductions over axes. Imports NumPy and ml_dtypes only.

Floats of 16 bits and fewer accumulate in float32 and are rounded once, at the end. Integers wrap.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .dtypes import (
    FLOAT32,
    INT8,
    NARROW_FLOAT_NUMS,
    NARROW_INTEGER_NUMS,
    Array,
    highest,
    kind_of,
    lowest,
    zero_signs,
)

Axes = tuple[int, ...]


def reduce_sum(x: Array, axes: Axes) -> Array:
    """The sum over these axes, in x's dtype."""
    if x.dtype.type is np.float32 and _has_many_rows(x, axes) and x.shape[-1] <= LONGEST_SUM:
        return np.einsum("...i->...", x)
    return _accumulated(np.add, x, axes)


LONGEST_SUM = 1024
"""Up to this length `einsum` sums a row as accurately as `add.reduce`, in half the time if there are many."""


def reduce_prod(x: Array, axes: Axes) -> Array:
    """The product over these axes, in x's dtype."""
    return _accumulated(np.multiply, x, axes)


def _accumulated(ufunc: np.ufunc, x: Array, axes: Axes) -> Array:
    dtype = x.dtype
    if dtype.num in NARROW_FLOAT_NUMS:
        return _reduced(ufunc, x.astype(FLOAT32), axes).astype(dtype)
    if dtype.num in NARROW_INTEGER_NUMS:
        return _reduced(ufunc, x.astype(INT8), axes).astype(dtype)
    return _reduced(ufunc, x, axes)


def reduce_max(x: Array, axes: Axes) -> Array:
    """The largest value; NaN if there is one; +0 above -0; of nothing, -inf or the smallest integer."""
    return _extremum(np.maximum, np.bitwise_and, lowest, x, axes)


def reduce_min(x: Array, axes: Axes) -> Array:
    """The smallest value; NaN if there is one; -0 below +0; of nothing, inf or the largest integer."""
    return _extremum(np.minimum, np.bitwise_or, highest, x, axes)


def _extremum(
    ufunc: np.ufunc, combine_bits: np.ufunc, identity: Callable[[np.dtype], Array], x: Array, axes: Axes
) -> Array:
    dtype = x.dtype
    if not axes:
        return x
    if not x.size:
        return np.full([size for axis, size in enumerate(x.shape) if axis not in axes], identity(dtype), dtype)
    if dtype.num in NARROW_INTEGER_NUMS:
        return _reduced(ufunc, x.astype(INT8), axes).astype(dtype)
    result = _reduced(ufunc, x, axes)
    if np.count_nonzero(result) == result.size or kind_of(dtype) != "f":
        return result
    # NumPy may give either zero. A result of zero takes its sign from all the zeros on its way.
    zero = combine_bits.reduce(zero_signs(x, ufunc is np.maximum), axes).view(dtype)
    return np.where(result == 0, zero, result)


def reduce_and(x: Array, axes: Axes) -> Array:
    """Bitwise and; logical on bools; of nothing, all ones."""
    return _bitwise(np.bitwise_and, x, axes)


def reduce_or(x: Array, axes: Axes) -> Array:
    """Bitwise or; logical on bools; of nothing, 0."""
    return _bitwise(np.bitwise_or, x, axes)


def reduce_xor(x: Array, axes: Axes) -> Array:
    """Bitwise exclusive or; logical on bools; of nothing, 0."""
    return _bitwise(np.bitwise_xor, x, axes)


def _bitwise(ufunc: np.ufunc, x: Array, axes: Axes) -> Array:
    if x.dtype.num in NARROW_INTEGER_NUMS:
        return _reduced(ufunc, x.astype(INT8), axes).astype(x.dtype)
    return _reduced(ufunc, x, axes)


MANY_ROWS = 32
"""So many rows are reduced sooner by functions that take less time for each: `reduceat`, and `einsum` for sums."""


def _reduced(ufunc: np.ufunc, x: Array, axes: Axes) -> Array:
    """`ufunc.reduce` in x's dtype. Of each row of (512, 128) floats the largest takes 15 µs so, and 36 µs by `max`."""
    if not _has_many_rows(x, axes):
        return ufunc.reduce(x, axes, x.dtype)
    row_starts = np.arange(0, x.size, x.shape[-1])
    return ufunc.reduceat(x.reshape(-1), row_starts, dtype=x.dtype).reshape(x.shape[:-1])


def _has_many_rows(x: Array, axes: Axes) -> bool:
    """Whether each row of many, one after the other in memory, is reduced."""
    return axes == (x.ndim - 1,) and x.size >= MANY_ROWS * x.shape[-1] > 0 and x.flags.c_contiguous


def argmax(x: Array, axes: Axes, index_dtype: np.dtype) -> Array:
    """Where along the one axis of `axes` the first largest value is, or the first NaN."""
    return _comparable(x).argmax(axes[0]).astype(index_dtype)


def argmin(x: Array, axes: Axes, index_dtype: np.dtype) -> Array:
    """Where along the one axis of `axes` the first smallest value is, or the first NaN."""
    return _comparable(x).argmin(axes[0]).astype(index_dtype)


def _comparable(x: Array) -> Array:
    """The same values in a dtype whose `argmax` NumPy gets right."""
    if x.dtype.num in NARROW_INTEGER_NUMS:
        return x.astype(INT8)
    return x.astype(FLOAT32) if x.dtype.num in NARROW_FLOAT_NUMS else x


def reduce(*operands: Array, dimensions: Axes, jaxpr: Callable[..., list[Array]]) -> list[Array]:
    """The general reduction: first half of the operands arrays of one shape, second half their initial scalars.

    `jaxpr` is a callable `(*left, *right) -> list` that works on arrays elementwise and is associative. Values are
    combined in pairs, halving the axis each time, so that it is called about log2(n) times.
    """
    count = len(operands) // 2
    initial = operands[count:]
    kept = [axis for axis in range(operands[0].ndim) if axis not in dimensions]
    order = [*dimensions, *kept]
    shape = [operands[0].shape[axis] for axis in kept]
    values = [np.asarray(x).transpose(order).reshape([-1, *shape]) for x in operands[:count]]
    while len(values[0]) > 1:
        half = len(values[0]) // 2
        pairs = jaxpr(*(x[: 2 * half : 2] for x in values), *(x[1 : 2 * half : 2] for x in values))
        values = [np.concatenate([pair, x[2 * half :]]) for pair, x in zip(pairs, values)]
    starts = [np.broadcast_to(x, shape) for x in initial]
    return list(jaxpr(*starts, *(x[0] for x in values))) if len(values[0]) else starts
