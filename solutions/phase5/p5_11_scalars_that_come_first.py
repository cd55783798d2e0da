"""Run a grid whose index maps read memory: scalar prefetch.

With `num_scalar_prefetch=n`, the first n arrays of a call are not cut into blocks. They are there, whole, before the
first program runs, and two readers want them: each index map gets them after the grid index, and the kernel gets them
before its other refs. So a table of integers can say which block a program sees.

`call.prefetch` has one ref for each such array. `call.inputs` and `call.outputs` are operands, each with an
`index_map`, which is a jaxpr, and a `block_shape`. Here every block fits, and each index map counts blocks. A block is
a view.
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
    # --- solution
    index_map = operand.index_map
    answer = interp.eval_jaxpr(index_map, index_map.consts, *map(np.int32, interp.grid_index), *prefetch)
    return array[tuple(slice(int(i) * size, (int(i) + 1) * size) for i, size in zip(answer, operand.block_shape))]
    # --- end


def run_grid(interp, call, arrays):
    """Runs the kernel `call.jaxpr` for every index of `call.grid`, and returns the outputs.

    Args:
      interp: the interpreter; its `grid_index` says which program runs.
      call: the kernel call.
      arrays: the prefetched arrays, and then the inputs.
    """
    outputs = [np.zeros(out.shape, out.dtype) for out in call.outputs]
    # --- solution
    count = len(call.prefetch)
    prefetch, whole = arrays[:count], [*arrays[count:], *outputs]
    for index in np.ndindex(*call.grid):
        interp.grid_index = index
        refs = [block(interp, operand, array, prefetch) for operand, array in zip(call.inputs + call.outputs, whole)]
        interp.eval_jaxpr(call.jaxpr, call.jaxpr.consts, *prefetch, *refs)
    # --- end
    return outputs


# === The workbook's part: not in the exercise file ===================================================================

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from exercises.machinery.checking import call_of, described, same, trying
from pallas_np import phase5

title = "Scalars that come first"
minutes = 20
hints = (
    "Split the arrays in two: those that are prefetched, and those that have blocks. The first kind goes everywhere "
    "as it is.",
    "`len(call.prefetch)` says how many are prefetched. `np.ndindex` makes the order of programs; "
    "`interp.grid_index` has to be set before an index map is asked.",
    "`block`: evaluate the map on the grid index (as int32), then the prefetched arrays; a slice for each axis. "
    "`run_grid`: for each index make all blocks, and evaluate the kernel on the prefetched arrays, then the blocks.",
)
explanation = """
This is how a kernel follows a table of pages: in paged attention the keys of one sequence lie in blocks all over
memory, and a prefetched table says where. The index map reads it like any other ref, with a `get`.

It has to be *prefetched* because on a TPU the blocks of the next program are fetched while this one runs, so the index
map is asked early. For an interpreter there is nothing to it but the order of the arguments.
"""
mistakes = (
    (
        "no scalars for the map",
        "*map(np.int32, interp.grid_index), *prefetch",
        "*map(np.int32, interp.grid_index)",
        "Your code raised",
    ),
    ("counts elements", "slice(int(i) * size, (int(i) + 1) * size)", "slice(int(i), int(i) + size)", "counts blocks"),
    ("scalars after the blocks", "*prefetch, *refs", "*refs, *prefetch", "the kernel follows"),
    (
        "blocks that are copies",
        "refs = [block(interp, operand, array, prefetch) for",
        "refs = [block(interp, operand, array, prefetch).copy() for",
        "A block is a view",
    ),
    ("stays at the first program", "interp.grid_index = index", "interp.grid_index = (0,) * len(index)", "got"),
)


def check(learner):
    random = np.random.default_rng()

    def follows_a_table(table_ref, x_ref, out_ref):
        out_ref[...] = x_ref[...] * 10 + table_ref[pl.program_id(0)]

    x = random.integers(0, 10, (8, 3)).astype(np.int32)
    table = random.permutation(4).astype(np.int32)
    specs = pltpu.PrefetchScalarGridSpec(
        num_scalar_prefetch=1,
        grid=(4,),
        in_specs=[pl.BlockSpec((2, 3), lambda i, table: (table[i], 0))],
        out_specs=pl.BlockSpec((2, 3), lambda i, table: (i, 0)),
    )
    _expect(learner, follows_a_table, jax.ShapeDtypeStruct(x.shape, jnp.int32), specs, table, x)

    def follows_two(rows_ref, columns_ref, x_ref, y_ref, out_ref):
        out_ref[...] = x_ref[...] - y_ref[...] + rows_ref[pl.program_id(0)] + columns_ref[0]

    x, y = random.integers(0, 99, (2, 6, 8)).astype(np.int32)
    rows, columns = random.integers(0, 3, 3).astype(np.int32), random.integers(0, 2, 2).astype(np.int32)
    specs = pltpu.PrefetchScalarGridSpec(
        num_scalar_prefetch=2,
        grid=(3, 2),
        in_specs=[
            pl.BlockSpec((2, 4), lambda i, j, rows, columns: (rows[i], columns[j])),
            pl.BlockSpec((2, 4), lambda i, j, rows, columns: (i, columns[1 - j])),
        ],
        out_specs=pl.BlockSpec((2, 4), lambda i, j, rows, columns: (i, j)),
    )
    _expect(learner, follows_two, jax.ShapeDtypeStruct(x.shape, jnp.int32), specs, rows, columns, x, y)


def _expect(learner, kernel, out, specs, *arrays):
    call = call_of(kernel, out, *arrays, grid_spec=specs)
    interp = phase5.Interpreter(phase5.numpy_rules)
    interp.call, interp.grid = call, call.grid
    tried = described(
        f"run_grid on the kernel {kernel.__name__}, grid {call.grid}", dict(zip(call.jaxpr.argument_names, arrays))
    )
    with trying(tried):
        got = learner.run_grid(interp, call, [np.array(array) for array in arrays])
    want = pl.pallas_call(kernel, out, grid_spec=specs, interpret=True)(*arrays)
    say = (
        "A block is a view, its index map counts blocks, and the kernel follows its prefetched refs, which come first."
    )
    same(got, [np.asarray(want)], tried, say)
