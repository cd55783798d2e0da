"""Convolutions and reductions over sliding windows. Imports NumPy and ml_dtypes only.

Windows are views of a padded copy (`sliding_window_view`), so that the work is one reduction or one matrix product.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .dtypes import Array, highest, lowest
from .linear_algebra import dot_general
from .reductions import argmax, argmin, reduce_max, reduce_min, reduce_sum
from .reductions import reduce as reduce_generally
from .shapes import pad

Padding = Sequence[tuple[int, int]]


class ConvDimensionNumbers(NamedTuple):
    """Axis numbers: of the left side (batch, feature, space...), the right (out, in, space...) and the result."""

    lhs_spec: tuple[int, ...]
    rhs_spec: tuple[int, ...]
    out_spec: tuple[int, ...]


def _windows(
    x: Array,
    fill: Array,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Padding,
    base_dilation: Sequence[int],
    window_dilation: Sequence[int],
) -> np.ndarray:
    """The windows of x, as many axes again as x has: first where a window is, then where in the window."""
    padded = pad(x, fill, [(low, high, step - 1) for (low, high), step in zip(padding, base_dilation)])
    spans = [(size - 1) * step + 1 for size, step in zip(window_dimensions, window_dilation)]
    rank = padded.ndim
    if any(span > size for span, size in zip(spans, padded.shape)):
        places = [
            builtins.max(0, -(-(size - span + 1) // step))
            for size, span, step in zip(padded.shape, spans, window_strides)
        ]
        return np.empty((*places, *window_dimensions), x.dtype)
    every = [builtins.slice(None, None, step) for step in (*window_strides, *window_dilation)]
    return sliding_window_view(padded, spans, tuple(range(rank)))[tuple(every)]


def _inner_axes(x: Array) -> tuple[int, ...]:
    return tuple(range(x.ndim, 2 * x.ndim))


def reduce_window_sum(
    x: Array,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Padding,
    base_dilation: Sequence[int],
    window_dilation: Sequence[int],
) -> Array:
    """The sum of each window; padding counts as 0."""
    where = (window_dimensions, window_strides, padding, base_dilation, window_dilation)
    return reduce_sum(_windows(x, np.zeros((), x.dtype), *where), _inner_axes(x))


def reduce_window_max(
    x: Array,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Padding,
    base_dilation: Sequence[int],
    window_dilation: Sequence[int],
) -> Array:
    """The largest value of each window; padding counts as -inf, or the smallest integer."""
    where = (window_dimensions, window_strides, padding, base_dilation, window_dilation)
    return reduce_max(_windows(x, lowest(x.dtype), *where), _inner_axes(x))


def reduce_window_min(
    x: Array,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Padding,
    base_dilation: Sequence[int],
    window_dilation: Sequence[int],
) -> Array:
    """The smallest value of each window; padding counts as inf, or the largest integer."""
    where = (window_dimensions, window_strides, padding, base_dilation, window_dilation)
    return reduce_min(_windows(x, highest(x.dtype), *where), _inner_axes(x))


def reduce_window(
    *operands: Array,
    jaxpr: Callable[..., list[Array]],
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Padding,
    base_dilation: Sequence[int],
    window_dilation: Sequence[int],
) -> list[Array]:
    """The general reduction of each window: first half of the operands arrays, second half their initial scalars.

    `jaxpr` is a callable as for `reduce`; padding counts as the initial value.
    """
    count = len(operands) // 2
    where = (window_dimensions, window_strides, padding, base_dilation, window_dilation)
    windows = [_windows(x, start, *where) for x, start in zip(operands[:count], operands[count:])]
    return reduce_generally(*windows, *operands[count:], dimensions=_inner_axes(operands[0]), jaxpr=jaxpr)


def select_and_gather_add(
    tangents: Array,
    operand: Array,
    select_prim: str,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Padding,
    base_dilation: Sequence[int],
    window_dilation: Sequence[int],
) -> Array:
    """The tangent at the place, in each window of the operand, of the first largest ('ge') or smallest ('le') value."""
    where = (window_dimensions, window_strides, padding, base_dilation, window_dilation)
    chosen = _chosen(operand, select_prim, where)
    values = _windows(tangents, np.zeros((), tangents.dtype), *where).reshape(*chosen.shape, -1)
    return np.take_along_axis(values, chosen[..., None], -1)[..., 0]


def select_and_scatter_add(
    source: Array,
    operand: Array,
    select_prim: str,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Padding,
) -> Array:
    """Zeros of the operand's shape, each window's source value added where its first largest ('ge') or smallest is."""
    ones = (1,) * operand.ndim
    chosen = _chosen(operand, select_prim, (window_dimensions, window_strides, padding, ones, ones))
    shape = [size + low + high for size, (low, high) in zip(operand.shape, padding)]
    wide = np.promote_types(np.float32, source.dtype) if source.dtype.itemsize < 4 else source.dtype
    result = np.zeros(shape, wide)
    starts = np.ix_(*(np.arange(count) * step for count, step in zip(chosen.shape, window_strides)))
    within = np.unravel_index(chosen, tuple(window_dimensions))
    np.add.at(result, tuple(start + offset for start, offset in zip(starts, within)), source.astype(wide))
    cut = tuple(builtins.slice(low, low + size) for size, (low, _) in zip(operand.shape, padding))
    return result[cut].astype(source.dtype)


def _chosen(operand: Array, select_prim: str, where: tuple) -> np.ndarray:
    """The number, in its window, of the first largest or smallest value."""
    largest = select_prim == "ge"
    windows = _windows(operand, lowest(operand.dtype) if largest else highest(operand.dtype), *where)
    flat = windows.reshape(*windows.shape[: operand.ndim], -1)
    return (argmax if largest else argmin)(flat, (operand.ndim,), np.dtype(np.intp))


def conv_general_dilated(
    lhs: Array,
    rhs: Array,
    window_strides: Sequence[int],
    padding: Padding,
    lhs_dilation: Sequence[int],
    rhs_dilation: Sequence[int],
    dimension_numbers: ConvDimensionNumbers,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    preferred_element_type: np.dtype | None = None,
) -> Array:
    """Convolution (in fact correlation: the kernel is not turned round), accumulated as in `dot_general`.

    The result has `preferred_element_type`, or else the operands' dtype.
    """
    lhs_spec, rhs_spec, out_spec = dimension_numbers
    images, kernels = lhs.transpose(lhs_spec), rhs.transpose(rhs_spec)
    places = (window_strides, padding, lhs_dilation, rhs_dilation)
    groups = feature_group_count * batch_group_count
    if batch_group_count > 1:
        pieces = np.split(images, batch_group_count, axis=0)
    else:
        pieces = np.split(images, feature_group_count, axis=1)
    results = [
        _convolved(piece, kernel, places, preferred_element_type)
        for piece, kernel in zip(pieces, np.split(kernels, groups, axis=0))
    ]
    return np.concatenate(results, axis=1).transpose(np.argsort(out_spec))


def _convolved(images: Array, kernels: Array, places: tuple, preferred_element_type: np.dtype | None) -> Array:
    """One group, with batch, features and space in this order: windows times kernels, as one dot product."""
    window_strides, padding, lhs_dilation, rhs_dilation = places
    space = images.ndim - 2
    windows = _windows(
        images,
        np.zeros((), images.dtype),
        (1, 1, *kernels.shape[2:]),
        (1, 1, *window_strides),
        ((0, 0), (0, 0), *padding),
        (1, 1, *lhs_dilation),
        (1, 1, *rhs_dilation),
    )
    # Axes: batch, feature, places; then the window's: 1, 1, space.
    windows = windows.reshape(*windows.shape[: space + 2], *windows.shape[space + 4 :])
    contracting = (1, *range(space + 2, 2 * space + 2))
    numbers = ((contracting, (1, *range(2, space + 2))), ((), ()))
    product = dot_general(windows, kernels, numbers, preferred_element_type)
    return np.moveaxis(product, -1, 1)
