"""`pallas_np.debug`: one program of the grid in the kernel's own Python, with real values."""

import inspect
import os
import re
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

import pallas_np
from pallas_np.options import Options

X = np.arange(12, dtype=np.float32).reshape(3, 4)
ROW = pl.BlockSpec((1, 4), lambda i: (i, 0))


def call_of(kernel: Any, **more: Any) -> Any:
    options = {"grid": (3,), "in_specs": [ROW], "out_specs": ROW, **more}
    return pallas_np.pallas_call(kernel, jax.ShapeDtypeStruct((3, 4), jnp.float32), **options)


def running_total(x_ref: Any, out_ref: Any, total_ref: Any) -> None:
    step = pl.program_id(0)

    @pl.when(step == 0)
    def clear() -> None:
        total_ref[0] = 0.0

    row = jnp.sum(x_ref[...])
    print("row", step, row)
    total_ref[0] += row
    out_ref[...] = x_ref[...] * total_ref[0]


TOTAL = {"scratch_shapes": [pltpu.VMEM((1,), jnp.float32)]}


def test_print_shows_values_at_the_chosen_index_alone(capsys: pytest.CaptureFixture[str]) -> None:
    got = pallas_np.debug(call_of(running_total, **TOTAL), at=1)(X)
    assert capsys.readouterr().out == "row 1 22.0\n"
    np.testing.assert_array_equal(got, X * np.float32([[6], [28], [66]]))


def test_a_breakpoint_stops_once_with_values(monkeypatch: pytest.MonkeyPatch) -> None:
    stops = []
    monkeypatch.setattr(sys, "breakpointhook", lambda: stops.append(inspect.stack()[1].frame.f_locals))

    def kernel(x_ref: Any, out_ref: Any) -> None:
        double = x_ref[0] * 2
        breakpoint()
        out_ref[0] = double

    got = pallas_np.debug(call_of(kernel), at=(2,))(X)
    np.testing.assert_array_equal(got, X * 2)
    (stop,) = stops
    np.testing.assert_array_equal(stop["double"], X[2] * 2)
    np.testing.assert_array_equal(stop["x_ref"], X[2:])
    assert repr(stop["double"]) == "Array([16., 18., 20., 22.], dtype=float32)"
    assert str(stop["double"]) == "[16. 18. 20. 22.]" and repr(stop["x_ref"]).startswith("Ref([[ 8.,")


SEEN: list[tuple[str, Any]] = []


def everything(x_ref: Any, out_ref: Any) -> None:
    """Each construct of Pallas's that calls a function of the user's."""

    @pl.loop(0, 2)
    def _(i: Any) -> None:
        SEEN.append(("loop", i))
        out_ref[0, i] = x_ref[0, i]

    def body(i: Any, total: Any) -> Any:
        SEEN.append(("fori", i))
        return total + x_ref[0, i] * i.astype(jnp.float32)

    total = lax.fori_loop(1, 3, body, jnp.float32(0))
    total = lax.while_loop(lambda t: t < 100, lambda t: t * 2 + 1, total)
    _, parts = lax.scan(lambda c, x: (c + 1, x + c), jnp.float32(0), x_ref[0])
    first = lax.cond(total > 50, lambda: parts[0], lambda: parts[1])
    kind = lax.switch(pl.program_id(0), [lambda: 1.0, lambda: 2.0, lambda: 3.0])

    def scope(copy_ref: Any, arrived: Any) -> Any:
        copy = pltpu.make_async_copy(x_ref, copy_ref, arrived)
        copy.start()
        copy.wait()
        SEEN.append(("scope", copy_ref[0, 3]))
        return jnp.max(copy_ref[...])

    largest = pl.run_scoped(scope, pltpu.VMEM((1, 4), jnp.float32), arrived=pltpu.SemaphoreType.DMA)
    masked = pltpu.load(x_ref.at[0, pl.ds(0, 4)], mask=jnp.arange(4) < 2) if hasattr(pltpu, "load") else x_ref[0]
    out_ref[0, 2] = total + first + kind
    out_ref[0, 3] = jnp.clip(largest, 0, 8) + masked[0]


