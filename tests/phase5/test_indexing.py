"""Section 2 of the semantics: every way to index a ref, and chains of transforms, on every kind of access."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from pallas_oracle import assert_same, check, interpreted, ints, run, run_with, sds

from pallas_np.options import Options

CLAMP = Options(out_of_bounds="clamp")

X = ints(4, 6, 8)
INDEX = np.int32([3, 1, 3])


def reading(read: Any, *args: Any) -> tuple[Any, Any]:
    """A kernel that answers what `read` reads from a ref of X, and the shape of that."""
    shape = jax.eval_shape(lambda x, *a: jnp.asarray(read(x, *a)), X, *args)

    def kernel(x_ref: Any, *refs: Any) -> None:
        *arg_refs, out_ref = refs
        out_ref[...] = read(x_ref, *(a[...] for a in arg_refs))

    return kernel, shape


READS = {
    "whole": (lambda x: x[...], lambda x: x),
    "integer": (lambda x: x[1], lambda x: x[1]),
    "integers": (lambda x: x[1, 2, 3], lambda x: x[1, 2, 3]),
    "slice": (lambda x: x[1:3, 2:, :5], lambda x: x[1:3, 2:, :5]),
    "strided slice": (lambda x: x[::2, 1::2, 0:7:3], lambda x: x[::2, 1::2, 0:7:3]),
    "dots": (lambda x: x[..., 2:4], lambda x: x[..., 2:4]),
    "dots in the middle": (lambda x: x[1, ..., 2], lambda x: x[1, ..., 2]),
    "ds": (lambda x: x[pl.ds(1, 2), pl.ds(3, 3)], lambda x: x[1:3, 3:6]),
    "strided ds": (lambda x: x[:, pl.ds(1, 3, stride=2)], lambda x: x[:, 1:6:2]),
    "mixed": (lambda x: x[2, pl.ds(1, 2), 3:5], lambda x: x[2, 1:3, 3:5]),
    "at": (lambda x: x.at[1][...], lambda x: x[1]),
    "at of at": (lambda x: x.at[1:3].at[1, 2:5][..., pl.ds(1, 4)], lambda x: x[2, 2:5, 1:5]),
    "at of strided at": (lambda x: x.at[:, pl.ds(1, 2, stride=3)][1:, 1], lambda x: x[1:, 4]),
    "empty slice": (lambda x: x[1:1], lambda x: x[1:1]),
}


def test_reads_with_static_indices() -> None:
    """All in one kernel, since `interpret=True` compiles each for a while."""

    def kernel(x_ref: Any, *out_refs: Any) -> None:
        for (read, _), out_ref in zip(READS.values(), out_refs):
            out_ref[...] = read(x_ref)

    wanted = [numpy(X) for _, numpy in READS.values()]
    got = run(kernel, [sds(w.shape, w.dtype) for w in wanted], X)
    for name, g, w in zip(READS, got, wanted):
        assert np.array_equal(g, w), name


def test_static_reads_agree_with_interpret() -> None:
    names = ["slice", "ds", "mixed", "at of at", "dots in the middle"]

    def kernel(x_ref: Any, *out_refs: Any) -> None:
        for name, out_ref in zip(names, out_refs):
            out_ref[...] = READS[name][0](x_ref)

    check(kernel, [sds(READS[name][1](X).shape, X.dtype) for name in names], X)


ARRAY_READS = {
    "array in front": (lambda x, i: x[i], lambda x, i: x[i]),
    "array in the middle": (lambda x, i: x[:, i], lambda x, i: x[:, i]),
    "array at the end": (lambda x, i: x[..., i], lambda x, i: x[..., i]),
    "array and integer": (lambda x, i: x[1, i], lambda x, i: x[1, i]),
    "two arrays": (lambda x, i: x[i, i + 1], lambda x, i: x[i, i + 1]),
    "arrays apart": (lambda x, i: x[i, :, i + 2], lambda x, i: x[i, :, i + 2]),
    "broadcast": (lambda x, i: x[i[:, None], i[None, :] + 1], lambda x, i: x[i[:, None], i[None, :] + 1]),
    "array and slice": (lambda x, i: x[1:3, i, 2:5], lambda x, i: x[1:3, i, 2:5]),
    "array of at": (lambda x, i: x.at[1:].at[:, i][1], lambda x, i: x[1:][:, i][1]),
}


def test_integer_arrays_put_their_axes_where_numpy_does() -> None:
    def kernel(x_ref: Any, i_ref: Any, *out_refs: Any) -> None:
        for (read, _), out_ref in zip(ARRAY_READS.values(), out_refs):
            out_ref[...] = read(x_ref, i_ref[...])

    wanted = [numpy(X, INDEX) for _, numpy in ARRAY_READS.values()]
    got = run(kernel, [sds(w.shape, w.dtype) for w in wanted], X, INDEX)
    for name, g, w in zip(ARRAY_READS, got, wanted):
        assert np.array_equal(g, w), name


def test_integer_arrays_agree_with_interpret() -> None:
    names = ["array in the middle", "array and integer", "arrays apart", "broadcast"]

    def kernel(x_ref: Any, i_ref: Any, *out_refs: Any) -> None:
        for name, out_ref in zip(names, out_refs):
            out_ref[...] = ARRAY_READS[name][0](x_ref, i_ref[...])

    check(kernel, [sds(ARRAY_READS[name][1](X, INDEX).shape, X.dtype) for name in names], X, INDEX)


def test_integers_in_the_kernels_text_may_count_from_the_end() -> None:
    """As with `interpret=True`; one that is known only at run time must not, since no accelerator counts so."""

    def kernel(x_ref: Any, i_ref: Any, out_ref: Any) -> None:
        out_ref[0] = x_ref[-1]
        out_ref[-1, -3] = x_ref.at[1:3].at[-2][-1]
        out_ref[1, 0:2] = x_ref[pl.ds(1, 2), -2]
        x_ref[-2, -1] += 5
        out_ref[2] = x_ref[2]

    def dynamic(x_ref: Any, i_ref: Any, out_ref: Any) -> None:
        out_ref[0] = x_ref[i_ref[0]]

    x, i = ints(4, 3), np.int32([-1])
    check(kernel, sds((5, 3), x.dtype), x, i)
    with pytest.raises(IndexError, match="index -1 of axis 0 lies outside a ref"):
        run(dynamic, sds((5, 3), x.dtype), x, i)


def test_dynamic_starts() -> None:
    def kernel(x_ref: Any, i_ref: Any, *out_refs: Any) -> None:
        i, j = i_ref[1], i_ref[0]
        out_refs[0][...] = x_ref[i, pl.ds(j, 3)]
        out_refs[1][...] = x_ref.at[pl.ds(i, 3)].at[1, pl.ds(i, 4)][pl.ds(i, 2), j]
        out_refs[2][...] = x_ref[:, i, pl.ds(i, 3, stride=2)]

    check(
        kernel,
        [sds((3, 8), X.dtype), sds((2,), X.dtype), sds((4, 3), X.dtype)],
        X,
        INDEX,
        wanted=[X[1, 3:6], X[1:4][1, 1:5][1:3, 3], X[:, 1, 1:7:2]],
    )


def test_writes_with_every_kind_of_index() -> None:
    """`interpret=True` takes no stride next to integers known at tracing."""

    def kernel(x_ref: Any, i_ref: Any, out_ref: Any) -> None:
        i = i_ref[...]
        out_ref[...] = jnp.zeros_like(out_ref)
        out_ref[0, 1:3] = x_ref[1, 1:3]
        out_ref[pl.ds(i[1], 2), 3] = x_ref[0:2, 0] + 1
        out_ref[3, pl.ds(0, 3, stride=2), 1] = x_ref[0, 0:3, 5]
        out_ref.at[2].at[pl.ds(i[1], 3)][1:, 4:6] = x_ref[0, 0:2, 0:2] + 500
        out_ref[0, jnp.stack([i[1], i[0]]), 7] = x_ref[3, 0:2, 0]

    wanted = np.zeros_like(X)
    wanted[0, 1:3] = X[1, 1:3]
    wanted[1:3, 3] = X[0:2, 0] + 1
    wanted[3, 0:5:2, 1] = X[0, 0:3, 5]
    wanted[2, 1:4][1:, 4:6] = X[0, 0:2, 0:2] + 500
    wanted[0, [1, 3], 7] = X[3, 0:2, 0]
    assert_same(run(kernel, sds(X.shape, X.dtype), X, INDEX), wanted)


def test_swap_through_a_chain_returns_the_old_value() -> None:
    def kernel(x_ref: Any, out_ref: Any, old_ref: Any) -> None:
        out_ref[...] = x_ref[...]
        old_ref[...] = jax.ref.swap(out_ref.at[1:3].at[:, 2], (slice(None), pl.ds(1, 3)), x_ref[0:2, 0, 0:3])

    wanted = X.copy()
    wanted[1:3, 2, 1:4] = X[0:2, 0, 0:3]
    check(kernel, [sds(X.shape, X.dtype), sds((2, 3), X.dtype)], X, wanted=[wanted, X[1:3, 2, 1:4]])


def test_addupdate_through_a_chain() -> None:
    """`interpret=True` adds through one indexer only."""

    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...]
        jax.ref.addupdate(out_ref.at[1:3].at[:, 2], (slice(None), pl.ds(1, 3)), x_ref[0:2, 0, 0:3])

    wanted = X.copy()
    wanted[1:3, 2, 1:4] += X[0:2, 0, 0:3]
    assert_same(run(kernel, sds(X.shape, X.dtype), X), wanted)


def test_addupdate_counts_an_index_for_each_time_it_is_named() -> None:
    def kernel(x_ref: Any, i_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...]
        jax.ref.addupdate(out_ref, (slice(None), i_ref[...], pl.ds(1, 2)), x_ref[:, 0:3, 0:2])

    wanted = X.copy()
    np.add.at(wanted, (slice(None), INDEX, slice(1, 3)), X[:, 0:3, 0:2])
    check(kernel, sds(X.shape, X.dtype), X, INDEX, wanted=wanted)


def test_a_slice_of_an_integer_array_is_written_back() -> None:
    """NumPy has no view of an integer array's elements: the part is changed in a copy and put back."""

    def kernel(x_ref: Any, i_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...]
        out_ref.at[jnp.sort(i_ref[...])[1:] - 1].at[:, 1:3][:, 0] = x_ref[0:2, 5]

    wanted = X.copy()
    wanted[2, 1], wanted[2, 1] = X[0, 5], X[1, 5]
    got = run(kernel, sds(X.shape, X.dtype), X, np.int32([2, 3, 3]))
    assert_same(got, wanted)


