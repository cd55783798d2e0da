"""Section 1 of the semantics: the grid, blocks, prefetch, aliases and the call's arguments."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from pallas_oracle import assert_same, check, floats, interpreted, ints, run, run_with, sds

from pallas_np import phase5
from pallas_np.options import Options

MIN = np.iinfo(np.int32).min


def copy(x_ref: Any, out_ref: Any) -> None:
    out_ref[...] = x_ref[...]


def add_one(x_ref: Any, out_ref: Any) -> None:
    out_ref[...] = x_ref[...] + 1


# Blocks.


def test_the_last_grid_axis_varies_fastest() -> None:
    def kernel(out_ref: Any, count_ref: Any) -> None:
        @pl.when((pl.program_id(0) == 0) & (pl.program_id(1) == 0))
        def _() -> None:
            count_ref[0] = 0

        count_ref[0] += 1
        out_ref[0, 0] = count_ref[0]

    check(
        kernel,
        sds((2, 3), jnp.int32),
        grid=(2, 3),
        out_specs=pl.BlockSpec((1, 1), lambda i, j: (i, j)),
        scratch_shapes=[pltpu.SMEM((1,), jnp.int32)],
        wanted=np.int32([[1, 2, 3], [4, 5, 6]]),
    )


@pytest.mark.parametrize("squeezed", [None, pl.Squeezed(), pl.squeezed])
def test_a_squeezed_axis_is_gone_from_the_ref(squeezed: Any) -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        assert x_ref.shape == (4,)
        out_ref[...] = x_ref[...] * 2

    spec = pl.BlockSpec((squeezed, 4, squeezed), lambda i, j: (i, 0, j))
    x = ints(3, 4, 2)
    assert_same(run(kernel, sds(x.shape, x.dtype), x, grid=(3, 2), in_specs=[spec], out_specs=spec), x * 2)


def test_every_axis_squeezed_leaves_a_scalar() -> None:
    spec = pl.BlockSpec((None, None), lambda i, j: (j, i))
    x = ints(2, 3)
    check(copy, sds((2, 3), x.dtype), x, grid=(3, 2), in_specs=[spec], out_specs=spec, wanted=x)


def test_a_ragged_block_is_padded_on_read_and_dropped_on_write() -> None:
    def kernel(x_ref: Any, out_ref: Any, whole_ref: Any) -> None:
        out_ref[...] = x_ref[...] + 1
        whole_ref[...] = x_ref[...][None]

    in_spec = pl.BlockSpec((4,), lambda i: (i,))
    x = ints(10)
    check(
        kernel,
        [sds(10, x.dtype), sds((3, 4), x.dtype)],
        x,
        grid=(3,),
        in_specs=[in_spec],
        out_specs=[in_spec, pl.BlockSpec((1, 4), lambda i: (i, 0))],
        wanted=[x + 1, np.concatenate([x, np.int32([MIN, MIN])]).reshape(3, 4)],
    )


def test_blocks_ragged_along_two_axes() -> None:
    spec = pl.BlockSpec((4, 3), lambda i, j: (i, j))
    x = floats(7, 5)
    check(add_one, sds((7, 5)), x, grid=(2, 2), in_specs=[spec], out_specs=spec, wanted=x + 1)


def test_a_block_larger_than_its_array() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...]

    spec = pl.BlockSpec((8,), lambda i: (i,))
    check(kernel, sds(8), floats(5), grid=(1,), in_specs=[spec], out_specs=spec)


def test_element_blocks_overlap() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[0:4] + x_ref[1:5] + x_ref[2:6]

    check(
        kernel,
        sds(12, jnp.int32),
        ints(14),
        grid=(3,),
        in_specs=[pl.BlockSpec((pl.Element(6),), lambda i: (4 * i,))],
        out_specs=pl.BlockSpec((4,), lambda i: (i,)),
        wanted=np.int32([sum(range(i, i + 3)) for i in range(12)]),
    )


def test_element_blocks_may_reach_into_their_padding() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...][None]

    x = ints(8)
    check(
        kernel,
        sds((4, 4), x.dtype),
        x,
        grid=(4,),
        in_specs=[pl.BlockSpec((pl.Element(4, (1, 3)),), lambda i: (2 * i,))],
        out_specs=pl.BlockSpec((1, 4), lambda i: (i, 0)),
        wanted=np.int32([[MIN, 0, 1, 2], [1, 2, 3, 4], [3, 4, 5, 6], [5, 6, 7, MIN]]),
    )


def test_an_output_with_element_blocks_drops_its_padding() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...]

    check(
        kernel,
        sds(6, jnp.int32),
        ints(8),
        grid=(2,),
        in_specs=[pl.BlockSpec((4,), lambda i: (i,))],
        out_specs=pl.BlockSpec((pl.Element(4, (1, 1)),), lambda i: (4 * i,)),
        wanted=np.int32([1, 2, 3, 4, 5, 6]),
    )


def test_a_bounded_slice_is_no_longer_than_asked() -> None:
    """Neither peer runs bounded slices: the oracle is NumPy."""

    def kernel(sizes_ref: Any, x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...]

    sizes = np.int32([2, 4, 1])
    spec = pl.BlockSpec((pl.BoundedSlice(4), 3), lambda i, sizes: (pl.ds(2 * i, sizes[i]), 0))
    x = ints(8, 3)
    got = run(
        kernel,
        sds((8, 3), x.dtype),
        sizes,
        x,
        grid_spec=pltpu.PrefetchScalarGridSpec(num_scalar_prefetch=1, grid=(3,), in_specs=[spec], out_specs=spec),
    )
    wanted = np.full_like(x, MIN)
    for i, size in enumerate(sizes):
        wanted[2 * i : 2 * i + size] = x[2 * i : 2 * i + size]
    assert_same(got, wanted)


def test_an_output_block_may_be_revisited() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        @pl.when(pl.program_id(1) == 0)
        def _() -> None:
            out_ref[...] = jnp.zeros_like(out_ref)

        out_ref[...] += x_ref[...]

    x = ints(2, 12)
    check(
        kernel,
        sds((2, 4), x.dtype),
        x,
        grid=(2, 3),
        in_specs=[pl.BlockSpec((1, 4), lambda i, k: (i, k))],
        out_specs=pl.BlockSpec((1, 4), lambda i, k: (i, 0)),
        wanted=x.reshape(2, 3, 4).sum(1, dtype=np.int32),
    )


def test_a_ragged_output_block_may_be_revisited() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        @pl.when(pl.program_id(1) == 0)
        def _() -> None:
            out_ref[...] = jnp.zeros_like(out_ref)

        out_ref[...] += x_ref[...]

    x = ints(6, 3)
    check(
        kernel,
        sds(6, x.dtype),
        x,
        grid=(2, 3),
        in_specs=[pl.BlockSpec((4, None), lambda i, k: (i, k))],
        out_specs=pl.BlockSpec((4,), lambda i, k: (i,)),
        wanted=x.sum(1, dtype=np.int32),
    )


def test_what_is_written_past_the_arrays_end_stays_while_the_block_does() -> None:
    """JAX's paged attention keeps a row of 128 running sums in an output of which the array holds one."""

    def kernel(x_ref: Any, out_ref: Any, sums_ref: Any) -> None:
        @pl.when(pl.program_id(1) == 0)
        def _() -> None:
            sums_ref[...] = jnp.zeros_like(sums_ref)

        sums_ref[...] += x_ref[...]
        out_ref[...] = sums_ref[...]

    x = ints(2, 3, 4)
    got = check(
        kernel,
        (sds((2, 4), x.dtype), sds((2, 1), x.dtype)),
        x,
        grid=(2, 3),
        in_specs=[pl.BlockSpec((None, None, 4), lambda i, k: (i, k, 0))],
        out_specs=(pl.BlockSpec((None, 4), lambda i, k: (i, 0)), pl.BlockSpec((None, 4), lambda i, k: (i, 0))),
    )
    np.testing.assert_array_equal(got[0], x.sum(1))


