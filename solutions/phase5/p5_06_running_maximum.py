"""Write `cummax`: the largest value so far, along an axis, from either end.

With `reverse` it runs from the end: each place has the largest value from there on. Once a NaN has been met,
everything after it is NaN. The dtype stays.
"""

import numpy as np


def cummax(x, *, axis, reverse):
    """The running maximum of `x`, float32 or int32, along `axis`."""
    # --- solution
    if reverse:
        return np.flip(cummax(np.flip(x, axis), axis=axis, reverse=False), axis)
    return np.maximum.accumulate(x, axis=axis)
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

from jax import lax

from exercises.machinery.checking import expect

title = "The running maximum"
minutes = 10
primitives = ("cummax",)
hints = (
    "Every NumPy function of two arguments, such as a maximum, has a method that applies it all along an axis.",
    "`np.maximum.accumulate(x, axis=...)`. For the other direction turn the array round, and turn the answer back.",
    "With `reverse`: `np.flip` along the axis, accumulate, `np.flip` again. `np.fmax` would skip NaN; `np.maximum` "
    "keeps it.",
)
explanation = """
`accumulate` belongs to every binary ufunc: `np.add.accumulate` is a running sum, `np.multiply.accumulate` a running
product. Inside they are loops in C, so the axis costs nothing.

A flip is a view with negative strides; neither of the two copies.
"""
mistakes = (
    ("ignores reverse", "    if reverse:\n", "    if False:\n", "from the end"),
    (
        "does not turn back",
        "return np.flip(cummax(np.flip(x, axis), axis=axis, reverse=False), axis)",
        "return cummax(np.flip(x, axis), axis=axis, reverse=False)",
        "from the end",
    ),
    ("skips NaN", "np.maximum.accumulate", "np.fmax.accumulate", "after it is NaN"),
    ("first axis", "np.maximum.accumulate(x, axis=axis)", "np.maximum.accumulate(x)", "axis"),
)


def check(learner):
    random = np.random.default_rng()
    for dtype in (np.int32, np.float32):
        x = random.integers(-99, 99, (4, 6)).astype(dtype)
        for axis in (1, 0):
            say = "It runs along `axis`."
            expect(learner.cummax, x, want=lax.cummax(x, axis), say=say, axis=axis, reverse=False)
            say = "With reverse it runs from the end, and the places stay."
            expect(learner.cummax, x, want=lax.cummax(x, axis, reverse=True), say=say, axis=axis, reverse=True)
    x[1, 2] = x[3, 0] = np.nan
    say = "Once a NaN has been met, everything after it is NaN."
    expect(learner.cummax, x, want=lax.cummax(x, 1), say=say, axis=1, reverse=False)
    expect(learner.cummax, x, want=lax.cummax(x, 1, reverse=True), say=say, axis=1, reverse=True)
