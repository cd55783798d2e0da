"""The benchmark suite: its kernels and their twins agree, and a report says what was measured."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import pallas_np
from benchmarks import import_benchmark, measure
from benchmarks import report as reports
from benchmarks.__main__ import main as suite_main
from benchmarks.suite import CASES
from pallas_np import compiler, phase5, phase_benchmark

ROOT = Path(__file__).parent.parent
LARGE = ("copy10000", "copy100000", "matmul1024", "sort1024x128", "sort64x1024", "unrolled_sort", "attention1024")


def cases(*names: str) -> list[Any]:
    return [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in names]


@pytest.mark.parametrize("engine", [phase5, compiler, pallas_np], ids=["phase5", "compiled", "tiered"])
@pytest.mark.parametrize("name", cases(*CASES))
def test_a_kernel_gives_what_its_twin_gives(name: str, engine: Any) -> None:
    case = CASES[name]()
    got = jax.block_until_ready(case.make(engine.pallas_call)(*case.args))
    wanted = case.twin(*(np.asarray(x) for x in case.args))
    assert got.shape == wanted.shape and got.dtype == wanted.dtype
    np.testing.assert_allclose(np.asarray(got), wanted, case.tolerance, case.tolerance)


@pytest.mark.parametrize("name", ["add", "flash_attention", "grouped_matmul"])
def test_a_case_traces_its_kernel_at_the_first_call_of_each_callable(name: str) -> None:
    kernels = []

    def counting(kernel: Any, *args: Any, **options: Any) -> Any:
        def traced(*refs: Any) -> None:
            kernels.append(kernel)
            kernel(*refs)

        return compiler.pallas_call(traced, *args, **options)

    case = CASES[name]()
    first, second = case.make(counting), case.make(counting)
    for call in (first, first, second, second):
        jax.block_until_ready(call(*case.args))
    assert len(kernels) == 2 and kernels[0] is not kernels[1]


@pytest.mark.parametrize("patience, wanted", [(60.0, [3, 3, 3, 3]), (0.0, [3, 3, 5, 5])])
def test_warm_calls_are_the_least_disturbed(
    patience: float, wanted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In turn nothing else runs, something a little, and something all the time; time runs out, or does not."""
    work = itertools.cycle([1.0, 1.7, 1.0, 1.0, 1.7, 1.3])  # before a batch and after it
    durations = itertools.cycle([5, 5, 3, 3, 6, 6])  # of two calls in each batch
    monkeypatch.setattr(measure, "_fixed_work", lambda: next(work))
    monkeypatch.setattr(measure, "seconds", lambda function: function())
    monkeypatch.setattr(measure, "PATIENCE", patience)
    assert measure._least_disturbed(lambda: next(durations), 4, 2) == wanted


@pytest.mark.parametrize("known, wanted", [(None, [4, 4, 4, 4]), ("1.0", [3, 3, 4, 4])])
def test_a_process_that_was_disturbed_from_its_start_on_waits_if_it_knows_better(
    known: str | None, wanted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    work = iter([1.7, 1.7] * 3 + [1.0, 1.0] + [1.7, 1.7] * 40)
    durations = iter([4, 4] * 3 + [3, 3] + [4, 4] * 40)
    clock = itertools.count(0.0, 0.1)
    monkeypatch.setattr(measure, "_fixed_work", lambda: next(work))
    monkeypatch.setattr(measure, "seconds", lambda function: function())
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(clock))
    if known is None:
        monkeypatch.delenv(measure.UNDISTURBED, raising=False)
    else:
        monkeypatch.setenv(measure.UNDISTURBED, known)
    assert measure._least_disturbed(lambda: next(durations), 4, 2) == wanted


