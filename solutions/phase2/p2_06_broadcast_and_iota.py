"""Write `broadcast_in_dim` and `iota`, the two that make arrays larger.

`broadcast_in_dim` has no rule about trailing axes, as NumPy's broadcasting has: `broadcast_dimensions` says for
each axis of `x` which axis of the result it becomes. Along the others, and where an axis of `x` has length 1, the
values repeat.

`iota` counts along `dimension`: 0, 1, 2, ...
"""

import numpy as np


def broadcast_in_dim(x, *, shape, broadcast_dimensions):
    """`x` repeated to `shape`; its axis `i` becomes the result's axis `broadcast_dimensions[i]`."""
    # --- solution
    aligned = [1] * len(shape)
    for size, axis in zip(x.shape, broadcast_dimensions):
        aligned[axis] = size
    return np.broadcast_to(x.reshape(aligned), shape)
    # --- end


def iota(*, dtype, shape, dimension):
    """An array of `shape` and `dtype` whose values are their positions along `dimension`."""
    # --- solution
    counted = np.arange(shape[dimension], dtype=dtype)
    return broadcast_in_dim(counted, shape=shape, broadcast_dimensions=(dimension,))
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

from jax import lax

from exercises.machinery.checking import expect

title = "Broadcast and iota"
minutes = 15
primitives = ("broadcast_in_dim", "iota")
hints = (
    "Give `x` as many axes as the result has first, then let NumPy repeat it. And `iota` is a broadcast, too.",
    "`x.reshape` with a 1 for every axis that `x` does not have; then `np.broadcast_to`. `np.arange` counts.",
    "Begin with `[1] * len(shape)` and put each size of `x` at its axis; reshape; broadcast. `iota` broadcasts an "
    "`np.arange` of `shape[dimension]` along `(dimension,)`.",
)
explanation = """
`np.broadcast_to` copies nothing: strides of 0 make one value appear many times. The result cannot be written to, and
need not be: rules never change what they are given.

In XLA a broadcast costs memory unless it is fused into what uses it. Here it is free, and the operation after it
pays.
"""
mistakes = (
    ("NumPy's trailing axes", "x.reshape(aligned)", "x", "broadcast_dimensions"),
    ("dtype of arange", "np.arange(shape[dimension], dtype=dtype)", "np.arange(shape[dimension])", "dtype: got int64"),
    (
        "counts along the last axis",
        "broadcast_dimensions=(dimension,)",
        "broadcast_dimensions=(len(shape) - 1,)",
        "along `dimension`",
    ),
)


def check(learner):
    random = np.random.default_rng()
    cases = (
        ((), (2, 3), ()),
        ((3,), (3, 3), (0,)),
        ((3,), (2, 3), (1,)),
        ((2, 1), (2, 4, 3), (0, 2)),
        ((4,), (4,), (0,)),
    )
    for small, shape, dimensions in cases:
        x = random.standard_normal(small).round(2).astype(np.float32)
        want = np.asarray(lax.broadcast_in_dim(x, shape, dimensions))
        say = "broadcast_dimensions says which axis of the result each axis of x becomes."
        expect(learner.broadcast_in_dim, x, want=want, say=say, shape=shape, broadcast_dimensions=dimensions)
    for name, shape, dimension in (
        ("int32", (5,), 0),
        ("int32", (4, 4), 0),
        ("float32", (2, 3), 1),
        ("int32", (2, 2, 2), 1),
    ):
        want = np.asarray(lax.broadcasted_iota(name, shape, dimension))
        expect(
            learner.iota,
            want=want,
            say="It counts along `dimension`.",
            dtype=np.dtype(name),
            shape=shape,
            dimension=dimension,
        )
