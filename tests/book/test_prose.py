"""The book's words: chapters of one shape, terms that mean one thing, code in pages that runs, no machine in sight."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from exercises.machinery.catalogue import exercises

BOOK = Path(__file__).resolve().parents[2] / "book"
NOTEBOOKS = sorted(path for path in BOOK.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
PAGES = sorted(BOOK.rglob("*.md"))
CHAPTERS = [path for path in NOTEBOOKS if path.parent.name == "phases"]

# The headings that every phase's chapter has, in this order.
SHAPE = [
    "Predict first",
    "Build it",
    "Run the sort on it",
    "What it cost",
    "What changed since",
    "How JAX really does it",
    "Exercises",
    "Recap",
]
# What we call things, and what we therefore do not call them.
OTHER_NAMES = {
    # Terms.
    r"(?i)\bjax[ -]prs?\b": "jaxpr",
    r"(?i)\bsub-?jaxprs?\b": "a jaxpr inside another",
    r"\b[Ff]allback\b": "fall-back",
    r"(?i)\bcall-backs?\b": "callback",
    r"\b[Bb]lockspec\b|\bblock-spec\b": "block spec",
    r"(?i)\bindex[- ]mappings?\b|\bindex-maps?\b": "index map",
    r"(?i)\btiles?\b|\btiling\b": "block",
    r"(?i)\bgrid[- ](?:points?|cells?)\b": "program",
    r"(?i)\bpointers?\b": "ref",
    r"(?i)\bscratch-?pads?\b": "scratch",
    r"\bpre-fetch": "prefetch",
    r"(?i)\bsemaphors?\b": "semaphore",
    r"(?i)\bop-?codes?\b|\binstructions? set\b": "primitive",
    r"(?i)\bops?\b": "operation",
    r"(?i)\bdata[- ]?types?\b": "dtype",
    r"\b[Ii]nterpretor\b": "interpreter",
    r"(?i)\bun-?initialized\b": "uninitialised",
    # Names.
    r"\bNumpy\b|(?<![\w./`])numpy(?![\w./`_])": "NumPy",
    r"(?<![\w./`_])(?:jax|Jax)(?![\w./`_])": "JAX",
    r"(?<![\w./`_])(?:pallas|PALLAS)(?![\w./`_])": "Pallas",
    r"\bGithub\b": "GitHub",
    r"\b(?:bf16|BF16|fp32|FP32|f32|fp16)\b": "bfloat16, float32, float16",
    # Units.
    r"\d\s?(?:usec|us|mus|msec|msecs|secs?)\b": "µs or microseconds, ms, s",
    r"\d(?:ms|µs|KB|MB|GB)\b": "a space before the unit",
    # Spelling, and plain words.
    r"(?i)\butili[sz]e": "use",
    r"(?i)\b(?:behavior|color|neighbor|center|optimiz|vectoriz|initializ|normaliz|analyz)": "British spelling",
    r"(?i)\b(?:leverag(?:e|es|ing)|in order to|prior to|via)\b": "a plain word",
}
MARKETING = r"(?i)\b(blazing|seamless|powerful|effortless|simply put|cutting[- ]edge|game[- ]chang|awesome|amazing)"
EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf]")


def cells(path: Path, kind: str) -> list[str]:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == kind]


def prose(path: Path) -> str:
    """The text of a page or notebook without its code."""
    text = path.read_text(encoding="utf-8") if path.suffix == ".md" else "\n\n".join(cells(path, "markdown"))
    return without_code(re.sub(r"^---\n.*?\n---\n", "", text, flags=re.DOTALL))


def without_code(text: str) -> str:
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return re.sub(r"`[^`]*`|<code>.*?</code>|\]\([^)]*\)|<[^>]+>", "", text)


def other_names(text: str) -> dict[str, list[str]]:
    """What a text calls by another name than ours, by the name that it should have."""
    found = {ours: re.findall(pattern, text) for pattern, ours in OTHER_NAMES.items()}
    return {ours: others for ours, others in found.items() if others}


def names(paths: list[Path]) -> list[str]:
    return [path.relative_to(BOOK).as_posix() for path in paths]


@pytest.mark.parametrize("path", CHAPTERS, ids=names(CHAPTERS))
def test_every_phase_has_the_same_shape(path):
    headings = re.findall(r"^## (.*)$", "\n".join(cells(path, "markdown")), flags=re.MULTILINE)
    expected = SHAPE if path.stem != "phase1" else [part for part in SHAPE if not part.startswith("What changed")]
    assert [next((part for part in SHAPE if heading.startswith(part)), heading) for heading in headings] == expected


@pytest.mark.parametrize("path", CHAPTERS, ids=names(CHAPTERS))
def test_every_phase_begins_with_what_why_and_how_long(path):
    opening = cells(path, "markdown")[0]
    for part in ("**What you will build:**", "**Time:**", "**You need:**"):
        assert part in opening


@pytest.mark.parametrize("path", CHAPTERS, ids=names(CHAPTERS))
def test_every_phase_asks_before_it_tells(path):
    opening = "\n".join(cells(path, "markdown"))
    predicted = opening.partition("## Predict first")[2].partition("## Build it")[0]
    assert predicted.count("<details><summary>") == predicted.count("</details>") >= 2


@pytest.mark.parametrize("path", CHAPTERS, ids=names(CHAPTERS))
def test_every_phase_shows_the_packages_own_source_and_measures(path):
    code = "\n".join(cells(path, "code"))
    assert "workbook.show(" in code and "workbook.measure(" in code and "workbook.exercises(" in code
    assert "all(m.correct for m in measured)" in code


@pytest.mark.parametrize("path", NOTEBOOKS, ids=names(NOTEBOOKS))
def test_notebooks_check_what_they_say(path):
    code = "\n".join(cells(path, "code"))
    assert sum(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(code))) >= 3


@pytest.mark.parametrize("path", NOTEBOOKS, ids=names(NOTEBOOKS))
def test_notebooks_use_no_admonitions_that_jupyter_prints(path):
    assert not [line for line in "\n".join(cells(path, "markdown")).splitlines() if re.match(r"(!!!|\?\?\?)", line)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=names(NOTEBOOKS))
def test_links_work_in_jupyter_too(path):
    """There a link names a file, and a section as its heading is written, with dashes."""
    text = "\n".join(cells(path, "markdown"))
    for address in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'href="([^"]+)"', text):
        if "://" in address:
            continue
        name, _, section = address.partition("#")
        target = path.parent / name if name else path
        assert target.is_file(), address
        headings = re.findall(r"^#+ (.*)$", "\n".join(cells(target, "markdown")) if section else "", re.MULTILINE)
        assert not section or section in [re.sub(r"[`*]", "", heading).replace(" ", "-") for heading in headings], (
            address
        )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=names(NOTEBOOKS))
def test_cells_have_names_of_their_own(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    identities = [cell["id"] for cell in notebook["cells"]]
    assert len(set(identities)) == len(identities)
    assert set(notebook["metadata"]) <= {"kernelspec", "language_info"}


@pytest.mark.parametrize("path", PAGES + NOTEBOOKS, ids=names(PAGES + NOTEBOOKS))
def test_things_are_called_what_we_call_them(path):
    assert not other_names(prose(path))


@pytest.mark.parametrize("exercise", exercises(), ids=lambda exercise: exercise.name)
def test_exercises_speak_the_books_language(exercise):
    text = without_code("\n\n".join([exercise.title, exercise.task, *exercise.hints, exercise.explanation]))
    assert not other_names(text)
    assert not re.findall(MARKETING, text) and not EMOJI.findall(text)


@pytest.mark.parametrize("path", PAGES + NOTEBOOKS, ids=names(PAGES + NOTEBOOKS))
def test_nothing_is_advertised(path):
    text = prose(path)
    assert not re.findall(MARKETING, text)
    assert not EMOJI.findall(text)


@pytest.mark.parametrize("path", PAGES, ids=names(PAGES))
def test_python_in_pages_runs(path):
    for block in re.findall(
        r"^```(?:python|py)\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    ):
        exec(compile(block, f"{path.name}", "exec"), {"__name__": "__main__"})


def test_terms_in_the_glossary_are_in_order_and_in_use():
    glossary = (BOOK / "reference" / "glossary.md").read_text(encoding="utf-8")
    terms = re.findall(r"^## (.*)$", glossary, flags=re.MULTILINE)
    assert len(terms) > 40
    assert terms == sorted(terms, key=str.lower)
    rest = "\n".join(prose(path) for path in PAGES + NOTEBOOKS if path.name != "glossary.md").lower()
    unused = [term for term in terms if not any(word.strip().lower() in rest for word in term.split(","))]
    assert not unused


def test_the_glossary_says_where_each_term_is_explained():
    glossary = (BOOK / "reference" / "glossary.md").read_text(encoding="utf-8")
    entries = re.findall(r"^## (.*)\n\n((?:.+\n)+)", glossary, flags=re.MULTILINE)
    assert not [term for term, text in entries if "](" not in text]
