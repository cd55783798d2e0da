"""Conversions between dtypes. Imports NumPy and ml_dtypes only. Results may be views of the operand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .dtypes import (
    BITS,
    FLOAT32,
    FLOAT64,
    INT8,
    INT32,
    ML_FLOAT_NUMS,
    NARROW_INTEGER_NUMS,
    Array,
    integer_limits,
    kind_of,
)

_converters: dict[tuple[int, int], Callable[[Array, np.dtype], Array] | None] = {}


def convert_element_type(x: Array, new_dtype: np.dtype) -> Array:
    """x by value. Floats go to integers truncated and saturated, NaN as 0; integers wrap; complex drops its imaginary
    part; anything but zero (NaN included) is True.
    """
    dtype = x.dtype
    if dtype is new_dtype:
        return x
    key = (dtype.num, new_dtype.num)
    if key not in _converters:
        _converters[key] = _converter(dtype, new_dtype)
    convert = _converters[key]
    return x.astype(new_dtype) if convert is None else convert(x, new_dtype)


def _converter(source: np.dtype, target: np.dtype) -> Callable[[Array, np.dtype], Array] | None:
    """The function for this pair of dtypes; None where `astype` is right."""
    from_kind, to_kind = kind_of(source), kind_of(target)
    if source == target:
        return lambda x, _: x
    if to_kind == "b":
        return lambda x, _: np.not_equal(x, np.zeros((), x.dtype))
    if from_kind == "c" and to_kind != "c":
        return lambda x, dtype: convert_element_type(x.real, dtype)
    if from_kind == "f" and to_kind in "iu":
        return _saturating_narrow if BITS[target] < 32 else _saturating(source, target)
    if from_kind in "iu" and target.num in NARROW_INTEGER_NUMS:
        return lambda x, dtype: x.astype(INT8).astype(dtype)
    if target.num in ML_FLOAT_NUMS and (source.num in ML_FLOAT_NUMS or source in (FLOAT64, *_WIDE_INTEGERS)):
        return lambda x, dtype: x.astype(FLOAT32).astype(dtype)
    return None


_WIDE_INTEGERS = (np.dtype(np.int64), np.dtype(np.uint64))


def _saturating(source: np.dtype, target: np.dtype) -> Callable[[Array, np.dtype], Array]:
    """Truncation from floats to a 32- or 64-bit integer, saturated; NaN gives 0."""
    wide = FLOAT32 if source.itemsize < 4 else source
    low, high = integer_limits(target)
    # A power of two, hence exact in floats, where `high` itself may not be.
    bound = wide.type(high + 1)

    def convert(x: Array, dtype: np.dtype) -> Array:
        x = x.astype(wide, copy=False)
        inside = np.absolute(x) < bound if low < 0 else (x > -1) & (x < bound)
        if np.count_nonzero(inside) == inside.size:
            return x.astype(dtype)
        saturated = np.where(x > 0, dtype.type(high), np.where(x < 0, dtype.type(low), dtype.type(0)))
        return np.where(inside, np.where(inside, x, wide.type(0)).astype(dtype), saturated)

    return convert


def _saturating_narrow(x: Array, dtype: np.dtype) -> Array:
    """Truncated to an integer of 16 bits or fewer, saturated; NaN gives 0."""
    low, high = integer_limits(dtype)
    wide = convert_element_type(x, INT32)
    return np.minimum(np.maximum(wide, np.int32(low)), np.int32(high)).astype(dtype)


def bitcast_convert_type(x: Array, new_dtype: np.dtype) -> Array:
    """x's bits, little-endian: to a narrower dtype with a new last axis, to a wider one with the last axis gone."""
    old_bits, new_bits = BITS[x.dtype], BITS[new_dtype]
    if new_dtype.num in NARROW_INTEGER_NUMS or x.dtype.num in NARROW_INTEGER_NUMS or min(old_bits, new_bits) < 8:
        return _bitcast_packed(x, new_dtype)
    if old_bits == new_bits:
        return x.view(new_dtype)
    x = np.ascontiguousarray(x) if x.ndim else np.asarray(x)
    if old_bits > new_bits:
        return x.reshape(x.shape + (1,)).view(new_dtype)
    return x.view(new_dtype).reshape(x.shape[:-1])


def _bitcast_packed(x: Array, new_dtype: np.dtype) -> Array:
    """The same where one side has fewer than 8 bits, which NumPy stores one to a byte."""
    old_bits, new_bits = BITS[x.dtype], BITS[new_dtype]
    shape = x.shape
    bits = np.unpackbits(_one_per_row(x), axis=-1, bitorder="little")[..., :old_bits]
    if old_bits > new_bits:
        shape = (*shape, old_bits // new_bits)
    elif old_bits < new_bits:
        shape = shape[:-1]
    bits = bits.reshape(*shape, new_bits)
    packed = np.packbits(bits, axis=-1, bitorder="little")
    if new_bits >= 8:
        return packed.view(new_dtype).reshape(shape)
    return _from_low_bits(packed.reshape(shape), new_dtype)


def _one_per_row(x: Array) -> np.ndarray:
    """The bytes of each value, on a new last axis."""
    x = np.ascontiguousarray(x)
    return x.view(np.uint8).reshape(*x.shape, x.dtype.itemsize)


def _from_low_bits(codes: np.ndarray, dtype: np.dtype) -> Array:
    """Values of a narrow dtype from their bit patterns, one to a byte."""
    if kind_of(dtype) == "i":
        unused = np.int8(8 - BITS[dtype])
        return ((codes.view(np.int8) << unused) >> unused).astype(dtype)
    return codes.astype(dtype) if kind_of(dtype) == "u" else codes.view(dtype)
