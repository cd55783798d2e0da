"""Write `dynamic_slice`: a window of known size, at a position known only at run time. It is always inside.

A window that would reach outside is moved until it fits, along each axis by itself: of 8 elements, 3 from position 7
are those from 5 on; from position -2, those from 0 on. There is no counting from the end.

(That is what a *value* that is sliced does. For refs, we chose to raise.)
"""

import numpy as np


def dynamic_slice(x, *starts, slice_sizes):
    """The window of `slice_sizes` of the array `x` at `starts`: an int32 scalar for each axis."""
    # --- solution
    window = []
    for start, size, length in zip(starts, slice_sizes, x.shape):
        first = min(max(int(start), 0), length - size)
        window.append(slice(first, first + size))
    return x[tuple(window)]
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

from jax import lax

from exercises.machinery.checking import expect

title = "A slice that moves"
minutes = 10
primitives = ("dynamic_slice",)
hints = (
    "The window's size never changes. What is the largest start at which it still fits?",
    "Along each axis the start lies between 0 and `length - size`: `min` and `max`. A tuple of slices indexes all "
    "axes.",
    "For each axis: `start` clamped between 0 and `length - size`, then a slice of `size` from there.",
)
explanation = """
The result's shape has to be known when the program is compiled, so a window cannot shrink at the end, as NumPy's
slices do. XLA moves it, and `dynamic_update_slice` moves likewise when it writes.

In a kernel, a clamped window is nearly always a bug that goes unnoticed, on a CPU that is. So refs raise.
"""
mistakes = (
    ("lets NumPy cut off", "min(max(int(start), 0), length - size)", "max(int(start), 0)", "shape: got"),
    ("counts from the end", "min(max(int(start), 0), length - size)", "min(int(start), length - size)", "got"),
    ("clamps to the last element", "length - size)", "length - 1)", "shape: got"),
)


def check(learner):
    x = np.random.default_rng().integers(0, 100, (5, 8)).astype(np.int32)
    for starts in ((1, 2), (0, 0), (3, 5), (4, 7), (9, 0), (-1, 3), (-7, 40)):
        starts = tuple(map(np.int32, starts))
        for sizes in ((2, 3), (5, 8), (1, 1)):
            say = "A window that would reach outside is moved until it fits; its size stays."
            want = np.asarray(lax.dynamic_slice_p.bind(x, *starts, slice_sizes=sizes))
            expect(learner.dynamic_slice, x, *starts, want=want, say=say, slice_sizes=sizes)
