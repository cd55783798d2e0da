"""What a profile is: launches, and what lines, primitives and steps cost."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

from pallas_np.inspector.recording import Line

GRID, PROGRAM = "grid", "program"
"""The two entries that are no equations: the grid, with its index maps and blocks, and each program's walk."""

MAX_ROWS = 20
"""How many rows of each table are printed."""


@dataclass(eq=False)
class Entry:
    """A place in the tree of what ran: the grid, a program, an equation in it, one nested in that.

    Attributes:
      name: the primitive's name, or `"grid"` or `"program"`.
      own_lines: the user's lines behind it, from the function that its jaxpr was traced from inwards.
      parent: what it is nested in; `None` for the grid of a kernel that no other kernel called.
      count: how often it ran.
      time: how long it ran in all, without what is nested in it, in seconds.
    """

    name: str
    own_lines: tuple[Line, ...]
    parent: Entry | None
    count: int = 0
    time: float = 0.0

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """The user's lines that led to it, from the kernel function inwards."""
        outer = () if self.parent is None else self.parent.lines
        return outer + tuple(line for line in self.own_lines if line not in outer)

    def with_ancestors(self) -> Iterator[Entry]:
        """It, and what it is nested in, up to the grid."""
        entry: Entry | None = self
        while entry is not None:
            yield entry
            entry = entry.parent


@dataclass(eq=False)
class Cost:
    """What a line, a primitive or a step cost.

    Attributes:
      label: what it is: `"kernel.py:12"`, `"dot_general"`, `"matmul (0, 1)"`.
      time: how long it took itself, without what is nested in it, in seconds.
      total: with what is nested in it: a loop with its body, a line with what the functions that it calls do.
      count: how many equations ran; of a primitive, how often it did.
      line: the line, if it is one.
      index: the grid index, if it is a step.
    """

    label: str
    time: float = 0.0
    total: float = 0.0
    count: int = 0
    line: Line | None = None
    index: tuple[int, ...] | None = None


@dataclass(eq=False)
class ProfiledStep:
    """One program of the grid.

    Attributes:
      index: where it is on the grid.
      time: how long it took, equation by equation, in seconds.
      count: how many equations ran, those nested in others among them.
    """

    index: tuple[int, ...]
    time: float = 0.0
    count: int = 0


@dataclass(eq=False)
class ProfiledLaunch:
    """One launch of a kernel.

    Attributes:
      kernel: the kernel function's name.
      line: where the function begins in the user's source; `None` where JAX does not know.
      grid: the number of programs along each axis.
      blocks: the shape of the block that a program has of each input and output, by the ref's name.
      engine: what ran it; `"within NAME"` if another kernel launched it.
      time: how long it took on that engine, in seconds; `None` within another kernel, and of a launch that failed.
      preparation: how long that engine took before to make the kernel's program; `None` if it makes none.
      interpreted: how long it took equation by equation, the time that the lines, primitives and steps divide up.
      steps: the programs, in the order in which they began.
    """

    kernel: str
    line: Line | None
    grid: tuple[int, ...]
    blocks: dict[str, tuple[int, ...]]
    engine: str
    time: float | None = None
    preparation: float | None = None
    interpreted: float = 0.0
    steps: list[ProfiledStep] = field(default_factory=list)


