"""Write `div` for int32: XLA's quotient, also where NumPy's is another one.

XLA leaves no integer quotient undefined, and NumPy does not agree with it:

| Quotient | XLA | NumPy's `//` |
|---|---|---|
| `-7 / 2` | -3, rounded towards zero | -4, rounded down |
| `7 / 0` | -1 | 0, and a warning |

A rule answers with an array of the dtype of its inputs.
"""

import numpy as np


def div(x, y):
    """The quotient of two int32 arrays of one shape, as XLA defines it."""
    # --- solution
    quotient = np.trunc(np.divide(x.astype(np.float64), y)).astype(x.dtype)
    return np.where(y == 0, x.dtype.type(-1), quotient)
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

from jax import lax

from exercises.machinery.checking import expect

title = "Integer division"
minutes = 10
primitives = ("div",)
hints = (
    "Two things differ from `//`: which way a quotient is rounded, and what a divisor of zero gives. Treat them apart.",
    "`np.trunc` rounds towards zero. A float64 holds every int32 exactly. `np.where` puts -1 where `y == 0`.",
    "Divide as float64, cut off the fraction with `np.trunc`, go back to `x.dtype`; then choose between that and "
    "`x.dtype.type(-1)`.",
)
explanation = """
XLA's rule is that of the machine (and of C) for the sign, and its own for zero: an instruction that traps would stop
the whole program, so it answers with all bits set, which is -1. The detour over float64 is exact for 32 bits,
not for 64; `lax_numpy.div` divides integers, and puts right the negative quotients that `//` has rounded down.

Mind the dtype: in NumPy 2 a Python `-1` follows the array, but an `np.int64(-1)` widens it.
"""
mistakes = (
    ("rounds down", "np.trunc(", "np.floor(", "rounds towards zero"),
    ("forgets the zero", "np.where(y == 0, x.dtype.type(-1), quotient)", "quotient", "divisor of zero"),
    ("widens", "x.dtype.type(-1)", "np.int64(-1)", "dtype: got int64, wanted int32"),
    ("forgets to return", "return np.where", "np.where", "is a `return` missing?"),
)


def check(learner):
    random = np.random.default_rng()
    x, y = random.integers(-100, 100, (2, 4, 6), dtype=np.int32)
    y[y == 0] = 1
    expect(learner.div, x, y, want=lax.div(x, y), say="XLA's quotient rounds towards zero: -7 / 2 is -3.")
    x, y = np.array([7, -7, 0, 5], np.int32), np.array([0, 0, 0, 2], np.int32)
    expect(learner.div, x, y, want=lax.div(x, y), say="With a divisor of zero, XLA's quotient is -1.")
    x, y = np.array([2**31 - 1, 2**31 - 1, -(2**31)], np.int32), np.array([1, -1, 3], np.int32)
    expect(
        learner.div, x, y, want=lax.div(x, y), say="Large values must not lose digits: float32 is too narrow for int32."
    )
