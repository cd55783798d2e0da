"""Put your pieces together: memory is yours. Run the kernel itself on refs that are NumPy arrays, and sort.

Nothing is discharged any more: `call.jaxpr` takes a ref for each input, each output and each scratch, in this
order, and writes them in place. Scratch is made once and stays; blocks are new for each program, and
`self.block_start(operand)` says where each begins.

Loops and conditionals are still JAX's: the fall-back, which is here already, has their refs' contents carried in and
written back.
"""

import numpy as np

from pallas_np import frontend, phase2
from pallas_np.frontend.primitives import addupdate_p, get_p, swap_p
from pallas_np.frontend.refs import Index
from pallas_np.phase1 import structure
from solutions.phase3 import p3_01_read_a_ref, p3_02_swap, p3_03_addupdate
from solutions.phase3.p3_04_where_it_points import numpy_index
from solutions.phase3.p3_05_a_chain_of_transforms import transformed
from solutions.phase3.p3_06_memory_nobody_wrote import uninitialized
from solutions.phase3.p3_07_blocks_are_views import Block


def place(eqn, ref, operands):
    """Where an access to a ref leads: the view that the transforms before the last give, and an index into it."""
    transforms = eqn.params["transforms"]
    for transform in transforms[:-1]:
        ref = transformed(ref, [_for_numpy(transform, operands, ref.shape)])
    if not transforms:
        return ref, ...
    last = _for_numpy(transforms[-1], operands, ref.shape)
    return (ref, last.indices) if isinstance(last, Index) else (transformed(ref, [last]), ...)


def _for_numpy(transform, operands, shape):
    return Index(numpy_index(transform.indices, operands, shape)) if isinstance(transform, Index) else transform


@structure
def get(interp, eqn, ref, *operands):
    # --- solution
    return p3_01_read_a_ref.get(*place(eqn, ref, operands))
    # --- end


@structure
def swap(interp, eqn, ref, value, *operands):
    # --- solution
    return p3_02_swap.swap(*place(eqn, ref, operands), value)
    # --- end


@structure
def addupdate(interp, eqn, ref, value, *operands):
    # --- solution
    return p3_03_addupdate.addupdate(*place(eqn, ref, operands), value)
    # --- end


numpy_rules = {**phase2.numpy_rules, get_p: get, swap_p: swap, addupdate_p: addupdate}


class Interpreter(phase2.Interpreter):
    """Runs a kernel over its grid, on refs that are NumPy arrays."""

    def run(self, call, *arrays):
        """Runs a `frontend.KernelCall` on its inputs, and returns its outputs in a list."""
        self.call, self.grid = call, call.grid
        outputs = [uninitialized(operand.shape, operand.dtype) for operand in call.outputs]
        operands = list(zip([*map(np.array, arrays), *outputs], call.inputs + call.outputs))
        scratch = [uninitialized(ref.shape, ref.dtype) for ref in call.scratch]
        for self.grid_index in np.ndindex(*call.grid):
            # --- solution
            blocks = [Block(array, self.block_start(operand), operand.block_shape) for array, operand in operands]
            self.eval_jaxpr(call.jaxpr, call.jaxpr.consts, *(block.ref for block in blocks), *scratch)
            for block in blocks:
                block.write_back()
            # --- end
        return outputs

    def fall_back(self, eqn, *args):
        """What the table lacks, JAX runs; if it touches refs, their contents go in and come back."""
        if frontend.touches_refs(eqn):
            return frontend.run_stateful_equation(eqn, *args)
        return frontend.run_equation(eqn, *args)


def run(call, *arrays):
    with np.errstate(all="ignore"):
        return Interpreter(numpy_rules).run(call, *arrays)


pallas_call = frontend.pallas_call_on(frontend.Engine("my phase 3", run))


# === The workbook's part: not in the exercise file ===================================================================

from exercises.machinery import capstones

title = "Capstone: memory in NumPy"
minutes = 20
seconds = 120
hints = (
    "The three rules are your earlier functions, given the place that `place` finds. The program is three steps.",
    "`place(eqn, ref, operands)` answers with what your `get` takes first: a ref and an index. A block's start is "
    "`self.block_start(operand)`.",
    "Make a `Block` for each array and operand, evaluate `call.jaxpr` on all their refs and the scratch, then have "
    "every block write back.",
)
explanation = """
Compare the loop with phase 2's. There is no new block to paste, no scratch to keep: writing in place has made both
unnecessary, and an update no longer copies an array.

What is left to JAX are the loops, and they hurt: each is compiled with everything in it, once for every kernel.
"""
mistakes = (
    ("forgets to write back", "                block.write_back()\n", "                pass\n", "ragged"),
    ("gives the kernel the blocks", "*(block.ref for block in blocks)", "*blocks", "Your code raised"),
    (
        "scratch is made anew",
        "*(block.ref for block in blocks), *scratch)",
        "*(block.ref for block in blocks), *map(np.copy, scratch))",
        "scratch",
    ),
)


def check(learner):
    capstones.keeps_scratch(learner.pallas_call)
    capstones.sorts(learner.pallas_call)
    return capstones.verdict(3, capstones.speed_up(learner.pallas_call))
