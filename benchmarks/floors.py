"""The least that NumPy has to do for each kernel of the suite: a floor under what a compiler to NumPy can reach.

A floor does a kernel's arithmetic on whole arrays, whatever blocks the kernel has, in the fewest and cheapest calls
that we know, and writes to memory that is given.  What can be known before the arrays are there is known: memory in
between, and views of it, are made once for a shape.  Where it helps, a floor does less than the kernel: a sort by
minima and maxima puts NaNs in the wrong place, and attention to all keys at once needs no running maximum.
"""

from __future__ import annotations

import functools

import numpy as np

Array = np.ndarray
Step = tuple[Array, Array, Array, Array]
"""Two parts of an array that are compared, and where the smaller and the larger elements go."""


def copy(x: Array, out: Array) -> None:
    out[...] = x


def softmax(x: Array, out: Array) -> None:
    np.subtract(x, _largest(x), out=out)
    np.exp(out, out=out)
    out /= np.add.reduce(out, 1, keepdims=True)


def _largest(x: Array) -> Array:
    return x[np.arange(len(x)), x.argmax(1)][:, None]


def layer_norm(x: Array, scale: Array, shift: Array, out: Array, epsilon: float) -> None:
    length = np.float32(x.shape[1])
    np.subtract(x, np.add.reduce(x, 1, keepdims=True) / length, out=out)
    variance = np.einsum("ij,ij->i", out, out)[:, None] / length
    out /= np.sqrt(variance + np.float32(epsilon))
    out *= scale
    out += shift


def sort(keys: Array, out: Array) -> None:
    """Each comparison is a minimum and a maximum; rows lie next to each other, so that every part is contiguous."""
    first, last, steps = _network(*keys.shape)
    first[...] = keys.T
    for low, high, smaller, larger in steps:
        np.minimum(low, high, out=smaller)
        np.maximum(low, high, out=larger)
    out[...] = last.T


@functools.cache
def _network(rows: int, length: int) -> tuple[Array, Array, list[Step]]:
    """Where the columns of the keys are put, where they are in the end, and the comparisons in between."""
    arrays = np.empty((2, length, rows), np.float32)
    steps: list[Step] = []
    source = 0
    for stage in range(1, length.bit_length()):
        for step in reversed(range(stage)):
            before, after = (_parts(arrays[n], 1 << stage, 1 << step) for n in (source, 1 - source))
            steps += [(*pair, *results) for pair, results in zip(before, after)]
            source = 1 - source
    return arrays[0], arrays[source], steps


def _parts(x: Array, run: int, distance: int) -> list[tuple[Array, Array]]:
    """Pairs of parts of x, `distance` apart: those of rising runs, and of falling ones, in which they are turned."""
    if run == len(x):
        pairs = x.reshape(-1, 2, distance, x.shape[1])
        return [(pairs[:, 0], pairs[:, 1])]
    pairs = x.reshape(-1, 2, run // distance // 2, 2, distance, x.shape[1])
    return [(pairs[:, 0, :, 0], pairs[:, 0, :, 1]), (pairs[:, 1, :, 1], pairs[:, 1, :, 0])]


def attention(q: Array, k: Array, v: Array, out: Array, scale: float) -> None:
    weights = q @ k.T
    weights *= np.float32(scale)
    weights -= _largest(weights)
    np.exp(weights, out=weights)
    np.matmul(weights, v, out=out)
    out /= np.add.reduce(weights, 1, keepdims=True)


def heads(q: Array, k: Array, v: Array, out: Array, scale: float) -> None:
    """`attention` for each head of each entry of a batch."""
    for place in np.ndindex(q.shape[:2]):
        attention(q[place], k[place], v[place], out[place], scale)


def grouped_matmul(x: Array, y: Array, sizes: Array, out: Array) -> None:
    """The rows of each group times the group's own matrix."""
    start = 0
    for group, size in enumerate(sizes.tolist()):
        np.matmul(x[start : start + size], y[group], out=out[start : start + size])
        start += size
