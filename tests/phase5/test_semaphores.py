"""Section 4 of the semantics: semaphores, DMAs, and the cores of a mesh."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from pallas_oracle import assert_same, check, ints, run, sds

import pallas_np

DMA = pltpu.SemaphoreType.DMA
REGULAR = pltpu.SemaphoreType.REGULAR
MIN = np.iinfo(np.int32).min


# Semaphores.


def test_signal_wait_and_read() -> None:
    def kernel(out_ref: Any, semaphore: Any) -> None:
        out_ref[0] = pl.semaphore_read(semaphore)
        pl.semaphore_signal(semaphore, 5)
        pl.semaphore_signal(semaphore)
        out_ref[1] = pl.semaphore_read(semaphore)
        pl.semaphore_wait(semaphore, 2)
        out_ref[2] = pl.semaphore_read(semaphore)
        pl.semaphore_wait(semaphore, 3, decrement=False)
        out_ref[3] = pl.semaphore_read(semaphore)
        pl.semaphore_wait(semaphore, 4)
        out_ref[4] = pl.semaphore_read(semaphore)

    check(kernel, sds(5, jnp.int32), scratch_shapes=[REGULAR], wanted=np.int32([0, 6, 4, 4, 0]))


def test_arrays_of_semaphores_and_dynamic_counts() -> None:
    def kernel(n_ref: Any, out_ref: Any, semaphores: Any) -> None:
        @pl.loop(0, 3)
        def _(i: Any) -> None:
            pl.semaphore_signal(semaphores.at[0, i], n_ref[i])

        pl.semaphore_wait(semaphores.at[0].at[1], n_ref[1] - 1)
        for i in range(3):
            out_ref[i] = pl.semaphore_read(semaphores.at[0, i])
            out_ref[i + 3] = pl.semaphore_read(semaphores.at[1, i])

    wanted = np.int32([4, 1, 6, 0, 0, 0])
    check(kernel, sds(6, jnp.int32), np.int32([4, 5, 6]), scratch_shapes=[REGULAR((2, 3))], wanted=wanted)


def test_scoped_semaphores_start_at_zero() -> None:
    def kernel(out_ref: Any) -> None:
        @pl.loop(0, 3)
        def _(i: Any) -> None:
            def body(semaphore: Any) -> None:
                out_ref[i] = pl.semaphore_read(semaphore)
                pl.semaphore_signal(semaphore, 3)

            pl.run_scoped(body, REGULAR)

    check(kernel, sds(3, jnp.int32), wanted=np.zeros(3, np.int32))


def test_semaphores_persist_from_one_program_to_the_next() -> None:
    def kernel(out_ref: Any, semaphore: Any) -> None:
        pl.semaphore_signal(semaphore, 2)
        out_ref[0] = pl.semaphore_read(semaphore)

    spec = pl.BlockSpec((1,), lambda i: (i,))
    check(kernel, sds(3, jnp.int32), grid=(3,), out_specs=spec, scratch_shapes=[REGULAR], wanted=np.int32([2, 4, 6]))


def test_the_barrier_semaphore_is_one() -> None:
    def kernel(out_ref: Any) -> None:
        pl.semaphore_signal(pltpu.get_barrier_semaphore(), 2)
        pl.semaphore_wait(pltpu.get_barrier_semaphore(), 1)
        out_ref[0] = pl.semaphore_read(pltpu.get_barrier_semaphore())
        pl.semaphore_wait(pltpu.get_barrier_semaphore(), 1)

    params = pltpu.CompilerParams(collective_id=0)
    assert_same(run(kernel, sds(1, jnp.int32), compiler_params=params), np.int32([1]))


def test_a_wait_that_nothing_can_satisfy_names_the_semaphore() -> None:
    def kernel(out_ref: Any, done: Any) -> None:
        pl.semaphore_signal(done.at[2])
        pl.semaphore_wait(done.at[2], 4)

    message = r"deadlock.*test_semaphores\.py:\d+.* waits for done\[2\] to reach 4, but it is at 1"
    with pytest.raises(RuntimeError, match=message):
        run(kernel, sds(1, jnp.int32), scratch_shapes=[REGULAR((3,))])


def test_a_scoped_semaphore_is_named_too() -> None:
    def kernel(out_ref: Any) -> None:
        pl.run_scoped(lambda ready: pl.semaphore_wait(ready, 1), REGULAR)

    with pytest.raises(RuntimeError, match="waits for ready to reach 1, but it is at 0"):
        run(kernel, sds(1, jnp.int32))


# DMAs.


def test_sync_copy() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        pltpu.sync_copy(x_ref.at[pl.ds(1, 2)], out_ref.at[pl.ds(0, 2)])
        pltpu.sync_copy(x_ref.at[0], out_ref.at[2])

    x = ints(3, 4)
    check(kernel, sds((3, 4), x.dtype), x, wanted=x[[1, 2, 0]])


def test_an_async_copy_arrives_at_its_wait() -> None:
    """`interpret=True` copies at the start, and hides a missing wait."""

    def kernel(x_ref: Any, out_ref: Any, semaphores: Any) -> None:
        copy = pltpu.make_async_copy(x_ref, out_ref.at[0], semaphores.at[0])
        never = pltpu.make_async_copy(x_ref, out_ref.at[2], semaphores.at[1])
        out_ref[0] = jnp.zeros((4,), jnp.int32)
        copy.start()
        never.start()
        out_ref[1] = out_ref[0]
        copy.wait()

    x = ints(4) + 1
    got = run(kernel, sds((3, 4), x.dtype), x, scratch_shapes=[DMA((2,))])
    assert_same(got, np.stack([x, np.zeros(4, np.int32), np.full(4, MIN, np.int32)]))


def test_waits_on_one_semaphore_are_by_bytes_and_in_order() -> None:
    def kernel(x_ref: Any, out_ref: Any, semaphore: Any) -> None:
        def copy(i: int) -> Any:
            return pltpu.make_async_copy(x_ref.at[i], out_ref.at[i], semaphore)

        out_ref[...] = jnp.zeros_like(out_ref)
        for i in range(3):
            copy(i).start()
        copy(2).wait()
        out_ref[3] = out_ref[0]
        out_ref[4] = out_ref[2]
        copy(0).wait()
        copy(1).wait()

    x = ints(3, 4) + 1
    got = run(kernel, sds((5, 4), x.dtype), x, scratch_shapes=[DMA])
    assert_same(got, np.concatenate([x, x[:1], np.zeros((1, 4), np.int32)]))


def test_one_wait_may_take_several_copies() -> None:
    def kernel(x_ref: Any, out_ref: Any, semaphore: Any) -> None:
        for i in range(3):
            pltpu.make_async_copy(x_ref.at[i], out_ref.at[i], semaphore).start()
        pltpu.make_async_copy(x_ref, out_ref, semaphore).wait()

    x = ints(3, 4)
    check(kernel, sds((3, 4), x.dtype), x, scratch_shapes=[DMA], wanted=x)


def test_several_waits_may_take_one_copy() -> None:
    def kernel(x_ref: Any, out_ref: Any, semaphore: Any) -> None:
        pltpu.make_async_copy(x_ref, out_ref, semaphore).start()
        for i in range(3):
            pltpu.make_async_copy(x_ref.at[i], out_ref.at[i], semaphore).wait()

    x = ints(3, 4)
    check(kernel, sds((3, 4), x.dtype), x, scratch_shapes=[DMA], wanted=x)


def test_double_buffering_across_programs() -> None:
    def kernel(x_ref: Any, out_ref: Any, buffers: Any, semaphores: Any) -> None:
        i, n = pl.program_id(0), pl.num_programs(0)

        def copy(j: Any) -> Any:
            slot = lax.rem(j, 2)
            return pltpu.make_async_copy(x_ref.at[j], buffers.at[slot], semaphores.at[slot])

        @pl.when(i == 0)
        def _() -> None:
            copy(i).start()

        @pl.when(i + 1 < n)
        def _() -> None:
            copy(i + 1).start()

        copy(i).wait()
        out_ref[0] = buffers[lax.rem(i, 2)] * 2

    x = ints(5, 4)
    check(
        kernel,
        sds((5, 4), x.dtype),
        x,
        grid=(5,),
        in_specs=[pl.BlockSpec(memory_space=pl.ANY)],
        out_specs=pl.BlockSpec((1, 4), lambda i: (i, 0)),
        scratch_shapes=[pltpu.VMEM((2, 4), jnp.int32), DMA((2,))],
        wanted=x * 2,
    )


def test_a_copy_may_add() -> None:
    """`interpret=True` does not."""

    def kernel(x_ref: Any, out_ref: Any, semaphore: Any) -> None:
        out_ref[...] = jnp.full((4,), 100, jnp.int32)
        copy = pltpu.make_async_copy(x_ref, out_ref, semaphore)
        copy.start(add=True)
        copy.wait()

    assert_same(run(kernel, sds(4, jnp.int32), ints(4), scratch_shapes=[DMA]), ints(4) + 100)


@pytest.mark.skipif(jax.__version_info__ < (0, 12), reason="local copies have one semaphore")
def test_a_copy_may_say_when_its_source_has_been_read() -> None:
    def kernel(x_ref: Any, out_ref: Any, arrived: Any, read: Any) -> None:
        copy = pltpu.make_async_copy(x_ref, out_ref, arrived, src_sem=read)
        copy.start()
        copy.wait_read()
        x_ref[...] = jnp.zeros_like(x_ref)
        copy.wait_write()

    assert_same(run(kernel, sds(4, jnp.int32), ints(4) + 1, scratch_shapes=[DMA, DMA]), ints(4) + 1)


def test_a_dma_semaphore_counts_elements_for_who_reads_it() -> None:
    def kernel(x_ref: Any, out_ref: Any, counts_ref: Any, semaphore: Any) -> None:
        copies = [pltpu.make_async_copy(x_ref.at[i], out_ref.at[i], semaphore) for i in range(3)]
        for i, copy in enumerate(copies):
            copy.start()
            counts_ref[i] = pl.semaphore_read(semaphore)
        for i, copy in enumerate(copies):
            copy.wait()
            counts_ref[3 + i] = pl.semaphore_read(semaphore)

    x = ints(3, 4, dtype=np.int16)
    got = check(kernel, [sds((3, 4), x.dtype), sds(6, jnp.int32)], x, scratch_shapes=[DMA])
    assert_same(got[1], np.int32([4, 8, 12, 8, 4, 0]))


def test_a_dma_that_is_polled_arrives() -> None:
    def kernel(x_ref: Any, out_ref: Any, semaphore: Any) -> None:
        pltpu.make_async_copy(x_ref, out_ref, semaphore).start()
        count = lax.while_loop(lambda count: count < 4, lambda _: pl.semaphore_read(semaphore), jnp.int32(0))
        out_ref[...] += count
        pltpu.make_async_copy(x_ref, out_ref, semaphore).wait()

    assert_same(run(kernel, sds(4, jnp.int32), ints(4), scratch_shapes=[DMA]), ints(4) + 4)


def test_a_dma_signals_a_regular_semaphore_once() -> None:
    """On a TPU v6 and later; `interpret=True` adds the number of elements."""

    def kernel(x_ref: Any, out_ref: Any, counts_ref: Any, arrived: Any) -> None:
        for i in range(3):
            pltpu.make_async_copy(x_ref.at[i], out_ref.at[i], arrived).start()
        pl.semaphore_wait(arrived, 2)
        out_ref[2] = jnp.zeros((4,), jnp.int32)
        counts_ref[0] = pl.semaphore_read(arrived)
        counts_ref[1] = out_ref[2, 3]

    x = ints(3, 4)
    out, counts = run(kernel, [sds((3, 4), x.dtype), sds(2, jnp.int32)], x, scratch_shapes=[REGULAR])
    assert_same(out, x)
    assert_same(counts, np.int32([1, 11]))


def test_one_kernel_may_start_a_copy_that_another_waits_for() -> None:
    """`interpret=True` takes no semaphores as outputs."""
    anywhere, semaphore = pl.BlockSpec(memory_space=pl.ANY), pl.BlockSpec(memory_space=pltpu.SEMAPHORE)

    def start(x_ref: Any, out_ref: Any, semaphores: Any) -> None:
        for i in range(2):
            pltpu.make_async_copy(x_ref.at[i], out_ref.at[i], semaphores.at[i]).start()

    def finish(x_ref: Any, given_ref: Any, semaphores: Any, out_ref: Any) -> None:
        for i in range(2):
            pltpu.make_async_copy(x_ref.at[i], out_ref.at[i], semaphores.at[i]).wait()

    @jax.jit
    def copied(x: Any, waits_for: Any = finish) -> Any:
        out = sds(x.shape, x.dtype)
        y, semaphores = pl.pallas_call(start, [out, DMA((2,))], in_specs=[anywhere], out_specs=[anywhere, semaphore])(x)
        wait = pl.pallas_call(
            waits_for, out, in_specs=[anywhere, anywhere, semaphore], out_specs=anywhere, input_output_aliases={1: 0}
        )
        return wait(x, y, semaphores)

    for engine in ("interpreter", "compiled"):
        with pallas_np.installed(pallas_np.Options(engine=engine)):
            assert_same(copied(ints(2, 4)), ints(2, 4))


def test_a_dma_reaches_into_the_padding_of_a_tile() -> None:
    """An array's last two axes are padded to tiles, here of 16 times 128; `interpret=True` moves the slice instead."""

    def kernel(start_ref: Any, x_ref: Any, out_ref: Any, block: Any, semaphore: Any) -> None:
        part = (pl.ds(start_ref[0], 16), pl.ds(start_ref[1], 128))
        pltpu.async_copy(x_ref.at[part], block, semaphore).wait()
        block[...] += 1
        pltpu.async_copy(block, out_ref.at[part], semaphore).wait()
        out_ref[0, 0] = block[3, 100]

    x = ints(19, 200, dtype=np.int16)
    start, scratch = np.int32([16, 128]), [pltpu.VMEM((16, 128), x.dtype), DMA]
    got = np.asarray(run(kernel, sds(x.shape, x.dtype), start, x, scratch_shapes=scratch))
    assert_same(got[16:, 128:], x[16:, 128:] + np.int16(1))
    assert np.all(got[:16, 1:] == np.iinfo(np.int16).min) and got[0, 0] == np.iinfo(np.int16).min + 1

    def too_far(start_ref: Any, x_ref: Any, out_ref: Any, semaphore: Any) -> None:
        pltpu.async_copy(x_ref.at[pl.ds(start_ref[0], 32)], out_ref, semaphore).wait()

    with pytest.raises(IndexError, match="elements 16 to 47 of axis 0 lie outside a ref of shape"):
        run(too_far, sds((32, 200), x.dtype), start, x, scratch_shapes=[DMA])


