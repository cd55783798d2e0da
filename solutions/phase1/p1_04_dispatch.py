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

from exercises.machinery.checking import described, jaxpr_of, require, same, show, trying

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
    x = np.random.default_rng().standard_normal((2, 3)).round(2).astype(np.float32)
    reshape, sine, loop = jaxpr_of(
        lambda x: (jnp.reshape(x, (3, 2)), jnp.sin(x), jax.lax.fori_loop(0, 2, lambda i, x: x * 2, x)), x
    ).eqns

    def structure(*args):
        return ["rule", *args]

    def plain_reshape(x, *, new_sizes, dimensions=None):
        return x.reshape(new_sizes)

    structure.is_structure = True
    interp = SimpleNamespace(
        rules={reshape.primitive: plain_reshape, loop.primitive: structure},
        fall_back=lambda *args: ["interp.fall_back", *args],
    )
    got, tried = _tried(learner, interp, reshape, x)
    require(not _is_call(got), f"{tried}\nThis equation has a rule of its own, and was handed to: {_shown(got)}")
    same(got, x.reshape(3, 2), tried, "A plain rule is called as rule(*args, **eqn.params).")
    got, tried = _tried(learner, interp, loop, 0, x)
    say = "A structure rule is called as rule(interp, eqn, *args)."
    require(_is_call(got, "rule", interp, loop, 0, x), f"{tried}\n{say} Here it was: {_shown(got)}")
    got, tried = _tried(learner, interp, sine, x)
    say = "There is no rule: interp.fall_back(eqn, *args) does it."
    require(_is_call(got, "interp.fall_back", sine, x), f"{tried}\n{say} Here it was: {_shown(got)}")


def _tried(learner, interp, eqn, *args):
    rule = interp.rules.get(eqn.primitive)
    kind = "no rule" if rule is None else "a structure rule" if hasattr(rule, "is_structure") else "a plain rule"
    tried = described(f"eval_equation(interp, eqn, *args); the table has {kind} for it", {"eqn": eqn, "args": args})
    with trying(tried):
        return learner.eval_equation(interp, eqn, *args), tried


def _is_call(got, *wanted):
    """Whether it is what the stand-ins for `rule` and `interp.fall_back` answer: a name, and what they were given."""
    calls = type(got) is list and bool(got) and got[0] in ("rule", "interp.fall_back")
    return calls and (not wanted or (len(got) == len(wanted) and all(g is w for g, w in zip(got[1:], wanted[1:]))))


def _shown(got):
    if not _is_call(got):
        return show(got)
    names = ("interp" if isinstance(value, SimpleNamespace) else show(value) for value in got[1:])
    return f"{got[0]}({', '.join(names)})"
