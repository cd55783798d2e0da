"""Write what the compiler tries first with an equation: to compute its results now.

`args` has one entry for each operand: its value if that is known already, a `Name` if not. `rule` is phase 5's rule for
the primitive. If the results can be computed, answer with a list of them, one for each of `eqn.outvars`, and no line of
source is written. If they cannot, answer with `None`.

A value rule is called as `rule(*args, **eqn.params)`; it returns a list if `eqn.multiple_results` is true, else the one
result. A structure rule has an attribute `is_structure` and wants an interpreter, which knows the grid and the memory.
Its equation is never computed here.
"""


class Name(str):
    """A value that is not known yet: the variable that will hold it."""


def fold(eqn, rule, args):
    """The equation's results, in a list, if they can be computed now, else `None`."""
    # --- solution
    if getattr(rule, "is_structure", False) or any(isinstance(arg, Name) for arg in args):
        return None
    answer = rule(*args, **eqn.params)
    return list(answer) if eqn.multiple_results else [answer]
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl

from exercises.machinery.checking import array_like, call_of, describe_equation, jaxpr_of, require, same, trying
from pallas_np import phase5

title = "Folding a constant"
minutes = 10
hints = (
    "Two things keep an equation from being computed: what kind of rule it has, and an operand that is not known.",
    "`isinstance(arg, Name)` tells whether an operand is unknown; one such operand is enough. Not every rule has the "
    "attribute `is_structure`, so ask with `getattr` and a default.",
    "Return `None` for a structure rule and if any operand is a `Name`. Else call the rule, and put its answer into a "
    "list unless `eqn.multiple_results` says that it is one.",
)
explanation = """
The rule that computes now is the one that would have computed later, so a folded constant cannot differ from what the
walk gives: NaN, overflow and dtype are all as they would have been.

One unknown operand is enough to wait. `x * 0` looks as if it were 0 for any x, but of NaN and of infinity it is NaN.

`program_id` has no operands, so all its operands are known, and so has `iota`. The second is a function of its
parameters; the first asks the interpreter where in the grid it is. That is why the kind of rule has to be looked at.
The package does the same, in `Specialiser.value`.
"""
mistakes = (
    ("all must be unknown", "any(isinstance", "all(isinstance", "Your code raised"),
    ("folds structure", 'getattr(rule, "is_structure", False) or ', "", "structure rule"),
    ("without parameters", "answer = rule(*args, **eqn.params)", "answer = rule(*args)", "Your code raised TypeError"),
    ("a bare result", "[answer]", "answer", "a list"),
    ("a list in a list", "list(answer) if eqn.multiple_results else ", "", "results"),
    ("operands that are not there", "any(isinstance(arg, Name) for arg in args)", "not args", "is not known"),
)


def check(learner):
    def program(x, y):
        largest, where = lax.top_k(x, 2)
        return jnp.exp(x) * y, largest, where, lax.sort((x, y), num_keys=1), lax.cumsum(x, reverse=True)

    random = np.random.default_rng()
    x, y = random.standard_normal((2, 5)).astype(np.float32)
    for eqn in jaxpr_of(program, x, y).eqns:
        _check_equation(learner, eqn, [x, y][: len(eqn.invars)])
    for eqn in jaxpr_of(lambda: lax.iota(jnp.int32, 4)).eqns:
        _check_equation(learner, eqn, [])
    _check_structure(learner)


def _check_equation(learner, eqn, values):
    """One equation, all of whose operands are known, and then some."""
    rule = phase5.numpy_rules[eqn.primitive]
    want = rule(*values, **eqn.params)
    want = list(want) if eqn.multiple_results else [want]
    for unknown in range(len(values)):
        args = list(values)
        args[unknown] = learner.Name("a")
        tried = f"Tried fold(eqn, rule, args) on {describe_equation(eqn)}; operand {unknown} is not known"
        with trying(tried):
            got = learner.fold(eqn, rule, args)
        require(got is None, f"{tried}\nThe answer is None as soon as one operand is not known; got {got!r}.")
    tried = f"Tried fold(eqn, rule, args) on {describe_equation(eqn)}; all its operands are known"
    with trying(tried):
        got = learner.fold(eqn, rule, values)
    same(got, want, tried, "The answer is a list with one entry for each of the equation's results.")


def _check_structure(learner):
    """`program_id` has no operands, and may not be computed."""

    def kernel(out_ref):
        out_ref[...] = jnp.full(out_ref.shape, pl.program_id(0))

    call = call_of(kernel, array_like(np.zeros(4, np.int32)), grid=(2,), out_specs=pl.BlockSpec((2,), lambda i: (i,)))
    (eqn,) = (eqn for eqn in call.jaxpr.eqns if eqn.name == "program_id")
    rule = phase5.numpy_rules[eqn.primitive]
    tried = "Tried fold(eqn, rule, []) on the equation of pl.program_id(0)"
    try:
        got = learner.fold(eqn, rule, [])
    except TypeError:
        got = "an attempt to call the rule"
    require(got is None, f"{tried}\nIts rule is a structure rule, which asks the interpreter; wanted None, got {got}.")
