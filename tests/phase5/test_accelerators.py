"""Section 4 of the semantics: Pallas's own primitives, and those of its TPU and GPU dialects."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jax.experimental.pallas import triton as plgpu
from pallas_oracle import Kernel, assert_same, check, floats, ints, run, sds

import pallas_np


def unary(f: Any) -> Any:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = f(x_ref[...])

    return kernel


# Values.


def test_reciprocal() -> None:
    reciprocal = getattr(pltpu, "reciprocal", None) or pl.reciprocal
    x = np.float32([1, -0.0, 3, np.inf, np.nan, 1e38, 1.2345])
    check(unary(reciprocal), sds(7), x)
    check(unary(lambda x: reciprocal(x, approx=True)), sds(7), x)


def test_hints_change_nothing() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        i = pl.multiple_of(8 * pl.program_id(0), 8)
        pl.delay(10)
        plgpu.debug_barrier()
        out_ref[...] = plgpu.max_contiguous(x_ref[pl.ds(i, 8)], 8)
        pltpu.trace_value("label", x_ref[0]) if hasattr(pltpu, "trace_value") else None
        pltpu.touch(out_ref) if hasattr(pltpu, "touch") else None

    x = ints(16)
    got = run(kernel, sds(16, x.dtype), x, grid=(2,), out_specs=pl.BlockSpec((8,), lambda i: (i,)))
    assert_same(got, x)


@pytest.mark.parametrize("shift, axis", [(1, 0), (5, 1), (0, 1)])
def test_roll(shift: int, axis: int) -> None:
    x = ints(3, 4)
    check(unary(lambda x: pltpu.roll(x, shift, axis)), sds((3, 4), x.dtype), x, wanted=np.roll(x, shift, axis))


def test_roll_with_a_stride_and_a_dynamic_shift() -> None:
    def kernel(shift_ref: Any, x_ref: Any, out_ref: Any) -> None:
        out_ref[0] = pltpu.roll(x_ref[...], shift_ref[0], 1, stride=3, stride_axis=0)
        out_ref[1] = pltpu.roll(x_ref[...], shift_ref[0], 1)

    x = ints(4, 8)
    check(kernel, sds((2, 4, 8), x.dtype), np.int32([2]), x)


def test_bitcast_packs_the_second_minor_axis() -> None:
    x = ints(4, 6) * 77777
    check(unary(lambda x: pltpu.bitcast(x, jnp.int16)), sds((8, 6), jnp.int16), x)
    check(unary(lambda x: pltpu.bitcast(x, jnp.float32)), sds((4, 6)), x, wanted=x.view(np.float32))
    halves = floats(4, 6).astype(ml_dtypes.bfloat16)
    check(unary(lambda x: pltpu.bitcast(x, jnp.uint32)), sds((2, 6), jnp.uint32), halves)


@pytest.mark.skipif(jax.__version_info__ < (0, 12), reason="bitcast takes no axis")
def test_bitcast_may_pack_the_minor_axis() -> None:
    x = ints(4, 6) * 77777
    check(unary(lambda x: pltpu.bitcast(x, jnp.int16, dim=-1)), sds((4, 12), jnp.int16), x, wanted=x.view(np.int16))


@pytest.mark.parametrize(
    "equation, shape, sizes",
    [("ab->ba", (2, 3), {}), ("(ab)c->bac", (6, 4), {"a": 2}), ("abc->(cb)a", (2, 3, 4), {}), ("n->n", (3,), {})],
)
def test_einshape(equation: str, shape: tuple[int, ...], sizes: dict[str, int]) -> None:
    wanted = {
        "ab->ba": lambda x: x.T,
        "(ab)c->bac": lambda x: x.reshape(2, 3, 4).transpose(1, 0, 2),
        "abc->(cb)a": lambda x: x.transpose(2, 1, 0).reshape(12, 2),
        "n->n": lambda x: x,
    }[equation](ints(*shape))
    kernel = unary(lambda x: pltpu.einshape(equation, x, **sizes))
    assert_same(run(kernel, sds(wanted.shape, jnp.int32), ints(*shape)), wanted)


def test_pack_and_unpack_integers() -> None:
    """The first source is in the lowest bits; excess bits are cut off; what is unpacked keeps its sign."""

    def kernel(x_ref: Any, packed_ref: Any, out_ref: Any) -> None:
        packed = pltpu.pack_elementwise([x_ref[i] for i in range(4)], packed_dtype=jnp.int8)
        packed_ref[...] = packed
        for i in range(4):
            out_ref[i] = pltpu.unpack_elementwise(packed, index=i, packed_dtype=jnp.int8, unpacked_dtype=jnp.int32)

    x = np.int32([[1, -1], [2, 127], [-128, 300], [255, 4]])
    packed, out = run(kernel, [sds(2, jnp.uint32), sds((4, 2), jnp.int32)], x)
    assert_same(packed, np.uint32([0xFF800201, 0x042C7FFF]))
    assert_same(out, x.astype(np.int8).astype(np.int32))


def test_unpacking_agrees_with_bitcast() -> None:
    """The documentation's own example."""

    def kernel(x_ref: Any, out_ref: Any) -> None:
        for i in range(2):
            out_ref[i] = pltpu.unpack_elementwise(x_ref[...], index=i, packed_dtype=jnp.int8, unpacked_dtype=jnp.int16)

    x = (ints(4, 3) * 7919).astype(np.int16)
    as_bytes = np.stack([x.view(np.uint16) & 0xFF, x.view(np.uint16) >> 8]).astype(np.uint8).view(np.int8)
    assert_same(run(kernel, sds((2, 4, 3), jnp.int16), x), as_bytes.astype(np.int16))


