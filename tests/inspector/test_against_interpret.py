"""A recording against `interpret=True`, equation by equation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from recorded_kernels import matmul_arrays, matmul_call, sum_rows_call

import pallas_np
from pallas_np import Recording, phase5, record
from pallas_np.frontend.primitives import lax_primitive

I32 = jnp.int32


def waves(x_ref: Any, out_ref: Any) -> None:
    @pl.loop(0, 2)
    def _(i: Any) -> None:
        row = jnp.where(x_ref[i] > 0, x_ref[i], -x_ref[i])
        out_ref[i] = jnp.maximum(row, 1) * 2


def waves_call() -> Any:
    spec = pl.BlockSpec((2, 4), lambda i: (i, 0))
    return pl.pallas_call(waves, jax.ShapeDtypeStruct((6, 4), I32), grid=(3,), in_specs=[spec], out_specs=spec)


X = np.arange(-12, 12, dtype=np.int32).reshape(6, 4)


def test_the_same_is_no_difference_with_something_installed_too() -> None:
    recording = record(waves_call())(X)
    assert recording.first_difference_from_interpret() is None
    with pallas_np.installed():
        assert recording.first_difference_from_interpret() is None
    assert record(matmul_call())(*matmul_arrays()).first_difference_from_interpret(rtol=1e-5, atol=1e-6) is None
    assert record(sum_rows_call())(np.ones((3, 4), np.float32)).first_difference_from_interpret() is None


def test_a_wrong_rule_is_found_at_its_equation_inside_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(x: Any, y: Any) -> Any:
        return np.where(x == 7, 8, np.maximum(x, y))

    monkeypatch.setitem(phase5.numpy_rules, lax_primitive("max"), wrong)  # type: ignore[arg-type]
    difference = record(waves_call())(X).first_difference_from_interpret()
    assert difference is not None and difference.here is not None
    assert difference.here.primitive == "max" and difference.here.step.index == (0,)
    assert difference.value_here is not None and difference.value_there is not None
    assert (difference.value_here[difference.index], difference.value_there[difference.index]) == (8, 7)
    assert difference.here.line is not None and "jnp.maximum" in difference.here.line.text
    assert "with interpret=True the result" in str(difference)


def test_a_clamped_index_is_where_ours_fails() -> None:
    def outside(i_ref: Any, out_ref: Any) -> None:
        out_ref[...] = jnp.zeros(3, I32)
        out_ref[i_ref[0]] = 1

    recording = record(pl.pallas_call(outside, jax.ShapeDtypeStruct((3,), I32)))(np.int32([7]))
    difference = recording.first_difference_from_interpret()
    assert difference is not None and difference.here is recording.equations[-1]
    assert str(difference).startswith("it fails here, and not with interpret=True")


def test_a_loop_that_interpret_true_runs_otherwise() -> None:
    """Its condition reads a ref that the body writes; `interpret=True` reads what it held before."""

    def count_to_three(out_ref: Any, counter_ref: Any) -> None:
        counter_ref[0] = 0

        def turn(turns: Any) -> Any:
            counter_ref[0] = counter_ref[0] + 1
            return turns + 1

        out_ref[0] = jax.lax.while_loop(lambda turns: (counter_ref[0] < 3) & (turns < 20), turn, jnp.int32(0))

    call = pl.pallas_call(count_to_three, jax.ShapeDtypeStruct((1,), I32), scratch_shapes=[pltpu.SMEM((1,), I32)])
    difference = record(call)().first_difference_from_interpret()
    assert difference is not None and "with interpret=True" in difference.what


def test_dynamic_grid_bounds() -> None:
    def run(n: Any) -> Any:
        spec = pl.BlockSpec((2, 4), lambda i: (i, 0))
        shape = jax.ShapeDtypeStruct((6, 4), I32)
        return pl.pallas_call(waves, shape, grid=(n,), in_specs=[spec], out_specs=spec)(X)

    recording = record(jax.jit(run))(np.int32(3))
    assert recording.error is None and recording.launches[0].grid == (3,)
    assert recording.first_difference_from_interpret() is None


def test_what_is_not_known_is_said(tmp_path: Path) -> None:
    recording = record(waves_call())(X)
    with pytest.raises(ValueError, match="results of interpret=True were cut, at 100 bytes"):
        recording.first_difference_from_interpret(max_bytes=100)
    with pytest.raises(ValueError, match="no difference was found in what the recording has, but cut: no values"):
        record(waves_call(), max_bytes=600)(X).first_difference_from_interpret()
    loaded = Recording.load(recording.save(tmp_path / "waves.pnrec"))
    with pytest.raises(ValueError, match="no kernel to run"):
        loaded.first_difference_from_interpret()


def test_a_mesh_is_refused() -> None:
    def body(out_ref: Any) -> None:
        out_ref[jax.lax.axis_index("core")] = 1

    mesh = pltpu.create_tensorcore_mesh("core", num_cores=2)
    recording = record(lambda: pl.kernel(body, jax.ShapeDtypeStruct((2,), I32), mesh=mesh)())()
    assert recording.error is None
    with pytest.raises(pallas_np.UnsupportedError, match="mesh of cores"):
        recording.first_difference_from_interpret()
