"""Set up the arrays of a call with `input_output_aliases`: some outputs are their inputs, in one buffer.

With `input_output_aliases={1: 0}`, output 0 takes over the memory of input 1. In the kernel there are two refs, and
both are the *same* array: what is written through one is read through the other, and what nobody writes keeps the
input's values.

The caller's own array must not change: JAX's arrays never do. So an aliased input is copied once.
"""

import numpy as np


def with_aliases(inputs, outputs, aliases):
    """The arrays for the kernel's input refs and output refs, as two lists.

    Args:
      inputs: the caller's arrays.
      outputs: new arrays, one for each output.
      aliases: pairs (position of an input, position of the output that takes it over).
    """
    # --- solution
    inputs, outputs = list(inputs), list(outputs)
    for i, o in aliases:
        inputs[i] = outputs[o] = np.array(inputs[i])
    return inputs, outputs
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

from exercises.machinery.checking import described, require, same, show, trying

title = "One buffer, two refs"
minutes = 10
hints = (
    "For every pair, the two lists hold the same object at the two places. And it is none of the caller's.",
    "`np.array` copies. One assignment can give one object to two places: `a[i] = b[j] = ...`.",
    "Copy both lists; for each pair, put one copy of the input's array at both its places.",
)
explanation = """
It is a fault that even JAX's `interpret=True` had: in release 0.10.2 the two refs were two arrays, and an update
such as `out_ref[...] = x_ref[...] + 1` over a block that is visited three times added one, not three.

Identity is what counts here, not equality. In NumPy that is a matter of assigning the same array twice.
"""
mistakes = (
    (
        "two copies",
        "inputs[i] = outputs[o] = np.array(inputs[i])",
        "outputs[o] = np.array(inputs[i])",
        "the same array",
    ),
    ("the caller's array", "np.array(inputs[i])", "inputs[i]", "the caller's array"),
    (
        "copies into the output",
        "inputs[i] = outputs[o] = np.array(inputs[i])",
        "outputs[o][...] = inputs[i]",
        "the same array",
    ),
    ("pair the wrong way round", "for i, o in aliases:", "for o, i in aliases:", "the same array"),
)


def check(learner):
    given = list(np.random.default_rng().integers(0, 99, (3, 3)).astype(np.float32))
    new = [np.zeros(3, np.float32) for _ in range(2)]
    for aliases in ((), ((0, 1),), ((2, 0), (0, 1))):
        arrays = {"inputs": tuple(given), "outputs": tuple(new), "aliases": aliases}
        tried = described("with_aliases(inputs, outputs, aliases)", arrays)
        before = [x.copy() for x in given]
        with trying(tried):
            got = learner.with_aliases(tuple(given), tuple(new), aliases)
        pair = isinstance(got, list | tuple) and [len(part) for part in got] == [3, 2]
        require(pair, f"{tried}\ngot {show(got)}, wanted a list of three arrays and a list of two")
        inputs, outputs = got
        for i, o in aliases:
            require(inputs[i] is outputs[o], f"{tried}\nInput {i} and output {o} should be the same array.")
            require(
                not np.shares_memory(inputs[i], given[i]),
                f"{tried}\nInput {i} is the caller's array, and the kernel would write to it.",
            )
        taken = {o for _, o in aliases}
        for o in {0, 1} - taken:
            require(outputs[o] is new[o], f"{tried}\nOutput {o} has no alias: it should be the new array.")
        same(list(inputs), before, f"{tried}\nThe inputs' values:")
