"""Exercise D.1: Some twice, some lost (15 minutes)

Find the fault: this interpreter sorts, but some elements come out twice, and others not at all.

Below are rules for memory, and an interpreter that uses them in place of phase 5's. The kernels of the first chapter
run on it and are right: `add`, `softmax`, `matmul`. The sort is not:

    keys    [ 3.  1.  2.  0.]
    sorted  [ 0.  1.  1.  2.]

Run this file to see it. One thing is wrong; mend it, in one line.

    pytest exercises/detective/d_01_some_twice_some_lost.py
    python -m exercises hint D.1
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
    return np.asarray(array[index])


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


# Generated; unedited as long as this fits: 1ac6b2ee
