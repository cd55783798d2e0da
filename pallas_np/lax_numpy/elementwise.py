"""Arithmetic, comparisons, selection and rounding, one value at a time. Imports NumPy and ml_dtypes only.

Where NumPy's ufunc is right for every dtype, the function is the ufunc. The others differ from NumPy in signed zeros
(`max`, `min`, `sign`), in integer division, or in int4 and its kin, which ml_dtypes promotes to int8.

Operands have one dtype (of `pow`, the exponent may be an integer) and equal shapes, or are scalars.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence

import ml_dtypes
import numpy as np

from .dtypes import BITS, NARROW_INTEGER_NUMS, SIGNED_OF_SIZE, UNSIGNED_OF_SIZE, Array, kind_of

add = np.add
add_any = np.add
sub = np.subtract
eq = np.equal
ne = np.not_equal
lt = np.less
le = np.less_equal
gt = np.greater
ge = np.greater_equal
is_finite = np.isfinite


def _keeping_dtype(ufunc: np.ufunc, name: str, doc: str) -> Callable[..., Array]:
    """`ufunc`, with the answer brought back to int4 and its kin, which ml_dtypes promotes to int8."""

    def function(x: Array, *rest: Array) -> Array:
        result = ufunc(x, *rest)
        return result if result.dtype is x.dtype else result.astype(x.dtype)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


neg = _keeping_dtype(np.negative, "neg", "-x; the smallest integer is its own negative.")
and_ = _keeping_dtype(np.bitwise_and, "and_", "Bitwise on integers, logical on bools.")
or_ = _keeping_dtype(np.bitwise_or, "or_", "Bitwise on integers, logical on bools.")
xor = _keeping_dtype(np.bitwise_xor, "xor", "Bitwise on integers, logical on bools.")
not_ = _keeping_dtype(np.invert, "not_", "Bitwise on integers, logical on bools.")
floor = _keeping_dtype(np.floor, "floor", "The largest integral value that is not above x; floats only.")
ceil = _keeping_dtype(np.ceil, "ceil", "The smallest integral value that is not below x; floats only.")
square = _keeping_dtype(np.square, "square", "x * x.")


def mul(x: Array, y: Array, out_dtype: np.dtype | None = None) -> Array:
    """x * y; with `out_dtype`, both factors are widened to it first."""
    if out_dtype is None:
        return np.multiply(x, y)
    return np.multiply(x.astype(out_dtype), y.astype(out_dtype))


def abs(x: Array) -> Array:
    """Magnitude; of a complex number, a real one. The smallest integer is its own magnitude."""
    return np.absolute(x).astype(x.dtype) if x.dtype.num in NARROW_INTEGER_NUMS else np.absolute(x)


def sign(x: Array) -> Array:
    """-1, 0 or 1; of a float, its own zero or NaN; of a complex number x / abs(x)."""
    kind = kind_of(x.dtype)
    if kind == "f":
        return np.copysign(np.sign(x), x)
    return np.sign(x).astype(x.dtype) if x.dtype.num in NARROW_INTEGER_NUMS else np.sign(x)


def max(x: Array, y: Array) -> Array:
    """The larger value; NaN if either is NaN; max(0., -0.) is +0. Complex numbers compare by real, then imaginary."""
    return _extremum(np.maximum, np.bitwise_and, x, y)


def min(x: Array, y: Array) -> Array:
    """The smaller value; NaN if either is NaN; min(0., -0.) is -0. Complex numbers compare by real, then imaginary."""
    return _extremum(np.minimum, np.bitwise_or, x, y)


def _extremum(ufunc: np.ufunc, combine_bits: np.ufunc, x: Array, y: Array) -> Array:
    dtype = x.dtype
    if dtype.kind in "iub":
        return ufunc(x, y)
    if dtype.kind == "c":
        return _complex_extremum(np.greater if ufunc is np.maximum else np.less, x, y)
    result = ufunc(x, y)
    if dtype.num in NARROW_INTEGER_NUMS:
        return result.astype(dtype)
    if np.count_nonzero(result) == result.size:
        return result
    # Of 0. and -0. NumPy takes either, by position on x86. Ask both ways round: wherever the two answers differ they
    # are zeros (or NaNs), and the sign bits, taken together, give the zero that is wanted (a NaN stays a NaN).
    bits = SIGNED_OF_SIZE[dtype.itemsize]
    return combine_bits(result.view(bits), ufunc(y, x).view(bits)).view(dtype)


def _complex_extremum(better: np.ufunc, x: Array, y: Array) -> Array:
    """Lexicographic; where NaN makes a comparison false, y."""
    first = np.where(x.real == y.real, better(x.imag, y.imag), better(x.real, y.real))
    return np.where(first, x, y)


def clamp(min: Array, x: Array, max: Array) -> Array:
    """The bounds one after the other, so that clamp(2, 1.5, 1) is 1; NaN if any of the three is NaN."""
    return _extremum(np.minimum, np.bitwise_or, _extremum(np.maximum, np.bitwise_and, x, min), max)


def select_n(which: Array, *cases: Array) -> Array:
    """cases[which]; `which` is bool or int32, a scalar or of the cases' shape, and clamped to the cases there are.

    Where only one case is chosen, the result may be that array itself.
    """
    if which.ndim == 0:
        return cases[builtins.max(0, builtins.min(int(which), len(cases) - 1))]
    if len(cases) == 2:
        pred = which if which.dtype.kind == "b" else which >= 1
        chosen = _only_case(pred, cases)
        return select(pred, cases[1], cases[0]) if chosen is None else chosen
    result = cases[0]
    for position, case in enumerate(cases[1:], start=1):
        result = np.where(which >= position, case, result)
    return result


def _only_case(pred: Array, cases: Sequence[Array]) -> Array | None:
    """The case that is chosen everywhere, if there is one and it has the result's shape."""
    if pred.size == 0 or (first := pred.item(0)) != pred.item(-1):
        return None
    chosen, other = cases[first], cases[not first]
    fits = chosen.shape[-pred.ndim :] == pred.shape and chosen.shape[chosen.ndim - other.ndim :] == other.shape
    return chosen if fits and np.count_nonzero(pred) == pred.size * first else None


