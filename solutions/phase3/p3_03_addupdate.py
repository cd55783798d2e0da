"""Write the rule for `addupdate`, which adds to what a ref holds.

It works in place, keeps the ref's dtype, and has no result: its rule answers with an empty list.

`index` is what NumPy would take: a tuple of integers and slices, or `...` for the whole ref.
"""

import numpy as np


def addupdate(ref, index, value):
    """Adds `value` to the ref at `index`, in place; answers with an empty list."""
    # --- solution
    ref[index] += value
    return []
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

import jax
import jax.numpy as jnp

from exercises.machinery.checking import array_like, describe_call, expect_kernel, same, trying
from pallas_np.frontend.primitives import addupdate_p
from pallas_np.phase1 import structure
from pallas_np.phase3 import numpy_index

title = "Add to a ref"
minutes = 5
primitives = ("addupdate",)
hints = (
    "Python has one statement that reads, adds and writes back.",
    "An assignment such as `x[2:4] += 1` works on a part of an array, in place. An equation without results answers "
    "with `[]`.",
    "One line adds, one returns the empty list. Do not forget the index: `ref += value` would add everywhere.",
)
explanation = """
`ref[index] += value` is three steps, as in the kernel: read the part, add, write it back. What NumPy adds in a wider
dtype it writes in the ref's own, so that nothing widens.

An array of integers may name an element twice, and then it counts twice. `ref[index] += value` reads once and writes
once, and so adds once; `np.add.at(ref, index, value)` adds each time. The phase takes the second for every index, and
exercise 5.9 asks for it.

An equation's number of results is fixed, and here it is none. An answer of `None` would be taken apart as a list and
fail; so rules for equations without results answer with `[]`.
"""
mistakes = (
    ("adds everywhere", "ref[index] += value", "ref += value", "The ref afterwards"),
    ("not in place", "ref[index] += value", "ref = ref + value", "The ref afterwards"),
    ("writes instead", "ref[index] += value", "ref[index] = value", "The ref afterwards"),
    ("no answer", "    return []\n", "", "got None, wanted []"),
)


def check(learner):
    random = np.random.default_rng()
    for index in ((2,), (slice(1, 4),), (slice(0, 6, 2),), ...):
        before = random.integers(1, 100, 6).astype(np.int32)
        value = random.integers(1, 50, before[index].shape).astype(np.int32)
        ref, want = before.copy(), before.copy()
        want[index] = before[index] + value
        tried = describe_call(learner.addupdate, (before, index, value), {})
        with trying(tried):
            answer = learner.addupdate(ref, index, value)
        same(ref, want, f"{tried}\nThe ref afterwards:")
        same(answer, [], f"{tried}\nThe answer:")

    @structure
    def rule(interp, eqn, ref, value, *indices):
        transforms = eqn.params["transforms"]
        return learner.addupdate(ref, numpy_index(transforms[0], indices, ref.shape) if transforms else ..., value)

    def add_twice(x_ref, out_ref):
        out_ref[...] = jnp.zeros_like(out_ref)
        jax.ref.addupdate(out_ref, slice(0, 4), x_ref[0:4])
        jax.ref.addupdate(out_ref, slice(2, 6), x_ref[2:6])

    x = jnp.asarray(random.standard_normal(6).round(2), jnp.float32)
    expect_kernel({addupdate_p: rule}, add_twice, array_like(x), x)
