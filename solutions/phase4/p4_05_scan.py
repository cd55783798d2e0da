"""Write the rule for `scan`, with what it stacks up and with `reverse`.

A `scan` runs its body `length` times. The body takes the constants, the carry, and from each of the arrays `xs` one
row; it answers with the new carry, and one row for each of the arrays `ys`.

The operands come as one list: the constants, then the initial carry, then the arrays `xs`. `eqn.params` has

- `jaxpr`: the body, with its own constants in `jaxpr.consts`;
- `length`: how often it runs;
- `reverse`: whether it goes through the rows from the last to the first (the rows of `ys` have the same places as those
  of `xs`);
- `num_consts` and `num_carry`: how many of the operands are constants and carry.

`eqn.outvars` are the variables of the final carry and of `ys`; each has a `shape` and a `dtype`.
`interp.eval_jaxpr(jaxpr, consts, *args)` evaluates the body and answers with a list.
"""

import numpy as np

from pallas_np.phase1 import structure


@structure
def scan(interp, eqn, *args):
    """The final carry and the arrays `ys`, in one list."""
    body, length, reverse = eqn.params["jaxpr"], eqn.params["length"], eqn.params["reverse"]
    num_consts, num_carry = eqn.params["num_consts"], eqn.params["num_carry"]
    consts, carry, xs = args[:num_consts], args[num_consts : num_consts + num_carry], args[num_consts + num_carry :]
    # --- solution
    ys = [np.empty(var.shape, var.dtype) for var in eqn.outvars[num_carry:]]
    for i in reversed(range(length)) if reverse else range(length):
        results = interp.eval_jaxpr(body, body.consts, *consts, *carry, *(x[i] for x in xs))
        carry = results[:num_carry]
        for y, row in zip(ys, results[num_carry:]):
            y[i] = row
    return [*carry, *ys]
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

import jax
import jax.numpy as jnp

from exercises.machinery.checking import expect_program
from pallas_np.frontend.primitives import scan_p

title = "Scan, whole"
minutes = 20
primitives = ("scan",)
hints = (
    "A `for` over the row numbers; what changes with `reverse` is only the order in which it goes through them.",
    "Make each array of `ys` before the loop with `np.empty(var.shape, var.dtype)`, for `var` in "
    "`eqn.outvars[num_carry:]`. In the loop, `interp.eval_jaxpr` gives new carry and rows in one list.",
    "Call the body with the constants, the carry and `x[i]` of every array; the first `num_carry` results are the "
    "next carry, each of the others goes to row `i` of its `y`.",
)
explanation = """
XLA has to compile the loop, carry included, before the first step runs; here a loop is a loop. The row numbers carry
the whole of `reverse`: rows of `ys` keep the places of the rows of `xs` they came from.

`fori_loop` with a fixed number of steps is a `scan` without `xs` and `ys`, `jax.lax.map` one without a carry.
"""
mistakes = (
    ("ignores reverse", "reversed(range(length)) if reverse else range(length)", "range(length)", "from the last"),
    ("keeps the old carry", "carry = results[:num_carry]", "results[:num_carry]", "the last step's"),
    ("appends in running order", "y[i] = row", "y[length - 1 - i if reverse else i] = row", "from the last"),
    ("returns the carry alone", "return [*carry, *ys]", "return [*carry]", "got 1 results, wanted 2"),
)


def check(learner):
    rules = {scan_p: learner.scan}
    random = np.random.default_rng()
    xs = jnp.asarray(random.integers(-9, 9, (5, 2), dtype=np.int32))

    def running_sum(xs):
        return jax.lax.scan(lambda total, x: (total + x, total * 2), jnp.zeros(2, jnp.int32), xs)

    def last_difference(xs):
        return jax.lax.scan(lambda before, x: (x, x - before), xs[0], xs, reverse=True)

    def powers(x):
        return jax.lax.fori_loop(0, 4, lambda i, power: power * x + i, jnp.ones_like(x))

    def rows_times(xs, factor):
        return jax.lax.map(lambda row: row.sum() * factor, xs)

    expect_program(rules, running_sum, xs, say="The carry that comes out is the last step's, not the first's.")
    expect_program(rules, powers, xs, say="Here nothing is stacked: no xs, no ys, only a carry.")
    expect_program(rules, rows_times, xs, jnp.int32(3), say="Here there is no carry: only constants, xs and ys.")
    say = "With reverse, the rows are taken from the last to the first, and row i of xs gives row i of ys."
    expect_program(rules, last_difference, xs, say=say)
    pair = {"a": xs, "b": xs + 1}

    def two_of_each(pair):
        return jax.lax.scan(lambda c, x: ((c[1], c[0] + x["a"]), (x["b"], c[0])), (xs[0], xs[1]), pair)

    expect_program(rules, two_of_each, pair, say="There may be several carries, xs and ys.")
