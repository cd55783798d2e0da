"""Write `eval_equation`: find an equation's rule in the table, and call it the way its kind is called.

The table `interp.rules` goes from primitive to rule. There are three cases:

- no rule for `eqn.primitive`: `interp.fall_back(eqn, *args)` does it;
- a rule marked as *structure* (it has an attribute `is_structure`, which others have not): it needs the interpreter,
  and is called as `rule(interp, eqn, *args)`;
- any other rule is a function of arrays, and is called as `rule(*args, **eqn.params)`.
"""


def eval_equation(interp, eqn, *args):
    """The answer of the equation's primitive on `args`."""
    # --- solution
    rule = interp.rules.get(eqn.primitive)
    if rule is None:
        return interp.fall_back(eqn, *args)
    if getattr(rule, "is_structure", False):
        return rule(interp, eqn, *args)
    return rule(*args, **eqn.params)
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np

from exercises.machinery.checking import described, jaxpr_of, require, same, trying

title = "Dispatch"
minutes = 10
hints = (
    "Look the rule up once; the three cases are three ways to go on.",
    "`dict.get` answers with `None` where there is no entry. A plain function has no attribute `is_structure`: "
    "`getattr` with a third argument copes.",
    "First `if rule is None`, then `if getattr(...)` with `False` as its default, then the plain call with `**`.",
)
explanation = """
Primitive objects, not names, are the keys: JAX has several primitives called `gather` or `swap`, and they are not the
same thing.

The two kinds of rule keep the table simple. Nearly everything is a function of arrays and can be tested by calling
it. Only what has to do with memory, control flow or the grid needs more than values, and gets the interpreter;
because it gets the one that is running, phase 4's `scan` evaluates its body with phase 5's table inside phase 5.
"""
mistakes = (
    ("no fall-back", "if rule is None:", "if False:", "no rule"),
    ("forgets the parameters", "return rule(*args, **eqn.params)", "return rule(*args)", "new_sizes"),
    ("all rules are plain", 'if getattr(rule, "is_structure", False):', "if False:", "structure"),
    ("looks at a missing attribute", 'getattr(rule, "is_structure", False)', "rule.is_structure", "AttributeError"),
)


def check(learner):
    x = np.random.default_rng().standard_normal((2, 3)).astype(np.float32)
    reshape, sine, loop = jaxpr_of(
        lambda x: (jnp.reshape(x, (3, 2)), jnp.sin(x), jax.lax.fori_loop(0, 2, lambda i, x: x * 2, x)), x
    ).eqns

    def structure(interp, eqn, *args):
        return ["structure", interp, eqn, *args]

    def plain_reshape(x, *, new_sizes, dimensions=None):
        return x.reshape(new_sizes)

    structure.is_structure = True
    interp = SimpleNamespace(
        rules={reshape.primitive: plain_reshape, loop.primitive: structure},
        fall_back=lambda *args: ["fell back", *args],
    )
    got = _tried(learner, interp, reshape, x)
    same(got, x.reshape(3, 2), described("a plain rule with parameters: reshape[new_sizes=(3, 2)]", {"x": x}))
    got = _tried(learner, interp, loop, 0, x)
    require(
        type(got) is list and got[:3] == ["structure", interp, loop] and got[4] is x,
        f"Tried an equation whose rule is structure: it is called as rule(interp, eqn, *args); got {got}",
    )
    got = _tried(learner, interp, sine, x)
    require(
        type(got) is list and got[0] == "fell back" and got[1] is sine and got[2] is x,
        f"Tried an equation that has no rule: fall_back(eqn, *args) does it; got {got}",
    )


def _tried(learner, interp, eqn, *args):
    kind = "no rule" if eqn.primitive not in interp.rules else interp.rules[eqn.primitive].__name__
    with trying(f"Tried eval_equation(interp, eqn, *args) for {eqn.name}; in the table: {kind}"):
        return learner.eval_equation(interp, eqn, *args)
