"""Write `sort` for float32 rows that bring other arrays along: stable, and NaN last.

XLA's `sort` takes several operands of one shape. The first is the key; all are reordered alike, along `dimension`.
What it promises, and what NumPy has to be asked for:

- it is stable: equal keys keep their order, so that what goes along with them does;
- `-0.0` and `+0.0` are equal keys;
- every NaN comes after every number.
"""

import numpy as np


def sort(*operands, dimension):
    """The operands in a list, all in the order that sorts the first along `dimension`."""
    # --- solution
    order = np.argsort(operands[0], axis=dimension, kind="stable")
    return [np.take_along_axis(operand, order, axis=dimension) for operand in operands]
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

import jax.numpy as jnp
from jax import lax

from exercises.machinery.checking import expect, expect_program
from pallas_np.frontend.primitives import lax_primitive

title = "Sort, with what goes along"
minutes = 10
primitives = ("sort",)
hints = (
    "Find the order first; then bring every operand into it.",
    "`np.argsort` answers with the order, but is not stable unless told so. `np.take_along_axis` applies it.",
    '`np.argsort(key, axis=dimension, kind="stable")`; then a list with `np.take_along_axis` of each operand.',
)
explanation = """
For float32, NumPy's stable sort agrees with XLA about NaN and zeros. It does not for bfloat16: ml_dtypes compares
there, NaN is neither smaller nor larger than anything, and the sort leaves it anywhere. `lax_numpy.sort` turns such
keys into 16-bit integers in the right order first, and gains NumPy's radix sort, several times faster, on the way.

`num_keys` larger than one wants `np.lexsort`, which takes the most important key last.
"""
mistakes = (
    ("not stable", ', kind="stable")', ")", "stable"),
    (
        "sorts each by itself",
        "np.take_along_axis(operand, order, axis=dimension)",
        "np.sort(operand, dimension)",
        "alike",
    ),
    ("always the last axis", "axis=dimension, kind", "axis=-1, kind", "dimension"),
    (
        "a single array",
        "return [np.take_along_axis(operand, order, axis=dimension) for operand in operands]",
        "return np.take_along_axis(operands[0], order, axis=dimension)",
        "wanted a list",
    ),
)


def check(learner):
    random = np.random.default_rng()
    keys = random.permutation(24).reshape(3, 8).astype(np.float32) / 4 - 3
    _expect(learner, keys, dimension=1, say="")
    _expect(learner, keys, random.integers(0, 9, (3, 8)).astype(np.int32), dimension=1, say="All operands move alike.")
    _expect(learner, keys, keys.round(), dimension=0, say="It is to sort along `dimension`, here the first.")
    keys[:, ::3] = np.nan
    keys[0, 1], keys[1, :4] = np.inf, (-0.0, 0.0, -0.0, np.nan)
    _expect(
        learner,
        keys,
        np.arange(24, dtype=np.int32).reshape(3, 8),
        dimension=1,
        say="NaN comes last, -0 equals +0, and the sort is stable.",
    )
    keys = random.integers(0, 3, (2, 300)).astype(np.float32)
    say = "The sort must be stable: equal keys keep their order."
    _expect(learner, keys, np.arange(600, dtype=np.int32).reshape(2, 300), dimension=1, say=say)

    def argsort(x):
        return jnp.argsort(x, axis=1)

    def rule(*operands, dimension, num_keys):
        return learner.sort(*operands, dimension=dimension)

    expect_program({lax_primitive("sort"): rule}, argsort, jnp.asarray(keys), say=say)


def _expect(learner, *operands, dimension, say):
    want = lax.sort(operands, dimension=dimension, is_stable=True, num_keys=1)
    expect(learner.sort, *operands, want=[np.asarray(w) for w in want], say=say, dimension=dimension)
