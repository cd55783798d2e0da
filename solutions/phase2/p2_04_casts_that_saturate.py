"""Write `convert_element_type`: what does not fit into an integer becomes the nearest that does.

| Cast | XLA | NumPy's `astype` |
|---|---|---|
| `3e9` to int32 | 2147483647 | undefined: mostly -2147483648 |
| `-1.5` to uint8 | 0 | undefined |
| `nan` to int32 | 0 | undefined |
| `300` (int32) to int8 | 44: integers wrap | 44 |

A float is cut off towards zero. Between integers, and towards floats, `astype` is right.
"""

import numpy as np


def convert_element_type(x, *, new_dtype):
    """`x`, a float32 or integer array, as an array of `new_dtype`: a NumPy dtype of at most 32 bits."""
    # --- solution
    if x.dtype.kind == "f" and new_dtype.kind in "iu":
        limits = np.iinfo(new_dtype)
        x = np.clip(np.nan_to_num(x.astype(np.float64), nan=0.0), limits.min, limits.max)
    return x.astype(new_dtype)
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

import jax.numpy as jnp
from jax import lax

from exercises.machinery.checking import expect

title = "Casts that saturate"
minutes = 15
primitives = ("convert_element_type",)
hints = (
    "Only one of the four directions needs care: from float to integer. There, bring the values into range first.",
    "`dtype.kind` is 'f' for floats, 'i' and 'u' for integers. `np.iinfo` knows the limits, `np.clip` keeps to them, "
    "`np.nan_to_num` deals with NaN. float32 cannot hold 2147483647.",
    "For float to integer: go to float64, `np.nan_to_num(..., nan=0.0)`, `np.clip` to the limits; then `astype` for "
    "all.",
)
explanation = """
C leaves the conversion of a float that is out of range undefined, and NumPy inherits that: the answer depends on the
processor. XLA defines it, on every platform the same.

Why float64: the largest int32, 2147483647, is no float32. Clipping to it in float32 clips to 2147483648, which is one
too many.
"""
mistakes = (
    ("plain astype", "if x.dtype.kind ==", "if False and x.dtype.kind ==", "out of range"),
    ("clips in float32", "x.astype(np.float64)", "x", "out of range"),
    (
        "works in place",
        "np.nan_to_num(x.astype(np.float64), nan=0.0)",
        "np.nan_to_num(x, copy=False, nan=0.0).astype(np.float64)",
        "argument x has changed",
    ),
    ("forgets NaN", "np.nan_to_num(x.astype(np.float64), nan=0.0)", "x.astype(np.float64)", "NaN becomes 0"),
    ("rounds down", "limits.min, limits.max)", "limits.min, limits.max)\n        x = np.floor(x)", "not down"),
    ("rounds", "limits.min, limits.max)", "limits.min, limits.max).round()", "cut off"),
    ("integers saturate too", 'x.dtype.kind == "f" and ', "", "Integers wrap"),
)


def check(learner):
    random = np.random.default_rng()
    for name in ("int32", "int8", "uint8", "uint32"):
        dtype = np.dtype(name)
        x = random.uniform(0, 100, 8).round(1).astype(np.float32)
        _expect(learner, x, dtype, "A float is cut off towards zero, not rounded.")
        _expect(learner, -x, dtype, "A float is cut off towards zero, not down: -1.5 becomes -1.")
        x = np.array([3e9, -3e9, 1e20, 300.0, np.inf, -np.inf], np.float32)
        _expect(learner, x, dtype, "What is out of range becomes the nearest integer that fits. (Is it a float32?)")
        _expect(learner, np.array([np.nan, 1.0], np.float32), dtype, "NaN becomes 0.")
        x = random.integers(-500, 500, 8).astype(np.int32)
        _expect(learner, x, dtype, "Integers wrap: 300 to int8 is 44.")
    _expect(learner, np.arange(4, dtype=np.int32), np.dtype(np.float32), "An integer becomes the float of its value.")


def _expect(learner, x, dtype, say):
    want = np.asarray(lax.convert_element_type(jnp.asarray(x), dtype))
    expect(learner.convert_element_type, x, want=want, say=say, new_dtype=dtype)
