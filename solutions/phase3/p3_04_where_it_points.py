"""Turn a ref's index into NumPy's, with the parts that are known only at run time.

`x_ref[3, pl.ds(i, 2)]` arrives as plain data, one part for each axis:

- an `int`;
- `Slice(start, size, stride)`: `size` elements from `start`, `stride` apart;
- `Operand(position)`: the number is `operands[position]`, known only now. A slice's `start` may be one, too.

Answer with a tuple of Python integers and slices. What reaches outside the ref is a bug in the kernel: raise an
`IndexError` that says which axis. (XLA would move the slice until it fits, silently.)
"""

from pallas_np.frontend.refs import Operand, Slice


def numpy_index(parts, operands, shape):
    """The index for NumPy.

    Args:
      parts: for each axis an `int`, a `Slice` or an `Operand`.
      operands: the values that are known only at run time: int32 scalars.
      shape: the ref's shape.
    """
    # --- solution
    found = []
    for axis, (part, length) in enumerate(zip(parts, shape)):
        start = int(value(part.start if isinstance(part, Slice) else part, operands))
        stop = start + (part.size - 1) * part.stride + 1 if isinstance(part, Slice) else start + 1
        if start < 0 or stop > length:
            raise IndexError(f"elements {start} to {stop - 1} lie outside axis {axis}, which has {length}")
        found.append(slice(start, stop, part.stride) if isinstance(part, Slice) else start)
    return tuple(found)
    # --- end


def value(part, operands):
    """A number that is known already, or the operand that stands for it."""
    return operands[part.position] if isinstance(part, Operand) else part


# === The workbook's part: not in the exercise file ===================================================================

import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl

from exercises.machinery.checking import array_like, describe_call, expect_kernel, require, trying
from pallas_np.frontend.primitives import get_p
from pallas_np.phase1 import structure

title = "Where it points"
minutes = 20
primitives = ("get", "swap")
hints = (
    "Go through the axes one by one: first find the start, whatever the part is; then the end; then see whether both "
    "are inside.",
    "`value(part, operands)` fills an `Operand` in. A slice of `size` elements, `stride` apart, ends one after its "
    "last element: `start + (size - 1) * stride + 1`.",
    "Make the start an `int` with `value`, of `part.start` for a `Slice` and of `part` otherwise; compute the stop; "
    "raise if `start < 0` or `stop > length`; append a `slice` or the number.",
)
explanation = """
Why the check: NumPy accepts a negative start and counts from the end, and cuts off a slice that is too long. Both
would turn a bug in the kernel into a wrong answer, or into a shape error far from its cause.

XLA clamps instead: `pl.ds(7, 2)` of 8 elements reads elements 6 and 7. On a TPU it may read somebody else's memory.
An error at the kernel's own line is the better surprise.
"""
mistakes = (
    ("lets NumPy count from the end", "start < 0 or stop > length", "stop > length", "should raise an IndexError"),
    ("lets NumPy cut off", "start < 0 or stop > length", "start < 0", "should raise an IndexError"),
    ("does not say which axis", "outside axis {axis}, which has", "outside the ref, which has", "which axis it is"),
    ("forgets the stride", "slice(start, stop, part.stride)", "slice(start, stop)", "got"),
    ("stops too late", "(part.size - 1) * part.stride + 1", "part.size * part.stride", "inside the ref"),
    (
        "keeps NumPy's integers",
        "int(value(part.start if isinstance(part, Slice) else part, operands))",
        "value(part.start if isinstance(part, Slice) else part, operands)",
        "Python integers",
    ),
)


def check(learner):
    i, j = np.int32(1), np.int32(4)
    cases = (
        ((2, Slice(1, 3, 1)), (), (2, slice(1, 4, 1))),
        ((Slice(0, 3, 2), Slice(2, 2, 3)), (), (slice(0, 5, 2), slice(2, 6, 3))),
        ((Operand(0), Slice(Operand(1), 2, 1)), (i, j), (1, slice(4, 6, 1))),
        ((Slice(Operand(1), 2, 1), Slice(Operand(0), 3, 2)), (i, j), (slice(4, 6, 1), slice(1, 6, 2))),
        ((Slice(1, 3, 2), Operand(1)), (i, j), (slice(1, 6, 2), 4)),
    )
    for parts, operands, want in cases:
        shape = (6, 6)
        say = "This index lies inside the ref; a slice ends one after its last element."
        got = _tried(learner, parts, operands, shape, say)
        _same_elements(got, want, describe_call(learner.numpy_index, (parts, operands, shape), {}))
    outside = (
        ((Slice(Operand(0), 3, 1),), (np.int32(4),), (6,)),
        ((Operand(0),), (np.int32(-1),), (6,)),
        ((6,), (), (6,)),
        ((4, 4, 4, 6), (), (6, 6, 6, 6)),
    )
    for parts, operands, shape in outside:
        _raises(learner, parts, operands, shape)

    @structure
    def rule(interp, eqn, ref, *indices):
        transforms = eqn.params["transforms"]
        return np.array(ref[learner.numpy_index(transforms[0].indices, indices, ref.shape) if transforms else ...])

    def pick(x_ref, where_ref, out_ref):
        out_ref[...] = x_ref[pl.ds(where_ref[0], 2), pl.ds(1, 3, 2)] * x_ref[where_ref[1], pl.ds(where_ref[0], 3)]

    x = jnp.asarray(np.random.default_rng().standard_normal((5, 6)).round(2), jnp.float32)
    expect_kernel({get_p: rule}, pick, array_like(x[:2, :3]), x, jnp.array([2, 4]))


def _tried(learner, parts, operands, shape, say):
    tried = describe_call(learner.numpy_index, (parts, operands, shape), {})
    try:
        with trying(tried):
            return learner.numpy_index(parts, operands, shape)
    except IndexError as error:
        require(False, f"{tried}\nIt raised IndexError: {error}\n{say}")


def _same_elements(got, want, tried):
    plain = type(got) is tuple and len(got) == len(want) and all(type(g) is type(w) for g, w in zip(got, want))
    numbers = plain and all(type(n) is int for g in got if type(g) is slice for n in (g.start, g.stop))
    require(numbers, f"{tried}\ngot {got}, wanted {want}: a tuple of Python integers and slices of them.")
    places = np.arange(36).reshape(6, 6)
    require(np.array_equal(places[got], places[want]), f"{tried}\ngot {got}, wanted {want}")


def _raises(learner, parts, operands, shape):
    tried = describe_call(learner.numpy_index, (parts, operands, shape), {})
    axis = len(parts) - 1  # the last is the one that is wrong
    try:
        with trying(tried):
            got = learner.numpy_index(parts, operands, shape)
    except IndexError as error:
        named = str(axis) in str(error)
        require(named, f"{tried}\nThe message should say which axis it is, here axis {axis}: IndexError: {error}")
        return
    require(False, f"{tried}\ngot {got}; it reaches outside the ref, and should raise an IndexError.")
