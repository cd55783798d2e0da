"""Exercise 2.3: Bits or logic (5 minutes)

Write `and_` and `not_`: bitwise on integers, logical on booleans.

The sort decides with `column & distance` which of two partners an element is. JAX's `and`, `or`, `xor` and `not` are
one primitive each for integers and booleans; the dtype says which is meant.

    pytest exercises/phase2/p2_03_bits_or_logic.py
    python -m exercises hint 2.3
"""

import numpy as np


def and_(x, y):
    """`x & y` of two arrays of the same integer or boolean dtype."""
    # Your turn: one line.
    raise NotImplementedError("your turn")


def not_(x):
    """`~x` of an array of integers or booleans."""
    # Your turn: one line.
    raise NotImplementedError("your turn")


# Generated; unedited as long as this fits: 1dff2647
