"""A recording as a page: what a notebook shows, and a file of its own.

`viewer.js` makes the page interactive, from the data that this module writes into it.  Without scripts, and on paper,
it is a listing, of a small recording with the pictures of its figure.  A page needs no network, and shows the leading
part of large arrays.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from pallas_np.inspector.elements import as_matrix, extent, words
from pallas_np.inspector.figure import equation_pictures
from pallas_np.inspector.recording import (
    Launch,
    RecordedAccess,
    RecordedEquation,
    Recording,
    RefName,
    Site,
    Step,
    Value,
)
from pallas_np.inspector.saving import refuse_to_replace
from pallas_np.inspector.stepping import column, script, style

MAX_ELEMENTS = 400_000
"""How many elements a page in a notebook holds in all; a file holds ten times as many."""
MAX_LISTED = 200
"""How many equations the listing has that is read without scripts."""


def notebook_html(recording: Recording) -> str:
    """The recording as a part of a page."""
    return _fragment(recording, MAX_ELEMENTS, level=3)


def save_html(recording: Recording, path: Path, overwrite: bool) -> Path:
    """Writes the recording as a page of its own; see `Recording.save_html`.

    Raises:
      FileExistsError: if there is such a file, and it is not to be replaced.
    """
    refuse_to_replace(path, overwrite)
    title = escape(", ".join(dict.fromkeys(launch.kernel for launch in recording.launches)) or "no kernel")
    page = (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>Recording of {title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<style>:root{color-scheme:light dark}body{margin:0 auto;padding:1rem;max-width:80rem;"
        "font:1rem/1.5 system-ui,sans-serif;background:Canvas;color:CanvasText}"
        f"h1{{font-size:1.3rem;margin:0}}</style>\n</head>\n<body>\n<main>\n<h1>Recording of {title}</h1>\n"
        f"{_fragment(recording, 10 * MAX_ELEMENTS, level=2)}\n</main>\n</body>\n</html>\n"
    )
    path.write_text(page, encoding="utf-8")
    return path


def _fragment(recording: Recording, max_elements: int, level: int) -> str:
    """The recording as HTML, with headings from this level on."""
    data = _Data(max_elements).describe(recording)
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    identity = "pallas-np-" + hashlib.sha256(text.encode()).hexdigest()[:12]
    return (
        f'{style("viewer.css")}\n<div class="pnr" id="{identity}" data-level="{level}">\n'
        f'<div class="pnr-listing">{_listing(recording)}</div>\n'
        f'<script type="application/json">{text}</script>\n</div>\n'
        f"{script('viewer.js', identity)}"
    )


# What the script reads.


class _Data:
    """The recording as plain data, with each value once, in words, up to a limit."""

    def __init__(self, max_elements: int):
        self.left = max_elements
        self.values: list[dict[str, Any]] = []
        self._numbers: dict[int, int] = {}
        self._sites: dict[Site, int] = {}
        self._cut = ""

    def describe(self, recording: Recording) -> dict[str, Any]:
        launches = [self._launch(launch) for launch in recording.launches]
        return {
            "launches": launches,
            "sites": [_site(site) for site in self._sites],
            "sources": {file: sorted(lines.items()) for file, lines in recording.sources.items()},
            "values": self.values,
            "notices": [*map(str, recording.cuts), *([self._cut] if self._cut else [])],
            "error": None if recording.error is None else str(recording.error),
        }

    def _launch(self, launch: Launch) -> dict[str, Any]:
        steps = []
        for step in launch.steps:
            if self.left <= 0:
                self._cut = self._cut or (
                    f"this page ends before step {step.index} of {launch.kernel}; the recording itself has more"
                )
                break
            steps.append(self._step(step))
        operands = [{"name": o.name, "role": o.role, "shape": o.shape, "dtype": o.dtype.name} for o in launch.operands]
        facts = {"kernel": launch.kernel, "grid": launch.grid, "engine": launch.engine}
        return {**facts, "operands": operands, "steps": steps}

    def _step(self, step: Step) -> dict[str, Any]:
        shapes = {name: value.shape for name, value in step.contents.items()}
        return {
            "index": step.index,
            "blocks": step.blocks,
            "contents": {name: self._value(value) for name, value in step.contents.items()},
            "equations": [self._equation(equation, shapes) for equation in step.equations],
        }

    def _equation(self, equation: RecordedEquation, shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
        self.left -= 10
        line = equation.line
        return {
            "site": self._sites.setdefault(equation.site, len(self._sites)),
            "number": equation.number,
            "depth": equation.depth,
            "line": None if line is None else [line.file, line.number],
            "inputs": [self._value(value) for value in equation.inputs],
            "outputs": [self._value(value) for value in equation.outputs],
            "accesses": [self._access(access, shapes) for access in equation.accesses],
            "ended": equation.ended,
        }

    def _access(self, access: RecordedAccess, shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
        """Where in what is shown of the ref, as runs `[first, length]`, and what it holds there afterwards."""
        facts = {"kind": access.kind, "ref": access.ref}
        if access.kind == "new":
            shapes[access.ref] = access.after.shape
            return {**facts, "value": self._value(access.after)}
        if access.ref not in shapes or not isinstance(access.after, np.ndarray):
            return {**facts, "runs": [], "after": "", "lost": True}
        where = access.flat_positions(shapes[access.ref])
        shown, inside = _positions_shown(where, shapes[access.ref])
        after = "" if access.kind == "read" else words(access.after.reshape(-1)[inside])
        self.left -= 0 if access.kind == "read" else shown.size
        return {**facts, "runs": _runs(shown), "after": after}

    def _value(self, value: Value | RefName) -> Any:
        """The number of a value among all, or the name of a ref."""
        if isinstance(value, RefName):
            return value.name
        if id(value) not in self._numbers:
            self._numbers[id(value)] = len(self.values)
            facts: dict[str, Any] = {"dtype": value.dtype.name, "shape": value.shape}
            if isinstance(value, np.ndarray):
                rows, columns = extent(value.shape)
                part = as_matrix(value)[:rows, :columns]
                facts |= {"rows": part.shape[0], "columns": part.shape[1], "words": words(part.reshape(-1))}
                self.left -= part.size
            self.values.append(facts)
        return self._numbers[id(value)]


def _site(site: Site) -> dict[str, Any]:
    return {"primitive": site.primitive, "text": site.text, "operands": site.operands, "results": site.results}


def _positions_shown(positions: np.ndarray, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Positions in an array as positions in what is shown of it, and which of them are."""
    rows, columns = extent(shape)
    row, column = np.divmod(positions.reshape(-1), max(shape[-1] if shape else 1, 1))
    inside = (row < rows) & (column < columns)
    return (row * columns + column)[inside], inside


