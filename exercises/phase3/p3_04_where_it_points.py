"""Exercise 3.4: Where it points (20 minutes)

Turn a ref's index into NumPy's, with the parts that are known only at run time.

`x_ref[3, pl.ds(i, 2)]` arrives as plain data, one part for each axis:

- an `int`;
- `Slice(start, size, stride)`: `size` elements from `start`, `stride` apart;
- `Operand(position)`: the number is `operands[position]`, known only now. A slice's `start` may be one, too.

Answer with a tuple of Python integers and slices. What reaches outside the ref is a bug in the kernel: raise an
`IndexError` that says which axis. (XLA would move the slice until it fits, silently.)

    pytest exercises/phase3/p3_04_where_it_points.py
    python -m exercises hint 3.4
"""

from pallas_np.frontend.refs import Operand, Slice


def numpy_index(parts, operands, shape):
    """The index for NumPy.

    Args:
      parts: for each axis an `int`, a `Slice` or an `Operand`.
      operands: the values that are known only at run time: int32 scalars.
      shape: the ref's shape.
    """
    # Your turn: about 8 lines.
    raise NotImplementedError("your turn")


def value(part, operands):
    """A number that is known already, or the operand that stands for it."""
    return operands[part.position] if isinstance(part, Operand) else part


# Generated; unedited as long as this fits: 3764ed50
