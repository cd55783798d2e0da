"""Exercise 3.2: Swap (5 minutes)

Write the rule for `swap`, which writes to a ref and answers with what was there.

`x_ref[...] = value` in a kernel is an equation `swap x_ref value`. Mostly nobody uses its answer, but it is there:
the values that the write has replaced. The write itself happens in place, in the ref's own array.

`index` is what NumPy would take: a tuple of integers and slices, or `...` for the whole ref.

    pytest exercises/phase3/p3_02_swap.py
    python -m exercises hint 3.2
"""

import numpy as np


def swap(ref, index, value):
    """Writes `value` to the ref at `index`, in place, and answers with what was there before."""
    # Your turn: about 3 lines.
    raise NotImplementedError("your turn")


# Generated; unedited as long as this fits: b80c705f
