"""What the notebooks stand on: sources read from the package, figures with words, recordings that are true."""

from __future__ import annotations

import re
from typing import Any

import jax
import numpy as np
import pytest
from jax.experimental import pallas as pl

from pallas_np import frontend, phase2, phase3, workbook
from pallas_np.frontend.primitives import get_p
from pallas_np.inspector.text import equation_text, names_in

from .conftest import ROOT

ROW = [7, 2, 5, 0, 6, 3, 1, 4]
STEPS = [(2, 1, [2, 7, 5, 0, 3, 6, 4, 1]), (4, 2, [2, 0, 5, 7, 4, 6, 3, 1])]


def swap_halves(x_ref: Any, out_ref: Any) -> None:
    out_ref[...] = x_ref[...]
    left = out_ref[0:2]
    right = out_ref[2:4]
    out_ref[0:2] = right
    out_ref[2:4] = left


def call_of(kernel: Any, x: np.ndarray, **options: Any) -> frontend.KernelCall:
    function = pl.pallas_call(kernel, out_shape=jax.ShapeDtypeStruct(x.shape, x.dtype), **options)
    traced = frontend.trace(function, x)
    assert traced is not None
    return traced.call


@phase3.structure
def get_a_view(interp: Any, eqn: Any, ref: np.ndarray, *indices: Any) -> np.ndarray:
    return phase3.transformed(ref, eqn.params["transforms"], indices)


@pytest.mark.parametrize("name", ["get", "numpy_rules", "Interpreter", "Interpreter.run_grid"])
def test_source_is_what_the_module_has(name):
    source = workbook.source(phase3, name)
    assert name.split(".")[-1] in source
    compile(source, name, "exec")


def test_source_of_a_rule_shows_its_decorator():
    assert workbook.source(phase3, "get").startswith("@structure\n")


def test_source_of_nothing_is_an_error():
    with pytest.raises(LookupError, match="defines no nothing"):
        workbook.source(phase3, "nothing")


def test_shown_source_names_its_file_without_the_machine():
    assert str(workbook.show(phase3, "get")).startswith("`pallas_np/phase3/__init__.py`")


def test_diff_has_lines_of_both():
    shown = str(workbook.diff(phase2, phase3, "Interpreter.run_grid"))
    assert "\n- " in shown and "\n+ " in shown


@pytest.mark.parametrize("phase", [2, 3, 4, 5])
def test_changes_count_the_equations_that_move(phase):
    shown = str(workbook.changes(phase))
    moved = int(re.search(r"move to NumPy: (\d+)", shown)[1])
    assert moved == sum(map(int, re.findall(r"× (\d+)", shown)))


@pytest.mark.parametrize("phase", [2, 3, 4, 5])
def test_changes_show_each_method_written_anew_line_by_line(phase):
    shown = str(workbook.changes(phase))
    anew = re.search(r"Methods of `Interpreter` written anew\*\*: (.*)\.", shown)
    names = re.findall(r"`(\w+)`", anew[1]) if anew else []
    assert re.findall(r"<summary><code>(\w+)</code>", shown) == names
    for name, difference in zip(names, re.findall(r"```diff\n(.*?)```", shown, re.DOTALL), strict=True):
        assert f"def {name}(" in difference and re.search(r"^[+-] ", difference, re.MULTILINE)


def test_every_equation_of_the_sort_has_one_owner():
    jaxpr = workbook.sort_kernel().jaxpr
    for rules in ({}, phase2.numpy_rules, phase3.numpy_rules):
        by_numpy, by_jax = workbook.equations_by(jaxpr, rules)
        assert by_numpy.total() + by_jax.total() == workbook.equations_by(jaxpr, {})[1].total()


def test_network_figure_says_what_it_shows():
    figure = str(workbook.network_figure(ROW, STEPS, "A caption."))
    description = re.search(r'aria-label="([^"]*)"', figure)[1]
    assert "The row 7 2 5 0 6 3 1 4 goes in" in description
    assert "2 0 5 7 4 6 3 1" in description
    assert "<figcaption" in figure and "A caption." in figure


