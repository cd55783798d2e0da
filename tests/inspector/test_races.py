"""The race detector: each fault with a kernel that has it, and with its corrected twin, which stays silent."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jax.experimental.pallas import triton as plgpu

import pallas_np
from pallas_np import Options, RaceError, SynchronizationError
from pallas_np.kernels import bitonic

I32 = jnp.int32
DMA, REGULAR = pltpu.SemaphoreType.DMA, pltpu.SemaphoreType.REGULAR
WATCHED = Options(detect_races=True)
ANYWHERE = pl.BlockSpec(memory_space=pl.ANY)
ROW = pl.BlockSpec((1, 4), lambda i: (i, 0))


def sds(*shape: int, dtype: Any = I32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def ints(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape, dtype=int), dtype=np.int32).reshape(shape)


def parallel(*axes: str) -> Any:
    return pltpu.CompilerParams(dimension_semantics=axes)


def run(kernel: Callable[..., None], out_shape: Any, *args: Any, **call: Any) -> Any:
    """What the kernel answers, watched; the same as unwatched."""
    watched = pallas_np.pallas_call(kernel, out_shape, options=WATCHED, **call)(*args)
    plain = pallas_np.pallas_call(kernel, out_shape, **call)(*args)
    jax.tree.map(np.testing.assert_array_equal, watched, plain)
    return watched


def on_cores(body: Callable[..., None], out: Any, *scratch: Any, num_cores: int = 2) -> Any:
    """What `pl.kernel` answers on a mesh of cores, watched."""
    mesh = pltpu.create_tensorcore_mesh("core", num_cores=num_cores)
    with pallas_np.installed(WATCHED):
        return pl.kernel(body, out, mesh=mesh, scratch_types=scratch)()


def fault(kind: type[Exception], call: Callable[..., Any], *parts: str) -> Any:
    """The error that a call raises; its message has these parts, in order."""
    with pytest.raises(kind, match="(?s)" + ".*".join(map(re.escape, parts))) as caught:
        call()
    return caught.value


# Programs of a grid.


def copy_row(x_ref: Any, out_ref: Any) -> None:
    out_ref[...] = x_ref[...]


def row_call(index_map: Callable[..., Any], **call: Any) -> Callable[[], Any]:
    """Copies four rows to where the index map says."""
    specs = {"in_specs": [ROW], "out_specs": pl.BlockSpec((1, 4), index_map)}
    return lambda: run(copy_row, sds(4, 4), ints(4, 4), grid=(4,), **specs, **call)


def test_a_block_written_by_programs_that_may_run_in_parallel() -> None:
    error = fault(
        RaceError,
        row_call(lambda i: (i // 2, 0), compiler_params=parallel("parallel")),
        "out_ref[0, 0] is written here, and step (0,) wrote it at ",
        "test_races.py:",
        "out_ref[...] = x_ref[...]",
        "may run at the same time",
        "kernel: copy_row, at grid index (1,)",
        "ref: out_ref",
    )
    assert error.grid_index == (1,) and error.ref == "out_ref" and error.source == "out_ref[...] = x_ref[...]"
    row_call(lambda i: (3 - i, 0), compiler_params=parallel("parallel"))()
    row_call(lambda i: (i // 2, 0), compiler_params=parallel("arbitrary"))()
    row_call(lambda i: (i // 2, 0))()


def test_equal_values_written_to_one_block_are_a_race_too() -> None:
    def kernel(out_ref: Any) -> None:
        out_ref[...] = jnp.ones((4,), I32)

    fault(RaceError, lambda: run(kernel, sds(4), grid=(2,), compiler_params=parallel("parallel")), "out_ref[0]")
    run(kernel, sds(4), grid=(2,))


def test_a_block_revisited_after_another() -> None:
    error = fault(
        RaceError,
        row_call(lambda i: (i % 2, 0)),
        "out_ref is written here, but step (0,) wrote elements of its block at ",
        "kernel: copy_row, at grid index (2,)",
    )
    assert error.line is not None
    row_call(lambda i: (i // 2, 0))()


def test_a_block_revisited_and_not_touched_is_written_over_all_the_same() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        @pl.when(pl.program_id(0) < 2)
        def _() -> None:
            out_ref[...] = x_ref[...]

    def call(last: int) -> Any:
        out_specs = pl.BlockSpec((1, 4), lambda i: (jnp.where(i < 2, i, last), 0))
        return run(kernel, sds(2, 4), ints(3, 4), grid=(3,), in_specs=[ROW], out_specs=out_specs)

    fault(RaceError, lambda: call(0), "the block of out_ref is visited again, but step (0,) wrote", "grid index (2,)")
    call(1)


def test_a_sum_along_the_inner_axis_is_one_visit_and_along_the_outer_is_not() -> None:
    def kernel(x_ref: Any, out_ref: Any, *, axis: int) -> None:
        @pl.when(pl.program_id(axis) == 0)
        def _() -> None:
            out_ref[...] = jnp.zeros_like(out_ref)

        out_ref[...] += x_ref[...]

    def call(axis: int) -> Any:
        block = pl.BlockSpec((1, 4), lambda *index: (index[1 - axis], index[axis]))
        out = pl.BlockSpec((1, 4), lambda *index: (index[1 - axis], 0))
        call = {"grid": (3, 3), "in_specs": [block], "out_specs": out}
        return run(partial(kernel, axis=axis), sds(3, 4), ints(3, 12), **call)

    np.testing.assert_array_equal(call(1), ints(3, 3, 4).sum(1))
    fault(RaceError, lambda: call(0), "out_ref is read here, but step (0, 0) wrote elements of its block")


def test_overlapping_blocks_count_by_their_elements() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...]

    def call(step: int, semantics: str) -> Any:
        spec = pl.BlockSpec((pl.Element(4),), lambda i: (i * step,))
        params = {"grid": (3,), "in_specs": [spec], "out_specs": spec}
        return run(kernel, sds(12), ints(12), compiler_params=parallel(semantics), **params)

    fault(RaceError, lambda: call(3, "parallel"), "out_ref[0] is written here, and step (0,) wrote it")
    fault(RaceError, lambda: call(3, "arbitrary"), "out_ref is written here, but step (0,) wrote elements")
    call(4, "parallel")


def test_ragged_blocks_do_not_meet_in_their_padding() -> None:
    block = pl.BlockSpec((4, 4), lambda i: (i, 0))
    call = {"grid": (3,), "in_specs": [block], "out_specs": block, "compiler_params": parallel("parallel")}
    run(copy_row, sds(10, 4), ints(10, 4), **call)


@pytest.mark.parametrize("alias", [{}, {0: 0}], ids=["no_alias", "alias"])
def test_memory_that_is_anywhere_counts_by_its_elements(alias: dict[int, int]) -> None:
    def kernel(x_ref: Any, out_ref: Any, row: Any, *, shift: int) -> None:
        i = pl.program_id(0)
        pltpu.sync_copy(x_ref.at[(i + shift) % 4], row)
        pltpu.sync_copy(row, out_ref.at[i])

    def call(shift: int, semantics: str) -> Any:
        return run(
            partial(kernel, shift=shift),
            sds(4, 4),
            ints(4, 4),
            grid=(4,),
            in_specs=[ANYWHERE],
            out_specs=ANYWHERE,
            scratch_shapes=[pltpu.VMEM((4,), I32)],
            input_output_aliases=alias,
            compiler_params=parallel(semantics),
        )

    call(0, "parallel")
    call(1, "arbitrary")
    if alias:
        fault(RaceError, lambda: call(1, "parallel"), "out_ref[1, 0] is written", "a DMA that step (0,)", "same time")
    else:
        call(1, "parallel")


def test_an_output_that_sees_its_aliass_block_may_be_revisited() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] + 1

    block = pl.BlockSpec((1, 4), lambda k, i: (i, 0))
    call = {"grid": (3, 4), "in_specs": [block], "out_specs": block, "input_output_aliases": {0: 0}}
    np.testing.assert_array_equal(run(kernel, sds(4, 4), ints(4, 4), **call), ints(4, 4) + 3)
    fault(
        RaceError,
        lambda: run(kernel, sds(4, 4), ints(4, 4), compiler_params=parallel("parallel", "arbitrary"), **call),
        "step (0, 0)",
        "same time",
        "grid index (1, 0)",
    )


def running_sum(x_ref: Any, out_ref: Any, total: Any, *, clears: Callable[[], Any]) -> None:
    @pl.when(clears())
    def _() -> None:
        total[...] = jnp.zeros_like(total)

    total[...] += x_ref[...]
    out_ref[...] = total[...]


def test_scratch_carried_along_a_parallel_axis() -> None:
    def call(clears: Callable[[], Any], *semantics: str) -> Any:
        block = pl.BlockSpec((1, 4), lambda i, j: (i * 3 + j, 0))
        return run(
            partial(running_sum, clears=clears),
            sds(6, 4),
            ints(6, 4),
            grid=(2, 3),
            in_specs=[block],
            out_specs=block,
            scratch_shapes=[pltpu.VMEM((1, 4), I32)],
            compiler_params=parallel(*semantics),
        )

    def at_first() -> Any:
        return (pl.program_id(0) == 0) & (pl.program_id(1) == 0)

    def at_each_row() -> Any:
        return pl.program_id(1) == 0

    call(at_first, "arbitrary", "arbitrary")
    call(at_each_row, "parallel", "arbitrary")
    fault(
        RaceError,
        lambda: call(at_first, "parallel", "arbitrary"),
        "total[0, 0] is read here, but step (0, 2) wrote it at ",
        "another core",
        "kernel: running_sum, at grid index (1, 0)",
    )


def test_a_read_of_another_cores_scratch_is_told_even_if_its_value_is_masked_away() -> None:
    def kernel(x_ref: Any, out_ref: Any, before: Any, *, reads_always: bool) -> None:
        j = pl.program_id(1)
        if reads_always:
            out_ref[...] = x_ref[...] + jnp.where(j > 0, before[...], 0)
        else:
            out_ref[...] = x_ref[...]

            @pl.when(j > 0)
            def _() -> None:
                out_ref[...] += before[...]

        before[...] = x_ref[...]

    def call(reads_always: bool) -> Any:
        block = pl.BlockSpec((1, 4), lambda i, j: (i * 3 + j, 0))
        return run(
            partial(kernel, reads_always=reads_always),
            sds(6, 4),
            ints(6, 4),
            grid=(2, 3),
            in_specs=[block],
            out_specs=block,
            scratch_shapes=[pltpu.VMEM((1, 4), I32)],
            compiler_params=parallel("parallel", "arbitrary"),
        )

    call(reads_always=False)
    fault(RaceError, lambda: call(reads_always=True), "before[0, 0] is read here, but step (0, 2) wrote it at ")


def test_vmap_adds_an_axis_along_which_scratch_is_not_carried() -> None:
    def call(clears: Callable[[], Any]) -> Any:
        options = {"in_specs": [ROW], "out_specs": ROW, "scratch_shapes": [pltpu.VMEM((1, 4), I32)]}
        kernel = partial(running_sum, clears=clears)
        return jax.vmap(pallas_np.pallas_call(kernel, sds(3, 4), grid=(3,), options=WATCHED, **options))(ints(2, 3, 4))

    np.testing.assert_array_equal(call(lambda: pl.program_id(0) == 0), ints(2, 3, 4).cumsum(1))
    never = fault(
        Exception, lambda: jax.block_until_ready(call(lambda: pl.program_id(0) < 0)), "total[0, 0] is read here"
    )
    assert never is not None


def test_an_output_of_one_block_that_the_kernel_reads_is_scratch() -> None:
    def kernel(x_ref: Any, out_ref: Any, total_ref: Any, *, clears: bool) -> None:
        if clears:
            total_ref[...] = jnp.zeros_like(total_ref)
        total_ref[...] += x_ref[...]
        out_ref[...] = total_ref[...]

    def call(clears: bool) -> Any:
        whole = pl.BlockSpec((1, 4), lambda i: (0, 0))
        specs = {"in_specs": [ROW], "out_specs": [ROW, whole], "compiler_params": parallel("parallel")}
        return run(partial(kernel, clears=clears), [sds(4, 4), sds(1, 4)], ints(4, 4), grid=(4,), **specs)

    call(clears=True)
    fault(RaceError, lambda: call(clears=False), "total_ref[0, 0] is read here, but step (0,) wrote it")


# Programs of a GPU.


def on_gpu(kernel: Callable[..., None], *args: Any, outs: Any, grid: tuple[int, ...] = (4,), **call: Any) -> Any:
    return run(kernel, outs, *args, grid=grid, compiler_params=plgpu.CompilerParams(), **call)


def test_all_programs_of_a_gpu_may_run_in_parallel() -> None:
    def kernel(out_ref: Any, *, size: int) -> None:
        out_ref[pl.ds(pl.program_id(0) * 2, size)] = jnp.arange(size, dtype=I32)

    on_gpu(partial(kernel, size=2), outs=sds(8))
    fault(
        RaceError,
        lambda: on_gpu(partial(kernel, size=4), outs=sds(10)),
        "out_ref[2] is written here, and step (0,) wrote it",
        "grid index (1,)",
    )


def test_reads_of_what_another_program_writes() -> None:
    def kernel(x_ref: Any, out_ref: Any, *, shift: int) -> None:
        out_ref[pl.program_id(0)] = x_ref[(pl.program_id(0) + shift) % 4] + 1

    def call(shift: int) -> Any:
        return on_gpu(partial(kernel, shift=shift), ints(4), outs=sds(4), input_output_aliases={0: 0})

    call(0)
    fault(RaceError, lambda: call(3), "is read here, and step (0,) wrote it", "grid index (1,)")  # reads 0, from below
    fault(RaceError, lambda: call(1), "is written here, and step (0,) read it", "grid index (1,)")


def test_atomics_do_not_race_with_each_other_but_with_plain_accesses() -> None:
    def counted(x_ref: Any, out_ref: Any) -> None:
        plgpu.atomic_add(out_ref, (x_ref[pl.program_id(0)],), 1)

    def lost(x_ref: Any, out_ref: Any) -> None:
        out_ref[x_ref[pl.program_id(0)]] += 1

    def mixed(x_ref: Any, out_ref: Any) -> None:
        @pl.when(pl.program_id(0) == 3)
        def _() -> None:
            lost(x_ref, out_ref)

        counted(x_ref, out_ref)

    x = np.int32([0, 1, 1, 0])
    call = {"outs": sds(2), "input_output_aliases": {1: 0}}

    def zeros_first(kernel: Any) -> Callable[..., None]:
        return lambda x_ref, _, out_ref: kernel(x_ref, out_ref)

    got = on_gpu(zeros_first(counted), x, np.zeros(2, np.int32), **call)
    np.testing.assert_array_equal(got, [2, 2])
    fault(
        RaceError, lambda: on_gpu(zeros_first(lost), x, np.zeros(2, np.int32), **call), "[1] is read here", "step (1,)"
    )
    fault(RaceError, lambda: on_gpu(zeros_first(mixed), x, np.zeros(2, np.int32), **call), "step (0,) changed it")


def test_a_counter_orders_the_programs_that_look_at_it() -> None:
    """The last of the programs to come adds up what all have left."""

    def kernel(zero_ref: Any, out_ref: Any, parts_ref: Any, count_ref: Any, *, counts: bool) -> None:
        i = pl.program_id(0)
        parts_ref[i] = i + 1
        arrived = plgpu.atomic_add(count_ref, (0,), 1) if counts else i

        @pl.when(arrived == 3)
        def _() -> None:
            out_ref[0] = jnp.sum(parts_ref[...]) + count_ref[0] * counts

    def call(counts: bool) -> Any:
        outs = [sds(1), sds(4), sds(1)]
        return on_gpu(partial(kernel, counts=counts), np.zeros(1, np.int32), outs=outs, input_output_aliases={0: 2})

    assert call(counts=True)[0][0] == 14
    fault(RaceError, lambda: call(counts=False), "is read here, and step (0,) wrote it")


def test_a_lock_orders_the_programs_that_hold_it() -> None:
    def kernel(zero_ref: Any, total_ref: Any, lock_ref: Any, *, locks: bool) -> None:
        def held() -> Any:
            return plgpu.atomic_cas(lock_ref, 0, 1) == 1

        if locks:
            lax.while_loop(lambda waits: waits, lambda _: held(), held())
        total_ref[0] = jnp.where(pl.program_id(0) == 0, 1, total_ref[0] + 1)
        plgpu.atomic_xchg(lock_ref, (), 0)

    def call(locks: bool) -> Any:
        specs = [pl.BlockSpec((), lambda i: ())]
        options = {"in_specs": specs, "out_specs": [pl.BlockSpec((1,), lambda i: (0,)), *specs]}
        outs = [sds(1), sds()]
        return on_gpu(partial(kernel, locks=locks), np.int32(0), outs=outs, input_output_aliases={0: 1}, **options)

    assert call(locks=True)[0][0] == 4
    fault(RaceError, lambda: call(locks=False), "total_ref[0] is read here, and step (0,) wrote it")


# DMAs.


def dma_call(kernel: Callable[..., None], *scratch: Any, outs: Any = None, **call: Any) -> Callable[[], Any]:
    return lambda: run(kernel, outs or sds(2, 4), ints(2, 4), scratch_shapes=scratch, **call)


def copied(x_ref: Any, out_ref: Any, done: Any, *, before: Any = None, between: Any = None) -> None:
    copy = pltpu.make_async_copy(x_ref.at[0], out_ref.at[0], done)
    if before is not None:
        before(x_ref, out_ref)
    copy.start()
    if between is not None:
        between(x_ref, out_ref)
    copy.wait()
    out_ref[1] = out_ref[0] + x_ref[0]
    x_ref[0] = x_ref[0] * 0


def write_source(x_ref: Any, out_ref: Any) -> None:
    x_ref[0, 2] = 7


def write_target(x_ref: Any, out_ref: Any) -> None:
    out_ref[0] = jnp.zeros((4,), I32)


def read_target(x_ref: Any, out_ref: Any) -> None:
    x_ref[1] = out_ref[0]


def read_source(x_ref: Any, out_ref: Any) -> None:
    out_ref[1] = x_ref[0]


@pytest.mark.parametrize(
    ("between", "wanted"),
    [
        (write_source, "x_ref[0, 2] is written here, but the DMA that the kernel started at "),
        (write_target, "out_ref[0, 0] is written here, but the DMA that the kernel started at "),
        (read_target, "out_ref[0, 0] is read here, but the DMA that the kernel started at "),
    ],
)
def test_a_dma_whose_source_or_target_is_touched(between: Callable[..., None], wanted: str) -> None:
    error = fault(RaceError, dma_call(partial(copied, between=between), DMA), wanted, "copy.start()", "kernel: copied")
    assert error.stack[-1].function == between.__name__
    if between is not read_target:
        dma_call(partial(copied, before=between), DMA)()


def test_the_source_of_a_dma_may_be_read_and_its_neighbours_written() -> None:
    def write_neighbours(x_ref: Any, out_ref: Any) -> None:
        read_source(x_ref, out_ref)
        x_ref[1] = jnp.zeros((4,), I32)

    dma_call(partial(copied, between=write_neighbours), DMA)()


def test_two_dmas_to_one_place() -> None:
    def kernel(x_ref: Any, out_ref: Any, done: Any, *, waits: bool) -> None:
        first, second = (pltpu.make_async_copy(x_ref.at[i], out_ref.at[0], done.at[i]) for i in range(2))
        first.start()
        if waits:
            first.wait()
        second.start()
        if not waits:
            first.wait()
        second.wait()
        out_ref[1] = x_ref[1]

    dma_call(partial(kernel, waits=True), DMA((2,)))()
    message = "out_ref[0, 0] is written by the DMA that starts here, but the DMA that the kernel started at "
    fault(RaceError, dma_call(partial(kernel, waits=False), DMA((2,))), message, "may still write it", "second.start()")


def test_a_dma_under_way_from_one_program_to_the_next() -> None:
    def kernel(x_ref: Any, out_ref: Any, buffers: Any, done: Any, *, num_buffers: int) -> None:
        i, n = pl.program_id(0), pl.num_programs(0)

        def copy(j: Any) -> Any:
            slot = lax.rem(j, num_buffers)
            return pltpu.make_async_copy(x_ref.at[j], buffers.at[slot], done.at[slot])

        @pl.when(i == 0)
        def _() -> None:
            copy(i).start()

        @pl.when(i + 1 < n)
        def _() -> None:
            copy(i + 1).start()

        copy(i).wait()
        out_ref[0] = buffers[lax.rem(i, num_buffers)] * 2

    def call(num_buffers: int, semantics: str) -> Any:
        return run(
            partial(kernel, num_buffers=num_buffers),
            sds(4, 4),
            ints(4, 4),
            grid=(4,),
            in_specs=[ANYWHERE],
            out_specs=ROW,
            scratch_shapes=[pltpu.VMEM((2, 4), I32), DMA((2,))],
            compiler_params=parallel(semantics),
        )

    call(2, "arbitrary")
    fault(
        RaceError, lambda: call(1, "arbitrary"), "buffers[0, 0] is written by the DMA that starts here", "still write"
    )
    fault(
        SynchronizationError,
        lambda: call(2, "parallel"),
        "the wait is for a DMA of step (0,)",
        "another core",
        "grid index (1,)",
    )


@pytest.mark.skipif(jax.__version_info__ < (0, 12), reason="local copies have one semaphore")
def test_who_waits_for_the_reading_may_write_the_source_and_not_the_target() -> None:
    def kernel(x_ref: Any, out_ref: Any, arrived: Any, read: Any, *, touches: str) -> None:
        copy = pltpu.make_async_copy(x_ref, out_ref, arrived, src_sem=read)
        copy.start()
        copy.wait_read()
        touched = x_ref if touches == "source" else out_ref
        touched[...] = jnp.zeros_like(touched)
        copy.wait_write()

    dma_call(partial(kernel, touches="source"), DMA, DMA)()
    fault(
        RaceError, dma_call(partial(kernel, touches="target"), DMA, DMA), "out_ref[0, 0] is written here", "still write"
    )


def test_a_dma_that_is_never_waited_for() -> None:
    def kernel(x_ref: Any, out_ref: Any, done: Any, *, waits: bool) -> None:
        copy = pltpu.make_async_copy(x_ref.at[0], out_ref.at[0], done.at[1])
        copy.start()
        out_ref[1] = x_ref[1]
        if waits:
            copy.wait()

    error = fault(
        SynchronizationError,
        dma_call(partial(kernel, waits=False), DMA((2,))),
        "the DMA that the kernel starts on done[1] is never waited for",
        "kernel: kernel",
        "copy.start()",
        "dma_start",
    )
    assert error.ref == "done[1]"
    dma_call(partial(kernel, waits=True), DMA((2,)))()


def test_a_dma_of_which_a_part_is_waited_for() -> None:
    def kernel(x_ref: Any, out_ref: Any, done: Any, *, rows: int) -> None:
        pltpu.make_async_copy(x_ref, out_ref, done).start()
        for i in range(rows):
            pltpu.make_async_copy(x_ref.at[i], out_ref.at[i], done).wait()

    dma_call(partial(kernel, rows=2), DMA)()
    fault(SynchronizationError, dma_call(partial(kernel, rows=1), DMA), "done is left at 16 bytes", ".start()")


def test_a_pipeline_is_silent() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        def body(x_block: Any, out_block: Any) -> None:
            out_block[...] = x_block[...] + 1

        block = pl.BlockSpec((8, 128), lambda i: (i, 0))
        pltpu.emit_pipeline(body, grid=(3,), in_specs=[block], out_specs=[block])(x_ref, out_ref)

    x = ints(24, 128)
    with pallas_np.installed(WATCHED):
        call = pl.pallas_call(kernel, sds(24, 128), in_specs=[ANYWHERE], out_specs=ANYWHERE)
        np.testing.assert_array_equal(call(x), x + 1)


# Semaphores.


def test_a_semaphore_left_signalled() -> None:
    def kernel(x_ref: Any, out_ref: Any, ready: Any, *, taken: int) -> None:
        pl.semaphore_signal(ready.at[1], 3)
        out_ref[...] = x_ref[...]
        pl.semaphore_wait(ready.at[1], taken)

    error = fault(
        SynchronizationError,
        dma_call(partial(kernel, taken=2), REGULAR((2,))),
        "ready[1] is left at 1, where it has to end at 0; the kernel signalled it last, at ",
        "pl.semaphore_signal(ready.at[1], 3)",
    )
    assert error.primitive == "semaphore_signal"
    dma_call(partial(kernel, taken=3), REGULAR((2,)))()


def test_a_scoped_semaphore_left_signalled() -> None:
    def kernel(x_ref: Any, out_ref: Any, *, waits: bool) -> None:
        out_ref[...] = x_ref[...]

        def scope(ready: Any) -> None:
            pl.semaphore_signal(ready)
            if waits:
                pl.semaphore_wait(ready)

        pl.run_scoped(scope, REGULAR)

    dma_call(partial(kernel, waits=True))()
    fault(
        SynchronizationError, dma_call(partial(kernel, waits=False)), "ready is left at 1", "pl.semaphore_signal(ready)"
    )


def test_a_semaphore_may_be_taken_by_a_later_program() -> None:
    def kernel(x_ref: Any, out_ref: Any, ready: Any) -> None:
        @pl.when(pl.program_id(0) == 0)
        def _() -> None:
            pl.semaphore_signal(ready, 3)

        out_ref[...] = x_ref[...]

        @pl.when(pl.program_id(0) > 0)
        def _() -> None:
            pl.semaphore_wait(ready)

    call = {"grid": (4,), "in_specs": [ROW], "out_specs": ROW, "scratch_shapes": [REGULAR]}
    run(kernel, sds(4, 4), ints(4, 4), **call)
    fault(
        SynchronizationError,
        lambda: run(kernel, sds(4, 4), ints(4, 4), compiler_params=parallel("parallel"), **call),
        "the wait is for a signal of step (0,)",
        "grid index (1,)",
    )


# Cores of a mesh.


def exchange(out_ref: Any, ready: Any, *, waits: bool) -> None:
    core = lax.axis_index("core")
    out_ref[core] = core + 1
    pl.semaphore_signal(ready, 1, core_index=1 - core)
    if waits:
        pl.semaphore_wait(ready, 1)
    out_ref[2 + core] = out_ref[1 - core]
    if not waits:
        pl.semaphore_wait(ready, 1)


def test_cores_that_do_not_wait_for_each_other() -> None:
    error = fault(
        RaceError,
        lambda: on_cores(partial(exchange, waits=False), sds(4), REGULAR),
        "out_ref[1] is written here, and core (0,) read it at ",
        "out_ref[2 + core] = out_ref[1 - core]",
        "the two may run at the same time",
        "kernel: exchange, at grid index (1,)",
    )
    assert "with a semaphore" in error.advice
    np.testing.assert_array_equal(on_cores(partial(exchange, waits=True), sds(4), REGULAR), [1, 2, 2, 1])


def test_cores_may_share_what_nobody_writes_and_write_what_is_their_own() -> None:
    def body(out_ref: Any) -> None:
        core = lax.axis_index("core")
        out_ref[pl.ds(core * 2, 2)] = jnp.full((2,), core, I32)

    np.testing.assert_array_equal(on_cores(body, sds(8), num_cores=4), ints(4).repeat(2))


def test_a_barrier_orders_the_cores() -> None:
    def body(out_ref: Any, barrier: Any, *, barriers: int) -> None:
        core = lax.axis_index("core")
        out_ref[core] = core
        if barriers:
            pltpu.core_barrier(barrier, core_axis_name="core")
        out_ref[4 + core] = out_ref[lax.rem(core + 1, 4)]
        if barriers > 1:
            pltpu.core_barrier(barrier, core_axis_name="core")
        out_ref[core] = -core

    def call(barriers: int) -> Any:
        return on_cores(partial(body, barriers=barriers), sds(8), REGULAR, num_cores=4)

    np.testing.assert_array_equal(call(2), [0, -1, -2, -3, 1, 2, 3, 0])
    for barriers in (0, 1):
        fault(RaceError, lambda: call(barriers), "the two may run at the same time")  # noqa: B023


def test_a_signal_is_given_after_the_dma_has_arrived() -> None:
    """A core that is told too early reads what a DMA of the other is still writing."""

    def body(out_ref: Any, row: Any, done: Any, ready: Any, *, waits: bool) -> None:
        core = lax.axis_index("core")

        @pl.when(core == 0)
        def _() -> None:
            row[...] = jnp.ones((4,), I32)
            copy = pltpu.make_async_copy(row, out_ref.at[0], done)
            copy.start()
            if waits:
                copy.wait()
            pl.semaphore_signal(ready, 1, core_index=1)
            if not waits:
                copy.wait()

        @pl.when(core == 1)
        def _() -> None:
            pl.semaphore_wait(ready, 1)
            out_ref[1] = out_ref[0] + 1

    def call(waits: bool) -> Any:
        return on_cores(partial(body, waits=waits), sds(2, 4), pltpu.VMEM((4,), I32), DMA, REGULAR)

    np.testing.assert_array_equal(call(waits=True), [[1] * 4, [2] * 4])
    fault(RaceError, lambda: call(waits=False), "out_ref[0, 0] is read here, and a DMA that core (0,) started at ")


def test_a_deadlock_says_who_waits_for_what() -> None:
    def body(out_ref: Any, left: Any, right: Any) -> None:
        core = lax.axis_index("core")
        out_ref[core] = core

        @pl.when(core == 0)
        def _() -> None:
            pl.semaphore_wait(left, 2)
            pl.semaphore_signal(right, 1, core_index=1)

        @pl.when(core == 1)
        def _() -> None:
            pl.semaphore_wait(right, 1)
            pl.semaphore_signal(left, 2, core_index=0)

    fault(
        SynchronizationError,
        lambda: on_cores(body, sds(2), REGULAR, REGULAR),
        "deadlock, since each core waits for another: core (0,): ",
        "test_races.py:",
        "waits for left to reach 2, but it is at 0; core (1,): ",
        "test_races.py:",
        "waits for right to reach 1, but it is at 0",
        "kernel: body",
    )


def test_a_core_left_alone_says_what_it_waits_for() -> None:
    def body(out_ref: Any, ready: Any) -> None:
        core = lax.axis_index("core")
        out_ref[core] = core

        @pl.when(core == 1)
        def _() -> None:
            pl.semaphore_wait(ready, 1)

    message = ("no other core is left to signal: core (1,): ", "waits for ready to reach 1, but it is at 0")
    fault(SynchronizationError, lambda: on_cores(body, sds(2), REGULAR), *message)


# How it is asked for.


def test_under_jit_and_installed_the_message_is_whole() -> None:
    def call(pallas_call: Any, **options: Any) -> Any:
        block = pl.BlockSpec((1, 4), lambda i: (i % 2, 0))
        return pallas_call(copy_row, sds(4, 4), grid=(4,), in_specs=[ROW], out_specs=block, **options)

    jitted = jax.jit(call(pallas_np.pallas_call, options=WATCHED))
    fault(Exception, lambda: jax.block_until_ready(jitted(ints(4, 4))), "out_ref is written here, but step (0,) wrote")
    assert isinstance(pallas_np.last_error(), RaceError)
    with pallas_np.installed(WATCHED):
        fault(RaceError, lambda: call(pl.pallas_call)(ints(4, 4)), "out_ref is written here, but step (0,) wrote")
    with pallas_np.installed():
        call(pl.pallas_call)(ints(4, 4))


def test_the_bitonic_sort_is_silent() -> None:
    x = np.random.default_rng(0).standard_normal((16, 16)).astype(np.float32)
    with pallas_np.installed(WATCHED):
        np.testing.assert_array_equal(bitonic.bitonic_sort(x, pallas_call=pl.pallas_call), np.sort(x))