def test_blocks_that_nobody_wrote_are_uninitialised() -> None:
    def kernel(out_ref: Any) -> None:
        out_ref[...] = jnp.ones_like(out_ref)

    for dtype in (jnp.int32, jnp.float32, jnp.bool_, jnp.uint8, jnp.bfloat16):
        out = pl.BlockSpec((2,), lambda i: (2 * i,))
        check(kernel, sds(6, dtype), grid=(2,), out_specs=out)


def test_uninitialised_memory_is_zero_on_request() -> None:
    def kernel(out_ref: Any, scratch_ref: Any) -> None:
        out_ref[0] = scratch_ref[0]

    call = {"scratch_shapes": [pltpu.VMEM((1,), jnp.float32)]}
    assert_same(run_with(Options(uninitialized="zero"), kernel, sds(2), **call), np.zeros(2, np.float32))
    assert np.isnan(run(kernel, sds(2), **call)).all()


# The grid.


@pytest.mark.parametrize("grid", [(), (1,), 1])
def test_a_grid_of_one(grid: Any) -> None:
    check(add_one, sds(4), floats(4), grid=grid)


def test_missing_block_specs_give_whole_arrays() -> None:
    def kernel(x_ref: Any, y_ref: Any, out_ref: Any) -> None:
        assert x_ref.shape == (4,) and out_ref.shape == (3, 4)
        out_ref[pl.program_id(0)] = x_ref[...] * y_ref[0]

    check(
        kernel,
        sds((3, 4), jnp.int32),
        ints(4),
        ints(3) + 5,
        grid=(3,),
        in_specs=[pl.BlockSpec(), pl.BlockSpec((1,), lambda i: (i,))],
    )


