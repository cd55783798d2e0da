"""Powers, roots, exponentials, logarithms and trigonometry. Imports NumPy and ml_dtypes only.

Floats of ml_dtypes are computed in float32 and rounded once; float16 is what NumPy does in the same way. Results differ
from XLA's by a few units in the last place, as its approximations are its own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .dtypes import FLOAT32, ML_FLOAT_NUMS, NARROW_FLOAT_NUMS, Array

Unary = Callable[[Array], Array]


def _elementwise(compute: Unary, name: str, doc: str, narrow: frozenset[int] = ML_FLOAT_NUMS) -> Unary:
    """`compute`, in float32 for the dtypes in `narrow`."""

    def function(x: Array) -> Array:
        dtype = x.dtype
        return compute(x.astype(FLOAT32)).astype(dtype) if dtype.num in narrow else compute(x)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


exp = _elementwise(np.exp, "exp", "e to the power x.")
exp2 = _elementwise(np.exp2, "exp2", "2 to the power x.")
expm1 = _elementwise(np.expm1, "expm1", "exp(x) - 1, precise near 0.")
log = _elementwise(np.log, "log", "Natural logarithm; -inf at 0, NaN below.")
log2 = _elementwise(np.log2, "log2", "Logarithm to base 2; -inf at 0, NaN below.")
log1p = _elementwise(np.log1p, "log1p", "log(1 + x), precise near 0.")
sin = _elementwise(np.sin, "sin", "Sine of radians.")
cos = _elementwise(np.cos, "cos", "Cosine of radians.")
tan = _elementwise(np.tan, "tan", "Tangent of radians.")
asin = _elementwise(np.arcsin, "asin", "Inverse sine; NaN outside [-1, 1].")
acos = _elementwise(np.arccos, "acos", "Inverse cosine; NaN outside [-1, 1].")
atan = _elementwise(np.arctan, "atan", "Inverse tangent.")
sinh = _elementwise(np.sinh, "sinh", "Hyperbolic sine.")
cosh = _elementwise(np.cosh, "cosh", "Hyperbolic cosine.")
tanh = _elementwise(np.tanh, "tanh", "Hyperbolic tangent.")
asinh = _elementwise(np.arcsinh, "asinh", "Inverse hyperbolic sine.")
acosh = _elementwise(np.arccosh, "acosh", "Inverse hyperbolic cosine; NaN below 1.")
atanh = _elementwise(np.arctanh, "atanh", "Inverse hyperbolic tangent; NaN outside [-1, 1].")
sqrt = _elementwise(np.sqrt, "sqrt", "Square root, correctly rounded; NaN below 0.")
cbrt = _elementwise(np.cbrt, "cbrt", "Cube root, of negative values too.")
rsqrt = _elementwise(
    lambda x: np.reciprocal(np.sqrt(x)), "rsqrt", "1 / sqrt(x); inf at 0, NaN below.", NARROW_FLOAT_NUMS
)
logistic = _elementwise(
    lambda x: np.reciprocal(np.exp(np.negative(x)) + x.dtype.type(1)),
    "logistic",
    "1 / (1 + exp(-x)); of float16, every step rounded to it.",
)


def pow(x: Array, y: Array) -> Array:
    """x to the power y; of floats NaN where x < 0 and y is not whole, and 1 where x is 1 or y is 0 (even with NaN).

    y has x's dtype or is an integer.
    """
    if y.dtype is not x.dtype:
        y = y.astype(x.dtype)
    if x.dtype.num in ML_FLOAT_NUMS:
        return np.power(x.astype(FLOAT32), y.astype(FLOAT32)).astype(x.dtype)
    return np.power(x, y)


def atan2(x: Array, y: Array) -> Array:
    """The angle of the point (y, x), in radians."""
    if x.dtype.num in ML_FLOAT_NUMS:
        return np.arctan2(x.astype(FLOAT32), y.astype(FLOAT32)).astype(x.dtype)
    return np.arctan2(x, y)
