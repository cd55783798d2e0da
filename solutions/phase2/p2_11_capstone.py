"""Put your pieces together: the loop over the grid, around your rules. Then it sorts, with the kernel outside XLA.

Memory is not ours yet: `frontend.discharge(call)` gives the kernel as a jaxpr without refs, from the blocks' and the
scratch's contents to their new contents, in the same order. The table has your rules; what it lacks, JAX runs.

For each program of the grid:

1. find where each operand's block begins, and cut the blocks out of the whole arrays;
2. evaluate the kernel on the blocks, followed by the scratch;
3. paste the new blocks back, and keep the new scratch for the next program.
"""

import numpy as np

from pallas_np import frontend, lax_numpy, phase1
from pallas_np.frontend.primitives import lax_primitive, num_programs_p, program_id_p
from solutions.phase2.p2_01_the_first_rules import table
from solutions.phase2.p2_02_integer_division import div
from solutions.phase2.p2_03_bits_or_logic import and_, not_
from solutions.phase2.p2_04_casts_that_saturate import convert_element_type
from solutions.phase2.p2_05_shift_in_zeros import shift_right_logical
from solutions.phase2.p2_06_broadcast_and_iota import broadcast_in_dim, iota
from solutions.phase2.p2_07_ragged_blocks import cut, paste
from solutions.phase2.p2_08_the_grid import num_programs, program_id, programs
from solutions.phase2.p2_09_where_a_block_begins import block_start

OTHERS = (
    "concatenate eq exp ge gt le max min ne reshape rev shift_left shift_right_arithmetic slice squeeze xor".split()
)

numpy_rules = {
    **{lax_primitive(name): getattr(lax_numpy, name) for name in OTHERS},
    **table(),
    lax_primitive("or"): lax_numpy.or_,
    lax_primitive("and"): and_,
    lax_primitive("not"): not_,
    lax_primitive("div"): lambda x, y: np.divide(x, y) if x.dtype.kind == "f" else div(x, y),
    lax_primitive("convert_element_type"): convert_element_type,
    lax_primitive("shift_right_logical"): shift_right_logical,
    lax_primitive("broadcast_in_dim"): broadcast_in_dim,
    lax_primitive("iota"): iota,
    program_id_p: program_id,
    num_programs_p: num_programs,
}


class Interpreter(phase1.Interpreter):
    """Runs a kernel over its grid."""

    def run(self, call, *arrays):
        """Runs a `frontend.KernelCall` on its inputs, and returns its outputs in a list."""
        grid = self.grid = call.grid
        kernel = frontend.discharge(call)
        operands = call.inputs + call.outputs
        outputs = [np.zeros(operand.shape, operand.dtype) for operand in call.outputs]
        whole = [*map(np.array, arrays), *outputs]
        scratch = [np.zeros(ref.shape, ref.dtype) for ref in call.scratch]
        for self.grid_index in programs(grid):
            # --- solution
            starts = [block_start(self, operand) for operand in operands]
            blocks = [_cut(array, start, o.block_shape) for array, start, o in zip(whole, starts, operands)]
            results = self.eval_jaxpr(kernel, kernel.consts, *blocks, *scratch)
            for array, start, block in zip(whole, starts, results):
                paste(array, start, block)
            scratch = results[len(operands) :]
            # --- end
        return outputs


def _cut(array, start, block_shape):
    """Your `cut`, which pads with NaN; integers have none, and are padded with zeros."""
    if array.dtype.kind == "f":
        return cut(array, start, block_shape)
    padded = np.pad(array, [(0, size) for size in block_shape])
    return np.array(padded[tuple(slice(s, s + size) for s, size in zip(start, block_shape))])


def run(call, *arrays):
    with np.errstate(all="ignore"):
        return Interpreter(numpy_rules).run(call, *arrays)


pallas_call = frontend.pallas_call_on(frontend.Engine("my phase 2", run))


# === The workbook's part: not in the exercise file ===================================================================

from exercises.machinery import capstones

title = "Capstone: out of XLA"
minutes = 25
seconds = 120
hints = (
    "Everything you need has a name already. `operands`, `whole`, the starts and the blocks go in step: zip them.",
    "`block_start(self, operand)`, `_cut(array, start, operand.block_shape)`, `self.eval_jaxpr(kernel, "
    "kernel.consts, ...)` and `paste` are the four of them.",
    "Three lists, one entry for each operand: starts, blocks, and the first `len(operands)` results; paste those, "
    "and the results after them are the scratch of the next program.",
)
explanation = """
The kernel has left XLA: nothing of it is compiled as a whole any more. JAX still runs what the table lacks, one
equation at a time, each compiled once for each shape. Most of the time now goes there, and into discharging.

Every read of a ref has become a slice of a whole block, and every write an update that copies it. That is what
phase 3 ends.
"""
mistakes = (
    ("loses the scratch", "scratch = results[len(operands) :]", "scratch = scratch", "scratch"),
    ("forgets the scratch of the kernel", "*blocks, *scratch)", "*blocks)", "Your code raised"),
    ("does not paste", "paste(array, start, block)", "pass", "got"),
)


def check(learner):
    capstones.keeps_scratch(learner.pallas_call)
    capstones.sorts(learner.pallas_call)
    return capstones.verdict(2, capstones.speed_up(learner.pallas_call))
