"""Steps of the grid that run together give, bit for bit, what they give one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from pallas_np import compiler, frontend, phase5
from pallas_np.compiler import merging
from pallas_np.compiler.first_call import walked
from pallas_np.frontend.kernel_calls import kernel_calls
from pallas_np.options import Options


def floats(*shape: int) -> np.ndarray:
    x = np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)
    x.reshape(-1)[::7] = [0.0, -0.0, np.nan, np.inf][len(shape) % 4]
    return x


def traced(kernel: Callable[..., None], out: Any, args: Any, **call: Any) -> frontend.TracedCall:
    found = frontend.trace(pl.pallas_call(kernel, out, interpret=True, **call), *args)
    assert found is not None
    return found


def grids(call: frontend.TracedCall) -> tuple[Any, Any]:
    """The grid before and after merging."""
    return call.call.grid, merging.merged(call.call).call.grid


def check(call: frontend.TracedCall, *args: np.ndarray) -> None:
    """Compiled, merged or not, and walked, merged or not: the same bits."""
    wanted = phase5.run(call.call, *args)
    results = [compiler.Compiled(call.call, merge_steps=merged).run(call.call, *args) for merged in (True, False)]
    walk = walked(call.call, args, Options())
    for got in results if walk is None else [*results, walk]:
        assert [x.tobytes() for x in got] == [x.tobytes() for x in wanted]


def rows(shape: tuple[int, ...]) -> pl.BlockSpec:
    return pl.BlockSpec(shape, lambda i: (i, *(0 for _ in shape[1:])))


def normalised(x: Any) -> Any:
    centred = x - jnp.sum(x, 1, keepdims=True) / 64
    return jnp.exp(centred - jnp.max(x)) * lax.rsqrt(jnp.sum(x * x) + 1)


def running(x: Any) -> Any:
    return lax.cumsum(x, 1) + lax.cummax(lax.rev(x, (0,)), 0, reverse=True)


def rearranged(x: Any) -> Any:
    turned = jnp.concatenate([x[:, 3:], x[:, :3]], 1).reshape(2, -1, 8).transpose(1, 0, 2)
    return jnp.pad(turned, ((0, 0), (0, 0), (1, 2)))[:, :, 1:9].reshape(x.shape)


def ordered(x: Any) -> Any:
    keys, values = lax.sort((jnp.sin(x), x), dimension=1, num_keys=1)
    return keys + values + jnp.argmax(x, 1, keepdims=True)


def gathered(x: Any) -> Any:
    order = lax.broadcasted_iota(jnp.int32, x.shape, 1) ^ 5
    fixed = jnp.take_along_axis(x, order, axis=1, mode="promise_in_bounds")
    places = (jnp.abs(jnp.nan_to_num(x, posinf=1)) * 3).astype(jnp.int32) % x.shape[1]
    return fixed + jnp.take_along_axis(x, places, axis=1, mode="promise_in_bounds")


def multiplied(x: Any) -> Any:
    # Whole numbers, whose products are exact: BLAS may add up otherwise where there are more rows.
    x = jnp.round(jnp.nan_to_num(x, posinf=3))
    weights = lax.broadcasted_iota(jnp.float32, (64, 64), 0) - 30
    return jnp.dot(x, weights) + jnp.dot(jnp.dot(x, x.T), x) + jnp.dot(jnp.abs(weights[: x.shape[0], :8]), x[:8, :])


def contracted(x: Any) -> Any:
    x = jnp.round(jnp.nan_to_num(x, posinf=3)).astype(jnp.float32)
    weights = lax.broadcasted_iota(jnp.float32, (8, 64, 64), 2) - 30

    def dot(x: Any, y: Any, *axes: Any) -> Any:
        return lax.dot_general(x, y, (axes, ((), ())))

    from_columns = dot(x, weights[0, :8], (0,), (0,))[:8]
    of_rows = dot(x[0], weights[0], (0,), (1,)) + dot(x, weights[:, :, 0], (0, 1), (0, 1))
    of_columns = dot(x, weights[0, 0], (1,), (0,))[:, None]
    of_halves = dot(x.reshape(2, 4, 64), weights[0], (2,), (0,)).reshape(x.shape)
    of_pairs = dot(x.reshape(4, 2, 64), weights[1, :4], (0,), (0,))[0, 0]
    return from_columns + of_rows + of_columns + of_halves + of_pairs


def looped(x: Any) -> Any:
    total = lax.fori_loop(0, 3, lambda k, s: s * 0.5 + x * k, jnp.zeros_like(x))
    count, _ = lax.while_loop(lambda s: s[0] < 4, lambda s: (s[0] + 1, s[1] + x), (0, total))
    return lax.cond(pl.num_programs(0) > 3, lambda: total + count, lambda: x)


def placed(x: Any) -> Any:
    row = pl.program_id(0) * x.shape[0] + lax.broadcasted_iota(jnp.int32, x.shape, 0)
    last = pl.program_id(0) == pl.num_programs(0) - 1
    return jnp.where((row < 100) & ~last, x, row.astype(jnp.float32)) + pl.program_id(0)


def repeated(x: Any) -> Any:
    return jnp.tile(jnp.sum(x, 1, keepdims=True), (1, x.shape[1])) + jnp.tile(x, (1, 1))


ROWWISE = [normalised, running, rearranged, ordered, gathered, multiplied, contracted, looped, placed, repeated]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=str)
@pytest.mark.parametrize("programs", [6, 127])
@pytest.mark.parametrize("function", ROWWISE, ids=lambda f: f.__name__)
def test_row_blocks_run_together(function: Callable[[Any], Any], programs: int, dtype: Any) -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = function(x_ref[...]).astype(out_ref.dtype)

    x = floats(programs * 8, 64).astype(dtype)
    block = rows((8, 64))
    out = jax.ShapeDtypeStruct(x.shape, x.dtype)
    call = traced(kernel, out, (x,), grid=(programs,), in_specs=[block], out_specs=block)
    before, after = grids(call)
    assert after < before
    assert programs > 6 or walked(call.call, (x,), Options()) is not None
    check(call, x)


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_several_axes_of_the_grid_run_together(axes: tuple[int, int, int]) -> None:
    def kernel(x_ref: Any, y_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] + jnp.sum(y_ref[...]) + pl.program_id(axes[0]) * pl.program_id(axes[1])

    def index(*grid: Any) -> tuple[Any, ...]:
        return tuple(grid[axis] for axis in axes)

    x, y = floats(6, 20, 32), floats(5, 4)
    block = pl.BlockSpec((None, 4, 8), index)
    grid = [0, 0, 0]
    for axis, programs in zip(axes, (6, 5, 4)):
        grid[axis] = programs
    one_row = pl.BlockSpec((1, 4), lambda *grid: (grid[axes[1]], 0))
    out = jax.ShapeDtypeStruct(x.shape, x.dtype)
    call = traced(kernel, out, (x, y), grid=tuple(grid), in_specs=[block, one_row], out_specs=block)
    assert grids(call)[1] == (1, 1, 1)
    check(call, x, y)


def matmul(a_ref: Any, b_ref: Any, out_ref: Any, sum_ref: Any) -> None:
    @pl.when(pl.program_id(2) == 0)
    def _() -> None:
        sum_ref[...] = jnp.zeros(sum_ref.shape, sum_ref.dtype)

    sum_ref[...] += jnp.dot(a_ref[...], b_ref[...], preferred_element_type=jnp.float32)

    @pl.when(pl.program_id(2) == pl.num_programs(2) - 1)
    def _() -> None:
        out_ref[...] = sum_ref[...]


def test_a_sum_over_the_last_axis_keeps_its_order() -> None:
    a, b = (np.random.default_rng(seed).integers(-8, 9, (64, 64)).astype(np.float32) for seed in (0, 1))
    a *= np.exp2(np.arange(64, dtype=np.float32) // 8 * 4)  # a block's product is exact, the sum of blocks is not
    backwards = sum(a[:, k : k + 8] @ b[k : k + 8] for k in reversed(range(0, 64, 8)))
    call = traced(
        matmul,
        jax.ShapeDtypeStruct((64, 64), jnp.float32),
        (a, b),
        grid=(4, 2, 8),
        in_specs=[pl.BlockSpec((16, 8), lambda i, j, k: (i, k)), pl.BlockSpec((8, 32), lambda i, j, k: (k, j))],
        out_specs=pl.BlockSpec((16, 32), lambda i, j, k: (i, j)),
        scratch_shapes=[pltpu.VMEM((16, 32), jnp.float32)],
    )
    assert grids(call)[1] == (1, 1, 8)
    check(call, a, b)
    assert (phase5.run(call.call, a, b)[0] != backwards).any()


def first_block_written_by_number(x_ref: Any, out_ref: Any, work_ref: Any) -> None:
    @pl.when(pl.program_id(1) == 0)
    def _() -> None:
        work_ref[0] = jnp.zeros((8, 16))

    work_ref[0] += x_ref[...]
    out_ref[...] = work_ref[0]


def test_scratch_memory_with_an_axis_of_one_is_whole() -> None:
    x = floats(32, 48)
    call = traced(
        first_block_written_by_number,
        jax.ShapeDtypeStruct((32, 16), jnp.float32),
        (x,),
        grid=(4, 3),
        in_specs=[pl.BlockSpec((8, 16), lambda i, j: (i, j))],
        out_specs=pl.BlockSpec((8, 16), lambda i, j: (i, 0)),
        scratch_shapes=[pltpu.VMEM((1, 8, 16), jnp.float32)],
    )
    assert grids(call)[1] == (1, 3)
    check(call, x)


def test_programs_run_together_along_one_axis_while_another_has_as_many_as_an_argument_says() -> None:
    x, count = floats(4, 16, 8), np.int32(3)

    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] * (pl.program_id(0) + 2 * pl.program_id(1))

    def call(count: Any, x: Any) -> Any:
        spec = pl.BlockSpec((1, 4, 8), lambda i, j: (j, i, 0))
        grid = {"grid": (4, count), "in_specs": [spec], "out_specs": spec}
        return pl.pallas_call(kernel, jax.ShapeDtypeStruct(x.shape, x.dtype), interpret=True, **grid)(x)

    found = frontend.trace(jax.jit(call), count, x)
    assert found is not None
    assert grids(found) == ((4, None), (1, None))
    check(found, count, x)


def test_programs_that_run_together_share_a_mask() -> None:
    x, mask = floats(16, 32, 32), floats(32, 32)

    def kernel(x_ref: Any, mask_ref: Any, out_ref: Any) -> None:
        out_ref[...] = jnp.where(mask_ref[...] > 0, x_ref[...], -x_ref[...])

    block, whole = pl.BlockSpec((None, 32, 32), lambda i: (i, 0, 0)), pl.BlockSpec((32, 32), lambda i: (0, 0))
    call = traced(kernel, x, (x, mask), grid=(16,), in_specs=[block, whole], out_specs=block)
    assert "lax.select(mask > 0.0, " in compiler.Compiled(call.call).source
    check(call, x, mask)


@pytest.mark.parametrize("reads_nan", [False, True])
@pytest.mark.parametrize("swaps", [False, True])
def test_a_comparison_with_nan_last_is_three_operations(swaps: bool, reads_nan: bool) -> None:
    def kernel(x_ref: Any, y_ref: Any, out_ref: Any) -> None:
        x, y = x_ref[...], y_ref[...]
        less, nan = x < y, y != y
        nan_last = nan & (x == x)
        before = nan_last | less if swaps else less | nan_last
        out_ref[...] = jnp.where(before, x, y) * (jnp.where(nan, 2.0, 1.0) if reads_nan else 1.0)

    x = np.tile(np.array([np.nan, -np.inf, -1, -0.0, 0.0, 1, np.inf, np.nan], np.float32), (8, 8))
    y = np.repeat(x[:, :8], 8, axis=1)
    call = traced(kernel, x, (x, y), grid=(8,), in_specs=[rows((1, 64))] * 2, out_specs=rows((1, 64)))
    names = [eqn.name for eqn in merging.merged(call.call).call.jaxpr.eqns]
    assert [names.count(name) for name in ("eq", "le", "gt")] == [1, 1, 1]
    assert not {"lt", "and", "or"} & set(names) and names.count("ne") == (1 if reads_nan else 0)
    check(call, x, y)


def test_vmapped_calls_run_together() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] * pl.program_id(0)

    x = floats(5, 12, 8)
    block = pl.BlockSpec((4, 8), lambda i: (i, 0))
    call = pl.pallas_call(kernel, jax.ShapeDtypeStruct((12, 8), x.dtype), grid=(3,), in_specs=[block], out_specs=block)
    (found,) = kernel_calls(jax.vmap(call), x)
    assert merging.merged(found).call.grid == (1, 1)
    wanted = np.asarray(phase5.run(found, x)[0])
    np.testing.assert_array_equal(compiler.Compiled(found).run(found, x)[0], wanted)


def test_programs_that_change_their_input_in_place_run_together() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] * 2
        out_ref[...] += x_ref[...]

    x = floats(7 * 4096, 16)
    block = rows((4096, 16))
    out = jax.ShapeDtypeStruct(x.shape, x.dtype)
    call = traced(kernel, out, (x,), grid=(7,), in_specs=[block], out_specs=block, input_output_aliases={0: 0})
    # Seven blocks of 256 KB: no two of them fit, and none may run twice.
    assert grids(call)[1] == (7,)
    check(call, x)
    small = x[: 7 * 8]
    call = traced(
        kernel,
        jax.ShapeDtypeStruct(small.shape, x.dtype),
        (small,),
        grid=(7,),
        in_specs=[rows((8, 16))],
        out_specs=rows((8, 16)),
        input_output_aliases={0: 0},
    )
    assert grids(call)[1] == (1,)
    check(call, small)


def carried_over(x_ref: Any, out_ref: Any, sum_ref: Any) -> None:
    @pl.when(pl.program_id(0) == 0)
    def _() -> None:
        sum_ref[...] = jnp.zeros_like(sum_ref)

    sum_ref[...] += x_ref[...]
    out_ref[...] = sum_ref[...]


def half_written(x_ref: Any, out_ref: Any, work_ref: Any) -> None:
    work_ref[:4] = x_ref[:4]
    out_ref[...] = work_ref[...]


def revisited(x_ref: Any, out_ref: Any, work_ref: Any) -> None:
    work_ref[...] = x_ref[...]
    out_ref[...] = work_ref[...]


def depends_on_the_program(x_ref: Any, out_ref: Any, work_ref: Any) -> None:
    @pl.when(pl.program_id(0) % 2 == 0)
    def _() -> None:
        out_ref[...] = x_ref[...]


@pytest.mark.parametrize(
    "kernel, out_index",
    [
        (carried_over, lambda i: (i, 0)),
        (half_written, lambda i: (i, 0)),
        (revisited, lambda i: (i // 2, 0)),
        (revisited, lambda i: (0, 0)),
        (depends_on_the_program, lambda i: (i, 0)),
    ],
)
def test_programs_that_share_memory_run_one_after_the_other(kernel: Any, out_index: Any) -> None:
    x = floats(48, 16)
    call = traced(
        kernel,
        jax.ShapeDtypeStruct(x.shape, x.dtype),
        (x,),
        grid=(6,),
        in_specs=[rows((8, 16))],
        out_specs=pl.BlockSpec((8, 16), out_index),
        scratch_shapes=[pltpu.VMEM((8, 16), jnp.float32)],
    )
    before, after = grids(call)
    assert after == before
    check(call, x)


def test_values_of_programs_that_run_together_are_of_bounded_size() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] + 1

    x = np.zeros((10_000, 8, 128), np.float32)
    call = traced(
        kernel,
        jax.ShapeDtypeStruct(x.shape, x.dtype),
        (x,),
        grid=(10_000,),
        in_specs=[rows((1, 8, 128))],
        out_specs=rows((1, 8, 128)),
    )
    larger = merging.merged(call.call).call
    assert int(np.prod(larger.inputs[0].ref.shape)) * 4 <= merging.MOST_BYTES
    assert larger.grid[0] < 10_000 // 60
    twice = merging.merged(call.call, 2 * merging.MOST_BYTES).call
    assert twice.grid[0] == -(-larger.grid[0] // 2)


def test_an_array_that_all_programs_see_whole_takes_no_room_of_theirs() -> None:
    def kernel(x_ref: Any, table_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] + table_ref[8:16, :]

    x, table = np.ones((64, 128), np.float32), np.ones((4096, 128), np.float32)
    whole = pl.BlockSpec(table.shape, lambda i: (0, 0))
    call = traced(
        kernel,
        jax.ShapeDtypeStruct(x.shape, x.dtype),
        (x, table),
        grid=(8,),
        in_specs=[rows((8, 128)), whole],
        out_specs=rows((8, 128)),
    )
    assert table.nbytes > merging.MOST_BYTES and grids(call) == ((8,), (1,))
    check(call, x, table)
