"""Sections 2 and 4 of the semantics: refs as memory, masked accesses, atomics, and refs that a kernel makes."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jax.experimental.pallas import triton as plgpu
from pallas_oracle import assert_same, check, ints, run, run_with, sds

from pallas_np import phase5
from pallas_np.options import Options

MIN = np.iinfo(np.int32).min


# Reads copy.


def test_every_way_of_reading_copies() -> None:
    def kernel(x_ref: Any, out_ref: Any, after_ref: Any) -> None:
        after_ref[...] = x_ref[...]
        reads = [
            after_ref[...],
            after_ref[0:4],
            after_ref.at[0:4].at[0:4][...],
            after_ref.reshape(2, 2)[...].reshape(4),
            after_ref.reshape(2, 2).bitcast(jnp.uint32)[...].reshape(4).astype(jnp.int32),
            plgpu.load(after_ref),
            jax.ref.swap(after_ref, (Ellipsis,), x_ref[...]),
        ]
        after_ref[...] = jnp.full((4,), 99, jnp.int32)
        for i, read in enumerate(reads):
            out_ref[i] = read

    x = ints(4)
    got = run(kernel, [sds((7, 4), x.dtype), sds(4, x.dtype)], x)
    assert_same(got, [np.tile(x, (7, 1)), np.full(4, 99, np.int32)])


def test_a_scalar_that_was_read_stays() -> None:
    def kernel(out_ref: Any) -> None:
        out_ref[0] = 1
        one = out_ref[0]
        out_ref[0] = 5
        out_ref[1] = one

    check(kernel, sds(2, jnp.int32), wanted=np.int32([5, 1]))


def test_scan_carries_do_not_alias_refs() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        def step(i: Any, carry: Any) -> Any:
            seen = x_ref[...]
            x_ref[...] = seen + 1
            return carry + seen

        out_ref[...] = jax.lax.fori_loop(0, 3, step, jnp.zeros_like(x_ref))

    x = ints(4)
    check(kernel, sds(4, x.dtype), x, wanted=3 * x + 3)


# Refs that the kernel makes.


def test_run_state() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        def body(refs: Any) -> None:
            a_ref, b_ref = refs
            a_ref[...] = a_ref[...] + b_ref[0]
            b_ref[...] = b_ref[...] * 2

        before = x_ref[...]
        a, b = pl.run_state(body)((before, before + 1))
        out_ref[0], out_ref[1], out_ref[2] = a, b, before

    x = ints(4)
    check(kernel, sds((3, 4), x.dtype), x, wanted=np.stack([x + 1, (x + 1) * 2, x]))


def test_new_refs_in_a_kernel() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        value = x_ref[...]
        ref = jax.new_ref(value)
        ref[1:] = ref[1:] * 2
        other = jax.new_ref(ref[...])
        ref[0] = 50
        out_ref[0] = jax.freeze(ref)
        out_ref[1] = jax.freeze(other)
        out_ref[2] = value

    x = ints(4) + 1
    got = run(kernel, sds((3, 4), x.dtype), x)
    assert_same(got, np.int32([[50, 4, 6, 8], [1, 4, 6, 8], [1, 2, 3, 4]]))


@pytest.mark.skipif(not hasattr(jax, "empty_ref"), reason="this JAX has no empty_ref")
def test_empty_refs_are_uninitialised_and_may_be_freed() -> None:
    def kernel(out_ref: Any) -> None:
        ref = jax.empty_ref(jax.ShapeDtypeStruct((2,), jnp.int32))
        out_ref[0] = ref[...]
        ref[...] = jnp.ones((2,), jnp.int32)
        out_ref[1] = ref[...]
        jax.free_ref(ref)

    assert_same(run(kernel, sds((2, 2), jnp.int32)), np.int32([[MIN, MIN], [1, 1]]))


def test_get_global_is_the_same_at_every_step_and_unique_to_its_call() -> None:
    """Neither `interpret=True` nor TPU interpret mode has it."""

    def kernel(out_ref: Any) -> None:
        a, b = pl.get_global(pltpu.SMEM((1,), jnp.int32)), pl.get_global(pltpu.SMEM((1,), jnp.int32))

        @pl.when(pl.program_id(0) == 0)
        def _() -> None:
            a[0] = 0
            b[0] = 100

        a[0] += 1
        b[0] += 2
        out_ref[0, 0] = a[0]
        out_ref[0, 1] = b[0]

    spec = pl.BlockSpec((1, 2), lambda i: (i, 0))
    got = run(kernel, sds((3, 2), jnp.int32), grid=(3,), out_specs=spec)
    assert_same(got, np.int32([[1, 102], [2, 104], [3, 106]]))


# Masked loads and stores.


def test_masked_load_with_other() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        mask = jnp.arange(8) < 5
        out_ref[...] = plgpu.load(x_ref.at[pl.ds(0, 8)], mask=mask, other=jnp.full((8,), -1, jnp.int32))

    check(kernel, sds(8, jnp.int32), ints(8), wanted=np.int32([0, 1, 2, 3, 4, -1, -1, -1]))


def test_masked_lanes_may_lie_outside() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        i = pl.program_id(0)
        where = pl.ds(4 * i, 4)
        mask = 4 * i + jnp.arange(4) < 6
        value = plgpu.load(x_ref.at[where], mask=mask, other=0)
        plgpu.store(out_ref.at[where], value + 1, mask=mask)

    whole = pl.BlockSpec((6,), lambda i: (0,))
    check(kernel, sds(6, jnp.int32), ints(6), grid=(2,), in_specs=[whole], out_specs=whole, wanted=ints(6) + 1)


def test_a_lane_outside_that_the_mask_leaves_on_is_an_error() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        start = 4 + pl.program_id(0)
        out_ref[...] = plgpu.load(x_ref.at[pl.ds(start, 4)], mask=jnp.arange(4) < 3, other=0)

    with pytest.raises(IndexError, match=r"a lane at index \(6,\), outside a ref of shape \(6,\)"):
        run(kernel, sds(4, jnp.int32), ints(6), grid=(1,))


def test_masked_lanes_without_other_are_uninitialised() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = plgpu.load(x_ref, mask=jnp.arange(4) < 2)

    assert_same(run(kernel, sds(4, jnp.int32), ints(4)), np.int32([0, 1, MIN, MIN]))
    assert_same(run_with(Options(uninitialized="zero"), kernel, sds(4, jnp.int32), ints(4)), np.int32([0, 1, 0, 0]))


def test_a_mask_is_broadcast() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        rows = jnp.arange(3)[:, None] != 1
        out_ref[...] = jnp.zeros_like(out_ref)
        value = plgpu.load(x_ref.at[:, 1:3], mask=rows, other=7)
        plgpu.store(out_ref.at[:, pl.ds(0, 2)], value, mask=(jnp.arange(2)[None] == 0) | rows)

    x = ints(3, 4)
    wanted = np.int32([[1, 2], [7, 0], [9, 10]])
    assert_same(run(kernel, sds((3, 2), x.dtype), x), wanted)


def test_masked_gather_and_scatter_by_arrays() -> None:
    def kernel(x_ref: Any, i_ref: Any, out_ref: Any) -> None:
        i = i_ref[...]
        mask = i >= 0
        rows = plgpu.load(x_ref.at[i], mask=mask, other=-5)
        out_ref[...] = jnp.zeros_like(out_ref)
        plgpu.store(out_ref.at[i], rows * 2, mask=mask)

    got = run(kernel, sds(5, jnp.int32), ints(5) + 1, np.int32([4, -1, 2, 99 - 98]))
    assert_same(got, np.int32([0, 4, 6, 0, 10]))


def test_masked_arrays_and_slices_mix() -> None:
    def kernel(x_ref: Any, i_ref: Any, out_ref: Any) -> None:
        i = i_ref[...]
        mask = (jnp.arange(4) < 3)[None] & (i >= 0)[:, None]
        out_ref[...] = plgpu.load(x_ref.at[i, pl.ds(i[2] + 1, 4)], mask=mask, other=0)

    x, i = ints(3, 4), np.int32([2, -7, 0])
    wanted = np.where((i >= 0)[:, None], np.pad(x[:, 1:], ((0, 0), (0, 1)))[np.maximum(i, 0)], 0)
    assert_same(run(kernel, sds((3, 4), x.dtype), x, i), wanted.astype(np.int32))


def test_masked_swap_through_a_chain() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...]
        part = out_ref.at[1:3].reshape(8)
        plgpu.store(part.at[pl.ds(2, 4)], jnp.arange(4, dtype=jnp.int32) + 100, mask=jnp.arange(4) != 1)

    x = ints(4, 4)
    wanted = x.copy()
    wanted[1:3].reshape(8)[[2, 4, 5]] = [100, 102, 103]
    assert_same(run(kernel, sds((4, 4), x.dtype), x), wanted)


def test_the_tpus_masked_load_and_store() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        mask = x_ref[...] > 2
        out_ref[...] = jnp.full_like(out_ref, -1)
        pltpu.store(out_ref, pltpu.load(x_ref) * 2, mask=mask)

    check(kernel, sds(6, jnp.int32), ints(6), wanted=np.int32([-1, -1, -1, 6, 8, 10]))


# Atomics.


ATOMICS = {
    "add": (plgpu.atomic_add, np.add),
    "max": (plgpu.atomic_max, np.maximum),
    "min": (plgpu.atomic_min, np.minimum),
    "and": (plgpu.atomic_and, np.bitwise_and),
    "or": (plgpu.atomic_or, np.bitwise_or),
    "xor": (plgpu.atomic_xor, np.bitwise_xor),
    "xchg": (plgpu.atomic_xchg, lambda old, new: new),
}


@pytest.mark.parametrize("name", ATOMICS)
def test_atomics_change_memory_and_answer_the_old_value(name: str) -> None:
    atomic, numpy = ATOMICS[name]

    def kernel(x_ref: Any, y_ref: Any, out_ref: Any, old_ref: Any) -> None:
        out_ref[...] = x_ref[...]
        old_ref[...] = atomic(out_ref, (pl.ds(1, 4),), y_ref[...])

    x, y = ints(6) * 5, np.int32([7, 1, 200, -3])
    wanted = x.copy()
    wanted[1:5] = numpy(x[1:5], y)
    assert_same(run(kernel, [sds(6, x.dtype), sds(4, x.dtype)], x, y), [wanted, x[1:5]])


def test_atomics_at_the_same_address_all_count() -> None:
    """`interpret=True` reads all lanes before it writes, and loses some."""

    def kernel(i_ref: Any, v_ref: Any, out_ref: Any, old_ref: Any) -> None:
        out_ref[...] = jnp.zeros_like(out_ref)
        old_ref[...] = plgpu.atomic_add(out_ref, (i_ref[...],), v_ref[...], mask=v_ref[...] != 4)

    i, v = np.int32([1, 1, 0, 1, 2]), np.float32([1, 2, 3, 4, 5])
    got = run(kernel, [sds(3), sds(5)], i, v)
    assert_same(got[0], np.float32([3, 3, 5]))
    assert_same(np.asarray(got[1])[[0, 1, 2, 4]], np.float32([0, 1, 0, 0]))


def test_programs_count_together_with_an_atomic() -> None:
    def kernel(out_ref: Any, mine_ref: Any) -> None:
        mine_ref[0] = plgpu.atomic_add(out_ref, (0,), 2)

    got = run(
        kernel,
        [sds(1, jnp.int32), sds(4, jnp.int32)],
        grid=(4,),
        out_specs=[pl.BlockSpec((1,), lambda i: (0,)), pl.BlockSpec((1,), lambda i: (i,))],
    )
    assert_same(np.asarray(got[1]) - np.asarray(got[1])[0], np.int32([0, 2, 4, 6]))


def test_compare_and_swap() -> None:
    def kernel(x_ref: Any, lock_ref: Any, out_ref: Any) -> None:
        out_ref[0] = plgpu.atomic_cas(lock_ref, 0, x_ref[0])
        out_ref[1] = plgpu.atomic_cas(lock_ref, 0, 99)
        out_ref[2] = lock_ref[()]

    assert_same(run(kernel, sds(3, jnp.int32), np.int32([7]), np.int32(0)), np.int32([0, 7, 7]))


# How much memory a call takes.


def test_outputs_reach_jax_without_a_copy() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] + 1

    call = phase5.pallas_call(kernel, sds(1 << 16))
    traced = call.traced(jnp.zeros(1 << 16))
    for _ in range(8):
        (out,) = phase5.run(traced.call, np.zeros(1 << 16, np.float32))
        assert out.ctypes.data == jax.device_put(out).unsafe_buffer_pointer()


@pytest.mark.slow
def test_a_copy_of_256_megabytes_takes_its_arrays_and_little_more() -> None:
    program = textwrap.dedent("""
        import resource
        import jax, jax.numpy as jnp, numpy as np
        from jax.experimental import pallas as pl
        from pallas_np import phase5

        def fill(out_ref):
            out_ref[...] = jnp.ones_like(out_ref)

        def copy(x_ref, out_ref):
            out_ref[...] = x_ref[...]

        def call(kernel, rows):
            spec = pl.BlockSpec((256, 1024), lambda i: (i, 0))
            shape = jax.ShapeDtypeStruct((rows, 1024), jnp.float32)
            return phase5.pallas_call(kernel, shape, grid=(rows // 256,), out_specs=spec, **(
                {"in_specs": [spec]} if kernel is copy else {}
            ))

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

        call(copy, 256)(call(fill, 256)())
        before = peak()
        x = call(fill, 1 << 16)()
        out = call(copy, 1 << 16)(x)
        assert np.asarray(out)[-1, -1] == 1
        print((peak() - before) / (x.nbytes + out.nbytes))
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert float(done.stdout) <= 1.2, done.stderr
