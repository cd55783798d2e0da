"""The exercises in the book: a page for each, and the ways that lead there."""

from __future__ import annotations

import re

import pytest

from exercises.machinery import stubs
from exercises.machinery.catalogue import Exercise, exercises

from .conftest import ROOT

pytestmark = pytest.mark.site
EACH = pytest.mark.parametrize("exercise", exercises(), ids=lambda e: e.name)
FOLDED = re.compile(r"^\?\?\? .*\n(?:\n| {4}.*\n?)+", re.MULTILINE)


@pytest.fixture(scope="module")
def exercise_pages():
    import exercise_pages

    return exercise_pages


@EACH
def test_a_page_has_the_task_and_folds_the_hints_and_the_solution(exercise_pages, exercise: Exercise) -> None:
    page = exercise_pages.page(exercise)
    open_at_once = FOLDED.sub("", page)
    assert f"# {exercise.number} {exercise.title}" in open_at_once
    assert exercise.task in open_at_once and f"about {exercise.minutes} minutes" in open_at_once
    assert all(hint in page and hint not in open_at_once for hint in exercise.hints)
    first_line = exercise.explanation.splitlines()[0]
    assert first_line in page and first_line not in open_at_once
    for region in stubs.regions(exercise.source):
        assert region.strip() not in open_at_once


def test_the_list_of_exercises_links_to_each_with_its_time(exercise_pages) -> None:
    listed = exercise_pages.index_page()
    assert all(f"| [{e.title}]({e.name}.md) | {e.summary} | {e.minutes} |" in listed for e in exercises())


def test_the_glossary_or_the_index_of_primitives_leads_to_each_exercise() -> None:
    """The index of primitives is made from what the exercises say they practise.  A capstone repeats."""
    glossary = (ROOT / "book" / "reference" / "glossary.md").read_text(encoding="utf-8")
    lost = [e.number for e in exercises() if f"../exercises/{e.name}.md" not in glossary and not e.primitives]
    by_number = {e.number: e for e in exercises()}
    assert not [n for n in lost if not by_number[n].is_capstone and by_number[n].part.folder != "detective"]


def test_the_glossary_calls_exercises_by_their_numbers() -> None:
    glossary = (ROOT / "book" / "reference" / "glossary.md").read_text(encoding="utf-8")
    links = re.findall(r"\[exercise\s+([\w.]+)\]\(\.\./exercises/(\w+)\.md\)", glossary, flags=re.IGNORECASE)
    assert len(links) > 20 and set(links) <= {(e.number, e.name) for e in exercises()}
