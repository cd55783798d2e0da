"""Write `dot_general`, the product behind `jnp.dot`, `@` and `jnp.einsum`.

`dimension_numbers` is a pair of pairs of tuples:

    ((x_summed, y_summed), (x_batch, y_batch))

The summed axes of `x` and `y` belong together pair by pair, and vanish. So do the batch axes, and they stay: they
come first in the result. After them come the remaining axes of `x`, then those of `y`.
"""

import string

import numpy as np


def dot_general(x, y, *, dimension_numbers):
    """The product of two float32 arrays."""
    # --- solution
    (x_summed, y_summed), (x_batch, y_batch) = dimension_numbers
    x_names = list(string.ascii_lowercase[: x.ndim])
    y_names = list(string.ascii_uppercase[: y.ndim])
    for i, j in zip(x_summed + x_batch, y_summed + y_batch):
        y_names[j] = x_names[i]
    batch = [x_names[i] for i in x_batch]
    x_rest = [name for i, name in enumerate(x_names) if i not in x_summed + x_batch]
    y_rest = [name for j, name in enumerate(y_names) if j not in y_summed + y_batch]
    letters = f"{''.join(x_names)},{''.join(y_names)}->{''.join(batch + x_rest + y_rest)}"
    return np.einsum(letters, x, y)
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

from jax import lax

from exercises.machinery.checking import describe_call, same, trying

title = "A product of any shape"
minutes = 25
primitives = ("dot_general",)
hints = (
    "Give every axis a letter; axes that belong together get the same one. Then it is a formula that NumPy can read.",
    '`np.einsum("abc,adc->abd", x, y)` sums over letters that do not appear after the arrow. '
    "`string.ascii_lowercase` has letters.",
    "Name the axes of `x` a, b, c, ... and those of `y` A, B, C, ...; rename the paired axes of `y`; the result's "
    "letters are the batch, the rest of `x`, the rest of `y`.",
)
explanation = """
`np.einsum` is a reader's choice: short, and right by construction. It is not fast: for large products the package
moves the axes so that `np.matmul` can do the work, which hands it to BLAS.

On narrow floats both would have to go through float32 first, as the sums do.
"""
mistakes = (
    ("batch axes last", "batch + x_rest + y_rest", "x_rest + y_rest + batch", "batch axes come first"),
    ("rest of y first", "batch + x_rest + y_rest", "batch + y_rest + x_rest", "then those of y"),
    ("tensordot", "return np.einsum(letters, x, y)", "return np.tensordot(x, y, (x_summed, y_summed))", "batch"),
    ("sums the batch", "batch + x_rest", "x_rest", "batch"),
)


def check(learner):
    random = np.random.default_rng()
    cases = (
        ((3, 4), (4, 5), (((1,), (0,)), ((), ()))),
        ((4, 3), (5, 4), (((0,), (1,)), ((), ()))),
        ((2, 3, 4), (2, 4, 5), (((2,), (1,)), ((0,), (0,)))),
        ((3, 4, 2), (5, 2, 4), (((1,), (2,)), ((2,), (1,)))),
        ((2, 3, 4), (4, 3, 5), (((2, 1), (0, 1)), ((), ()))),
        ((3,), (4,), (((), ()), ((), ()))),
    )
    for x_shape, y_shape, numbers in cases:
        x = random.standard_normal(x_shape).round(2).astype(np.float32)
        y = random.standard_normal(y_shape).round(2).astype(np.float32)
        tried = describe_call(learner.dot_general, (x, y), {"dimension_numbers": numbers})
        with trying(tried):
            got = learner.dot_general(x, y, dimension_numbers=numbers)
        want = np.asarray(lax.dot_general(x, y, numbers))
        same(got, want, tried, "The batch axes come first, then the rest of x, then those of y.", tolerance=1e-5)