def test_a_wait_without_a_start_is_an_error() -> None:
    def kernel(x_ref: Any, out_ref: Any, arrived: Any) -> None:
        pltpu.make_async_copy(x_ref, out_ref, arrived.at[1]).start()
        pltpu.make_async_copy(x_ref, out_ref, arrived.at[0]).wait()

    message = r"(?s)asks for 16 bytes, but the DMAs started on arrived\[0\] bring 0.*test_semaphores\.py.*\.wait\(\)"
    with pytest.raises(RuntimeError, match=message):
        run(kernel, sds(4, jnp.int32), ints(4), scratch_shapes=[DMA((2,))])


def test_a_scoped_semaphore_forgets_the_copies_of_another() -> None:
    """Memory is used again: a copy that was never waited for must not satisfy a later semaphore at its address."""

    def kernel(x_ref: Any, out_ref: Any) -> None:
        def start(semaphore: Any) -> None:
            pltpu.make_async_copy(x_ref, out_ref, semaphore).start()

        def wait(semaphore: Any) -> None:
            pltpu.make_async_copy(x_ref, out_ref, semaphore).wait()

        pl.run_scoped(start, DMA)
        pl.run_scoped(wait, DMA)

    with pytest.raises(RuntimeError, match="DMAs started on semaphore bring 0"):
        run(kernel, sds(4, jnp.int32), ints(4))