def test_grid_figure_follows_the_index_maps():
    x = np.arange(8, dtype=np.int32)
    block = pl.BlockSpec((4,), lambda i: (1 - i,))
    call = call_of(
        lambda x_ref, out_ref: out_ref.__setitem__(..., x_ref[...]), x, grid=(2,), in_specs=[block], out_specs=block
    )
    description = re.search(r'aria-label="([^"]*)"', str(workbook.grid_figure(call, ["x", "out"], "")))[1]
    assert "program 0: x at 4; out at 4. program 1: x at 0; out at 0" in description


def test_grid_stepper_shows_the_arrays_after_each_program():
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] * 10

    x = np.arange(5, dtype=np.int32)
    block = pl.BlockSpec((2,), lambda i: (i,))
    call = call_of(kernel, x, grid=(3,), in_specs=[block], out_specs=block)
    steps = str(workbook.grid_stepper(call, x)).split('<div class="pnr-step">')[1:]
    assert len(steps) == 3
    last = steps[-1].partition("out_ref[4:6]")[2]
    assert re.findall(r"<td([^>]*)>(.*?)</td>", last) == [
        *(("", text) for text in ("0", "10", "20", "30")),
        (' data-lit="output"', "40"),
    ]


def held_at_the_end(stepper: str) -> dict[str, str]:
    """What refs and values hold in the last picture, by name."""
    last = stepper.split('<div class="pnr-step">')[-1]
    rows = re.findall(r'<th scope="row" rowspan="1">(\w+)</th>(.*?)</tr>', last)
    return {name: " ".join(re.findall(r"<td[^>]*>(.*?)</td>", cells)) for name, cells in rows}


def test_equation_stepper_shows_what_each_equation_left():
    x = np.arange(4, dtype=np.int32)
    held = held_at_the_end(workbook.equation_stepper(call_of(swap_halves, x), x))
    assert held == {"x_ref": "0 1 2 3", "out_ref": "2 3 0 1", "a": "0 1 2 3", "b": "0 1", "c": "2 3"}


def test_equation_stepper_shows_a_value_that_changes_under_the_readers_feet():
    x = np.arange(4, dtype=np.int32)
    rules = {**phase3.numpy_rules, get_p: get_a_view}
    held = held_at_the_end(workbook.equation_stepper(call_of(swap_halves, x), x, rules=rules))
    assert held == {"x_ref": "0 1 2 3", "out_ref": "2 3 2 3", "a": "0 1 2 3", "b": "2 3", "c": "2 3"}
    writes = [access.ref for access in workbook.record(call_of(swap_halves, x), x, rules=rules).equations[4].accesses]
    assert writes == ["out_ref", "b"]


def test_looking_again_finds_what_accesses_tell():
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] * (pl.program_id(0) + 1)

    x = np.arange(1, 5, dtype=np.int32)
    block = pl.BlockSpec((2,), lambda i: (i,))
    call = call_of(kernel, x, grid=(2,), in_specs=[block], out_specs=block)
    told, seen = (workbook.record(call, x, rules=rules) for rules in (None, phase3.numpy_rules))
    np.testing.assert_array_equal(seen.launches[0].outputs[0], [1, 2, 6, 8])
    assert held_at_the_end(told.figure()) == held_at_the_end(seen.figure())


def test_equations_are_written_as_one_would():
    call = call_of(swap_halves, np.arange(4, dtype=np.int32))
    names = names_in(call.jaxpr)
    assert [equation_text(eqn, names) for eqn in call.jaxpr.eqns] == [
        "a = x_ref[...]",
        "out_ref[...] = a",
        "b = out_ref[0:2]",
        "c = out_ref[2:4]",
        "out_ref[0:2] = c",
        "out_ref[2:4] = b",
    ]


def test_stepper_shows_every_step_without_scripts():
    shown = str(workbook.stepper([("first", "<p>a</p>"), ("second", "<p>b</p>")], "A stepper"))
    assert "Step 1 of 2: first" in shown and "Step 2 of 2: second" in shown
    assert 'aria-label="A stepper"' in shown


