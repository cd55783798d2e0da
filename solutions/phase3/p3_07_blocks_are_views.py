"""Let a program see its block of an array without copying it.

A block that lies inside the array is a view: what the kernel writes to its ref is in the array at once. A block that
reaches past the end, the ragged last one, has no view of its full shape: then the ref is a padded copy, and what the
kernel wrote to its inner part is copied back after the program has run.

`uninitialized(shape, dtype)` is here to make the padding.
"""

import numpy as np

from pallas_np.phase2 import uninitialized


class Block:
    """The block of an array that one program sees.

    Attributes:
      ref: the array behind the kernel's ref; it has the shape `block_shape`.
    """

    def __init__(self, array, start, block_shape):
        self.part = array[tuple(slice(s, s + size) for s, size in zip(start, block_shape))]  # the part inside the array
        # --- solution
        if self.part.shape == tuple(block_shape):
            self.ref = self.part
        else:
            self.ref = uninitialized(block_shape, array.dtype)
            self.inner()[...] = self.part
        # --- end

    def inner(self):
        """The part of a padded ref that lies inside the array."""
        return self.ref[tuple(slice(size) for size in self.part.shape)]

    def write_back(self):
        """After the program has run: brings what it wrote into the array, if it is not there already."""
        # --- solution
        if self.ref is not self.part:
            self.part[...] = self.inner()
        # --- end


# === The workbook's part: not in the exercise file ===================================================================

from exercises.machinery.checking import described, require, same, trying

title = "Blocks are views"
minutes = 15
hints = (
    "Two cases, told apart by the shape of the part that is inside the array.",
    "If `self.part.shape` is the block's shape, the part itself is the ref. Otherwise make an uninitialised array "
    "and copy the part into its corner; `inner()` is that corner.",
    "The ref is `self.part` itself, or a new array whose `inner()` is assigned the part with `[...]`. To write back, "
    "assign `inner()` to the part, also with `[...]`, unless the ref is the part.",
)
explanation = """
In phase 2 every program copied its blocks out and in, whatever it did with them. Now a block costs one slicing, and
an input that is only read is never touched.

A whole block of an array that must not change is a view of the caller's memory. That is safe as long as the kernel
does not write to its input ref, which is allowed: the package looks at the kernel's effects beforehand, and copies
the inputs that it writes.
"""
mistakes = (
    ("copies always", "self.ref = self.part", "self.ref = np.array(self.part)", "should be a view"),
    ("never pads", "if self.part.shape == tuple(block_shape):", "if True:", "shape: got"),
    ("pads with nothing inside", "            self.inner()[...] = self.part\n", "", "The ref"),
    ("forgets to write back", "self.part[...] = self.inner()", "pass", "After write_back"),
    ("rebinds the part", "self.part[...] = self.inner()", "self.part = self.inner()", "After write_back"),
)


def check(learner):
    for start, shape in (((0, 0), (2, 3)), ((2, 3), (2, 3)), ((4, 0), (2, 3)), ((4, 4), (4, 4))):
        array = np.random.default_rng().standard_normal((5, 6)).round(2).astype(np.float32)
        before, padded = array.copy(), np.full((8, 8), np.nan, np.float32)
        padded[:5, :6] = array
        window = tuple(slice(s, s + size) for s, size in zip(start, shape))
        tried = described("Block(array, start, block_shape)", {"array": before, "start": start, "block_shape": shape})
        with trying(tried):
            block = learner.Block(array, start, shape)
        same(block.ref, padded[window].copy(), f"{tried}\nThe ref:")
        inside = array[window].shape == shape
        say = "A block that lies inside the array should be a view of it: it was copied."
        require(not inside or np.shares_memory(block.ref, array), f"{tried}\n{say}")
        new = np.random.default_rng().standard_normal(shape).round(2).astype(np.float32)
        block.ref[...] = padded[window] = new
        with trying(tried):
            block.write_back()
        same(array, padded[:5, :6].copy(), f"{tried}, then a write to all of its ref.\nAfter write_back(), the array:")
