"""JAX's attention kernels for the TPU match their references, forward and backward."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import tpu as pltpu
from shipped import assert_close, gradients, in_numpy, normal, operation

flash = operation("tpu.flash_attention")
splash = operation("tpu.splash_attention.splash_attention_kernel")
masks = operation("tpu.splash_attention.splash_attention_mask")
paged = operation("tpu.paged_attention")
paged_util = operation("tpu.paged_attention.util")
quantization = operation("tpu.paged_attention.quantization_utils")
ragged = operation("tpu.ragged_paged_attention.kernel")


# Flash attention.


def segments(length: int) -> Any:
    ids = jnp.asarray(np.repeat([[0, 1], [2, 3]], [length // 4, length - length // 4], axis=1), jnp.int32)
    return flash.SegmentIds(ids, ids)


FLASH = {
    "plain": {},
    "causal": {"causal": True},
    "segment_ids": {"segment_ids": True},
    "bias": {"ab": True},
    "everything": {"causal": True, "segment_ids": True, "ab": True, "sm_scale": 0.5},
}


def flash_case(case: dict[str, Any], length: int = 256) -> tuple[list[jax.Array], Any, Any]:
    """Operands, the operation and its reference."""
    case = dict(case)
    arrays = normal(0, *[(2, 2, length, 64)] * 3)
    if case.pop("ab", False):
        arrays += normal(1, (2, 2, length, length))
    segment_ids = segments(length) if case.pop("segment_ids", False) else None

    def operation(q: Any, k: Any, v: Any, ab: Any = None) -> Any:
        return flash.flash_attention(q, k, v, ab, segment_ids, **case)

    def reference(q: Any, k: Any, v: Any, ab: Any = None) -> Any:
        return flash.mha_reference_no_custom_vjp(q, k, v, ab, segment_ids, **case)

    return arrays, operation, reference


@pytest.mark.parametrize("case", FLASH.values(), ids=FLASH)
def test_flash_attention(case: dict[str, Any]) -> None:
    arrays, operation, reference = flash_case(case)
    assert_close(in_numpy(operation, *arrays), reference(*arrays), 1e-4)


@pytest.mark.parametrize("case", FLASH.values(), ids=FLASH)
def test_flash_attention_backward(case: dict[str, Any]) -> None:
    arrays, operation, reference = flash_case(case)
    got = in_numpy(gradients(operation, len(arrays)), *arrays, kernels=3)
    assert_close(got, gradients(reference, len(arrays))(*arrays), 1e-3)


@pytest.mark.slow
def test_flash_attention_in_bfloat16_under_vmap_and_jit() -> None:
    arrays = normal(0, *[(3, 1, 2, 128, 128)] * 3, dtype=jnp.bfloat16)
    attend = jax.jit(jax.vmap(functools.partial(flash.flash_attention, causal=True)))
    reference = jax.vmap(functools.partial(flash.mha_reference_no_custom_vjp, causal=True))
    in_float32 = reference(*(x.astype(jnp.float32) for x in arrays))
    assert_close(in_numpy(attend, *arrays), in_float32, 2e-2)


@pytest.mark.slow
def test_flash_attention_with_several_blocks_of_keys_in_one_program() -> None:
    arrays = normal(0, *[(1, 1, 512, 64)] * 3)
    sizes = flash.BlockSizes(
        block_q=256, block_k_major=512, block_k=256, block_b=1,
        block_q_major_dkv=256, block_k_major_dkv=512, block_k_dkv=256, block_q_dkv=128,
        block_k_major_dq=512, block_k_dq=256, block_q_dq=256,
    )  # fmt: skip
    operation = functools.partial(flash.flash_attention, causal=True, block_sizes=sizes)
    reference = functools.partial(flash.mha_reference_no_custom_vjp, causal=True)
    assert_close(in_numpy(operation, *arrays), reference(*arrays), 1e-4)
    assert_close(in_numpy(gradients(operation), *arrays, kernels=3), gradients(reference)(*arrays), 1e-3)


# Splash attention.

LENGTH = 256
MASKS = {
    "full": lambda: masks.FullMask((LENGTH, LENGTH)),
    "causal": lambda: masks.CausalMask((LENGTH, LENGTH)),
    "local": lambda: masks.LocalMask((LENGTH, LENGTH), window_size=(100, 20), offset=0),
    "chunked": lambda: masks.ChunkedCausalMask((LENGTH, LENGTH), chunk_size=96),
    "causal_or_local": lambda: masks.LogicalOr(
        masks.CausalMask((LENGTH, LENGTH)), masks.LocalMask((LENGTH, LENGTH), window_size=(None, 30), offset=0)
    ),
    "numpy": lambda: masks.NumpyMask(masks.make_random_mask((LENGTH, LENGTH), 0.5, 0) | np.eye(LENGTH, dtype=bool)),
}


def splash_reference(mask: Any, q: Any, k: Any, v: Any, segment_ids: Any = None, **options: Any) -> Any:
    """Attention of each head with its own keys, or with those of its group."""
    k, v = (jnp.repeat(x, q.shape[0] // x.shape[0], axis=0) for x in (k, v))
    one_head = functools.partial(splash.attention_reference, **options)
    return jax.vmap(one_head, in_axes=(0, 0, 0, 0, None))(jnp.asarray(mask[:, :, :]), q, k, v, segment_ids)


def multi_head(kind: str, num_heads: int = 2) -> Any:
    return masks.MultiHeadMask([MASKS[kind]() for _ in range(num_heads)])


@pytest.mark.parametrize("kind", MASKS)
def test_splash_attention(kind: str) -> None:
    mask, arrays = multi_head(kind), normal(0, *[(2, LENGTH, 128)] * 3)
    operation = splash.make_splash_mha(mask, head_shards=1, q_seq_shards=1)
    assert_close(in_numpy(operation, *arrays), splash_reference(mask, *arrays), 1e-4)


@pytest.mark.parametrize("kind", ["causal", pytest.param("local", marks=pytest.mark.slow), "numpy"])
@pytest.mark.parametrize("fused", [False, True], ids=["two_kernels", "fused"])
def test_splash_attention_backward(kind: str, fused: bool) -> None:
    mask, arrays = multi_head(kind), normal(0, *[(2, LENGTH, 128)] * 3)
    dq = {"use_fused_bwd_kernel": True} if fused else {"block_q_dq": 128, "block_kv_dq": 128}
    sizes = splash.BlockSizes(
        block_q=128, block_kv=128, block_q_dkv=128, block_kv_dkv=128, block_kv_dkv_compute=128, **dq
    )
    operation = splash.make_splash_mha(mask, head_shards=1, q_seq_shards=1, block_sizes=sizes)
    got = in_numpy(gradients(operation), *arrays, kernels=2 if fused else 3)
    assert_close(got, gradients(functools.partial(splash_reference, mask))(*arrays), 1e-3)


@pytest.mark.slow
def test_splash_attention_with_segments_soft_cap_and_grouped_heads() -> None:
    mask = multi_head("causal", 4)
    q, k, v = normal(0, (4, LENGTH, 128), (2, LENGTH, 128), (2, LENGTH, 128))
    ids = jnp.asarray(np.repeat([0, 1], [90, LENGTH - 90]), jnp.int32)
    segment_ids = splash.SegmentIds(ids, ids)
    operation = splash.make_splash_mha(mask, head_shards=1, q_seq_shards=1, attn_logits_soft_cap=5.0)
    got = in_numpy(operation, q, k, v, segment_ids)
    assert_close(got, splash_reference(mask, q, k, v, segment_ids, attn_logits_soft_cap=5.0), 1e-4)


@pytest.mark.slow
def test_splash_attention_with_one_head_of_keys() -> None:
    mask = multi_head("local", 2)
    q, k, v = normal(0, (2, LENGTH, 128), (LENGTH, 128), (LENGTH, 128))
    operation = splash.make_splash_mqa(mask, head_shards=1, q_seq_shards=1)
    assert_close(in_numpy(operation, q, k, v), splash_reference(mask, q, k[None], v[None]), 1e-4)


# Paged attention: keys and values lie in pages, which DMAs fetch.

BATCH, HEADS, KV_HEADS, WIDTH, PAGE, PAGES_EACH = 2, 4, 2, 128, 16, 4
LENGTHS = np.array([40, 64], np.int32)


def pages() -> tuple[list[jax.Array], jax.Array]:
    """The queries, the pages of keys and of values, and which pages each sequence has."""
    table = np.random.default_rng(1).permutation(BATCH * PAGES_EACH).reshape(BATCH, PAGES_EACH).astype(np.int32)
    return normal(0, (BATCH, HEADS, WIDTH), *[(KV_HEADS, BATCH * PAGES_EACH, PAGE, WIDTH)] * 2), jnp.asarray(table)


def reference_of_pages(q: Any, k: Any, v: Any, table: Any, soft_cap: float | None = None) -> Any:
    """Attention to the sequences gathered from the pages."""
    k, v = (x[:, table].reshape(KV_HEADS, BATCH, PAGES_EACH * PAGE, -1).swapaxes(0, 1) for x in (k, v))
    return paged_util.grouped_query_attention_reference(q, k, v, LENGTHS, soft_cap)


def rounded(x: jax.Array) -> jax.Array:
    """The elements as the kernel takes them from a page: in bfloat16's precision."""
    return x.astype(jnp.bfloat16).astype(jnp.float32)


