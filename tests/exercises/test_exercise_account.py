"""What a learner sees: the account of `pytest exercises/`, for none, some and all solved, and each kind of answer."""

from __future__ import annotations

import re
import signal
import sys
import textwrap
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from workbook_copy import Workbook

from exercises.machinery import account
from exercises.machinery.catalogue import exercises, find
from exercises.machinery.checking import Wrong, describe_call, expect, jaxpr_of, same, show
from exercises.machinery.running import Result, TimeUp, run_check, time_limit

INTERNALS = re.compile(r"Traceback|machinery|site-packages|_pytest")
DIVISION = "integer_division"


def text_of(results: dict[str, Result]) -> str:
    lines: list[str] = []
    account.write_account(lambda line="", **markup: lines.append(line), results)
    return "\n".join(lines)


def test_nothing_solved(workbook: Workbook) -> None:
    done = workbook.pytest()
    assert done.returncode == 1
    for part in ("Phase 1", "Phase 2", "Phase 3", "Phase 4", "Phase 5"):
        assert re.search(rf"{part}: .*░+ +0 of \d+", done.stdout)
    first = exercises()[0]
    assert f"Next: {first.number} {first.title}" in done.stdout
    assert first.path in done.stdout and f"python -m exercises hint {first.number}" in done.stdout
    assert first.chapter in done.stdout
    assert not INTERNALS.search(done.stdout + done.stderr)
    assert len(done.stdout.splitlines()) < 30


def test_nothing_solved_loads_no_jax(workbook: Workbook) -> None:
    """So that the account is there within a second or two."""
    (workbook.folder / "jax.py").write_text("raise AssertionError('JAX was imported')\n", encoding="utf-8")
    assert workbook.pytest().returncode == 1
    assert "Next: 1.1" in workbook.pytest().stdout


def test_some_solved(workbook: Workbook) -> None:
    workbook.solve(DIVISION)
    workbook.spoil("read_a_ref", "np.array(ref[index])", "ref[index]")
    done = workbook.pytest()
    assert done.returncode == 1
    assert re.search(r"Phase 2: .*█░+ +1 of \d+", done.stdout)
    assert "x 3." in done.stdout and "shares the ref's memory" in done.stdout
    assert "Next: 1.1" in done.stdout
    assert not INTERNALS.search(done.stdout + done.stderr)


def test_all_solved_is_celebrated() -> None:
    text = text_of({e.name: Result(e.name, "solved") for e in exercises()})
    assert f"All {len(exercises())} exercises are solved" in text
    assert "░" not in text and "Next" not in text


@pytest.mark.slow
def test_all_solved(workbook: Workbook) -> None:
    for exercise in exercises():
        workbook.solve(exercise.name)
    done = workbook.pytest()
    assert done.returncode == 0, done.stdout
    assert f"All {len(exercises())} exercises are solved" in done.stdout
    assert "times as fast as phase 1" in done.stdout


def test_solutions_pass_with_the_flag(workbook: Workbook) -> None:
    done = workbook.pytest("exercises", "--solutions", "-k", DIVISION)
    assert done.returncode == 0
    assert "All 1 solutions pass." in done.stdout


def answered(folder: Path, right: str = "", wrong: str = "", *, seconds: float = 10) -> Result:
    """What comes of the division's solution with `wrong` in place of `right`."""
    file = folder / f"{find(DIVISION).name}.py"
    file.write_text(find(DIVISION).solution.replace(right, wrong, 1), encoding="utf-8")
    return run_check(find(DIVISION), file, seconds)


