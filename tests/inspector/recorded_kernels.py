"""Kernels that the tests of the inspector record."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu


def matmul(x_ref: Any, y_ref: Any, out_ref: Any, acc_ref: Any) -> None:
    @pl.when(pl.program_id(1) == 0)
    def _() -> None:
        acc_ref[...] = jnp.zeros_like(acc_ref)

    acc_ref[...] += x_ref[...] @ y_ref[...]
    out_ref[...] = acc_ref[...]


def matmul_call(interpret: Any = False) -> Any:
    """(8, 8) @ (8, 4) in blocks of (4, 4)."""
    return pl.pallas_call(
        matmul,
        out_shape=jax.ShapeDtypeStruct((8, 4), jnp.float32),
        grid=(2, 2),
        in_specs=[pl.BlockSpec((4, 4), lambda i, k: (i, k)), pl.BlockSpec((4, 4), lambda i, k: (k, 0))],
        out_specs=pl.BlockSpec((4, 4), lambda i, k: (i, 0)),
        scratch_shapes=[pltpu.VMEM((4, 4), jnp.float32)],
        interpret=interpret,
    )


def matmul_arrays() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.standard_normal((8, 8), np.float32), random.standard_normal((8, 4), np.float32)


def sum_rows(x_ref: Any, out_ref: Any) -> None:
    def body(i: Any, total: Any) -> Any:
        out_ref[i] = jnp.sum(x_ref[i, :])
        return total + out_ref[i]

    jax.lax.fori_loop(0, x_ref.shape[0], body, jnp.float32(0))


def sum_rows_call() -> Any:
    return pl.pallas_call(sum_rows, out_shape=jax.ShapeDtypeStruct((3,), jnp.float32))
