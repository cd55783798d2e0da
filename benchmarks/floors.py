"""The least that NumPy has to do for each kernel of the suite: a floor under what a compiler to NumPy can reach.

A floor does a kernel's arithmetic on whole arrays, whatever blocks the kernel has, in the fewest and cheapest calls
that we know, and writes to memory that is given.  Where it helps, a floor does less than the kernel: `np.sort` does
not keep the order of keys that are equal and yet can be told apart, and attention to all keys at once needs no running
maximum.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def copy(x: Array, out: Array) -> None:
    out[...] = x


def softmax(x: Array, out: Array) -> None:
    np.subtract(x, _largest(x), out=out)
    np.exp(out, out=out)
    out /= _sum(out)


def _largest(x: Array) -> Array:
    return x[np.arange(len(x)), x.argmax(1)][:, None]


def _sum(x: Array) -> Array:
    return np.einsum("ij->i", x)[:, None]


def layer_norm(x: Array, scale: Array, shift: Array, out: Array, epsilon: float) -> None:
    length = np.float32(x.shape[1])
    np.subtract(x, _sum(x) / length, out=out)
    variance = np.einsum("ij,ij->i", out, out)[:, None] / length
    out /= np.sqrt(variance + np.float32(epsilon))
    out *= scale
    out += shift


def sort(keys: Array, out: Array) -> None:
    out[...] = keys
    out.sort(axis=1)


def attention(q: Array, k: Array, v: Array, out: Array, scale: float) -> None:
    weights = q @ k.T
    weights *= np.float32(scale)
    weights -= _largest(weights)
    np.exp(weights, out=weights)
    np.matmul(weights, v, out=out)
    out /= _sum(weights)


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
