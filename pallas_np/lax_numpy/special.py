"""Error functions, gamma functions and their kin, through SciPy. Imports NumPy and, on first use, SciPy.

`import scipy.special` takes 0.2 s, a third of the time of `import jax`: no kernel that has no use for it waits for it.
Floats of 16 bits and fewer are computed in float32, functions of several operands in float64, and rounded once.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .dtypes import FLOAT32, NARROW_FLOAT_NUMS, Array


def _from_scipy(name: str, scipy_name: str, doc: str) -> Callable[..., Array]:
    """A function of SciPy's by name, looked up when it is first called."""
    ufunc: np.ufunc | None = None

    def function(*operands: Array) -> Array:
        nonlocal ufunc
        if ufunc is None:
            import scipy.special

            ufunc = getattr(scipy.special, scipy_name)
        dtype = operands[0].dtype
        if len(operands) > 1:  # SciPy's incomplete beta function overflows in float32
            return ufunc(*(operand.astype(np.float64) for operand in operands)).astype(dtype)
        if dtype.num in NARROW_FLOAT_NUMS:
            return ufunc(*(operand.astype(FLOAT32) for operand in operands)).astype(dtype)
        return ufunc(*operands)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


erf = _from_scipy("erf", "erf", "The error function.")
erfc = _from_scipy("erfc", "erfc", "1 - erf(x), precise for large x.")
erf_inv = _from_scipy("erf_inv", "erfinv", "The inverse of `erf`: inf at 1, NaN outside [-1, 1].")
bessel_i0e = _from_scipy("bessel_i0e", "i0e", "Modified Bessel function of order 0, times exp(-abs(x)).")
bessel_i1e = _from_scipy("bessel_i1e", "i1e", "Modified Bessel function of order 1, times exp(-abs(x)).")
igamma = _from_scipy("igamma", "gammainc", "Regularised lower incomplete gamma function of (a, x).")
igammac = _from_scipy("igammac", "gammaincc", "Regularised upper incomplete gamma function of (a, x).")
zeta = _from_scipy("zeta", "zeta", "Hurwitz zeta function of (x, q).")
regularized_incomplete_beta = _from_scipy(
    "regularized_incomplete_beta", "betainc", "Regularised incomplete beta function of (a, b, x)."
)

_gammaln = _from_scipy("lgamma", "gammaln", "Like `lgamma`, but -inf at -inf.")
_psi = _from_scipy("digamma", "digamma", "Like `digamma`, but infinite at 0.")


def lgamma(x: Array) -> Array:
    """Logarithm of the magnitude of gamma(x); inf at 0, -1, -2, ... and at both infinities."""
    return np.where(np.isinf(x), np.absolute(x), _gammaln(x))


def digamma(x: Array) -> Array:
    """Derivative of `lgamma`; -inf at both zeros (JAX 0.10: NaN), NaN at -1, -2, ..."""
    return np.where(x == 0, x.dtype.type(-np.inf), _psi(x))


def polygamma(m: Array, x: Array) -> Array:
    """The m-th derivative of `digamma` at x, in x's dtype."""
    import scipy.special

    return scipy.special.polygamma(m.astype(np.float64), x.astype(np.float64)).astype(x.dtype)
