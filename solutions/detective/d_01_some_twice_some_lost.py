"""Find the fault: this interpreter sorts, but some elements come out twice, and others not at all.

Below are rules for memory, and an interpreter that uses them in place of phase 5's. The kernels of the first chapter
run on it and are right: `add`, `softmax`, `matmul`. The sort is not:

    keys    [ 3.  1.  2.  0.]
    sorted  [ 0.  1.  1.  2.]

Run this file to see it. One thing is wrong; mend it, in one line.
"""

import jax.numpy as jnp
import numpy as np

from pallas_np import frontend, kernels, phase3, phase5
from pallas_np.frontend.primitives import addupdate_p, get_p, swap_p
from pallas_np.frontend.refs import Index
from pallas_np.phase1 import structure


def place(eqn, ref, operands):
    """The array and the index that an access to a ref leads to."""
    *before, last = eqn.params["transforms"] or [None]
    ref = phase3.transformed(ref, before, operands)
    if isinstance(last, Index):
        return ref, phase3.numpy_index(last, operands, ref.shape)
    return (ref, ...) if last is None else (phase3.transformed(ref, [last], operands), ...)


@structure
def get(interp, eqn, ref, *operands):
    array, index = place(eqn, ref, operands)
    # --- solution
    return np.array(array[index])
    # --- planted
    # return np.asarray(array[index])
    # --- end


@structure
def swap(interp, eqn, ref, value, *operands):
    array, index = place(eqn, ref, operands)
    old = np.array(array[index])
    array[index] = value
    return old


@structure
def addupdate(interp, eqn, ref, value, *operands):
    array, index = place(eqn, ref, operands)
    array[index] += value
    return []


numpy_rules = {**phase5.numpy_rules, get_p: get, swap_p: swap, addupdate_p: addupdate}


def run(call, *arrays):
    return phase5.Interpreter(numpy_rules).run(call, *arrays)


pallas_call = frontend.pallas_call_on(frontend.Engine("the suspect", run))


if __name__ == "__main__":
    keys = jnp.array([[3.0, 1.0, 2.0, 0.0]])
    print("keys  ", keys)
    print("sorted", kernels.bitonic_sort(keys, pallas_call=pallas_call))


# === The workbook's part: not in the exercise file ===================================================================

from exercises.machinery import capstones

title = "Some twice, some lost"
minutes = 15
primitives = ("get",)
hints = (
    "The sort exchanges: it reads two things, then writes both. `add` and `softmax` never write to what they have "
    "read. What happens to a value that has been read when its ref is written?",
    "Put a `print` into `get` and `swap`, and look at the first exchange. Then look at what each rule does with "
    "`array[index]`, and compare.",
    "`np.asarray` makes an array of what is not one yet. Of an array, a view included, it makes nothing at all.",
)
explanation = """
`get` answered with a view. The sort reads the even and the odd columns, writes the smaller of each pair to the even
ones, and in doing so changes the "value" it has read; the larger is then computed from two copies of the smaller.

It passes every test that reads, computes and writes to another ref, which is why the package has a test with the
swap of two halves. And it is one letter away: `array` copies, `asarray` does not.
"""
mistakes = (
    ("a view still", "return np.array(array[index])", "return array[index]", "kernels.bitonic_sort"),
    ("not the part", "return np.array(array[index])", "return np.array(ref)", "Your code raised"),
    (
        "copies if it must",
        "return np.array(array[index])",
        "return np.array(array[index], copy=None)",
        "first difference",
    ),
)


def check(learner):
    capstones.sorts(learner.pallas_call)
