"""pytest's side: each exercise is one test, and what is printed is the account instead of tracebacks.

If tests of another kind run in the same session, pytest prints as it always does, and the messages are the same.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import pytest

from exercises.machinery import account
from exercises.machinery.catalogue import EXERCISES, Exercise, exercises
from exercises.machinery.running import Result, check

_RESULT = "exercise"  # under this name a report carries its result, also from an xdist worker
_CATEGORY = "checked exercises"
_PRINTED = ("Captured stdout call", "Captured stderr call")


class Unsolved(Exception):
    """Makes pytest count the exercise as failed; its text is the message."""


class ExerciseFile(pytest.File):
    """The file of an exercise.  It is run when it is checked, not when it is collected."""

    exercise: Exercise

    def collect(self) -> Iterable[pytest.Item]:
        yield ExerciseItem.from_parent(self, name=self.exercise.short_name)


class ExerciseItem(pytest.Item):
    """The check of one exercise."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.exercise: Exercise = self.parent.exercise  # type: ignore[union-attr]
        self.extra_keyword_matches.update(self.exercise.title.lower().split())

    def runtest(self) -> None:
        options = self.config.option
        result = check(
            self.exercise,
            solution=getattr(options, "solutions", False),
            seconds=getattr(options, "exercise_seconds", None),
        )
        self.user_properties.append((_RESULT, json.dumps(result.as_dict())))
        if result.verdict != "solved":
            raise Unsolved(result.message or f"{self.exercise.number} {self.exercise.title}: {self.exercise.summary}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        return str(excinfo.value) if excinfo.errisinstance(Unsolved) else super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, f"{self.exercise.number} {self.exercise.title}"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("exercises")
    group.addoption("--solutions", action="store_true", help="check the workbook's solutions instead of your answers")
    group.addoption("--exercise-seconds", type=float, help="stop a check after so many seconds, whatever the exercise")


@pytest.hookimpl(trylast=True)  # after pytest has made the reporter
def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput") or not only_exercises(config):
        return
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None and config.option.verbose <= 0 and not config.option.collectonly:
        config.option.verbose = -2  # no header, no dots, no closing line: the account says it all
        reporter.reportchars = ""


def only_exercises(config: pytest.Config) -> bool:
    """Whether nothing but exercises was asked for."""
    return all(path == EXERCISES or EXERCISES in path.parents for path in asked_paths(config))


def asked_paths(config: pytest.Config) -> list[Path]:
    """The files and folders that were named on the command line."""
    return [(config.invocation_params.dir / arg.split("::")[0]).resolve() for arg in config.args]


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if parent.session.isinitpath(file_path):
        return None  # then pytest asks for a module, below
    return pytest_pycollect_makemodule(file_path, parent)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> Any:
    exercise = next((e for e in exercises() if e.file == module_path), None)
    if exercise is None:
        return None
    file = ExerciseFile.from_parent(parent, path=module_path)
    file.exercise = exercise
    return file


@pytest.hookimpl(tryfirst=True)  # before `-k` selects
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Brings the exercises into course order, those whose file is gone too; other tests stay where they are."""
    asked_for = asked_paths(config)
    for exercise in exercises():
        if not exercise.file.exists() and any(folder in asked_for for folder in exercise.file.parents):
            file = ExerciseFile.from_parent(session, path=exercise.file)
            file.exercise = exercise
            items += file.collect()  # type: ignore[arg-type]
    places = [i for i, item in enumerate(items) if isinstance(item, ExerciseItem)]
    course = exercises()
    ordered = sorted((items[i] for i in places), key=lambda item: course.index(item.exercise))  # type: ignore[attr-defined]
    for i, item in zip(places, ordered):
        items[i] = item


@pytest.hookimpl(wrapper=True)
def pytest_report_teststatus(report: Any, config: pytest.Config) -> Generator[None, Any, Any]:
    status = yield  # others listen in on this hook: editors do
    if result_of(report) is None or not only_exercises(config):
        return status
    if config.option.verbose > 0:
        return _CATEGORY, "", result_of(report).verdict
    return _CATEGORY, "", ""


def result_of(report: Any) -> Any:
    """The result that the report of a check carries, or `None`."""
    if getattr(report, "when", "") != "call":
        return None
    found = dict(report.user_properties).get(_RESULT)
    return Result(**json.loads(found)) if found else None


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    results = {}
    for report in terminalreporter.getreports(_CATEGORY):
        result = result_of(report)
        printed = "\n".join(text for name, text in report.sections if name in _PRINTED)
        results[result.name] = Result(result.name, result.verdict, result.message, printed)
    if results:
        solutions = getattr(config.option, "solutions", False)
        account.write_account(terminalreporter.write_line, results, solutions=solutions)
    elif only_exercises(config) and not config.option.collectonly and not terminalreporter.getreports("error"):
        terminalreporter.write_line("No exercise was selected; `python -m exercises list` names them all.")