def test_remote_copies_are_refused() -> None:
    def kernel(x_ref: Any, out_ref: Any, send: Any, receive: Any) -> None:
        pltpu.make_async_remote_copy(x_ref, out_ref, send, receive, device_id=(1,)).start()

    message = r"(?s)dma_start copies to another device, which is not supported.*test_semaphores\.py"
    with pytest.raises(NotImplementedError, match=message):
        run(kernel, sds(4, jnp.int32), ints(4), scratch_shapes=[DMA, DMA])


def test_signals_to_other_devices_are_refused() -> None:
    def kernel(out_ref: Any, semaphore: Any) -> None:
        pl.semaphore_signal(semaphore, device_id=(1,))

    with pytest.raises(NotImplementedError, match=r"semaphore_signal signals another device, which is not"):
        run(kernel, sds(4, jnp.int32), scratch_shapes=[REGULAR])


def test_a_dma_between_dtypes_of_the_same_bits() -> None:
    def kernel(x_ref: Any, out_ref: Any, semaphore: Any) -> None:
        pltpu.async_copy(x_ref.bitcast(jnp.float32), out_ref, semaphore).wait()

    x = np.float32([[1.5, -0.0], [np.inf, 3]])
    assert_same(run(kernel, sds((2, 2)), x.view(np.int32), scratch_shapes=[DMA]), x)


