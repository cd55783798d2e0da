"""Kernels that random testing found, and what the comparison itself must notice."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from random_kernel import ENGINES, Kernel, assert_same, check

import pallas_np
from pallas_np import phase5
from pallas_np.frontend.primitives import lax_primitive
from pallas_np.options import Options

LOOP_OVER_BLOCKS = Kernel("""
def kernel(s0, x0, x1, o0, c0):
    i = pl.program_id(0)
    j = pl.program_id(1)
    @pl.when((i == 0) & (j == 0))
    def first1():
        c0[...] = jnp.full((2, 2), 1, jnp.int32)
    v1 = x0[...]
    def body4(step2, carry3):
        return carry3 - v1.astype(jnp.int32) * step2
    v5 = lax.fori_loop(0, jnp.clip(s0[j], 0, 3), body4, c0[...])
    c0[pl.ds(jnp.clip(i, 0, 1), 1), :] = v5[:1]
    v6 = jnp.where(x1[...] > 0, v5, jnp.sort(v5, axis=0, descending=True))
    o0[...] += jnp.resize(v6, (2, 1))

call = dict(
    out_shape=[jax.ShapeDtypeStruct((4, 3), jnp.int32)],
    grid_spec=pltpu.PrefetchScalarGridSpec(
        num_scalar_prefetch=1,
        grid=(2, 3),
        in_specs=[
            pl.BlockSpec((2, 2), lambda i, j, s0: (i, s0[j])),
            pl.BlockSpec((None, 2, 2), lambda i, j, s0: (j, i, 0)),
        ],
        out_specs=[pl.BlockSpec((2, 1), lambda i, j, s0: (i, j))],
        scratch_shapes=[pltpu.VMEM((2, 2), jnp.int32)],
    ),
)
inputs = [indices((3,), 2), small((3, 4), jnp.float32, 4), anything((3, 4, 2), jnp.bfloat16)]
tolerances = [0]
""")


def test_a_kernel_with_a_bit_of_everything() -> None:
    check(LOOP_OVER_BLOCKS)


def test_a_grid_index_that_is_cast_has_the_dtype_that_it_is_cast_to() -> None:
    """The compiled engine took it for int32, and for the dtype of an earlier cast."""
    check(
        Kernel("""
def kernel(o0, o1, o2):
    i = pl.program_id(0)
    o0[...] = jnp.full((2,), 1, jnp.uint16)
    o0[...] += jnp.resize(i.astype(jnp.uint16), (2,))
    o1[...] = jnp.resize((i % 2).astype(jnp.bool_), (2,)) ^ jnp.resize(i.astype(jnp.bool_), (2,))
    o2[...] = jnp.resize(i.astype(jnp.uint8), (2,)) - jnp.resize((i > 0).astype(jnp.uint8), (2,)) * 3
    o2[...] += jnp.resize((i > 0).astype(jnp.int32), (2,)).astype(jnp.uint8)

call = dict(
    out_shape=[jax.ShapeDtypeStruct((6,), dtype) for dtype in (jnp.uint16, jnp.bool_, jnp.uint8)],
    grid=(3,),
    out_specs=[pl.BlockSpec((2,), lambda i: (i,))] * 3,
)
inputs = []
tolerances = [0, 0, 0]
""")
    )


def test_a_grid_index_that_is_cast_to_bool_is_a_bool() -> None:
    """The compiled engine kept the number: True ^ 2 is 3, which is true."""
    check(
        Kernel("""
def kernel(x0, o0):
    i = pl.program_id(0)
    o0[...] = (x0[...] > 0) ^ i.astype(jnp.bool_)

call = dict(
    out_shape=[jax.ShapeDtypeStruct((3,), jnp.bool_)],
    grid=(3,),
    in_specs=[pl.BlockSpec((None,), lambda i: (i,))],
    out_specs=[pl.BlockSpec((None,), lambda i: (i,))],
)
inputs = [anything((3,), jnp.float32)]
tolerances = [0]
""")
    )


def test_a_function_without_a_name_is_called() -> None:
    """The compiled engine took a `jax.checkpoint` of nothing for jnp's `//`, which has two operands."""
    check(
        Kernel("""
def kernel(o0):
    i = pl.program_id(0)
    o0[...] = jax.checkpoint(lambda a: a)(i)

call = dict(
    out_shape=[jax.ShapeDtypeStruct((3,), jnp.int32)],
    grid=(3,),
    out_specs=[pl.BlockSpec((None,), lambda i: (i,))],
)
inputs = []
tolerances = [0]
""")
    )


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_known_beforehand_has_xla_s_values(engine: str) -> None:
    """The compiled engine warned of the division, and kept a denormal.  (XLA's constant folding ends the process.)"""

    def kernel(quotient_ref: Any, product_ref: Any) -> None:
        quotient_ref[...] = lax.div(jnp.full((2,), 5, jnp.int32), jnp.zeros((2,), jnp.int32))
        product_ref[...] = jnp.full((2,), 1e-30, jnp.float32) * jnp.full((2,), 1e-10, jnp.float32)

    shapes = [jax.ShapeDtypeStruct((2,), dtype) for dtype in (jnp.int32, jnp.float32)]
    quotient, product = pallas_np.pallas_call(kernel, out_shape=shapes, options=Options(engine=engine))()
    np.testing.assert_array_equal(quotient, [-1, -1])
    np.testing.assert_array_equal(product, [0, 0])


