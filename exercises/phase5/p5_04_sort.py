"""Exercise 5.4: Sort, with what goes along (10 minutes)

Write `sort` for float32 rows that bring other arrays along: stable, and NaN last.

XLA's `sort` takes several operands of one shape. The first is the key; all are reordered alike, along `dimension`.
What it promises, and what NumPy has to be asked for:

- it is stable: equal keys keep their order, so that what goes along with them does;
- `-0.0` and `+0.0` are equal keys;
- every NaN comes after every number.

    pytest exercises/phase5/p5_04_sort.py
    python -m exercises hint 5.4
"""

import numpy as np


def sort(*operands, dimension):
    """The operands in a list, all in the order that sorts the first along `dimension`."""
    # Your turn: about 2 lines.
    raise NotImplementedError("your turn")


# Generated; unedited as long as this fits: 2cc5c017