def test_pack_and_unpack_floats() -> None:
    def kernel(x_ref: Any, packed_ref: Any, out_ref: Any) -> None:
        packed = pltpu.pack_elementwise([x_ref[0], x_ref[1]], packed_dtype=jnp.bfloat16)
        packed_ref[...] = packed
        for i in range(2):
            out_ref[i] = pltpu.unpack_elementwise(
                packed, index=i, packed_dtype=jnp.bfloat16, unpacked_dtype=jnp.float32
            )

    x = np.float32([[1, -2.7182817], [0.5, np.inf]])
    packed, out = run(kernel, [sds(2, jnp.uint32), sds((2, 2))], x)
    narrow = x.astype(ml_dtypes.bfloat16)
    bits = narrow.view(np.uint16).astype(np.uint32)
    assert_same(packed, bits[0] | bits[1] << 16)
    assert_same(out, narrow.astype(np.float32))


# Random numbers: the TPU's own come from hardware, so that only their properties can be tested.


def rounded(x: np.ndarray, bits: np.ndarray, dtype: Any) -> np.ndarray:
    def kernel(x_ref: Any, bits_ref: Any, out_ref: Any) -> None:
        out_ref[...] = pltpu.stochastic_round(x_ref[...], bits_ref[...], target_dtype=dtype)

    return np.asarray(run(kernel, sds(x.shape, dtype), x, bits)).astype(np.float32)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float8_e5m2, jnp.float8_e4m3fn])
def test_stochastic_round_takes_one_of_the_neighbours(dtype: Any) -> None:
    x = floats(1000) * 4
    x = x[np.abs(x) > 0.1]
    nothing, everything = np.zeros(x.shape, np.uint32), np.full(x.shape, 2**32 - 1, np.uint32)
    low, high = np.abs(rounded(x, nothing, dtype)), np.abs(rounded(x, everything, dtype))
    assert (low <= np.abs(x)).all() and (high >= np.abs(x)).all() and (low < high).all()
    nearest = np.abs(x.astype(dtype).astype(np.float32))
    assert ((nearest == low) | (nearest == high)).all()


def test_stochastic_round_is_right_on_average_and_exact_where_it_can_be() -> None:
    bits = np.random.default_rng(0).integers(0, 2**32, 20_000, np.uint32)
    x = np.full(20_000, 1 + 0.3 / 128, np.float32)
    assert abs(rounded(x, bits, jnp.bfloat16).mean(dtype=float) - x[0]) < 1e-4
    exact = np.float32([1.5, -3, 0, np.inf, -np.inf, np.nan])
    assert_same(rounded(exact, bits[:6], jnp.bfloat16), exact)


def random_bits(*seeds: int, shape: tuple[int, ...] = (8, 128)) -> np.ndarray:
    def kernel(out_ref: Any) -> None:
        pltpu.prng_seed(*seeds)
        out_ref[0] = pltpu.prng_random_bits(shape)
        out_ref[1] = pltpu.prng_random_bits(shape)

    return np.asarray(run(kernel, sds((2, *shape), jnp.int32)))