def test_an_empty_grid_runs_nothing() -> None:
    def kernel(out_ref: Any) -> None:
        out_ref[...] = jnp.ones_like(out_ref)

    spec = pl.BlockSpec((2,), lambda i: (i,))
    assert np.isnan(run(kernel, sds(4), grid=(0,), out_specs=spec)).all()


def test_arrays_without_elements() -> None:
    out = run(add_one, sds((0, 3)), np.zeros((0, 3), np.float32))
    assert out.shape == (0, 3)


def test_a_scalar_operand() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[()] = x_ref[()] * 2

    check(kernel, sds((), jnp.float32), np.float32(3.5))


@pytest.mark.parametrize("space", [pltpu.ANY if hasattr(pltpu, "ANY") else pl.ANY, pltpu.HBM, pltpu.SMEM, pltpu.VMEM])
def test_memory_spaces_make_no_difference(space: Any) -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[0] = x_ref[pl.program_id(0)]

    check(
        kernel,
        sds(3, jnp.int32),
        ints(3) * 7,
        grid=(3,),
        in_specs=[pl.BlockSpec(memory_space=space)],
        out_specs=pl.BlockSpec((1,), lambda i: (i,)),
        wanted=ints(3) * 7,
    )


def test_dynamic_grid_bounds() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] + pl.num_programs(0)

    spec = pl.BlockSpec((2,), lambda i: (i,))

    def double(pallas_call: Any, n: Any, x: Any) -> Any:
        call = pallas_call(
            kernel,
            out_shape=sds(8, jnp.int32),
            grid=(n,),
            in_specs=[spec],
            out_specs=spec,
            input_output_aliases={0: 0},
        )
        return call(x)

    x = ints(8)
    wanted = np.concatenate([x[:6] + 3, x[6:]])
    jitted = jax.jit(double, static_argnums=0)
    assert_same(jitted(phase5.pallas_call, 3, x), wanted)
    assert_same(double(phase5.pallas_call, jnp.int32(3), jnp.asarray(x)), wanted)