_MANY = 2048


def select(pred: Array, on_true: Array, on_false: Array, out: Array | None = None) -> Array:
    """on_true where pred, else on_false: a bool array, and two arrays of one dtype; all broadcast.

    `np.where` branches at each element, which is slow where the processor cannot guess what comes.  Of many elements
    the bits are combined instead: 65,536 of float32 with a random `pred` took 28 µs, and with `np.where` 339 µs.

    Args:
      out: where to write the result, which has its shape and dtype; `None` for a new array.
    """
    shape, dtype = on_false.shape, on_false.dtype
    fits = shape == on_true.shape and shape[-pred.ndim :] == pred.shape and type(on_false) is np.ndarray
    if fits and on_false.size >= _MANY and dtype.itemsize <= 4:
        word = UNSIGNED_OF_SIZE[dtype.itemsize]
        bits = on_false.view(word)
        result = bits ^ on_true.view(word)
        if dtype.kind == "b":
            result &= pred.view(word)
        else:
            result *= pred if pred.size == result.size else pred.astype(word)
        np.bitwise_xor(result, bits, out=result if out is None else out.view(word))
        return result.view(dtype) if out is None else out
    if fits and on_false.size < _MANY and shape == pred.shape:
        result = on_false.copy()
        np.putmask(result, pred, on_true)
    else:
        result = np.where(pred, on_true, on_false)
    if out is None:
        return result
    out[...] = result
    return out


