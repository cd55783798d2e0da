"""Dot products. Imports NumPy and ml_dtypes only.

Floats of 16 bits and fewer accumulate in float32. Integers wrap in the result's dtype.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from .casts import convert_element_type
from .dtypes import FLOAT32, FLOAT64, INT64, NARROW_FLOAT_NUMS, UNSIGNED_OF_SIZE, Array, kind_of

Dims = tuple[int, ...]
DotDimensionNumbers = tuple[tuple[Dims, Dims], tuple[Dims, Dims]]


class RaggedDotDimensionNumbers(NamedTuple):
    """A dot's dimension numbers, the axes of the left side that groups cut, and the groups' axis on the right."""

    dot_dimension_numbers: DotDimensionNumbers
    lhs_ragged_dimensions: Dims
    rhs_group_dimensions: Dims


def dot_general(
    lhs: Array,
    rhs: Array,
    dimension_numbers: DotDimensionNumbers,
    preferred_element_type: np.dtype | None = None,
) -> Array:
    """Sums of products over the contracting axes, for each batch index.

    `dimension_numbers` is ((lhs contracting, rhs contracting), (lhs batch, rhs batch)); the result's axes are the batch
    axes, the left's others, the right's others. It has `preferred_element_type`, or else the operands' dtype.
    """
    dtype = lhs.dtype if preferred_element_type is None else preferred_element_type
    if lhs.dtype is FLOAT32 and rhs.dtype is FLOAT32 and dtype is FLOAT32:
        return _contracted(lhs, rhs, dimension_numbers)
    if kind_of(dtype) in "iub" and kind_of(lhs.dtype) in "iub":
        return _integer_dot(lhs, rhs, dimension_numbers, dtype)
    wide = _accumulator(lhs.dtype, rhs.dtype, dtype)
    product = _contracted(lhs.astype(wide, copy=False), rhs.astype(wide, copy=False), dimension_numbers)
    return convert_element_type(product, dtype)


def _accumulator(lhs: np.dtype, rhs: np.dtype, result: np.dtype) -> np.dtype:
    """The widest of the three dtypes, and at least float32."""
    return functools.reduce(
        np.promote_types,
        (FLOAT32 if dtype.num in NARROW_FLOAT_NUMS else dtype for dtype in (lhs, rhs, result)),
        FLOAT32,
    )


def _integer_dot(lhs: Array, rhs: Array, dimension_numbers: DotDimensionNumbers, dtype: np.dtype) -> Array:
    (contracting, _), _ = dimension_numbers
    terms = math.prod(lhs.shape[dim] for dim in contracting)
    if lhs.dtype.itemsize <= 2 and rhs.dtype.itemsize <= 2 and terms < 1 << 20:
        # Exact in float64, for which NumPy has BLAS: products stay below 2**32, sums below 2**52.
        product = _contracted(lhs.astype(FLOAT64), rhs.astype(FLOAT64), dimension_numbers)
        return convert_element_type(product.astype(INT64), dtype)
    size = max(lhs.dtype.itemsize, rhs.dtype.itemsize, dtype.itemsize)
    unsigned = UNSIGNED_OF_SIZE[size]
    return convert_element_type(
        _contracted(lhs.astype(unsigned), rhs.astype(unsigned), dimension_numbers).view(f"i{size}"), dtype
    )


def _contracted(lhs: Array, rhs: Array, dimension_numbers: DotDimensionNumbers) -> Array:
    """The dot in the operands' own dtype, through `np.matmul`."""
    if lhs.ndim == 2 and rhs.ndim == 2:
        (left, right), (batch, _) = dimension_numbers
        if not batch and len(left) == 1:
            return np.matmul(lhs if left[0] == 1 else lhs.T, rhs if right[0] == 0 else rhs.T)
    left_order, right_order, left_shape, right_shape, shape = _matmul_plan(lhs.shape, rhs.shape, dimension_numbers)
    left_matrices = lhs.transpose(left_order).reshape(left_shape)
    right_matrices = rhs.transpose(right_order).reshape(right_shape)
    return np.matmul(left_matrices, right_matrices).reshape(shape)


@functools.lru_cache(maxsize=1024)
def _matmul_plan(
    lhs_shape: Dims, rhs_shape: Dims, dimension_numbers: DotDimensionNumbers
) -> tuple[Dims, Dims, Dims, Dims, Dims]:
    """Orders and shapes for stacks of matrices, (batch, m, k) and (batch, k, n), and the result's shape."""
    (left, right), (left_batch, right_batch) = dimension_numbers
    left_free = [dim for dim in range(len(lhs_shape)) if dim not in left and dim not in left_batch]
    right_free = [dim for dim in range(len(rhs_shape)) if dim not in right and dim not in right_batch]
    batch = [lhs_shape[dim] for dim in left_batch]
    m = [lhs_shape[dim] for dim in left_free]
    k = [lhs_shape[dim] for dim in left]
    n = [rhs_shape[dim] for dim in right_free]
    return (
        (*left_batch, *left_free, *left),
        (*right_batch, *right, *right_free),
        (*batch, math.prod(m), math.prod(k)),
        (*batch, math.prod(k), math.prod(n)),
        (*batch, *m, *n),
    )


def ragged_dot_general(
    lhs: Array,
    rhs: Array,
    group_sizes: Array,
    ragged_dot_dimension_numbers: RaggedDotDimensionNumbers,
    preferred_element_type: np.dtype | None = None,
) -> Array:
    """A dot for each group of consecutive positions on the left's ragged axis; `group_sizes` has their lengths.

    Ragged and free: rows of group g meet `rhs[g]`, rows of no group give 0. Ragged and contracting: result g sums over
    group g. Ragged and batch: as if there were no groups. (The three modes of `jax.lax.ragged_dot_general`.)
    """
    numbers, (ragged,), groups = ragged_dot_dimension_numbers
    (left, _), (left_batch, _) = numbers
    if ragged in left_batch:
        return dot_general(lhs, rhs, numbers, preferred_element_type)
    if group_sizes.ndim != 1:
        raise NotImplementedError("ragged_dot_general with group sizes that differ between batches")
    contracts = ragged in left
    within = numbers if contracts else _without_axis(numbers, groups[0])
    ends = np.cumsum(group_sizes)
    position = np.arange(lhs.shape[ragged]).reshape([-1 if axis == ragged else 1 for axis in range(lhs.ndim)])
    products = []
    for group, (size, end) in enumerate(zip(group_sizes, ends)):
        rows = np.where((position >= end - size) & (position < end), lhs, lhs.dtype.type(0))
        products.append(
            dot_general(rows, rhs if contracts else rhs.take(group, groups[0]), within, preferred_element_type)
        )
    return np.stack(products) if contracts else functools.reduce(np.add, products)


def _without_axis(numbers: DotDimensionNumbers, axis: int) -> DotDimensionNumbers:
    """The dimension numbers once the right side has lost an axis."""
    (left, right), (left_batch, right_batch) = numbers
    return (
        (left, tuple(dim - (dim > axis) for dim in right)),
        (left_batch, tuple(dim - (dim > axis) for dim in right_batch)),
    )