@pytest.mark.parametrize("inline", [True, False], ids=["loop_inside", "grid"])
@pytest.mark.parametrize("soft_cap", [None, 2.0])
def test_paged_attention(inline: bool, soft_cap: float | None) -> None:
    (q, k, v), table = pages()
    operation = functools.partial(
        paged.paged_attention, pages_per_compute_block=2, inline_seq_dim=inline, attn_logits_soft_cap=soft_cap
    )
    got = in_numpy(operation, q, k, v, LENGTHS, table)
    assert_close(got, reference_of_pages(q, rounded(k), rounded(v), table, soft_cap), 1e-4)


@pytest.mark.slow
def test_paged_attention_as_tpu_interpret_mode() -> None:
    (q, k, v), table = pages()
    operation = functools.partial(paged.paged_attention, q, k, v, LENGTHS, table, pages_per_compute_block=2)
    with pltpu.force_tpu_interpret_mode():
        wanted = operation()
    assert_close(in_numpy(operation), wanted, 1e-4)


def test_paged_attention_for_two_cores_is_an_error_on_one() -> None:
    """Its documentation says that it may hang: the second core's first block is fetched only where there are two."""
    (q, k, v), table = pages()
    operation = functools.partial(paged.paged_attention, pages_per_compute_block=2, megacore_mode="kv_head")
    with pytest.raises(Exception, match=r"(?s)the wait asks.* bring 0.*in wait_and_get_loaded"):
        in_numpy(operation, q, k, v, LENGTHS, table)


