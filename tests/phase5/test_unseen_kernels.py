"""Kernels as users write them, whole: each uses many features at once, and says in NumPy what the answer is."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jax.experimental.pallas import triton as plgpu
from pallas_oracle import assert_same, check, floats, ints, run, sds

import pallas_np

ANYWHERE = pl.BlockSpec(memory_space=pl.ANY)
SCALARS = pl.BlockSpec(memory_space=pltpu.SMEM)


def close(got: Any, wanted: Any, tolerance: float = 1e-5) -> None:
    """The same shape and dtype, and values within `tolerance`, absolute and relative."""
    wanted = np.asarray(wanted)
    assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
    np.testing.assert_allclose(got, wanted, tolerance, tolerance)


def prefetching(num_scalar_prefetch: int, **spec: Any) -> dict[str, Any]:
    return {"grid_spec": pltpu.PrefetchScalarGridSpec(num_scalar_prefetch=num_scalar_prefetch, **spec)}


# Losses and matrix products.


def test_cross_entropy_over_a_ragged_vocabulary() -> None:
    """The softmax is summed up block by block; the last blocks reach past both ends of the array."""

    def kernel(logits_ref: Any, label_ref: Any, out_ref: Any, max_ref: Any, sum_ref: Any, target_ref: Any) -> None:
        j = pl.program_id(1)

        @pl.when(j == 0)
        def _() -> None:
            max_ref[...] = jnp.full_like(max_ref, -jnp.inf)
            sum_ref[...] = jnp.zeros_like(sum_ref)
            target_ref[...] = jnp.zeros_like(target_ref)

        columns = j * 16 + lax.broadcasted_iota(jnp.int32, (4, 16), 1)
        x = jnp.where(columns < 50, logits_ref[...], -jnp.inf)
        highest = jnp.maximum(max_ref[...], x.max(1, keepdims=True))
        sum_ref[...] = sum_ref[...] * jnp.exp(max_ref[...] - highest) + jnp.exp(x - highest).sum(1, keepdims=True)
        target_ref[...] += jnp.where(columns == label_ref[...], x, 0.0).sum(1, keepdims=True)
        max_ref[...] = highest

        @pl.when(j == pl.num_programs(1) - 1)
        def _() -> None:
            out_ref[...] = max_ref[...] + jnp.log(sum_ref[...]) - target_ref[...]

    logits, labels = floats(10, 50), np.random.default_rng(1).integers(0, 50, (10, 1)).astype(np.int32)
    row = pl.BlockSpec((4, 1), lambda i, j: (i, 0))
    got = run(
        kernel,
        sds((10, 1)),
        logits,
        labels,
        grid=(3, 4),
        in_specs=[pl.BlockSpec((4, 16), lambda i, j: (i, j)), row],
        out_specs=row,
        scratch_shapes=[pltpu.VMEM((4, 1), jnp.float32)] * 3,
    )
    wanted = np.log(np.exp(logits).sum(1, keepdims=True)) - np.take_along_axis(logits, labels, 1)
    close(got, wanted)


def test_a_product_with_a_matrix_of_sparse_blocks() -> None:
    """Prefetched numbers say which blocks there are; a row of blocks is added up in scratch."""

    def kernel(row_ref: Any, column_ref: Any, x_ref: Any, block_ref: Any, out_ref: Any, sum_ref: Any) -> None:
        step, last = pl.program_id(1), pl.num_programs(1) - 1

        @pl.when((step == 0) | (row_ref[step] != row_ref[jnp.maximum(step - 1, 0)]))
        def _() -> None:
            sum_ref[...] = jnp.zeros_like(sum_ref)

        sum_ref[...] += jnp.dot(x_ref[...], block_ref[0], preferred_element_type=jnp.float32)

        @pl.when((step == last) | (row_ref[step] != row_ref[jnp.minimum(step + 1, last)]))
        def _() -> None:
            out_ref[...] = sum_ref[...]

    rows, columns = np.int32([0, 0, 1, 2, 2, 2]), np.int32([1, 3, 0, 0, 2, 3])
    x, blocks = floats(16, 32), floats(6, 8, 8, seed=1)
    spec = prefetching(
        2,
        grid=(2, 6),
        in_specs=[
            pl.BlockSpec((8, 8), lambda j, step, rows, columns: (j, columns[step])),
            pl.BlockSpec((1, 8, 8), lambda j, step, rows, columns: (step, 0, 0)),
        ],
        out_specs=pl.BlockSpec((8, 8), lambda j, step, rows, columns: (j, rows[step])),
        scratch_shapes=[pltpu.VMEM((8, 8), jnp.float32)],
    )
    matrix = np.zeros((32, 24), np.float32)
    for row, column, block in zip(rows, columns, blocks):
        matrix[8 * column : 8 * column + 8, 8 * row : 8 * row + 8] = block
    close(run(kernel, sds((16, 24)), rows, columns, x, blocks, **spec), x @ matrix, 1e-4)


def test_a_product_by_groups_whose_rows_share_tiles() -> None:
    """A tile of the output that two groups share is visited twice, and keeps what the first one wrote."""
    offsets = np.int32([0, 5, 13, 24])
    tiles = sorted(
        (tile, group) for group in range(3) for tile in range(offsets[group] // 8, -(-offsets[group + 1] // 8))
    )
    tile, group = np.int32(tiles).T

    def kernel(tile_ref: Any, group_ref: Any, offset_ref: Any, x_ref: Any, weight_ref: Any, out_ref: Any) -> None:
        step = pl.program_id(0)
        here, g = tile_ref[step], group_ref[step]
        rows = here * 8 + lax.broadcasted_iota(jnp.int32, (8, 16), 0)
        is_new = (step == 0) | (tile_ref[jnp.maximum(step - 1, 0)] != here)
        kept = jnp.where(is_new, 0.0, out_ref[...])
        is_mine = (rows >= offset_ref[g]) & (rows < offset_ref[g + 1])
        out_ref[...] = jnp.where(is_mine, x_ref[...] @ weight_ref[...], kept)

    x, weights = floats(24, 12), floats(3, 12, 16, seed=1)
    spec = prefetching(
        3,
        grid=(len(tiles),),
        in_specs=[
            pl.BlockSpec((8, 12), lambda step, tile, group, offsets: (tile[step], 0)),
            pl.BlockSpec((None, 12, 16), lambda step, tile, group, offsets: (group[step], 0, 0)),
        ],
        out_specs=pl.BlockSpec((8, 16), lambda step, tile, group, offsets: (tile[step], 0)),
    )
    got = run(kernel, sds((24, 16)), tile, group, offsets, x, weights, **spec)
    close(got, np.concatenate([x[a:b] @ w for a, b, w in zip(offsets, offsets[1:], weights)]))


# Copies and pipelines.


def test_rows_are_fetched_ahead_of_the_loop_that_adds_them() -> None:
    def kernel(x_ref: Any, out_ref: Any, buffer_ref: Any, semaphores: Any) -> None:
        def fetch(i: Any, slot: Any) -> Any:
            return pltpu.make_async_copy(x_ref.at[pl.ds(8 * i, 8)], buffer_ref.at[slot], semaphores.at[slot])

        def body(i: Any, total: Any) -> Any:
            slot = lax.rem(i, 2)

            @pl.when(i + 1 < 4)
            def _() -> None:
                fetch(i + 1, 1 - slot).start()

            fetch(i, slot).wait()
            return total + buffer_ref[slot] * (i + 1)

        fetch(0, 0).start()
        out_ref[...] = lax.fori_loop(0, 4, body, jnp.zeros((8, 16)))

    x = floats(32, 16)
    scratch = [pltpu.VMEM((2, 8, 16), jnp.float32), pltpu.SemaphoreType.DMA((2,))]
    got = run(kernel, sds((8, 16)), x, in_specs=[ANYWHERE], scratch_shapes=scratch)
    close(got, (x.reshape(4, 8, 16) * np.arange(1, 5, dtype=np.float32)[:, None, None]).sum(0))


def test_rows_of_a_table_are_fetched_by_number() -> None:
    """All copies signal one semaphore, and each wait takes the bytes of one of them."""

    def kernel(which_ref: Any, table_ref: Any, out_ref: Any, semaphore: Any) -> None:
        first = 4 * pl.program_id(0)

        @pl.loop(0, 4)
        def _(j: Any) -> None:
            pltpu.make_async_copy(table_ref.at[which_ref[first + j]], out_ref.at[j], semaphore).start()

        @pl.loop(0, 4)
        def _(j: Any) -> None:
            pltpu.make_async_copy(table_ref.at[0], out_ref.at[j], semaphore).wait()

    which, table = np.random.default_rng(0).integers(0, 10, 12).astype(np.int32), floats(10, 16)
    spec = prefetching(
        1,
        grid=(3,),
        in_specs=[ANYWHERE],
        out_specs=pl.BlockSpec((4, 16), lambda i, which: (i, 0)),
        scratch_shapes=[pltpu.SemaphoreType.DMA],
    )
    assert_same(run(kernel, sds((12, 16)), which, table, **spec), table[which])


def test_a_cache_is_updated_in_place() -> None:
    def kernel(position_ref: Any, new_ref: Any, cache_ref: Any, out_ref: Any, semaphore: Any) -> None:
        copy = pltpu.make_async_copy(new_ref, out_ref.at[:, pl.ds(position_ref[0], 2)], semaphore)
        copy.start()
        copy.wait()

    new, cache = floats(3, 2, 16), floats(3, 8, 16, seed=1)
    spec = prefetching(
        1, grid=(1,), in_specs=[ANYWHERE] * 2, out_specs=ANYWHERE, scratch_shapes=[pltpu.SemaphoreType.DMA]
    )
    before, wanted = cache.copy(), cache.copy()
    wanted[:, 5:7] = new
    got = run(kernel, sds((3, 8, 16)), np.int32([5]), new, cache, input_output_aliases={2: 0}, **spec)
    assert_same(got, wanted)
    assert_same(cache, before)


def test_a_pipeline_in_a_pipeline() -> None:
    def innermost(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] * 2 + pl.program_id(0)

    def middle(x_ref: Any, out_ref: Any) -> None:
        half = pl.BlockSpec((8, 128), lambda j: (0, j))
        pltpu.emit_pipeline(innermost, grid=(2,), in_specs=[half], out_specs=[half])(x_ref, out_ref)

    def kernel(x_ref: Any, out_ref: Any) -> None:
        rows = pl.BlockSpec((8, 256), lambda i: (i, 0))
        pltpu.emit_pipeline(middle, grid=(3,), in_specs=[rows], out_specs=[rows])(x_ref, out_ref)

    x = ints(24, 256)
    got = pallas_np.pallas_call(kernel, sds(x.shape, x.dtype), in_specs=[ANYWHERE], out_specs=ANYWHERE)(x)
    assert_same(got, 2 * x + np.repeat(np.int32([0, 1]), 128))


def test_a_pipeline_as_long_as_a_prefetched_number() -> None:
    def kernel(steps_ref: Any, x_ref: Any, out_ref: Any) -> None:
        b = pl.program_id(0)

        def body(x_block: Any, out_block: Any) -> None:
            out_block[...] = x_block[...] + b

        rows = pl.BlockSpec((8, 128), lambda i: (i, 0))
        pipeline = pltpu.emit_pipeline(body, grid=(steps_ref[b],), in_specs=[rows], out_specs=[rows])
        pipeline(x_ref.at[b], out_ref.at[b])

    x = ints(2, 16, 128)
    wanted = x + np.int32([0, 1])[:, None, None]
    wanted[0, 8:] = np.iinfo(np.int32).min
    spec = prefetching(1, grid=(2,), in_specs=[ANYWHERE], out_specs=ANYWHERE)
    assert_same(run(kernel, sds(x.shape, x.dtype), np.int32([1, 2]), x, **spec), wanted)


# Loops that read and write refs.


def test_the_distance_of_two_texts() -> None:
    def kernel(a_ref: Any, b_ref: Any, out_ref: Any, row_ref: Any) -> None:
        @pl.loop(0, 9)
        def _(j: Any) -> None:
            row_ref[j] = j

        @pl.loop(0, 6)
        def _(i: Any) -> None:
            def column(j: Any, diagonal: Any) -> Any:
                above = row_ref[j + 1]
                other = (a_ref[i] != b_ref[j]).astype(jnp.int32)
                row_ref[j + 1] = jnp.minimum(jnp.minimum(above + 1, row_ref[j] + 1), diagonal + other)
                return above

            diagonal = row_ref[0]
            row_ref[0] = i + 1
            lax.fori_loop(0, 8, column, diagonal)

        out_ref[0] = row_ref[8]

    a, b = np.int32([*b"kitten"]), np.int32([*b"sittings"])
    scratch = [pltpu.SMEM((9,), jnp.int32)]
    got = run(kernel, sds(1, jnp.int32), a, b, in_specs=[SCALARS] * 2, out_specs=SCALARS, scratch_shapes=scratch)
    assert got.tolist() == [4]


def test_a_radix_sort() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        def by_bit(bit: Any, x: Any) -> Any:
            digit = (x >> bit) & 1
            zeros = jnp.cumsum(1 - digit) - 1
            ones = jnp.cumsum(digit) - 1 + (1 - digit).sum()
            return jnp.zeros_like(x).at[jnp.where(digit == 0, zeros, ones)].set(x)

        out_ref[...] = lax.fori_loop(0, 8, by_bit, x_ref[...])

    x = np.random.default_rng(0).integers(0, 256, 32).astype(np.int32)
    check(kernel, sds(32, jnp.int32), x, wanted=np.sort(x))


def test_a_state_space_model() -> None:
    """The state goes on from one block of time to the next in scratch."""

    def kernel(x_ref: Any, decay_ref: Any, b_ref: Any, c_ref: Any, out_ref: Any, state_ref: Any) -> None:
        @pl.when(pl.program_id(1) == 0)
        def _() -> None:
            state_ref[...] = jnp.zeros_like(state_ref)

        @pl.loop(0, 4)
        def _(t: Any) -> None:
            at = pl.ds(t, 1)
            state_ref[...] = jnp.exp(decay_ref[at, :]).T * state_ref[...] + x_ref[at, :].T * b_ref[at, :]
            out_ref[at, :] = (state_ref[...] * c_ref[at, :]).sum(1)[None]

    x, decay, b, c = floats(2, 8, 6), -abs(floats(2, 8, 6, seed=1)), floats(2, 8, 3, seed=2), floats(2, 8, 3, seed=3)
    wide, narrow = (pl.BlockSpec((None, 4, n), lambda i, t: (i, t, 0)) for n in (6, 3))
    got = run(
        kernel,
        sds((2, 8, 6)),
        *(x, decay, b, c),
        grid=(2, 2),
        in_specs=[wide, wide, narrow, narrow],
        out_specs=wide,
        scratch_shapes=[pltpu.VMEM((6, 3), jnp.float32)],
    )
    state, wanted = np.zeros((2, 6, 3), np.float32), []
    for t in range(8):
        state = np.exp(decay[:, t, :, None]) * state + x[:, t, :, None] * b[:, t, None]
        wanted.append((state * c[:, t, None]).sum(2))
    close(got, np.stack(wanted, 1))


def test_a_lock_taken_by_spinning() -> None:
    def kernel(lock_in: Any, count_in: Any, lock_ref: Any, count_ref: Any) -> None:
        lax.while_loop(lambda _: plgpu.atomic_cas(lock_ref, 0, 1) == 1, lambda turn: turn, 0)
        count_ref[...] += 1
        plgpu.atomic_xchg(lock_ref, (), 0)

    both = (sds((), jnp.int32),) * 2
    lock, count = run(kernel, both, np.int32(0), np.int32(0), input_output_aliases={0: 0, 1: 1}, grid=(4,))
    assert (lock, count) == (0, 4)


def test_a_program_interpreted_in_a_kernel() -> None:
    """Refs go through a loop's carry into the branches of a switch."""

    def kernel(code_ref: Any, weight_ref: Any, x_ref: Any, out_ref: Any) -> None:
        x = x_ref[...]

        def branch(column: int) -> Any:
            return lambda total, weights, i: total + weights[i, column] * 2.0**i * x

        def step(i: Any, carry: Any) -> Any:
            total, code, weights = carry
            return lax.switch(code[i], [branch(0), branch(1), branch(2)], total, weights, i), code, weights

        out_ref[...] = lax.fori_loop(0, 5, step, (jnp.zeros_like(x), code_ref, weight_ref))[0]

    code, weights, x = np.int32([0, 1, 2, 1, 2]), ints(5, 3, dtype=np.float32), ints(7, dtype=np.float32)
    part = pl.BlockSpec((4,), lambda i: (i,))
    whole = [pl.BlockSpec((5,), lambda i: (0,)), pl.BlockSpec((5, 3), lambda i: (0, 0))]
    got = run(kernel, sds(7), code, weights, x, grid=(2,), in_specs=[*whole, part], out_specs=part)
    assert_same(got, x * np.float32(weights[np.arange(5), code] @ 2.0 ** np.arange(5)))


