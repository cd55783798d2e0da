"""Exercise 5.11: Scalars that come first (20 minutes)

Run a grid whose index maps read memory: scalar prefetch.

With `num_scalar_prefetch=n`, the first n arrays of a call are not cut into blocks. They are there, whole, before the
first program runs, and two readers want them: each index map gets them after the grid index, and the kernel gets them
before its other refs. So a table of integers can say which block a program sees.

`call.prefetch` has one ref for each such array. `call.inputs` and `call.outputs` are operands, each with an
`index_map`, which is a jaxpr, and a `block_shape`. Here every block fits, and each index map counts blocks. A block is
a view.

    pytest exercises/phase5/p5_11_scalars_that_come_first.py
    python -m exercises hint 5.11
"""

import numpy as np


def block(interp, operand, array, prefetch):
    """The part of `array` that the program at `interp.grid_index` sees, as a view.

    Args:
      interp: the interpreter; `interp.eval_jaxpr(jaxpr, jaxpr.consts, *args)` runs a jaxpr.
      operand: the operand whose array it is.
      array: the whole array.
      prefetch: the prefetched arrays.
    """
    # Your turn: about 3 lines.
    raise NotImplementedError("your turn")


def run_grid(interp, call, arrays):
    """Runs the kernel `call.jaxpr` for every index of `call.grid`, and returns the outputs.

    Args:
      interp: the interpreter; its `grid_index` says which program runs.
      call: the kernel call.
      arrays: the prefetched arrays, and then the inputs.
    """
    outputs = [np.zeros(out.shape, out.dtype) for out in call.outputs]
    # Your turn: about 6 lines.
    raise NotImplementedError("your turn")
    return outputs


# Generated; unedited as long as this fits: dfb48b0d
