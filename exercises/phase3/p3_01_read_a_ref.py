"""Exercise 3.1: Read a ref (5 minutes)

Write the rule for `get`, which reads a ref.

From phase 3 on a ref is a NumPy array, and `x_ref[...]` in a kernel is an equation `get x_ref`. What is read is a
value: it must stay as it is, whatever the kernel writes to the ref afterwards.

`index` is what NumPy would take: a tuple of integers and slices, or `...` for the whole ref.

    pytest exercises/phase3/p3_01_read_a_ref.py
    python -m exercises hint 3.1
"""

import numpy as np


def get(ref, index):
    """The values of the ref at `index`.

    Args:
      ref: the NumPy array that holds the ref's contents.
      index: what to read, as NumPy's indexing takes it.
    """
    # Your turn: one line.
    raise NotImplementedError("your turn")


# Generated; unedited as long as this fits: 85f26d6e
