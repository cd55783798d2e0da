"""A page for each exercise, and one that lists them all, made from `solutions/` when the site is built.

The pages are no files: they are added to the site, and to its navigation before the reference, from the same source
that the exercises are generated from.
"""

import re
import sys
from itertools import groupby
from pathlib import Path
from textwrap import indent
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import exercise_figures  # noqa: E402
from mkdocs.config.defaults import MkDocsConfig  # noqa: E402
from mkdocs.structure.files import File, Files  # noqa: E402

from exercises.machinery import stubs  # noqa: E402
from exercises.machinery.catalogue import Exercise, exercises  # noqa: E402

INDEX = "exercises/index.md"
BEFORE = "Reference"  # the part of the navigation that the exercises stand in front of


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    if config.nav is not None:
        titles = [next(iter(entry)) for entry in config.nav]
        place = titles.index(BEFORE) if BEFORE in titles else len(titles)
        config.nav.insert(place, {"Exercises": navigation()})
    return config


def navigation() -> list[dict[str, Any]]:
    """The list of all exercises, and then the exercises part by part."""
    parts = groupby(exercises(), key=lambda exercise: exercise.part)
    return [
        {"All exercises": INDEX},
        *({part.title: [{f"{e.number} {e.title}": page_of(e)} for e in members]} for part, members in parts),
    ]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    files.append(File.generated(config, INDEX, content=index_page()))
    for exercise in exercises():
        files.append(File.generated(config, page_of(exercise), content=page(exercise)))
    return files


def page_of(exercise: Exercise) -> str:
    return f"exercises/{exercise.name}.md"


def index_page() -> str:
    """All the exercises in course order, with the time they take."""
    hours = sum(exercise.minutes for exercise in exercises()) / 60
    lines = [
        "---",
        "description: All exercises in course order, with what each asks and the time it takes.",
        "---",
        "",
        "# All exercises",
        "",
        f"{len(exercises())} exercises, about {hours:.0f} hours in all. `python -m exercises next` shows the next one, "
        "and [How to use the workbook](../workbook.md) says how they are done.",
    ]
    for part, members in groupby(exercises(), key=lambda exercise: exercise.part):
        lines += ["", f"## {part.title}", "", "| Number | Exercise | What to do | Minutes |", "|---|---|---|---:|"]
        lines += [f"| {e.number} | [{e.title}]({e.name}.md) | {e.summary} | {e.minutes} |" for e in members]
    return "\n".join(lines) + "\n"


def page(exercise: Exercise) -> str:
    """The task, its figure, the file as it is found, and, folded, the hints and the solution with its explanation."""
    hints = zip(("a direction", "where to look", "nearly the code"), exercise.hints)
    return "\n\n".join(
        [
            f"---\ndescription: {quoted(exercise.summary)}\n---",
            f"# {exercise.number} {exercise.title}",
            f"{chapter(exercise)}, about {exercise.minutes} minutes. The file is `{exercise.path}`.",
            exercise.task,
            *filter(None, [exercise_figures.figure(exercise.short_name)]),
            "## The file",
            python(stubs.unsigned(exercise.stub)),
            f"Check it with `pytest {exercise.path}`.",
            "## Hints",
            *(folded("question", f"Hint {i}: {kind}", hint) for i, (kind, hint) in enumerate(hints, 1)),
            "## The solution",
            folded("success", "The solution, and why", f"{python(exercise.solution)}\n\n{exercise.explanation}"),
        ]
    )


def chapter(exercise: Exercise) -> str:
    notebook = f"phases/{exercise.part.folder}.ipynb"
    return f"[{exercise.chapter}](../{notebook})" if (ROOT / "book" / notebook).exists() else exercise.chapter


def quoted(text: str) -> str:
    """Text as a YAML string, without the marks of code."""
    return '"' + text.replace("`", "").replace("\\", "\\\\").replace('"', '\\"') + '"'


def python(source: str) -> str:
    """A file of Python as a block of code, without the docstring that says what the page says."""
    code = re.sub(r'\A""".*?"""\n+', "", source, flags=re.DOTALL)
    return f"```python\n{code.strip()}\n```"


def folded(kind: str, title: str, text: str) -> str:
    return f'??? {kind} "{title}"\n\n{indent(text, "    ")}'