@pytest.mark.slow
def test_paged_attention_with_quantized_pages() -> None:
    (q, k, v), table = pages()
    quantized = [quantization.quantize_to_int8(x) for x in (k, v)]
    got = in_numpy(paged.paged_attention, q, *quantized, LENGTHS, table, pages_per_compute_block=2)
    assert_close(got, reference_of_pages(q, *map(quantization.unquantize_from_int8, quantized), table), 1e-4)


RAGGED = {
    "plain": {},
    "window": {"sliding_window": 20},
    "soft_cap": {"soft_cap": 3.0},
    "scales": {"k_scale": 0.5, "v_scale": 2.0},
}


@pytest.mark.parametrize("options", RAGGED.values(), ids=RAGGED)
def test_ragged_paged_attention(options: dict[str, Any]) -> None:
    lengths, query_ends = jnp.array([50, 30, 64, 0], jnp.int32), jnp.array([0, 5, 6, 26, 0], jnp.int32)
    table = np.random.default_rng(1).permutation(16).reshape(4, 4).astype(np.int32)
    q, kv = normal(0, (26, 4, 128), (16, 16, 4, 128))
    operands = (q, kv, lengths, jnp.asarray(table), query_ends, jnp.array([3], jnp.int32))
    operation = functools.partial(
        ragged.ragged_paged_attention, num_kv_pages_per_block=2, num_queries_per_block=8, **options
    )
    assert_close(in_numpy(operation, *operands), ragged.ref_ragged_paged_attention(*operands, **options), 1e-4)
