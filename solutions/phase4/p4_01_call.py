"""Write the rule for a call: a jaxpr inside a jaxpr.

A function under `jax.jit` that is called in a kernel stays a call: one equation, with the function's jaxpr in
`eqn.params["jaxpr"]`. A rule for it evaluates that jaxpr on the equation's arguments.

It is a structure rule. `interp.eval_jaxpr(jaxpr, consts, *args)` evaluates with the interpreter that is running, with
its table and its place in the grid; a jaxpr's own constants are in `jaxpr.consts`.
"""

from pallas_np.phase1 import structure


@structure
def call(interp, eqn, *args):
    """The results of the function that is called, in a list."""
    # --- solution
    jaxpr = eqn.params["jaxpr"]
    return interp.eval_jaxpr(jaxpr, jaxpr.consts, *args)
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl

from exercises.machinery.checking import SideBySide, array_like, call_of, described, expect_program, same, trying
from pallas_np.frontend.primitives import jit_p

title = "A call"
minutes = 5
primitives = ("jit",)
hints = (
    "The interpreter that is running your rule can evaluate any jaxpr. Which one, and on what?",
    "`interp.eval_jaxpr` takes the jaxpr, its constants and the arguments one by one; it answers with a list, as "
    "your rule is to do.",
    'Take `eqn.params["jaxpr"]`, and hand its `consts` and your `*args` to `interp.eval_jaxpr`.',
)
explanation = """
Why not `phase3.eval_jaxpr`? It would make a new interpreter: one with phase 3's table, which does not know where in
the grid it is. Inside a called function `program_id` would fail, and a later phase's rules would be forgotten.

`jnp.where`, `jnp.clip` and many others are jitted functions, so calls are everywhere. The same rule serves
`custom_jvp`, `custom_vjp` and `remat`: to whoever only wants the values, each is a call.
"""
mistakes = (
    (
        "an interpreter of its own",
        "interp.eval_jaxpr(jaxpr, jaxpr.consts, *args)",
        "type(interp)(interp.rules).eval_jaxpr(jaxpr, jaxpr.consts, *args)",
        "Your code raised",
    ),
    (
        "one result",
        "interp.eval_jaxpr(jaxpr, jaxpr.consts, *args)",
        "interp.eval_jaxpr(jaxpr, jaxpr.consts, *args)[0]",
        "several results",
    ),
    ("one argument", "*args)\n", "args)\n", "Your code raised"),
)


def check(learner):
    rules = {jit_p: learner.call}
    x = jnp.asarray(np.random.default_rng().standard_normal(4).round(2), jnp.float32)

    @jax.jit
    def two_results(x, y):
        return x - y, jax.jit(jnp.negative)(x * y)

    def program(x):
        return two_results(x, x + 1.0)

    expect_program(rules, program, x)

    @jax.jit
    def place(x):
        return x + pl.program_id(0)

    def kernel(x_ref, out_ref):
        out_ref[...] = place(x_ref[...])

    spec = pl.BlockSpec((1,), lambda i: (i,))
    tried = described("a kernel that calls a jitted function, which asks for program_id, over a grid of 4", {"x": x})
    with trying(tried):  # interpret=True itself cannot run this one
        call = call_of(kernel, array_like(x), x, grid=(4,), in_specs=[spec], out_specs=spec)
        got = SideBySide(rules).run(call, np.asarray(x))
    same(got, [np.asarray(x) + np.arange(4, dtype=np.float32)], tried)
