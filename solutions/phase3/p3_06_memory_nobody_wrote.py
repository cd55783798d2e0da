"""Make memory that nobody has written to yet, so that using it shows.

Outputs and scratch begin uninitialised. Zeros would hide the kernel that forgets to write; so fill them with NaN,
or, in an array of integers, with the smallest integer of the dtype. Booleans have neither: False.

The dtypes that NumPy itself does not have, such as bfloat16, come from `ml_dtypes`; `np.iinfo` and `np.issubdtype` do
not know them, `ml_dtypes.iinfo` knows both kinds of integer and raises a `ValueError` for what is none.
"""

import ml_dtypes
import numpy as np


def uninitialized(shape, dtype):
    """An array of this shape and dtype that is filled with poison."""
    # --- solution
    dtype = np.dtype(dtype)
    if dtype == np.bool_:
        return np.zeros(shape, dtype)
    try:
        poison = ml_dtypes.iinfo(dtype).min
    except ValueError:
        poison = np.nan
    return np.full(shape, poison, dtype)
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

from exercises.machinery.checking import expect

title = "Memory nobody wrote"
minutes = 10
hints = (
    "Three kinds of dtype, three kinds of poison. Ask for the integers first, and treat what is none as a float.",
    "`ml_dtypes.iinfo(dtype).min` in a `try`; a `ValueError` means that NaN is right. Booleans come before both.",
    "`np.full` fills with one value; the poison is False, `ml_dtypes.iinfo(dtype).min` or `np.nan`.",
)
explanation = """
The padding of a ragged block is made the same way. JAX's `interpret=True` uses the same values, the TPU interpreter
the integer maximum.

In float8 and other dtypes of `ml_dtypes`, NaN may exist or not; where it does not, filling with it gives something
else that is conspicuous. What must never happen is that poison looks like a result.
"""
mistakes = (
    ("zeros", "return np.full(shape, poison, dtype)", "return np.zeros(shape, dtype)", "NaN"),
    ("nan everywhere", "poison = ml_dtypes.iinfo(dtype).min", "poison = 0", "smallest integer"),
    ("NumPy's iinfo", "ml_dtypes.iinfo(dtype).min", "np.iinfo(dtype).min", "int4"),
    ("the largest", "ml_dtypes.iinfo(dtype).min", "ml_dtypes.iinfo(dtype).max", "smallest integer"),
)


def check(learner):
    for dtype, poison in (
        (np.float32, np.nan),
        (ml_dtypes.bfloat16, np.nan),
        (np.int32, -(2**31)),
        (np.uint8, 0),
        (ml_dtypes.int4, -8),
        (np.bool_, False),
    ):
        say = "Floats hold NaN, integers the smallest integer of their dtype, booleans False."
        expect(learner.uninitialized, (2, 3), np.dtype(dtype), want=np.full((2, 3), poison, dtype), say=say)
