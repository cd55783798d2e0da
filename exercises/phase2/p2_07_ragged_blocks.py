"""Exercise 2.7: Ragged blocks (20 minutes)

Cut blocks out of an array and paste them back, also where the last block reaches past the array's end.

A block always has its full shape. Where it lies partly outside, reading it pads: with NaN in a float array, so that a
kernel that uses the padding shows it. Writing it back drops what is outside.

`cut` answers with a copy; `paste` changes the array.

    pytest exercises/phase2/p2_07_ragged_blocks.py
    python -m exercises hint 2.7
"""

import numpy as np


def cut(array, start, block_shape):
    """The block of a float array that begins at `start`, a position for each axis; padded with NaN."""
    # Your turn: about 4 lines.
    raise NotImplementedError("your turn")


def paste(array, start, block):
    """Writes the block back to where it was cut; what lies outside the array is dropped."""
    # Your turn: about 2 lines.
    raise NotImplementedError("your turn")


# Generated; unedited as long as this fits: 013b13da