def test_steppers_on_one_page_have_different_names():
    first, second = (str(workbook.stepper([("a", text)], "A stepper")) for text in "xy")
    assert re.search(r'id="([^"]+)"', first)[1] != re.search(r'id="([^"]+)"', second)[1]


@pytest.mark.parametrize("phase", [1, 2, 3, 4, 5])
def test_each_phase_lists_its_exercises(phase):
    listed = str(workbook.exercises(phase))
    assert f"| {phase}.1 |" in listed
    chapters = ROOT / "book" / "phases"
    links = re.findall(r"\]\(([^)]+)\)", listed)
    assert len(links) >= 5 and all((chapters / link).is_file() for link in links)


def test_measurements_are_shown_side_by_side():
    from pallas_np.phase_benchmark import Measurement

    measured = [
        Measurement(1, 1.0, 0.1, 0.001, True, 0, 10, {"trace": 0.1, "compile": 0.9}),
        Measurement(2, 0.5, 0.1, 0.002, True, 6, 4, {}, compiling=0.3),
    ]
    shown = str(workbook.cost(measured))
    assert "| 2 | 6 | 4 | 100 ms | 300 ms | 100 ms | 500 ms | 2 ms |" in shown
    assert "Cold, phase 2 is 2 times as fast as phase 1." in shown
    assert "Warm, phase 1 is 2 times as fast as phase 2." in shown
    assert "compile 900 ms" in shown
    assert "phase 2: 500 ms, of which tracing 100 ms and compiling 300 ms" in str(workbook.cost_bars(measured))


def test_the_compiler_stands_beside_the_phases():
    from pallas_np.phase_benchmark import Measurement

    phases = (5, workbook.COMPILER)
    measured = [Measurement(phase, 0.7 - phase / 10, 0.0, 1 / phase, True, 10, 0, {}) for phase in phases]
    shown = str(workbook.cost(measured))
    assert "| compiler | 10 | 0 |" in shown and "Warm, the compiler is 1.2 times as fast as phase 5." in shown
    assert ">compiler</text>" in str(workbook.cost_bars(measured))


def test_ratios_are_written_out():
    from pallas_np.phase_benchmark import Measurement

    measured = [Measurement(phase, 1.0, 0.1, warm, True, 0, 1, {}) for phase, warm in ((1, 1e-3), (2, 0.18))]
    assert "Warm, phase 1 is 180 times as fast as phase 2." in str(workbook.cost(measured))


def test_charts_name_their_series():
    chart = str(workbook.line_chart({"ours": [(1, 10.0), (4, 20.0)]}, "programs", "time", "A caption."))
    assert "ours: 10 at 1, 20 at 4" in chart


def test_bars_of_ratios_go_left_where_something_is_slower():
    figure = str(workbook.ratio_bars({"softmax": 50.0, "copy": 0.25}, "A caption."))
    assert "softmax: 50; copy: 0.25" in figure
    (slow,) = re.findall(r'class="f2" x="([\d.]+)" y="\d+" width="([\d.]+)"', figure)
    (fast,) = re.findall(r'class="f1" x="([\d.]+)"', figure)
    assert float(slow[0]) + float(slow[1]) == pytest.approx(float(fast), abs=0.2)


def test_who_runs_counts_what_the_tables_say():
    description = re.search(r'aria-label="([^"]*)"', str(workbook.who_runs(1, 5)))[1]
    assert "phase 1: 0 by NumPy" in description and "0 by JAX" in description.rpartition("phase 5")[2]


def test_rows_are_drawn_and_said():
    rows = [workbook.Row("x", np.array([1.5, np.nan])), workbook.Row("bits", ["a", "b"], (1,), at=1)]
    shown = str(workbook.rows_figure(rows, "A caption."))
    assert 'aria-label="x: 1.5 NaN; bits: a b, marked at 1."' in shown
    assert shown.count("<rect") == 4 and shown.count('<rect class="f2"') == 1
