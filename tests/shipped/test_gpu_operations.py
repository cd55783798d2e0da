"""JAX's kernels for GPUs, written for Triton, match their references, forward and backward."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from shipped import assert_close, gradients, in_numpy, normal, operation

softmax = operation("gpu.softmax")
layer_norm = operation("gpu.layer_norm")
rms_norm = operation("gpu.rms_norm")
attention = operation("gpu.attention")
decode = operation("gpu.decode_attention")
paged = operation("gpu.paged_attention")


@pytest.mark.parametrize("shape", [(4, 300), (2, 3, 128), (37,)], ids=str)
def test_softmax(shape: tuple[int, ...]) -> None:
    (x,) = normal(0, shape)
    assert_close(in_numpy(softmax.softmax, x), jax.nn.softmax(x), 1e-5)


def test_softmax_in_bfloat16() -> None:
    (x,) = normal(0, (4, 300), dtype=jnp.bfloat16)
    assert_close(in_numpy(softmax.softmax, x), jax.nn.softmax(x.astype(jnp.float32)), 1e-2)


NORMS = {
    "layer_norm": (layer_norm.layer_norm, layer_norm.layer_norm_reference),
    "rms_norm": (rms_norm.rms_norm, rms_norm.rms_norm_reference),
}


@pytest.mark.parametrize("operation, reference", NORMS.values(), ids=NORMS)
@pytest.mark.parametrize("width", [300, 5000])
def test_norm(operation: Any, reference: Any, width: int) -> None:
    arrays = normal(0, (2, 3, width), (width,), (width,))
    assert_close(in_numpy(operation, *arrays), reference(*arrays), 1e-3)


@pytest.mark.parametrize("operation, reference", NORMS.values(), ids=NORMS)
def test_norm_backward(operation: Any, reference: Any) -> None:
    arrays = normal(0, (2, 32, 256), (256,), (256,))
    got = in_numpy(gradients(operation), *arrays, kernels=3)
    assert_close(got, gradients(reference)(*arrays), 1e-2)


ATTENTION = {"plain": {}, "causal": {"causal": True}, "scaled": {"sm_scale": 0.125}}


def attention_case(
    options: dict[str, Any], segmented: bool, width: int = 64, dtype: Any = jnp.float32
) -> tuple[list[jax.Array], Any, Any]:
    """Operands, the operation and its reference."""
    arrays = normal(0, *[(2, 128, 2, width)] * 3, dtype=dtype)
    ids = jnp.asarray(np.repeat([[0, 1], [2, 3]], [40, 88], axis=1), jnp.int32) if segmented else None
    sizes = attention.BlockSizes(64, 64, 32, 32, 32, 32)

    def operation(q: Any, k: Any, v: Any) -> Any:
        return attention.mha(q, k, v, ids, block_sizes=sizes, **options)

    def reference(q: Any, k: Any, v: Any) -> Any:
        return attention.mha_reference(*(x.astype(jnp.float32) for x in (q, k, v)), ids, **options)

    return arrays, operation, reference


@pytest.mark.parametrize("segmented", [False, True], ids=["whole", "segmented"])
@pytest.mark.parametrize("options", ATTENTION.values(), ids=ATTENTION)
def test_attention(options: dict[str, Any], segmented: bool) -> None:
    arrays, operation, reference = attention_case(options, segmented)
    assert_close(in_numpy(operation, *arrays), reference(*arrays), 1e-4)


def test_attention_in_float16() -> None:
    arrays, operation, reference = attention_case({"causal": True}, True, dtype=jnp.float16)
    assert_close(in_numpy(operation, *arrays), reference(*arrays), 1e-2)


@pytest.mark.slow
def test_attention_of_a_width_that_is_no_power_of_two() -> None:
    arrays, operation, reference = attention_case({}, False, width=48)
    assert_close(in_numpy(operation, *arrays), reference(*arrays), 1e-4)


@pytest.mark.parametrize("segmented", [False, True], ids=["whole", "segmented"])
@pytest.mark.parametrize("options", [{}, {"causal": True}], ids=["plain", "causal"])
def test_attention_backward(options: dict[str, Any], segmented: bool) -> None:
    arrays, operation, reference = attention_case(options, segmented)
    got = in_numpy(gradients(operation), *arrays, kernels=3)
    assert_close(got, gradients(reference)(*arrays), 1e-3)


# Decoding: one query for each sequence.

DECODE: dict[str, dict[str, Any]] = {
    "plain": {},
    "splits": {"k_splits": 4},
    "from_a_start": {"start_idx": jnp.array([10, 40], jnp.int32)},
    "to_a_length": {"kv_seq_len": jnp.array([200, 77], jnp.int32)},
}


@pytest.mark.parametrize("options", DECODE.values(), ids=DECODE)
def test_decode_attention_with_one_head_of_keys(options: dict[str, Any]) -> None:
    q, k, v = normal(0, (2, 8, 64), (2, 256, 64), (2, 256, 64))
    got = in_numpy(functools.partial(decode.mqa, **{"k_splits": 2, "block_k": 64, **options}), q, k, v)
    bounds = {name: options[name] for name in ("start_idx", "kv_seq_len") if name in options}
    assert_close(got, decode.mqa_reference(q, k, v, **bounds), 1e-3)


@pytest.mark.parametrize("options", DECODE.values(), ids=DECODE)
def test_decode_attention_with_grouped_heads(options: dict[str, Any]) -> None:
    q, k, v = normal(0, (2, 8, 64), (2, 256, 2, 64), (2, 256, 2, 64))
    got = in_numpy(functools.partial(decode.gqa, **{"k_splits": 2, "block_k": 64, **options}), q, k, v)
    bounds = {name: options[name] for name in ("start_idx", "kv_seq_len") if name in options}
    assert_close(got, decode.gqa_reference(q, k, v, **bounds), 1e-3)


@pytest.mark.parametrize("soft_cap", [None, 2.0])
def test_paged_attention(soft_cap: float | None) -> None:
    q, pages_k, pages_v = normal(0, (2, 8, 64), (2, 16, 16, 64), (2, 16, 16, 64))
    table = jnp.asarray(np.random.default_rng(1).permutation(16).reshape(2, 8), jnp.int32)
    lengths = jnp.array([100, 33], jnp.int32)
    operation = functools.partial(
        paged.paged_attention, k_splits=2, pages_per_compute_block=2, attn_logits_soft_cap=soft_cap
    )
    k, v = (pages[:, table].transpose(1, 2, 3, 0, 4).reshape(2, 128, 2, 64) for pages in (pages_k, pages_v))
    reference = functools.partial(paged.paged_attention_reference, lengths=lengths, attn_logits_soft_cap=soft_cap)
    assert_close(in_numpy(operation, q, pages_k, pages_v, table, lengths), reference(q, k, v), 1e-3)
