"""Write the rule for `cond`: run one branch, and no other.

`lax.cond`, `lax.switch` and `pl.when` all become `cond`. Its first argument is the number of the branch; the others
are what the branch gets. `eqn.params["branches"]` are jaxprs, each with its own `consts`. A `lax.cond` has two,
with the one for False first.

A number that is too small or too large is XLA's business, too: it takes the first or the last branch.
"""

from pallas_np.phase1 import structure


@structure
def cond(interp, eqn, index, *args):
    """The results of the branch that `index` says, in a list."""
    # --- solution
    branches = eqn.params["branches"]
    branch = branches[min(max(int(index), 0), len(branches) - 1)]
    return interp.eval_jaxpr(branch, branch.consts, *args)
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl

from exercises.machinery.checking import array_like, described, expect_kernel, expect_program, jaxpr_of, same, trying
from pallas_np import phase5
from pallas_np.frontend.primitives import cond_p

title = "One branch of several"
minutes = 10
primitives = ("cond",)
hints = (
    "A tuple of branches and a number. What does Python do with a negative index, and with one that is too large?",
    "`min` and `max` keep the number between 0 and `len(branches) - 1`. The branch is a jaxpr: `interp.eval_jaxpr`.",
    "Clamp `int(index)`, take that branch, evaluate it with its own `consts` on `*args`.",
)
explanation = """
Only one branch runs, which for a branch that writes to refs is not a matter of speed: `pl.when` is a `cond` whose
other branch does nothing. Under `vmap` JAX has to run both and select; here there is no need.

Python's `branches[-1]` would quietly be the last branch, where XLA takes the first.
"""
mistakes = (
    ("no clamp", "min(max(int(index), 0), len(branches) - 1)", "int(index)", "Your code raised IndexError"),
    (
        "counts from the end",
        "min(max(int(index), 0), len(branches) - 1)",
        "min(int(index), len(branches) - 1)",
        "the first or the last",
    ),
    (
        "branches the wrong way round",
        'branches = eqn.params["branches"]',
        'branches = eqn.params["branches"][::-1]',
        "got",
    ),
    (
        "runs all",
        "return interp.eval_jaxpr(branch, branch.consts, *args)",
        "return [interp.eval_jaxpr(b, b.consts, *args) for b in branches][branches.index(branch)]",
        "got",
    ),
)


def check(learner):
    rules = {cond_p: learner.cond}
    random = np.random.default_rng()
    x = jnp.asarray(np.sort(random.permutation(24)[:4] / 4 - 3), jnp.float32)

    def two_ways(x):
        return jax.lax.cond(x[0] > x[1], lambda x: x * 2, lambda x: x - 1, x)

    expect_program(rules, two_ways, x)
    expect_program(rules, two_ways, x[::-1])

    def kernel(x_ref, out_ref):
        out_ref[...] = x_ref[...]

        @pl.when(x_ref[0] > x_ref[1])
        def _():
            out_ref[...] = -x_ref[...]

    expect_kernel(rules, kernel, array_like(x), x, say="Only the branch that is taken may write.")
    expect_kernel(rules, kernel, array_like(x), x[::-1], say="Only the branch that is taken may write.")

    def by_number(index, x):
        return jax.lax.switch(index, [lambda x: x * 2, lambda x: x - 1, lambda x: -x], x)

    for index in (0, 1, 2):
        expect_program(rules, by_number, jnp.int32(index), x)
    jaxpr = jaxpr_of(by_number, jnp.int32(0), x)
    eqn = next(e for e in jaxpr.eqns if e.primitive is cond_p)  # `switch` clamps before it: so call the rule itself
    interp = phase5.Interpreter(phase5.numpy_rules)
    for index, branch in ((7, 2), (-1, 0), (-5, 0)):
        tried = described("cond with three branches", {"index": index, "x": x})
        with trying(tried):
            got = learner.cond(interp, eqn, np.int32(index), np.asarray(x))
        want = interp.eval_jaxpr(eqn.params["branches"][branch], (), np.asarray(x))
        same(got, want, tried, "A number that is out of range takes the first or the last branch.")
