"""A small recording as pictures: one after each equation, or one after each program of the grid."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import pairwise

import numpy as np

from pallas_np.inspector.elements import as_matrix, extent, words
from pallas_np.inspector.recording import Launch, RecordedEquation, Recording, Step, Unkept, Value, copy_of
from pallas_np.inspector.stepping import Figure, stepper
from pallas_np.phase2 import uninitialized

MAX_ELEMENTS = 10_000
"""How many elements a figure shows in all its pictures."""

Picture = tuple[str, str]  # its title, in words, and what it shows, as HTML
Marks = Mapping[str, np.ndarray]  # for each kind of mark, which elements have it


def figure(recording: Recording, each: str) -> Figure:
    """The recording as a figure; see `Recording.figure`."""
    pictures_of = {"equation": equation_pictures, "program": program_pictures}
    if each not in pictures_of:
        raise ValueError(f'each={each!r} is neither "equation" nor "program"')
    pictures = pictures_of[each](recording)
    if pictures is None:
        raise ValueError(
            f"a figure of this recording would have more than {MAX_ELEMENTS:,} elements; show the recording itself, "
            "which draws one equation at a time, or record a smaller call"
        )
    if not pictures:
        raise ValueError("no kernel has run a program: there is nothing to draw")
    kernels = ", ".join(dict.fromkeys(launch.kernel for launch in recording.launches))
    what = {
        "equation": f"The equations of {kernels}, and what memory holds after each.",
        "program": f"The grid of {kernels}, one program at a time.",
    }
    return stepper(pictures, what[each])


def equation_pictures(recording: Recording) -> list[Picture] | None:
    """What refs and values hold after each equation of the kernels; `None` if it is too much."""
    return _few(picture for step in recording.steps for picture in _equations_of(step, _name_of(step, recording)))


def program_pictures(recording: Recording) -> list[Picture] | None:
    """The arrays after each program, with its blocks lit; `None` if it is too much."""
    return _few(picture for launch in recording.launches for picture in _programs_of(launch))


def _few(pictures: Iterator[tuple[Picture, int]]) -> list[Picture] | None:
    """The pictures, each of which comes with the number of its elements, if there are not too many."""
    found, elements = [], 0
    for picture, size in pictures:
        elements += size
        if elements > MAX_ELEMENTS:
            return None
        found.append(picture)
    return found


def _name_of(step: Step, recording: Recording) -> str:
    kernel = f"{step.launch.kernel}, " if len(recording.launches) > 1 else ""
    index = f"program {', '.join(map(str, step.index))}" if step.index else ""
    return f"{kernel}{index}".rstrip(", ")


# After each equation.


def _equations_of(step: Step, name: str) -> Iterator[tuple[Picture, int]]:
    own = [number for number, equation in enumerate(step.equations) if equation.parent is None]
    texts = [step.equations[number].site.text for number in own]
    prefix = f"{name}: " if name else ""
    held = {name: copy_of(value) for name, value in step.contents.items()}
    yield (prefix + "before the first equation", _listing(texts, -1) + _memory(held, {})), _size(held)
    for place, (first, last) in enumerate(pairwise([*own, len(step.equations)])):
        marks = _run(step.equations[first:last], held)
        failed = "" if step.equations[first].ended else " (failed here)"
        yield (prefix + texts[place] + failed, _listing(texts, place) + _memory(held, marks)), _size(held)


def _run(equations: Sequence[RecordedEquation], held: dict[str, Value]) -> dict[str, dict[str, np.ndarray]]:
    """Runs an equation and those nested in it on what refs and values hold; returns what they read and wrote."""
    marks: dict[str, dict[str, np.ndarray]] = {}

    def mark(name: str, kind: str, where: np.ndarray) -> None:
        shape = held[name].shape
        marked = marks.setdefault(name, {}).setdefault(kind, np.zeros(math.prod(shape), bool))
        marked[where] = True

    for equation in equations:
        for access in equation.accesses:
            access.apply_to(held)
            if access.ref in held and access.kind != "new":
                where = access.flat_positions(held[access.ref].shape)
                mark(access.ref, "read" if access.kind == "read" else "write", where.reshape(-1))
    for name, value in zip(equations[0].site.results, equations[0].outputs):
        if name != "_" and isinstance(value, np.ndarray | Unkept):
            held[name] = copy_of(value)
            mark(name, "write", np.arange(math.prod(value.shape)))
    return marks


def _listing(texts: Sequence[str], current: int) -> str:
    rows = "".join(
        f'<div class="pnr-row"{" data-now" if number == current else ""}>{escape(text)}</div>'
        for number, text in enumerate(texts)
    )
    return f'<div class="pnr-scroll pnr-program" tabindex="0" role="group" aria-label="Equations">{rows}</div>'


def _memory(held: Mapping[str, Value], marks: Mapping[str, Marks]) -> str:
    rows = []
    for name, value in held.items():
        lines = _rows(value, marks.get(name, {}))
        head = f'<th scope="row" rowspan="{max(len(lines), 1)}">{escape(name)}</th>'
        rows += [f"<tr>{head if number == 0 else ''}{line}</tr>" for number, line in enumerate(lines or [""])]
    return (
        '<div class="pnr-scroll" tabindex="0" role="group" aria-label="Refs and values">'
        f'<table class="pnr-table"><tbody>{"".join(rows)}</tbody></table></div>'
    )


# After each program.


def _programs_of(launch: Launch) -> Iterator[tuple[Picture, int]]:
    whole = _arrays_before(launch)
    for step in launch.steps:
        contents = step.contents_after()
        tables, size = [], 0
        for name, window in step.blocks.items():
            lit = _paste(whole[name], window, contents[name])
            tables.append(_array(name, whole[name], window, {_role(launch, name): lit}))
            size += math.prod(extent(whole[name].shape))
        title = f"after program ({', '.join(map(str, step.index))})"
        yield (title, f'<div class="pnr-refs">{"".join(tables)}</div>'), size


def _arrays_before(launch: Launch) -> dict[str, np.ndarray]:
    """Whole arrays before the first program, by the names of the refs that see their blocks."""
    given = {operand.name: value for operand, value in zip(launch.operands, launch.inputs)}
    operands = {operand.name: operand for operand in launch.operands}
    whole = {}
    for name in launch.steps[0].blocks if launch.steps else ():
        first = name.split("=")[0]  # an input and its alias share a ref
        value, operand = given.get(first), operands[first]
        kept = isinstance(value, np.ndarray)
        whole[name] = np.array(value) if kept else uninitialized(operand.shape, operand.dtype)
    return whole


def _role(launch: Launch, name: str) -> str:
    return next(operand.role for operand in launch.operands if operand.name == name.split("=")[-1])


def _paste(array: np.ndarray, window: Sequence[tuple[int, int]], block: Value) -> np.ndarray:
    """Puts a block into its array, as far as it lies in it; returns where that is."""
    inside = [slice(max(start, 0), min(start + n, size)) for (start, n), size in zip(window, array.shape)]
    if isinstance(block, np.ndarray):
        cut = tuple(slice(part.start - start, part.stop - start) for part, (start, _) in zip(inside, window))
        array[tuple(inside)] = block.reshape([n for _, n in window])[cut]
    lit = np.zeros(array.shape, bool)
    lit[tuple(inside)] = True
    return lit


def _array(name: str, array: np.ndarray, window: Sequence[tuple[int, int]], lit: Marks) -> str:
    where = ", ".join(f"{start}:{start + n}" for start, n in window)
    rows = "".join(f"<tr>{row}</tr>" for row in _rows(array, lit))
    return (
        f'<div class="pnr-value"><div class="pnr-scroll" tabindex="0" role="group" aria-label="{escape(name)}">'
        f'<table class="pnr-table"><caption>{escape(name)}[{where}]</caption><tbody>{rows}</tbody></table></div></div>'
    )


# Cells.

ATTRIBUTES = {
    "read": " data-read",
    "write": " data-write",
    "input": ' data-lit="input"',
    "output": ' data-lit="output"',
}
"""How a cell of each kind is marked; of what is both read and written, the write."""


def _rows(value: Value, marks: Marks) -> list[str]:
    """The cells of each row of what is shown of an array."""
    if isinstance(value, Unkept):
        return ["<td>not kept</td>"]
    rows, columns = extent(value.shape)
    part = as_matrix(value)[:rows, :columns]
    texts = iter(words(part.reshape(-1)).split(" "))
    kinds = np.full(part.shape, "", object)
    for kind, attribute in ATTRIBUTES.items():
        if kind in marks:
            kinds[as_matrix(marks[kind].reshape(value.shape))[:rows, :columns]] = attribute
    cells = [[f"<td{kind}>{'–' if text == '-' else text}</td>" for kind, text in zip(row, texts)] for row in kinds]
    return ["".join(row) for row in cells]


def _size(held: Mapping[str, Value]) -> int:
    return sum(math.prod(extent(value.shape)) for value in held.values())
