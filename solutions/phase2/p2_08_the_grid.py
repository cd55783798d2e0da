"""Write the order of the grid's programs, and the two rules that tell a program where it is.

A grid of (2, 3) runs six programs, one after the other: (0, 0), (0, 1), (0, 2), (1, 0), ... The last axis goes
fastest. The order matters: scratch memory carries values from one program to the next.

`program_id` and `num_programs` are structure rules, since the answer is not in any array. `interp.grid_index` is the
index of the program that runs, `interp.grid` the grid, `eqn.params["axis"]` the axis that is asked for. Both answer
with an int32.
"""

import numpy as np

from pallas_np.phase1 import structure


def programs(grid):
    """The grid indices of all programs, as tuples, in the order in which they run."""
    # --- solution
    return [tuple(index) for index in np.ndindex(*grid)]
    # --- end


@structure
def program_id(interp, eqn):
    """Which program this is, along an axis of the grid."""
    # --- solution
    return np.int32(interp.grid_index[eqn.params["axis"]])
    # --- end


@structure
def num_programs(interp, eqn):
    """How many programs there are along an axis of the grid."""
    # --- solution
    return np.int32(interp.grid[eqn.params["axis"]])
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

from types import SimpleNamespace

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from exercises.machinery.checking import described, expect_kernel, require, same, trying
from pallas_np.frontend.primitives import num_programs_p, program_id_p

title = "The grid"
minutes = 10
primitives = ("program_id", "num_programs")
hints = (
    "It is a loop inside a loop, with the last axis innermost. NumPy can make the loops for any number of axes.",
    "`np.ndindex(*grid)` counts in C order: the last axis fastest. The rules look at the interpreter, not at arrays.",
    '`interp.grid_index` and `interp.grid` are tuples; `eqn.params["axis"]` is the place in them; `np.int32` makes '
    "the answer what JAX expects.",
)
explanation = """
On a TPU the programs of a grid run one after the other on each core, and kernels rely on it: a matrix product keeps
its running sum in scratch while the last axis goes by. On a GPU they run side by side, and such a kernel would be
wrong.

A grid without axes has one program, whose index is `()`; `np.ndindex()` agrees.
"""
mistakes = (
    ("first axis fastest", "np.ndindex(*grid)", "(i[::-1] for i in np.ndindex(*grid[::-1]))", "last axis goes fastest"),
    (
        "a Python int",
        'np.int32(interp.grid_index[eqn.params["axis"]])',
        'interp.grid_index[eqn.params["axis"]]',
        "an int; wanted an array",
    ),
    ("always the first axis", 'np.int32(interp.grid[eqn.params["axis"]])', "np.int32(interp.grid[0])", "num_programs"),
)


def check(learner):
    for grid in ((3,), (2, 3), (2, 1, 2), ()):
        want = [tuple(int(i) for i in index) for index in np.ndindex(*grid)]
        with trying(f"Tried programs({grid})"):
            got = list(learner.programs(grid))
        say = f"Tried programs({grid}): got {got}, wanted {want}.\nThe last axis goes fastest."
        require(got == want, say)

    def where_am_i(out_ref):
        out_ref[0, 0] = pl.program_id(0) * 100 + pl.program_id(1) * 10 + pl.num_programs(1) - pl.num_programs(0)

    interp, eqn = SimpleNamespace(grid=(3, 4, 5), grid_index=(2, 0, 1)), SimpleNamespace(params={"axis": 1})
    for rule, want in ((learner.program_id, np.int32(0)), (learner.num_programs, np.int32(4))):
        tried = described(f"{rule.__name__} for axis 1", {"interp.grid": interp.grid, "interp.grid_index": (2, 0, 1)})
        with trying(tried):
            same(rule(interp, eqn), want, tried, "It answers with an int32, for the axis that is asked for.")
    expect_kernel(
        {program_id_p: learner.program_id, num_programs_p: learner.num_programs},
        where_am_i,
        jax.ShapeDtypeStruct((3, 4), jnp.int32),
        grid=(3, 4),
        out_specs=pl.BlockSpec((1, 1), lambda i, j: (i, j)),
    )