@pytest.mark.skipif(not hasattr(pl, "select_ref"), reason="this JAX has no select_ref")
def test_a_dma_from_a_selected_ref() -> None:
    def kernel(i_ref: Any, x_ref: Any, y_ref: Any, out_ref: Any, semaphore: Any) -> None:
        source = pl.select_ref(i_ref[0], x_ref.at[1], y_ref.at[0])
        pltpu.async_copy(source, out_ref, semaphore).wait()

    x, y = ints(2, 4), ints(2, 4) + 50
    for i, wanted in enumerate([x[1], y[0], y[0]]):  # a number past the end takes the last
        assert_same(run(kernel, sds(4, x.dtype), np.int32([i]), x, y, scratch_shapes=[DMA]), wanted)


# The cores of a mesh.


def on_cores(body: Any, out: Any, *args: Any, num_cores: int = 2, scratch: Any = ()) -> Any:
    """What `pl.kernel` answers on a mesh of cores."""
    cores = pltpu.create_tensorcore_mesh("core", num_cores=num_cores)
    with pallas_np.installed():
        return pl.kernel(body, out, mesh=cores, scratch_types=scratch)(*map(jnp.asarray, args))


def test_each_core_has_its_index_and_its_scratch() -> None:
    def body(x_ref: Any, out_ref: Any, mine: Any) -> None:
        core = lax.axis_index("core")
        mine[0] = core * 10
        pltpu.sync_copy(x_ref.at[core], out_ref.at[core])
        out_ref[core, 0] += mine[0]

    x = ints(3, 4)
    got = on_cores(body, sds((3, 4), x.dtype), x, num_cores=3, scratch=[pltpu.SMEM((1,), jnp.int32)])
    assert_same(got, x + ints(3)[:, None] * np.int32([10, 0, 0, 0]))


