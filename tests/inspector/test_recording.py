"""Recordings: what they have, their limits, files, and differences."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import pallas as pl
from recorded_kernels import matmul_arrays, matmul_call, sum_rows_call

import pallas_np
from pallas_np import Recording, record
from pallas_np.inspector.recording import Unkept


@pytest.fixture(scope="module")
def recording() -> Recording:
    return record(matmul_call())(*matmul_arrays())


def test_a_recording_has_launches_steps_and_blocks(recording: Recording) -> None:
    (launch,) = recording.launches
    assert (launch.kernel, launch.grid, len(launch.steps)) == ("matmul", (2, 2), 4)
    assert [(o.name, o.role, o.shape) for o in launch.operands] == [
        ("x_ref", "input", (8, 8)),
        ("y_ref", "input", (8, 4)),
        ("out_ref", "output", (8, 4)),
        ("acc_ref", "scratch", (4, 4)),
    ]
    step = launch.steps[2]
    assert step.index == (1, 0)
    assert step.blocks == {"x_ref": ((4, 4), (0, 4)), "y_ref": ((0, 4), (0, 4)), "out_ref": ((4, 4), (0, 4))}


def test_the_result_is_the_functions(recording: Recording) -> None:
    x, y = matmul_arrays()
    np.testing.assert_allclose(recording.result, x @ y, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(recording.launches[0].outputs[0], recording.result)


def test_equations_have_values_lines_and_texts(recording: Recording) -> None:
    x, y = matmul_arrays()
    (product,) = recording.filter(primitive="dot_general", step=(1, 0))
    np.testing.assert_array_equal(product.inputs[0], x[4:, :4])
    np.testing.assert_array_equal(product.inputs[1], y[:4])
    np.testing.assert_allclose(product.outputs[0], x[4:, :4] @ y[:4], rtol=1e-5)
    assert product.line is not None and product.line.text == "acc_ref[...] += x_ref[...] @ y_ref[...]"
    assert product.line.file.endswith("kernels.py") and product.line.function == "matmul"
    assert recording.sources[product.line.file][product.line.number].strip() == product.line.text
    assert "dot_general" in product.site.text


def test_filters_combine(recording: Recording) -> None:
    writes = recording.filter(ref="acc_ref", access="write")
    assert [equation.step.index for equation in writes] == [(0, 0), (0, 0), (0, 1), (1, 0), (1, 0), (1, 1)]
    assert all(equation.accesses[0].ref == "acc_ref" for equation in writes)
    line = writes[1].line
    assert line is not None
    assert {e.primitive for e in recording.filter(line=line.number)} >= {"get", "swap", "dot_general", "add"}
    assert recording.filter(kernel="another") == []
    assert len(list(recording)) == len(recording)


def test_contents_follow_the_writes(recording: Recording) -> None:
    x, y = matmul_arrays()
    first, second = recording.steps[:2]
    before, after = first.contents["acc_ref"], first.contents_after()["acc_ref"]
    assert np.isnan(before).all()
    np.testing.assert_allclose(after, x[:4, :4] @ y[:4], rtol=1e-5)
    np.testing.assert_array_equal(second.contents["acc_ref"], after)
    cleared = recording.filter(ref="acc_ref", access="write", step=(0, 0))[0]
    np.testing.assert_array_equal(first.contents_after(cleared)["acc_ref"], np.zeros((4, 4)))
    with pytest.raises(ValueError, match="does not belong to step"):
        second.contents_after(cleared)


def test_equations_in_a_loop_know_their_parent() -> None:
    recording = record(sum_rows_call())(np.ones((3, 4), np.float32))
    sums = recording.filter(primitive="reduce_sum")
    assert [equation.parent.primitive for equation in sums if equation.parent] == ["scan"] * 3
    assert {equation.depth for equation in sums} == {1}
    assert all("out_ref[" in equation.site.text for equation in recording.filter(ref="out_ref", access="write"))


def test_a_jitted_function_is_recorded_too_after_it_has_run() -> None:
    def double(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] * 2

    ours = pallas_np.pallas_call(double, jax.ShapeDtypeStruct((3,), jnp.int32))
    theirs = pl.pallas_call(double, jax.ShapeDtypeStruct((3,), jnp.int32), interpret=True)
    function = jax.jit(lambda x: ours(x) + theirs(x))
    x = jnp.arange(3)
    function(x)
    recording = record(function)(x)
    assert recording.result.tolist() == [0, 4, 8]
    assert [launch.kernel for launch in recording.launches] == ["double", "double"]
    assert len(recording.filter(primitive="mul")) == 2


def test_nothing_is_watched_afterwards() -> None:
    recording = record(matmul_call())(*matmul_arrays())
    pallas_np.pallas_call(lambda x, o: o.__setitem__(..., x[...]), jax.ShapeDtypeStruct((3,), jnp.int32))(jnp.arange(3))
    assert len(recording.launches) == 1
    with pytest.raises(ValueError, match="interpret mode"):
        matmul_call()(*matmul_arrays())


def test_a_failure_is_kept_with_what_led_to_it() -> None:
    def kernel(i_ref: Any, out_ref: Any) -> None:
        out_ref[0] = jnp.int32(1)
        out_ref[i_ref[0]] = jnp.int32(2)

    call = pl.pallas_call(kernel, jax.ShapeDtypeStruct((3,), jnp.int32))
    for function in (call, jax.jit(call)):
        recording = record(function)(np.int32([7]))
        assert isinstance(recording.error, pallas_np.OutOfBoundsError)
        assert "failed: OutOfBoundsError" in repr(recording)
        assert not recording.equations[-1].ended
        assert [equation.ended for equation in recording.equations[:-1]] == [True] * (len(recording) - 1)
        with pytest.raises(pallas_np.OutOfBoundsError):
            _ = recording.result


def test_values_are_cut_at_the_limit() -> None:
    recording = record(matmul_call(), max_bytes=600)(*matmul_arrays())
    (cut,) = recording.cuts
    assert cut.what == "values" and cut.limit == 600 and "limit of 600 bytes" in str(cut)
    whole = record(matmul_call())(*matmul_arrays())
    assert [e.site.text for e in recording] == [e.site.text for e in whole]
    kept = [value for e in recording for value in e.outputs if isinstance(value, np.ndarray) and value.ndim]
    assert not kept and any(isinstance(value, Unkept) for e in recording for value in e.outputs)
    assert recording.equations[cut.equation].ended
    with pytest.raises(ValueError, match="no values from equation"):
        whole.first_difference(recording)


def test_equations_are_cut_at_the_limit() -> None:
    recording = record(matmul_call(), max_equations=5)(*matmul_arrays())
    assert [equation.number for equation in recording] == [0, 1, 2, 3, 4]
    assert [(cut.what, cut.equation) for cut in recording.cuts] == [("equations", 5)]
    assert recording.launches[0].outputs


def test_arguments_that_change_later_do_not_change_the_recording() -> None:
    x, y = matmul_arrays()
    recording = record(matmul_call())(x, y)
    x[...] = 0
    assert np.abs(recording.launches[0].inputs[0]).max() > 0


# Files.


def assert_same(one: Recording, other: Recording) -> None:
    assert one.first_difference(other) is None
    assert (one.sources, one.cuts) == (other.sources, other.cuts)
    for a, b in zip(one, other, strict=True):
        assert (a.site.text, a.lines, a.depth, a.refs, a.ended) == (b.site.text, b.lines, b.depth, b.refs, b.ended)


def test_a_file_gives_the_recording_back(tmp_path: Path) -> None:
    for name, call, arguments in (
        ("matmul", matmul_call(), matmul_arrays()),
        ("loop", sum_rows_call(), (np.ones((3, 4), np.float32),)),
    ):
        recording = record(call)(*arguments)
        loaded = Recording.load(recording.save(tmp_path / f"{name}.pnrec"))
        assert_same(recording, loaded)
        for a, b in zip(recording.steps, loaded.steps, strict=True):
            assert a.blocks == b.blocks
            for ref, contents in a.contents_after().items():
                np.testing.assert_array_equal(contents, b.contents_after()[ref])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.bool_, jnp.int8, jnp.float8_e4m3fn])
def test_files_have_every_dtype(tmp_path: Path, dtype: Any) -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...]

    recording = record(pl.pallas_call(kernel, jax.ShapeDtypeStruct((4,), dtype)))(jnp.ones(4, dtype))
    loaded = Recording.load(recording.save(tmp_path / "dtype.pnrec"))
    assert loaded.launches[0].outputs[0].dtype == jnp.dtype(dtype)
    assert_same(recording, loaded)


def test_a_cut_and_failed_recording_can_be_saved(tmp_path: Path) -> None:
    recording = record(matmul_call(), max_bytes=2000)(*matmul_arrays())
    loaded = Recording.load(recording.save(tmp_path / "cut.pnrec"))
    assert loaded.cuts == recording.cuts and loaded.result is None
    assert repr(loaded) == repr(recording)


def test_no_file_is_replaced_unasked(tmp_path: Path, recording: Recording) -> None:
    path = recording.save(tmp_path / "one.pnrec")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        recording.save(path)
    recording.save(path, overwrite=True)


def test_a_bad_file_is_an_error_that_names_it(tmp_path: Path, recording: Recording) -> None:
    with pytest.raises(FileNotFoundError):
        Recording.load(tmp_path / "missing.pnrec")
    text = tmp_path / "text.pnrec"
    text.write_text("hello")
    with pytest.raises(ValueError, match=r"text\.pnrec cannot be read as a recording"):
        Recording.load(text)
    other = tmp_path / "other.pnrec"
    with zipfile.ZipFile(other, "w") as file:
        file.writestr("recording.json", '{"format": "pallas_np recording 99"}')
    with pytest.raises(ValueError, match="recording 99"):
        Recording.load(other)
    damaged = recording.save(tmp_path / "damaged.pnrec")
    damaged.write_bytes(damaged.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"damaged\.pnrec cannot be read"):
        Recording.load(damaged)


# Differences.


def doubled(add: float, at: int) -> Any:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        twice = x_ref[...] * 2
        out_ref[...] = jnp.where((jnp.arange(4) == 1) & (pl.program_id(0) == at), twice + add, twice)

    spec = pl.BlockSpec((4,), lambda i: (i,))
    return pl.pallas_call(kernel, jax.ShapeDtypeStruct((12,), jnp.float32), grid=3, in_specs=[spec], out_specs=spec)


def test_the_first_difference_is_where_values_part() -> None:
    x = np.arange(12, dtype=np.float32)
    one, other = (record(doubled(0.5, at))(x) for at in (5, 1))
    difference = one.first_difference(other)
    assert difference is not None and difference.here is not None
    assert "5" in difference.here.site.text and "1" in difference.there.site.text
    difference = one.first_difference(other, compare="writes")
    assert difference is not None and difference.here is not None
    assert difference.here.step.index == (1,) and difference.here.primitive == "swap"
    assert (difference.index, difference.count, difference.largest) == ((1,), 1, 0.5)
    assert "1 of 4 elements differ; the first at (1,): 10.0 and 10.5" in str(difference)


def test_tolerances_and_nan() -> None:
    x = np.array([np.nan, *range(11)], np.float32)
    one, other = (record(doubled(0.5, at))(x) for at in (5, 1))
    assert one.first_difference(record(doubled(0.5, 5))(x)) is None
    assert one.first_difference(other, compare="writes", atol=0.5) is None
    assert one.first_difference(other, compare="writes", rtol=0.01) is not None


def test_other_inputs_are_the_first_difference(recording: Recording) -> None:
    x, y = matmul_arrays()
    difference = recording.first_difference(record(matmul_call())(x, y + 1))
    assert difference is not None and difference.what == "the input y_ref of matmul differs"
    assert difference.count == 32


def test_another_kernel_is_a_difference(recording: Recording) -> None:
    other = record(sum_rows_call())(np.ones((3, 4), np.float32))
    assert "launch 0 is matmul" in str(recording.first_difference(other))


def test_blocks_that_lie_elsewhere_are_named() -> None:
    def copy_call(x_map: Any) -> Any:
        x_spec, out_spec = (pl.BlockSpec((2, 2), index_map) for index_map in (x_map, lambda i, j: (i, j)))
        return pl.pallas_call(
            lambda x_ref, out_ref: out_ref.__setitem__(..., x_ref[...]),
            jax.ShapeDtypeStruct((4, 4), jnp.float32),
            grid=(2, 2),
            in_specs=[x_spec],
            out_specs=out_spec,
        )

    x = np.zeros((4, 4), np.float32)
    one, other = (record(copy_call(x_map))(x) for x_map in (lambda i, j: (i, j), lambda i, j: (j, i)))
    difference = one.first_difference(other)
    assert difference is not None and difference.here is None
    assert "at grid index (0, 1), x_ref sees [0:2, 2:4] of its array, and there [2:4, 0:2]" in str(difference)