# What a kernel says, and where it is called.


def test_a_ref_is_printed_as_what_it_holds(capfd: pytest.CaptureFixture[str]) -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        jax.debug.print("x = {}", x_ref)
        out_ref[...] = x_ref[...]

    run(kernel, sds(2), np.float32([4.5, 2.25]))
    jax.effects_barrier()
    assert "x = [4.5  2.25]" in capfd.readouterr().out


def test_a_kernel_in_a_branch_of_a_scan() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] + 1

    increase = pallas_np.pallas_call(kernel, sds(4))

    def step(x: Any, is_increased: Any) -> Any:
        return lax.cond(is_increased, increase, lambda x: 2 * x, x), x.sum()

    x, sums = jax.jit(lambda x: lax.scan(step, x, jnp.array([True, False, True])))(jnp.ones(4))
    assert x.tolist() == [5.0] * 4
    assert sums.tolist() == [4.0, 8.0, 16.0]


@pytest.mark.parametrize("over", [0, 1])
def test_prefetch_and_alias_under_vmap(over: int) -> None:
    def kernel(which_ref: Any, x_ref: Any, start_ref: Any, out_ref: Any) -> None:
        out_ref[...] = start_ref[...] + x_ref[...] * which_ref[pl.program_id(0)]

    spec = prefetching(
        1,
        grid=(2,),
        in_specs=[pl.BlockSpec((2, 4), lambda i, which: (which[i], 0)), pl.BlockSpec((2, 4), lambda i, which: (i, 0))],
        out_specs=pl.BlockSpec((2, 4), lambda i, which: (i, 0)),
    )
    call = pallas_np.pallas_call(kernel, sds((4, 4), jnp.int32), input_output_aliases={2: 0}, **spec)
    which, x, start = np.int32([[1, 0], [1, 1], [0, 1]]), ints(3, 4, 4), 100 * ints(3, 4, 4)
    rows = np.stack([x[b, [2 * i + j for i in which[b] for j in (0, 1)]] for b in range(3)])
    wanted = start + rows * np.repeat(which, 2, 1)[:, :, None]
    batched = jax.jit(jax.vmap(call, in_axes=(0, over, 0)))
    assert_same(batched(which, np.moveaxis(x, 0, over), start), wanted)
