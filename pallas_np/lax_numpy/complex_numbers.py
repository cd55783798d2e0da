"""Complex numbers from their parts and back. Imports NumPy only. Parts may be views of the operand."""

from __future__ import annotations

import numpy as np

from .dtypes import FLOAT32, Array


def complex(x: Array, y: Array) -> Array:
    """x + yi: complex64 of float32 parts, complex128 of float64 ones."""
    result = np.empty(np.broadcast_shapes(x.shape, y.shape), np.complex64 if x.dtype is FLOAT32 else np.complex128)
    result.real = x
    result.imag = y
    return result


def real(x: Array) -> Array:
    """The real part."""
    return x.real


def imag(x: Array) -> Array:
    """The imaginary part."""
    return x.imag


def conj(x: Array) -> Array:
    """x with its imaginary part negated; a real x becomes complex."""
    return np.conjugate(x) if x.dtype.kind == "c" else complex(x, np.zeros_like(x))