def test_one_bool_chooses_between_shapes() -> None:
    """The compiled engine did not repeat the chosen case, where the bool itself was still to be repeated."""
    check(
        Kernel("""
def kernel(x0, o0):
    v1 = x0[...]
    v2 = jnp.any(v1, axis=0, keepdims=True)
    o0[...] = jnp.where(v2, v2, v1).reshape(2, 1)

call = dict(out_shape=[jax.ShapeDtypeStruct((2, 1), jnp.bool_)])
inputs = [anything((2,), jnp.bool_)]
tolerances = [0]
""")
    )


def test_programs_that_run_together_roll_by_a_number_that_is_known() -> None:
    """JAX gives the axis of this concatenation as NumPy's integer, which was taken for several axes."""
    check(
        Kernel("""
def kernel(x0, o0):
    o0[...] = jnp.roll(x0[...], 1, 0)

call = dict(
    out_shape=[jax.ShapeDtypeStruct((6, 2), jnp.int32)],
    grid=(2,),
    in_specs=[pl.BlockSpec((3, 2), lambda i: (i, 0))],
    out_specs=[pl.BlockSpec((3, 2), lambda i: (i, 0))],
)
inputs = [anything((6, 2), jnp.int32)]
tolerances = [0]
""")
    )


def test_programs_that_run_together_switch_to_a_branch_that_does_nothing() -> None:
    """What repeats that branch's answer for each program had no equation to take a source line from."""
    check(
        Kernel("""
def kernel(x0, o0):
    i = pl.program_id(0)
    v1 = x0[...] > 0
    v2 = jnp.asarray(i == 1)
    o0[...] = lax.switch(i, [lambda: v2 ^ v1, lambda: v2])

call = dict(
    out_shape=[jax.ShapeDtypeStruct((2,), jnp.bool_)],
    grid=(2,),
    in_specs=[pl.BlockSpec((None,), lambda i: (i,))],
    out_specs=[pl.BlockSpec((None,), lambda i: (i,))],
)
inputs = [anything((3, 2), jnp.float32)]
tolerances = [0]
mapped = (0,)
""")
    )


def test_an_index_past_a_block_is_clamped_to_the_block() -> None:
    """XLA's algebraic simplification reads on in the array: on JAX 0.10 `interpret=True` gives what is behind."""
    check(
        Kernel("""
def kernel(x0, o0):
    i = pl.program_id(0)
    o0[...] = jnp.take(x0[...], i + 1, 0, mode='clip')

call = dict(
    out_shape=[jax.ShapeDtypeStruct((3,), jnp.int8)],
    grid=(3,),
    in_specs=[pl.BlockSpec((2,), lambda i: (i % 2,))],
    out_specs=[pl.BlockSpec((None,), lambda i: (i,))],
)
inputs = [anything((4,), jnp.int8)]
tolerances = [0]
""")
    )


@pytest.mark.parametrize("name", ["sub", "sort", "select_n", "mul"])
def test_a_wrong_rule_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    primitive = lax_primitive(name)
    right = phase5.numpy_rules[primitive]

    def wrong(*args: object, **params: object) -> object:
        answer = right(*args, **params)
        return [a + 1 for a in answer] if primitive.multiple_results else answer + answer.dtype.type(1)

    monkeypatch.setitem(phase5.numpy_rules, primitive, wrong)
    with pytest.raises(AssertionError, match="output 0 of engine 'interpreter'"):
        check(LOOP_OVER_BLOCKS, ["interpreter"])


def test_bits_are_compared_and_every_nan_is_the_same() -> None:
    zeros = np.zeros(2, np.float32)
    with pytest.raises(AssertionError):
        assert_same(zeros, -zeros, 0, "zeros")
    assert_same(zeros, -zeros, 1e-6, "zeros, nearly")
    nan = np.array([0x7FC00000, 0xFFC00001], np.uint32).view(np.float32)
    assert_same(nan, nan[::-1], 0, "NaN")
    for other in (np.zeros(2, np.int32), np.zeros(3, np.float32), np.full(2, 1e-3, np.float32)):
        with pytest.raises(AssertionError):
            assert_same(other, zeros, 1e-4, "not the same")
