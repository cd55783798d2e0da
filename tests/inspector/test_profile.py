"""Profiles: where time goes, on a clock that only the kernel moves, and what they show."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from recorded_kernels import matmul_arrays, matmul_call

import pallas_np
from pallas_np import Options, Profile, profile
from pallas_np.frontend import Equation
from pallas_np.frontend import primitives as p
from pallas_np.inspector import profiler
from pallas_np.phase1 import structure

OUT = jax.ShapeDtypeStruct((2,), jnp.int32)


class Clock:
    """Stands still but for `pl.delay`, which takes as many seconds as it says nanoseconds, and the profiler's work."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()

    @structure
    def delay(interp: Any, eqn: Equation, nanoseconds: Any) -> list[Any]:
        clock.now += float(nanoseconds)
        return []

    original = profiler.Profiler.child

    def child(*args: Any) -> Any:
        clock.now += 1000.0
        return original(*args)

    monkeypatch.setattr(profiler, "perf_counter", clock)
    monkeypatch.setitem(profiler.SILENT_RULES, p.delay_p, delay)
    monkeypatch.setattr(profiler.Profiler, "child", child)
    monkeypatch.setattr("pallas_np.inspector.calibrated", lambda: (0.0, 0.0))
    return clock


def of(costs: list[Any], label: str) -> tuple[float, float, int]:
    (cost,) = (cost for cost in costs if cost.label == label)
    return cost.time, cost.total, cost.count


def delaying_in_loops(out_ref: Any) -> None:
    @pl.loop(0, 3)
    def _(i: Any) -> None:
        pl.delay(10)

        @pl.loop(0, 2)
        def _(j: Any) -> None:
            pl.delay(1)

    pl.delay(100 * (pl.program_id(0) + 1))
    out_ref[...] = jnp.zeros(2, jnp.int32)


def delaying_call() -> Any:
    return pl.pallas_call(delaying_in_loops, OUT, grid=(2,), out_specs=pl.BlockSpec((2,), lambda i: (0,)))


def test_time_of_nested_equations_counts_once(clock: Clock) -> None:
    found = profile(delaying_call())()
    assert found.error is None
    each = 3 * (10 + 2)  # the loops of one program
    assert of(found.primitives, "delay") == (2 * each + 300, 2 * each + 300, 2 * (3 + 6 + 1))
    assert of(found.primitives, "scan") == (0, 2 * each, 2 * (1 + 3))  # each loop's body once, loops in loops too
    assert of(found.primitives, "program") == (0, 2 * each + 300, 2)
    assert of(found.primitives, "grid") == (0, found.interpreted, 1)
    assert [(step.index, step.time) for step in found.steps] == [((0,), each + 100), ((1,), each + 200)]


def test_a_lines_total_has_what_it_calls(clock: Clock) -> None:
    found = profile(delaying_call())()
    by_text = {cost.line.text: (cost.time, cost.total) for cost in found.lines if cost.line}
    each = 3 * (10 + 2)
    assert by_text["pl.delay(10)"] == (60, 60)
    assert by_text["@pl.loop(0, 2)"] == (0, 12)
    assert by_text["@pl.loop(0, 3)"] == (0, 2 * each)
    assert by_text["pl.delay(100 * (pl.program_id(0) + 1))"] == (300, 300)
    assert found.lines[0].line is not None and found.lines[0].line.text.startswith("pl.delay(100")


def test_the_profilers_own_time_is_left_out(clock: Clock) -> None:
    found = profile(delaying_call())()
    assert found.interpreted == sum(launch.interpreted for launch in found.launches) == 2 * 3 * 12 + 300
    assert found.overhead == 1000 * sum(entry.count for entry in found.entries)


