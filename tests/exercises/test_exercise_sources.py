"""Every exercise by itself: its stub, its solution, its hints, and the wrong answers that people give."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from exercises.machinery import running, stubs
from exercises.machinery.catalogue import EXERCISES, Exercise, Mistake, exercises, exercises_on, find
from exercises.machinery.checking import Wrong
from pallas_np import phase5

EACH = pytest.mark.parametrize("exercise", exercises(), ids=lambda e: e.name)
MISTAKES = [
    pytest.param(e, m, id=f"{e.name}-{m.name.replace(' ', '-')}", marks=[pytest.mark.slow] if e.is_capstone else [])
    for e in exercises()
    for m in e.mistakes
]
QUICK_FIRST = [pytest.param(e, id=e.name, marks=[pytest.mark.slow] if e.is_capstone else []) for e in exercises()]


@pytest.mark.parametrize("exercise", QUICK_FIRST)
def test_solution_passes(exercise: Exercise) -> None:
    result = running.check(exercise, solution=True)
    assert result.verdict == "solved", result.message
    if exercise.is_capstone:
        assert re.search(r"It sorts\..* your phase \d is \d+\.\d times as fast as phase 1", result.message)


@EACH
def test_stub_is_unsolved(exercise: Exercise, tmp_path: Path) -> None:
    file = tmp_path / f"{exercise.name}.py"
    file.write_text(exercise.stub, encoding="utf-8")
    result = running.run_check(exercise, file)
    expected = "wrong" if "# --- planted" in exercise.source else "unsolved"
    assert result.verdict == expected, result.message
    assert stubs.is_untouched(exercise.stub)
    if expected == "unsolved":
        assert re.search(r"# Your turn: (one line|about \d+ lines)\.", exercise.stub)


@pytest.mark.parametrize(("exercise", "mistake"), MISTAKES)
def test_wrong_answer_gets_the_message_meant_for_it(exercise: Exercise, mistake: Mistake, tmp_path: Path) -> None:
    solution = stubs.solution(exercise.source)
    assert "".join(stubs.regions(exercise.source)).count(mistake.right) == solution.count(mistake.right) == 1
    wrong = solution.replace(mistake.right, mistake.wrong).replace("from exercises.", "from solutions.")
    file = tmp_path / f"{exercise.name}.py"
    file.write_text(wrong, encoding="utf-8")
    result = running.run_check(exercise, file, seconds=2 if "never ends" in mistake.says else 20)
    assert result.verdict == "wrong"
    account, _, hint = result.message.rpartition("\n\nHint: ")
    assert hint == exercise.hints[0]
    assert mistake.says in account


@EACH
def test_exercise_agrees_with_its_solution(exercise: Exercise) -> None:
    """`python -m exercises update` brings them together."""
    assert exercise.file.read_text(encoding="utf-8") == exercise.stub


def test_there_is_no_exercise_without_a_solution() -> None:
    files = set(EXERCISES.glob("*/*_[0-9][0-9]_*.py"))
    assert files == {e.file for e in exercises()}


@EACH
def test_exercise_has_what_it_needs(exercise: Exercise) -> None:
    assert 5 <= exercise.minutes <= 30
    assert len(exercise.hints) == 3 and len(set(exercise.hints)) == 3
    assert exercise.explanation and len(exercise.mistakes) >= 3
    assert exercise.summary.endswith((".", ":")) and len(exercise.summary) <= 200
    assert stubs.regions(exercise.source)


def test_there_is_enough_to_do() -> None:
    folders = [e.part.folder for e in exercises()]
    assert len(folders) >= 30 and all(folders.count(f"phase{n}") >= 5 for n in range(1, 6))
    assert sum("# --- planted" in e.source for e in exercises()) >= 2
    for n in range(1, 6):
        assert [e.is_capstone for e in exercises() if e.part.folder == f"phase{n}"][-1]


RANDOM = [e for e in exercises() if "default_rng" in e.source and not e.is_capstone and "# --- planted" not in e.source]


@pytest.mark.parametrize("exercise", RANDOM, ids=lambda e: e.name)
def test_answers_that_were_right_once_are_not_right_again(exercise: Exercise) -> None:
    """So that nobody can write down what a check wants."""
    judge = importlib.import_module(exercise.module)
    answers: list[Any] = []

    def recording(function: Callable[..., Any], *args: Any, **params: Any) -> Any:
        answers.append(function(*args, **params))
        return answers[-1]

    def repeating(function: Callable[..., Any], *args: Any, **params: Any) -> Any:
        return answers.pop(0)

    with running.full_tracebacks():
        judge.check(_with_functions(exercise, recording))
        if answers:  # of a class there are none
            with pytest.raises((Wrong, IndexError)):
                judge.check(_with_functions(exercise, repeating))


def _with_functions(exercise: Exercise, instead: Callable[..., Any]) -> Any:
    """The solution's module, with `instead(function, *args)` called in place of each of its functions."""
    module = running.load(exercise.solution_file)
    for name, function in list(vars(module).items()):
        if isinstance(function, FunctionType) and function.__module__ == module.__name__ and name != "check":
            setattr(module, name, functools.wraps(function)(functools.partial(instead, function)))
    return module


@EACH
def test_no_hint_gives_the_solution_away(exercise: Exercise) -> None:
    telling = [
        " ".join(line.removeprefix("return ").split())
        for region in stubs.regions(exercise.source)
        for line in map(str.strip, region.splitlines())
        if len(line.removeprefix("return ")) > 10
    ]
    for hint in exercise.hints:
        assert not [line for line in telling if line in " ".join(hint.split())]


@EACH
def test_exercise_imports_no_other_exercise(exercise: Exercise) -> None:
    """So that whoever skips one can still do the next.  A capstone puts the earlier answers together."""
    if not exercise.is_capstone:
        assert "from exercises" not in exercise.stub and "import exercises" not in exercise.stub


@EACH
def test_exercise_imports_no_phase_but_earlier_ones(exercise: Exercise) -> None:
    if exercise.part.folder.startswith("phase"):
        own = int(exercise.part.label)
        for number in range(own if own > 1 else 2, 6):
            assert f"phase{number}" not in _imports(exercise.stub)


def _imports(source: str) -> str:
    return "\n".join(
        line for line in source.splitlines() if line.startswith(("import ", "from ")) and "exercises" not in line
    )


def test_exercises_are_found_by_primitive() -> None:
    assert [e.short_name for e in exercises_on("div")] == ["integer_division"]
    known = {primitive.name for primitive in phase5.numpy_rules}
    assert {name for e in exercises() for name in e.primitives} <= known


def test_numbers_follow_the_course() -> None:
    numbers = [e.number for e in exercises()]
    assert len(numbers) == len(set(numbers))
    for folder in {e.part.folder for e in exercises()}:
        assert [int(e.name.split("_")[1]) for e in exercises() if e.part.folder == folder] == list(
            range(1, 1 + sum(e.part.folder == folder for e in exercises()))
        )


def test_an_exercise_is_found_by_number_name_and_file() -> None:
    exercise = next(e for e in exercises() if e.part.folder == "phase2")
    for wanted in (exercise.number, exercise.name, exercise.short_name, exercise.path, str(exercise.file)):
        assert find(wanted) is exercise
    with pytest.raises(LookupError, match=r"no exercise called 9\.9"):
        find("9.9")
