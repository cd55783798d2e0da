"""The exercises in course order, read from `solutions/` without running any of it.

A solution is one file, `solutions/<part>/<name>.py`, with everything there is to know about its exercise:

- its docstring is the task, in Markdown, and the first paragraph the task in a sentence;
- between `# --- solution` and `# --- end` stands what the learner writes (see `stubs`);
- below the line `WORKBOOK_PART` come `title`, `minutes`, three `hints`, an `explanation` for after solving, the
  `mistakes` people make with the message that each must produce, and `check(learner)`, which gets the learner's module;
  where they apply, the `primitives` it practises, and the `seconds` after which its check is stopped.

Standard library only: listing the exercises must not take the time that importing JAX takes.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from exercises.machinery import stubs

ROOT = Path(__file__).resolve().parents[2]
EXERCISES = ROOT / "exercises"
SOLUTIONS = ROOT / "solutions"
SECONDS = 20  # an answer takes a small part of this, JAX's compiling included


@dataclass(frozen=True)
class Part:
    """A part of the course: a phase and its chapter, or what comes after them.

    Attributes:
      folder: its folder, in `exercises/` and in `solutions/`.
      label: what its numbers begin with: "2" in exercise 2.3.
      title: its title, for people.
    """

    folder: str
    label: str
    title: str


PARTS = (
    Part("phase1", "1", "Phase 1: the baseline"),
    Part("phase2", "2", "Phase 2: the boundary"),
    Part("phase3", "3", "Phase 3: state"),
    Part("phase4", "4", "Phase 4: control flow"),
    Part("phase5", "5", "Phase 5: the full interpreter"),
    Part("epilogue", "C", "Epilogue: the compiler"),
    Part("detective", "D", "Detective work"),
)


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that people give.

    Attributes:
      name: what is wrong with it, in a few words.
      right: a piece of the solution.
      wrong: what they write instead.
      says: what the message about it must say.
    """

    name: str
    right: str
    wrong: str
    says: str


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes:
      name: the name of its file: `"p2_03_integer_division"`.
      part: where in the course it belongs.
      title: its title, for people.
      task: the task, Markdown; its first paragraph is the task in a sentence.
      minutes: how long it takes.
      hints: three: a direction, the function or rule to look at, nearly the code.
      explanation: why the solution is as it is, Markdown; shown after solving.
      mistakes: wrong answers that people give, and what they must be told.
      primitives: the names of the primitives whose rules it practises.
      seconds: after how long its check is stopped.
    """

    name: str
    part: Part
    title: str
    task: str
    minutes: int
    hints: tuple[str, str, str]
    explanation: str
    mistakes: tuple[Mistake, ...]
    primitives: tuple[str, ...]
    seconds: float

    @property
    def number(self) -> str:
        """Its number in the course: "2.3"."""
        return f"{self.part.label}.{int(self.name.split('_')[1])}"

    @property
    def short_name(self) -> str:
        """The name without its number: "integer_division"."""
        return self.name.split("_", 2)[2]

    @property
    def chapter(self) -> str:
        """The chapter that teaches what it practises."""
        return self.part.title

    @property
    def is_capstone(self) -> bool:
        """Whether it puts the learner's earlier answers together."""
        return self.short_name.startswith("capstone")

    @property
    def summary(self) -> str:
        """The task in a sentence."""
        return " ".join(self.task.split("\n\n")[0].split())

    @property
    def file(self) -> Path:
        """The file that the learner edits."""
        return EXERCISES / self.part.folder / f"{self.name}.py"

    @property
    def solution_file(self) -> Path:
        """The file that everything else comes from."""
        return SOLUTIONS / self.part.folder / f"{self.name}.py"

    @property
    def module(self) -> str:
        """The name under which the solution is imported."""
        return f"solutions.{self.part.folder}.{self.name}"

    @property
    def path(self) -> str:
        """The learner's file as it is typed at the repository's root."""
        return self.file.relative_to(ROOT).as_posix()

    @cached_property
    def source(self) -> str:
        """The text of the solution's file, markers and all."""
        return self.solution_file.read_text(encoding="utf-8")

    @property
    def stub(self) -> str:
        """The text of the exercise's file before anybody has touched it."""
        return stubs.signed(stubs.with_heading(stubs.stub(self.source), self))

    @property
    def solution(self) -> str:
        """The text of the exercise's file once it is solved."""
        return stubs.with_heading(stubs.solution(self.source), self)

    def is_untouched(self) -> bool:
        """Whether the learner's file is as it was generated, by this version of the workbook or an earlier one."""
        return self.file.exists() and stubs.is_untouched(self.text())

    def text(self) -> str:
        """The text of the learner's file, whatever an editor has made of its encoding."""
        return learners_text(self.file)


def learners_text(file: Path) -> str:
    """The text of a file that a learner may have edited: what is no UTF-8 in it does no harm."""
    return file.read_text(encoding="utf-8", errors="replace")


@cache
def exercises() -> tuple[Exercise, ...]:
    """All the exercises, in course order.  The book's pages are made from these."""
    return tuple(
        read(file, part) for part in PARTS for file in sorted((SOLUTIONS / part.folder).glob("[a-z]*_[0-9][0-9]_*.py"))
    )


def read(file: Path, part: Part) -> Exercise:
    """Reads a solution's file, without running it.

    Raises:
      ValueError: if something that an exercise needs is not there.
    """
    tree = ast.parse(file.read_text(encoding="utf-8"))
    known = _constants(tree)
    task = ast.get_docstring(tree)
    missing = [name for name in ("title", "minutes", "hints", "explanation", "mistakes") if name not in known]
    if missing or not task:
        raise ValueError(f"{file}: an exercise needs {', '.join(missing) or 'a docstring'}")
    return Exercise(
        name=file.stem,
        part=part,
        title=known["title"],
        task=task,
        minutes=known["minutes"],
        hints=known["hints"],
        explanation=known["explanation"].strip(),
        mistakes=tuple(Mistake(*mistake) for mistake in known["mistakes"]),
        primitives=known.get("primitives", ()),
        seconds=known.get("seconds", SECONDS),
    )


def exercises_on(primitive: str) -> tuple[Exercise, ...]:
    """The exercises that practise the rule of a primitive: for an index of primitives, `exercises_on("div")`."""
    return tuple(exercise for exercise in exercises() if primitive in exercise.primitives)


def _constants(tree: ast.Module) -> dict[str, Any]:
    """What the module's top level assigns to names, as far as it is written out."""
    known = {}
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                try:
                    known[name] = ast.literal_eval(value)
                except ValueError:
                    continue
    return known


def find(wanted: str) -> Exercise:
    """The exercise that someone means by "2.3", by (the beginning of) its name, or by its file.

    Raises:
      LookupError: if there is none, or more than one.
    """
    name = Path(wanted).stem if wanted.endswith(".py") else wanted
    found = [e for e in exercises() if name.upper() == e.number or name in (e.name, e.short_name)]
    found = found or [e for e in exercises() if e.name.startswith(name) or e.short_name.startswith(name)]
    if len(found) != 1:
        what = "more than one exercise" if found else "no exercise"
        raise LookupError(f"There is {what} called {wanted}; `python -m exercises list` names them all.")
    return found[0]