def test_what_telling_takes_is_taken_off(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pallas_np.inspector.calibrated", lambda: (2.0, 0.5))
    found = profile(delaying_call())()
    assert of(found.primitives, "delay")[0] == 2 * 3 * (10 - 2) + (100 - 2) + (
        200 - 2
    )  # and of those that took 1, nothing
    assert all(entry.time >= 0 for entry in found.entries)


def test_telling_costs_something() -> None:
    assert sum(profiler.calibrated()) > 0


def test_a_kernel_in_a_kernel(clock: Clock) -> None:
    def inner(out_ref: Any) -> None:
        pl.delay(7)
        out_ref[...] = jnp.zeros(2, jnp.int32)

    def outer(out_ref: Any) -> None:
        pl.delay(1)
        out_ref[...] = pl.pallas_call(inner, OUT)()

    found = profile(pl.pallas_call(outer, OUT))()
    assert found.error is None
    first, second = found.launches
    assert (first.kernel, second.kernel, second.engine) == ("outer", "inner", "within outer")
    assert (first.interpreted, second.interpreted, found.interpreted) == (8, 7, 8)
    assert (second.time, first.steps[0].time) == (None, 8)
    assert of(found.primitives, "pallas_call") == (0, 7, 1)


def test_cores_that_wait_for_each_other_share_no_time(clock: Clock) -> None:
    def body(out_ref: Any, ready: Any) -> None:
        core = lax.axis_index("core")

        @pl.when(core == 0)
        def _() -> None:
            pl.semaphore_wait(ready, 1)
            pl.delay(3)
            out_ref[0] = 1

        @pl.when(core == 1)
        def _() -> None:
            pl.delay(50)
            pl.semaphore_signal(ready, 1, core_index=0)

    mesh = pltpu.create_tensorcore_mesh("core", num_cores=2)
    found = profile(lambda: pl.kernel(body, OUT, mesh=mesh, scratch_types=[pltpu.SemaphoreType.REGULAR])())()
    assert found.error is None
    assert [step.time for step in found.steps] == [3, 50]
    assert of(found.primitives, "semaphore_wait")[:2] == (0, 0)


# On the clock of the wall.


@pytest.mark.parametrize("engine", ["compiled", "interpreter"])
def test_a_launch_is_timed_on_its_engine(engine: Any) -> None:
    x, y = matmul_arrays()
    with pallas_np.installed(Options(engine=engine)):
        found = profile(jax.jit(matmul_call()))(x, y)
    np.testing.assert_allclose(found.result, x @ y, rtol=1e-5, atol=1e-6)
    (launch,) = found.launches
    assert (launch.kernel, launch.grid, launch.engine) == ("matmul", (2, 2), f"NumPy, {engine}")
    assert launch.blocks == {"x_ref": (4, 4), "y_ref": (4, 4), "out_ref": (4, 4)}
    assert launch.time is not None and launch.time > 0 < launch.interpreted
    assert (launch.preparation is None) == (engine == "interpreter")
    np.testing.assert_allclose(sum(entry.time for entry in found.entries), launch.interpreted)
    assert sum(step.time for step in launch.steps) < launch.interpreted
    assert sum(step.count for step in launch.steps) == sum(cost.count for cost in found.primitives) - 1 - 4


def test_a_program_is_made_before_the_launch_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    from pallas_np import compiler

    made, running = [], []
    original, run = compiler.Compiled, compiler.Compiled.run
    monkeypatch.setattr(compiler, "Compiled", lambda *args: made.append(len(running)) or original(*args))
    monkeypatch.setattr(original, "run", lambda *args: running.append(1) or run(*args))
    profile(matmul_call())(*matmul_arrays())
    assert (made, running) == ([0], [1])


def test_a_kernel_prints_once(capsys: pytest.CaptureFixture[str]) -> None:
    def kernel(out_ref: Any) -> None:
        jax.debug.print("here")
        out_ref[...] = jnp.zeros(2, jnp.int32)

    profile(pallas_np.pallas_call(kernel, OUT))()
    jax.effects_barrier()
    assert capsys.readouterr().out == "here\n"


def test_a_failure_is_kept_and_raised_by_the_result() -> None:
    def outside(i_ref: Any, out_ref: Any) -> None:
        out_ref[i_ref[0]] = 1

    def both() -> Any:
        matmul_call()(*matmul_arrays())
        return pl.pallas_call(outside, OUT)(np.int32([7]))

    found = profile(both)()
    assert isinstance(found.error, pallas_np.OutOfBoundsError)
    first, second = found.launches
    assert first.time is not None and (second.kernel, second.time) == ("outside", None)
    assert "until it failed" in str(found)
    with pytest.raises(pallas_np.OutOfBoundsError):
        _ = found.result


@pytest.fixture(scope="module")
def of_matmul() -> Profile:
    return profile(matmul_call())(*matmul_arrays())


def test_printed_it_is_a_table(of_matmul: Profile) -> None:
    text = str(of_matmul)
    for word in ("Launches", "By line", "By primitive", "By step", "matmul (1, 0)", "dot_general", "out_ref (4, 4)"):
        assert word in text, word
    assert "acc_ref[...] += x_ref[...] @ y_ref[...]" in text
    assert "By primitive: 2 of 11" in of_matmul.table(rows=2)


def test_a_notebook_has_it_as_tables(of_matmul: Profile) -> None:
    html = of_matmul._repr_html_()
    assert html.count("<table") == 4 and "matmul (0, 1)" in html

    def kernel(out_ref: Any) -> None:
        out_ref[...] = jnp.zeros(2, jnp.int32) + len("<b>")

    assert "<b>" not in profile(pl.pallas_call(kernel, OUT))()._repr_html_()


def test_nothing_ran() -> None:
    found = profile(lambda: 3)()
    assert (found.result, found.launches, found.lines) == (3, [], [])
    assert str(found).startswith("Profile of 0 launches")
    found.plot()


def test_a_plot_has_bars_and_the_grid(of_matmul: Profile, tmp_path: Path) -> None:
    figure = of_matmul.plot(tmp_path / "profile.svg")
    assert (tmp_path / "profile.svg").read_text().startswith("<?xml")
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:3] == ["by line", "by primitive", "by step: matmul on grid (2, 2)"]
    times = figure.axes[2].images[0].get_array()
    np.testing.assert_allclose(times.ravel(), [step.time * 1e3 for step in of_matmul.steps])
    shown = figure._repr_html_()
    assert re.fullmatch(r'<img alt="The time by line[^"]*" style="[^"]*" src="data:image/svg\+xml,[^"<>]+">', shown)
    assert ">by primitive</text>" in unquote(shown)


def test_without_matplotlib_a_plot_says_what_to_install(of_matmul: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pallas_np.inspector.profile_plot", raising=False)
    monkeypatch.delattr(pallas_np.inspector, "profile_plot", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'pallas-np\[bench\]'"):
        of_matmul.plot()
