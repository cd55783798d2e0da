"""Exercise 1.4: Dispatch (10 minutes)

Write `eval_equation`: find an equation's rule in the table, and call it the way its kind is called.

The table `interp.rules` goes from primitive to rule. There are three cases:

- no rule for `eqn.primitive`: `interp.fall_back(eqn, *args)` does it;
- a rule marked as *structure* (it has an attribute `is_structure`, which others have not): it needs the interpreter,
  and is called as `rule(interp, eqn, *args)`;
- any other rule is a function of arrays, and is called as `rule(*args, **eqn.params)`.

    pytest exercises/phase1/p1_04_dispatch.py
    python -m exercises hint 1.4
"""


def eval_equation(interp, eqn, *args):
    """The answer of the equation's primitive on `args`."""
    # Your turn: about 6 lines.
    raise NotImplementedError("your turn")


# Generated; unedited as long as this fits: 558611fb