@pytest.mark.parametrize("longest, wanted", [(60.0, {4.0, 8.0, 10.0}), (0.0, {0.0})])
def test_cold_calls_are_the_least_disturbed(
    longest: float, wanted: set[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first fresh kernel counts only if its call takes long; every later one is traced in the next even second."""
    work = iter([1.7, 1.7, 1.0, 1.0, 1.0, 1.7, 1.0, 1.0, 1.0, 1.0])  # before a round and after it
    clock = itertools.count(0.0)

    def seconds(function: Any) -> float:
        function()
        return next(clock)

    monkeypatch.setattr(measure, "_fixed_work", lambda: next(work))
    monkeypatch.setattr(measure, "seconds", seconds)
    monkeypatch.setattr(measure, "PATIENCE", 60.0)
    monkeypatch.setattr(measure, "LONG", longest)
    monkeypatch.setattr(measure, "COLD_SECONDS", 0.0)
    rounds, call, result = measure._cold(CASES["add"](), measure.ENGINES["tiered"])
    assert {trace for _, trace, _, _ in rounds} == wanted
    assert np.array_equal(result, call(*CASES["add"]().args))


@pytest.mark.parametrize("time, wanted", [(0.0, 3), (1e9, 12)])
def test_of_quick_cold_calls_there_are_more(time: float, wanted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "COLD_SECONDS", time)
    monkeypatch.setattr(measure, "_least_disturbed", lambda function, calls, batch: [function()] * calls)
    rounds, _, _ = measure._cold(CASES["add"](), measure.ENGINES["tiered"])
    assert len(rounds) == wanted


@pytest.mark.parametrize("engine, knows", [("tiered", True), ("tiered jit", False), ("interpret", False)])
def test_the_tracing_within_a_cold_call_is_known_where_the_call_times_it(engine: str, knows: bool) -> None:
    with measure.ENGINES[engine].in_force():
        rounds, _, _ = measure._cold(CASES["add"](), measure.ENGINES[engine])
    assert all((inside is not None) == knows and cold > (inside or 0) for cold, _, _, inside in rounds)


@pytest.mark.parametrize("inside, wanted", [((3.0, 5.0), 1.0), ((None, None), 3.0)])
def test_the_own_share_is_the_cold_call_without_the_tracing(
    inside: tuple[float | None, float | None], wanted: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tracing is that of the call itself where it is known, and else the least."""
    rounds = [(5.0, 2.0, 1.0, inside[0]), (6.0, 3.0, 1.0, inside[1])]
    monkeypatch.setattr(measure, "_cold", lambda *_: (rounds, lambda *_: 0.0, 0.0))
    monkeypatch.setattr(measure, "_warm", lambda function: 0.5)
    found = measure.measure(CASES["add"](), measure.ENGINES["tiered"])
    assert (found.cold, found.trace, found.own, found.second) == (5.0, 2.0, wanted, 1.0)


@pytest.mark.slow
def test_the_suite_measures_and_keeps_a_report(tmp_path: Path) -> None:
    file, drawing = tmp_path / "report.json", tmp_path / "report.png"
    engines = ["interpret", "interpret jit", "tiered", "callback", "twin", "floor"]
    options = ["--kernels", "add", "copy100", "--engines", *engines]
    command = [sys.executable, "-m", "benchmarks", *options, "--repeats", "1", "--json", file, "--plot", drawing]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads(file.read_text())
    for result in report["kernels"].values():
        assert all(found["correct"] for found in result["engines"].values())
        assert all(found["warm"]["median"] > 0 for found in result["engines"].values())
        assert all(result["engines"]["tiered"][quantity]["median"] > 0 for quantity in ("cold", "trace", "second"))
    assert drawing.stat().st_size > 1000
    again = subprocess.run([*command[:3], "--from", file], cwd=ROOT, capture_output=True, text=True)
    assert again.stdout == done.stdout


def test_kernels_measured_anew_take_the_place_of_those_that_were_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = (
        made_up(tiered=dict.fromkeys(("cold", "trace", "own", "second", "warm", "peak"), n)) for n in (0.002, 0.001)
    )
    made_with = reports.made_with()
    kept = {"made_with": made_with, "kernels": {**old["kernels"], "softmax": old["kernels"]["add"]}}
    file = tmp_path / "report.json"
    file.write_text(json.dumps(kept))
    monkeypatch.setattr(reports, "run", lambda *_: {**new, "made_with": made_with})
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--kernels", "add", "--update", str(file)])
    assert suite_main() == 0
    found = json.loads(file.read_text())
    assert list(found["kernels"]) == ["add", "softmax"]
    assert [reports.time_of(found, kernel, "tiered", "warm") for kernel in found["kernels"]] == [0.001, 0.002]


@pytest.mark.parametrize(
    "made_with, options, message",
    [
        ({"processor": "another one"}, [], "it was measured with .*processor another one"),
        ({}, ["--engines", "tiered"], "all engines"),
        ({}, ["--from", "another.json"], "measured now"),
    ],
)
def test_a_report_is_updated_only_with_what_can_be_compared(
    made_with: dict[str, str],
    options: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is refused before anything is measured."""
    file = tmp_path / "report.json"
    file.write_text(json.dumps({"made_with": {**reports.made_with(), **made_with}, "kernels": {}}))
    monkeypatch.setattr(reports, "run", lambda *_: pytest.fail("something was measured"))
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--update", str(file), *options])
    with pytest.raises(SystemExit):
        suite_main()
    assert re.search(message, capsys.readouterr().err.replace("\n", " "))
    file.unlink()
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--update", str(file)])
    with pytest.raises(SystemExit):
        suite_main()
    assert "--json writes a new report" in capsys.readouterr().err


def test_importing_the_package_adds_little_to_importing_jax() -> None:
    assert import_benchmark.share(import_benchmark.seconds(repeats=3)) < import_benchmark.LIMIT


def made_up(**times: dict[str, float]) -> reports.Report:
    """A report of one kernel, `add`, in which each engine has the given times."""
    engines = {
        engine.replace("_", " "): {
            "correct": True,
            **{q: dict.fromkeys(("median", "least", "most"), t) for q, t in of.items()},
        }
        for engine, of in times.items()
    }
    kernel = {"name": "vector add", "steps": 97, "dots": False, "library": False, "too_long": {}, "engines": engines}
    return {"made_with": {}, "kernels": {"add": kernel}}


def test_goals_are_ratios_of_what_was_measured() -> None:
    ours = {"cold": 0.011, "trace": 0.004, "own": 0.007, "warm": 0.002}
    theirs = {"cold": 0.214, "trace": 0.004, "own": 0.21, "warm": 0.003}
    report = made_up(interpret=theirs, interpret_jit=theirs, tiered=ours, twin={"warm": 0.001})
    found = {goal.text: goal for goal in reports.goals(report)}
    assert found["cold, own share: 30 times smaller than interpret=True's"].measured == pytest.approx(30)
    tracing = found["cold, own share: no more than the tracing"]
    assert tracing.measured == pytest.approx(7 / 4) and not tracing.kept
    assert found["warm: no slower than jitted interpret=True"].kept
    assert not found["warm: within 1.3 of the twin"].kept
    assert "| warm: within 1.3 of the twin | vector add | 2.00 |  | missed |" in reports.goal_table(report)
    report = made_up(interpret=theirs, tiered={**ours, "own": -0.001})  # noise: the tracing by itself took longer
    assert all(goal.kept for goal in reports.goals(report) if "own share" in goal.text)
    assert reports.ratios(report, "own", "interpret", "tiered") == {}
    report = made_up(interpret=theirs, interpret_jit=theirs, tiered=ours, twin={"warm": 0.005})
    report["kernels"]["add"]["dots"] = True
    found = {goal.text: goal for goal in reports.goals(report)}
    assert found["cold, own share: within 1.3 of the twin"].measured == pytest.approx(7 / 5)
    assert "cold, own share: no more than the tracing" not in found


@pytest.mark.parametrize("left_out", ["interpret", "interpret_jit", "tiered", "twin"])
def test_goals_are_of_the_engines_that_were_measured(left_out: str) -> None:
    times = {"cold": 0.1, "trace": 0.01, "own": 0.09, "warm": 0.001}
    engines = {engine: times for engine in ("interpret", "interpret_jit", "tiered", "twin") if engine != left_out}
    report = made_up(**engines)
    report["kernels"] = {"unrolled_sort": report["kernels"]["add"]}
    found = {goal.text.split(":")[0] for goal in reports.goals(report)}
    assert ("a large generated kernel, cold" in found) == (left_out not in ("interpret", "interpret_jit", "tiered"))
    assert ("a large generated kernel, warm" in found) == (left_out not in ("interpret_jit", "tiered"))


def test_a_goal_that_the_floor_misses_is_out_of_reach() -> None:
    cold = {"cold": 0.011, "trace": 0.004, "own": 0.007}
    ours, theirs = {**cold, "warm": 0.002}, {**cold, "warm": 0.001}
    for floor, mark in ((0.0005, "missed"), (0.0015, "out of reach")):
        report = made_up(interpret_jit=theirs, tiered=ours, twin={"warm": 0.002}, floor={"warm": floor})
        line = f"| warm: no slower than jitted interpret=True | vector add | 0.50 | {0.001 / floor:.2f} | {mark} |"
        assert line in reports.goal_table(report, missed_only=True)
        assert "| warm: within 1.3 of the twin | vector add | 1.00 |" in reports.goal_table(report)


@pytest.mark.parametrize("name", cases(*CASES))
def test_a_floor_gives_what_the_twin_gives(name: str) -> None:
    case = CASES[name]()
    args = [np.asarray(x) for x in case.args]
    wanted = case.twin(*args)
    out = np.full_like(wanted, np.nan)
    for _ in range(2):  # what is made once for a shape is made anew for each call's values
        case.floor(*args, out=out)
        np.testing.assert_allclose(out, wanted, case.tolerance, case.tolerance)


def test_what_was_left_out_is_a_dash_in_the_table() -> None:
    report = made_up(tiered={"warm": 0.002}, twin={"warm": 0.0000015})
    table = reports.table(report, "warm")
    assert table.splitlines()[-1] == "| vector add | 2 ms | 1.5 µs |"
    assert reports.table(made_up(tiered={"own": -0.0012}), "own").splitlines()[-1] == "| vector add | ≈ 0 |"
    report["kernels"]["add2"] = {**report["kernels"]["add"], "engines": {}}
    assert reports.table(report, "warm").splitlines()[-1] == "| vector add | – | – |"


@pytest.mark.slow
def test_the_benchmark_of_the_checks_has_a_row_for_each_kernel() -> None:
    command = [sys.executable, "-m", "benchmarks.checks_benchmark", "--kernels", "copy10", "softmax", "--repeats", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    header, _, *rows = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert header.count("|") == 7
    assert [row.split(" | ")[0] for row in rows] == ["| copy10", "| softmax"]


def test_the_phases_get_faster_and_the_compiler_only_has_to_be_right() -> None:
    def report(*cold: float, correct: bool = True) -> dict[str, Any]:
        phases = (*phase_benchmark.PHASES, phase_benchmark.COMPILER, phase_benchmark.TIERED)
        measured = [
            phase_benchmark.Measurement(phase, seconds, 0.04, 0.001, correct, 1, 0, {})
            for phase, seconds in zip(phases, cold)
        ]
        return {"phases": [asdict(m) for m in measured]}

    assert phase_benchmark.broken_promises(report(1.0, 0.5, 0.2, 0.1, 0.06, 0.07, 0.08)) == []
    assert phase_benchmark.broken_promises(report(1.0, 0.5, 0.2, 0.3, 0.06, 0.05, 0.05)) == [
        "phase 4 is no faster, cold, than phase 3"
    ]
    wrong = phase_benchmark.broken_promises(report(1.0, 0.5, 0.2, 0.1, 0.06, 0.05, 0.05, correct=False))
    assert wrong[-2:] == ["the compiler sorted wrongly", "the tiered engine sorted wrongly"]
