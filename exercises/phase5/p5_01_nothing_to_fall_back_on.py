"""Exercise 5.1: Nothing to fall back on (5 minutes)

Write what phase 5 does with an equation that its table does not have: say so, clearly.

There is no JAX to fall back on any more. What a reader of the message needs is the primitive's name (`eqn.name`),
and the line of their own kernel that it comes from (`eqn.source`). Raise a `NotImplementedError` with both.

    pytest exercises/phase5/p5_01_nothing_to_fall_back_on.py
    python -m exercises hint 5.1
"""


def fall_back(interp, eqn, *args):
    """Refuses an equation that has no rule."""
    # Your turn: about 2 lines.
    raise NotImplementedError("your turn")


# Generated; unedited as long as this fits: 78e08522
