"""Every dtype that a kernel may have, through blocks, memory, arithmetic and reductions."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from pallas_oracle import assert_same, check, ints, run, sds

INTEGERS = [jnp.int4, jnp.uint4, jnp.int8, jnp.uint8, jnp.int16, jnp.uint16, jnp.int32, jnp.uint32]
FLOATS = [jnp.float16, jnp.bfloat16, jnp.float32]
EIGHT_BITS = [jnp.float8_e4m3fn, jnp.float8_e5m2, jnp.float8_e4m3b11fnuz, jnp.float8_e4m3fnuz, jnp.float8_e5m2fnuz]


def values(dtype: Any) -> np.ndarray:
    return (np.arange(10) - (0 if jnp.dtype(dtype).kind == "u" else 4)).astype(dtype)


def name(dtype: Any) -> str:
    return jnp.dtype(dtype).name


def through_memory(x_ref: Any, out_ref: Any, scratch_ref: Any) -> None:
    """A ragged block, by way of scratch, reversed by a loop."""
    scratch_ref[...] = x_ref[...]

    @pl.loop(0, 2)
    def _(i: Any) -> None:
        out_ref[pl.ds(2 * i, 2)] = scratch_ref[pl.ds(2 - 2 * i, 2)]


@pytest.mark.parametrize("dtype", [jnp.bool_, *INTEGERS, *FLOATS, *EIGHT_BITS], ids=name)
def test_every_dtype_goes_through_memory(dtype: Any) -> None:
    x = values(dtype)
    spec = pl.BlockSpec((4,), lambda i: (i,))
    call = {"grid": (3,), "in_specs": [spec], "out_specs": spec, "scratch_shapes": [pltpu.VMEM((4,), dtype)]}
    if dtype == jnp.int16:  # which `interpret=True` takes for semaphores, and pads with zeros
        padded = np.append(x, np.full(2, -(2**15), np.int16))
        assert_same(run(through_memory, sds(12, dtype), x, **call), padded.reshape(3, 2, 2)[:, ::-1].reshape(-1))
    else:
        check(through_memory, sds(12, dtype), x, **call)


def arithmetic(x_ref: Any, out_ref: Any) -> None:
    x = x_ref[...]
    out_ref[0] = x + x
    out_ref[1] = x * x - 1
    out_ref[2] = jnp.where(x > 1, x, jnp.maximum(x, -x))
    out_ref[3] = x // 2 + x % 3
    out_ref[4] = jnp.broadcast_to(x.max(), x.shape)


@pytest.mark.parametrize("dtype", [*INTEGERS[2:], *FLOATS], ids=name)
def test_arithmetic(dtype: Any) -> None:
    check(arithmetic, sds((5, 10), dtype), values(dtype))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16], ids=name)
def test_narrow_floats_accumulate_in_float32(dtype: Any) -> None:
    def kernel(x_ref: Any, out_ref: Any, dot_ref: Any) -> None:
        out_ref[...] = x_ref[...].sum(1)
        dot_ref[...] = x_ref[...] @ x_ref[...].T

    x = np.ones((2, 4096), dtype)
    total, dot = run(kernel, [sds(2, dtype), sds((2, 2), dtype)], x)
    assert_same([total, dot], [np.full(2, 4096, dtype), np.full((2, 2), 4096, dtype)])


@pytest.mark.parametrize("dtype", [jnp.int4, jnp.uint4, *EIGHT_BITS], ids=name)
def test_small_types_convert(dtype: Any) -> None:
    def kernel(x_ref: Any, out_ref: Any, back_ref: Any) -> None:
        out_ref[...] = x_ref[...].astype(jnp.float32) * 2
        back_ref[...] = (x_ref[...].astype(jnp.float32) * 3).astype(dtype)

    check(kernel, [sds(10), sds(10, dtype)], values(dtype))


def test_masks() -> None:
    def kernel(x_ref: Any, out_ref: Any, any_ref: Any) -> None:
        out_ref[...] = ~x_ref[...] | (jnp.arange(10) > 7)
        any_ref[0] = jnp.any(x_ref[...]) & jnp.all(out_ref[...])

    check(kernel, [sds(10, jnp.bool_), sds(1, jnp.bool_)], ints(10) % 2 == 0)


def test_an_int4_dot() -> None:
    def kernel(x_ref: Any, y_ref: Any, out_ref: Any) -> None:
        out_ref[...] = jax.lax.dot(x_ref[...], y_ref[...], preferred_element_type=jnp.int32)

    x = (ints(4, 8) % 15 - 7).astype(ml_dtypes.int4)
    wanted = x.astype(np.int32) @ x.T.astype(np.int32)
    assert_same(run(kernel, sds((4, 4), jnp.int32), x, x.T), wanted)


def test_keys_are_operands() -> None:
    keys = jax.random.split(jax.random.key(3), 4)

    def kernel(keys_ref: Any, out_ref: Any) -> None:
        out_ref[0] = jax.random.bits(keys_ref[pl.program_id(0)], (8,))

    call = {"grid": (4,), "out_specs": pl.BlockSpec((1, 8), lambda i: (i, 0))}
    got = run(kernel, sds((4, 8), jnp.uint32), keys, **call)
    assert_same(got, jax.vmap(lambda key: jax.random.bits(key, (8,)))(keys))
    assert_same(jax.jit(lambda keys: run(kernel, sds((4, 8), jnp.uint32), keys, **call))(keys), got)


def test_wide_types_under_x64() -> None:
    program = textwrap.dedent("""
        import jax; jax.config.update("jax_enable_x64", True)
        import jax.numpy as jnp, numpy as np
        from jax.experimental import pallas as pl
        from pallas_np import phase5

        def kernel(x_ref, out_ref):
            x = x_ref[...]
            out_ref[0] = x + x
            out_ref[1] = x * x - 1
            out_ref[2] = jnp.broadcast_to(x.sum(), x.shape)
            out_ref[3] = x // 3 if not jnp.iscomplexobj(x) else x / 3

        for dtype in (np.int64, np.uint64, np.float64, np.float32, np.complex64, np.complex128):
            x = (np.arange(6) * 1234567 + 3).astype(dtype)
            shape = jax.ShapeDtypeStruct((4, 6), dtype)
            got = np.asarray(phase5.pallas_call(kernel, shape)(x))
            third = x / 3 if np.iscomplexobj(x) else x // 3
            wanted = np.stack([x + x, x * x - 1, np.broadcast_to(x.sum(), x.shape), third]).astype(dtype)
            assert got.dtype == dtype
            assert np.allclose(got, wanted, rtol=1e-6), (dtype, got, wanted)
            if not np.iscomplexobj(x):
                assert (got == np.asarray(pl.pallas_call(kernel, shape, interpret=True)(x))).all(), dtype
        print("same")
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "same", done.stderr