class Profile:
    """Where the time of kernels goes.

    Printed it is a table, in a notebook too; `plot` draws it.

    Attributes:
      launches: the launches, in order, those that a kernel made itself among them.
      entries: the tree of what ran, as a list in which each comes after what it is nested in.
      overhead: how long the profiler itself took, in seconds, which is in none of the other times.  What it takes to
        tell it of an equation cannot be timed each time: that is measured once, and taken off.
      error: the exception that the profiled function raised; `None` if it raised none.
    """

    def __init__(self) -> None:
        self.launches: list[ProfiledLaunch] = []
        self.entries: list[Entry] = []
        self.overhead = 0.0
        self.error: BaseException | None = None
        self._result: Any = None

    @property
    def result(self) -> Any:
        """What the profiled function returned.

        Raises:
          Exception: what the function raised, if it did.
        """
        if self.error is not None:
            raise self.error
        return self._result

    @property
    def lines(self) -> list[Cost]:
        """What each line of the user's source cost, the most expensive first; one entry is for what has no line."""

        def keys(entry: Entry) -> Sequence[Line | None]:
            return entry.lines or (None,)

        found = self._summed(lambda entry: keys(entry)[-1], keys)
        for line, cost in found.items():
            cost.label, cost.line = str(line) if line else "no line of yours", line
        return _sorted(found.values())

    @property
    def primitives(self) -> list[Cost]:
        """What each primitive cost, the most expensive first.

        `grid` is the work between programs: index maps, and blocks cut and pasted.  `program` is the walk from one
        equation to the next; the walk inside a loop or a branch counts as that equation's own time.
        """
        found = self._summed(lambda entry: entry.name, lambda entry: [each.name for each in entry.with_ancestors()])
        for name, cost in found.items():
            cost.label = name
        return _sorted(found.values())

    @property
    def steps(self) -> list[Cost]:
        """What each program of each kernel's grid cost, in the order in which they began, all launches summed up."""
        found: dict[tuple[str, tuple[int, ...]], Cost] = {}
        for launch in self.launches:
            for step in launch.steps:
                label = f"{launch.kernel} {step.index}"
                cost = found.setdefault((launch.kernel, step.index), Cost(label, index=step.index))
                cost.time += step.time
                cost.total += step.time
                cost.count += step.count
        return list(found.values())

    @property
    def interpreted(self) -> float:
        """How long all took equation by equation, in seconds."""
        return sum(entry.time for entry in self.entries)

    def _summed(self, key: Callable[[Entry], Any], all_keys: Callable[[Entry], Sequence[Hashable]]) -> dict[Any, Cost]:
        """The costs by `key`; an entry's time adds once to the total of each of `all_keys`."""
        found: dict[Any, Cost] = {}
        for entry in self.entries:
            for each in dict.fromkeys([key(entry), *all_keys(entry)]):
                found.setdefault(each, Cost("")).total += entry.time
            own = found[key(entry)]
            own.time += entry.time
            own.count += entry.count
        return found

    def table(self, rows: int = MAX_ROWS) -> str:
        """The profile as text.

        Args:
          rows: how many rows each of its tables has at most.
        """
        parts = [self._heading()]
        for title, header, cells in self._tables(rows):
            parts += ["", title, _aligned([header, *cells])]
        return "\n".join([*parts, "", self._explanation()])

    def __repr__(self) -> str:
        return self.table()

    def _repr_html_(self) -> str:
        parts = [f"<p><strong>{escape(self._heading())}</strong></p>"]
        for title, header, cells in self._tables(MAX_ROWS):
            parts.append(_html_table(title, header, cells))
        return f'<div class="pallas-np-profile">{STYLE}{"".join(parts)}<p>{escape(self._explanation())}</p></div>'

    def plot(self, path: str | Path | None = None) -> Any:
        """Draws what the costliest lines and primitives took, and each program of the grid.

        Args:
          path: a file to write it to as well (`.png`, `.svg`, `.pdf`); a file of that name is replaced.

        Returns:
          A `matplotlib.figure.Figure`, which a notebook shows.

        Raises:
          ImportError: if matplotlib is not installed.
        """
        try:
            from pallas_np.inspector import profile_plot
        except ImportError as error:
            raise ImportError("Profile.plot needs matplotlib: pip install 'pallas-np[bench]'") from error
        figure = profile_plot.figure_of(self)
        if path is not None:
            figure.savefig(path)
        return figure

    def _heading(self) -> str:
        number = len(self.launches)
        heading = f"Profile of {number} launch{'es' * (number != 1)}"
        if self.error is not None:
            text = str(self.error).splitlines()
            return f"{heading}, until it failed: {text[0] if text else type(self.error).__name__}"
        return heading

    def _explanation(self) -> str:
        return (
            "Launches are timed on their engine; lines, primitives and steps in phase 5, which runs equation by "
            f"equation, in {_duration(self.interpreted)}. The profiler's own {_duration(self.overhead)}, in part "
            "an estimate, are left out."
        )

    def _tables(self, rows: int) -> Iterator[tuple[str, list[str], list[list[str]]]]:
        """Title, header and cells of each table."""
        launches = [_launch_cells(launch) for launch in self.launches[:rows]]
        header = ["time", "making its program", "phase 5", "kernel", "grid", "engine", "blocks"]
        yield _title("Launches", self.launches, rows), header, launches
        whole = self.interpreted or 1.0
        for title, costs, what in (
            ("By line", self.lines, ["line", "source"]),
            ("By primitive", self.primitives, ["primitive"]),
            ("By step", _sorted(self.steps), ["step"]),
        ):
            cells = [
                [_duration(c.time), f"{c.time / whole:.0%}", _duration(c.total), f"{c.count:,}", c.label]
                + ([c.line.text if c.line else ""] if "source" in what else [])
                for c in costs[:rows]
            ]
            yield _title(title, costs, rows), ["time", "share", "total", "count", *what], cells


