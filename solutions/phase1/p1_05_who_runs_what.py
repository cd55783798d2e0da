"""Count how many of a program's equations a table runs, and how many are left to JAX.

An equation whose primitive is in `rules` is ours. What is inside it is looked at one by one. An equation that is not
in `rules` is JAX's, *with everything inside it*: JAX runs the whole loop, whatever our table has for its body.
"""

from pallas_np import frontend


def count_equations(jaxpr, rules):
    """A pair: how many equations, inner ones included, the table `rules` runs, and how many JAX runs."""
    # --- solution
    ours = theirs = 0
    for eqn in jaxpr.eqns:
        has_rule = eqn.primitive in rules
        ours += has_rule
        theirs += not has_rule
        for inner in frontend.subjaxprs(eqn):
            inner_ours, inner_theirs = count_equations(inner, rules if has_rule else {})
            ours += inner_ours
            theirs += inner_theirs
    return ours, theirs
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

import jax
import jax.numpy as jnp

from exercises.machinery.checking import expect, jaxpr_of

title = "Who runs what"
minutes = 15
hints = (
    "Walk the tree as when you listed the primitives. The only question is which table holds inside an equation.",
    "`eqn.primitive in rules` decides for the equation. For what is inside an equation of JAX's, an empty table "
    "gives the right answer by itself.",
    "Call yourself on each inner jaxpr with `rules` if the equation is ours and with `{}` if not, and add up.",
)
explanation = """
That is the table in the benchmark: "equations by NumPy" and "by JAX". It is a count of the program's text, not of its
run: a loop's body counts once.

It also says why phase 4 is the step that it is. Before it, our table could have every primitive of a loop's body, and
still run none of them, because the loop around them was JAX's.
"""
mistakes = (
    ("counts inside JAX's loops as ours", "rules if has_rule else {}", "rules", "everything inside it is JAX's"),
    ("stays on the surface", "for inner in frontend.subjaxprs(eqn):", "for inner in ():", "inside"),
    ("pair the wrong way round", "return ours, theirs", "return theirs, ours", "got"),
)


def check(learner):
    def program(x):
        x = jax.lax.fori_loop(0, 3, lambda i, x: jax.lax.cond(i > 1, lambda x: jnp.sin(x) + 1, jnp.tanh, x), x)
        return jax.lax.cond(x > 0, lambda x: x * x + 1, lambda x: -x, x)

    jaxpr = jaxpr_of(program, 1.0)
    found = {}
    _primitives(jaxpr, found)
    say = "Of an equation that has no rule, everything inside it is JAX's, too; of one that has, look inside."
    for names in ((), tuple(found), ("cond", "add", "mul"), ("scan", "while", "add", "sin"), ("add", "neg", "gt")):
        rules = {found[name]: print for name in names if name in found}
        expect(learner.count_equations, jaxpr, rules, want=_count(jaxpr, rules), say=say)


def _primitives(jaxpr, found):
    for eqn in jaxpr.eqns:
        found[eqn.name] = eqn.primitive
        for inner in frontend.subjaxprs(eqn):
            _primitives(inner, found)


def _count(jaxpr, rules):
    ours = theirs = 0
    for eqn in jaxpr.eqns:
        mine = eqn.primitive in rules
        inside = [_count(inner, rules if mine else {}) for inner in frontend.subjaxprs(eqn)]
        ours += mine + sum(o for o, _ in inside)
        theirs += (not mine) + sum(t for _, t in inside)
    return ours, theirs
