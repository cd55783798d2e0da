"""A small kernel's run, equation by equation: what each ref and each value held after each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from pallas_np import phase4, phase5
from pallas_np.frontend import Equation, KernelCall
from pallas_np.inspector.observed import Observed, Observer, Ref
from pallas_np.inspector.text import equation_text, names_in
from pallas_np.phase5.grid import Window
from pallas_np.workbook.display import Html
from pallas_np.workbook.stepper import stepper

# Memory as phase 3 has it, one NumPy array for each ref; everything else as phase 5 has it.
RULES: Mapping[Any, Callable[..., Any]] = {**phase5.numpy_rules, **phase4.numpy_rules}


@dataclass(frozen=True)
class Moment:
    """What a program's memory holds at one moment.

    Attributes:
      program: the program's index in the grid.
      equation: the number of the equation that has just run; -1 before the first.
      contents: the contents of each ref, and of each value that an equation has defined, by name.
    """

    program: tuple[int, ...]
    equation: int
    contents: dict[str, np.ndarray]


class Recorder(Observer):
    """Keeps what a kernel's refs and values hold after each of its equations.

    A value is looked at again after each later equation.  It should not have changed.
    """

    wants_accesses = False  # with a faulty table of rules, nobody tells of them

    def __init__(self, call: KernelCall) -> None:
        self.names = names_in(call.jaxpr)
        self.number = {eqn: i for i, eqn in enumerate(call.jaxpr.eqns)}
        self.moments: list[Moment] = []
        self.live: dict[str, Any] = {}

    def step_begins(self, at: Observed, windows: Sequence[Window], refs: Sequence[Ref]) -> None:
        self.live = {self.names[var]: ref.array for var, ref in zip(at.call.jaxpr.invars, refs)}
        self.note(at, -1)

    def equation_ends(self, at: Observed, eqn: Equation, args: Sequence[Any], results: Sequence[Any]) -> None:
        if len(at.equations) == 1:
            self.live.update((self.names[var], value) for var, value in zip(eqn.outvars, results) if var in self.names)
            self.note(at, self.number[eqn])

    def note(self, at: Observed, equation: int) -> None:
        contents = {name: np.array(value) for name, value in self.live.items()}
        self.moments.append(Moment(tuple(map(int, at.grid_index)), equation, contents))


def record(call: KernelCall, *arrays: Any, rules: Mapping[Any, Callable[..., Any]] = RULES) -> Recorder:
    """Runs a small kernel with a table of rules, and keeps its moments."""
    recorder = Recorder(call)
    Observed(recorder, {**RULES, **rules}).run(call, *map(np.asarray, arrays))
    return recorder


def equation_stepper(call: KernelCall, *arrays: Any, rules: Mapping[Any, Callable[..., Any]] = RULES) -> Html:
    """A kernel's equations to step through, with the contents of its refs and values after each.

    Args:
      call: a call with few equations and small blocks.
      *arrays: its operands.
      rules: the table to run it with.
    """
    recorder = record(call, *arrays, rules=rules)
    lines = [equation_text(eqn, recorder.names) for eqn in call.jaxpr.eqns]
    steps = []
    before: dict[str, np.ndarray] = {}
    for moment in recorder.moments:
        if moment.equation < 0:
            before = moment.contents
        program = f"program {', '.join(map(str, moment.program))}: " if moment.program else ""
        title = program + (lines[moment.equation] if moment.equation >= 0 else "before the first equation")
        steps.append((title, _listing(lines, moment.equation) + _memory(moment.contents, before)))
        before = moment.contents
    return stepper(steps, f"The equations of {call.jaxpr.name or 'the kernel'}, and what memory holds after each.")


def _listing(lines: Sequence[str], current: int) -> str:
    def line(number: int, text: str) -> str:
        style = "font-weight:700" if number == current else "opacity:.75"
        return f'<div style="{style}">{"▸" if number == current else "&nbsp;"} {escape(text)}</div>'

    inside = "".join(line(number, text) for number, text in enumerate(lines))
    return (
        '<div tabindex="0" style="font-family:var(--md-code-font,ui-monospace,monospace);font-size:.8em;'
        f'line-height:1.5;overflow-x:auto;white-space:nowrap;margin:.4em 0">{inside}</div>'
    )


def _memory(contents: Mapping[str, np.ndarray], before: Mapping[str, np.ndarray]) -> str:
    rows = []
    for name, value in contents.items():
        old = before.get(name)
        lines = np.atleast_2d(value).reshape(-1, np.shape(value)[-1] if np.ndim(value) else 1)
        olds = None if old is None else np.asarray(old).reshape(lines.shape)
        for row, line in enumerate(lines):
            cells = "".join(_cell(x, olds is None or not _same(x, olds[row, i])) for i, x in enumerate(line))
            label = name if row == 0 else ""
            name_and_cells = f'<span style="min-width:8em">{label}</span>{cells}'
            rows.append(f'<div style="display:flex;gap:2px;margin:2px 0">{name_and_cells}</div>')
    return (
        '<div tabindex="0" style="font-family:var(--md-code-font,ui-monospace,monospace);font-size:.8em;'
        f'overflow-x:auto">{"".join(rows)}</div>'
    )


def _cell(value: Any, changed: bool) -> str:
    text = "–" if untouched(value) else f"{value:g}" if value.dtype.kind == "f" else f"{value}"
    colour = "var(--figure-2,#cf6a1e)" if changed and text != "–" else "currentColor"
    edge = f"border:{2 if changed and text != '–' else 1}px solid {colour}"
    return f'<span style="min-width:2.4em;text-align:center;padding:.1em .3em;border-radius:3px;{edge}">{text}</span>'


def untouched(value: Any) -> bool:
    """Whether this is what memory holds that nobody wrote to."""
    if value.dtype.kind == "f":
        return bool(np.isnan(value))
    return value.dtype.kind == "i" and value == np.iinfo(value.dtype).min


def _same(a: Any, b: Any) -> bool:
    return bool(a == b) or (untouched(a) and untouched(b))
