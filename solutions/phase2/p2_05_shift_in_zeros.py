"""Write `shift_right_logical`: a shift that fills with zeros, also for negative numbers.

NumPy's `>>` of a signed integer fills with copies of the sign: that is XLA's `shift_right_arithmetic`. The logical
shift takes the same bits as an unsigned number: `-1` shifted by 28 is 15. A shift by the width or more, or
by a negative amount, leaves nothing: 0.
"""

import numpy as np


def shift_right_logical(x, y):
    """`x` shifted to the right by `y` bits; both are int32 arrays of one shape, or both uint32."""
    # --- solution
    return np.right_shift(x.view(np.uint32), y.view(np.uint32)).view(x.dtype)
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

from jax import lax

from exercises.machinery.checking import expect

title = "Shift in zeros"
minutes = 10
primitives = ("shift_right_logical",)
hints = (
    "The sign is only a way to read the top bit. Read the same bits another way, shift, and read them back.",
    "`x.view(dtype)` gives an array of the same bits with another meaning; `x.astype(dtype)` converts the values.",
    "View `x` and `y` as uint32, `np.right_shift` them, and view the result as `x.dtype` again.",
)
explanation = """
A view costs nothing: no element is touched. And viewing the amount as unsigned settles the other question, a negative
amount, on the way: it becomes huge, and NumPy's shift of an unsigned number by the width or more is 0, as XLA's is.
"""
mistakes = (
    (
        "arithmetic shift",
        "np.right_shift(x.view(np.uint32), y.view(np.uint32)).view(x.dtype)",
        "np.right_shift(x, y)",
        "fills with zeros",
    ),
    ("wrong dtype", ".view(x.dtype)", "", "dtype: got uint32, wanted int32"),
    (
        "cuts the amount off",
        "np.right_shift(x.view(np.uint32), y.view(np.uint32))",
        "np.where(y >= 32, np.uint32(0), x.view(np.uint32) >> np.clip(y, 0, 31).view(np.uint32))",
        "negative amount",
    ),
    ("wraps the amount", "y.view(np.uint32)", "y.view(np.uint32) & np.uint32(31)", "the width or more"),
)


def check(learner):
    random = np.random.default_rng()
    x = random.integers(-(2**31), 2**31, (2, 6)).astype(np.int32)
    x[0, :2] = -1, -(2**31)
    y = random.integers(1, 31, (2, 6)).astype(np.int32)
    _expect(learner, x, y, "A logical shift fills with zeros, whatever the sign.")
    _expect(learner, x.view(np.uint32), y.view(np.uint32), "Unsigned numbers stay unsigned.")
    far = np.array([[0, 31, 32, 33, 64, 100], [1, 31, 32, 40, 63, 1000]], np.int32)
    _expect(learner, x, far, "A shift by the width or more leaves 0.")
    _expect(learner, x, -y, "A shift by a negative amount leaves 0.")


def _expect(learner, x, y, say):
    expect(learner.shift_right_logical, x, y, want=np.asarray(lax.shift_right_logical(x, y)), say=say)