def test_program_ids_in_an_index_map_of_two_dynamic_bounds() -> None:
    def kernel(out_ref: Any) -> None:
        out_ref[0, 0] = 10 * pl.program_id(0) + pl.program_id(1) + 100 * pl.num_programs(1)

    @jax.jit
    def call(rows: Any, columns: Any) -> Any:
        return phase5.pallas_call(
            kernel,
            out_shape=sds((3, 4), jnp.int32),
            grid=(rows, columns),
            out_specs=pl.BlockSpec((1, 1), lambda i, j: (i, j)),
        )()

    got = np.asarray(call(2, 3))
    assert_same(got[:2, :3], np.int32([[300, 301, 302], [310, 311, 312]]))
    assert (got[2:] == MIN).all() and (got[:, 3:] == MIN).all()


# Scalar prefetch.


def prefetched(kernel: Any, out: Any, *args: Any, grid: Any, in_specs: Any, out_specs: Any, n: int, **more: Any) -> Any:
    spec = pltpu.PrefetchScalarGridSpec(
        num_scalar_prefetch=n, grid=grid, in_specs=in_specs, out_specs=out_specs, **more
    )
    return check(kernel, out, *args, grid_spec=spec)


def test_index_maps_read_prefetched_scalars() -> None:
    def kernel(order_ref: Any, x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] + order_ref[pl.program_id(0)]

    order, x = np.int32([2, 0, 3, 1]), ints(8)
    got = prefetched(
        kernel,
        sds(8, x.dtype),
        order,
        x,
        n=1,
        grid=(4,),
        in_specs=[pl.BlockSpec((2,), lambda i, order: (order[i],))],
        out_specs=pl.BlockSpec((2,), lambda i, order: (i,)),
    )
    assert_same(got, (x.reshape(4, 2)[order] + order[:, None]).reshape(-1))


def test_several_prefetched_arrays_of_several_axes() -> None:
    def kernel(rows_ref: Any, offset_ref: Any, x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] + offset_ref[()]

    rows, x = np.int32([[1, 0], [0, 1]]), ints(2, 4)
    got = prefetched(
        kernel,
        sds((2, 4), x.dtype),
        rows,
        np.int32(100),
        x,
        n=2,
        grid=(2, 2),
        in_specs=[pl.BlockSpec((1, 2), lambda i, j, rows, offset: (rows[i, j], j))],
        out_specs=pl.BlockSpec((1, 2), lambda i, j, rows, offset: (i, lax_rem(j + offset[()], 2))),
    )
    wanted = np.zeros_like(x)
    for i in range(2):
        for j in range(2):
            wanted[i, 2 * ((j + 100) % 2) :][:2] = x[rows[i, j], 2 * j :][:2] + 100
    assert_same(got, wanted)


def lax_rem(x: Any, y: int) -> Any:
    return jax.lax.rem(x, jnp.int32(y))


def test_a_kernel_may_write_to_its_prefetched_scalars() -> None:
    """They are memory like any other: what one program writes the next one and its index maps see."""

    def kernel(where_ref: Any, x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...]
        where_ref[0] = where_ref[0] + 1

    where, x = np.int32([0]), ints(4)
    spec = pltpu.PrefetchScalarGridSpec(
        num_scalar_prefetch=1,
        grid=(4,),
        in_specs=[pl.BlockSpec((1,), lambda i, where: (where[0],))],
        out_specs=pl.BlockSpec((1,), lambda i, where: (i,)),
    )
    on_device = jnp.asarray(where)
    got = phase5.pallas_call(kernel, sds(4, x.dtype), grid_spec=spec)(on_device, jnp.asarray(x))
    assert_same(got, x)
    assert_same(on_device, where)


# vmap.


def test_a_vmapped_grid_hides_its_axis() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] + 10 * pl.program_id(0) + 100 * pl.num_programs(0)

    spec = pl.BlockSpec((2,), lambda i: (i,))

    def call(pallas_call: Any, **more: Any) -> Any:
        return pallas_call(kernel, sds(6, jnp.int32), grid=(3,), in_specs=[spec], out_specs=spec, **more)

    x = ints(4, 6)
    wanted = jax.vmap(call(pl.pallas_call, interpret=True))(x)
    assert_same(jax.vmap(call(phase5.pallas_call))(x), wanted)
    assert_same(wanted, x + np.repeat(10 * np.arange(3), 2).astype(np.int32) + 300)