def test_random_bits_follow_their_seed() -> None:
    first = random_bits(3)
    assert_same(first, random_bits(3))
    assert (first[0] != first[1]).any()
    assert (random_bits(4) != first).any() and (random_bits(3, 1) != first).any()
    ones = np.unpackbits(first.view(np.uint8)).mean()
    assert abs(ones - 0.5) < 0.01


def test_random_bits_want_a_seed() -> None:
    def kernel(out_ref: Any) -> None:
        out_ref[...] = pltpu.prng_random_bits((8, 128))

    with pytest.raises(RuntimeError, match=r"(?s)prng_random_bits needs pltpu.prng_seed.*test_accelerators\.py"):
        run(kernel, sds((8, 128), jnp.int32))


def test_stateful_distributions() -> None:
    def kernel(uniform_ref: Any, normal_ref: Any, bernoulli_ref: Any) -> None:
        pltpu.prng_seed(pl.program_id(0))
        uniform_ref[0] = pltpu.stateful_uniform((8, 128), minval=2.0, maxval=3.0)
        normal_ref[0] = pltpu.stateful_normal((8, 128))
        bernoulli_ref[0] = pltpu.stateful_bernoulli(0.25, (8, 128)).astype(jnp.int32)

    spec = pl.BlockSpec((1, 8, 128), lambda i: (i, 0, 0))
    shape = (4, 8, 128)
    uniform, normal, bernoulli = run(
        kernel, [sds(shape), sds(shape), sds(shape, jnp.int32)], grid=(4,), out_specs=[spec] * 3
    )
    assert 2 <= np.min(uniform) < 2.01 and 2.99 < np.max(uniform) < 3
    assert abs(np.mean(normal)) < 0.05 and abs(np.std(normal) - 1) < 0.05
    assert abs(np.mean(bernoulli) - 0.25) < 0.03
    assert (np.asarray(uniform)[0] != np.asarray(uniform)[1]).any()


def test_pallas_keys() -> None:
    key = pltpu.to_pallas_key(jax.random.key(5))

    def kernel(key_ref: Any, out_ref: Any, words_ref: Any) -> None:
        key = key_ref[...]
        out_ref[0] = jax.random.uniform(key, (8, 128))
        folded = jax.random.fold_in(key, 3)
        out_ref[1] = jax.random.uniform(folded, (8, 128))
        pltpu.prng_seed(key)
        words = pltpu.prng_random_bits((8, 128))
        out_ref[2] = pltpu.bitcast(words, jnp.float32)
        words_ref[...] = words

    spec = pl.BlockSpec(memory_space=pltpu.SMEM)
    call = pallas_np.pallas_call(kernel, [sds((3, 8, 128)), sds((8, 128), jnp.int32)], in_specs=[spec])
    out, words = call(key)
    again, _ = call(key)
    assert_same(out, again)
    assert np.min(np.asarray(out)[:2]) >= 0 and np.max(np.asarray(out)[:2]) < 1
    assert (np.asarray(out)[0] != np.asarray(out)[1]).any()
    mantissas = np.asarray(words).view(np.uint32) >> 9
    assert_same(np.asarray(out)[0], (mantissas | 0x3F800000).view(np.float32) - np.float32(1))


