"""Exercise 2.6: Broadcast and iota (15 minutes)

Write `broadcast_in_dim` and `iota`, the two that make arrays larger.

`broadcast_in_dim` has no rule about trailing axes, as NumPy's broadcasting has: `broadcast_dimensions` says for
each axis of `x` which axis of the result it becomes. Along the others, and where an axis of `x` has length 1, the
values repeat.

`iota` counts along `dimension`: 0, 1, 2, ...

    pytest exercises/phase2/p2_06_broadcast_and_iota.py
    python -m exercises hint 2.6
"""

import numpy as np


def broadcast_in_dim(x, *, shape, broadcast_dimensions):
    """`x` repeated to `shape`; its axis `i` becomes the result's axis `broadcast_dimensions[i]`."""
    # Your turn: about 4 lines.
    raise NotImplementedError("your turn")


def iota(*, dtype, shape, dimension):
    """An array of `shape` and `dtype` whose values are their positions along `dimension`."""
    # Your turn: about 2 lines.
    raise NotImplementedError("your turn")


# Generated; unedited as long as this fits: b0523d3a