def test_nested_vmap_over_different_axes() -> None:
    def kernel(x_ref: Any, y_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] * y_ref[...] + pl.program_id(0)

    spec = pl.BlockSpec((2,), lambda i: (i,))

    def call(pallas_call: Any, **more: Any) -> Any:
        f = pallas_call(kernel, sds(4, jnp.int32), grid=(2,), in_specs=[spec, spec], out_specs=spec, **more)
        return jax.vmap(jax.vmap(f, in_axes=(0, None)), in_axes=(None, 1), out_axes=1)

    x, y = ints(3, 4), ints(4, 2)
    assert_same(call(phase5.pallas_call)(x, y), call(pl.pallas_call, interpret=True)(x, y))


def test_vmap_of_prefetch_that_is_not_batched() -> None:
    def kernel(order_ref: Any, x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...]

    spec = pltpu.PrefetchScalarGridSpec(
        num_scalar_prefetch=1,
        grid=(2,),
        in_specs=[pl.BlockSpec((2,), lambda i, order: (order[i],))],
        out_specs=pl.BlockSpec((2,), lambda i, order: (i,)),
    )
    call = phase5.pallas_call(kernel, sds(4, jnp.int32), grid_spec=spec)
    order, x = np.int32([1, 0]), ints(3, 4)
    assert_same(jax.vmap(call, in_axes=(None, 0))(order, x), x[:, [2, 3, 0, 1]])


def test_vmap_of_prefetch_that_is_batched() -> None:
    def kernel(order_ref: Any, x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] + order_ref[0]

    spec = pltpu.PrefetchScalarGridSpec(
        num_scalar_prefetch=1,
        grid=(2,),
        in_specs=[pl.BlockSpec((2,), lambda i, order: (order[i],))],
        out_specs=pl.BlockSpec((2,), lambda i, order: (i,)),
    )
    call = phase5.pallas_call(kernel, sds(4, jnp.int32), grid_spec=spec)
    order, x = np.int32([[1, 0], [0, 0], [1, 1]]), ints(3, 4)
    wanted = np.stack([x[b].reshape(2, 2)[order[b]].reshape(-1) + order[b, 0] for b in range(3)])
    assert_same(jax.vmap(call)(order, x), wanted)
    assert_same(
        jax.vmap(call, in_axes=(0, None))(order, x[0]),
        np.stack([x[0].reshape(2, 2)[o].reshape(-1) + o[0] for o in order]),
    )


def test_vmap_of_scratch_and_aliases() -> None:
    def kernel(x_ref: Any, out_ref: Any, sum_ref: Any) -> None:
        @pl.when(pl.program_id(0) == 0)
        def _() -> None:
            sum_ref[0] = 0

        sum_ref[0] += x_ref[0]
        out_ref[0] = sum_ref[0]

    spec = pl.BlockSpec((1,), lambda i: (i,))
    call = phase5.pallas_call(
        kernel,
        sds(4, jnp.int32),
        grid=(4,),
        in_specs=[spec],
        out_specs=spec,
        scratch_shapes=[pltpu.SMEM((1,), jnp.int32)],
        input_output_aliases={0: 0},
    )
    x = ints(3, 4)
    assert_same(jax.vmap(call)(x), np.cumsum(x, 1, dtype=np.int32))


# Aliases.


def test_an_alias_is_one_buffer() -> None:
    """Three visits to one block: `interpret=True` of JAX 0.10.2 answers 1."""
    out = run(
        add_one,
        sds(4, jnp.int32),
        np.zeros(4, np.int32),
        grid=(3,),
        in_specs=[pl.BlockSpec((4,), lambda i: (0,))],
        out_specs=pl.BlockSpec((4,), lambda i: (0,)),
        input_output_aliases={0: 0},
    )
    assert_same(out, np.full(4, 3, np.int32))


