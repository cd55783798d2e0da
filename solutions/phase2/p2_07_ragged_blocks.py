"""Cut blocks out of an array and paste them back, also where the last block reaches past the array's end.

A block always has its full shape. Where it lies partly outside, reading it pads: with NaN in a float array, so that a
kernel that uses the padding shows it. Writing it back drops what is outside.

`cut` answers with a copy; `paste` changes the array.
"""

import numpy as np


def cut(array, start, block_shape):
    """The block of a float array that begins at `start`, a position for each axis; padded with NaN."""
    # --- solution
    block = np.full(block_shape, np.nan, array.dtype)
    inside = array[tuple(slice(s, s + size) for s, size in zip(start, block_shape))]
    block[tuple(slice(size) for size in inside.shape)] = inside
    return block
    # --- end


def paste(array, start, block):
    """Writes the block back to where it was cut; what lies outside the array is dropped."""
    # --- solution
    inside = array[tuple(slice(s, s + size) for s, size in zip(start, block.shape))]
    inside[...] = block[tuple(slice(size) for size in inside.shape)]
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

from exercises.machinery.checking import describe_call, described, expect, require, same, trying

title = "Ragged blocks"
minutes = 20
hints = (
    "NumPy's slices stop at the end of the array by themselves: what they give is exactly the part that is inside.",
    "A tuple of slices indexes any number of axes. The shape of the part inside tells how much of the block to use.",
    "Slice the array from `s` to `s + size` on every axis. To read: fill a block of NaN from its corner. To write: "
    "assign the corner of the block to the slice, in place with `[...]`.",
)
explanation = """
Five rows in blocks of two give three programs, and the third sees a row that is not there. XLA pads the array in the
background; here the padding is as large as one block, and made only where it is needed.

NaN is a choice that helps: a sum over a block that forgot to mask its rows comes out as NaN, not as a number that
looks plausible. Integers have no NaN; the package fills them with the smallest.
"""
mistakes = (
    ("no padding", "return block\n", "return np.array(inside)\n", "shape: got [1, 3], wanted [2, 3]"),
    ("pads with zeros", "np.full(block_shape, np.nan, array.dtype)", "np.zeros(block_shape, array.dtype)", "NaN"),
    ("pastes a copy", "inside[...] = block", "inside = inside.copy()\n    inside[...] = block", "unchanged"),
    (
        "dtype of full",
        "np.full(block_shape, np.nan, array.dtype)",
        "np.full(block_shape, np.nan)",
        "dtype: got float64",
    ),
)


def check(learner):
    array = np.random.default_rng().standard_normal((5, 6)).round(2).astype(np.float32)
    for start, shape in (((0, 0), (2, 3)), ((2, 3), (2, 3)), ((4, 0), (2, 3)), ((4, 4), (4, 4)), ((0, 0), (8, 8))):
        padded = np.full((16, 16), np.nan, np.float32)
        padded[:5, :6] = array
        want = padded[start[0] : start[0] + shape[0], start[1] : start[1] + shape[1]].copy()
        got = expect(learner.cut, array, start, shape, want=want, say="Outside the array, a block holds NaN.")
        tried = describe_call(learner.cut, (array, start, shape), {})
        require(not np.shares_memory(got, array), f"{tried}\nThe block must be a copy: it shares the array's memory.")
        _pastes(learner, array, start, np.asarray(want * 2))


def _pastes(learner, array, start, block):
    got, want = array.copy(), array.copy()
    window = want[start[0] : start[0] + block.shape[0], start[1] : start[1] + block.shape[1]]
    window[...] = block[: window.shape[0], : window.shape[1]]
    tried = described("paste(array, start, block)", {"array": array, "start": start, "block": block})
    with trying(tried):
        learner.paste(got, start, block)
    require(not np.array_equal(got, array), f"{tried}\nThe array is unchanged: write into it, in place.")
    same(got, want, f"{tried}\nAfter it, the array is wrong.")