def test_loops_conditionals_and_scopes_are_python() -> None:
    call = call_of(everything)
    wanted = np.asarray(call(X))
    for at in range(3):
        np.testing.assert_array_equal(pallas_np.debug(call, at=at)(X), wanted)
        seen = [(name, np.asarray(value).item()) for name, value in SEEN[-5:]]
        assert seen == [("loop", 0), ("loop", 1), ("fori", 1), ("fori", 2), ("scope", X[at, 3])]


def test_a_kernel_that_only_values_can_run_is_run(capsys: pytest.CaptureFixture[str]) -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        if x_ref[0, 0] > 3:
            print(f"{x_ref[0, 0]:.1f}")
        x_ref[...] = x_ref[...] + 1
        out_ref[...] = x_ref[...]

    x = X.copy()
    np.testing.assert_array_equal(pallas_np.debug(call_of(kernel), at=2)(x), X + 1)
    assert capsys.readouterr().out == "8.0\n"
    np.testing.assert_array_equal(x, X)


def test_prefetch_structures_and_partial_kernels() -> None:
    from functools import partial

    def kernel(scale: int, which_ref: Any, inputs: Any, out_ref: Any, extra: Any) -> None:
        extra[...] = inputs["x"][...] * scale
        out_ref[...] = extra[...] + inputs["y"][...] + which_ref[pl.program_id(0)]

    spec = pltpu.PrefetchScalarGridSpec(
        num_scalar_prefetch=1,
        grid=(3,),
        in_specs=[
            {"x": pl.BlockSpec((1, 4), lambda i, which: (which[i], 0)), "y": pl.BlockSpec((1, 4), lambda i, _: (i, 0))}
        ],
        out_specs=pl.BlockSpec((1, 4), lambda i, _: (i, 0)),
        scratch_shapes=[pltpu.VMEM((1, 4), jnp.float32)],
    )
    call = pallas_np.pallas_call(partial(kernel, 10), jax.ShapeDtypeStruct((3, 4), jnp.float32), grid_spec=spec)
    args = np.int32([2, 0, 1]), {"x": X, "y": X}
    wanted = np.asarray(call(*args))
    for at in range(3):
        np.testing.assert_array_equal(pallas_np.debug(call, at=at)(*args), wanted)


def test_a_pipeline_runs() -> None:
    def body(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] * 2

    def kernel(x_ref: Any, out_ref: Any) -> None:
        pltpu.emit_pipeline(body, grid=(3,), in_specs=[ROW], out_specs=[ROW])(x_ref, out_ref)

    whole = pl.BlockSpec(memory_space=pl.ANY)
    call = call_of(kernel, grid=(1,), in_specs=[whole], out_specs=whole)
    with pallas_np.installed():  # the pipeline asks which TPU it runs on
        np.testing.assert_array_equal(pallas_np.debug(call, at=0)(X), X * 2)


def test_a_grid_of_two_axes(capsys: pytest.CaptureFixture[str]) -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        print(pl.program_id(0), pl.program_id(1), pl.num_programs(1), x_ref[...])
        out_ref[...] = -x_ref[...]

    spec = pl.BlockSpec((1, 2), lambda i, j: (i, j))
    call = call_of(kernel, grid=(3, 2), in_specs=[spec], out_specs=spec)
    np.testing.assert_array_equal(pallas_np.debug(call, at=(2, 1))(X), -X)
    assert capsys.readouterr().out == "2 1 2 [[10. 11.]]\n"


def reads_too_far(x_ref: Any, out_ref: Any) -> None:
    column = pl.program_id(0) + 2
    out_ref[0] = jnp.full((4,), x_ref[0, column])


def test_an_error_has_the_kernels_own_frame() -> None:
    with pytest.raises(pallas_np.OutOfBoundsError) as raised:
        pallas_np.debug(call_of(lambda x_ref, out_ref: reads_too_far(x_ref, out_ref)), at=2)(X)
    error = raised.value
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    assert frame.f_code is reads_too_far.__code__ and int(frame.f_locals["column"]) == 4
    assert (error.grid_index, error.primitive, error.source) == (
        (2,),
        "get",
        "out_ref[0] = jnp.full((4,), x_ref[0, column])",
    )
    assert [Path(entry.filename).name for entry in traceback.extract_tb(error.__traceback__)] == [
        Path(__file__).name
    ] * 3


