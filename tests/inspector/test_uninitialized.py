"""`uninitialized="raise"`: each kernel with a fault is told, and its corrected twin is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jax.experimental.pallas import triton as plt

import pallas_np
from pallas_np import Options, UninitializedError

F32, I32 = jnp.float32, jnp.int32
RAISE = Options(uninitialized="raise")
X = np.arange(10, dtype=np.float32)


def sds(*shape: int, dtype: Any = F32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def run(kernel: Callable[..., None], out_shape: Any, *args: Any, **call: Any) -> Any:
    return pallas_np.pallas_call(kernel, out_shape, options=RAISE, **call)(*args)


def refused(kernel: Callable[..., None], out_shape: Any, *args: Any, **call: Any) -> UninitializedError:
    with pytest.raises(UninitializedError) as caught:
        run(kernel, out_shape, *args, **call)
    assert isinstance(caught.value, ValueError)
    return caught.value


def blocks(size: int, num_in: int = 1) -> dict[str, Any]:
    block = pl.BlockSpec((size,), lambda i: (i,))
    return {"grid": (-(-10 // size),), "in_specs": [block] * num_in, "out_specs": block}


def test_padding_may_be_read_and_dropped() -> None:
    def kernel(x_ref, out_ref):
        out_ref[...] = x_ref[...] * 2

    np.testing.assert_array_equal(run(kernel, sds(10), X, **blocks(4)), X * 2)


SUMS = {"grid": (3,), "in_specs": [pl.BlockSpec((4,), lambda i: (i,))], "out_specs": pl.BlockSpec((1,), lambda i: (i,))}


def test_padding_in_a_sum_wants_a_mask() -> None:
    def kernel(x_ref, out_ref):
        out_ref[0] = jnp.sum(x_ref[...])

    error = refused(kernel, sds(3), X, **SUMS)
    what, source = error.problem.split(": ")
    assert what == "1 of 3 elements of the output out_ref depend on memory that nobody has written"
    assert source == "the first, at (2,), on x_ref[2]"
    assert (error.grid_index, error.primitive, error.ref) == ((2,), "swap", "x_ref")
    assert error.source == "out_ref[0] = jnp.sum(x_ref[...])"
    assert "equation: swap(out_ref: float32[1], float32[], int32 0)" in str(error)
    assert error.advice == "mask the padding of x_ref's block"

    def masked(x_ref, out_ref):
        inside = pl.program_id(0) * 4 + jnp.arange(4) < 10
        out_ref[0] = jnp.sum(jnp.where(inside & (x_ref[...] > 0), x_ref[...], 0))

    np.testing.assert_array_equal(run(masked, sds(3), X, **SUMS), [6, 22, 17])


@pytest.mark.parametrize("dtype", [I32, F32])
def test_padding_times_a_mask(dtype: Any) -> None:
    """An integer's product with zero is zero.  A float's is NaN if the padding is."""

    def kernel(x_ref, out_ref):
        inside = (pl.program_id(0) * 4 + jnp.arange(4) < 10).astype(dtype)
        out_ref[0] = jnp.sum(x_ref[...] * inside) + jnp.dot(x_ref[...], inside)

    if dtype is I32:
        np.testing.assert_array_equal(run(kernel, sds(3, dtype=I32), X.astype(np.int32), **SUMS), [12, 44, 34])
    else:
        refused(kernel, sds(3), X, **SUMS)


@pytest.mark.parametrize("clears", [False, True])
def test_an_accumulator_has_to_be_cleared(clears: bool) -> None:
    def kernel(x_ref, out_ref, acc_ref):
        @pl.when(jnp.logical_and(clears, pl.program_id(0) == 0))
        def _():
            acc_ref[...] = jnp.zeros_like(acc_ref)

        acc_ref[...] += x_ref[...]

        @pl.when(pl.program_id(0) == 1)
        def _():
            out_ref[...] = acc_ref[...]

    call = blocks(5) | {"out_specs": pl.BlockSpec((5,), lambda i: (0,)), "scratch_shapes": [pltpu.VMEM((5,), F32)]}
    if clears:
        np.testing.assert_array_equal(run(kernel, sds(5), X, **call), X[:5] + X[5:])
    else:
        error = refused(kernel, sds(5), X, **call)
        assert "5 of 5 elements of the output out_ref depend on" in error.problem
        assert "on acc_ref[0], read at " in error.problem
        assert error.problem.endswith(" (acc_ref[...] += x_ref[...])")
        assert error.ref == "acc_ref" and error.advice.startswith("write to acc_ref before it is read")
        assert error.source == "out_ref[...] = acc_ref[...]"
        assert error.grid_index == (1,)


@pytest.mark.parametrize("size", [3, 5])
def test_what_no_program_writes_is_told(size: int) -> None:
    def kernel(x_ref, out_ref):
        out_ref[:size] = x_ref[:size]

    if size == 5:
        np.testing.assert_array_equal(run(kernel, sds(5), X), X[:5])
    else:
        error = refused(kernel, sds(5), X)
        assert error.problem == "2 of 5 elements of the output out_ref were never written; the first is at (3,)"
        assert (error.grid_index, error.ref, error.kernel) == (None, "out_ref", "kernel")


@pytest.mark.parametrize("writes", [False, True])
def test_a_branch(writes: bool) -> None:
    def kernel(x_ref, out_ref, flag_ref):
        if writes:
            flag_ref[0] = 1
        out_ref[...] = x_ref[...]

        @pl.when(flag_ref[0] > 0)
        def _():
            out_ref[...] = x_ref[...] + 1

    call = {"scratch_shapes": [pltpu.SMEM((1,), I32)]}
    if writes:
        np.testing.assert_array_equal(run(kernel, sds(10), X, **call), X + 1)
    else:
        error = refused(kernel, sds(10), X, **call)
        assert error.problem == "which branch is taken depends on memory that nobody has written: flag_ref[0]"
        assert error.source == "@pl.when(flag_ref[0] > 0)"
        assert error.primitive == "cond"


@pytest.mark.parametrize("writes", [False, True])
def test_a_loops_condition(writes: bool) -> None:
    def kernel(out_ref, limit_ref):
        if writes:
            limit_ref[0] = 3
        out_ref[0] = jax.lax.while_loop(lambda i: i < limit_ref[0], lambda i: i + 1, 0)

    call = {"scratch_shapes": [pltpu.SMEM((1,), I32)]}
    if writes:
        np.testing.assert_array_equal(run(kernel, sds(1, dtype=I32), **call), [3])
    else:
        error = refused(kernel, sds(1, dtype=I32), **call)
        assert error.problem == "whether a loop goes on depends on memory that nobody has written: limit_ref[0]"


def by_ref(x_ref, start):
    return x_ref[pl.ds(start, 2)]


def by_slice(x_ref, start):
    return jax.lax.dynamic_slice(x_ref[...], (start,), (2,))


def by_integers(x_ref, start):
    return x_ref[start + jnp.arange(2)]


@pytest.mark.parametrize("get", [by_ref, by_slice, by_integers])
@pytest.mark.parametrize("writes", [False, True])
def test_an_index(writes: bool, get: Callable[..., Any]) -> None:
    def kernel(x_ref, out_ref, start_ref):
        if writes:
            start_ref[0] = 4
        out_ref[...] = get(x_ref, start_ref[0])

    call = {"scratch_shapes": [pltpu.SMEM((1,), I32)]}
    if writes:
        np.testing.assert_array_equal(run(kernel, sds(2), X, **call), X[4:6])
    else:
        error = refused(kernel, sds(2), X, **call)
        assert error.problem.startswith("an index depends on memory that nobody has written: start_ref[0]")
        assert error.problem.endswith("(out_ref[...] = get(x_ref, start_ref[0]))")


def test_marks_go_through_loops_calls_and_nested_kernels() -> None:
    def add_one(x_ref, out_ref):
        out_ref[...] = x_ref[...] + 1

    def kernel(x_ref, out_ref, rows_ref):
        rows_ref[1:] = x_ref[1:]

        def step(carry, row):
            return carry + 1, jax.jit(lambda y: y * 2)(row)

        doubled = jax.lax.scan(step, 0, rows_ref[...])[1]
        out_ref[...] = pl.pallas_call(add_one, out_shape=sds(10))(doubled)

    with pallas_np.installed(RAISE), pytest.raises(UninitializedError) as caught:
        pl.pallas_call(kernel, out_shape=sds(10), scratch_shapes=[pltpu.VMEM((10,), F32)])(X)
    assert "1 of 10 elements of the output out_ref" in caught.value.problem
    assert "the first, at (0,), on rows_ref[0], read at " in caught.value.problem
    assert caught.value.problem.endswith("(doubled = jax.lax.scan(step, 0, rows_ref[...])[1])")


def test_marks_go_through_refs_that_a_kernel_makes_and_bitcasts() -> None:
    def kernel(x_ref, out_ref, words_ref):
        words_ref[0] = x_ref[0]
        half = words_ref.bitcast(jnp.int16)

        def body(ref):
            ref[...] = half[...]
            out_ref[...] = ref[...]

        pl.run_scoped(body, pltpu.VMEM((4, 128), jnp.int16))

    x = np.arange(2 * 128, dtype=np.int32).reshape(2, 128)
    error = refused(kernel, sds(4, 128, dtype=jnp.int16), x, scratch_shapes=[pltpu.VMEM((2, 128), I32)])
    assert "256 of 512 elements of the output out_ref" in error.problem
    assert "the first, at (2, 0), on words_ref[1, 0], read at " in error.problem
    assert error.problem.endswith("(ref[...] = half[...])")


@pytest.mark.parametrize("clears", [False, True])
def test_memory_without_axes(clears: bool) -> None:
    def kernel(x_ref, out_ref, sum_ref):
        if clears:
            sum_ref[...] = 0.0
        sum_ref[...] += x_ref[0]
        out_ref[0] = sum_ref[...]

    call = {"scratch_shapes": [pltpu.SMEM((), F32)]}
    if clears:
        np.testing.assert_array_equal(run(kernel, sds(1), X + 1, **call), [1])
    else:
        assert "on sum_ref, read at" in refused(kernel, sds(1), X, **call).problem


@pytest.mark.parametrize("waits", [False, True])
def test_a_copy_that_is_not_waited_for_has_written_nothing(waits: bool) -> None:
    def kernel(x_ref, out_ref, buffer_ref, semaphore):
        copy = pltpu.make_async_copy(x_ref, buffer_ref, semaphore)
        copy.start()
        if waits:
            copy.wait()
        out_ref[...] = buffer_ref[...]

    call = {"scratch_shapes": [pltpu.VMEM((10,), F32), pltpu.SemaphoreType.DMA]}
    if waits:
        np.testing.assert_array_equal(run(kernel, sds(10), X, **call), X)
    else:
        assert refused(kernel, sds(10), X, **call).problem.endswith("on buffer_ref[0]")


@pytest.mark.parametrize("other", [None, 0.0])
def test_masked_lanes(other: float | None) -> None:
    def kernel(x_ref, out_ref):
        out_ref[...] = plt.load(x_ref.at[pl.ds(0, 10)], mask=jnp.arange(10) < 7, other=other)

    if other is None:
        error = refused(kernel, sds(10), X)
        assert "3 of 10 elements" in error.problem
        assert error.problem.endswith("the first, at (7,), on a lane of x_ref that the mask turns off")
        assert error.advice == "give the load an `other`"
    else:
        np.testing.assert_array_equal(run(kernel, sds(10), X), np.where(X < 7, X, 0))


@pytest.mark.parametrize("clears", [False, True])
def test_an_atomic(clears: bool) -> None:
    def kernel(x_ref, out_ref):
        if clears:
            out_ref[...] = jnp.zeros_like(out_ref)
        plt.atomic_add(out_ref, (x_ref[...].astype(I32) // 5,), x_ref[...])

    if clears:
        np.testing.assert_array_equal(run(kernel, sds(2), X), [10, 35])
    else:
        error = refused(kernel, sds(2), X)
        assert error.problem.endswith("the first, at (0,), on out_ref[0]")
        assert error.primitive == "atomic_rmw"


def test_a_block_placed_by_prefetched_memory_that_the_kernel_spoilt() -> None:
    def kernel(order_ref, x_ref, out_ref, scratch_ref):
        out_ref[...] = x_ref[...]
        order_ref[1] = scratch_ref[0]

    grid_spec = pltpu.PrefetchScalarGridSpec(
        num_scalar_prefetch=1,
        grid=(2,),
        in_specs=[pl.BlockSpec((5,), lambda i, order: (order[i],))],
        out_specs=pl.BlockSpec((5,), lambda i, order: (i,)),
        scratch_shapes=[pltpu.SMEM((1,), I32)],
    )
    error = refused(kernel, sds(10), np.int32([1, 0]), X, grid_spec=grid_spec)
    assert "depends on memory that nobody has written: scratch_ref[0]" in error.problem


def test_under_jit_the_message_is_whole() -> None:
    def kernel(out_ref):
        out_ref[0] = 1.0

    with pytest.raises(Exception, match=r"1 of 2 elements of the output out_ref were never written"):
        jax.jit(pallas_np.pallas_call(kernel, sds(2), options=RAISE))().block_until_ready()
    assert isinstance(pallas_np.last_error(), UninitializedError)


def test_all_checks_at_once() -> None:
    def kernel(x_ref, out_ref):
        out_ref[...] = 1 / x_ref[...]

    call = pallas_np.pallas_call(kernel, sds(10), options=Options(uninitialized="raise", check_nans=True), **blocks(4))
    with pytest.raises(pallas_np.NonFiniteError, match=r"div makes inf at \(0,\)"):
        call(X)
    np.testing.assert_array_equal(call(X + 1), 1 / (X + 1))
