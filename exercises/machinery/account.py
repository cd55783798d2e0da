"""What is printed: a bar for each part, what is wrong, and what comes next."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence

from exercises.machinery.catalogue import PARTS, Exercise, exercises
from exercises.machinery.running import Result

Write = Callable[..., None]  # write(line, green=True): a line, perhaps in colour
CELEBRATION = """
    {before}  ->  {after}

All {count} exercises are solved.  An interpreter for Pallas kernels stands there, and you wrote every part of it:
the walk over the equations, the rules, the memory, the loops, the grid.  It sorts.  Well done.
"""


def write_account(write: Write, results: Mapping[str, Result], *, solutions: bool = False) -> None:
    """The whole account of the exercises that were checked, in course order."""
    checked = [e for e in exercises() if e.name in results]
    write("")
    write("Pallas in NumPy: the exercises" + (", the workbook's own solutions" if solutions else ""), bold=True)
    write("")
    write_bars(write, checked, results)
    for exercise in checked:
        write_result(write, exercise, results[exercise.name])
    write_what_is_next(write, checked, results, solutions=solutions)


def write_bars(write: Write, checked: Sequence[Exercise], results: Mapping[str, Result]) -> None:
    """A bar for each part of the course that something was checked in."""
    width = max((len(part.title) for part in PARTS), default=0)
    longest = max((sum(e.part is part for e in checked) for part in PARTS), default=0)
    for part in PARTS:
        mine = [e for e in checked if e.part is part]
        if mine:
            solved = [results[e.name].verdict == "solved" for e in mine]
            full, empty = "█░" if draws_blocks() else "#."
            bar = "".join(full if s else empty for s in sorted(solved, reverse=True))
            write(f"  {part.title:{width}}  {bar:{longest}} {sum(solved)} of {len(mine)}", green=all(solved))


def write_result(write: Write, exercise: Exercise, result: Result) -> None:
    """What a learner should know of one exercise: nothing, if they have not begun it."""
    signs = {"solved": "+", "unsolved": ".", "wrong": "x"}
    if not (result.message or result.output):
        return
    colour = {"solved": {"green": True}, "unsolved": {"yellow": True}, "wrong": {"red": True}}[result.verdict]
    write("")
    write(f"{signs[result.verdict]} {exercise.number} {exercise.title}: {exercise.path}", **colour)
    for line in result.message.splitlines():
        # Arrays stay on their line, however long; a hint is prose.
        for part in prose(line) if line.startswith("Hint: ") else [line]:
            write(f"    {part}" if part else "")
    if result.output:
        write("    What your code printed:")
        for line in result.output.rstrip().splitlines():
            write(f"    | {line}")


def write_what_is_next(
    write: Write, checked: Sequence[Exercise], results: Mapping[str, Result], *, solutions: bool = False
) -> None:
    """The first exercise that is not solved, or what to say when all are."""
    unsolved = [e for e in checked if results[e.name].verdict != "solved"]
    write("")
    if unsolved:
        write_task(write, unsolved[0], "Wrong so far" if results[unsolved[0].name].verdict == "wrong" else "Next")
    elif solutions:
        write(f"All {len(checked)} solutions pass.", green=True)
    elif len(checked) == len(exercises()):
        before, after = ("▅▂█▁▇▃▆▄", "▁▂▃▄▅▆▇█") if draws_blocks() else ("5 2 8 1 7 3 6 4", "1 2 3 4 5 6 7 8")
        for line in CELEBRATION.format(before=before, after=after, count=len(checked)).strip("\n").splitlines():
            write(line, green=True)
    elif checked:
        write_solved(write, checked)


def write_solved(write: Write, checked: Sequence[Exercise]) -> None:
    """After some exercises, all solved: why it is so, if it is one, and what follows it in the course."""
    write(
        f"Solved: {checked[0].title}." if len(checked) == 1 else f"All {len(checked)} of these are solved.", green=True
    )
    if len(checked) == 1:
        write("")
        for line in checked[0].explanation.splitlines():
            write(f"    {line}" if line else "")
        write("")
        write(f"    python -m exercises solution {checked[0].number}    compares your answer with the workbook's")
    later = exercises()[exercises().index(checked[-1]) + 1 :]
    if later:
        write("")
        write_task(write, later[0], "What comes after")


def write_task(write: Write, exercise: Exercise, heading: str) -> None:
    """An exercise: where it is, what it asks, and how to get on with it."""
    about = f"{exercise.chapter}, about {exercise.minutes} minutes"
    write(f"{heading}: {exercise.number} {exercise.title}  ({about})", bold=True)
    for line in prose(exercise.summary):
        write(f"    {line}")
    write("")
    write(f"    edit    {exercise.path}")
    write(f"    check   pytest {exercise.path}")
    write(f"    hint    python -m exercises hint {exercise.number}")


def prose(text: str) -> list[str]:
    """A paragraph as lines that fit the terminal, with nothing broken that might be typed."""
    return textwrap.wrap(text, max(30, min(100, columns() - 4)), break_long_words=False, break_on_hyphens=False)


def columns() -> int:
    """How wide the terminal is; wide enough for everything if there is none."""
    return shutil.get_terminal_size((1000, 24)).columns


def draws_blocks() -> bool:
    """Whether the terminal's encoding has the characters of which a bar is drawn."""
    try:
        "█░▁".encode(getattr(sys.__stdout__, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
