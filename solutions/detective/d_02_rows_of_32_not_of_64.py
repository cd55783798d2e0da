"""Find the fault: this interpreter sorts rows of 32, and leaves rows of 64 unsorted.

Below are rules for control flow, in place of phase 5's. No row that has 32 elements or fewer comes out wrong, in any
order, in any dtype. Rows of 64 or more do; nothing raises, and no element is lost.

Run this file to see it. One thing is wrong. What does the kernel do from 64 on that it does not do before?
`pallas_np/kernels/bitonic.py` has it.
"""

import jax.numpy as jnp
import numpy as np

from pallas_np import frontend, kernels, phase5
from pallas_np.frontend import primitives
from pallas_np.phase1 import structure


@structure
def call(interp, eqn, *args):
    jaxpr = eqn.params["jaxpr"]
    return interp.eval_jaxpr(jaxpr, jaxpr.consts, *args)


@structure
def cond(interp, eqn, index, *args):
    branches = eqn.params["branches"]
    branch = branches[min(max(int(index), 0), len(branches) - 1)]
    return interp.eval_jaxpr(branch, branch.consts, *args)


@structure
def while_loop(interp, eqn, *args):
    condition, num_condition = eqn.params["cond_jaxpr"], eqn.params["cond_nconsts"]
    body, num_body = eqn.params["body_jaxpr"], eqn.params["body_nconsts"]
    condition_args, args = args[:num_condition], args[num_condition:]
    body_args, carry = args[:num_body], args[num_body:]
    while interp.eval_jaxpr(condition, condition.consts, *condition_args, *carry)[0]:
        carry = interp.eval_jaxpr(body, body.consts, *body_args, *carry)
    return list(carry)


@structure
def scan(interp, eqn, *args):
    body, length = eqn.params["jaxpr"], eqn.params["length"]
    num_consts, num_carry = eqn.params["num_consts"], eqn.params["num_carry"]
    unchanging, xs = args[: num_consts + num_carry], args[num_consts + num_carry :]
    carry = unchanging[num_consts:]
    ys = [np.empty(var.shape, var.dtype) for var in eqn.outvars[num_carry:]]
    for i in reversed(range(length)) if eqn.params["reverse"] else range(length):
        # --- solution
        results = interp.eval_jaxpr(body, body.consts, *args[:num_consts], *carry, *(x[i] for x in xs))
        # --- planted
        # results = interp.eval_jaxpr(body, body.consts, *unchanging, *(x[i] for x in xs))
        # --- end
        carry = results[:num_carry]
        for y, row in zip(ys, results[num_carry:]):
            y[i] = row
    return [*carry, *ys]


numpy_rules = {
    **phase5.numpy_rules,
    primitives.jit_p: call,
    primitives.cond_p: cond,
    primitives.while_p: while_loop,
    primitives.scan_p: scan,
}


def run(kernel_call, *arrays):
    return phase5.Interpreter(numpy_rules).run(kernel_call, *arrays)


pallas_call = frontend.pallas_call_on(frontend.Engine("the suspect", run))


if __name__ == "__main__":
    for length in (32, 64):
        keys = jnp.arange(length)[None, ::-1]
        print("keys  ", keys)
        print("sorted", kernels.bitonic_sort(keys, pallas_call=pallas_call))


# === The workbook's part: not in the exercise file ===================================================================

import jax

from exercises.machinery import capstones
from exercises.machinery.checking import described, expect_program, same, trying

title = "Rows of 32, but not of 64"
minutes = 20
primitives = ("scan",)
hints = (
    "The stages of the sort up to rows of 16 are unrolled. The next is the first step of a loop, and rows of 64 are "
    "the first that need a second step.",
    "Print the step number in each step of the loop: it is part of the carry of a `scan`. Does it grow?",
    "The variable `unchanging` holds more than does not change. Give the body the constants alone, and then the carry.",
)
explanation = """
Every step of the `scan` got the initial carry again. The step number, which is in the carry, stayed where it was,
and the loop did its first stage over and over: enough for rows of 32, for which there is no other.

The answer had the right shape, dtype and elements, and the carry was even collected, for the return. Faults of this
kind live as long as the tests' loops run once.
"""
mistakes = (
    ("the carry alone", "*args[:num_consts], *carry, *(x", "*carry, *(x", "Your code raised"),
    ("both", "*args[:num_consts], *carry, *(x", "*unchanging, *carry, *(x", "Your code raised"),
    (
        "reverse lost on the way",
        "*args[:num_consts], *carry, *(x[i] for x in xs))",
        "*args[:num_consts], *carry, *(x[0] for x in xs))",
        "got",
    ),
)


def check(learner):
    random = np.random.default_rng()
    capstones.sorts(learner.pallas_call)
    for length in (64, 128):
        keys = random.standard_normal((2, length)).round(2).astype(np.float32)
        tried = described("kernels.bitonic_sort(keys)", {"keys": keys})
        with trying(tried):
            got = kernels.bitonic_sort(keys, pallas_call=learner.pallas_call)
        same(got, np.sort(keys, axis=1), tried)

    def differences(xs):
        return jax.lax.scan(lambda before, x: (x, x - before), xs[0], xs, reverse=True)

    xs = jnp.asarray(random.integers(-9, 9, (5, 2)), jnp.int32)
    rules = {p: rule for p, rule in learner.numpy_rules.items() if rule in (learner.scan, learner.while_loop)}
    expect_program(rules, differences, xs)
