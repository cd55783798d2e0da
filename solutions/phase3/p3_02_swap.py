"""Write the rule for `swap`, which writes to a ref and answers with what was there.

`x_ref[...] = value` in a kernel is an equation `swap x_ref value`. Mostly nobody uses its answer, but it is there:
the values that the write has replaced. The write itself happens in place, in the ref's own array.

`index` is what NumPy would take: a tuple of integers and slices, or `...` for the whole ref.
"""

import numpy as np


def swap(ref, index, value):
    """Writes `value` to the ref at `index`, in place, and answers with what was there before."""
    # --- solution
    old = np.array(ref[index])
    ref[index] = value
    return old
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from exercises.machinery.checking import array_like, describe_call, expect_kernel, require, same, trying
from pallas_np.frontend.primitives import swap_p
from pallas_np.phase1 import structure
from pallas_np.phase3 import numpy_index

title = "Swap"
minutes = 5
primitives = ("swap",)
hints = (
    "Three lines, and their order matters: what has to happen before the write?",
    "Reading is what `get` does, copy and all. Writing is an assignment to an index: `ref[index] = ...`.",
    "Keep `np.array(ref[index])` under a name, assign, return what you kept.",
)
explanation = """
The name says what it does: the new value goes in, the old one comes out, and only the copy makes the two different
things. Without it the "old" values are a view, and show what has just been written.

`ref = value` would write to nothing: it gives the name `ref` to another array. Only an assignment to an index, or a
method that works in place, reaches the memory that the kernel sees.
"""
mistakes = (
    ("old value is a view", "np.array(ref[index])", "ref[index]", "what was there before"),
    ("answers with the new", "return old", "return np.array(ref[index])", "what was there before"),
    ("does not write", "    ref[index] = value\n", "", "The ref afterwards"),
    ("rebinds the name", "ref[index] = value", "ref = value", "The ref afterwards"),
)


def check(learner):
    random = np.random.default_rng()
    for index in ((slice(1, 4),), (2,), (slice(0, 6, 2),), ...):
        before = random.integers(0, 100, 6).astype(np.int32)
        value = random.integers(100, 200, before[index].shape).astype(np.int32)
        ref, want = before.copy(), before.copy()
        want[index] = value
        tried = describe_call(learner.swap, (before, index, value), {})
        with trying(tried):
            old = learner.swap(ref, index, value)
        same(ref, want, f"{tried}\nThe ref afterwards:")
        same(old, np.array(before[index]), f"{tried}\nThe answer:", "It is what was there before the write.")
        require(
            not np.shares_memory(old, ref),
            f"{tried}\nThe answer shares the ref's memory, and the next write changes it.",
        )

    @structure
    def rule(interp, eqn, ref, value, *indices):
        transforms = eqn.params["transforms"]
        return learner.swap(ref, numpy_index(transforms[0], indices, ref.shape) if transforms else ..., value)

    def exchange(x_ref, out_ref):
        out_ref[...] = x_ref[...]
        out_ref[4:6] = _swapped(out_ref, pl.ds(0, 2), x_ref[2:4])

    x = jnp.asarray(random.integers(0, 100, 6), jnp.int32)
    expect_kernel({swap_p: rule}, exchange, array_like(x), x, say="The answer is what was there before the write.")


def _swapped(ref, index, value):
    return jax.ref.swap(ref, index, value)
