"""Phase 4, control flow: loops and conditionals are Python's.

A `scan` is a `for`, a `while` is a `while`, a `cond` is an `if`, and a call is a call.  Each evaluates its nested
jaxprs with the interpreter that it is given.  A ref inside them is the same NumPy array as outside, so nothing is
carried in or written back, and `program_id` has its meaning everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pallas_np import frontend, phase1, phase3
from pallas_np.frontend import Equation, KernelCall
from pallas_np.frontend.primitives import (
    closed_call_p,
    cond_p,
    custom_jvp_call_p,
    custom_vjp_call_p,
    jit_p,
    remat_p,
    run_scoped_p,
    scan_p,
    while_p,
)
from pallas_np.phase1 import structure


@structure
def call(interp: Interpreter, eqn: Equation, *args: Any) -> list[Any]:
    """`jit` and its kin: evaluate the body."""
    jaxpr = eqn.params["jaxpr"]
    return interp.eval_jaxpr(jaxpr, jaxpr.consts, *args)


@structure
def cond(interp: Interpreter, eqn: Equation, index: Any, *args: Any) -> list[Any]:
    branches = eqn.params["branches"]
    branch = branches[min(max(int(index), 0), len(branches) - 1)]
    return interp.eval_jaxpr(branch, branch.consts, *args)


@structure
def while_loop(interp: Interpreter, eqn: Equation, *args: Any) -> list[Any]:
    condition, num_condition = eqn.params["cond_jaxpr"], eqn.params["cond_nconsts"]
    body, num_body = eqn.params["body_jaxpr"], eqn.params["body_nconsts"]
    condition_args = args[:num_condition]
    body_args = args[num_condition : num_condition + num_body]
    carry: Sequence[Any] = args[num_condition + num_body :]
    while interp.eval_jaxpr(condition, condition.consts, *condition_args, *carry)[0]:
        carry = interp.eval_jaxpr(body, body.consts, *body_args, *carry)
    return list(carry)


@structure
def scan(interp: Interpreter, eqn: Equation, *args: Any) -> list[Any]:
    body, length = eqn.params["jaxpr"], eqn.params["length"]
    num_consts, num_carry = eqn.params["num_consts"], eqn.params["num_carry"]
    consts, carry, xs = args[:num_consts], args[num_consts:][:num_carry], args[num_consts + num_carry :]
    ys = [np.empty(var.shape, var.dtype) for var in eqn.outvars[num_carry:]]
    for i in reversed(range(length)) if eqn.params["reverse"] else range(length):
        results = interp.eval_jaxpr(body, body.consts, *consts, *carry, *(x[i] for x in xs))
        carry = tuple(results[:num_carry])
        for y, result in zip(ys, results[num_carry:]):
            y[i] = result
    return [*carry, *ys]


@structure
def run_scoped(interp: Interpreter, eqn: Equation, *consts: Any) -> list[Any]:
    """A body with memory of its own, fresh at each entry."""
    jaxpr = eqn.params["jaxpr"]
    buffers = [interp.fresh(ref) for ref in jaxpr.invars]
    return interp.eval_jaxpr(jaxpr, consts, *buffers)


numpy_rules: dict[Any, Callable[..., Any]] = {
    **phase3.numpy_rules,
    jit_p: call,
    closed_call_p: call,
    custom_jvp_call_p: call,
    custom_vjp_call_p: call,
    remat_p: call,
    cond_p: cond,
    while_p: while_loop,
    scan_p: scan,
    run_scoped_p: run_scoped,
}


class Interpreter(phase3.Interpreter):
    """Runs a kernel over its grid; the rules above evaluate nested jaxprs with it."""

    phase = 4


def eval_jaxpr(
    jaxpr: Any, consts: Sequence[Any], *args: Any, rules: Mapping[Any, Callable[..., Any]] = numpy_rules
) -> list[Any]:
    """Evaluates a jaxpr, as `phase3.eval_jaxpr` does, with this phase's rules."""
    return phase1.evaluate(Interpreter(rules), jaxpr, consts, args)


def _run(call: KernelCall, *arrays: np.ndarray) -> list[np.ndarray]:
    return Interpreter(numpy_rules).run(call, *arrays)


pallas_call = frontend.pallas_call_on(frontend.Engine("phase 4", _run, by_io_callback=True))