def test_both_refs_of_an_alias_see_a_write_at_once() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[0] = 7
        out_ref[1] = x_ref[0] + 1
        x_ref[2] = 5
        out_ref[3] = out_ref[2] + x_ref[1]

    x = jnp.arange(4)
    got = phase5.pallas_call(kernel, sds(4, jnp.int32), input_output_aliases={0: 0})(x)
    assert_same(got, np.int32([7, 8, 5, 13]))
    assert_same(x, ints(4))


def test_both_refs_of_an_alias_see_a_ragged_block() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] + 1
        out_ref[...] = x_ref[...] * 10

    spec = pl.BlockSpec((4,), lambda i: (i,))
    x = ints(6)
    got = run(kernel, sds(6, x.dtype), x, grid=(2,), in_specs=[spec], out_specs=spec, input_output_aliases={0: 0})
    assert_same(got, (x + 1) * 10)


def test_what_is_not_written_of_an_alias_stays() -> None:
    def kernel(x_ref: Any, y_ref: Any, out_ref: Any, other_ref: Any) -> None:
        out_ref[0] = x_ref[0] + y_ref[1]
        other_ref[...] = x_ref[...]

    check(
        kernel,
        [sds(3, jnp.int32), sds(3, jnp.int32)],
        ints(3),
        ints(3) + 10,
        input_output_aliases={1: 0},
        wanted=[np.int32([11, 11, 12]), ints(3)],
    )


def test_aliases_count_prefetched_operands() -> None:
    def kernel(start_ref: Any, x_ref: Any, out_ref: Any) -> None:
        out_ref[start_ref[0]] = x_ref[0] + 9

    spec = pltpu.PrefetchScalarGridSpec(num_scalar_prefetch=1, grid=(1,))
    check(
        kernel,
        sds(4, jnp.int32),
        np.int32([2]),
        ints(4) + 1,
        grid_spec=spec,
        input_output_aliases={1: 0},
        wanted=np.int32([1, 2, 10, 4]),
    )


# What a call is made of.


def test_operands_and_outputs_may_be_pytrees() -> None:
    def kernel(xs: Any, y_ref: Any, outs: Any, *, scratch: Any) -> None:
        scratch[...] = xs["a"][...] + xs["b"][...]
        outs["sum"][...] = scratch[...] + y_ref[...]
        outs["pair"][0][...] = xs["a"][...]
        outs["pair"][1][...] = xs["b"][...]

    x = sds(4, jnp.int32)
    call = phase5.pallas_call(
        kernel,
        {"sum": x, "pair": (x, x)},
        scratch_shapes={"scratch": pltpu.VMEM((4,), jnp.int32)},
    )
    a, b = ints(4), ints(4) * 2
    got = call({"a": a, "b": b}, a)
    assert_same(got, {"sum": a * 4, "pair": (a, b)})


def test_scratch_may_be_given_by_name() -> None:
    def kernel(x_ref: Any, out_ref: Any, *, total: Any, count: Any) -> None:
        count[0] = 2
        total[...] = x_ref[...]
        out_ref[...] = total[...] * count[0]

    scratch = {"count": pltpu.SMEM((1,), jnp.int32), "total": pltpu.VMEM((4,), jnp.int32)}
    check(kernel, sds(4, jnp.int32), ints(4), scratch_shapes=scratch, wanted=ints(4) * 2)


def test_hints_change_nothing() -> None:
    check(
        add_one,
        sds(4),
        floats(4),
        compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel",)),
        cost_estimate=pl.CostEstimate(flops=1, bytes_accessed=2, transcendentals=3),
        name="with_a_name",
        metadata={"key": "value"},
        grid=(1,),
    )


def test_static_constants_may_be_captured() -> None:
    table = np.float32([1, 2, 3])
    scale = np.float32(2)

    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] * scale + float(table[1])

    check(kernel, sds(3), floats(3))


