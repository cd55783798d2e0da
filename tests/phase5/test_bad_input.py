"""What is wrong with a call or a kernel is said, in words that help: one test for each message."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src.pallas.mosaic import sc_primitives
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jax.experimental.pallas import triton as plgpu
from pallas_oracle import ints, run, sds

from pallas_np import phase5
from pallas_np.options import Options


def copy(x_ref: Any, out_ref: Any) -> None:
    out_ref[...] = x_ref[...]


def test_a_block_outside_its_array() -> None:
    spec = pl.BlockSpec((2,), lambda i: (i + 1,))
    message = r"the index map of out_ref puts a block of shape \(2,\) at \(4,\), outside the array of shape \(4,\)"
    with pytest.raises(IndexError, match=message):
        run(copy, sds(4, jnp.int32), ints(2), grid=(2,), out_specs=spec)


def test_a_negative_block() -> None:
    spec = pl.BlockSpec((2,), lambda i: (i - 1,))
    with pytest.raises(IndexError, match=r"x_ref puts a block of shape \(2,\) at \(-2,\), outside"):
        run(copy, sds(2, jnp.int32), ints(4), grid=(2,), in_specs=[spec])


def test_an_element_block_past_its_padding() -> None:
    spec = pl.BlockSpec((pl.Element(2, (1, 1)),), lambda i: (8 * i,))
    with pytest.raises(IndexError, match=r"puts a block of shape \(2,\) at \(7,\), outside the array of shape \(4,\)"):
        run(copy, sds(2, jnp.int32), ints(4), grid=(2,), in_specs=[spec])


def test_a_bounded_slice_longer_than_its_bound() -> None:
    spec = pl.BlockSpec((pl.BoundedSlice(2),), lambda i: (pl.ds(0, i + 2),))
    with pytest.raises(IndexError, match="the index map asks for a slice of 3 elements, but its bound is 2"):
        run(copy, sds(2, jnp.int32), ints(4), grid=(2,), in_specs=[spec])


def test_a_bounded_slice_outside_its_array() -> None:
    spec = pl.BlockSpec((pl.BoundedSlice(2),), lambda i: (pl.ds(3 + i, 2),))
    with pytest.raises(IndexError, match=r"puts a block of shape \(2,\) at \(3,\), outside"):
        run(copy, sds(2, jnp.int32), ints(4), grid=(1,), in_specs=[spec])


def test_an_index_outside_its_ref_says_where() -> None:
    def kernel(i_ref: Any, x_ref: Any, out_ref: Any) -> None:
        out_ref[0] = x_ref[i_ref[0]]

    with pytest.raises(IndexError, match=r"index 9 of axis 0 lies outside a ref of shape \(4,\)"):
        run(kernel, sds(1, jnp.int32), np.int32([9]), ints(4))


def test_an_atomic_outside_its_ref() -> None:
    def kernel(i_ref: Any, out_ref: Any) -> None:
        plgpu.atomic_add(out_ref, (i_ref[0],), 1)

    with pytest.raises(IndexError, match=r"a lane at index \(5,\), outside a ref of shape \(4,\)"):
        run(kernel, sds(4, jnp.int32), np.int32([5]))


def test_an_index_map_of_the_wrong_length() -> None:
    spec = pl.BlockSpec((2, 2), lambda i: (i,))
    with pytest.raises(ValueError, match=r"must return 2 values|must have as many"):
        run(copy, sds((2, 2), jnp.int32), ints(4, 4), grid=(2,), in_specs=[spec])


def test_an_index_map_that_takes_the_wrong_number_of_indices() -> None:
    spec = pl.BlockSpec((2,), lambda i, j: (i,))
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'j'"):
        run(copy, sds(2, jnp.int32), ints(4), grid=(2,), in_specs=[spec])


def test_scratch_that_is_no_memory() -> None:
    with pytest.raises((TypeError, ValueError, AttributeError)):
        run(copy, sds(2, jnp.int32), ints(2), scratch_shapes=["VMEM"])


def test_a_semaphore_that_is_memory() -> None:
    def kernel(out_ref: Any, scratch: Any) -> None:
        pl.semaphore_signal(scratch)

    with pytest.raises(ValueError, match="Must signal semaphores of the following types"):
        run(kernel, sds(1), scratch_shapes=[pltpu.VMEM((), jnp.float32)])


def test_a_wait_for_a_dma_on_a_plain_semaphore() -> None:
    def kernel(x_ref: Any, out_ref: Any, semaphore: Any) -> None:
        pltpu.make_async_copy(x_ref, out_ref, semaphore).wait()

    with pytest.raises((ValueError, RuntimeError), match="DMA"):
        run(kernel, sds(2, jnp.int32), ints(2), scratch_shapes=[pltpu.SemaphoreType.REGULAR])


def test_blocks_of_the_wrong_rank() -> None:
    with pytest.raises(ValueError, match="same number of dimensions"):
        run(copy, sds(2, jnp.int32), ints(4), grid=(2,), in_specs=[pl.BlockSpec((2, 2), lambda i: (i, 0))])


def test_a_dtype_that_jax_does_not_have() -> None:
    with pytest.raises(TypeError, match=r"is not a valid JAX array type|not a valid JAX type|Cannot interpret"):
        phase5.pallas_call(copy, sds(2))(np.array(["a", "b"]))


def test_gpu_primitives_are_refused_by_name() -> None:
    plmgpu = pytest.importorskip("jax.experimental.pallas.mosaic_gpu", exc_type=ImportError)

    def kernel(x_ref: Any, out_ref: Any) -> None:
        plmgpu.commit_smem()
        out_ref[...] = x_ref[...]

    message = (
        r"(?s)the primitive commit_smem is not supported.* kernel: kernel.*test_bad_input\.py.*plmgpu\.commit_smem\(\)"
    )
    with pytest.raises(NotImplementedError, match=message):
        run(kernel, sds(2, jnp.int32), ints(2))


def test_sparse_core_primitives_are_refused_by_name() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = sc_primitives.masked_cummax_p.bind(x_ref[...], x_ref[...] > 0)

    message = r"(?s)the primitive masked_cummax is not.*test_bad_input\.py.*masked_cummax_p\.bind"
    with pytest.raises(NotImplementedError, match=message):
        run(kernel, sds(16, jnp.int32), ints(16))


def test_primitives_are_told_apart_by_what_they_are_not_by_name() -> None:
    """The SparseCore's `load` is no GPU's masked load, though both have that name."""
    named_load = [p for p in phase5.numpy_rules if p.name == "load"]
    assert sc_primitives.load_p not in phase5.numpy_rules and sc_primitives.load_p.name == "load"
    assert not named_load


def test_inline_assembly_is_refused() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        (out_ref[...],) = plgpu.elementwise_inline_asm(
            "tanh.approx.f32 $0, $1;",
            args=[x_ref[...]],
            constraints="=f,f",
            pack=1,
            result_shape_dtypes=[jax.ShapeDtypeStruct((2,), jnp.float32)],
        )

    with pytest.raises(NotImplementedError, match="elementwise_inline_asm"):
        run(kernel, sds(2), np.ones(2, np.float32))


def test_side_effects_on_what_a_kernel_may_not_touch() -> None:
    ref = jax.new_ref(jnp.zeros(2))

    def kernel(x_ref: Any, out_ref: Any) -> None:
        ref[...] = x_ref[...]

    with pytest.raises(TypeError, match="Ref"):  # JAX's own words
        run(kernel, sds(2), np.ones(2, np.float32))


def test_captured_arrays() -> None:
    table = jnp.arange(4)

    def kernel(out_ref: Any) -> None:
        out_ref[...] = table

    with pytest.raises(ValueError, match=r"captures constants .* You should pass them as inputs"):
        run(kernel, sds(4, jnp.int32))


def test_options_that_do_not_exist() -> None:
    with pytest.raises(ValueError, match="out_of_bounds must be one of 'raise', 'clamp', not 'wrap'"):
        Options(out_of_bounds="wrap")  # type: ignore[arg-type]
