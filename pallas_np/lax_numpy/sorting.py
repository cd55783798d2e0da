"""Sorting and top-k. Imports NumPy only.

Sorting is stable, and for floats ±0 are equal and every NaN is last, whatever its sign. `top_k` uses the total order
instead: -NaN, -inf, ..., -0, +0, ..., inf, NaN.
"""

from __future__ import annotations

import numpy as np

from .dtypes import INT8, NARROW_FLOAT_NUMS, NARROW_INTEGER_NUMS, SIGNED_OF_SIZE, Array, kind_of


def sort(*operands: Array, dimension: int, num_keys: int, is_stable: bool = True) -> list[Array]:
    """The operands, all reordered alike along `dimension`, by the first `num_keys` of them, the first counting most.

    Always stable, also where `is_stable` does not ask for it.
    """
    first = operands[0]
    if len(operands) == 1 and first.dtype.num not in _KEYED:
        return [_sorted(first, dimension)]
    if num_keys == 1 and first.dtype.kind != "c":
        order = np.argsort(sort_key(first), dimension, "stable")
    else:
        keys = [part for key in operands[:num_keys] for part in _parts(key)]
        order = np.lexsort(keys[::-1], dimension)
    return [take_along(x, order, dimension) for x in operands]


def _sorted(x: Array, axis: int) -> Array:
    """NumPy's unstable sort, twice as fast, where equal values cannot be told apart: without zeros and NaN."""
    result = np.sort(x, axis)
    if x.dtype.kind != "f" or not x.size:
        return result
    if not np.count_nonzero(result == 0) and not np.isnan(result.take(-1, axis)).any():
        return result
    return np.sort(x, axis, "stable")


_KEYED = NARROW_FLOAT_NUMS | NARROW_INTEGER_NUMS | {np.dtype(np.complex64).num, np.dtype(np.complex128).num}


def _parts(key: Array) -> list[Array]:
    if key.dtype.kind == "c":
        return [sort_key(key.real), sort_key(key.imag)]
    return [sort_key(key)]


def sort_key(x: Array) -> Array:
    """Values that NumPy sorts as XLA sorts x."""
    if x.dtype.num in NARROW_INTEGER_NUMS:
        return x.astype(INT8)
    if x.dtype.num not in NARROW_FLOAT_NUMS:
        return x
    # As 16-bit integers these also go through NumPy's radix sort, which is several times faster.
    key = total_order_key(x)
    top = np.iinfo(key.dtype).max
    return np.where(np.isnan(x), key.dtype.type(top), np.where(x == 0, key.dtype.type(0), key))


def total_order_key(x: Array) -> Array:
    """Signed integers in the order -NaN, -inf, ..., -0, +0, ..., inf, NaN; integers as they are."""
    if x.dtype.num in NARROW_INTEGER_NUMS:
        return x.astype(INT8)
    if kind_of(x.dtype) != "f":
        return x
    signed = SIGNED_OF_SIZE[x.dtype.itemsize]
    bits = x.view(signed)
    info = np.iinfo(signed)
    return bits ^ ((bits >> signed.type(info.bits - 1)) & signed.type(info.max))


def take_along(x: Array, order: np.ndarray, axis: int) -> Array:
    """x with its values along `axis` in the given order, which has x's shape on the other axes."""
    if x.ndim == 1:
        return x.take(order)
    if axis != x.ndim - 1:
        return np.take_along_axis(x, order, axis)
    rows = np.arange(0, x.size, x.shape[-1]).reshape(*x.shape[:-1], 1)
    return x.reshape(-1).take(order + rows)


def top_k(x: Array, k: int, axis: int = -1, is_stable: bool = True) -> list[Array]:
    """The k largest values along `axis`, largest first, and their int32 positions; of equal ones the first."""
    return _first_k(x, np.invert(total_order_key(x)), k, axis)


def approx_top_k(
    x: Array, k: int, reduction_dimension: int, is_max_k: bool, aggregate_to_topk: bool = True
) -> list[Array]:
    """The k largest (or smallest) values along a dimension, best first, and their int32 positions.

    ±0 are equal, except that of float32 +0 is above -0 if the largest are asked for (measured).

    Exact, as on every platform but TPU, where `recall_target` would trade exactness for speed.
    """
    if not aggregate_to_topk:
        raise NotImplementedError("approx_top_k with aggregate_to_topk=False: how many values come out is TPU's choice")
    key = total_order_key(x)
    if not (is_max_k and x.dtype == np.float32):
        key = np.where(x == 0, key.dtype.type(0), key)
    return _first_k(x, np.invert(key) if is_max_k else key, k, reduction_dimension)


def _first_k(x: Array, key: Array, k: int, axis: int) -> list[Array]:
    axis %= x.ndim
    order = np.argsort(key, axis, "stable")
    order = order[(slice(None),) * axis + (slice(k),)]
    return [np.take_along_axis(x, order, axis), order.astype(np.int32)]


def eq_to(x: Array, y: Array) -> Array:
    """x == y in the total order: NaN equals itself, -0 is not +0."""
    return np.equal(total_order_key(x), total_order_key(y))


def lt_to(x: Array, y: Array) -> Array:
    """x < y in the total order -NaN, -inf, ..., -0, +0, ..., inf, NaN."""
    return np.less(total_order_key(x), total_order_key(y))


def le_to(x: Array, y: Array) -> Array:
    """x <= y in the total order -NaN, -inf, ..., -0, +0, ..., inf, NaN."""
    return np.less_equal(total_order_key(x), total_order_key(y))
