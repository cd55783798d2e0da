"""Write the rule for `get`, which reads a ref.

From phase 3 on a ref is a NumPy array, and `x_ref[...]` in a kernel is an equation `get x_ref`. What is read is a
value: it must stay as it is, whatever the kernel writes to the ref afterwards.

`index` is what NumPy would take: a tuple of integers and slices, or `...` for the whole ref.
"""

import numpy as np


def get(ref, index):
    """The values of the ref at `index`.

    Args:
      ref: the NumPy array that holds the ref's contents.
      index: what to read, as NumPy's indexing takes it.
    """
    # --- solution
    return np.array(ref[index])
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

import jax.numpy as jnp

from exercises.machinery.checking import array_like, described, expect, expect_kernel, require
from pallas_np.frontend.primitives import get_p
from pallas_np.phase1 import structure
from pallas_np.phase3 import numpy_index

title = "Read a ref"
minutes = 5
primitives = ("get",)
hints = (
    "Slicing a NumPy array does not read anything: it makes a second name for the same memory.",
    "`np.array` copies what it is given, scalars included; `np.asarray` does not.",
    "Index the ref as you would any array, and copy what comes out.",
)
explanation = """
A view is the classic fault of this phase, and its symptom is odd: a sort that exchanges two places reads both, writes
the first, and finds that the second *value* has changed as well. Some elements come out twice, others are lost.

The copy has its price, a few microseconds. A compiler, which sees the whole program, can leave it out
where nothing writes to the ref before the value's last use; an interpreter sees one equation at a time.
"""
mistakes = (
    ("returns a view", "np.array(ref[index])", "ref[index]", "shares the ref's memory"),
    ("asarray", "np.array(ref[index])", "np.asarray(ref[index])", "shares the ref's memory"),
    ("reads the whole ref", "ref[index]", "ref", "shape: got [6], wanted [2]"),
)


def check(learner):
    values = np.random.default_rng().integers(0, 100, 6).astype(np.int32)
    for index in ((slice(2, 4),), (3,), (slice(0, 6, 2),), ...):
        ref = values.copy()
        got = expect(learner.get, ref, index, want=np.array(values[index]))
        tried = described("get(ref, index)", {"ref": values, "index": index})
        say = "The answer shares the ref's memory: the next write to the ref changes it."
        require(not np.shares_memory(got, ref), f"{tried}\n{say}")

    @structure
    def rule(interp, eqn, ref, *indices):
        transforms = eqn.params["transforms"]
        return learner.get(ref, numpy_index(transforms[0], indices, ref.shape) if transforms else ...)

    def exchange_halves(x_ref, out_ref):
        out_ref[...] = x_ref[...]
        left, right = out_ref[0:3], out_ref[3:6]
        out_ref[0:3] = right
        out_ref[3:6] = left

    x = jnp.asarray(values)
    expect_kernel({get_p: rule}, exchange_halves, array_like(x), x, say="What was read must not change with the ref.")
