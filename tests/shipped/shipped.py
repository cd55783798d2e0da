"""What the tests of shipped operations ask: does an operation, run by NumPy, match its reference?"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import jax
import numpy as np

import pallas_np


def operation(name: str) -> ModuleType:
    """A module of `jax.experimental.pallas.ops`; JAX 0.12 warns that those for the GPU are deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return importlib.import_module(f"jax.experimental.pallas.ops.{name}")


def in_numpy(function: Callable[..., Any], *args: Any, kernels: int = 1, **options: Any) -> Any:
    """The function's answer with every Pallas call in NumPy; there have to be `kernels` of them."""
    before = pallas_np.launch_count()
    with pallas_np.installed():
        answer = jax.block_until_ready(function(*args, **options))
    assert pallas_np.launch_count() - before == kernels
    return answer


def assert_close(got: Any, wanted: Any, tolerance: float) -> None:
    """The same arrays, within `tolerance`, absolute and relative."""
    got_leaves, wanted_leaves = jax.tree.leaves(got), jax.tree.leaves(wanted)
    assert len(got_leaves) == len(wanted_leaves)
    for g, w in zip(got_leaves, wanted_leaves):
        assert g.shape == w.shape
        np.testing.assert_allclose(np.asarray(g, np.float32), np.asarray(w, np.float32), tolerance, tolerance)


def normal(seed: int, *shapes: tuple[int, ...], dtype: Any = np.float32) -> list[jax.Array]:
    """Normally distributed arrays of these shapes."""
    random = np.random.default_rng(seed)
    return [jax.numpy.asarray(random.standard_normal(shape), dtype) for shape in shapes]


def gradients(function: Callable[..., Any], num: int = 3) -> Callable[..., Any]:
    """The gradients of the sum of the squares of what `function` answers, with respect to the first `num` arguments."""

    def loss(*args: Any) -> Any:
        return (function(*args).astype(jax.numpy.float32) ** 2).sum()

    return jax.grad(loss, argnums=tuple(range(num)))
