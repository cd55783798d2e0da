"""Write a function that lists the primitives of a program, those inside its loops and branches included.

A jaxpr is a list of equations; `eqn.name` is the name of an equation's primitive. Some equations carry jaxprs of
their own, a loop its body, a `cond` its branches: `frontend.subjaxprs(eqn)` goes through them.

List the names in the order in which they are printed: an equation's own name first, then those of what is inside it.
"""

from pallas_np import frontend


def primitive_names(jaxpr):
    """The primitives' names in a list, one for each equation of the `frontend.Jaxpr` and of the jaxprs inside it."""
    # --- solution
    names = []
    for eqn in jaxpr.eqns:
        names.append(eqn.name)
        for inner in frontend.subjaxprs(eqn):
            names.extend(primitive_names(inner))
    return names
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

import jax
import jax.numpy as jnp

from exercises.machinery.checking import expect, jaxpr_of

title = "Read a jaxpr"
minutes = 10
hints = (
    "A jaxpr inside an equation is a jaxpr like any other, so your function already knows what to do with it.",
    "Two loops, one inside the other: over `jaxpr.eqns`, and over `frontend.subjaxprs(eqn)`.",
    "Append `eqn.name`; then, for every inner jaxpr, call `primitive_names` on it and extend the list by the answer.",
)
explanation = """
Programs are trees, and a function on a tree calls itself. Every tool in this book that walks a jaxpr has this
shape: the evaluators, the counting of equations, the compiler.

`jax.make_jaxpr(f)(x)` traces `f` and runs nothing: what is in a Python `if` or `for` is decided while tracing and
leaves no trace in the jaxpr. What you find nested is control flow that JAX was told about.
"""
mistakes = (
    ("stays on the surface", "names.extend(primitive_names(inner))", "pass", "inside"),
    (
        "only the first inner jaxpr",
        "names.extend(primitive_names(inner))",
        "return names + primitive_names(inner)",
        "got",
    ),
    (
        "inner names first",
        "        names.append(eqn.name)\n        for inner in frontend.subjaxprs(eqn):\n"
        "            names.extend(primitive_names(inner))",
        "        for inner in frontend.subjaxprs(eqn):\n            names.extend(primitive_names(inner))\n"
        "        names.append(eqn.name)",
        "its own name comes before",
    ),
    ("nests the lists", "names.extend(", "names.append(", "one flat list"),
)


def check(learner):
    def straight(x):
        return jnp.sin(x) * x + 1.0

    def branching(x):
        return jax.lax.cond(x > 0, jnp.sin, lambda x: jnp.cos(x) + 1, x) * 2

    def nested(x):
        body = lambda i, x: jax.lax.cond(i > 1, jnp.exp, jnp.tanh, x)  # noqa: E731
        return -jax.lax.fori_loop(0, 3, body, jnp.sqrt(x))

    for program in (straight, branching, nested):
        jaxpr = jaxpr_of(program, 1.0)
        say = "An equation: its own name comes before the names of what is inside it, in one flat list."
        expect(learner.primitive_names, jaxpr, want=_names(jaxpr), say=say)


def _names(jaxpr):
    return [name for e in jaxpr.eqns for name in (e.name, *(n for j in frontend.subjaxprs(e) for n in _names(j)))]
