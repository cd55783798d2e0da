"""Exercise 4.1: A call (5 minutes)

Write the rule for a call: a jaxpr inside a jaxpr.

A function under `jax.jit` that is called in a kernel stays a call: one equation, with the function's jaxpr in
`eqn.params["jaxpr"]`. A rule for it evaluates that jaxpr on the equation's arguments.

It is a structure rule. `interp.eval_jaxpr(jaxpr, consts, *args)` evaluates with the interpreter that is running, with
its table and its place in the grid; a jaxpr's own constants are in `jaxpr.consts`.

    pytest exercises/phase4/p4_01_call.py
    python -m exercises hint 4.1
"""

from pallas_np.phase1 import structure


@structure
def call(interp, eqn, *args):
    """The results of the function that is called, in a list."""
    # Your turn: about 2 lines.
    raise NotImplementedError("your turn")


# Generated; unedited as long as this fits: f9018778
