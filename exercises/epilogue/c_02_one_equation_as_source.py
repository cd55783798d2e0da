"""Exercise C.2: One equation as source (20 minutes)

Write what the compiler does with an equation that it cannot compute yet: emit it as one line of Python.

The line calls the function of `lax_numpy` that does the primitive, and assigns what it returns:

    b = lax.integer_pow(a, y=3)
    largest, where = lax.top_k(x, k=2, axis=1)

- **The function** has the primitive's name; where that is one of Python's own words, such as `and`, with an underscore
  after it.
- **The operands** come first. Each is a `Name`, or a NumPy scalar of dtype float32 or int32, whose value is known.
- **The parameters**, `eqn.params`, follow by name. Their values are Python's numbers, strings and tuples, `None`, and
  dtypes.
- **The results**: if `eqn.multiple_results` is true the function returns a list, of one element perhaps.

The line will run where `np` is NumPy and `lax` is `pallas_np.lax_numpy`, and nothing else but the names is known.

    pytest exercises/epilogue/c_02_one_equation_as_source.py
    python -m exercises hint C.2
"""

from keyword import iskeyword

import numpy as np


class Name(str):
    """A value that is not known yet: the variable that will hold it."""


def emit(eqn, operands, results):
    """The line for an equation: `operands` are names and known scalars, `results` the names to be assigned."""
    # Your turn: about 5 lines.
    raise NotImplementedError("your turn")


def text(value):
    """A name, a known scalar or a parameter's value, as it stands in the line."""
    # Your turn: about 7 lines.
    raise NotImplementedError("your turn")


# Generated; unedited as long as this fits: d3f32bbb
