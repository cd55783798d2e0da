"""`python -m exercises`: what a learner types between two checks."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import io
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from exercises.machinery import account, stubs
from exercises.machinery.catalogue import EXERCISES, ROOT, Exercise, exercises, find, learners_text
from exercises.machinery.running import Result, check

BACKUPS = EXERCISES / ".backups"
HINTS_SEEN = EXERCISES / ".hints.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command, or shows them all; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that has not all the letters gets the others
    options = _parser().parse_args(arguments or ["--help"])
    try:
        return options.run(options)
    except LookupError as error:
        write(str(error.args[0]))
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m exercises", description="Helps you through the exercises.")
    commands = parser.add_subparsers(metavar="command", required=True)

    def command(run: Callable[[argparse.Namespace], int], help: str, *, exercise: str | None = None) -> Any:
        added = commands.add_parser(run.__name__.removesuffix("_"), help=help, description=help)
        added.set_defaults(run=run)
        if exercise:
            added.add_argument("exercise", nargs=exercise, help="its number (2.3), its name or its file")
        return added

    command(next_, "show the first exercise that is not solved")
    command(list_, "list all exercises, and which are solved")
    command(hint, "show a hint; each time one tier further", exercise="?")
    solution_command = command(solution, "compare your answer with the workbook's, once it is right", exercise="?")
    solution_command.add_argument("--give-up", action="store_true", help="also before it is right")
    command(reset, "begin an exercise again; keeps a copy of your answer", exercise="?").add_argument(
        "--all", action="store_true", help="begin all of them again"
    )
    command(update, "bring the exercises that you have not touched up to this version of the workbook")
    command(watch, "check an exercise again each time you save it")
    return parser


def write(line: str = "", **markup: bool) -> None:
    """Prints a line.  Colours are pytest's business."""
    print(line, flush=True)


# --- Where one stands ------------------------------------------------------------------------------------------------


def next_(options: argparse.Namespace) -> int:
    exercise = first_unsolved()
    if exercise is None:
        write("All exercises are solved.")
    else:
        account.write_task(write, exercise, "Next")
    return 0


def list_(options: argparse.Namespace) -> int:
    results = check_all()
    signs = {"solved": "+", "unsolved": ".", "wrong": "x"}
    for part in dict.fromkeys(e.part for e in exercises()):
        write(f"\n{part.title}")
        for exercise in exercises():
            if exercise.part is part:
                sign = signs[results[exercise.name].verdict]
                line = f"  {sign} {exercise.number:5}{exercise.title:44}{exercise.minutes:3} minutes   {exercise.path}"
                write(line if len(line) <= account.columns() else f"  {sign} {exercise.number:5}{exercise.title}")
    write("\n+ solved   . to do   x wrong so far")
    return 0


def check_all() -> dict[str, Result]:
    """How every exercise stands.  Nothing is stored: what has been touched is checked again."""
    return {e.name: quietly_checked(e) for e in exercises()}


def quietly_checked(exercise: Exercise) -> Result:
    """How an exercise stands; what its code prints is in the result, and its breakpoints do not stop."""
    printed, before = io.StringIO(), os.environ.get("PYTHONBREAKPOINT")
    os.environ["PYTHONBREAKPOINT"] = "0"
    try:
        with contextlib.redirect_stdout(printed):
            return replace(check(exercise), output=printed.getvalue())
    finally:
        os.environ.pop("PYTHONBREAKPOINT")
        if before is not None:
            os.environ["PYTHONBREAKPOINT"] = before


def first_unsolved() -> Exercise | None:
    """The first exercise that is not solved."""
    return next((e for e in exercises() if quietly_checked(e).verdict != "solved"), None)


def chosen(options: argparse.Namespace) -> Exercise:
    """The exercise that was named, else the first that is not solved.

    Raises:
      LookupError: if there is none.
    """
    exercise = find(options.exercise) if options.exercise else first_unsolved()
    if exercise is None:
        raise LookupError("All exercises are solved: name the one you mean.")
    return exercise


# --- Help ------------------------------------------------------------------------------------------------------------


def hint(options: argparse.Namespace) -> int:
    exercise = chosen(options)
    seen = hints_seen()
    tier = min(seen.get(exercise.name, 0), len(exercise.hints) - 1)
    HINTS_SEEN.write_text(json.dumps({**seen, exercise.name: tier + 1}), encoding="utf-8")
    write(f"{exercise.number} {exercise.title}, hint {tier + 1} of {len(exercise.hints)}:")
    for line in account.prose(exercise.hints[tier]):
        write(f"    {line}")
    if tier + 1 < len(exercise.hints):
        write(f"\nThe next hint: python -m exercises hint {exercise.number}")
    else:
        write(f"\nThe solution: python -m exercises solution {exercise.number} --give-up")
    return 0


