"""Figures of what ran, as SVG in the page's own colours, light or dark, each with a description in words.

Text and lines take the colour of the text around them.  The others are the custom properties `--figure-1` to
`--figure-3` of the page, with defaults that can be told from a light and from a dark background.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from pallas_np import phase5
from pallas_np.inspector.stepping import Figure, stepper
from pallas_np.phase_benchmark import Measurement
from pallas_np.workbook.comparison import milliseconds, owners, phase_module, sort_kernel
from pallas_np.workbook.display import Html
from pallas_np.workbook.recording import record

STYLE = """
.fig text{fill:currentColor;font:12px var(--md-text-font,system-ui,sans-serif)}
.fig .mono{font-family:var(--md-code-font,ui-monospace,monospace)}
.fig .small{font-size:11px}.fig .mid{text-anchor:middle}.fig .end{text-anchor:end}
.fig .line{stroke:currentColor;stroke-opacity:.35;fill:none}.fig .faint{stroke:currentColor;stroke-opacity:.15}
.fig .s1{stroke:var(--figure-1,#3d7cc4)}.fig .s2{stroke:var(--figure-2,#cf6a1e)}
.fig .f1{fill:var(--figure-1,#3d7cc4)}.fig .f2{fill:var(--figure-2,#cf6a1e)}.fig .f3{fill:var(--figure-3,#8a94a3)}
.fig text.t1{fill:var(--figure-text-1,var(--figure-1,#3d7cc4))}
.fig text.t2{fill:var(--figure-text-2,var(--figure-2,#cf6a1e))}
.fig .open{fill:none;stroke:currentColor;stroke-opacity:.4}
"""


class Drawing:
    """An SVG that is being drawn: elements in the order they were added, in pixels from the top left."""

    def __init__(self, width: float, height: float):
        self.width, self.height = width, height
        self.elements: list[str] = []

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str = "line", width: float = 1) -> None:
        self.elements.append(
            f'<line class="{kind}" x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke-width="{width:g}"/>'
        )

    def rect(self, x: float, y: float, w: float, h: float, kind: str, opacity: float = 1, corner: float = 0) -> None:
        self.elements.append(
            f'<rect class="{kind}" x="{x:.4g}" y="{y:g}" width="{w:.4g}" height="{h:g}" rx="{corner:g}" '
            f'fill-opacity="{opacity:.3g}"/>'
        )

    def text(self, x: float, y: float, text: Any, kind: str = "") -> None:
        self.elements.append(f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(str(text))}</text>')

    def path(self, points: Sequence[tuple[float, float]], kind: str, filled: bool = False) -> None:
        steps = " ".join(f"{'L' if i else 'M'}{x:.4g} {y:.4g}" for i, (x, y) in enumerate(points))
        self.elements.append(
            f'<path class="{kind}" d="{steps}{"Z" if filled else ""}" stroke-width="2"'
            f"{'' if filled else ' fill=' + chr(34) + 'none' + chr(34)}/>"
        )

    def dot(self, x: float, y: float, radius: float, kind: str) -> None:
        self.elements.append(f'<circle class="{kind}" cx="{x:.4g}" cy="{y:.4g}" r="{radius:g}"/>')

    def figure(self, description: str, caption: str) -> Html:
        """The drawing as a figure.

        Args:
          description: what it shows, for whoever does not see it.
          caption: what stands below it.
        """
        # A narrow screen scrolls the figure sideways before its text becomes too small to read.
        least, most = min(self.width, 560) * 0.85, max(min(self.width * 1.35, 720), self.width)
        below = '<figcaption style="font-size:.85em;font-style:normal;max-width:none;margin:.4em 0 0;opacity:.8">'
        return Html(
            '<figure class="book-figure" style="margin:1em 0;width:auto;text-align:left">'
            '<div tabindex="0" style="overflow-x:auto">'
            f'<svg class="fig" role="img" aria-label="{escape(description)}" '
            f'viewBox="0 0 {self.width:g} {self.height:g}" '
            f'style="width:100%;min-width:{least:g}px;max-width:{most:g}px;height:auto">'
            f"<style>{STYLE}</style>{''.join(self.elements)}</svg></div>"
            + (f"{below}{escape(caption)}</figcaption>" if caption else "")
            + "</figure>"
        )


# --- The network -----------------------------------------------------------------------------------------------------

Step = tuple[int, int, Sequence[int]]  # run, distance, and the row after the step


def network_stepper(row: Sequence[int], steps: Sequence[Step]) -> Figure:
    """A bitonic network to step through: `network_figure`, one step of the network at a time."""
    shown = [("what goes in", network_figure(row, steps, "", shown=0))]
    for number, (run, distance, after) in enumerate(steps, 1):
        title = f"runs of {run}, partners {distance} apart: {' '.join(map(str, after))}"
        shown.append((title, network_figure(row, steps, "", shown=number)))
    return stepper(shown, f"A bitonic network on {len(row)} wires, step by step.")


def network_figure(row: Sequence[int], steps: Sequence[Step], caption: str, shown: int | None = None) -> Html:
    """The values of one row on their way through a bitonic network.

    Args:
      row: the values that go in.
      steps: what a run recorded: for each step its run length, the distance of partners, and the row after it.
      caption: what stands below the figure.
      shown: how many steps have been taken; all of them if `None`.
    """
    shown = len(steps) if shown is None else shown
    length = len(row)
    top, wire, lane, cell = 58, 30, 16, 34
    widths = [max(cell + lane * (distance + 1), 76) for _, distance, _ in steps]
    drawing = Drawing(sum(widths) + 2 * cell, top + wire * length)
    y = [top + wire * i for i in range(length)]
    for i in range(length):
        drawing.line(cell / 2, y[i], drawing.width - cell / 2, y[i], "faint")
    x, before, moved = float(cell), list(row), 0
    _column(drawing, cell / 2 + 2, y, before, max(row))
    for number, ((run, distance, after), width) in enumerate(zip(steps, widths)):
        taken = number < shown
        if run == 2 * distance:
            drawing.text(x - 6, 14, f"runs of {run}", "small")
            drawing.line(x - 6, 20, x + 56, 20, "line")
        drawing.text(x - 6, 36, f"distance {distance}", "small")
        for low in (i for i in range(length) if not i & distance):
            at = x + (width - cell) / 2 + lane * (low % distance - (distance - 1) / 2)
            swapped = taken and before[low] != after[low]
            moved += swapped
            _comparator(drawing, at, y[low], y[low | distance], down=not low & run, swapped=swapped)
        x += width
        before = list(after)
        if taken:
            _column(drawing, x - cell / 2 + 2, y, before, max(row))
    words = "; ".join(
        f"runs of {run}, distance {distance}: {' '.join(map(str, after))}" for run, distance, after in steps[:shown]
    )
    return drawing.figure(
        f"A bitonic network on {length} wires. The row {' '.join(map(str, row))} goes in."
        + (f" After each step: {words}. {moved} of {shown * length // 2} comparisons change places." if shown else ""),
        caption,
    )


def _column(drawing: Drawing, x: float, y: Sequence[float], values: Sequence[int], largest: int) -> None:
    for at, value in zip(y, values):
        drawing.rect(x - 11, at - 10, 22, 20, "f1", 0.1 + 0.55 * value / max(largest, 1), corner=4)
        drawing.text(x, at + 4, value, "mono mid")


def _comparator(drawing: Drawing, x: float, y1: float, y2: float, down: bool, swapped: bool) -> None:
    kind, width = ("s2", 2) if swapped else ("line", 1)
    drawing.line(x, y1, x, y2, kind, width)
    tip, back = (y2, y2 - 7) if down else (y1, y1 + 7)
    fill = "f2" if swapped else "f3"
    drawing.path([(x, tip), (x - 4, back), (x + 4, back)], fill, filled=True)
    drawing.dot(x, y1 if down else y2, 2.5, fill)


# --- The grid --------------------------------------------------------------------------------------------------------


def grid_figure(call: Any, names: Sequence[str], caption: str) -> Html:
    """The blocks of each operand that each program of a small grid sees, from the call's own index maps.

    Args:
      call: a `KernelCall` whose operands have one or two axes, without scalar prefetch.
      names: the operands' names, inputs first.
      caption: what stands below the figure.
    """
    interpreter = phase5.Interpreter(phase5.numpy_rules)
    interpreter.call, interpreter.grid = call, call.grid
    operands = call.inputs + call.outputs
    shapes = [(1, *o.shape)[-2:] for o in operands]
    unit = 56 / max(max(shape) for shape in shapes)
    widths = [max(shape[1] * unit, 34) + 18 for shape in shapes]
    row_height = max(shape[0] for shape in shapes) * unit + 16
    programs = list(np.ndindex(*call.grid))
    columns = 2 if len(programs) > 3 and sum(widths) < 330 else 1
    panel = 106 + sum(widths)
    rows = math.ceil(len(programs) / columns)
    drawing = Drawing(panel * columns, 26 + rows * row_height)
    words = []
    for column in range(columns):
        for name, at in zip(names, itertools.accumulate(widths, initial=column * panel + 106)):
            drawing.text(at, 14, name, "mono")
    for number, index in enumerate(programs):
        interpreter.grid_index = index
        left, top = panel * (number // rows), 26 + row_height * (number % rows)
        label = ", ".join(map(str, index))
        drawing.text(left, top + 14, f"program ({label})", "small")
        said = []
        for name, operand, shape, at in zip(names, operands, shapes, itertools.accumulate(widths, initial=left + 106)):
            start = (0, *interpreter.block_start(operand))[-2:]
            size = (1, *operand.block_shape)[-2:]
            drawing.rect(at, top, shape[1] * unit, shape[0] * unit, "f3", 0.12)
            kind = "f2" if operand in call.outputs else "f1"
            drawn = [min(s + b, n) - s for s, b, n in zip(start, size, shape)]
            drawing.rect(at + start[1] * unit, top + start[0] * unit, drawn[1] * unit, drawn[0] * unit, kind, 0.85)
            for axis in (0, 1):
                for line in range(0, shape[axis] + 1, size[axis]):
                    offset = line * unit
                    ends = (at, top + offset, at + shape[1] * unit, top + offset)
                    if axis:
                        ends = (at + offset, top, at + offset, top + shape[0] * unit)
                    drawing.line(*ends, "line")
            said.append(f"{name} at {', '.join(map(str, interpreter.block_start(operand)))}")
        words.append(f"program {label}: {'; '.join(said)}")
    return drawing.figure("The block each program sees. " + ". ".join(words) + ".", caption)


def grid_stepper(call: Any, *arrays: Any) -> Figure:
    """The programs of a small grid to step through: the arrays with their values, and the blocks of each program lit.

    Args:
      call: a `KernelCall` whose operands have one or two axes and few elements.
      *arrays: its operands.
    """
    return record(call, *arrays).figure(each="program")


@dataclass(frozen=True)
class Row:
    """A row of values for `rows_figure`.

    Attributes:
      label: what they are.
      values: numbers, or texts.
      lit: the places of those that matter.
      at: the column of the first one.
    """

    label: str
    values: Collection[Any]
    lit: Sequence[int] = ()
    at: int = 0


def rows_figure(rows: Sequence[Row], caption: str) -> Html:
    """Rows of values below each other, one column for each place; an integer that nobody wrote is a dash."""
    said = [[_said(value) for value in row.values] for row in rows]
    cell = max(30, 9 + 7 * max(len(text) for texts in said for text in texts))
    left = 16 + 6.4 * max(len(row.label) for row in rows)
    least = min(row.at for row in rows)
    columns = max(row.at - least + len(row.values) for row in rows)
    drawing = Drawing(left + columns * cell + 4, 32 * len(rows) + 4)
    for number, (row, texts) in enumerate(zip(rows, said)):
        y = 4 + 32 * number
        drawing.text(0, y + 18, row.label, "small")
        for place, text in enumerate(texts):
            x, lit = left + (row.at - least + place) * cell, place in row.lit
            drawing.rect(x + 1, y, cell - 2, 28, "f2" if lit else "f3", 0.45 if lit else 0.12, corner=3)
            drawing.text(x + cell / 2, y + 18, text, "mono small mid")
    words = [f"{row.label}: {' '.join(texts)}" + _said_lit(row) for row, texts in zip(rows, said)]
    return drawing.figure("; ".join(words) + ".", caption)


def _said(value: Any) -> str:
    if isinstance(value, str):
        return value
    value = np.asarray(value)
    if value.dtype.kind != "f":
        unwritten = value.dtype.kind == "i" and value == np.iinfo(value.dtype).min
        return "–" if unwritten else f"{value}"
    return "NaN" if np.isnan(value) else f"{value:g}"


def _said_lit(row: Row) -> str:
    return f", marked at {', '.join(map(str, row.lit))}" if row.lit and len(row.lit) < len(row.values) else ""


# --- Costs -----------------------------------------------------------------------------------------------------------


def cost_bars(measurements: Sequence[Measurement], caption: str = "") -> Html:
    """The cold time of each phase as a bar: the tracing that all phases share, XLA's compiling, and the rest."""
    left, top, bar, gap, room = 62, 26, 20, 11, 282
    drawing = Drawing(left + room + 64, top + len(measurements) * (bar + gap))
    longest = max(m.cold for m in measurements)
    for x, kind, name in ((0, "f3", "tracing"), (78, "f2", "compiling, by XLA"), (212, "f1", "everything else")):
        drawing.rect(left + x, 4, 12, 12, kind)
        drawing.text(left + x + 17, 14, name, "small")
    for i, m in enumerate(measurements):
        y, at = top + i * (bar + gap), float(left)
        drawing.text(left - 10, y + 15, m.label, "end")
        for kind, seconds in (("f3", m.trace), ("f2", m.compiling), ("f1", m.rest)):
            width = room * max(seconds, 0) / longest
            drawing.rect(at, y, width, bar, kind)
            at += width
        drawing.text(at + 8, y + 15, milliseconds(m.cold), "")
    spoken = "; ".join(
        f"{m.title}: {milliseconds(m.cold)}, of which tracing {milliseconds(m.trace)} "
        f"and compiling {milliseconds(m.compiling)}"
        for m in measurements
    )
    caption = caption or "From the call of a kernel that was never run before to its result: less is better."
    return drawing.figure(f"Bars of the time from a fresh kernel's call to its result. {spoken}.", caption)


def ratio_bars(ratios: Mapping[str, float], caption: str) -> Html:
    """How many times as fast something is, as bars on a logarithmic axis that begin at 1; a loss goes to the left."""
    left, top, bar, gap, room = 206, 12, 16, 8, 250
    bottom = top + len(ratios) * (bar + gap)
    drawing = Drawing(left + room + 52, bottom + 24)
    low = 10 ** math.floor(math.log10(min(1, *ratios.values())))
    high = 10 ** math.ceil(math.log10(max(2, *ratios.values())))
    to_x = _log_scale(low, high, left, left + room)
    for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
        drawing.line(to_x(10.0**power), top, to_x(10.0**power), bottom, "faint" if power else "line")
        drawing.text(to_x(10.0**power), bottom + 16, f"{10.0**power:g}", "small mid")
    for i, (name, value) in enumerate(ratios.items()):
        y, start, stop = top + i * (bar + gap), to_x(min(value, 1)), to_x(max(value, 1))
        drawing.text(left - 10, y + 12, name, "small end")
        drawing.rect(start, y, max(stop - start, 0.5), bar, "f1" if value >= 1 else "f2")
        drawing.text(stop + 6, y + 12, f"{value:.{2 if value < 1 else 3}g}", "small")
    spoken = "; ".join(f"{name}: {value:.2g}" for name, value in ratios.items())
    return drawing.figure(f"Bars of how many times as fast. {spoken}.", caption)


def line_chart(series: Mapping[str, Sequence[tuple[float, float]]], x_label: str, y_label: str, caption: str) -> Html:
    """One or two series of (x, y) on logarithmic axes, each named at its end."""
    left, top, width, height, right = 48, 30, 270, 190, 96
    drawing = Drawing(left + width + right, top + height + 44)
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    to_x = _log_scale(min(xs), max(xs), left, left + width)
    low, high = 10 ** math.floor(math.log10(min(ys))), 10 ** math.ceil(math.log10(max(ys)))
    to_y = _log_scale(low, high, top + height, top)
    for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
        drawing.line(left, to_y(10.0**power), left + width, to_y(10.0**power), "faint")
        drawing.text(left - 8, to_y(10.0**power) + 4, f"{10.0**power:g}", "small end")
    for x in sorted(set(xs)):
        drawing.line(to_x(x), top + height, to_x(x), top + height + 4)
        drawing.text(to_x(x), top + height + 18, f"{x:g}", "small mid")
    drawing.text(0, 14, y_label, "small")
    drawing.text(left + width / 2, top + height + 36, x_label, "small mid")
    spoken = []
    for number, (name, points) in enumerate(series.items(), 1):
        drawing.path([(to_x(x), to_y(y)) for x, y in points], f"s{number}")
        for x, y in points:
            drawing.dot(to_x(x), to_y(y), 3, f"f{number}")
        drawing.text(to_x(points[-1][0]) + 9, to_y(points[-1][1]) + 4, name, f"t{number}")
        spoken.append(f"{name}: " + ", ".join(f"{y:.3g} at {x:g}" for x, y in points))
    return drawing.figure(f"{y_label} against {x_label}. " + "; ".join(spoken) + ".", caption)


def _log_scale(low: float, high: float, start: float, stop: float) -> Callable[[float], float]:
    span = math.log(high) - math.log(low) or 1.0
    return lambda value: start + (math.log(value) - math.log(low)) / span * (stop - start)


def who_runs(*phases: int, caption: str = "") -> Html:
    """Each equation of the sort as a tick, in the order of the program's text, coloured by who runs it."""
    kernel = sort_kernel().jaxpr
    left, top, bar, gap, room = 62, 26, 18, 11, 340
    drawing = Drawing(left + room + 8, top + len(phases) * (bar + gap))
    drawing.rect(left, 4, 12, 12, "f2")
    drawing.text(left + 17, 14, "JAX", "small")
    drawing.rect(left + 60, 4, 12, 12, "f1")
    drawing.text(left + 77, 14, "NumPy", "small")
    spoken = []
    for i, phase in enumerate(phases):
        y = top + i * (bar + gap)
        drawing.text(left - 10, y + 14, f"phase {phase}", "end")
        mine = [by_numpy for _, by_numpy in owners(kernel, phase_module(phase).numpy_rules)]
        unit, at = room / len(mine), float(left)
        for by_numpy, same in itertools.groupby(mine):
            size = unit * len(list(same))
            drawing.rect(at, y, max(size, 3), bar, "f1" if by_numpy else "f2")
            at += size
        spoken.append(f"phase {phase}: {sum(mine)} by NumPy, {len(mine) - sum(mine)} by JAX")
    caption = caption or "The equations of the sort, in the order of the program's text, and who runs each."
    return drawing.figure("Who runs each equation of the sort. " + "; ".join(spoken) + ".", caption)
