"""Gather, scatter and dynamic slices: reading and writing at indices that are known only at run time.

Imports NumPy only. Results may be views of the operand.

`indices` has the index vectors on its last axis, as in all of JAX's gathers and scatters. The meaning of the dimension
numbers is StableHLO's (https://openxla.org/stablehlo/spec, gather and scatter). What the shapes alone decide is worked
out once and cached; a call then adds up flat positions and takes them from, or writes them to, the flattened operand.
"""

from __future__ import annotations

import builtins
import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .dtypes import NARROW_INTEGER_NUMS, UNSIGNED_OF_SIZE, Array, integer_limits, kind_of
from .shapes import WIDEST, swap_neighbours


class GatherDimensionNumbers(NamedTuple):
    """Which axes of operand, indices and result belong together; the fields are JAX's."""

    offset_dims: tuple[int, ...]
    collapsed_slice_dims: tuple[int, ...]
    start_index_map: tuple[int, ...]
    operand_batching_dims: tuple[int, ...] = ()
    start_indices_batching_dims: tuple[int, ...] = ()


class ScatterDimensionNumbers(NamedTuple):
    """Which axes of operand, indices and updates belong together; the fields are JAX's."""

    update_window_dims: tuple[int, ...]
    inserted_window_dims: tuple[int, ...]
    scatter_dims_to_operand_dims: tuple[int, ...]
    operand_batching_dims: tuple[int, ...] = ()
    scatter_indices_batching_dims: tuple[int, ...] = ()


def dynamic_slice(x: Array, *start_indices: Array, slice_sizes: tuple[int, ...]) -> Array:
    """The window of these sizes at `start_indices`, moved so that it lies inside x."""
    return x[_window(x.shape, start_indices, slice_sizes)]


def dynamic_update_slice(x: Array, update: Array, *start_indices: Array) -> Array:
    """x with the window at `start_indices` replaced, the window moved so that it lies inside x."""
    result = np.array(x)
    result[_window(x.shape, start_indices, update.shape)] = update
    return result


def _window(
    shape: tuple[int, ...], start_indices: tuple[Array, ...], sizes: tuple[int, ...]
) -> tuple[builtins.slice, ...]:
    places = []
    for size, start_index, extent in zip(shape, start_indices, sizes):
        start = int(start_index)
        if start > size - extent:
            start = size - extent
        if start < 0:
            start = 0
        places.append(builtins.slice(start, start + extent))
    return tuple(places)


class _Positions(NamedTuple):
    """What shapes alone say about the flat positions that a gather reads or a scatter writes."""

    expanded: tuple[int, ...]
    """Shape that lines one index per window up with the result: 1 on every axis that runs through a window."""
    strides: tuple[int, ...]
    """Per component of an index vector, how far in the flat operand one step of it leads."""
    limits: tuple[int, ...]
    """Per component, its largest value for which the window lies inside the operand."""
    within: np.ndarray
    """Flat position relative to the window's start, broadcastable against `expanded`."""


def _positions(
    operand_shape: tuple[int, ...],
    indices_shape: tuple[int, ...],
    window_sizes: tuple[int, ...],
    window_axes: tuple[int, ...],
    rank: int,
    dropped_dims: tuple[int, ...],
    index_map: tuple[int, ...],
    operand_batching_dims: tuple[int, ...],
    indices_batching_dims: tuple[int, ...],
) -> _Positions:
    """`window_axes` are those axes, of the `rank` that the result has, which run through a window."""
    strides = [math.prod(operand_shape[dim + 1 :]) for dim in range(len(operand_shape))]
    batch_axes = [axis for axis in range(rank) if axis not in window_axes]
    expanded = [1] * rank
    for axis, size in zip(batch_axes, indices_shape[:-1]):
        expanded[axis] = size
    within = np.zeros((1,) * rank, np.intp)
    kept = [dim for dim in range(len(operand_shape)) if dim not in dropped_dims and dim not in operand_batching_dims]
    along = [*zip(kept, window_axes), *zip(operand_batching_dims, (batch_axes[dim] for dim in indices_batching_dims))]
    for dim, axis in along:
        size = expanded[axis] if dim in operand_batching_dims else window_sizes[dim]
        steps = np.arange(size, dtype=np.intp) * strides[dim]
        within = within + steps.reshape([size if other == axis else 1 for other in range(rank)])
    return _Positions(
        tuple(expanded),
        tuple(strides[dim] for dim in index_map),
        tuple(operand_shape[dim] - window_sizes[dim] for dim in index_map),
        within,
    )


