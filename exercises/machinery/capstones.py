"""The end of a phase: the bitonic sort on the learner's own interpreter, checked, and timed against phase 1."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from exercises.machinery.checking import described, same, trying
from pallas_np import kernels, phase1

SHAPE = (64, 128)  # the book's benchmark
PallasCall = Callable[..., Callable[..., Any]]


def keeps_scratch(pallas_call: PallasCall) -> None:
    """Raises unless what a program leaves in scratch is there for the next."""

    def running_sum(x_ref: Any, out_ref: Any, sum_ref: Any) -> None:
        sum_ref[...] = jnp.where(pl.program_id(0) == 0, 0.0, sum_ref[...]) + x_ref[...]
        out_ref[...] = sum_ref[...]

    x = np.random.default_rng().integers(0, 9, (4, 3)).astype(np.float32)
    tried = described("a kernel that keeps a running sum of its rows in scratch", {"x": x})
    spec = pl.BlockSpec((1, 3), lambda i: (i, 0))
    scratch = [pltpu.VMEM((1, 3), jnp.float32)]
    out = jax.ShapeDtypeStruct(x.shape, x.dtype)
    with trying(tried):
        call = pallas_call(running_sum, out, grid=(4,), in_specs=[spec], out_specs=spec, scratch_shapes=scratch)
        same(call(jnp.asarray(x)), np.cumsum(x, axis=0), tried, "The scratch is what the program before left there.")


def sorts(pallas_call: PallasCall) -> None:
    """Raises unless the kernels of the book give the right answers on `pallas_call`."""
    random = np.random.default_rng()
    x = random.standard_normal(20).round(2).astype(np.float32)
    tried = described("kernels.add(x, x, block=8), whose last block is ragged", {"x": x})
    with trying(tried):
        same(kernels.add(x, x, pallas_call=pallas_call, block=8), x + x, tried)
    for keys in (
        random.standard_normal((11, 32)).round(2).astype(np.float32),
        random.integers(0, 9, (3, 4), dtype=np.int32),
    ):
        _sorts(pallas_call, keys)
    keys = random.standard_normal((9, 32)).round(2).astype(np.float32)
    keys[:, ::5] = np.nan
    _sorts(pallas_call, keys)
    keys = random.integers(0, 5, (9, 32)).astype(np.int32)
    tried = described("kernels.bitonic_argsort(keys)", {"keys": keys})
    with trying(tried):
        same(kernels.bitonic_argsort(keys, pallas_call=pallas_call), _argsorted(keys), tried, "The sort is stable.")


def _argsorted(keys: np.ndarray) -> np.ndarray:
    return np.argsort(keys, axis=1, kind="stable").astype(np.int32)


def _sorts(pallas_call: PallasCall, keys: np.ndarray) -> None:
    tried = described("kernels.bitonic_sort(keys)", {"keys": keys})
    with trying(tried):
        same(kernels.bitonic_sort(keys, pallas_call=pallas_call), np.sort(keys, axis=1), tried)
    tried = described("kernels.bitonic_sort(keys, descending=True)", {"keys": keys})
    with trying(tried):
        got = kernels.bitonic_sort(keys, pallas_call=pallas_call, descending=True)
    same(got, np.sort(keys, axis=1)[:, ::-1], tried)


def speed_up(pallas_call: PallasCall) -> float:
    """How many times as fast as phase 1 the book's sort is, from the call of a fresh kernel to its result."""
    keys = jnp.asarray(np.random.default_rng().standard_normal(SHAPE, dtype=np.float32))
    mine, sorted_by_me = cold_seconds(pallas_call, keys)
    baseline, sorted_by_phase1 = cold_seconds(phase1.pallas_call, keys)
    same(sorted_by_me, sorted_by_phase1, described("the sort of the benchmark", {"keys": keys}))
    return baseline / mine


def cold_seconds(pallas_call: PallasCall, keys: jax.Array) -> tuple[float, jax.Array]:
    """How long a sort that has never run takes, and what it answers.  Another kernel runs first, to set JAX up."""
    ascending = jnp.zeros((1,), jnp.int32)
    jax.block_until_ready(kernels.softmax(keys[:8, :8], pallas_call=pallas_call))
    start = time.perf_counter()
    sort = kernels.bitonic_sorter(keys.shape, keys.dtype, pallas_call=pallas_call)
    answer = jax.block_until_ready(sort(ascending, keys))
    return time.perf_counter() - start, answer


def verdict(phase: int, ratio: float) -> str:
    """What a learner is told at the end of a phase."""
    return (
        f"It sorts. On rows of shape {SHAPE}, your phase {phase} is {ratio:.1f} times as fast as phase 1,\n"
        "from the call of a fresh kernel to its result: measured just now, on this machine."
    )