def hints_seen() -> dict[str, int]:
    """For each exercise how many of its hints have been shown."""
    try:
        return json.loads(HINTS_SEEN.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def solution(options: argparse.Namespace) -> int:
    exercise = chosen(options)
    if not options.give_up and quietly_checked(exercise).verdict != "solved":
        write(f"{exercise.number} {exercise.title} is not solved yet.")
        write(f"    a hint                 python -m exercises hint {exercise.number}")
        write(f"    the solution anyway    python -m exercises solution {exercise.number} --give-up")
        return 1
    mine = exercise.text() if exercise.file.exists() else exercise.stub
    difference = difflib.unified_diff(
        stubs.unsigned(mine).splitlines(), exercise.solution.splitlines(), "yours", "the workbook's", lineterm="", n=3
    )
    write("\n".join(difference) or "Your answer is the workbook's, word for word.")
    write()
    write(exercise.explanation)
    return 0


# --- Files -----------------------------------------------------------------------------------------------------------


def reset(options: argparse.Namespace) -> int:
    if not options.exercise and not options.all:
        write("Which exercise? `python -m exercises reset 2.3` resets one, `reset --all` all of them.")
        return 2
    for exercise in exercises() if options.all else [find(options.exercise)]:
        if exercise.file.exists() and not exercise.is_untouched():
            write(f"{exercise.number}: your answer is kept in {back_up(exercise)}")
        _write_stub(exercise)
        seen = hints_seen()
        if seen.pop(exercise.name, None) is not None:
            HINTS_SEEN.write_text(json.dumps(seen), encoding="utf-8")
        if not options.all:
            write(f"{exercise.path} is as it was at the beginning.")
    return 0


def back_up(exercise: Exercise) -> str:
    """Copies the learner's file to where nothing overwrites it; returns the copy's path from the root."""
    BACKUPS.mkdir(exist_ok=True)
    stem = f"{exercise.name}.{datetime.now():%Y-%m-%d.%H%M%S}"
    copies = [BACKUPS / f"{stem}.py", *(BACKUPS / f"{stem}.{n}.py" for n in range(2, 1000))]
    copy = next(path for path in copies if not path.exists())
    shutil.copyfile(exercise.file, copy)
    return copy.relative_to(ROOT).as_posix()


def update(options: argparse.Namespace) -> int:
    refreshed = kept = 0
    for exercise in exercises():
        text = exercise.text() if exercise.file.exists() else None
        if text == exercise.stub:
            continue
        if text is not None and not stubs.is_untouched(text):
            kept += 1
            continue
        _write_stub(exercise)
        write(f"{'new' if text is None else 'refreshed'}: {exercise.path}")
        refreshed += 1
    for file in left_over():
        if stubs.is_untouched(learners_text(file)):
            file.unlink()
            write(f"removed, since the workbook no longer has it: {file.relative_to(ROOT).as_posix()}")
        else:
            write(f"kept, though the workbook no longer has it: {file.relative_to(ROOT).as_posix()}")
    write(f"{refreshed} refreshed; {kept} that you have worked on left as they are.")
    return 0


def left_over() -> list[Path]:
    """Files in the exercises' folders that the workbook does not know."""
    known = {e.file for e in exercises()}
    folders = dict.fromkeys(e.file.parent for e in exercises())
    return [file for folder in folders for file in sorted(folder.glob("[a-z]*_[0-9][0-9]_*.py")) if file not in known]


def _write_stub(exercise: Exercise) -> None:
    exercise.file.parent.mkdir(parents=True, exist_ok=True)
    exercise.file.write_text(exercise.stub, encoding="utf-8")


# --- Watching --------------------------------------------------------------------------------------------------------


def watch(options: argparse.Namespace, pause: Callable[[float], None] = time.sleep) -> int:
    write("Checking what you have worked on ...")
    results = check_all()
    account.write_account(write, results)
    saved = times_saved()
    write("\nWatching exercises/ : save a file to check it.  Ctrl-C ends.")
    while any(result.verdict != "solved" for result in results.values()):
        pause(0.3)
        before, saved = saved, times_saved()
        for exercise in exercises():
            if saved.get(exercise.name) != before.get(exercise.name):
                results[exercise.name] = check(exercise)
                for capstone in waiting_for(exercise, results):
                    results[capstone.name] = quietly_checked(capstone)
                show_one(exercise, results)
    return 0


def waiting_for(exercise: Exercise, results: dict[str, Result]) -> list[Exercise]:
    """The capstones that are not solved, and that this answer is a part of."""
    capstones = [e for e in exercises() if e.is_capstone and e.part is exercise.part and e is not exercise]
    return [e for e in capstones if results[e.name].verdict != "solved"]


def times_saved() -> dict[str, int]:
    """When each exercise's file was last saved, in nanoseconds."""
    return {e.name: e.file.stat().st_mtime_ns for e in exercises() if e.file.exists()}


def show_one(exercise: Exercise, results: dict[str, Result]) -> None:
    """After a save: how this exercise stands, the progress, and what is next."""
    result = results[exercise.name]
    write("\n" + "-" * min(100, account.columns()))
    account.write_bars(write, exercises(), results)
    account.write_result(write, exercise, result)
    if result.verdict == "solved":
        write(f"\n{exercise.number} {exercise.title}: solved.\n\n{exercise.explanation}")
    account.write_what_is_next(write, exercises(), results)
