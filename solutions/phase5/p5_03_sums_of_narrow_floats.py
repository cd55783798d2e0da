"""Write `reduce_sum` so that a sum of 4096 ones is 4096, in bfloat16, too.

bfloat16 has 8 significant bits: 256 + 1 is 256 again, and NumPy, adding one after the other in bfloat16, never gets
further. XLA adds narrow floats up in float32 and rounds once, at the end.

The other dtypes have a trap of their own: `np.sum` of int32 answers in int64. A sum has the dtype of what is summed;
integers wrap.
"""

import numpy as np


def reduce_sum(x, *, axes):
    """The sum along the axes, a tuple; of the dtype of `x`: a float of 16 or 32 bits, or an integer."""
    # --- solution
    wide = np.float32 if x.dtype.itemsize == 2 and x.dtype.kind not in "iu" else x.dtype
    return np.sum(x, axis=axes, dtype=wide).astype(x.dtype)
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

import jax.numpy as jnp
import ml_dtypes
from jax import lax

from exercises.machinery.checking import described, same, trying

title = "Sums of narrow floats"
minutes = 10
primitives = ("reduce_sum",)
hints = (
    "The dtype in which one adds need not be the dtype of the answer.",
    "`np.sum` takes `axis`, which may be a tuple, and `dtype`, in which it adds. `x.dtype.itemsize` is 2 for float16 "
    'and bfloat16; bfloat16\'s `kind` is no "f", so ask what it is not.',
    'Choose float32 for two-byte dtypes that are no integers (kinds "i" and "u"), else `x.dtype`; sum in that; then '
    "`astype(x.dtype)`.",
)
explanation = """
The error of adding in bfloat16 is not a matter of the last digit: from 256 on nothing is added any more. The mean of
a large array comes out as nearly zero.

The same holds for running sums and for matrix products; all of them accumulate in float32. The order of additions
differs between NumPy and XLA, so that float32 sums agree only up to rounding.
"""
mistakes = (
    ("adds in bfloat16", "dtype=wide", "dtype=x.dtype", "256"),
    ("NumPy's choice", ", dtype=wide).astype(x.dtype)", ")", "got"),
    ("stays wide", ".astype(x.dtype)", "", "dtype: got float32"),
    ("float32 for all", "dtype=wide", "dtype=np.float32", "Integers"),
    ("all axes", "axis=axes", "axis=None", "shape: got"),
)


def check(learner):
    random = np.random.default_rng()
    ones = np.ones((2, 4096), ml_dtypes.bfloat16)
    _sums(learner, ones, (1,), "Added in bfloat16, a sum of ones stops at 256: add in float32.")
    _sums(learner, np.full((4096,), 1.0, np.float16) * np.float16(3), (0,), "float16 is narrow, too.")
    _sums(
        learner, random.standard_normal((3, 4, 5)).round(2).astype(np.float32), (0, 2), "Float32 is summed in float32."
    )
    _sums(learner, random.integers(-99, 99, (3, 4)).astype(np.int32), (0,), "A sum of int32 is an int32.")
    _sums(learner, np.full((400,), 100, np.int16), (0,), "Integers wrap in their own dtype.")
    large = random.integers(2**24, 2**25, (3, 4)).astype(np.int32)
    _sums(learner, large, (0,), "Integers are added as integers: float32 has 24 bits for their digits, int32 has 31.")


def _sums(learner, x, axes, say):
    tried = described(f"reduce_sum(x, axes={axes})", {"x": x})
    with trying(tried):
        got = learner.reduce_sum(x, axes=axes)
    want = np.asarray(lax.reduce_sum_p.bind(jnp.asarray(x), axes=axes, out_sharding=None))
    same(got, want, tried, say, tolerance=1e-5 if x.dtype == np.float32 else 0)
