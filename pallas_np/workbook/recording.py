"""A small kernel's run, equation by equation: what each ref and each value held after each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from pallas_np import phase3, phase4, phase5
from pallas_np.frontend import Equation, Jaxpr, KernelCall
from pallas_np.frontend.refs import Index, Slice
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


class Recorder(phase3.Interpreter):
    """Runs a kernel, and keeps what its refs and values hold after each equation.

    A value is looked at again after each later equation.  It should not have changed.
    """

    def __init__(self, rules: Mapping[Any, Callable[..., Any]]):
        super().__init__(rules)
        self.moments: list[Moment] = []
        self.live: dict[str, Any] = {}
        self.depth = 0

    def eval_jaxpr(self, jaxpr: Jaxpr, consts: Sequence[Any], *args: Any) -> list[Any]:
        if jaxpr is not self.call.jaxpr and not self.depth:
            return super().eval_jaxpr(jaxpr, consts, *args)  # an index map
        if jaxpr is self.call.jaxpr:
            self.names = names_in(jaxpr)
            self.live = {self.names[var]: arg for var, arg in zip(jaxpr.invars, args)}
            self.number = {eqn: i for i, eqn in enumerate(jaxpr.eqns)}
            self.note(-1)
        self.depth += 1
        answer = super().eval_jaxpr(jaxpr, consts, *args)
        self.depth -= 1
        return answer

    def eval_equation(self, eqn: Equation, *args: Any) -> Any:
        answer = super().eval_equation(eqn, *args)
        if self.depth == 1:
            results = answer if eqn.multiple_results else [answer]
            if eqn.name != "swap":
                self.live.update((self.names[var], value) for var, value in zip(eqn.outvars, results))
            self.note(self.number[eqn])
        return answer

    def note(self, equation: int) -> None:
        contents = {name: np.array(value) for name, value in self.live.items()}
        self.moments.append(Moment(tuple(map(int, self.grid_index)), equation, contents))


def record(call: KernelCall, *arrays: Any, rules: Mapping[Any, Callable[..., Any]] = RULES) -> Recorder:
    """Runs a small kernel with a table of rules, and records it."""
    recorder = Recorder(rules)
    recorder.run(call, *map(np.asarray, arrays))
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


def names_in(jaxpr: Jaxpr) -> dict[Any, str]:
    """A name for each variable of a kernel: its own name for a ref, a letter for a value, the number for a literal."""
    names: dict[Any, str] = {literal: f"{literal.value}" for literal in jaxpr.literals}
    for number, (var, name) in enumerate(zip(jaxpr.invars, jaxpr.argument_names)):
        names[var] = name or f"ref{number}"
    values = [var for eqn in jaxpr.eqns for var in eqn.outvars if eqn.name != "swap"]
    for number, var in enumerate(values):
        names[var] = chr(ord("a") + number) if number < 26 else f"v{number}"
    return names


def equation_text(eqn: Equation, names: Mapping[Any, str]) -> str:
    """An equation as one would write it: `a = x_ref[0:2]`, `out_ref[...] = a`, `b = mul a 2`."""
    operands = [names.get(atom, "_") for atom in eqn.invars]
    if eqn.name in ("get", "swap"):
        ref, value = operands[0], operands[1] if eqn.name == "swap" else ""
        place = ref + _index_text(eqn.params["transforms"], operands[1 + (eqn.name == "swap") :])
        return f"{place} = {value}" if eqn.name == "swap" else f"{names[eqn.outvars[0]]} = {place}"
    results = ", ".join(names.get(var, "_") for var in eqn.outvars)
    return f"{results} = {eqn.name} {' '.join(operands)}" if results else f"{eqn.name} {' '.join(operands)}"


def _index_text(transforms: Sequence[Any], operands: Sequence[str]) -> str:
    if not transforms:
        return "[...]"
    parts = []
    for transform in transforms:
        if not isinstance(transform, Index):
            return f"[{len(transforms)} transforms]"
        parts.append(f"[{', '.join(_part_text(part, operands) for part in transform.indices)}]")
    return "".join(parts)


def _part_text(part: Any, operands: Sequence[str]) -> str:
    if isinstance(part, Slice) and isinstance(part.start, int) and isinstance(part.size, int):
        stop = part.start + (part.size - 1) * part.stride + 1
        return f"{part.start}:{stop}" + (f":{part.stride}" if part.stride != 1 else "")
    if isinstance(part, Slice):
        return f"ds({_value_text(part.start, operands)}, {_value_text(part.size, operands)})"
    return _value_text(part, operands)


def _value_text(value: Any, operands: Sequence[str]) -> str:
    return operands[value.position] if hasattr(value, "position") else str(value)


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