def test_jvp_through_a_call() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = jnp.sin(x_ref[...]) * x_ref[...]

    spec = pl.BlockSpec((2,), lambda i: (i,))

    def call(pallas_call: Any, **more: Any) -> Any:
        return pallas_call(kernel, sds(6), grid=(3,), in_specs=[spec], out_specs=spec, **more)

    x, t = jnp.asarray(floats(6)), jnp.asarray(floats(6, seed=1))
    got, got_tangent = jax.jvp(call(phase5.pallas_call), (x,), (t,))
    wanted, wanted_tangent = jax.jvp(call(pl.pallas_call, interpret=True), (x,), (t,))
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
    np.testing.assert_allclose(got_tangent, wanted_tangent, rtol=1e-5)


def test_jvp_where_some_inputs_have_no_tangent() -> None:
    """Constants and integers; `interpret=True` fails."""

    def kernel(x_ref: Any, i_ref: Any, y_ref: Any, out_ref: Any) -> None:
        out_ref[...] = jnp.sin(x_ref[...])[i_ref[...]] * y_ref[...]

    flipped = pl.BlockSpec((2,), lambda i: (3 - i,))
    straight = pl.BlockSpec((2,), lambda i: (i,))
    call = phase5.pallas_call(
        kernel, sds(8), grid=(4,), in_specs=[straight, pl.BlockSpec((2,), lambda i: (0,)), flipped], out_specs=straight
    )
    x, y, i = floats(8), floats(8, seed=1), np.int32([1, 0])

    def wanted(x: Any, y: Any) -> Any:
        return jnp.sin(x).reshape(4, 2)[:, ::-1].reshape(8) * y.reshape(4, 2)[::-1].reshape(8)

    for function, reference in [
        (lambda y: call(x, i, y), lambda y: wanted(x, y)),
        (lambda x: call(x, i, y), lambda x: wanted(x, y)),
        (lambda x: jax.jvp(lambda x: call(x, i, y), (x,), (y,))[1], lambda x: jax.jvp(wanted, (x, y), (y, 0 * y))[1]),
    ]:
        for got, right in zip(jax.jvp(function, (x,), (y,)), jax.jvp(reference, (x,), (y,))):
            np.testing.assert_allclose(got, right, rtol=1e-5, atol=1e-6)


def test_a_grid_whose_axes_have_names() -> None:
    """Its programs run one after the other, as those of any grid."""

    def kernel(out_ref: Any, total_ref: Any) -> None:
        @pl.when(pl.program_id(0) == 0)
        def _() -> None:
            total_ref[0] = 0

        total_ref[0] += 1 + lax.axis_index("row")
        out_ref[0, 0] = total_ref[0] * lax.axis_size("column")

    assert_same(
        run(
            kernel,
            sds((4, 2), jnp.int32),
            grid=(("row", 4), ("column", 2)),
            out_specs=pl.BlockSpec((1, 1), lambda i, j: (i, j)),
            scratch_shapes=[pltpu.SMEM((1,), jnp.int32)],
        ),
        np.int32([[2, 2], [6, 10], [16, 22], [30, 38]]),
    )


def test_vmap_of_jvp_under_jit() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] * x_ref[...]

    call = phase5.pallas_call(kernel, sds(4))
    x = floats(3, 4)
    got = jax.jit(jax.vmap(lambda x: jax.jvp(call, (x,), (jnp.ones_like(x),))[1]))(x)
    assert_same(got, x * 2)


def test_grad_through_custom_vjp() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] * x_ref[...]

    call = phase5.pallas_call(kernel, sds(4))
    square = jax.custom_vjp(call)
    square.defvjp(lambda x: (call(x), x), lambda x, g: (2 * x * g,))
    x = floats(4)
    assert_same(jax.grad(lambda x: square(x).sum())(x), 2 * x)