def _launch_cells(launch: ProfiledLaunch) -> list[str]:
    blocks = ", ".join(f"{name} {shape}" for name, shape in launch.blocks.items())
    times = (launch.time, launch.preparation, launch.interpreted)
    return [*map(_duration, times), launch.kernel, str(launch.grid), launch.engine, blocks]


def _sorted(costs: Any) -> list[Cost]:
    return sorted(costs, key=lambda cost: -cost.time)


def _title(title: str, rows: Sequence[Any], shown: int) -> str:
    return title if len(rows) <= shown else f"{title}: {shown} of {len(rows)}"


def _duration(seconds: float | None) -> str:
    """A duration in the unit that fits it, to three digits."""
    if seconds is None:
        return "–"
    unit, size = next(((unit, size) for unit, size in (("s", 1.0), ("ms", 1e-3)) if seconds >= size), ("µs", 1e-6))
    number = seconds / size
    return f"{number:#.3g}".rstrip(".") + f" {unit}" if number < 1000 else f"{number:.0f} {unit}"


NUMBERS = ("time", "share", "total", "count", "making its program", "phase 5")
"""The columns that are aligned to the right."""


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows)]
    right = [name in NUMBERS for name in rows[0]]
    lines = (
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width) for cell, width, to_right in zip(row, widths, right)
        )
        for row in rows
    )
    return "\n".join(f"  {line}".rstrip() for line in lines)


STYLE = (
    "<style>.pallas-np-profile table{border-collapse:collapse;margin:.6em 0;padding-bottom:.5em;display:block;"
    "overflow-x:auto;font-size:.85em}"
    ".pallas-np-profile caption{text-align:left;font-weight:600;white-space:nowrap}"
    ".pallas-np-profile th,.pallas-np-profile td{padding:.15em .7em;text-align:left;white-space:pre}"
    ".pallas-np-profile .number{text-align:right;font-variant-numeric:tabular-nums}</style>"
)


def _html_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    kinds = [' class="number"' if name in NUMBERS else "" for name in header]
    head = "".join(f'<th scope="col"{kind}>{escape(name)}</th>' for name, kind in zip(header, kinds))
    body = "".join(
        f"<tr>{''.join(f'<td{kind}>{escape(cell)}</td>' for cell, kind in zip(row, kinds))}</tr>" for row in rows
    )
    caption = f"<caption>{escape(title)}</caption>"
    return f'<table tabindex="0">{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