def test_what_fails_inside_a_kernel_is_shown_as_the_learner_wrote_it(tmp_path: Path) -> None:
    """Whoever runs a kernel makes a `KernelError` of what a rule raises, which says more than a learner needs."""
    exercise = find("memory_for_a_while")
    file = tmp_path / f"{exercise.name}.py"
    made = "[uninitialized(ref.shape, ref.dtype) for ref in jaxpr.invars]"
    for wrong, said in (("[jaxpr.nonsense]", "AttributeError: "), ("[np.zeros(99)]", "")):
        file.write_text(exercise.solution.replace(made, wrong), encoding="utf-8")
        assert wrong in file.read_text(encoding="utf-8")
        message = run_check(exercise, file).message
        assert "grid index" not in message and "what to do" not in message
        assert not said or (f"Your code raised {said}" in message and wrong in message)


def test_a_wrong_answer_shows_call_inputs_difference_and_hint(tmp_path: Path) -> None:
    message = answered(tmp_path, "np.trunc(", "np.floor(").message
    assert message.startswith("Tried div(x, y)\n  x = int32[4, 6] [[")
    assert re.search(r"first difference at index \[\d+, \d+\]: got -?\d+, wanted -?\d+", message)
    assert message.endswith(f"Hint: {find(DIVISION).hints[0]}")


def test_the_learners_own_exception_shows_their_line_and_no_other(tmp_path: Path) -> None:
    message = answered(tmp_path, "quotient = np.trunc(", "quotient = np.truncate(").message
    assert message.startswith("Tried div(x, y)")
    assert "AttributeError: module 'numpy' has no attribute 'truncate'" in message
    assert re.search(r"p2_\d\d_integer_division\.py, line \d+, in div\n +quotient = np.truncate\(", message)
    assert not INTERNALS.search(message)


def test_an_error_inside_numpy_shows_the_line_that_led_there(tmp_path: Path) -> None:
    message = answered(tmp_path, "x.astype(np.float64), y", "np.stack(x, y), y").message
    assert "in div\n" in message and "np.stack(x, y)" in message and not INTERNALS.search(message)


def test_of_a_recursion_without_end_a_few_lines_are_shown(tmp_path: Path) -> None:
    message = answered(tmp_path, "quotient = np.trunc(", "quotient = div(x, y) + np.trunc(").message
    assert "Your code raised RecursionError" in message
    assert re.search(r"\.\.\. \d+ lines more \.\.\.", message) and message.count("quotient = div(x, y)") <= 6


def test_a_rule_that_cannot_be_called_shows_how_it_is_called(tmp_path: Path) -> None:
    message = of(
        "call", tmp_path, "def call(interp, eqn, *args):", "def call(interp, *args):\n    eqn, args = args, ()"
    )
    assert "Your code raised" in message and not INTERNALS.search(message)
    message = of("call", tmp_path, "def call(interp, eqn, *args):", "def call(interp, eqn):")
    assert "It was called here:" in message and "return rule(self, eqn, *args)" in message
    assert not INTERNALS.search(message) and "solutions/" not in message


def test_a_function_that_is_gone_is_missed(tmp_path: Path) -> None:
    message = answered(tmp_path, "def div(", "def division(").message
    assert message.startswith("p2_02_integer_division.py has no `div`.")


def test_what_a_callback_raises_is_shown_as_the_learner_wrote_it(tmp_path: Path) -> None:
    wrong = "function(*map(np.asary, arrays))"
    message = of("the_callback", tmp_path, "function(*map(np.asarray, arrays))", wrong)
    assert "Your code raised AttributeError" in message and wrong in message
    assert not INTERNALS.search(message) and "XlaRuntime" not in message


def test_a_variable_without_a_value_is_named_in_words(tmp_path: Path) -> None:
    message = of("the_walk", tmp_path, "        write(env, eqn, answer)\n", "")
    assert "KeyError: a variable of type float32[4], which nothing has given a value" in message
    assert "jaxpr = a program of a, b, c\n    d = mul b c\n" in message


def of(name: str, folder: Path, right: str, wrong: str) -> str:
    """The message for an exercise's solution with `wrong` in place of `right`."""
    file = folder / f"{find(name).name}.py"
    assert right in find(name).solution
    file.write_text(find(name).solution.replace(right, wrong, 1), encoding="utf-8")
    return run_check(find(name), file).message


