"""Write what phase 5 does with an equation that its table does not have: say so, clearly.

There is no JAX to fall back on any more. What a reader of the message needs is the primitive's name (`eqn.name`),
and the line of their own kernel that it comes from (`eqn.source`). Raise a `NotImplementedError` with both.
"""


def fall_back(interp, eqn, *args):
    """Refuses an equation that has no rule."""
    # --- solution
    message = f"no rule for the primitive {eqn.name}, which comes from {eqn.source}"
    raise NotImplementedError(message)
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

import jax.numpy as jnp

from exercises.machinery.checking import jaxpr_of, require
from exercises.machinery.stubs import UNSOLVED

title = "Nothing to fall back on"
minutes = 5
hints = (
    "An exception with a message that names two things.",
    "An f-string with `eqn.name` and `eqn.source`, in a `NotImplementedError`; mind that it has to be raised.",
    "Build the message from both names, then `raise NotImplementedError(...)` with it.",
)
explanation = """
Falling back in silence would be friendlier for a minute. But the kernel would be slow for a reason that nobody can
see, and would stop working where there is no JAX. An interpreter that claims to be complete has to fail when it is
not.

`eqn.source` is the line of the kernel: JAX keeps, for every equation, the traceback of the Python that made it.
"""
mistakes = (
    ("returns it", "raise NotImplementedError(message)", "return NotImplementedError(message)", "It raised nothing"),
    ("another error", "raise NotImplementedError(message)", "raise KeyError(message)", "It raised KeyError"),
    ("no source", ", which comes from {eqn.source}", "", "the line of the kernel"),
    ("no name", "{eqn.name}", "", "the primitive's name"),
)


def check(learner):
    def program(x):
        return jnp.sin(x) + jnp.arctan2(x, x)

    for eqn in jaxpr_of(program, 1.0).eqns:
        tried = f"Tried fall_back(interp, eqn, x) for an equation of {eqn.name}"
        try:
            learner.fall_back(None, eqn, 1.0)
        except NotImplementedError as error:
            if str(error) == UNSOLVED:
                raise
            require(eqn.name in str(error), f"{tried}\nThe message lacks the primitive's name: {error}")
            require(eqn.source in str(error), f"{tried}\nThe message lacks the line of the kernel, eqn.source: {error}")
        except Exception as error:
            require(False, f"{tried}\nIt raised {type(error).__name__}; a NotImplementedError is wanted.")
        else:
            require(False, f"{tried}\nIt raised nothing.")