def _runs(positions: np.ndarray) -> list[list[int]]:
    """Positions as runs of neighbours: the first, and how many."""
    if not positions.size:
        return []
    ends = np.flatnonzero(np.diff(positions) != 1) + 1
    return [[int(run[0]), run.size] for run in np.split(positions, ends)]


# What stands there without scripts, and on paper.


def _listing(recording: Recording) -> str:
    """The recording as text: launches, blocks, equations, and what refs hold in the end."""
    parts = [f"<p><strong>{escape(line)}</strong></p>" for line in repr(recording).splitlines()]
    if recording.error is not None:
        parts.append(f"<pre>{escape(str(recording.error))}</pre>")
    for launch in recording.launches:
        parts.append(_steps_table(launch))
    parts.append(_equations_table(recording))
    parts.append(_contents(recording))
    return "\n".join(parts)


def _contents(recording: Recording) -> str:
    """What refs hold: after each equation where it is little, else in the end."""
    pictures = equation_pictures(recording)
    if pictures is not None:
        return column(pictures)
    last = recording.steps[-1]
    parts = [f"<p>What refs hold at the end of step {last.index}:</p>"]
    for name, value in last.contents_after().items():
        shown = np.array2string(value, threshold=200) if isinstance(value, np.ndarray) else "not kept"
        parts.append(f"<p><code>{escape(name)}</code></p><pre>{escape(shown)}</pre>")
    return "\n".join(parts)


def _steps_table(launch: Launch) -> str:
    names = list(launch.steps[0].blocks) if launch.steps else []
    rows = (
        [str(step.index), *(", ".join(f"{start}:{start + n}" for start, n in step.blocks[name]) for name in names)]
        for step in launch.steps[:MAX_LISTED]
    )
    return _table(f"The blocks of {launch.kernel} on grid {launch.grid}", ["step", *names], rows)


def _equations_table(recording: Recording) -> str:
    equations = recording.equations
    rows = ([str(e.step.index), "  " * e.depth + e.site.text, str(e.line or "")] for e in equations[:MAX_LISTED])
    title = "The equations" if len(equations) <= MAX_LISTED else f"The first {MAX_LISTED} of {len(equations)} equations"
    return _table(title, ["step", "equation", "line"], rows)


def _table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="pnr-scroll" tabindex="0"><table class="pnr-table"><caption>{escape(title)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
