"""Put your pieces together: an interpreter that walks a program, with an empty table. Then it sorts.

Your `read`, `write` and `eval_equation` come from the earlier exercises. With them, write an interpreter's
`eval_jaxpr`, and its `fall_back`: what the table does not have, `frontend.run_equation(eqn, *args)` lets JAX run.

The table is empty, and so JAX runs every equation: also the one that is the whole kernel.
"""

from pallas_np import frontend
from solutions.phase1.p1_02_environment import read, write
from solutions.phase1.p1_04_dispatch import eval_equation

numpy_rules = {}


class Interpreter:
    """Walks a `frontend.Jaxpr` with a table of rules."""

    def __init__(self, rules):
        self.rules = rules

    def eval_jaxpr(self, jaxpr, consts, *args):
        """The values of the jaxpr's outputs, in a list."""
        # --- solution
        env = dict(zip(jaxpr.constvars, consts))
        env.update(zip(jaxpr.invars, args))
        for eqn in jaxpr.eqns:
            write(env, eqn, eval_equation(self, eqn, *[read(env, atom) for atom in eqn.invars]))
        return [read(env, atom) for atom in jaxpr.outvars]
        # --- end

    def fall_back(self, eqn, *args):
        """What happens to an equation that the table does not have."""
        # --- solution
        return frontend.run_equation(eqn, *args)
        # --- end


# === The workbook's part: not in the exercise file ===================================================================

import time

import jax
import jax.numpy as jnp
import numpy as np

from exercises.machinery import capstones
from exercises.machinery.checking import described, jaxpr_of, same, trying
from pallas_np import kernels, phase1

title = "Capstone: the baseline sorts"
minutes = 15
seconds = 120
hints = (
    "The walk is the one you wrote before; what ran an equation there is `eval_equation` here, with `self`.",
    "`eval_equation(self, eqn, *values)` looks into `self.rules` and calls `self.fall_back`.",
    "Fill the environment from `constvars` and `invars`; for each equation `write` what `eval_equation` answers on "
    "the values that `read` finds; at the end `read` the outputs.",
)
explanation = """
This is phase 1, whole. No faster than JAX, for JAX does everything: the kernel is a single equation, `pallas_call`,
and the fall-back compiles it like any other.

All that follows is filling the table. In phase 2 the kernel's own equations come out of that one, and the simple ones
among them become NumPy's.
"""
mistakes = (
    (
        "forgets to return from the fall-back",
        "return frontend.run_equation(eqn, *args)",
        "frontend.run_equation(eqn, *args)",
        "Your code raised",
    ),
    (
        "hands the fall-back a list",
        "eval_equation(self, eqn, *[read(env, atom) for atom in eqn.invars])",
        "eval_equation(self, eqn, [read(env, atom) for atom in eqn.invars])",
        "Your code raised",
    ),
    ("forgets the constants", "env = dict(zip(jaxpr.constvars, consts))", "env = {}", "KeyError"),
)


def check(learner):
    random = np.random.default_rng()
    captured = jnp.asarray(random.standard_normal(5).round(2), jnp.float32)
    x = random.standard_normal(5).round(2).astype(np.float32)
    _evaluates(learner, lambda x: jnp.sin(x) * captured + 2, x)
    keys = random.standard_normal((3, 8)).round(2).astype(np.float32)
    sort = kernels.bitonic_sorter(keys.shape, keys.dtype, pallas_call=phase1.pallas_call)
    _evaluates(learner, lambda keys: sort(jnp.zeros(1, jnp.int32), keys), keys)

    keys = jnp.asarray(random.standard_normal(capstones.SHAPE), jnp.float32)
    baseline, _ = capstones.cold_seconds(phase1.pallas_call, keys)
    sort = kernels.bitonic_sorter(keys.shape, keys.dtype, pallas_call=phase1.pallas_call)
    start = time.perf_counter()
    jax.block_until_ready(_evaluates(learner, lambda keys: sort(jnp.zeros(1, jnp.int32), keys), keys))
    ratio = baseline / (time.perf_counter() - start)
    return capstones.verdict(1, ratio) + "\nThat is no gain, nor should it be: the table is empty, and JAX runs it all."


def _evaluates(learner, program, x):
    jaxpr = jaxpr_of(program, x)
    tried = described("Interpreter({}).eval_jaxpr on a program of " + f"{len(jaxpr.eqns)} equations", {"its input": x})
    with trying(tried):
        got = learner.Interpreter(learner.numpy_rules).eval_jaxpr(jaxpr, jaxpr.consts, x)
    want = np.sort(x, axis=1) if np.ndim(x) == 2 else np.asarray(program(x))
    same(got, [want], tried)
    return got
