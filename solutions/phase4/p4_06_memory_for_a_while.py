"""Write the rule for `run_scoped`: a body with memory of its own, new at each entry.

`pl.run_scoped(body, pltpu.VMEM((8,), jnp.float32))` calls `body` with a ref that lives as long as the call. In the
equation, the arguments are what the body captures, and they are the *constants* of `eqn.params["jaxpr"]`. Its
arguments, `jaxpr.invars`, are the refs to make; each has a `shape` and a `dtype`.

`uninitialized(shape, dtype)` makes memory that nobody has written to.
"""

import numpy as np

from pallas_np.phase1 import structure
from pallas_np.phase2 import uninitialized


@structure
def run_scoped(interp, eqn, *captured):
    """The results of the body, in a list."""
    # --- solution
    jaxpr = eqn.params["jaxpr"]
    refs = [uninitialized(ref.shape, ref.dtype) for ref in jaxpr.invars]
    return interp.eval_jaxpr(jaxpr, captured, *refs)
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from exercises.machinery.checking import array_like, expect_kernel
from pallas_np.frontend.primitives import run_scoped_p

title = "Memory for a while"
minutes = 10
primitives = ("run_scoped",)
hints = (
    "It is a call, with two differences: where the constants come from, and where the arguments come from.",
    "`interp.eval_jaxpr(jaxpr, consts, *args)`: the constants are what your rule was given; the arguments are new "
    "arrays, one for each of `jaxpr.invars`.",
    "Make a list with `uninitialized` for every variable in `jaxpr.invars`, and evaluate the jaxpr on it with "
    "`captured` as its constants.",
)
explanation = """
Where a call closes over nothing, a scope closes over the refs around it: they come as constants, and a write to one
is seen outside, for it is the same array.

New at each entry, and poisoned: a body that counts on what the last entry left would work by accident. On a TPU
another scope may have used the memory in between.
"""
mistakes = (
    ("zeros", "uninitialized(ref.shape, ref.dtype)", "np.zeros(ref.shape, ref.dtype)", "got 0.0, wanted nan"),
    (
        "kept from entry to entry",
        "refs = [uninitialized(ref.shape, ref.dtype) for ref in jaxpr.invars]",
        "refs = eqn.params.setdefault('refs', [uninitialized(ref.shape, ref.dtype) for ref in jaxpr.invars])",
        "new at each entry",
    ),
    (
        "captured as arguments",
        "interp.eval_jaxpr(jaxpr, captured, *refs)",
        "interp.eval_jaxpr(jaxpr, jaxpr.consts, *captured, *refs)",
        "Your code raised",
    ),
)


def check(learner):
    rules = {run_scoped_p: learner.run_scoped}
    x = jnp.asarray(np.random.default_rng().standard_normal(4).round(2), jnp.float32)

    def reversed_through_memory(x_ref, out_ref):
        def body(a_ref, b_ref):
            a_ref[...] = x_ref[...] * 2
            b_ref[...] = jax.lax.rev(a_ref[...], (0,))
            out_ref[...] = b_ref[...] + 1

        pl.run_scoped(body, pltpu.VMEM((4,), jnp.float32), pltpu.VMEM((4,), jnp.float32))

    expect_kernel(rules, reversed_through_memory, array_like(x), x)

    def reads_before_it_writes(x_ref, out_ref):
        @pl.loop(0, 4)
        def _(i):
            def body(ref):
                out_ref[i] = ref[0]
                ref[0] = x_ref[i]

            pl.run_scoped(body, pltpu.VMEM((1,), jnp.float32))

    say = "The memory is new at each entry, and nobody has written to it: nan."
    expect_kernel(rules, reads_before_it_writes, array_like(x), x, say=say)
