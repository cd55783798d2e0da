"""Integer division, remainders, shifts and bit counts as XLA defines them. Imports NumPy only.

XLA leaves no integer result undefined: x / 0 is -1 (all ones), x % 0 is x, MIN / -1 is MIN, and a shift by the width or
more gives 0, or copies of the sign. int4 and its kin are computed in int8 and wrapped.
"""

from __future__ import annotations

import numpy as np

from .dtypes import BITS, NARROW_INTEGER_NUMS, SIGNED_OF_SIZE, UNSIGNED_OF_SIZE, Array, kind_of


def div(x: Array, y: Array) -> Array:
    """x / y. Integers truncate towards zero; x / 0 is -1 (all ones if unsigned), and MIN / -1 is MIN."""
    if x.dtype.kind == "f":
        return np.divide(x, y)
    kind = kind_of(x.dtype)
    if kind in "fc":
        return np.divide(x, y)
    if x.dtype.num in NARROW_INTEGER_NUMS:
        return div(*_widened(x, y)).astype(x.dtype)
    return _integer_div(x, y) if kind == "i" else _unsigned_div(x, y)


def _integer_div(x: Array, y: Array) -> Array:
    quotient = np.floor_divide(x, y)
    signs_differ = np.bitwise_xor(x, y) < 0
    if np.count_nonzero(signs_differ):  # a negative quotient that is not exact was rounded down, away from zero
        quotient = quotient + (signs_differ & (np.multiply(quotient, y) != x)).astype(x.dtype)
    return quotient if np.count_nonzero(y) == y.size else np.where(y == 0, x.dtype.type(-1), quotient)


def _unsigned_div(x: Array, y: Array) -> Array:
    quotient = np.floor_divide(x, y)
    return quotient if np.count_nonzero(y) == y.size else np.where(y == 0, ~x.dtype.type(0), quotient)


def rem(x: Array, y: Array) -> Array:
    """What `div` leaves, with the sign of x; x % 0 is x for integers and NaN for floats."""
    if x.dtype.num in NARROW_INTEGER_NUMS:
        return rem(*_widened(x, y)).astype(x.dtype)
    remainder = np.fmod(x, y)
    if kind_of(x.dtype) == "f" or np.count_nonzero(y) == y.size:
        return remainder
    return np.where(y == 0, x, remainder)


def shift_left(x: Array, y: Array) -> Array:
    """x << y; 0 where y is negative or not below the width."""
    if x.dtype.num not in NARROW_INTEGER_NUMS:
        return np.left_shift(x, y)
    x_wide, y_wide = _widened(x, y)
    return np.where(_fits(y_wide, x.dtype), np.left_shift(x_wide, y_wide), x_wide.dtype.type(0)).astype(x.dtype)


def shift_right_arithmetic(x: Array, y: Array) -> Array:
    """x >> y, filling with the top bit, also of unsigned values; all top bits where y is not within the width."""
    if x.dtype.num in NARROW_INTEGER_NUMS:
        x_wide, y_wide = _widened(x, y)
        if kind_of(x.dtype) == "u":
            unused = 8 - BITS[x.dtype]
            x_wide = (x_wide << np.uint8(unused)).view(np.int8) >> np.int8(unused)
            y_wide = y_wide.view(np.int8)
        return np.right_shift(x_wide, y_wide).astype(x.dtype)
    if x.dtype.kind == "i":
        return np.right_shift(x, y)
    signed = SIGNED_OF_SIZE[x.dtype.itemsize]
    return np.right_shift(x.view(signed), y.view(signed)).view(x.dtype)


def shift_right_logical(x: Array, y: Array) -> Array:
    """x >> y, filling with zeros; 0 where y is negative or not below the width."""
    dtype = x.dtype
    if dtype.kind == "u":
        return np.right_shift(x, y)
    if dtype.num not in NARROW_INTEGER_NUMS:
        unsigned = UNSIGNED_OF_SIZE[dtype.itemsize]
        return np.right_shift(x.view(unsigned), y.view(unsigned)).view(dtype)
    mask = np.uint8((1 << BITS[dtype]) - 1)
    shifted = np.right_shift(x.astype(np.int8).view(np.uint8) & mask, y.astype(np.int8).view(np.uint8))
    return shifted.astype(dtype)


def mulhi(x: Array, y: Array) -> Array:
    """The upper half of the product, at twice the width."""
    bits = BITS[x.dtype]
    if bits == 64:
        return _mulhi_64(x, y)
    wide = np.int64 if kind_of(x.dtype) == "i" else np.uint64
    return np.right_shift(np.multiply(x.astype(wide), y.astype(wide)), wide(bits)).astype(x.dtype)


def _mulhi_64(x: Array, y: Array) -> Array:
    """Schoolbook multiplication on 32-bit digits; a negative factor is one of 2**64 more, corrected at the end."""
    a, b = x.view(np.uint64), y.view(np.uint64)
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    a_low, a_high, b_low, b_high = a & low, a >> half, b & low, b >> half
    middle = a_high * b_low + (a_low * b_low >> half)
    high = a_high * b_high + (middle >> half) + ((middle & low) + a_low * b_high >> half)
    if x.dtype.kind == "i":
        high = high - np.where(x < 0, b, np.uint64(0)) - np.where(y < 0, a, np.uint64(0))
    return high.view(x.dtype)


def population_count(x: Array) -> Array:
    """How many bits are set, in two's complement, in x's dtype."""
    return np.bitwise_count(_as_unsigned(x)).astype(x.dtype)


def clz(x: Array) -> Array:
    """How many zero bits come before the first that is set; the width for 0."""
    value, bits = _as_unsigned(x), BITS[x.dtype]
    if bits == 64:
        upper = np.frexp((value >> np.uint64(32)).astype(np.float64))[1]
        lower = np.frexp((value & np.uint64(0xFFFFFFFF)).astype(np.float64))[1]
        length = np.where(upper > 0, upper + 32, lower)
    else:
        length = np.frexp(value.astype(np.float64))[1]
    return np.subtract(bits, length).astype(x.dtype)


def _as_unsigned(x: Array) -> Array:
    if x.dtype.num in NARROW_INTEGER_NUMS:
        return x.astype(np.int8).view(np.uint8) & np.uint8((1 << BITS[x.dtype]) - 1)
    return x.view(UNSIGNED_OF_SIZE[x.dtype.itemsize])


def _widened(x: Array, y: Array) -> tuple[Array, Array]:
    wide = np.int8 if kind_of(x.dtype) == "i" else np.uint8
    return x.astype(wide), y.astype(wide)


def _fits(shift: Array, dtype: np.dtype) -> Array:
    return (shift >= 0) & (shift < BITS[dtype])