def test_cores_wait_for_one_another() -> None:
    """Core 0 needs what core 1 does, and core 1 what core 0 did before: one after the other would be too late."""

    def body(out_ref: Any, ready: Any) -> None:
        core = lax.axis_index("core")

        @pl.when(core == 0)
        def _() -> None:
            out_ref[0] = 1
            pl.semaphore_signal(ready, 1, device_id={"core": 1})
            pl.semaphore_wait(ready, 2)
            out_ref[2] = out_ref[1] + 1

        @pl.when(core == 1)
        def _() -> None:
            pl.semaphore_wait(ready, 1)
            out_ref[1] = out_ref[0] + 1
            pl.semaphore_signal(ready, 2, core_index=0)

    assert_same(on_cores(body, sds(3, jnp.int32), scratch=[REGULAR]), np.int32([1, 2, 3]))


def test_a_barrier_of_cores() -> None:
    def body(out_ref: Any, seen_ref: Any, barrier: Any) -> None:
        core = lax.axis_index("core")

        @pl.loop(0, 3)
        def _(i: Any) -> None:
            out_ref[core] = i + core
            pltpu.core_barrier(barrier, core_axis_name="core")
            seen_ref[core, i] = out_ref[lax.rem(core + 1, 4)]
            pltpu.core_barrier(barrier, core_axis_name="core")

    out, seen = on_cores(body, [sds(4, jnp.int32), sds((4, 3), jnp.int32)], num_cores=4, scratch=[REGULAR])
    assert_same(out, ints(4) + 2)
    assert_same(seen, ints(3) + np.roll(ints(4), -1)[:, None])


