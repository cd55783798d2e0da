"""Write the rule for the simpler kind of `scan`: a number of steps, and a carry.

`fori_loop` and `pl.loop` with known bounds become a `scan` whose body takes some constants and a carry, and answers
with the next carry. `eqn.params` has `jaxpr`, the body; `length`, the number of steps; and `num_consts`, how many
of the arguments are constants. The rest of them are the initial carry.

A ref among the constants is a NumPy array that the body writes in place: nothing is to be done about it.
"""

from pallas_np.phase1 import structure


@structure
def loop(interp, eqn, *args):
    """The final carry, in a list."""
    body, length, num_consts = eqn.params["jaxpr"], eqn.params["length"], eqn.params["num_consts"]
    # --- solution
    consts, carry = args[:num_consts], list(args[num_consts:])
    for _ in range(length):
        carry = interp.eval_jaxpr(body, body.consts, *consts, *carry)
    return carry
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl

from exercises.machinery.checking import array_like, expect_kernel, expect_program
from pallas_np.frontend.primitives import scan_p

title = "A loop with a carry"
minutes = 10
primitives = ("scan",)
hints = (
    "A `for` with nothing but the carry going from step to step.",
    "`args[:num_consts]` are the same in every step; what `interp.eval_jaxpr` answers is the carry of the next one.",
    "Split the arguments in two; in each of `length` steps the carry becomes the body's answer on constants and carry.",
)
explanation = """
The body knows in which step it is because the step number is part of the carry: `fori_loop` puts it there.

In phase 3 JAX ran this loop. The contents of each ref went into it as values and came back at the end; now the body
finds the same NumPy array that is outside.
"""
mistakes = (
    (
        "starts over in each step",
        "carry = interp.eval_jaxpr(body, body.consts, *consts, *carry)",
        "result = interp.eval_jaxpr(body, body.consts, *consts, *args[num_consts:])\n    carry = result",
        "step before",
    ),
    ("one step too many", "range(length)", "range(length + 1)", "got"),
    ("drops the constants", "*consts, *carry)", "*carry)", "Your code raised"),
)


def check(learner):
    rules = {scan_p: learner.loop}
    x = jnp.asarray(np.random.default_rng().integers(1, 9, 4), jnp.int32)

    def growing(x):
        return jax.lax.fori_loop(0, 5, lambda i, x: x * 2 + i, x)

    def fibonacci(a, b, step):
        return jax.lax.fori_loop(0, 6, lambda i, pair: (pair[1], pair[0] + pair[1] * step), (a, b))

    expect_program(rules, growing, x, say="Each step gets the carry that the step before answered with.")
    expect_program(rules, fibonacci, jnp.int32(1), jnp.int32(1), jnp.int32(2))

    def kernel(x_ref, out_ref):
        out_ref[...] = x_ref[...]

        @pl.loop(1, 4)
        def _(i):
            out_ref[i] = out_ref[i] + out_ref[i - 1] * pl.num_programs(0)

    expect_kernel(rules, kernel, array_like(x), x, grid=(1,))
