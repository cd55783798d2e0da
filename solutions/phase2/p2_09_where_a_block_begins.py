"""Ask an index map where a program's block begins.

An index map is a little program of its own, from grid indices to block indices, and arrives as a jaxpr:
`operand.index_map`. It takes the grid index, one int32 for each axis of the grid (`interp.grid_index`), and answers
with one number for each axis of the array. `interp.eval_jaxpr(jaxpr, consts, *args)` evaluates a jaxpr and answers with
a list; a jaxpr's own constants are in `jaxpr.consts`.

What the number counts depends on the axis. `operand.block` has for each axis of the array a `kind` and a `size`:
where the kind is `"blocked"` it counts blocks of `size` elements, where it is `"squeezed"` it counts elements.
"""

import numpy as np


def block_start(interp, operand):
    """The position of the block's first element in the array: a tuple of Python integers, one for each axis."""
    # --- solution
    index_map = operand.index_map
    answer = interp.eval_jaxpr(index_map, index_map.consts, *map(np.int32, interp.grid_index))
    return tuple(int(i) * (dim.size if dim.kind == "blocked" else 1) for i, dim in zip(answer, operand.block))
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from exercises.machinery.checking import call_of, described, same, trying
from pallas_np import phase5

title = "Where a block begins"
minutes = 10
hints = (
    "The interpreter that runs the kernel can run the index map: it is a jaxpr, too.",
    "`interp.eval_jaxpr(jaxpr, consts, *args)`; the constants are in the jaxpr's own `consts`, the arguments are the "
    "grid index as int32.",
    "Evaluate the map on `np.int32` of each grid index; then multiply each answer by `dim.size` where `dim.kind` is "
    '"blocked".',
)
explanation = """
An index map is any jaxpr: it may divide, compare and look things up. Most are `lambda i: (i, 0)` and have no
equation at all, and then the answer is an argument or a literal.

With scalar prefetch it may even read memory, which is how kernels follow a table of pages. That is for phase 5.
"""
mistakes = (
    ("counts elements", 'dim.size if dim.kind == "blocked" else 1', "1", "counts blocks"),
    ("counts blocks always", 'dim.size if dim.kind == "blocked" else 1', "operand.shape[0]", "otherwise elements"),
    ("NumPy integers", "int(i) * (", "i * (", "Python integers"),
    ("gives the map no index", "*map(np.int32, interp.grid_index)", "*()", "Your code raised"),
)


def check(learner):
    def copy(x_ref, table_ref, out_ref):
        out_ref[...] = x_ref[...]

    shift = np.arange(2, dtype=np.int32)
    maps = (lambda i, j: (j, i), lambda i, j: (i // 2, 1), lambda i, j: (0, jax.lax.select(i > j, i, j)))
    for index_map in maps:
        _at_every_program(learner, copy, pl.BlockSpec((2, 3), index_map), (8, 12), shift)
    _at_every_program(learner, copy, pl.BlockSpec((None, 3), lambda i, j: (j + 1, i)), (8, 12), shift)


def _at_every_program(learner, kernel, spec, shape, table):
    x = jnp.zeros(shape, jnp.float32)
    out = jax.ShapeDtypeStruct(tuple(size for size in spec.block_shape if size), jnp.float32)
    whole = pl.BlockSpec(table.shape, lambda i, j: (0,))
    out_spec = pl.BlockSpec(out.shape, lambda i, j: (0,) * len(out.shape))
    call = call_of(kernel, out, x, table, grid=(3, 3), in_specs=[spec, whole], out_specs=out_spec)
    interp = phase5.Interpreter(phase5.numpy_rules)
    interp.call, interp.grid = call, (3, 3)
    for index in np.ndindex(3, 3):
        interp.grid_index = index
        answer = spec.index_map(*map(jnp.int32, index))
        want = tuple(int(a) * (size or 1) for a, size in zip(answer, spec.block_shape))
        kinds = [(dim.kind, dim.size) for dim in call.inputs[0].block]
        given = {
            "interp.grid_index": index,
            "operand.block (kind, size)": kinds,
            "the index map's answer": [int(a) for a in answer],
        }
        tried = described("block_start(interp, operand)", given)
        with trying(tried):
            got = learner.block_start(interp, call.inputs[0])
        same(got, want, tried, 'Where the kind is "blocked", the map counts blocks; otherwise elements.')
        same([type(i).__name__ for i in got], ["int"] * len(shape), tried, "The positions are Python integers.")
