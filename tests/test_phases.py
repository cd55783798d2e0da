"""What holds for every phase: the small kernels, `jit` and `vmap`, and the faults that must not come back."""

from __future__ import annotations

import itertools
import subprocess
import sys
import textwrap
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from pallas_np import kernels, phase2, phase3, phase4, phase5
from pallas_np.frontend import primitives

rng = np.random.default_rng(0)


def test_add_in_ragged_blocks(phase: ModuleType) -> None:
    x, y = rng.standard_normal((2, 100)).astype(np.float32)
    got = kernels.add(jnp.asarray(x), jnp.asarray(y), pallas_call=phase.pallas_call, block=32)
    np.testing.assert_array_equal(got, x + y)


def test_scale(phase: ModuleType) -> None:
    x = jnp.arange(12, dtype=jnp.float32).reshape(3, 4)
    np.testing.assert_array_equal(kernels.scale(x, 3.0, pallas_call=phase.pallas_call), x * 3)


def test_matmul_over_three_axes(phase: ModuleType) -> None:
    x, y = rng.standard_normal((32, 48)), rng.standard_normal((48, 64))
    x, y = jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)
    got = kernels.matmul(x, y, pallas_call=phase.pallas_call, block=(16, 32, 16))
    np.testing.assert_allclose(got, np.asarray(x, np.float64) @ np.asarray(y, np.float64), rtol=1e-5, atol=1e-5)


def test_matmul_refuses_blocks_that_do_not_divide() -> None:
    with pytest.raises(ValueError, match="must divide"):
        kernels.matmul(jnp.ones((12, 8)), jnp.ones((8, 8)), pallas_call=phase5.pallas_call, block=(8, 8, 8))


def test_softmax_of_rows(phase: ModuleType) -> None:
    x = jnp.asarray(rng.standard_normal((5, 16)), jnp.float32)
    got = kernels.softmax(x, pallas_call=phase.pallas_call)
    np.testing.assert_allclose(got, jax.nn.softmax(x, axis=1), rtol=2e-6)


def test_under_jit(phase: ModuleType) -> None:
    keys = jnp.asarray(rng.standard_normal((9, 16)), jnp.float32)
    sort = jax.jit(lambda x: kernels.bitonic_sort(x * 2, pallas_call=phase.pallas_call) + 1)
    np.testing.assert_array_equal(sort(keys), np.sort(np.asarray(keys) * 2, axis=1) + 1)


def test_under_vmap(phase: ModuleType) -> None:
    keys = jnp.asarray(rng.standard_normal((3, 9, 8)), jnp.float32)
    got = jax.vmap(lambda x: kernels.bitonic_sort(x, pallas_call=phase.pallas_call))(keys)
    np.testing.assert_array_equal(got, np.sort(keys, axis=2))


def test_jit_of_several_calls_in_a_loop(phase: ModuleType) -> None:
    @jax.jit
    def repeatedly(x: Any) -> Any:
        return jax.lax.fori_loop(0, 3, lambda _, x: kernels.scale(x, 2.0, pallas_call=phase.pallas_call), x)

    np.testing.assert_array_equal(repeatedly(jnp.arange(4.0)), np.arange(4.0) * 8)


def test_answers_are_jax_arrays_and_python_numbers_are_taken(phase: ModuleType) -> None:
    def kernel(x_ref: Any, y_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] * y_ref[...]

    call = phase.pallas_call(kernel, out_shape=jax.ShapeDtypeStruct((), jnp.float32))
    out = call(2.0, 3.5)
    assert isinstance(out, jax.Array) and out.dtype == jnp.float32 and out == 7


def test_outputs_may_be_a_pytree(phase: ModuleType) -> None:
    def kernel(x_ref: Any, outs: Any) -> None:
        outs["twice"][...] = x_ref[...] * 2
        outs["thrice"][...] = x_ref[...] * 3

    shape = jax.ShapeDtypeStruct((4,), jnp.int32)
    call = phase.pallas_call(lambda x, o: kernel(x, o), out_shape={"twice": shape, "thrice": shape})
    out = call(jnp.arange(4))
    np.testing.assert_array_equal(out["twice"], np.arange(4) * 2)
    np.testing.assert_array_equal(out["thrice"], np.arange(4) * 3)


def test_get_returns_a_copy(phase: ModuleType) -> None:
    """A view would show what is written after the read: the fault that turns a sort into many copies of one value."""

    def swap_halves(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...]
        left = out_ref[0:2]
        right = out_ref[2:4]
        out_ref[0:2] = right
        out_ref[2:4] = left

    call = phase.pallas_call(swap_halves, out_shape=jax.ShapeDtypeStruct((4,), jnp.int32))
    np.testing.assert_array_equal(call(jnp.arange(4)), [2, 3, 0, 1])