def test_scoped_semaphores_of_different_cores_correspond() -> None:
    def body(out_ref: Any) -> None:
        core = lax.axis_index("core")

        def scope(semaphores: Any) -> None:
            pl.semaphore_signal(semaphores.at[1], 5 + core, device_id={"core": 1 - core})
            pl.semaphore_wait(semaphores.at[1], 5)
            out_ref[core] = pl.semaphore_read(semaphores.at[1])

        pl.run_scoped(scope, REGULAR((2,)))

    assert_same(on_cores(body, sds(2, jnp.int32)), np.int32([1, 0]))


def test_a_core_may_poll_a_semaphore() -> None:
    def body(out_ref: Any, flag: Any) -> None:
        core = lax.axis_index("core")

        @pl.when(core == 0)
        def _() -> None:
            out_ref[0] = lax.while_loop(lambda n: pl.semaphore_read(flag) == 0, lambda n: n + 1, jnp.int32(0))

        @pl.when(core == 1)
        def _() -> None:
            pl.semaphore_signal(flag, core_index=0)

    assert np.asarray(on_cores(body, sds(1, jnp.int32), scratch=[REGULAR]))[0] < 3


def test_memory_that_cores_would_share_is_refused() -> None:
    def body(out_ref: Any) -> None:
        def scope(ref: Any) -> None:
            ref[0] = 1

        pl.run_scoped(scope, pltpu.VMEM((2,), jnp.int32), collective_axes="core")
        out_ref[0] = 1

    with pytest.raises(NotImplementedError, match=r"(?s)run_scoped shares memory between.*test_semaphores\.py"):
        on_cores(body, sds(1, jnp.int32))


def test_cores_that_all_wait_are_named() -> None:
    def body(out_ref: Any, left: Any, right: Any) -> None:
        @pl.when(lax.axis_index("core") == 0)
        def _() -> None:
            pl.semaphore_wait(left, 2)

        @pl.when(lax.axis_index("core") == 1)
        def _() -> None:
            pl.semaphore_signal(right.at[0], 1)
            pl.semaphore_wait(right.at[0], 3)

    message = (
        r"deadlock, since each core waits for another: core \(0,\): .*test_semaphores\.py:\d+.* waits for left to "
        r"reach 2, but it is at 0; core \(1,\): .* waits for right\[0\] to reach 3, but it is at 1"
    )
    with pytest.raises(RuntimeError, match=message):
        on_cores(body, sds(1, jnp.int32), scratch=[REGULAR, REGULAR((1,))])


def test_what_one_core_raises_ends_the_others() -> None:
    import threading

    def body(x_ref: Any, out_ref: Any, never: Any) -> None:
        core = lax.axis_index("core")

        @pl.when(core == 0)
        def _() -> None:
            pl.semaphore_wait(never, 1)

        out_ref[x_ref[core]] = 1

    before = threading.active_count()
    with pytest.raises(IndexError, match="outside a ref of shape"):
        on_cores(body, sds(1, jnp.int32), np.int32([0, 7]), scratch=[REGULAR])
    assert threading.active_count() == before


def test_no_warning_reaches_the_user_from_a_core(recwarn: pytest.WarningsRecorder) -> None:
    def body(x_ref: Any, out_ref: Any) -> None:
        out_ref[lax.axis_index("core")] = 1 / x_ref[lax.axis_index("core")]

    assert_same(on_cores(body, sds(2), np.float32([0, 2])), np.float32([np.inf, 0.5]))
    assert not [w for w in recwarn.list if issubclass(w.category, RuntimeWarning)]
