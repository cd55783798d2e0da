"""Follow a chain of ref transforms to the part of the array that it leads to: as a view.

`x_ref.at[1].reshape(2, 4)[...]` is a ref seen through transforms, and reads and writes go through it to the same
memory. The chain arrives as a list of

- `Index(indices)`: for each axis a NumPy slice or an integer, here already in NumPy's form;
- `Reshape(shape)`;
- `Transpose(permutation)`.

What you answer with must be a view: a write to it is a write to the ref. (`a[1, 2]` of a 2-D array is a number, and no
view; `a[1, 2, ...]` is a view without axes.) Where NumPy cannot give a view, it is
better to fail than to write to a copy: let the error come.
"""

import numpy as np

from pallas_np.frontend.refs import Index, Reshape, Transpose


def transformed(ref, transforms):
    """The view of the array `ref` at the end of the chain."""
    # --- solution
    for transform in transforms:
        match transform:
            case Index(indices):
                ref = ref[(*indices, ...)]
            case Reshape(shape):
                ref = np.reshape(ref, shape, copy=False)
            case Transpose(permutation):
                ref = ref.transpose(permutation)
    return ref
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

from exercises.machinery.checking import describe_call, require, same, trying

title = "A chain of transforms"
minutes = 15
primitives = ("get", "swap")
hints = (
    "One transform after the other, each on what the last one gave. Which of the three might copy?",
    "Slicing and transposing always give views. `np.reshape` copies when it must, unless told not to: `copy=False` "
    "makes it raise instead.",
    "A loop with `match`: `case Index(indices)`, `case Reshape(shape)`, `case Transpose(permutation)`; rebind `ref` "
    "in each.",
)
explanation = """
A reshape that copies is the quiet kind of fault: reading through it is right, writing through it goes nowhere.
`copy=False`, new in NumPy 2, turns it into an error.

The chain is applied from left to right, as it is written. Its last part may be an array of integers, which NumPy
can read and assign, but not view; that is why the package's `write` assigns through the last index instead of
making a view of it.
"""
mistakes = (
    ("reshape copies", ", copy=False)", ")", "is a copy"),
    ("a number for a view", "ref[(*indices, ...)]", "ref[indices]", "is a copy"),
    (
        "reshapes the ref itself",
        "ref = np.reshape(ref, shape, copy=False)",
        "ref.shape = shape",
        "the ref itself has the shape",
    ),
    ("wrong order", "in transforms:", "in transforms[::-1]:", "Your code raised"),
    (
        "first one only",
        "                ref = ref.transpose(permutation)\n    return ref",
        "                ref = ref.transpose(permutation)\n        return ref",
        "is a `return` missing?",
    ),
    ("reverses the axes", "ref.transpose(permutation)", "ref.T", "shape: got"),
)


def check(learner):
    rows = (slice(1, 3), slice(0, 6, 2), slice(None))
    chains = (
        [],
        [Index((1, slice(None), slice(None))), Reshape((2, 12))],
        [Reshape((6, 4, 4)), Transpose((1, 0, 2))],
        [Transpose((2, 0, 1)), Index((3, slice(None), slice(2, 5)))],
        [Index(rows), Transpose((0, 2, 1))],
        [Transpose((2, 0, 1)), Index((3, 1, 2))],
    )
    for chain in chains:
        array = np.random.default_rng().integers(0, 1000, (4, 6, 4)).astype(np.int32)
        want = _followed(array, chain)
        tried = describe_call(learner.transformed, (array, chain), {})
        with trying(tried):
            got = learner.transformed(array, chain)
        same(got, np.array(want), tried)
        require((np.may_share_memory(got, array) and got.base is not None) or got is array, f"{tried}\nIt is a copy.")
        require(array.shape == (4, 6, 4), f"{tried}\nAfter it, the ref itself has the shape {array.shape}.")
    _refuses_to_copy(learner, [Transpose((2, 1, 0)), Reshape((96,))])


def _followed(array, chain):
    for transform in chain:
        match transform:
            case Index(indices):
                array = array[(*indices, ...)]
            case Reshape(shape):
                array = array.reshape(shape)
            case Transpose(permutation):
                array = array.transpose(permutation)
    return array


def _refuses_to_copy(learner, chain):
    array = np.arange(96).reshape(4, 6, 4)
    try:
        got = learner.transformed(array, chain)
    except Exception:  # whatever they raise, it is not a silent copy
        return
    tried = describe_call(learner.transformed, (array, chain), {})
    require(
        np.shares_memory(got, array), f"{tried}\nThis reshape has no view. What was answered is a copy: raise an error."
    )
