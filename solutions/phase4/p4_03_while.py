"""Write the rule for `while`: two jaxprs, one that asks whether to go on, one that does a step.

The arguments come as one list: the condition's constants, then the body's, then the initial carry. `eqn.params` has

- `cond_jaxpr` and `cond_nconsts`: the condition, and how many of the arguments are its constants; it takes these and
  the carry, and answers with a list of one boolean;
- `body_jaxpr` and `body_nconsts`: the body, likewise; it answers with the next carry, a list.

A constant may be a ref. Then the condition reads what the body has written: another reason to ask again every time.
"""

from pallas_np.phase1 import structure


@structure
def while_loop(interp, eqn, *args):
    """The final carry, in a list."""
    condition, num_condition = eqn.params["cond_jaxpr"], eqn.params["cond_nconsts"]
    body, num_body = eqn.params["body_jaxpr"], eqn.params["body_nconsts"]
    # --- solution
    condition_args = args[:num_condition]
    body_args = args[num_condition : num_condition + num_body]
    carry = args[num_condition + num_body :]
    while interp.eval_jaxpr(condition, condition.consts, *condition_args, *carry)[0]:
        carry = interp.eval_jaxpr(body, body.consts, *body_args, *carry)
    return list(carry)
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

import jax
import jax.numpy as jnp
import numpy as np

from exercises.machinery.checking import SideBySide, array_like, call_of, described, expect_program, same, trying
from pallas_np.frontend.primitives import while_p

title = "While"
minutes = 15
primitives = ("while",)
hints = (
    "Take the arguments apart into three first. Then it is Python's `while`, with a jaxpr in place of the condition.",
    "Slices take the arguments apart. `interp.eval_jaxpr(condition, condition.consts, *its_constants, *carry)[0]` is "
    "the condition's answer.",
    "`while` the condition, evaluated on its constants and the carry, holds: the carry becomes what the body answers "
    "on its own constants and the carry.",
)
explanation = """
With refs among the constants, this simple loop is right where a compiled one has trouble: `interpret=True` turns
refs into values, and the condition of a loop that waits for the body's write reads the old one. Such a loop never
ends there.

A loop that runs no step answers with its initial carry.
"""
mistakes = (
    ("list for a boolean", "*condition_args, *carry)[0]:", "*condition_args, *carry)[0] is True:", "got"),
    (
        "carry stays",
        "carry = interp.eval_jaxpr(body, body.consts, *body_args, *carry)",
        "interp.eval_jaxpr(body, body.consts, *body_args, *carry)",
        "a loop that never ends",
    ),
    (
        "body gets the condition's constants",
        "body_args = args[num_condition : num_condition + num_body]",
        "body_args = args[:num_body]",
        "condition's constants come first",
    ),
    (
        "do while",
        "    while interp.eval_jaxpr(condition",
        "    carry = interp.eval_jaxpr(body, body.consts, *body_args, *carry)\n    while interp.eval_jaxpr(condition",
        "got",
    ),
)


def check(learner):
    rules = {while_p: learner.while_loop}

    def countdown(x):
        return jax.lax.while_loop(lambda x: x > 0, lambda x: x - 3, x)

    def doubled_until(x, limit, step):
        def go_on(carry):
            return carry[1].sum() < limit

        return jax.lax.while_loop(go_on, lambda carry: (carry[0] + step, carry[1] * 2), (0, x))

    expect_program(rules, countdown, 10, say="A loop ends when its condition is false.")
    expect_program(rules, countdown, -5, say="A loop may run no step at all.")
    x = jnp.asarray(np.random.default_rng().integers(1, 5, 3), jnp.int32)
    say = "The condition's constants come first, then the body's, then the carry."
    expect_program(rules, doubled_until, x, jnp.int32(100), jnp.int32(7), say=say)

    def until_the_ref_says_so(x_ref, out_ref):
        out_ref[...] = x_ref[...]

        def step(count):
            out_ref[0] = out_ref[0] - 2
            return count + 1

        out_ref[1] = jax.lax.while_loop(lambda count: out_ref[0] > 0, step, 0)

    x = np.array([9, 0], np.int32)
    tried = described("a kernel whose loop goes on while out_ref[0] > 0", {"x_ref": x})
    with trying(tried):
        got = SideBySide(rules).run(call_of(until_the_ref_says_so, array_like(x), x), x)
    same(got, [np.array([-1, 5], np.int32)], tried)
