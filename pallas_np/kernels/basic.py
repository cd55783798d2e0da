"""Small kernels for the first pages: one idea each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu


def add(x: jax.Array, y: jax.Array, *, pallas_call: Callable[..., Any], block: int = 1024) -> jax.Array:
    """`x + y`, one block of elements for each program.

    Args:
      x: 1-D array of any length and dtype.
      y: an array of the same shape and dtype.
      pallas_call: what runs the kernel.
      block: elements in a block.
    """

    def add_kernel(x_ref: Any, y_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] + y_ref[...]

    spec = pl.BlockSpec((block,), lambda i: (i,))
    call = pallas_call(
        add_kernel,
        out_shape=jax.ShapeDtypeStruct(x.shape, x.dtype),
        grid=(pl.cdiv(x.shape[0], block),),
        in_specs=[spec, spec],
        out_specs=spec,
    )
    return call(x, y)


def scale(x: jax.Array, factor: float, *, pallas_call: Callable[..., Any]) -> jax.Array:
    """`x * factor`, the whole array in one program.

    Args:
      x: a floating-point array of any shape.
      factor: a Python number, part of the kernel.
      pallas_call: what runs the kernel.
    """

    def scale_kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] * factor

    return pallas_call(scale_kernel, out_shape=jax.ShapeDtypeStruct(x.shape, x.dtype))(x)


def matmul(
    x: jax.Array, y: jax.Array, *, pallas_call: Callable[..., Any], block: tuple[int, int, int] = (128, 128, 128)
) -> jax.Array:
    """`x @ y` over a 3-axis grid, summed in a float32 scratch block along the last axis.

    Args:
      x: (m, k) floating-point array.
      y: (k, n) array of the same dtype.
      pallas_call: what runs the kernel.
      block: the block's (m, n, k); each divides the array's.

    Returns:
      (m, n) array of the dtype of `x`.

    Raises:
      ValueError: if the shapes do not fit together, or the blocks do not divide them.
    """
    (m, k), (k2, n) = x.shape, y.shape
    block_m, block_n, block_k = (min(size, b) for size, b in zip((m, n, k), block))
    if k != k2:
        raise ValueError(f"x has {k} columns but y has {k2} rows; they must be equal")
    if m % block_m or n % block_n or k % block_k:
        raise ValueError(f"blocks of {(block_m, block_n, block_k)} must divide (m, n, k) = {(m, n, k)}")

    def matmul_kernel(x_ref: Any, y_ref: Any, out_ref: Any, sum_ref: Any) -> None:
        @pl.when(pl.program_id(2) == 0)
        def _() -> None:
            sum_ref[...] = jnp.zeros_like(sum_ref)

        sum_ref[...] += jnp.dot(x_ref[...], y_ref[...], preferred_element_type=jnp.float32)

        @pl.when(pl.program_id(2) == pl.num_programs(2) - 1)
        def _() -> None:
            out_ref[...] = sum_ref[...].astype(out_ref.dtype)

    call = pallas_call(
        matmul_kernel,
        out_shape=jax.ShapeDtypeStruct((m, n), x.dtype),
        grid=(m // block_m, n // block_n, k // block_k),
        in_specs=[
            pl.BlockSpec((block_m, block_k), lambda i, j, s: (i, s)),
            pl.BlockSpec((block_k, block_n), lambda i, j, s: (s, j)),
        ],
        out_specs=pl.BlockSpec((block_m, block_n), lambda i, j, s: (i, j)),
        scratch_shapes=[pltpu.VMEM((block_m, block_n), jnp.float32)],
    )
    return call(x, y)


def softmax(x: jax.Array, *, pallas_call: Callable[..., Any], block_rows: int = 1) -> jax.Array:
    """The softmax of each row.

    Args:
      x: (rows, columns) floating-point array.
      pallas_call: what runs the kernel.
      block_rows: rows in a block.
    """

    def softmax_kernel(x_ref: Any, out_ref: Any) -> None:
        row = x_ref[...].astype(jnp.float32)
        weights = jnp.exp(row - jnp.max(row, axis=1, keepdims=True))
        out_ref[...] = (weights / jnp.sum(weights, axis=1, keepdims=True)).astype(out_ref.dtype)

    spec = pl.BlockSpec((block_rows, x.shape[1]), lambda i: (i, 0))
    call = pallas_call(
        softmax_kernel,
        out_shape=jax.ShapeDtypeStruct(x.shape, x.dtype),
        grid=(pl.cdiv(x.shape[0], block_rows),),
        in_specs=[spec],
        out_specs=spec,
    )
    return call(x)
