"""Exercise 3.6: Memory nobody wrote (10 minutes)

Make memory that nobody has written to yet, so that using it shows.

Outputs and scratch begin uninitialised. Zeros would hide the kernel that forgets to write; so fill them with NaN,
or, in an array of integers, with the smallest integer of the dtype. Booleans have neither: False.

The dtypes that NumPy itself does not have, such as bfloat16, come from `ml_dtypes`; `np.iinfo` and `np.issubdtype` do
not know them, `ml_dtypes.iinfo` knows both kinds of integer and raises a `ValueError` for what is none.

    pytest exercises/phase3/p3_06_memory_nobody_wrote.py
    python -m exercises hint 3.6
"""

import ml_dtypes
import numpy as np


def uninitialized(shape, dtype):
    """An array of this shape and dtype that is filled with poison."""
    # Your turn: about 8 lines.
    raise NotImplementedError("your turn")


# Generated; unedited as long as this fits: 1eaa5069
