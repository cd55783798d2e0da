"""Exercise 3.5: A chain of transforms (15 minutes)

Follow a chain of ref transforms to the part of the array that it leads to: as a view.

`x_ref.at[1].reshape(2, 4)[...]` is a ref seen through transforms, and reads and writes go through it to the same
memory. The chain arrives as a list of

- `Index(indices)`: for each axis a NumPy slice or an integer, here already in NumPy's form;
- `Reshape(shape)`;
- `Transpose(permutation)`.

What you answer with must be a view: a write to it is a write to the ref. (`a[1, 2]` of a 2-D array is a number, and no
view; `a[1, 2, ...]` is a view without axes.) Where NumPy cannot give a view, it is
better to fail than to write to a copy: let the error come.

    pytest exercises/phase3/p3_05_a_chain_of_transforms.py
    python -m exercises hint 3.5
"""

import numpy as np

from pallas_np.frontend.refs import Index, Reshape, Transpose


def transformed(ref, transforms):
    """The view of the array `ref` at the end of the chain."""
    # Your turn: about 9 lines.
    raise NotImplementedError("your turn")


# Generated; unedited as long as this fits: eabc23c8
