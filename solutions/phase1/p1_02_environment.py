"""Write the two functions that every evaluator has: `read` and `write`.

A jaxpr names its values: an equation reads its inputs from earlier ones and defines new ones. The evaluator keeps the
values in a dictionary, the environment `env`, from variable to value.

An equation's input is an *atom*: a variable (`frontend.Var`), whose value is in `env`, or a literal
(`frontend.Literal`), which brings its value along as `atom.value`, as in `b = mul a 2.0`.

What a primitive answers depends on `eqn.multiple_results`: if it is true, a list with a value for each of
`eqn.outvars`; otherwise the value of its single variable, not in a list.
"""

from pallas_np import frontend


def read(env, atom):
    """The value of a variable or a literal."""
    # --- solution
    if isinstance(atom, frontend.Literal):
        return atom.value
    return env[atom]
    # --- end


def write(env, eqn, answer):
    """Puts what the equation's primitive answered into the environment."""
    # --- solution
    values = answer if eqn.multiple_results else [answer]
    for var, value in zip(eqn.outvars, values):
        env[var] = value
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

import jax
import jax.numpy as jnp
import numpy as np

from exercises.machinery.checking import described, jaxpr_of, require, same, trying

title = "The environment"
minutes = 10
hints = (
    "For `read`: two kinds of atom, two places where the value is. For `write`: two kinds of answer.",
    "`isinstance(atom, frontend.Literal)` tells the atoms apart, `eqn.multiple_results` the answers. `zip` pairs "
    "variables with values.",
    "In `write`, make a list of the single answer first; then one loop, or one `env.update(zip(...))`, does both.",
)
explanation = """
That is the whole state of an evaluator: one dictionary. A jaxpr assigns each variable once, so nothing is ever
overwritten, and a value can be looked up at any time later.

The package puts the literals into the environment, too, before it starts: then reading is `env[atom]` for both kinds,
one look-up in the innermost loop.
"""
mistakes = (
    ("reads literals from env", "if isinstance(atom, frontend.Literal):", "if False:", "KeyError"),
    (
        "stores the list",
        "values = answer if eqn.multiple_results else [answer]",
        "values = [answer]",
        "several results",
    ),
    (
        "counts the variables",
        "if eqn.multiple_results else",
        "if len(eqn.outvars) > 1 else",
        "not the number of variables",
    ),
    ("unpacks a single array", "answer if eqn.multiple_results else [answer]", "answer", "not in a list"),
)


def check(learner):
    def program(x, y):
        quotient, remainder = jnp.divmod(x, y)
        return jax.lax.sort((quotient * 2, remainder), num_keys=1)

    jaxpr = jaxpr_of(program, jnp.arange(3), jnp.arange(3))
    literal, var = frontend.Literal(np.float32(np.random.default_rng().random())), jaxpr.invars[0]
    with trying(described("read(env, atom)", {"env": {}, "atom": literal})):
        same(learner.read({}, literal), literal.value, f"Tried read({{}}, Literal({literal.value}))")
    value = np.random.default_rng().integers(0, 9, 3)
    with trying(described("read(env, atom)", {"env": {var: value}, "atom": var})):
        same(learner.read({var: value}, var), value, f"Tried read({{a: {value}}}, a), where a is a variable")

    one = frontend.Equation(None, (), jaxpr.invars[:1], {}, False, None)
    env = _written(learner, one, value)
    same(env[var], value, f"Tried write(env, eqn, {value}), for an equation with one variable", "It is not in a list.")
    two = frontend.Equation(None, (), jaxpr.invars, {}, True, None)
    env = _written(learner, two, [value, value + 1])
    same(
        [env[v] for v in jaxpr.invars],
        [value, value + 1],
        f"Tried write(env, eqn, [{value}, {value + 1}]), for an equation with two variables",
        "An answer with several results is a list with one value for each variable.",
    )
    listed = frontend.Equation(None, (), jaxpr.invars[:1], {}, True, None)
    env = _written(learner, listed, [value])
    tried = f"Tried write(env, eqn, [{value}]), for an equation with one variable whose multiple_results is true"
    same(
        env[var], value, tried, "Whether the answer is a list, eqn.multiple_results says, not the number of variables."
    )


def _written(learner, eqn, answer):
    env = {}
    with trying(f"Tried write(env, eqn, {answer}), for an equation with variables {eqn.outvars}"):
        learner.write(env, eqn, answer)
    say = (
        "An answer with several results has one for each variable." if eqn.multiple_results else "It is not in a list."
    )
    require(set(env) == set(eqn.outvars), f"Tried write(env, eqn, {answer}): env holds {env} afterwards. {say}")
    return env
