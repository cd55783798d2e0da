"""The parts of pages that the build computes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .conftest import ROOT

pytestmark = pytest.mark.site
MARKS = re.compile(r"<!-- generated: ([\w-]+)")


@pytest.fixture(scope="module")
def generated():
    import generated

    return generated


def test_every_mark_stands_for_something(generated):
    marks = {mark for page in (ROOT / "book").rglob("*.md") for mark in MARKS.findall(page.read_text("utf-8"))}
    assert marks and marks <= set(generated.PARTS)


def test_an_unknown_mark_is_a_warning(generated, caplog):
    assert generated.part("nothing") == ""
    assert "stands for nothing" in caplog.text


def test_the_first_page_says_what_a_second_call_takes(generated, monkeypatch):
    from pallas_np.phase_benchmark import COMPILER, PHASES, TIERED, Measurement

    warm = {**dict.fromkeys(PHASES, 0.1), 1: 4e-4, 5: 0.016, COMPILER: 8e-4, TIERED: 7e-4}
    measured = [Measurement(phase, 1.0 / phase, 0.1, warm[phase], True, 0, 1, {}) for phase in warm]
    monkeypatch.setattr(generated, "measurements", lambda: measured)
    text = generated.benchmark_warm_sentence()
    assert "0.4 ms with `interpret=True` and 16 ms in phase 5" in text and "takes 0.8 ms" in text
    assert "walks the first call, which takes 143 ms" in text
    assert "**200 ms** in phase 5: 5 times as fast" in generated.benchmark_sentence()


def test_every_primitive_says_what_it_does(generated):
    """By its rule's docstring, or else in `generated.STRUCTURE`."""
    rows = [row for row in generated.primitives().splitlines() if row.startswith("| `")]
    undescribed = [row.split("|")[1] for row in rows if row.split("|")[2].strip().startswith("<br>")]
    assert len(rows) > 100 and not undescribed


def test_every_rule_has_a_row(generated):
    from pallas_np import phase5

    text = generated.primitives()
    names = {p.name for p in phase5.numpy_rules if generated.in_this_release(p)}
    assert not {name for name in names if f"| `{name}` |" not in text}


def test_every_option_has_its_values_its_flag_and_a_meaning(generated):
    import dataclasses

    from pallas_np import __main__ as command_line
    from pallas_np.options import ACCEPTED, Options

    text = generated.options()
    meanings = generated.attributes(Options)
    assert list(meanings) == [field.name for field in dataclasses.fields(Options)]
    for field in dataclasses.fields(Options):
        paragraph = text.split(f"### `{field.name}`")[1].split("###")[0]
        assert meanings[field.name] in paragraph and f"Default: `{field.default!r}`" in paragraph
        assert all(f"`{value!r}`" in paragraph for value in ACCEPTED.get(field.name, ()))
    with pytest.raises(SystemExit):
        command_line.main(["run", *re.findall(r"`(--[\w-]+)`", text), "--help"])


def test_the_table_of_coverage_has_every_primitive_and_its_totals(generated):
    from pallas_np.primitive_coverage import all_primitives

    text, table = generated.coverage(), all_primitives()
    assert table.summary in text
    assert [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")] == [
        row.primitive for row in table.rows
    ]
    assert "| `reduce_sum` | 5 | pallas_np | `lax_numpy.reductions.reduce_sum` | " in text
    assert "| `all_reduce_ffs` | - | unsupported |  | " in text


def test_chapters_are_those_of_the_book(generated):
    listed = {Path(f"{name}.ipynb") for name in generated.CHAPTERS}
    notebooks = {path.relative_to(ROOT / "book") for path in (ROOT / "book").rglob("*.ipynb")}
    assert listed == {path for path in notebooks if ".ipynb_checkpoints" not in path.parts}
    assert generated.chapters().count("\n") == len(listed) + 1


def test_docstrings_become_definition_lists(generated):
    text = generated.docstring_as_markdown(
        "What it does.\n\nArgs:\n  x: an array,\n    of any shape.\n  *more: others."
    )
    assert text == "What it does.\n\n\n**Arguments**\n\n\n`x`\n:   an array,\n    of any shape.\n\n`*more`\n:   others."


def test_long_signatures_have_a_line_for_each_argument(generated):
    def function(first, second=1, *, third_with_a_long_name="a long default", fourth_with_a_long_name=None):
        pass

    assert generated.signature("function", function) == (
        "function(\n    first,\n    second=1,\n    *,\n    third_with_a_long_name='a long default',\n"
        "    fourth_with_a_long_name=None,\n)"
    )


def test_signatures_name_the_table_of_rules(generated):
    from pallas_np import phase5

    assert generated.signature("eval_jaxpr", phase5.eval_jaxpr) == (
        "eval_jaxpr(jaxpr, consts, *args, rules=numpy_rules)"
    )


def test_figures_are_those_of_exercises():
    import exercise_figures

    from exercises.machinery.catalogue import exercises

    assert {*exercise_figures.FIGURES} <= {exercise.short_name for exercise in exercises()}
    assert exercise_figures.figure("no_such_exercise") == ""


def test_a_figure_shows_what_ran():
    import exercise_figures

    description = re.search(r'aria-label="([^"]*)"', exercise_figures.figure("integer_division"))[1]
    assert "a // b: 3 -4 -4 3, marked at 1, 2; lax.div(a, b): 3 -3 -3 3" in description


def test_every_mistake_raises_the_kind_it_stands_under(generated):
    import mistakes

    import pallas_np

    for name, examples in mistakes.MISTAKES.items():
        for mistake in examples:
            assert type(mistakes.told(mistake)) is getattr(pallas_np, name)


def test_the_page_of_errors_has_every_kind_and_no_machines_paths(generated):
    import mistakes

    page = generated.errors()
    assert len(mistakes.kinds()) == page.count("\n### `") + 1 == 8
    assert "index 8 of axis 0 lies outside a ref of shape (8,)" in page and 'mistakes.py", line' in page
    assert str(ROOT) not in page