def test_a_call_inside_scan_and_cond() -> None:
    call = phase5.pallas_call(add_one, sds(4, jnp.int32))

    @jax.jit
    def loop(x: Any) -> Any:
        return jax.lax.scan(lambda x, i: (jax.lax.cond(i % 2 == 0, call, lambda x: x, x), None), x, jnp.arange(5))[0]

    assert_same(loop(ints(4)), ints(4) + 3)


def test_x64_programs() -> None:
    """float64, uint64 and complex128, the last of which `interpret=True` does not have."""
    program = textwrap.dedent("""
        import jax; jax.config.update("jax_enable_x64", True)
        import jax.numpy as jnp, numpy as np
        from jax.experimental import pallas as pl
        from pallas_np import phase5

        def kernel(x_ref, n_ref, z_ref, x_out, n_out, z_out):
            i = pl.program_id(0)
            x_out[...] = jnp.exp(x_ref[...]) / 3 + i
            n_out[...] = (n_ref[...] << 40) + i.astype(np.uint64)
            z_out[...] = z_ref[...] * z_ref[...].conj() + 1j

        x, n, z = np.linspace(0, 1, 4), np.arange(4, dtype=np.uint64), np.arange(4) * (1 + 2j)
        spec = pl.BlockSpec((2,), lambda i: (i,))
        shapes = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in (x, n, z)]
        got = phase5.pallas_call(kernel, shapes, grid=(2,), in_specs=[spec] * 3, out_specs=[spec] * 3)(x, n, z)
        i = np.repeat(np.arange(2), 2)
        wanted = np.exp(x) / 3 + i, (n << np.uint64(40)) + i.astype(np.uint64), z * z.conj() + 1j
        for g, w in zip(got, wanted):
            assert g.dtype == w.dtype, (g.dtype, w.dtype)
            assert np.allclose(g, w, rtol=1e-15, atol=0), (g, w)
        print("same")
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "same", done.stderr


# Clamping, as `interpret=True` does it.


def test_blocks_outside_are_clamped_on_request() -> None:
    out = pl.BlockSpec((4,), lambda i: (i,))
    for shift in (-7, -1, 1, 5):
        call = {"grid": (2,), "in_specs": [pl.BlockSpec((4,), lambda i, s=shift: (i + s,))], "out_specs": out}
        x = ints(8)
        assert_same(
            run_with(Options(out_of_bounds="clamp"), copy, sds(8, x.dtype), x, **call),
            interpreted(copy, sds(8, x.dtype), x, **call),
        )


def test_ragged_blocks_outside_are_clamped_on_request() -> None:
    call = {
        "grid": (3,),
        "in_specs": [pl.BlockSpec((4,), lambda i: (i + 1,))],
        "out_specs": pl.BlockSpec((4,), lambda i: (i,)),
    }
    x = ints(10)
    got = run_with(Options(out_of_bounds="clamp"), copy, sds(12, x.dtype), x, **call)
    assert_same(got, interpreted(copy, sds(12, x.dtype), x, **call))


def test_indirect_blocks_are_refused() -> None:
    """JAX lets no index map of a grid answer with a vector, so there is nothing to gather by; a pipeline's may."""
    spec = pl.BlockSpec((pl.Indirect(2),), lambda i: (i,))
    with pytest.raises(NotImplementedError, match="indirect block dimensions are not supported"):
        run(copy, sds(2, jnp.int32), ints(4), grid=(2,), in_specs=[spec])


def test_an_element_block_past_the_end_is_padded() -> None:
    """`interpret=True` moves it back until it fits, which is what `out_of_bounds="clamp"` does."""
    x, spec = ints(5), pl.BlockSpec((pl.Element(3),), lambda i: (3 + i,))
    call = {"grid": (2,), "in_specs": [spec], "out_specs": pl.BlockSpec((3,), lambda i: (i,))}
    assert_same(run(copy, sds(6, x.dtype), x, **call), np.int32([3, 4, MIN, 4, MIN, MIN]))
    clamped = run_with(Options(out_of_bounds="clamp"), copy, sds(6, x.dtype), x, **call)
    assert_same(clamped, interpreted(copy, sds(6, x.dtype), x, **call))