# Transforms other than indexers.


def test_bitcast_to_the_same_width() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref.bitcast(jnp.int32)[...]

    x = np.float32([1.5, -0.0, np.inf, 3e-40]).reshape(2, 2)
    check(kernel, sds((2, 2), jnp.int32), x, wanted=x.view(np.int32))


def test_bitcast_to_a_wider_or_narrower_type_packs_the_second_minor_axis() -> None:
    def narrower(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref.bitcast(jnp.int16)[...]

    def wider(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref.bitcast(jnp.uint32)[1:, :]

    x = np.random.default_rng(0).integers(-(2**31), 2**31, (4, 6)).astype(np.int32)
    halves = np.stack([(x & 0xFFFF).astype(np.uint16), (x >> 16).astype(np.uint16)], 1).reshape(8, 6).view(np.int16)
    check(narrower, sds((8, 6), jnp.int16), x, wanted=halves)
    check(wider, sds((3, 6), jnp.uint32), halves, wanted=x.view(np.uint32)[1:])


def test_writes_through_bitcasts() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = jnp.zeros_like(out_ref)
        out_ref.bitcast(jnp.int16)[2:6, 1:3] = x_ref[...]

    x = np.random.default_rng(0).integers(-(2**15), 2**15, (4, 2)).astype(np.int16)
    halves = np.zeros((8, 4), np.int16)
    halves[2:6, 1:3] = x
    words = halves.view(np.uint16).astype(np.uint32).reshape(4, 2, 4)
    wanted = (words[:, 0] | words[:, 1] << 16).view(np.int32)
    assert_same(run(kernel, sds((4, 4), jnp.int32), x), wanted)


def test_reshape() -> None:
    def kernel(x_ref: Any, out_ref: Any, row_ref: Any) -> None:
        out_ref[...] = x_ref.reshape(24, 8)[...]
        row_ref[...] = x_ref.at[1:3].reshape(2, 48)[1, 3:9]

    check(
        kernel,
        [sds((24, 8), X.dtype), sds((6,), X.dtype)],
        X,
        wanted=[X.reshape(24, 8), X[1:3].reshape(2, 48)[1, 3:9]],
    )


def test_writes_through_a_reshape() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = jnp.zeros_like(out_ref)
        out_ref.reshape(24, 8)[5:7] = x_ref[0, 0:2]
        out_ref.at[:, 1:3].reshape(8, 8)[3] = x_ref[1, 1]

    wanted = np.zeros_like(X)
    wanted.reshape(24, 8)[5:7] = X[0, 0:2]
    wanted[1, 2] = X[1, 1]
    assert_same(run(kernel, sds(X.shape, X.dtype), X), wanted)


def test_transpose() -> None:
    """`interpret=True` has no rule for a ref's transpose."""

    def kernel(x_ref: Any, out_ref: Any, written_ref: Any) -> None:
        out_ref[...] = x_ref.transpose((2, 0, 1))[1:3]
        written_ref[...] = jnp.zeros_like(written_ref)
        written_ref.transpose((1, 0))[2] = x_ref[0, 0, 0:4]

    wanted = np.zeros((4, 6), X.dtype)
    wanted[:, 2] = X[0, 0, :4]
    got = run(kernel, [sds((2, 4, 6), X.dtype), sds((4, 6), X.dtype)], X)
    assert_same(got, [X.transpose(2, 0, 1)[1:3], wanted])


def test_a_long_chain_reads_and_writes() -> None:
    def chain(ref: Any) -> Any:
        return ref.at[1:3].reshape(12, 8).at[pl.ds(1, 6, stride=2)].bitcast(jnp.float32)

    def kernel(x_ref: Any, out_ref: Any, read_ref: Any) -> None:
        out_ref[...] = x_ref[...]
        chain(out_ref)[2, 1:4] = jnp.float32(1.0) + x_ref[0, 0, 1:4]
        read_ref[...] = chain(x_ref)[...]

    def numpy_chain(x: np.ndarray) -> np.ndarray:
        return x[1:3].reshape(12, 8)[1::2].view(np.float32)

    wanted = X.copy()
    numpy_chain(wanted)[2, 1:4] = 1 + X[0, 0, 1:4]
    got = run(kernel, [sds(X.shape, X.dtype), sds((6, 8), jnp.float32)], X)
    assert_same(got, [wanted, numpy_chain(X)])


def test_dma_through_a_chain() -> None:
    def kernel(x_ref: Any, out_ref: Any, semaphore: Any) -> None:
        out_ref[...] = jnp.zeros_like(out_ref)
        source = x_ref.at[pl.ds(x_ref[0, 0, 1], 2)].at[:, 2:4].reshape(4, 8).at[1:3]
        pltpu.make_async_copy(source, out_ref.at[3].at[pl.ds(1, 2)], semaphore).start()
        pltpu.make_async_copy(source, out_ref.at[3].at[pl.ds(1, 2)], semaphore).wait()

    wanted = np.zeros_like(X)
    wanted[3, 1:3] = X[1:3, 2:4].reshape(4, 8)[1:3]
    assert_same(run(kernel, sds(X.shape, X.dtype), X, scratch_shapes=[pltpu.SemaphoreType.DMA]), wanted)


def test_a_scratch_ref_of_one_transformed_by_its_name() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        view = x_ref.at[0]
        view[1:] = view[1:] * 2
        out_ref[...] = x_ref[0]

    assert_same(run(kernel, sds((6, 8), X.dtype), X), np.concatenate([X[0, :1], X[0, 1:] * 2]))


# Out of bounds.


def dynamic(read: Any, shape: Any) -> Any:
    def kernel(x_ref: Any, i_ref: Any, out_ref: Any) -> None:
        out_ref[...] = read(x_ref, i_ref[...])

    return kernel, sds(shape, X.dtype)


OUTSIDE = [
    (lambda x, i: x[i[0]], (6, 8)),
    (lambda x, i: x[pl.ds(i[0], 3)], (3, 6, 8)),
    (lambda x, i: x[0, :, pl.ds(i[0], 3)], (6, 3)),
    (lambda x, i: x.at[1:3].at[pl.ds(i[0], 2)][0, 0], (8,)),
]


@pytest.mark.parametrize("start", [-9, -2, 4, 100])
@pytest.mark.parametrize("which", range(len(OUTSIDE)))
def test_an_index_outside_is_an_error_and_clamped_on_request(which: int, start: int) -> None:
    kernel, shape = dynamic(*OUTSIDE[which])
    index = np.int32([start])
    if (which, start) != (2, 4):
        with pytest.raises(IndexError, match="outside a ref of shape"):
            run(kernel, shape, X, index)
    assert_same(run_with(CLAMP, kernel, shape, X, index), interpreted(kernel, shape, X, index))


def test_integer_arrays_outside_are_an_error_and_clamped_on_request() -> None:
    kernel, shape = dynamic(lambda x, i: x[i], (4, 6, 8))
    index = np.int32([-1, 7, 2, -9])
    with pytest.raises(IndexError, match=r"index \[-1  7  2 -9\] of axis 0 lies outside a ref of shape \(4, 6, 8\)"):
        run(kernel, shape, X, index)
    assert_same(run_with(CLAMP, kernel, shape, X, index), interpreted(kernel, shape, X, index))


@pytest.mark.parametrize("start", [-3, 2, 9])
def test_writes_outside_are_an_error_and_clamped_on_request(start: int) -> None:
    def kernel(x_ref: Any, i_ref: Any, out_ref: Any) -> None:
        out_ref[...] = jnp.zeros_like(out_ref)
        out_ref[pl.ds(i_ref[0], 3)] = x_ref[0:3]

    index = np.int32([start])
    with pytest.raises(IndexError, match=r"elements .* of axis 0 lie outside a ref"):
        run(kernel, sds(X.shape, X.dtype), X, index)
    want = interpreted(kernel, sds(X.shape, X.dtype), X, index)
    assert_same(run_with(CLAMP, kernel, sds(X.shape, X.dtype), X, index), want)
