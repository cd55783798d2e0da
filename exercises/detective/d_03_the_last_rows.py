"""Exercise D.3: The last rows (15 minutes)

Find the fault: of eleven rows, eight come out sorted, and the last three as nothing but NaN.

Below are an interpreter's grid and its blocks, in place of phase 4's. With 8, 16 or 24 rows it sorts all of them.
With 11, in blocks of 8 as always, the rows 8, 9 and 10 of the result are NaN, and the smallest integer for int32.
`add` has the same trouble, unless the length of its arrays is a multiple of the block's.

Run this file to see it. One thing is wrong; mend it.

    pytest exercises/detective/d_03_the_last_rows.py
    python -m exercises hint D.3
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
            self.part = self.inner()


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


# Generated; unedited as long as this fits: d2e0c138