def integer_pow(x: Array, y: int) -> Array:
    """x to the fixed power `y`, by repeated squaring in XLA's order; a negative power of floats is a reciprocal."""
    if y == 2:
        return np.multiply(x, x)
    if y == 0:
        return np.ones_like(x)
    result: Array | None = None
    power, remaining = x, -y if y < 0 else y
    while True:
        if remaining & 1:
            result = power if result is None else np.multiply(result, power)
        remaining >>= 1
        if not remaining:
            break
        power = np.multiply(power, power)
    assert result is not None
    return np.divide(np.ones_like(result), result) if y < 0 else result


def one_minus_square(x: Array) -> Array:
    """1 - x * x, computed as (1 - x) * (1 + x) where that loses less."""
    one = x.dtype.type(1)
    return np.multiply(np.subtract(one, x), np.add(one, x))


def round(x: Array, rounding_method: str) -> Array:
    """To an integral value. `rounding_method` says where halves go: 'away_from_zero' or 'to_nearest_even'."""
    if rounding_method == "to_nearest_even":
        return np.rint(x)
    whole = np.trunc(x)
    half_or_more = np.absolute(np.subtract(x, whole)) >= x.dtype.type(0.5)
    return np.copysign(np.add(np.absolute(whole), half_or_more.astype(x.dtype)), x)


def nextafter(x: Array, y: Array) -> Array:
    """The next value after x on the way to y; y itself where the two are equal."""
    result = np.nextafter(x, y)
    # NumPy's float16 and ml_dtypes give x where the two are equal, which shows in the sign of zeros.
    return np.where(x == y, y, result) if x.dtype.itemsize < 4 else result


def optimization_barrier(*operands: Array) -> list[Array]:
    """The operands themselves."""
    return list(operands)


def stop_gradient(x: Array) -> Array:
    """x itself."""
    return x


def copy(x: Array) -> Array:
    """x itself: values are immutable, so that no copy can be told from it."""
    return x


def reduce_precision(x: Array, exponent_bits: int, mantissa_bits: int) -> Array:
    """x rounded to the nearest float with so many bits, ties to even, in x's own dtype.

    Overflow gives infinity, what would be denormal becomes a zero of the same sign, NaN stays NaN.
    """
    if exponent_bits == 5 and mantissa_bits == 10 and x.dtype == np.float16:
        return x
    return _reduced(x, exponent_bits, mantissa_bits)


def _reduced(x: Array, exponent_bits: int, mantissa_bits: int) -> Array:
    dtype = x.dtype
    info = ml_dtypes.finfo(dtype)
    unsigned = UNSIGNED_OF_SIZE[dtype.itemsize].type
    bits = x.view(unsigned)
    dropped = int(info.nmant) - mantissa_bits
    if dropped > 0:
        last_kept = (bits >> unsigned(dropped)) & unsigned(1)
        bits = bits + (unsigned((1 << (dropped - 1)) - 1) + last_kept)
        bits = bits & ~unsigned((1 << dropped) - 1)
    width = BITS[dtype]
    sign_bit = unsigned(1 << (width - 1))
    magnitude = bits & ~sign_bit
    source_bias = (1 << (width - int(info.nmant) - 2)) - 1
    if (1 << (exponent_bits - 1)) - 1 < source_bias:
        bias = (1 << (exponent_bits - 1)) - 1
        largest = unsigned((source_bias + bias) << int(info.nmant) | ((1 << int(info.nmant)) - 1))
        smallest = unsigned((source_bias - bias + 1) << int(info.nmant))
        infinity = unsigned((2 * source_bias + 1) << int(info.nmant))
        magnitude = np.where(magnitude > largest, infinity, np.where(magnitude < smallest, unsigned(0), magnitude))
    rounded = ((bits & sign_bit) | magnitude).astype(unsigned).view(dtype)
    return np.where(np.isnan(x), x, rounded)


def polynomial(x: Array, *coefficients: Array, unroll: int | None = None) -> Array:
    """coefficients[0] + coefficients[1] * x + ..., by Horner's rule; `unroll` has no bearing on the result."""
    result = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        result = np.add(np.multiply(result, x), coefficient)
    return result if result.shape == np.broadcast_shapes(result.shape, x.shape) else np.broadcast_to(result, x.shape)
