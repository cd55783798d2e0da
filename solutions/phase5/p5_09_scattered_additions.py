"""Write a `scatter_add`: add rows to the rows of an array, each at a position of its own.

`result` is `x` with `updates[k]` added to row `positions[k]`, for every `k`. Two things are easy to get wrong:

- a position may occur twice: both of its updates count;
- a position outside is dropped, with its update. There is no counting from the end: -1 is outside.

A rule never changes its arguments: `x` stays as it is.
"""

import numpy as np


def scatter_add(x, positions, updates):
    """`x`, an (n, m) array, with the rows of `updates`, (k, m), added at the int32 `positions`, (k,)."""
    # --- solution
    inside = (positions >= 0) & (positions < x.shape[0])
    result = np.array(x)
    np.add.at(result, positions[inside], updates[inside])
    return result
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

import jax.numpy as jnp
from jax import lax

from exercises.machinery.checking import expect

title = "Scattered additions"
minutes = 15
primitives = ("scatter-add",)
hints = (
    "Leave out what is outside first. Then think about what `result[positions] += updates` does with a position that "
    "occurs twice.",
    "A mask selects positions and updates alike. Every ufunc has a method `at`, which does not forget repeated "
    "positions.",
    "Copy `x`; with `inside` as the mask of `0 <= positions < n`, use `np.add.at` on the copy with the positions and "
    "updates inside.",
)
explanation = """
`result[positions] += updates` reads all the rows, adds, and writes them back: of two updates to one row, the second
write wins and the first addition is lost. `np.add.at` goes one by one.

A scatter without addition has no such rescue: of several values for one place, one wins, and XLA does not promise
which.
"""
mistakes = (
    (
        "loses repeated positions",
        "np.add.at(result, positions[inside], updates[inside])",
        "result[positions[inside]] += updates[inside]",
        "occurs twice",
    ),
    ("counts from the end", "(positions >= 0) & (positions < x.shape[0])", "positions < x.shape[0]", "-1 is outside"),
    (
        "bounds are NumPy's",
        "(positions >= 0) & (positions < x.shape[0])",
        "positions >= 0",
        "Your code raised IndexError",
    ),
    ("changes its argument", "np.array(x)", "x", "x has changed"),
)


def check(learner):
    random = np.random.default_rng()
    numbers = lax.ScatterDimensionNumbers((1,), (0,), (0,))
    cases = (
        ([3, 0, 4], "Each update is added to the row at its position."),
        ([2, 2, 0, 2], "A position that occurs twice counts twice."),
        ([1, 7, 5, 0], "A position outside is dropped with its update."),
        ([1, -1, 4, -3], "-1 is outside, too: it is dropped."),
    )
    for positions, say in cases:
        x = random.integers(0, 100, (5, 3)).astype(np.int32)
        positions = np.array(positions, np.int32)
        updates = random.integers(1, 9, (len(positions), 3)).astype(np.int32)
        mode = lax.GatherScatterMode.FILL_OR_DROP
        want = lax.scatter_add(jnp.asarray(x), positions[:, None], updates, numbers, mode=mode)
        expect(learner.scatter_add, x, positions, updates, want=want, say=say)
