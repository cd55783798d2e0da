"""What the tests of phase 5 ask: does it answer as `interpret=True` does, or as NumPy says?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl

from pallas_np import frontend, phase5
from pallas_np.options import Options

Kernel = Callable[..., None]


def sds(shape: Any, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
    """An output's shape and dtype."""
    return jax.ShapeDtypeStruct(tuple(shape) if np.iterable(shape) else (shape,), dtype)


def ints(*shape: int, dtype: Any = np.int32) -> np.ndarray:
    """0, 1, 2, ... in an array of this shape."""
    return np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)


def floats(*shape: int, seed: int = 0, dtype: Any = np.float32) -> np.ndarray:
    """Normally distributed numbers."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def run(kernel: Kernel, out_shape: Any, *args: Any, **call: Any) -> Any:
    """What phase 5 answers."""
    return phase5.pallas_call(kernel, out_shape, **call)(*map(jnp.asarray, args))


def run_with(options: Options, kernel: Kernel, out_shape: Any, *args: Any, **call: Any) -> Any:
    """What phase 5 answers with these options."""
    traced = frontend.trace(pl.pallas_call(kernel, out_shape, interpret=True, **call), *map(jnp.asarray, args))
    assert traced is not None
    operands = [np.asarray(args[o]) if isinstance(o, int) else o for o in traced.operands]
    return jax.tree.unflatten(traced.out_tree, phase5.run(traced.call, *operands, options=options))


def interpreted(kernel: Kernel, out_shape: Any, *args: Any, **call: Any) -> Any:
    """What `interpret=True` answers."""
    return pl.pallas_call(kernel, out_shape, interpret=True, **call)(*map(jnp.asarray, args))


def check(kernel: Kernel, out_shape: Any, *args: Any, wanted: Any = None, **call: Any) -> Any:
    """Runs a kernel on phase 5; its answer has to be `interpret=True`'s, bit for bit, and `wanted` if that is given."""
    got = run(kernel, out_shape, *args, **call)
    assert_same(got, interpreted(kernel, out_shape, *args, **call))
    if wanted is not None:
        assert_same(got, wanted)
    return got


def assert_same(got: Any, wanted: Any) -> None:
    """The same arrays: shapes, dtypes and bits; one NaN is as good as another."""
    got_leaves, wanted_leaves = jax.tree.leaves(got), jax.tree.leaves(wanted)
    assert len(got_leaves) == len(wanted_leaves)
    for g, w in zip(got_leaves, wanted_leaves):
        g, w = np.asarray(g), np.asarray(w)
        assert (g.shape, g.dtype) == (w.shape, w.dtype)
        with np.errstate(invalid="ignore"):
            both_nan = (g != g) & (w != w)
        bits = np.dtype(f"u{g.dtype.itemsize}") if g.dtype.itemsize <= 8 else np.complex128
        same = np.ascontiguousarray(g).reshape(-1).view(bits) == np.ascontiguousarray(w).reshape(-1).view(bits)
        if not np.all(same.reshape(g.shape) | both_nan):
            np.testing.assert_array_equal(g, w)
            raise AssertionError(f"equal, but not bit for bit:\n{g}\n{w}")
