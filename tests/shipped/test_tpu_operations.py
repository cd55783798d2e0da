"""JAX's other kernels for the TPU match their references: matrix multiplication, grouped and plain, random bits."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from shipped import assert_close, gradients, in_numpy, normal, operation

matmul = operation("tpu.matmul")
megablox = operation("tpu.megablox")
backend = operation("tpu.megablox.ops").backend
example = operation("tpu.example_kernel")
threefry = operation("tpu.random.threefry")
philox = operation("tpu.random.philox")


def test_the_example_doubles() -> None:
    (x,) = normal(0, (8, 128))
    assert_close(in_numpy(example.double, x), 2 * x, 0)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.int8])
def test_matmul(dtype: Any) -> None:
    x, y = ((3 * a).astype(dtype) for a in normal(0, (256, 512), (512, 256)))
    exact = np.asarray(x, np.float64) @ np.asarray(y, np.float64)
    out_dtype = jnp.int32 if dtype == jnp.int8 else jnp.float32
    got = in_numpy(matmul.matmul, x, y, block_shape=(128, 256), block_k=128, out_dtype=out_dtype)
    assert_close(got, exact, 0 if dtype == jnp.int8 else 1e-3)


# Grouped matrix multiplication: consecutive rows of one operand, each group with a matrix of its own.

GROUPS = {"even": [128, 128, 128], "ragged": [100, 56, 228], "one_empty": [200, 0, 184], "first_empty": [0, 384, 0]}


def grouped(lhs: Any, rhs: Any, sizes: Any) -> Any:
    """The reference: a product for each group."""
    ends = np.cumsum(sizes)
    return jnp.concatenate([lhs[end - size : end] @ matrix for size, end, matrix in zip(sizes, ends, rhs)])


@pytest.mark.parametrize("sizes", GROUPS.values(), ids=GROUPS)
def test_grouped_matmul(sizes: list[int]) -> None:
    lhs, rhs = normal(0, (384, 256), (3, 256, 128))
    got = in_numpy(megablox.gmm, lhs, rhs, jnp.array(sizes, jnp.int32), jnp.float32)
    assert_close(got, grouped(lhs, rhs, sizes), 1e-3)


@pytest.mark.parametrize("transposed", [False, True])
def test_grouped_matmul_backward(transposed: bool) -> None:
    sizes = GROUPS["ragged"]
    lhs, rhs = normal(0, (384, 256), (3, 256, 128))

    def operation(lhs: Any, rhs: Any) -> Any:
        rhs = rhs.swapaxes(1, 2) if transposed else rhs
        return megablox.gmm(lhs, rhs, jnp.array(sizes, jnp.int32), jnp.float32, (128, 128, 128), None, None, transposed)

    got = in_numpy(gradients(operation, 2), lhs, rhs, kernels=3)
    assert_close(got, gradients(functools.partial(grouped, sizes=sizes), 2)(lhs, rhs), 1e-2)


@pytest.mark.slow
def test_grouped_matmul_of_ragged_tiles() -> None:
    sizes = [100, 28]
    lhs, rhs = normal(0, (128, 200), (2, 200, 130))
    got = in_numpy(megablox.gmm, lhs, rhs, jnp.array(sizes, jnp.int32), jnp.float32, (64, 128, 128))
    assert_close(got, grouped(lhs, rhs, sizes), 1e-3)


@pytest.mark.slow
def test_grouped_matmul_of_some_of_the_groups_into_an_existing_output() -> None:
    sizes = GROUPS["even"]
    lhs, rhs, out = normal(0, (384, 256), (1, 256, 128), (384, 128))
    got = in_numpy(
        megablox.gmm, lhs, rhs, jnp.array(sizes, jnp.int32), jnp.float32, (128, 128, 128), jnp.array(1, jnp.int32), out
    )
    assert_close(got, jnp.concatenate([out[:128], lhs[128:256] @ rhs[0], out[256:]]), 1e-3)


@pytest.mark.parametrize("sizes", [GROUPS["ragged"], GROUPS["one_empty"]], ids=["ragged", "one_empty"])
def test_grouped_matmul_of_transposed_groups(sizes: list[int]) -> None:
    lhs, rhs = normal(0, (128, 384), (384, 128))
    got = in_numpy(backend.tgmm, lhs, rhs, jnp.array(sizes, jnp.int32), jnp.float32)
    ends = np.cumsum(sizes)
    wanted = jnp.stack([lhs[:, end - size : end] @ rhs[end - size : end] for size, end in zip(sizes, ends)])
    assert_close(got, wanted, 1e-3)


# Random bits.


def test_threefry_gives_the_bits_of_jax_random() -> None:
    with jax.threefry_partitionable(False):
        key = jax.random.key(7, impl="threefry2x32")
        partitionable = jax.random.bits(key, (256, 512), jnp.uint32)
    with jax.threefry_partitionable(True):
        wanted = jax.random.bits(key, (256, 512), jnp.uint32)
    assert (partitionable != wanted).any()
    got = in_numpy(threefry.plthreefry_random_bits, jax.random.key_data(key), 32, (256, 512))
    np.testing.assert_array_equal(got, wanted)


def philox_reference(counter: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Philox 4x32 of the counters (0, counter, 0, 0), its first two words combined, in 64-bit arithmetic."""
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    zero = np.zeros(counter.shape, np.uint64)
    w, x, y, z = zero, counter.astype(np.uint64), zero, zero
    high_key, low_key = map(np.uint64, key)
    for _ in range(10):
        a, b = np.uint64(philox.MUL_A) * y, np.uint64(philox.MUL_B) * w
        w, x, y, z = (a >> half) ^ x ^ high_key, a & low, (b >> half) ^ z ^ low_key, b & low
        high_key, low_key = (high_key + np.uint64(philox.K_HI_32)) & low, (low_key + np.uint64(philox.K_LO_32)) & low
    return (w ^ x).astype(np.uint32)


def test_philox() -> None:
    key = jnp.array([3, 0x80000001], jnp.uint32)
    got = in_numpy(philox.philox_random_bits, key, 32, (100, 300))
    np.testing.assert_array_equal(got, philox_reference(np.arange(30_000).reshape(100, 300), np.asarray(key)))
