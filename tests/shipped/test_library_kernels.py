"""Kernels as a library's author writes them, for a TPU, run unedited, with `jit` and gradients around them."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from shipped import assert_close, gradients, in_numpy, normal

# A fused residual connection and RMS norm, with a gradient.


def _norm_kernel(x_ref: Any, residual_ref: Any, weight_ref: Any, out_ref: Any, sum_ref: Any, *, epsilon: float) -> None:
    total = x_ref[...].astype(jnp.float32) + residual_ref[...].astype(jnp.float32)
    sum_ref[...] = total.astype(sum_ref.dtype)
    scale = lax.rsqrt(jnp.mean(total * total, axis=-1, keepdims=True) + epsilon)
    out_ref[...] = (total * scale * weight_ref[...].astype(jnp.float32)).astype(out_ref.dtype)


def _norm_backward_kernel(
    total_ref: Any, weight_ref: Any, g_out_ref: Any, g_sum_ref: Any, dx_ref: Any, dw_ref: Any, *, epsilon: float
) -> None:
    @pl.when(pl.program_id(0) == 0)
    def _() -> None:
        dw_ref[...] = jnp.zeros_like(dw_ref)

    total, g = total_ref[...], g_out_ref[...]
    scale = lax.rsqrt(jnp.mean(total * total, axis=-1, keepdims=True) + epsilon)
    normalised, weighted = total * scale, g * weight_ref[...]
    along = jnp.mean(weighted * normalised, axis=-1, keepdims=True)
    dx_ref[...] = scale * (weighted - normalised * along) + g_sum_ref[...]
    dw_ref[...] += jnp.sum(g * normalised, axis=0, keepdims=True)


def _rows(block: int, width: int) -> pl.BlockSpec:
    return pl.BlockSpec((block, width), lambda i: (i, 0))


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def add_and_norm(x: Any, residual: Any, weight: Any, epsilon: float = 1e-6, block: int = 8) -> Any:
    """`(norm(x + residual) * weight, x + residual)` for x and residual of [rows, width]."""
    return _norm_forward(x, residual, weight, epsilon, block)[0]


def _norm_forward(x: Any, residual: Any, weight: Any, epsilon: float, block: int) -> Any:
    rows, width = x.shape
    out, total = pl.pallas_call(
        functools.partial(_norm_kernel, epsilon=epsilon),
        grid=(rows // block,),
        in_specs=[_rows(block, width), _rows(block, width), pl.BlockSpec((1, width), lambda i: (0, 0))],
        out_specs=[_rows(block, width)] * 2,
        out_shape=[jax.ShapeDtypeStruct(x.shape, x.dtype)] * 2,
        input_output_aliases={1: 1},
        compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel",)),
        name="add_and_norm",
    )(x, residual, weight[None])
    return (out, total), (total, weight)


def _norm_backward(epsilon: float, block: int, residuals: Any, gradients: Any) -> Any:
    total, weight = residuals
    rows, width = total.shape
    dx, dw = pl.pallas_call(
        functools.partial(_norm_backward_kernel, epsilon=epsilon),
        grid=(rows // block,),
        in_specs=[
            _rows(block, width),
            pl.BlockSpec((1, width), lambda i: (0, 0)),
            _rows(block, width),
            _rows(block, width),
        ],
        out_specs=[_rows(block, width), pl.BlockSpec((1, width), lambda i: (0, 0))],
        out_shape=[jax.ShapeDtypeStruct(total.shape, total.dtype), jax.ShapeDtypeStruct((1, width), weight.dtype)],
        name="add_and_norm_backward",
    )(total, weight[None], *gradients)
    return dx, dx, dw[0]


add_and_norm.defvjp(_norm_forward, _norm_backward)


def norm_reference(x: Any, residual: Any, weight: Any) -> Any:
    total = x + residual
    return total * lax.rsqrt(jnp.mean(total * total, axis=-1, keepdims=True) + 1e-6) * weight, total


def test_fused_norm() -> None:
    arrays = normal(0, (32, 128), (32, 128), (128,))
    assert_close(in_numpy(jax.jit(add_and_norm), *arrays), norm_reference(*arrays), 1e-5)
    assert_close(in_numpy(add_and_norm, *arrays), norm_reference(*arrays), 1e-5)


def test_fused_norm_backward() -> None:
    arrays = normal(0, (32, 128), (32, 128), (128,))

    def both(function: Any) -> Any:
        return lambda *xs: jnp.concatenate(function(*xs))

    got = in_numpy(jax.jit(gradients(both(add_and_norm))), *arrays, kernels=2)
    assert_close(got, gradients(both(norm_reference))(*arrays), 1e-3)


def test_fused_norm_under_scan_and_vmap() -> None:
    x, weight = normal(0, (3, 16, 128), (4, 128))

    def network(x: Any, norm: Any) -> Any:
        return lax.scan(lambda x, w: (norm(x, jnp.zeros_like(x), w)[0], None), x, weight)[0]

    got = in_numpy(jax.jit(jax.vmap(functools.partial(network, norm=add_and_norm))), x, kernels=4)
    assert_close(got, jax.vmap(functools.partial(network, norm=norm_reference))(x), 1e-4)


# The k largest of each row, by taking the largest k times.


def _top_k_kernel(x_ref: Any, values_ref: Any, indices_ref: Any, left_ref: Any, *, k: int) -> None:
    left_ref[...] = x_ref[...]
    columns = lax.broadcasted_iota(jnp.int32, left_ref.shape, 1)

    @pl.loop(0, k)
    def _(i: Any) -> None:
        left = left_ref[...]
        best = jnp.argmax(left, axis=1).astype(jnp.int32)[:, None]
        taken = columns == best
        values_ref[:, pl.ds(i, 1)] = jnp.max(left, axis=1, keepdims=True)
        indices_ref[:, pl.ds(i, 1)] = best
        left_ref[...] = jnp.where(taken, -jnp.inf, left)


def top_k(x: Any, k: int, block: int = 8) -> Any:
    rows, width = x.shape
    out = pl.BlockSpec((block, k), lambda i: (i, 0))
    return pl.pallas_call(
        functools.partial(_top_k_kernel, k=k),
        grid=(pl.cdiv(rows, block),),
        in_specs=[_rows(block, width)],
        out_specs=(out, out),
        out_shape=(jax.ShapeDtypeStruct((rows, k), x.dtype), jax.ShapeDtypeStruct((rows, k), jnp.int32)),
        scratch_shapes=[pltpu.VMEM((block, width), x.dtype)],
        cost_estimate=pl.CostEstimate(flops=k * rows * width, bytes_accessed=4 * rows * width, transcendentals=0),
    )(x)


@pytest.mark.parametrize("rows", [16, 19], ids=["whole_blocks", "ragged"])
def test_top_k(rows: int) -> None:
    (x,) = normal(0, (rows, 200))
    x = jnp.round(x, 1)  # with ties
    assert_close(in_numpy(functools.partial(top_k, k=5), x), lax.top_k(x, 5), 0)


# The sums of consecutive segments, where the segment of each block of rows comes as a prefetched scalar.


def _segment_sum_kernel(segment_ref: Any, x_ref: Any, out_ref: Any, accumulator_ref: Any) -> None:
    i, last = pl.program_id(1), pl.num_programs(1) - 1
    here = segment_ref[i]

    @pl.when((i == 0) | (segment_ref[jnp.maximum(i - 1, 0)] != here))
    def _() -> None:
        accumulator_ref[...] = jnp.zeros_like(accumulator_ref)

    accumulator_ref[...] += jnp.sum(x_ref[...].astype(jnp.float32), axis=0, keepdims=True)

    @pl.when((i == last) | (segment_ref[jnp.minimum(i + 1, last)] != here))
    def _() -> None:
        out_ref[...] = accumulator_ref[...].astype(out_ref.dtype)


def segment_sum(x: Any, segments: Any, num_segments: int, block: int = 8, columns: int = 128) -> Any:
    """Sums x, [rows, width], over segments: a sorted segment for each block of rows, none left out."""
    rows, width = x.shape
    return pl.pallas_call(
        _segment_sum_kernel,
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=1,
            grid=(width // columns, rows // block),
            in_specs=[pl.BlockSpec((block, columns), lambda j, i, segments: (i, j))],
            out_specs=pl.BlockSpec((1, columns), lambda j, i, segments: (segments[i], j)),
            scratch_shapes=[pltpu.VMEM((1, columns), jnp.float32)],
        ),
        out_shape=jax.ShapeDtypeStruct((num_segments, width), x.dtype),
        compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel", "arbitrary")),
    )(segments, x)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_segment_sum(dtype: Any) -> None:
    segments = jnp.array([0, 0, 1, 2, 2, 2, 3, 3], jnp.int32)
    (x,) = normal(0, (64, 256), dtype=dtype)
    got = in_numpy(segment_sum, x, segments, 4)
    wanted = jax.ops.segment_sum(x.astype(jnp.float32), np.repeat(segments, 8), 4)
    assert_close(got, wanted, 1e-2 if dtype == jnp.bfloat16 else 1e-5)