def test_sample_block_is_the_same_for_every_block_size() -> None:
    key = pltpu.to_pallas_key(jax.random.key(5))

    def kernel(key_ref: Any, out_ref: Any) -> None:
        out_ref[...] = pltpu.sample_block(
            jax.random.uniform, key_ref[...], out_ref.shape, tile_size=(8, 16), total_size=(16, 64)
        )

    def sampled(block: tuple[int, int]) -> Any:
        return pallas_np.pallas_call(
            kernel,
            sds((16, 64)),
            grid=(16 // block[0], 64 // block[1]),
            in_specs=[pl.BlockSpec(memory_space=pltpu.SMEM)],
            out_specs=pl.BlockSpec(block, lambda i, j: (i, j)),
        )(key)

    assert_same(sampled((8, 16)), sampled((16, 32)))


def test_threefry_keys_give_what_jax_gives() -> None:
    key = jax.random.key(7)

    def kernel(key_ref: Any, out_ref: Any) -> None:
        key = jax.random.fold_in(key_ref[()], 11)
        out_ref[...] = jax.random.uniform(key, (4, 8))

    got = pallas_np.pallas_call(kernel, sds((4, 8)))(key)
    assert_same(got, jax.random.uniform(jax.random.fold_in(key, 11), (4, 8)))


# The TPU's units.


@pytest.mark.skipif(jax.__version_info__ < (0, 11), reason="this JAX has other parameters")
def test_matrix_units_accumulate() -> None:
    def kernel(x_ref: Any, y_ref: Any, out_ref: Any) -> None:
        def body(acc: Any) -> None:
            for k in range(2):
                rhs = y_ref[pl.ds(256 * k, 256)]
                pltpu.matmul_push_rhs(rhs.T if k else rhs, k, 0, transpose=bool(k))
                pltpu.matmul_acc_lhs(acc, x_ref[:, pl.ds(256 * k, 256)], load_staged_rhs=k)
            out_ref[0] = pltpu.matmul_pop(acc)
            pltpu.matmul_acc_lhs(acc, x_ref[:, :256])
            out_ref[1] = pltpu.matmul_pop(acc)

        pl.run_scoped(body, pltpu.ACC(0)((16, 256), jnp.float32))

    x, y = ints(16, 512, dtype=np.float32) % 7, ints(512, 256, dtype=np.float32) % 5
    with pallas_np.installed(pallas_np.Options(tpu="TPU7x")):
        got = run(kernel, sds((2, 16, 256)), x, y)
    assert_same(got, np.stack([x @ y, x[:, :256] @ y[256:]]))


@pytest.mark.skipif(not hasattr(pltpu, "matmul_lhs_fifo"), reason="this JAX has no queue of products")
def test_matrix_units_queue_products() -> None:
    def kernel(x_ref: Any, y_ref: Any, out_ref: Any) -> None:
        pltpu.matmul_push_rhs(y_ref[...], 0, 1)
        pltpu.matmul_lhs_fifo(x_ref[:8], 1, load_staged_rhs=0)
        pltpu.matmul_lhs_fifo(x_ref[8:], 1)
        out_ref[:8] = pltpu.matmul_pop_fifo((8, 256), jnp.float32, 1)
        out_ref[8:] = pltpu.matmul_pop_fifo((8, 256), jnp.float32, 1)

    x, y = ints(16, 256, dtype=np.float32) % 7, ints(256, 256, dtype=np.float32) % 5
    assert_same(run(kernel, sds((16, 256)), x, y), x @ y)


def test_matrix_units_say_what_is_missing() -> None:
    def twice(y_ref: Any, out_ref: Any) -> None:
        pltpu.matmul_push_rhs(y_ref[...], 0, 1)
        pltpu.matmul_push_rhs(y_ref[...], 0, 1)

    with pytest.raises(RuntimeError, match=r"matmul_push_rhs pushes to staging register 0, which is in use"):
        run(twice, sds(1), np.ones((256, 256), np.float32))


@pytest.mark.skipif(not hasattr(pltpu, "conv"), reason="this JAX has no conv for the TPU")
def test_conv() -> None:
    def kernel(x_ref: Any, w_ref: Any, acc_ref: Any, out_ref: Any) -> None:
        numbers = ("NHWC", "HWIO", "NHWC")
        x, w = x_ref[...], w_ref[...]
        out_ref[0] = pltpu.conv(x, w, dimension_numbers=numbers, padding="SAME")
        out_ref[1] = pltpu.conv(x, w, acc_ref[...], dimension_numbers=numbers, padding="SAME")
        out_ref[2] = pltpu.conv(x, w, dimension_numbers=numbers, padding="SAME", window_reversal=(True, False))

    x, w = floats(1, 5, 5, 3), floats(3, 3, 3, 2, seed=1)
    plain = jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    reversed_ = jax.lax.conv_general_dilated(x, w[::-1], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    got = run(kernel, sds((3, *plain.shape)), x, w, np.ones(plain.shape, np.float32))
    np.testing.assert_allclose(got, np.stack([plain, plain + 1, reversed_]), rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not hasattr(pltpu, "has_memory_space"), reason="this JAX has no has_memory_space")
def test_what_is_anywhere_is_in_hbm() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        for i, space in enumerate([pltpu.HBM, pltpu.VMEM]):
            out_ref[i] = pltpu.has_memory_space(x_ref, space).astype(jnp.int32)

    spec = pl.BlockSpec(memory_space=pl.ANY)
    assert_same(run(kernel, sds(2, jnp.int32), ints(2), in_specs=[spec]), np.int32([1, 0]))


# Pipelines.


def pipelined_kernel(x_ref: Any, y_ref: Any, out_ref: Any) -> None:
    def body(x_block: Any, y_block: Any, out_block: Any) -> None:
        @pl.when(pl.program_id(1) == 0)
        def _() -> None:
            out_block[...] = jnp.zeros_like(out_block)

        out_block[...] += x_block[...] * y_block[...] + pl.program_id(0)

    pltpu.emit_pipeline(
        body,
        grid=(2, 3),
        in_specs=[pl.BlockSpec((8, 128), lambda i, k: (i, k)), pl.BlockSpec((8, 128), lambda i, k: (0, k))],
        out_specs=[pl.BlockSpec((8, 128), lambda i, k: (i, 0))],
    )(x_ref, y_ref, out_ref)


def check_pipeline() -> None:
    x, y = ints(16, 384) % 11, ints(8, 384) % 7
    anywhere = pl.BlockSpec(memory_space=pl.ANY)
    with pallas_np.installed():
        call = pl.pallas_call(pipelined_kernel, sds((16, 128), x.dtype), in_specs=[anywhere] * 2, out_specs=anywhere)
        got = call(x, y)
    wanted = (x.reshape(2, 8, 3, 128) * y.reshape(1, 8, 3, 128)).sum(2, dtype=np.int32)
    assert_same(got, (wanted + 3 * np.int32([0, 1])[:, None, None]).reshape(16, 128))


def test_emit_pipeline() -> None:
    check_pipeline()


@pytest.mark.skipif(jax.__version_info__ < (0, 11), reason="this JAX expands the primitive only while lowering")
def test_emit_pipeline_as_a_primitive() -> None:
    jax.config.update("jax_use_emit_pipeline_primitive", True)
    try:
        check_pipeline()
    finally:
        jax.config.update("jax_use_emit_pipeline_primitive", False)


# Rows taken and put by their numbers: `Indirect` blocks, which only a pipeline has.

ROWS = pl.BlockSpec((4, 8), lambda i: (i, 0))


def rows_named_by(ref: Any, column: int = 0) -> pl.BlockSpec:
    return pl.BlockSpec((pl.Indirect(4), 8), lambda i: (ref[pl.ds(4 * i, 4)], column))


def twice(x_ref: Any, out_ref: Any) -> None:
    out_ref[...] = x_ref[...] * 2


def pipeline_of_rows(is_gather: bool, column: int = 0) -> Kernel:
    def kernel(which_ref: Any, x_ref: Any, out_ref: Any) -> None:
        specs = (rows_named_by(which_ref, column), ROWS) if is_gather else (ROWS, rows_named_by(which_ref, column))
        pltpu.emit_pipeline(twice, grid=(3,), in_specs=[specs[0]], out_specs=[specs[1]])(x_ref, out_ref)

    return kernel


def run_pipeline_of_rows(kernel: Kernel, shape: tuple[int, int], which: Any, x: Any) -> Any:
    anywhere = pl.BlockSpec(memory_space=pl.ANY)
    specs = {"in_specs": [pl.BlockSpec(memory_space=pltpu.SMEM), anywhere], "out_specs": anywhere}
    return run(kernel, sds(shape, x.dtype), which, x, **specs)


def test_an_indirect_block_gathers_rows() -> None:
    x, which = ints(20, 16), np.random.default_rng(0).integers(0, 20, 12).astype(np.int32)
    for column in (0, 1):
        got = run_pipeline_of_rows(pipeline_of_rows(True, column), (12, 8), which, x)
        assert_same(got, 2 * x[which, 8 * column : 8 * column + 8])


def test_an_indirect_block_scatters_rows() -> None:
    x, which = ints(12, 8), np.random.default_rng(0).permutation(20)[:12].astype(np.int32)
    which[7] = which[2]  # the later one wins
    wanted = np.full((20, 8), np.iinfo(np.int32).min, np.int32)
    wanted[which] = 2 * x
    assert_same(run_pipeline_of_rows(pipeline_of_rows(False), (20, 8), which, x), wanted)


def test_an_indirect_block_of_rows_that_are_not_there_raises() -> None:
    which = ints(12)
    which[5] = 20
    with pytest.raises(IndexError, match="20"):
        run_pipeline_of_rows(pipeline_of_rows(True), (12, 8), which, ints(20, 8))