def test_the_whole_ref_is_copied_too(phase: ModuleType) -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...]
        before = out_ref[...]
        out_ref[...] = before + 1
        out_ref[...] = out_ref[...] * 10 + before

    call = phase.pallas_call(kernel, out_shape=jax.ShapeDtypeStruct((3,), jnp.int32))
    np.testing.assert_array_equal(call(jnp.arange(3)), [10, 21, 32])


def test_integer_and_is_bitwise(phase: ModuleType) -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = (x_ref[...] & 6) | (~x_ref[...] & 1)

    call = phase.pallas_call(kernel, out_shape=jax.ShapeDtypeStruct((8,), jnp.int32))
    np.testing.assert_array_equal(call(jnp.arange(8)), (np.arange(8) & 6) | (~np.arange(8) & 1))


def test_scratch_lives_from_one_program_to_the_next(phase: ModuleType) -> None:
    def running_sum(x_ref: Any, out_ref: Any, sum_ref: Any) -> None:
        @pl.when(pl.program_id(0) == 0)
        def _() -> None:
            sum_ref[...] = jnp.zeros_like(sum_ref)

        sum_ref[...] += x_ref[...]
        out_ref[...] = sum_ref[...]

    spec = pl.BlockSpec((1, 4), lambda i: (i, 0))
    call = phase.pallas_call(
        running_sum,
        out_shape=jax.ShapeDtypeStruct((5, 4), jnp.int32),
        grid=(5,),
        in_specs=[spec],
        out_specs=spec,
        scratch_shapes=[pltpu.VMEM((1, 4), jnp.int32)],
    )
    x = np.arange(20, dtype=np.int32).reshape(5, 4)
    np.testing.assert_array_equal(call(jnp.asarray(x)), np.cumsum(x, axis=0))


def test_squeezed_blocks_and_swapped_axes(phase: ModuleType) -> None:
    def transpose(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...].T

    call = phase.pallas_call(
        transpose,
        out_shape=jax.ShapeDtypeStruct((2, 6, 4), jnp.int32),
        grid=(2, 3, 2),
        in_specs=[pl.BlockSpec((None, 2, 2), lambda b, i, j: (b, j, i))],
        out_specs=pl.BlockSpec((None, 2, 2), lambda b, i, j: (b, i, j)),
    )
    x = np.arange(48, dtype=np.int32).reshape(2, 4, 6)
    np.testing.assert_array_equal(call(jnp.asarray(x)), x.transpose(0, 2, 1))


def test_the_callers_arrays_stay_as_they_were(phase: ModuleType) -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        x_ref[...] = x_ref[...] + 1
        out_ref[...] = x_ref[...]

    x = np.arange(4, dtype=np.int32)
    on_device = jnp.asarray(x)
    out = phase.pallas_call(kernel, out_shape=jax.ShapeDtypeStruct((4,), jnp.int32))(on_device)
    np.testing.assert_array_equal(out, [1, 2, 3, 4])
    np.testing.assert_array_equal(on_device, [0, 1, 2, 3])


def test_dynamic_slices_of_a_ref_in_a_loop(phase: ModuleType) -> None:
    def reverse_blocks(x_ref: Any, out_ref: Any) -> None:
        @pl.loop(0, 4)
        def _(i: Any) -> None:
            out_ref[pl.ds(2 * i, 2)] = x_ref[pl.ds(6 - 2 * i, 2)]

    call = phase.pallas_call(reverse_blocks, out_shape=jax.ShapeDtypeStruct((8,), jnp.int32))
    np.testing.assert_array_equal(call(jnp.arange(8)), [6, 7, 4, 5, 2, 3, 0, 1])


def test_a_callable_traces_once_for_each_shape() -> None:
    traces = []

    def kernel(x_ref: Any, out_ref: Any) -> None:
        traces.append(x_ref.shape)
        out_ref[...] = x_ref[...]

    call = phase5.pallas_call(kernel, out_shape=jax.ShapeDtypeStruct((4,), jnp.int32))
    for _ in range(3):
        call(jnp.arange(4))
    assert traces == [(4,)]


@pytest.mark.parametrize("module", [phase2, phase3, phase4, phase5])
def test_no_warning_reaches_the_user(module: ModuleType, recwarn: pytest.WarningsRecorder) -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = jnp.log(x_ref[...]) / x_ref[...] + jnp.exp(x_ref[...] * 1e30)

    with np.errstate(all="raise"):
        call = module.pallas_call(kernel, out_shape=jax.ShapeDtypeStruct((3,), jnp.float32))
        call(jnp.array([0.0, -1.0, 1.0]))
        assert np.geterr()["divide"] == "raise"
    assert not recwarn.list


@pytest.mark.parametrize("module", [phase2, phase3])
def test_early_phases_say_that_program_id_in_a_loop_is_beyond_them(module: ModuleType) -> None:
    def kernel(out_ref: Any) -> None:
        out_ref[...] = jax.lax.fori_loop(0, 3, lambda _, x: x + pl.program_id(0), jnp.int32(0))

    call = module.pallas_call(kernel, out_shape=jax.ShapeDtypeStruct((), jnp.int32), grid=(1,))
    with pytest.raises(NotImplementedError, match=r"program_id has no meaning.*use phase 4"):
        call()