def test_an_answer_that_is_begun_says_what_is_left(tmp_path: Path) -> None:
    file = tmp_path / f"{find(DIVISION).name}.py"
    file.write_text(
        find(DIVISION).stub.replace("import numpy as np", "import numpy as np\n\nwidth = 32"), encoding="utf-8"
    )
    result = run_check(find(DIVISION), file)
    assert result.verdict == "unsolved" and re.search(r"Line \d+ is still to be written", result.message)


def test_a_syntax_error_names_the_line(tmp_path: Path) -> None:
    message = answered(tmp_path, "quotient = np.trunc(", "quotient = = np.trunc(").message
    assert re.match(r"Python cannot read line \d+ of \S*integer_division\.py: invalid syntax", message)
    assert "quotient = = np.trunc(" in message


@pytest.mark.parametrize("body", ["pass", "\n        try: sum(range(99))\n        except Exception: pass"])
def test_an_endless_loop_is_stopped_with_a_sentence(tmp_path: Path, body: str) -> None:
    result = answered(tmp_path, "quotient =", f"while True: {body}\n    quotient =", seconds=0.5)
    assert "stopped after 0.5 seconds: is there a loop that never ends?" in result.message
    assert re.search(r"It was at line \d+", result.message)


def busy(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_the_time_limit_leaves_whoever_debugs_alone() -> None:
    tracing = sys.gettrace()
    with pytest.raises(TimeUp), time_limit(0.05):
        busy(5)
    sys.settrace(lambda *args: None)
    try:
        with time_limit(0.05):
            busy(0.2)
    finally:
        sys.settrace(tracing)


def test_the_time_limit_lets_a_timer_that_was_running_go_on() -> None:
    before = signal.setitimer(signal.ITIMER_REAL, 100)
    try:
        with time_limit(5):
            pass
        assert 50 < signal.getitimer(signal.ITIMER_REAL)[0] <= 100
    finally:
        signal.setitimer(signal.ITIMER_REAL, *before)


def test_an_exit_in_the_answer_does_not_end_the_check(tmp_path: Path) -> None:
    result = answered(tmp_path, "quotient =", "raise SystemExit(0)\n    quotient =")
    assert result.verdict == "wrong" and "SystemExit" in result.message


@pytest.mark.parametrize(
    ("got", "want", "says"),
    [
        (np.zeros(3), np.zeros(3, np.float32), "dtype: got float64, wanted float32"),
        (np.zeros(3), np.zeros((3, 1)), "shape: got [3], wanted [3, 1]"),
        (None, np.zeros(3), "is a `return` missing?"),
        (3, "3", "got 3, an int; wanted '3', a str"),
        (np.float32([0.1]), np.float32([0.3]), "index [0]: got 0.1, wanted 0.3"),
        ([1], np.zeros(3), "a list; wanted an array"),
        (
            np.array([1, np.nan, 3]),
            np.array([1, np.nan, 4]),
            "index [2]: got 3.0, wanted 4.0  (1 of 3 elements differ)",
        ),
        ([np.zeros(2)], [np.zeros(2), np.zeros(2)], "got 1 results, wanted 2"),
        (np.zeros(2), [np.zeros(2)], "wanted a list"),
        ([np.zeros(2), np.ones(2)], [np.zeros(2), np.zeros(2)], "result 1: first difference at index [0]"),
    ],
)
def test_each_kind_of_difference_is_named(got: object, want: object, says: str) -> None:
    with pytest.raises(Wrong) as raised:
        same(got, want, "Tried it")
    assert says in str(raised.value)


def test_what_jax_has_computed_is_no_answer() -> None:
    with pytest.raises(Wrong, match="compute with NumPy"):
        expect(jnp.negative, np.ones(2, np.float32), want=-np.ones(2, np.float32))


def test_a_program_is_shown_with_what_is_inside_it() -> None:
    def program(x: jax.Array, many: int) -> jax.Array:
        for _ in range(many):
            x = jnp.sin(x)
        return jax.lax.cond(x > 0, jnp.cos, lambda x: x + 1, x)

    assert show(jaxpr_of(lambda x: program(x, 1), 1.0)).splitlines() == [
        "a program of a",
        "  b = sin a",
        "  c = gt b 0.0",
        "  d = convert_element_type c",
        "  e = cond d b",
        "    a program of f",
        "      g = add f 1.0",
        "      answers g",
        "    a program of h",
        "      i = cos h",
        "      answers i",
        "  answers e",
    ]
    assert re.fullmatch(r"a program of 53 equations: sin, sin, .*", show(jaxpr_of(lambda x: program(x, 50), 1.0)))


def test_a_call_is_shown_with_all_that_it_got() -> None:
    def function(first: int, *rest: int, key: int) -> None: ...

    assert describe_call(function, (1, 2, 3), {"key": 4}).splitlines() == [
        "Tried function(first, *rest, key=4)",
        "  first = 1",
        "  rest[0] = 2",
        "  rest[1] = 3",
    ]


def test_nan_equals_nan_and_a_tolerance_is_kept() -> None:
    same(np.array([np.nan, 0.0]), np.array([np.nan, -0.0]), "")
    same(np.array([1.0001]), np.array([1.0]), "", tolerance=1e-3)
    with pytest.raises(Wrong):
        same(np.array([1.01]), np.array([1.0]), "", tolerance=1e-3)


def test_a_capstone_names_the_answer_that_it_still_lacks(workbook: Workbook) -> None:
    workbook.solve("p1_07_capstone")
    done = workbook.pytest("exercises/phase1")
    assert "uses your answer in exercises/phase1/p1_02_environment.py, which is still to be written" in done.stdout
    assert ". 1.7 Capstone" in done.stdout and not INTERNALS.search(done.stdout)


def test_what_is_printed_is_shown(workbook: Workbook) -> None:
    workbook.spoil(DIVISION, "quotient = np.trunc(", "print('the divisor is', y.dtype)\n    quotient = np.trunc(")
    done = workbook.pytest("exercises/phase2")
    assert "What your code printed:" in done.stdout and "| the divisor is int32" in done.stdout


def test_one_file_solved_says_why_and_what_comes_after(workbook: Workbook) -> None:
    workbook.solve(DIVISION)
    done = workbook.pytest(str(workbook.path(DIVISION).relative_to(workbook.folder)))
    assert done.returncode == 0
    assert "Solved: Integer division." in done.stdout and "What comes after:" in done.stdout
    assert find(DIVISION).explanation.split("\n")[0][:60] in done.stdout


def test_one_exercise_by_its_pytest_id(workbook: Workbook) -> None:
    """As an editor's test panel asks for it."""
    workbook.solve(DIVISION)
    path = find(DIVISION).path
    listed = workbook.pytest("--collect-only", "-q", "exercises").stdout
    assert f"{path}::integer_division" in listed
    assert workbook.pytest(f"{path}::integer_division").returncode == 0


@pytest.mark.slow
def test_an_editor_that_listens_to_pytest_is_told(workbook: Workbook) -> None:
    """VS Code's test panel takes results and messages from this hook."""
    listener = """
    def pytest_report_teststatus(report, config):
        if report.when == "call":
            print("heard", report.nodeid, report.outcome, repr(report.longreprtext))
    """
    (workbook.folder / "listener.py").write_text(textwrap.dedent(listener), encoding="utf-8")
    workbook.solve(DIVISION)
    heard = workbook.pytest("-p", "listener", "exercises/phase2").stdout
    assert f"heard {find(DIVISION).path}::integer_division passed" in heard
    assert re.search(r"heard \S+::the_first_rules failed .*2\.1 The first rules", heard)


def test_one_phase(workbook: Workbook) -> None:
    done = workbook.pytest("exercises/phase2")
    assert "Phase 2" in done.stdout and "Phase 3: state  " not in done.stdout
    assert "Next: 2.1" in done.stdout


@pytest.mark.slow
def test_from_inside_the_folder(workbook: Workbook) -> None:
    workbook.folder = workbook.folder / "exercises"
    assert "Next: 2.1" in workbook.run("pytest", "-p", "no:cacheprovider", "phase2").stdout


def test_a_missing_file_is_not_solved(workbook: Workbook) -> None:
    workbook.solve(DIVISION)
    workbook.path("bits_or_logic").unlink()
    done = workbook.pytest("exercises/phase2", "-k", "integer_division or bits_or_logic")
    assert done.returncode == 1 and re.search(r"Phase 2: .* 1 of 2\n", done.stdout)
    assert "bits_or_logic.py is missing: `python -m exercises update` restores it" in done.stdout
    assert not INTERNALS.search(done.stdout)


def test_a_file_that_is_no_utf8_names_the_line(workbook: Workbook) -> None:
    workbook.path(DIVISION).write_bytes(find(DIVISION).solution.encode() + b"\nname = 'Ren\xe9'\n")
    done = workbook.pytest("exercises/phase2", "-k", DIVISION)
    assert re.search(r"Python cannot read line \d+ of \S+integer_division\.py", done.stdout)
    assert not INTERNALS.search(done.stdout)


def test_a_terminal_without_block_characters(workbook: Workbook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    workbook.solve(DIVISION)
    done = workbook.pytest("exercises/phase2")
    assert re.search(r"Phase 2: the boundary +#\.{10} 1 of 11", done.stdout)


def test_celebrated_in_ascii_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "draws_blocks", lambda: False)
    assert text_of({e.name: Result(e.name, "solved") for e in exercises()}).isascii()


def test_a_narrow_terminal_gets_short_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    hint = "Look at `np.choose`, which picks by number, and at `np.where`, whose order is another one."
    monkeypatch.setenv("COLUMNS", "40")
    assert max(map(len, account.prose(hint))) <= 36
    monkeypatch.setenv("COLUMNS", "200")
    assert account.prose(hint) == [hint]


def test_selecting_by_keyword(workbook: Workbook) -> None:
    workbook.solve(DIVISION)
    assert workbook.pytest("exercises", "-k", DIVISION).returncode == 0
    nothing = workbook.pytest("exercises", "-k", "no_such_exercise")
    assert nothing.returncode == 5 and "No exercise was selected" in nothing.stdout


def test_stopping_at_the_first(workbook: Workbook) -> None:
    done = workbook.pytest("exercises", "-x")
    assert done.returncode == 1
    assert re.search(r"Phase 1: .* 0 of 1\n", done.stdout) and "Phase 2" not in done.stdout
    assert not re.search(r"Traceback|machinery", done.stdout)


@pytest.mark.slow
def test_on_several_processes(workbook: Workbook) -> None:
    workbook.solve(DIVISION)
    workbook.spoil("read_a_ref", "np.array(ref[index])", "ref[index]")
    done = workbook.pytest("exercises", "-n", "2")
    assert done.returncode == 1
    assert re.search(r"Phase 2: .*█░* +1 of \d+", done.stdout) and "shares the ref's memory" in done.stdout
    assert not INTERNALS.search(done.stdout)


@pytest.mark.slow
def test_beside_other_tests_pytest_prints_as_always(workbook: Workbook) -> None:
    (workbook.folder / "test_other.py").write_text("def test_other():\n    assert True\n", encoding="utf-8")
    done = workbook.pytest("exercises/phase2", "test_other.py")
    assert done.returncode == 1
    assert re.search(r"\d+ failed, 1 passed", done.stdout)
    assert "machinery" not in done.stdout
