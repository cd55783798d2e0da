"""Exercise 5.5: The k largest (20 minutes)

Write `top_k`: the k largest values of each row, the largest first, and where they are.

- Of equal values the first comes first: its position is the smaller one.
- A NaN counts as larger than everything.
- The positions are int32.

NumPy has no `top_k`. It has a stable sort, but in ascending order only.

    pytest exercises/phase5/p5_05_the_k_largest.py
    python -m exercises hint 5.5
"""

import numpy as np


def top_k(x, *, k):
    """The `k` largest values along the last axis of `x`, (rows, n), and their positions: two arrays in a list."""
    # Your turn: about 3 lines.
    raise NotImplementedError("your turn")


# Generated; unedited as long as this fits: 547fec51