@pytest.mark.parametrize("module", [phase4, phase5])
def test_program_id_in_a_loop(module: ModuleType) -> None:
    def kernel(out_ref: Any) -> None:
        out_ref[0] = jax.lax.fori_loop(0, 3, lambda _, x: x + pl.program_id(0), jnp.int32(0))

    call = module.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((4,), jnp.int32),
        grid=(4,),
        out_specs=pl.BlockSpec((1,), lambda i: (i,)),
    )
    np.testing.assert_array_equal(call(), [0, 3, 6, 9])


@pytest.mark.parametrize("module", [phase2, phase3, phase4])
def test_early_phases_say_that_prefetch_is_beyond_them(module: ModuleType) -> None:
    def kernel(index_ref: Any, x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...]

    spec = pl.BlockSpec((1,), lambda i, index_ref: (index_ref[i],))
    call = module.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((4,), jnp.int32),
        grid_spec=pltpu.PrefetchScalarGridSpec(num_scalar_prefetch=1, grid=(4,), in_specs=[spec], out_specs=spec),
    )
    with pytest.raises(NotImplementedError, match=r"scalar prefetch.*phase 5 does"):
        call(jnp.arange(4), jnp.arange(4))


@pytest.mark.parametrize("module", [phase2, phase3, phase4, phase5])
def test_a_block_outside_its_array_is_an_error(module: ModuleType) -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...]

    call = module.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((4,), jnp.int32),
        grid=(2,),
        in_specs=[pl.BlockSpec((2,), lambda i: (i + 1,))],
        out_specs=pl.BlockSpec((2,), lambda i: (i,)),
    )
    with pytest.raises(IndexError, match=r"x_ref puts a block of shape \(2,\) at \(4,\), outside"):
        call(jnp.arange(4))


def test_phase5_names_a_primitive_it_does_not_have() -> None:
    jaxpr = jax.make_jaxpr(lambda x: x + 1)(1)
    with pytest.raises(NotImplementedError, match=r"(?s)primitive add is not supported.*test_phases\.py"):
        phase5.eval_jaxpr(jaxpr.jaxpr, jaxpr.consts, 1, rules={})


def test_the_tables_grow_and_the_first_is_empty() -> None:
    from pallas_np import phase1

    tables = [set(m.numpy_rules) for m in (phase1, phase2, phase3, phase4, phase5)]
    assert not tables[0]
    assert all(before < after for before, after in itertools.pairwise(tables))
    assert not any(isinstance(p, primitives.Missing) and p.name in ("add", "get", "scan") for p in tables[-1])


def test_phase5_compiles_nothing_at_run_time() -> None:
    """In a fresh process in which any compilation raises, phase 5 runs the book's kernels, sort included."""
    program = textwrap.dedent("""
        import jax, jax.numpy as jnp, numpy as np
        from pallas_np import kernels, phase5

        rng = np.random.default_rng(0)
        keys = jax.device_put(rng.standard_normal((13, 64)).astype(np.float32))
        square = jax.device_put(rng.standard_normal((32, 32)).astype(np.float32))
        order = jax.device_put(np.zeros(1, np.int32))
        down = jax.device_put(np.ones(1, np.int32))
        positions = jax.device_put(np.broadcast_to(np.arange(64, dtype=np.int32), keys.shape).copy())

        from jax._src import compiler
        def refuse(*args, **kwargs):
            raise AssertionError("something was compiled")
        assert hasattr(compiler, "compile_or_get_cached")
        compiler.compile_or_get_cached = refuse
        try:
            jax.jit(lambda x: x + 1)(keys)
        except AssertionError:
            pass
        else:
            raise SystemExit("the trap does not work")

        p = phase5.pallas_call
        a = np.asarray
        assert (a(kernels.bitonic_sorter(keys.shape, keys.dtype, pallas_call=p)(order, keys)) == np.sort(keys, 1)).all()
        sort_pairs = kernels.bitonic_sorter(keys.shape, keys.dtype, np.int32, pallas_call=p)
        assert (a(sort_pairs(down, keys, positions)[1]) == np.argsort(-a(keys), 1, kind="stable")).all()
        assert (a(kernels.add(down, down, pallas_call=p)) == 2).all()
        assert (a(kernels.scale(keys, 2.0, pallas_call=p)) == a(keys) * 2).all()
        matmul = a(kernels.matmul(square, square, pallas_call=p, block=(16, 16, 8)))
        assert np.allclose(matmul, a(square) @ a(square), atol=1e-4)
        e = np.exp(a(keys) - a(keys).max(1, keepdims=True))
        assert np.allclose(a(kernels.softmax(keys, pallas_call=p)), e / e.sum(1, keepdims=True))
        print("ran")
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "ran", done.stderr
