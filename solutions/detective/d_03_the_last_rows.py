"""Find the fault: of eleven rows, eight come out sorted, and the last three as nothing but NaN.

Below are an interpreter's grid and its blocks, in place of phase 4's. With 8, 16 or 24 rows it sorts all of them.
With 11, in blocks of 8 as always, the rows 8, 9 and 10 of the result are NaN, and the smallest integer for int32.
`add` has the same trouble, unless the length of its arrays is a multiple of the block's.

Run this file to see it. One thing is wrong; mend it.
"""

import jax.numpy as jnp
import numpy as np

from pallas_np import frontend, kernels, phase4
from pallas_np.phase2 import uninitialized


class Block:
    """The block of an array that one program sees: a view, or a padded copy where it reaches past the array's end."""

    def __init__(self, array, start, block_shape):
        self.part = array[tuple(slice(s, s + size) for s, size in zip(start, block_shape))]
        if self.part.shape == tuple(block_shape):
            self.ref = self.part
        else:
            self.ref = uninitialized(block_shape, array.dtype)
            self.inner()[...] = self.part

    def inner(self):
        """The part of a padded ref that lies inside the array."""
        return self.ref[tuple(slice(size) for size in self.part.shape)]

    def write_back(self):
        """Brings what the program wrote into the array, if it is not there already."""
        if self.ref is not self.part:
            # --- solution
            self.part[...] = self.inner()
            # --- planted
            # self.part = self.inner()
            # --- end


class Interpreter(phase4.Interpreter):
    """Runs a kernel over its grid."""

    def run(self, call, *arrays):
        self.call, self.grid = call, call.grid
        outputs = [uninitialized(operand.shape, operand.dtype) for operand in call.outputs]
        operands = list(zip([*map(np.array, arrays), *outputs], call.inputs + call.outputs))
        scratch = [uninitialized(ref.shape, ref.dtype) for ref in call.scratch]
        for self.grid_index in np.ndindex(*call.grid):
            blocks = [Block(array, self.block_start(operand), operand.block_shape) for array, operand in operands]
            self.eval_jaxpr(call.jaxpr, call.jaxpr.consts, *(block.ref for block in blocks), *scratch)
            for block in blocks:
                block.write_back()
        return outputs


def run(call, *arrays):
    with np.errstate(all="ignore"):
        return Interpreter(phase4.numpy_rules).run(call, *arrays)


pallas_call = frontend.pallas_call_on(frontend.Engine("the suspect", run))


if __name__ == "__main__":
    keys = jnp.arange(44.0).reshape(11, 4)[:, ::-1]
    print(kernels.bitonic_sort(keys, pallas_call=pallas_call))


# === The workbook's part: not in the exercise file ===================================================================

from exercises.machinery import capstones

title = "The last rows"
minutes = 15
hints = (
    "Eleven rows in blocks of eight: the second block reaches past the end of the array. What is different about it, "
    "from its making to its end?",
    "Print `block.ref` and `outputs[0]` after `write_back`. The program has written the right thing. Where is it?",
    "An assignment to a name, or to an attribute, changes what the name means. Only an assignment to an index writes "
    "into the array that is there.",
)
explanation = """
`self.part = ...` gave the block another part; the array in `outputs`, of which the old part was a view, kept its
poison. With `[...]` the values go where the view points.

The poison has paid: had outputs begun as zeros, three rows of zeros might have passed for an answer.
"""
mistakes = (
    ("the other way round", "self.part[...] = self.inner()", "self.inner()[...] = self.part", "kernels.add"),
    ("the whole ref", "self.part[...] = self.inner()", "self.part[...] = self.ref", "Your code raised ValueError"),
    ("a local name", "self.part[...] = self.inner()", "part = self.inner()", "kernels.add"),
)


def check(learner):
    capstones.sorts(learner.pallas_call)
    capstones.keeps_scratch(learner.pallas_call)
