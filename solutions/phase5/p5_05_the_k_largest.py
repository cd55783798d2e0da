"""Write `top_k`: the k largest values of each row, the largest first, and where they are.

- Of equal values the first comes first: its position is the smaller one.
- A NaN counts as larger than everything.
- The positions are int32.

NumPy has no `top_k`. It has a stable sort, but in ascending order only.
"""

import numpy as np


def top_k(x, *, k):
    """The `k` largest values along the last axis of `x`, (rows, n), and their positions: two arrays in a list."""
    # --- solution
    backwards = np.argsort(x[:, ::-1], axis=1, kind="stable")[:, ::-1]
    positions = (x.shape[1] - 1 - backwards[:, :k]).astype(np.int32)
    return [np.take_along_axis(x, positions, axis=1), positions]
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

from jax import lax

from exercises.machinery.checking import expect

title = "The k largest"
minutes = 20
primitives = ("top_k",)
hints = (
    "Reading a sorted row from its end gives the largest first, but of equal values the last. Unless the row was "
    "turned round before it was sorted.",
    '`np.argsort(..., kind="stable")` of `x[:, ::-1]`, read backwards: its numbers count from the end of the row.',
    "Sort the reversed rows by position, reverse the order, keep `k`, and take each from `n - 1`; "
    "`astype(np.int32)`; fetch the values with `np.take_along_axis`.",
)
explanation = """
Negating the values would be the shorter way, and is wrong twice: for the smallest integer, whose negative is
itself, and for NaN, which a sort puts last either way.

XLA's order for `top_k` is a total one, in which +0 is above -0. The package gets it by sorting bit patterns.
"""
mistakes = (
    (
        "negates",
        'np.argsort(x[:, ::-1], axis=1, kind="stable")[:, ::-1]',
        'x.shape[1] - 1 - np.argsort(-x, axis=1, kind="stable")',
        "larger than everything",
    ),
    (
        "last of equals first",
        'np.argsort(x[:, ::-1], axis=1, kind="stable")[:, ::-1]',
        'x.shape[1] - 1 - np.argsort(x, axis=1, kind="stable")[:, ::-1]',
        "Of equal values the first",
    ),
    ("NumPy's dtype", ".astype(np.int32)", "", "dtype: got int64, wanted int32"),
    ("smallest first", "[:, ::-1]\n", "\n", "largest first"),
)


def check(learner):
    random = np.random.default_rng()
    x = random.permutation(24).reshape(3, 8).astype(np.float32) / 4 - 3
    _expect(learner, x, 3, "The largest first.")
    _expect(learner, x, 8, "k may be the whole row: the largest first.")
    _expect(learner, random.integers(0, 3, (3, 9)).astype(np.int32), 5, "Of equal values the first comes first.")
    x[0, 3], x[1, 2:4], x[2, 0] = np.nan, np.nan, -np.inf
    _expect(learner, x, 4, "A NaN counts as larger than everything.")
    lowest = np.array([[5, -(2**31), 7], [-(2**31), 0, 1]], np.int32)
    _expect(learner, lowest, 2, "The smallest integer is its own negative.")


def _expect(learner, x, k, say):
    expect(learner.top_k, x, want=[np.asarray(a) for a in lax.top_k(x, k)], say=say, k=k)
