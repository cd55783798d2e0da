"""Exercise D.2: Rows of 32, but not of 64 (20 minutes)

Find the fault: this interpreter sorts rows of 32, and leaves rows of 64 unsorted.

Below are rules for control flow, in place of phase 5's. No row that has 32 elements or fewer comes out wrong, in any
order, in any dtype. Rows of 64 or more do; nothing raises, and no element is lost.

Run this file to see it. One thing is wrong. What does the kernel do from 64 on that it does not do before?
`pallas_np/kernels/bitonic.py` has it.

    pytest exercises/detective/d_02_rows_of_32_not_of_64.py
    python -m exercises hint D.2
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
        results = interp.eval_jaxpr(body, body.consts, *unchanging, *(x[i] for x in xs))
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


# Generated; unedited as long as this fits: 716de6ff
