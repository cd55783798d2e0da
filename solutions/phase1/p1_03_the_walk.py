"""Write the evaluator: walk a jaxpr's equations and answer with its outputs.

The environment's `read` and `write` are here already. What is left is the walk:

1. give the jaxpr's constants and arguments their values: `jaxpr.constvars` get `consts`, `jaxpr.invars` get `args`;
2. for each of `jaxpr.eqns`, read what it takes (`eqn.invars`), let `run(eqn, *values)` do its primitive, and write the
   answer;
3. answer with the values of `jaxpr.outvars`, in a list.
"""

from pallas_np import frontend


def read(env, atom):
    return atom.value if isinstance(atom, frontend.Literal) else env[atom]


def write(env, eqn, answer):
    env.update(zip(eqn.outvars, answer if eqn.multiple_results else [answer]))


def eval_jaxpr(jaxpr, consts, args, run):
    """Evaluates a `frontend.Jaxpr`, and lets `run(eqn, *values)` do each equation; answers with a list."""
    # --- solution
    env = dict(zip(jaxpr.constvars, consts))
    env.update(zip(jaxpr.invars, args))
    for eqn in jaxpr.eqns:
        answer = run(eqn, *[read(env, atom) for atom in eqn.invars])
        write(env, eqn, answer)
    return [read(env, atom) for atom in jaxpr.outvars]
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

import jax
import jax.numpy as jnp
import numpy as np

from exercises.machinery.checking import described, jaxpr_of, require, same, show, trying

title = "The walk"
minutes = 15
hints = (
    "Three steps: fill a dictionary, loop over the equations, read the outputs. The order of the equations is right.",
    "`dict(zip(variables, values))` begins the environment; `read` works for the equations' inputs and for "
    "`jaxpr.outvars` alike.",
    "In the loop: `values = [read(env, atom) for atom in eqn.invars]`, then `run(eqn, *values)`, then `write`.",
)
explanation = """
This loop is the skeleton of all five phases. What changes from phase to phase is `run`: who does an equation.

An output may be a literal or one of the arguments (`lambda x: (x, 1)` has no equation at all), which is why the
outputs are read like any other atom. Constants are arrays that the traced function captured from outside.
"""
mistakes = (
    ("forgets the constants", "env = dict(zip(jaxpr.constvars, consts))", "env = {}", "KeyError"),
    ("last answer as the output", "return [read(env, atom) for atom in jaxpr.outvars]", "return [answer]", "wanted"),
    (
        "looks outputs up",
        "return [read(env, atom) for atom in jaxpr.outvars]",
        "return [env[atom] for atom in jaxpr.outvars]",
        "KeyError",
    ),
    ("forgets the equation", "run(eqn, *[", "run(*[", "in the place of the equation"),
    ("passes atoms", "*[read(env, atom) for atom in eqn.invars]", "*eqn.invars", "Your code raised"),
)


def check(learner):
    random = np.random.default_rng()
    x, y = random.standard_normal((2, 4)).round(2).astype(np.float32)
    captured = jnp.asarray(random.standard_normal(4).round(2), jnp.float32)

    def straight(x, y):
        return (x * y + captured) / 2.0

    def several(x, y):
        order, values = jax.lax.sort((x, y), num_keys=1)
        return values - order, jnp.sin(order)

    def hardly_anything(x, y):
        return y, 3.0, x

    for program in (straight, several, hardly_anything):
        jaxpr = jaxpr_of(program, x, y)
        given = {"jaxpr": jaxpr, "consts": list(jaxpr.consts), "args": (x, y)}
        tried = described("eval_jaxpr(jaxpr, consts, args, run)", given)

        def run(eqn, *values, tried=tried):
            say = f"{tried}\nrun(eqn, *values) was called with {show(eqn)} in the place of the equation."
            require(isinstance(eqn, frontend.Equation), say)
            return frontend.run_equation(eqn, *values)

        with trying(tried):
            got = learner.eval_jaxpr(jaxpr, jaxpr.consts, (x, y), run)
        want = jax.tree_util.tree_leaves(program(jnp.asarray(x), jnp.asarray(y)))
        same(got, [np.asarray(w, np.float32) for w in want], tried, "Every output is read: variable or literal.")