def test_the_options_of_the_call_are_in_force() -> None:
    call = pallas_np.pallas_call(
        reads_too_far,
        jax.ShapeDtypeStruct((3, 4), jnp.float32),
        grid=(3,),
        in_specs=[ROW],
        out_specs=ROW,
        options=Options(out_of_bounds="clamp"),
    )
    wanted = np.repeat(X[[0, 1, 2], [2, 3, 3]][:, None], 4, 1)
    np.testing.assert_array_equal(pallas_np.debug(call, at=2)(X), wanted)


def test_calls_made_while_installed() -> None:
    with pallas_np.installed():
        call = pl.pallas_call(
            reads_too_far, jax.ShapeDtypeStruct((3, 4), jnp.float32), grid=(2,), in_specs=[ROW], out_specs=ROW
        )
        got = pallas_np.debug(call, at=1)(X)
    np.testing.assert_array_equal(np.asarray(got)[:2], [[2] * 4, [7] * 4])


@pytest.mark.parametrize("at", [(), (3,), (-1,), (0, 0)])
def test_an_index_outside_the_grid_is_refused(at: tuple[int, ...]) -> None:
    with pytest.raises(
        ValueError, match=r"is no index of the grid \(3,\): give one integer for each of its axes"
    ) as raised:
        pallas_np.debug(call_of(reads_too_far), at=at)(X)
    assert not isinstance(raised.value, pallas_np.KernelError)


def test_what_is_no_pallas_call_is_refused() -> None:
    with pytest.raises(TypeError, match=r"debug takes what pallas_np\.pallas_call\(\.\.\.\) returned, not function"):
        pallas_np.debug(lambda x: x)


SCRIPT = """
import jax, jax.numpy as jnp, numpy as np, pallas_np
from jax.experimental import pallas as pl

def kernel(x_ref, out_ref):
    step = pl.program_id(0)
    breakpoint()
    doubled = x_ref[...] * 2
    out_ref[...] = doubled + step

spec = pl.BlockSpec((2,), lambda i: (i,))
call = pallas_np.pallas_call(
    kernel, jax.ShapeDtypeStruct((4,), jnp.int32), grid=(2,), in_specs=[spec], out_specs=spec
)
print("answer", pallas_np.debug(call, at=1)(np.arange(4, dtype=np.int32)))
"""


def test_pdb_steps_through_the_kernels_lines(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    typed = "next\nnext\np doubled\np step + 1\ncontinue\n"
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(root)!r}); import runpy; "]
    command[-1] += f"runpy.run_path({str(script)!r})"
    run = subprocess.run(command, input=typed, capture_output=True, text=True, timeout=120)
    assert run.stdout.count("-> doubled = x_ref[...] * 2") == 1, run.stdout + run.stderr
    assert "-> out_ref[...] = doubled + step" in run.stdout and "Array([4, 6], dtype=int32)" in run.stdout
    assert "Array(2, dtype=int32)" in run.stdout and "answer [0 2 5 7]" in run.stdout


@pytest.mark.slow
def test_the_kernels_of_phase_5_give_the_same_in_python() -> None:
    """Each program of each kernel of these tests is called as Python, in a process of its own."""
    here = Path(__file__).parent
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "debug_engine"]
    command += [str(path) for path in sorted((here.parent / "phase5").glob("test_*.py")) if path.stem not in OTHERS]
    for name in NOT_OF_KERNELS:
        command += ["--deselect", name]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parents[1])])}
    run = subprocess.run(command, cwd=here.parents[1], env=environment, capture_output=True, text=True, timeout=280)
    assert run.returncode == 0, run.stdout[-3000:]
    programs = re.search(r"(\d+) programs ran in Python", run.stdout)
    assert programs is not None and int(programs[1]) > 300


OTHERS = ("test_bad_input", "test_errors")
NOT_OF_KERNELS = [
    "tests/phase5/test_memory.py::test_get_global_is_the_same_at_every_step_and_unique_to_its_call",  # it refuses
    "tests/phase5/test_memory.py::test_outputs_reach_jax_without_a_copy",  # looks at what phase 5 returns
]
