"""Moving values about without changing them: shapes, slices with static bounds, joins. Imports NumPy only.

Results may be views of the operand, and read-only.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence

import numpy as np

from .casts import convert_element_type
from .dtypes import UNSIGNED_OF_SIZE, Array

_LARGE = 1 << 15
"""From so many values on, a broadcast is a view; below, a copy is cheaper than NumPy's `broadcast_to`."""


def broadcast_in_dim(x: Array, shape: tuple[int, ...], broadcast_dimensions: tuple[int, ...]) -> Array:
    """x with its axes at `broadcast_dimensions` of `shape`, repeated along the rest and where its own size is 1."""
    if x.ndim != len(shape):
        sizes = [1] * len(shape)
        for dimension, size in zip(broadcast_dimensions, x.shape):
            sizes[dimension] = size
        x = x.reshape(sizes)
    if x.shape == shape:
        return x
    if math.prod(shape) >= _LARGE:
        return np.broadcast_to(x, shape)
    result = np.empty(shape, x.dtype)
    result[...] = x
    return result


def reshape(x: Array, new_sizes: tuple[int, ...], dimensions: tuple[int, ...] | None = None) -> Array:
    """x in row-major order in a new shape, after transposing by `dimensions` if they are given."""
    return (x if dimensions is None else x.transpose(dimensions)).reshape(new_sizes)


def squeeze(x: Array, dimensions: tuple[int, ...]) -> Array:
    """x without these axes of size 1."""
    return x.squeeze(dimensions)


def transpose(x: Array, permutation: tuple[int, ...]) -> Array:
    """x with axis `permutation[i]` at position i."""
    return x.transpose(permutation)


def rev(x: Array, dimensions: tuple[int, ...]) -> Array:
    """x in reverse order along these axes."""
    index = [builtins.slice(None)] * x.ndim
    for dimension in dimensions:
        index[dimension] = builtins.slice(None, None, -1)
    return x[tuple(index)]


WIDEST = 32
"""NumPy's `take` moves groups of up to so many bytes as quickly as single elements."""


def swap_neighbours(x: Array, size: int) -> Array:
    """x with groups of `size` elements along its last axis, each with the one beside it in the other's place.

    The size is a power of two, and two groups or a multiple of two fill the axis.  Groups of 8 bytes at most are copied
    as two slices: (128, 8, 128) floats in 47 µs, where `take` needs 110 µs.
    """
    if size * x.itemsize <= 8:
        words = np.ascontiguousarray(x).view(UNSIGNED_OF_SIZE[size * x.itemsize])
        result = np.empty_like(words)
        result[..., ::2], result[..., 1::2] = words[..., 1::2], words[..., ::2]
        return result.view(x.dtype)
    together = min(size, builtins.max(1, WIDEST // x.itemsize))
    count = x.shape[-1] // together
    order = np.arange(count) ^ (size // together)
    return x.reshape(*x.shape[:-1], count, together).take(order, axis=-2, mode="wrap").reshape(x.shape)


def slice(
    x: Array, start_indices: Sequence[int], limit_indices: Sequence[int], strides: Sequence[int] | None = None
) -> Array:
    """x[start:limit:stride, ...] with bounds that are known beforehand."""
    if strides is None:
        return x[tuple(map(builtins.slice, start_indices, limit_indices))]
    return x[tuple(map(builtins.slice, start_indices, limit_indices, strides))]


def pad(x: Array, padding_value: Array, padding_config: Sequence[tuple[int, int, int]]) -> Array:
    """x with (before, after, between) values added on each axis; negative `before` and `after` cut values off."""
    shape = [
        before + after + size + between * builtins.max(size - 1, 0)
        for size, (before, after, between) in zip(x.shape, padding_config)
    ]
    result = np.empty(shape, x.dtype)
    result[...] = padding_value
    places = [_kept(*axis) for axis in zip(x.shape, shape, padding_config)]
    result[tuple(place for place, _ in places)] = x[tuple(taken for _, taken in places)]
    return result


def _kept(size: int, padded_size: int, config: tuple[int, int, int]) -> tuple[builtins.slice, builtins.slice]:
    """Where on a padded axis the operand's values go, and which of them those are."""
    before, _, between = config
    step = between + 1
    first = builtins.max(0, -(before // step))
    last = builtins.min(size - 1, (padded_size - 1 - before) // step)
    if last < first:
        return builtins.slice(0, 0), builtins.slice(0, 0)
    return builtins.slice(before + first * step, before + last * step + 1, step), builtins.slice(first, last + 1)


def concatenate(*operands: Array, dimension: int) -> Array:
    """The operands one after the other along an axis that they all have."""
    return np.concatenate(operands, dimension)


def stack(*operands: Array, axis: int) -> Array:
    """The operands side by side along a new axis."""
    return np.stack(operands, axis)


def split(x: Array, sizes: Sequence[int], axis: int) -> list[Array]:
    """Consecutive pieces of these sizes."""
    pieces, start = [], 0
    before = (builtins.slice(None),) * axis
    for size in sizes:
        pieces.append(x[(*before, builtins.slice(start, start + size))])
        start += size
    return pieces


def unstack(x: Array, axis: int) -> list[Array]:
    """The slices along an axis, without it."""
    before: tuple = (builtins.slice(None),) * axis
    return [x[(*before, position)] for position in range(x.shape[axis])]


def tile(x: Array, reps: Sequence[int]) -> Array:
    """x repeated so often along each axis."""
    return np.tile(x, reps)


def iota(dtype: np.dtype, shape: tuple[int, ...], dimension: int) -> Array:
    """0, 1, 2, ... along one axis of `shape`, the same along the others."""
    size = shape[dimension]
    if dtype.kind in "iuf" and dtype.itemsize >= 4:
        counts = np.arange(size, dtype=dtype)
    else:  # NumPy's `arange` does not count in these
        counts = convert_element_type(np.arange(size, dtype=np.int32), dtype)
    if len(shape) == 1:
        return counts
    return broadcast_in_dim(counts, tuple(shape), (dimension,))
