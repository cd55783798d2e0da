"""Write `select_n`, and a table of rules with it.

A rule is a function of arrays. For most simple operations NumPy has it already: `np.add` is the rule of `lax.add_p`.
`select_n` is what `jnp.where` becomes, and its order of arguments is its own: `select_n(which, *cases)` takes each
element from the case that `which` says, 0 for the first. A boolean `which` counts as 0 and 1.

The table goes from primitive to rule: `lax.add_p`, `lax.sub_p`, `lax.mul_p`, `lax.neg_p`, `lax.lt_p` and
`lax.select_n_p`.
"""

import numpy as np
from jax import lax


def select_n(which, *cases):
    """Each element from `cases[0]`, `cases[1]`, ... as `which` says: an array of booleans or of small integers."""
    # --- solution
    return np.choose(which, cases)
    # --- end


def table():
    """The six rules, as a dictionary from primitive to rule."""
    # --- solution
    return {
        lax.add_p: np.add,
        lax.sub_p: np.subtract,
        lax.mul_p: np.multiply,
        lax.neg_p: np.negative,
        lax.lt_p: np.less,
        lax.select_n_p: select_n,
    }
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

import jax.numpy as jnp

from exercises.machinery.checking import expect, expect_program, require, show

title = "The first rules"
minutes = 10
primitives = ("add", "sub", "mul", "neg", "lt", "select_n")
hints = (
    "Careful with the order: where `which` is false, `select_n` takes the *first* case.",
    "`np.choose(indices, choices)` picks by number. `np.where` picks its *second* argument where the condition is "
    "true.",
    "`np.choose` does all of `select_n`. The table is one dictionary; NumPy's names are subtract, multiply, "
    "negative, less.",
)
explanation = """
`np.where(which, on_true, on_false)` against `select_n(which, on_false, on_true)`: mixing them up gives a program that
runs, with right dtypes and shapes, and answers nonsense. A sort then sorts backwards, at best.

Half the table of phase 2 looks like this: a NumPy function under the name of a primitive. The other half is in
`lax_numpy`, because NumPy's answer is another one there.
"""
mistakes = (
    ("where's order", "np.choose(which, cases)", "np.where(which, cases[0], cases[1])", "first case where"),
    ("only booleans", "np.choose(which, cases)", "np.where(which, cases[1], cases[0])", "more than two cases"),
    ("a rule is missing", "        lax.neg_p: np.negative,\n", "", "neg"),
    ("less or equal", "np.less,", "np.less_equal,", "neither is less"),
    ("asks JAX", "np.choose(which, cases)", "lax.select_n(which, *cases)", "compute with NumPy"),
    ("greater for less", "np.less", "np.greater", "lt"),
)


def check(learner):
    random = np.random.default_rng()
    a, b, c = random.standard_normal((3, 2, 4)).round(2).astype(np.float32)
    which = np.array([[True, False, True, True], [False, False, True, False]])
    say = "select_n takes the first case where `which` is false, the second where it is true."
    expect(learner.select_n, which, a, b, want=lax.select_n(which, a, b), say=say)
    which = random.integers(0, 3, (2, 4), dtype=np.int32)
    which[0, :3] = 0, 1, 2
    expect(learner.select_n, which, a, b, c, want=lax.select_n(which, a, b, c), say="There may be more than two cases.")

    rules = learner.table()
    require(isinstance(rules, dict), f"Tried table()\ngot {show(rules)}, wanted a dictionary: is a `return` missing?")
    for primitive in (lax.add_p, lax.sub_p, lax.mul_p, lax.neg_p, lax.lt_p, lax.select_n_p):
        require(primitive in rules, f"Tried table(): it has no rule for {primitive.name}")

    def program(a, b):
        return jnp.where(a < b, a + b, -a * b) - a

    b[0, 0] = a[0, 0]
    say = "Where both are equal, neither is less than the other."
    expect_program(rules, program, jnp.asarray(a), jnp.asarray(b), say=say)