def _starts(indices: Array, positions: _Positions, clip: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Flat position of each window's start, and which windows lie inside the operand (None: all of them).

    A window that does not is moved inside if `clip`; otherwise its start is anything valid.
    """
    flat = None
    valid = None
    for component, (stride, limit) in enumerate(zip(positions.strides, positions.limits)):
        start = indices[..., component].reshape(positions.expanded)
        # Seen as unsigned, a negative index lies above every limit.
        inside = start.view(UNSIGNED_OF_SIZE[start.dtype.itemsize]) <= limit
        if np.count_nonzero(inside) != inside.size:
            start = np.minimum(np.maximum(start.astype(np.intp), 0), limit) if clip else np.where(inside, start, 0)
            valid = inside if valid is None else valid & inside
        if stride != 1 or start.dtype.kind == "u":  # NumPy mixes uint64 and signed integers to float64
            start = start.astype(np.intp) * stride
        flat = start if flat is None else flat + start
    return np.zeros((1,) * len(positions.expanded), np.intp) if flat is None else flat, valid


def gather(
    operand: Array,
    indices: Array,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: tuple[int, ...],
    mode: str,
    fill_value: complex | None = None,
) -> Array:
    """Windows of `slice_sizes` from the operand, one for each index vector.

    A window that is not inside the operand is moved inside by mode 'clip' (and by 'promise_in_bounds', whose promise
    XLA does not rely on); with 'fill_or_drop' all of it is `fill_value`, by default NaN, the smallest integer, the
    largest unsigned one, or True.
    """
    axis, flattened, batch_rank, positions = _gather_plan(operand.shape, indices.shape, dimension_numbers, slice_sizes)
    clip = mode != "fill_or_drop"
    if batch_rank and _are_alike(indices, batch_rank):
        indices = indices[(0,) * batch_rank]
        axis, flattened, positions = operand.ndim - 1, None, positions._replace(expanded=indices.shape[:-1])
    start, valid = _starts(indices, positions, clip)
    if flattened is None:
        result = _taken(operand, start.reshape(indices.shape[:-1]), axis)
    else:
        result = _taken(operand.reshape(flattened), start + positions.within, axis)
    if clip or valid is None:
        return result
    return np.where(valid, result, _fill(operand.dtype, fill_value))


_MANY = 1 << 14
"""Of so many elements, it takes longer to take them one by one than to look for groups."""


def _are_alike(x: np.ndarray, rank: int) -> bool:
    """Whether what stands along the last axes of x is the same at every place of its first `rank` axes."""
    flat, length = x.reshape(-1), math.prod(x.shape[rank:])
    return not np.count_nonzero(flat[length:] != flat[:-length])


def _taken(operand: Array, places: np.ndarray, axis: int) -> Array:
    """`operand.take(places, axis)`, in groups if elements stay together; no place is outside."""
    rest, length = operand.shape[:axis], operand.shape[axis]
    if axis == operand.ndim - 1 and operand.size >= _MANY and operand.flags.c_contiguous and places.size:
        flat = places.reshape(-1)
        if len(flat) == length and (size := swapped_size(flat)):
            return swap_neighbours(operand, size).reshape(*rest, *places.shape)
        size = group_size(flat, length, operand.dtype.itemsize)
        if size > 1:
            taken = operand.reshape(*rest, length // size, size).take(flat[::size] // size, axis, mode="wrap")
            return taken.reshape(*rest, *places.shape)
    return operand.take(places, axis, mode="wrap")  # the mode that checks least


def swapped_size(places: np.ndarray) -> int:
    """How many neighbours change places with as many beside them, all along the axis; 0 if they do not.

    Args:
      places: (n,) array, n > 0: which elements to take from an axis of n elements.
    """
    size, length = int(places[0]), len(places)
    if size < 1 or size & (size - 1) or length % (2 * size) or places[size] != 0:
        return 0
    return 0 if np.count_nonzero(places != np.arange(length) ^ size) else size


def group_size(places: np.ndarray, length: int, itemsize: int) -> int:
    """How many neighbours can be taken together: a power of two that divides the axis and the result, or 1.

    Args:
      places: (n,) array, n > 0: which elements to take from an axis of `length` elements, of `itemsize` bytes each.
    """
    if len(places) == 1 or places[1] - places[0] != 1:
        return 1
    starts = np.flatnonzero(places[1:] - places[:-1] != 1) + 1
    bits = WIDEST // itemsize | length | len(places) | int(places[0])
    bits |= int(np.bitwise_or.reduce(starts | places[starts]))
    return bits & -bits


class _Gather(NamedTuple):
    """What shapes alone say about a gather."""

    axis: int
    """The axis to take along."""
    flattened: tuple[int, ...] | None
    """The shape that the operand has to have for it; `None` for its own."""
    batch_rank: int
    """The number of batching axes, if all but they is the last axis, along which elements are taken; else 0."""
    positions: _Positions


@functools.lru_cache(maxsize=1024)
def _gather_plan(
    operand_shape: tuple[int, ...],
    indices_shape: tuple[int, ...],
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: tuple[int, ...],
) -> _Gather:
    """The axis is the one along which a gather takes whole slices, if there is one.

    Else the operand is flattened, apart from its first axes if all of them is taken and they are the result's first
    axes, too.
    """
    offset_dims, collapsed, index_map, operand_batching, indices_batching = dimension_numbers
    rank = len(offset_dims) + len(indices_shape) - 1
    first = _first_axes_taken_whole(operand_shape, dimension_numbers, slice_sizes)

    def without_first(axes: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(axis - first for axis in axes)

    positions = _positions(
        operand_shape[first:],
        indices_shape,
        slice_sizes[first:],
        without_first(offset_dims[first:]),
        rank - first,
        without_first(collapsed),
        without_first(index_map),
        without_first(operand_batching),
        indices_batching,
    )
    if len(index_map) == 1 and tuple(collapsed) == tuple(index_map) and not operand_batching:
        axis = index_map[0]
        batch_rank = len(indices_shape) - 1
        in_place = tuple(range(axis)) + tuple(range(axis + batch_rank, rank))
        whole = all(size == full for dim, (size, full) in enumerate(zip(slice_sizes, operand_shape)) if dim != axis)
        if whole and tuple(offset_dims) == in_place and 0 not in operand_shape:
            return _Gather(axis, None, 0, positions._replace(strides=(1,)))
    last = len(operand_shape) - 1
    batch = tuple(range(first, last))
    by_rows = tuple(collapsed) == tuple(index_map) == (last,) and tuple(operand_batching) == batch
    by_rows = by_rows and tuple(indices_batching) == tuple(range(len(batch))) and 0 not in indices_shape
    flattened = (*operand_shape[:first], math.prod(operand_shape[first:]))
    return _Gather(first, flattened, len(batch) if by_rows else 0, positions)


def _first_axes_taken_whole(
    operand_shape: tuple[int, ...], dimension_numbers: GatherDimensionNumbers, slice_sizes: tuple[int, ...]
) -> int:
    """How many of the operand's first axes lie in every window as they are, and come first in the result."""
    offset_dims, collapsed, index_map, operand_batching, _ = dimension_numbers
    for axis, (size, whole) in enumerate(zip(slice_sizes, operand_shape)):
        in_place = axis < len(offset_dims) and offset_dims[axis] == axis
        if not in_place or size != whole or axis in (*collapsed, *index_map, *operand_batching):
            return axis
    return len(operand_shape)


def _fill(dtype: np.dtype, fill_value: complex | None) -> Array:
    kind = kind_of(dtype)
    if fill_value is not None:
        return np.asarray(fill_value).astype(dtype)
    if kind in "fc":
        return np.array(np.nan, np.float32).astype(dtype)
    if kind == "b":
        return np.array(True)
    low, high = integer_limits(dtype)
    return np.array(low if kind == "i" else high).astype(dtype)


Update = Callable[[np.ndarray, np.ndarray, np.ndarray], None]


def scatter(
    operand: Array,
    indices: Array,
    updates: Array,
    dimension_numbers: ScatterDimensionNumbers,
    mode: str,
    update_jaxpr: Callable[[Array, Array], list[Array]] | None = None,
) -> Array:
    """The operand with a window replaced for each index vector; where windows overlap, the last one stays.

    A window that is not inside the operand is dropped, or with mode 'clip' moved inside. With `update_jaxpr`, a
    callable on arrays, a window becomes `update_jaxpr(old, update)[0]`, one window after the other.
    """
    if update_jaxpr is None:
        return _scattered(_replace, operand, indices, updates, dimension_numbers, mode)

    def update_one_by_one(flat: np.ndarray, places: np.ndarray, values: np.ndarray) -> None:
        for place, value in zip(places, values):
            flat[place] = update_jaxpr(flat[place], value)[0]

    return _scattered(update_one_by_one, operand, indices, updates, dimension_numbers, mode)


def scatter_add(
    operand: Array, indices: Array, updates: Array, dimension_numbers: ScatterDimensionNumbers, mode: str
) -> Array:
    """Like `scatter`, but adding to what is there; overlapping windows add up."""
    return _scattered(_at(np.add), operand, indices, updates, dimension_numbers, mode)


def scatter_sub(
    operand: Array, indices: Array, updates: Array, dimension_numbers: ScatterDimensionNumbers, mode: str
) -> Array:
    """Like `scatter`, but subtracting from what is there."""
    return _scattered(_at(np.subtract), operand, indices, updates, dimension_numbers, mode)


def scatter_mul(
    operand: Array, indices: Array, updates: Array, dimension_numbers: ScatterDimensionNumbers, mode: str
) -> Array:
    """Like `scatter`, but multiplying what is there."""
    return _scattered(_at(np.multiply), operand, indices, updates, dimension_numbers, mode)


def scatter_min(
    operand: Array, indices: Array, updates: Array, dimension_numbers: ScatterDimensionNumbers, mode: str
) -> Array:
    """Like `scatter`, but keeping the smaller value; NaN stays."""
    return _scattered(_at(np.minimum), operand, indices, updates, dimension_numbers, mode)


def scatter_max(
    operand: Array, indices: Array, updates: Array, dimension_numbers: ScatterDimensionNumbers, mode: str
) -> Array:
    """Like `scatter`, but keeping the larger value; NaN stays."""
    return _scattered(_at(np.maximum), operand, indices, updates, dimension_numbers, mode)


def _replace(flat: np.ndarray, places: np.ndarray, values: np.ndarray) -> None:
    flat[places] = values  # NumPy: of repeated indices the last one stays.


@functools.cache
def _at(ufunc: np.ufunc) -> Update:
    def update(flat: np.ndarray, places: np.ndarray, values: np.ndarray) -> None:
        ufunc.at(flat, places.reshape(-1), values.reshape(-1))

    return update


def _scattered(
    update: Update,
    operand: Array,
    indices: Array,
    updates: Array,
    dimension_numbers: ScatterDimensionNumbers,
    mode: str,
) -> Array:
    order, positions = _scatter_plan(operand.shape, indices.shape, updates.shape, dimension_numbers)
    start, valid = _starts(indices, positions, mode == "clip")
    windows = updates.shape if order is None else tuple(updates.shape[axis] for axis in order)
    batch_rank = indices.ndim - 1
    count = math.prod(windows[:batch_rank])
    places = np.broadcast_to(start + positions.within, windows).reshape(count, -1)
    values = (updates if order is None else updates.transpose(order)).reshape(count, -1)
    if valid is not None and mode != "clip":
        kept = valid.reshape(-1)
        places, values = places[kept], values[kept]
    narrow = operand.dtype.num in NARROW_INTEGER_NUMS
    result = operand.astype(np.int8) if narrow else np.array(operand)
    flat = np.ascontiguousarray(result).reshape(-1)
    update(flat, places, values.astype(np.int8) if narrow else values)
    return flat.reshape(operand.shape).astype(operand.dtype, copy=False)


@functools.lru_cache(maxsize=1024)
def _scatter_plan(
    operand_shape: tuple[int, ...],
    indices_shape: tuple[int, ...],
    updates_shape: tuple[int, ...],
    dimension_numbers: ScatterDimensionNumbers,
) -> tuple[tuple[int, ...] | None, _Positions]:
    """The order that puts the axes of `updates` which run through windows last (None: they are), and the positions."""
    window_dims, inserted, index_map, operand_batching, indices_batching = dimension_numbers
    rank = len(updates_shape)
    order = tuple(axis for axis in range(rank) if axis not in window_dims) + tuple(window_dims)
    sizes = iter(updates_shape[axis] for axis in window_dims)
    window_sizes = tuple(
        1 if dim in inserted or dim in operand_batching else next(sizes) for dim in range(len(operand_shape))
    )
    positions = _positions(
        operand_shape,
        indices_shape,
        window_sizes,
        tuple(range(rank - len(window_dims), rank)),
        rank,
        inserted,
        index_map,
        operand_batching,
        indices_batching,
    )
    return (None if order == tuple(range(rank)) else order), positions
