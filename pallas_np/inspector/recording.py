"""What a recording is: launches, steps, equations, reads and writes, with values."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pallas_np.errors import KernelError, SourceLocation
from pallas_np.frontend import Equation, KernelCall
from pallas_np.inspector.against_interpret import first_difference_from_interpret
from pallas_np.inspector.differences import Difference, first_difference
from pallas_np.inspector.stepping import Figure
from pallas_np.options import MAX_BYTES


@dataclass(frozen=True)
class Unkept:
    """A value that was not kept: the recording had reached its limit, or nobody reads it.

    Attributes:
      shape: its shape.
      dtype: its dtype.
    """

    shape: tuple[int, ...]
    dtype: np.dtype


@dataclass(frozen=True)
class RefName:
    """A ref among an equation's operands or results.

    Attributes:
      name: what the kernel calls it.
    """

    name: str


Value = np.ndarray | Unkept


def copy_of(value: Value) -> Value:
    """A value that may be changed."""
    return np.array(value) if isinstance(value, np.ndarray) else value


@dataclass(frozen=True)
class Line:
    """A line of the user's source.

    Attributes:
      file: the file's name, relative to the working directory if it lies below it.
      number: the line, from 1.
      function: the function that it stands in.
      text: the line itself; `""` if it could not be read.
    """

    file: str
    number: int
    function: str
    text: str

    @staticmethod
    def at(place: SourceLocation) -> Line:
        """The line of a place."""
        return Line(place.short_file, place.line, place.function.rpartition(".")[2], place.text)

    def __str__(self) -> str:
        return f"{self.file}:{self.number}"


@dataclass(frozen=True, eq=False)
class Site:
    """An equation of a program, which may run many times.

    Attributes:
      primitive: the primitive's name.
      text: the equation as one would write it.
      lines: the user's lines behind it, from the function that its jaxpr was traced from inwards.
      operands: the names of its operands.
      results: the names of its results.
    """

    primitive: str
    text: str
    lines: tuple[Line, ...]
    operands: tuple[str, ...]
    results: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class RecordedAccess:
    """What an equation did to a ref.

    Attributes:
      kind: `"read"`; `"write"`; `"add"`, which reads and writes; `"new"`: the ref has come into being.
      ref: the ref's name.
      part: for each axis of the ref a slice of the elements touched; `None` where they lie at no regular distances.
      positions: those elements as positions in the flattened ref, where `part` is `None`; else `None`.
      before: what they held before.
      after: what they held afterwards.
    """

    kind: str
    ref: str
    part: tuple[slice, ...] | None
    positions: np.ndarray | None
    before: Value
    after: Value

    def flat_positions(self, shape: Sequence[int]) -> np.ndarray:
        """The elements touched, as positions in the flattened ref, which has this shape; none if they were not kept."""
        if self.part is None:
            return np.zeros(0, np.int64) if self.positions is None else self.positions
        where: tuple[Any, ...] = (*self.part, ...)
        return np.arange(math.prod(shape)).reshape(tuple(shape))[where]

    def apply_to(self, held: dict[str, Value]) -> None:
        """Makes what refs hold, by name, what it was afterwards."""
        if self.kind == "new":
            held[self.ref] = copy_of(self.after)
            return
        contents = held.get(self.ref)
        if self.kind == "read" or not isinstance(contents, np.ndarray):
            return
        if isinstance(self.after, Unkept):
            held[self.ref] = Unkept(contents.shape, contents.dtype)
        elif self.part is not None:
            where: tuple[Any, ...] = (*self.part, ...)
            part = contents[where]
            part[...] = self.after.reshape(part.shape)
        else:
            contents.reshape(-1)[self.positions] = self.after


@dataclass(eq=False)
class RecordedEquation:
    """One run of an equation.

    Attributes:
      number: its place in the recording, in the order in which equations began.
      site: the equation.
      step: the program that ran it.
      parent: the equation that it is nested in (a loop, a branch); `None` in the kernel itself.
      inputs: the values of its operands.
      outputs: the values of its results; empty if it did not end.
      accesses: what it did to refs, in order, without what equations nested in it did.
      ended: whether it ended, and did not fail.
    """

    number: int
    site: Site
    step: Step
    parent: RecordedEquation | None
    inputs: tuple[Value | RefName, ...]
    outputs: tuple[Value | RefName, ...] = ()
    accesses: list[RecordedAccess] = field(default_factory=list)
    ended: bool = False

    @property
    def primitive(self) -> str:
        """The primitive's name."""
        return self.site.primitive

    @property
    def line(self) -> Line | None:
        """The user's innermost line behind it; `None` where JAX does not know."""
        return self.lines[-1] if self.lines else None

    @property
    def lines(self) -> tuple[Line, ...]:
        """The user's lines that led to it, from the kernel function inwards."""
        outer = () if self.parent is None else self.parent.lines
        return outer + tuple(line for line in self.site.lines if line not in outer)

    @property
    def depth(self) -> int:
        """How many equations it is nested in."""
        return 0 if self.parent is None else self.parent.depth + 1

    @property
    def refs(self) -> tuple[str, ...]:
        """The names of the refs that it read or wrote."""
        return tuple(dict.fromkeys(access.ref for access in self.accesses))

    def __repr__(self) -> str:
        where = f" at {self.line}" if self.line else ""
        return f"<equation {self.number}, step {self.step.index}: {self.site.text}{where}>"


@dataclass(eq=False)
class Step:
    """One program of the grid.

    Attributes:
      launch: the launch that it belongs to.
      index: where it is on the grid.
      blocks: for each input and output, by the ref's name, where its block starts and how long it is along each axis
        of the array.
      contents: what each ref held when the program began, by name.
      equations: the equations that ran, those nested in others among them, in the order in which they began.
    """

    launch: Launch
    index: tuple[int, ...]
    blocks: dict[str, tuple[tuple[int, int], ...]]
    contents: dict[str, Value]
    equations: list[RecordedEquation] = field(default_factory=list)

    def contents_after(self, equation: RecordedEquation | None = None) -> dict[str, Value]:
        """What each ref held after an equation of this step; without one, at its end.

        Raises:
          ValueError: if the equation belongs to another step.
        """
        if equation is not None and equation.step is not self:
            raise ValueError(f"{equation!r} does not belong to step {self.index}")
        held = {name: copy_of(value) for name, value in self.contents.items()}
        for access in self._accesses_until(equation):
            access.apply_to(held)
        return held

    def _accesses_until(self, equation: RecordedEquation | None) -> Iterator[RecordedAccess]:
        for other in self.equations:
            if equation is not None and other.number > equation.number and not _inside(other, equation):
                return
            yield from other.accesses

    def __repr__(self) -> str:
        return f"<step {self.index} of {self.launch.kernel}: {len(self.equations)} equations>"


def _inside(equation: RecordedEquation | None, outer: RecordedEquation) -> bool:
    while equation is not None and equation is not outer:
        equation = equation.parent
    return equation is outer


@dataclass(frozen=True)
class Operand:
    """An array that a kernel sees through a ref.

    Attributes:
      name: the ref's name in the kernel.
      role: `"prefetch"`, `"input"`, `"output"` or `"scratch"`.
      shape: the whole array's shape.
      dtype: its dtype.
    """

    name: str
    role: str
    shape: tuple[int, ...]
    dtype: np.dtype


@dataclass(eq=False)
class Launch:
    """One launch of a kernel.

    Attributes:
      kernel: the kernel function's name.
      line: where the function begins in the user's source; `None` where JAX does not know.
      grid: the number of programs along each axis.
      engine: what would have run it, had it not been recorded.
      operands: the arrays that the kernel sees, in the order of its refs.
      inputs: the values of the prefetch operands and the inputs.
      outputs: the values of the outputs; empty if it failed.
      steps: the programs, in the order in which they began.
    """

    kernel: str
    line: Line | None
    grid: tuple[int, ...]
    engine: str
    operands: tuple[Operand, ...]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...] = ()
    steps: list[Step] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<launch of {self.kernel} on grid {self.grid}>"


@dataclass(frozen=True)
class Cut:
    """Where a recording reached its limit.

    Attributes:
      what: what is missing from there on: `"values"` or `"equations"`.
      equation: the number of the first equation that is not whole.
      kernel: the kernel that ran.
      index: the program that ran.
      limit: the limit: in bytes for values, else in equations.
    """

    what: str
    equation: int
    kernel: str
    index: tuple[int, ...]
    limit: int

    @property
    def unit(self) -> str:
        """What the limit counts: `"bytes"` or `"equations"`."""
        return "bytes" if self.what == "values" else "equations"

    def __str__(self) -> str:
        return (
            f"cut: no {self.what} from equation {self.equation} on ({self.kernel}, grid index {self.index}), where the "
            f"limit of {self.limit:,} {self.unit} was reached; record(fn, max_{self.unit}=...) sets another"
        )


class Recording:
    """What happened when kernels ran.

    Iterating over it gives its equations.  In a notebook it shows itself as a page to step through.

    Attributes:
      launches: the launches, in order, those that a kernel made itself among them.
      cuts: where it reached its limits; empty if it has everything.
      error: the `KernelError`, or other exception, that the recorded function raised; `None` if it raised none.  Of a
        recording that was loaded, its text.
      sources: the user's source: for each file the text of the lines round the kernels, by their number.
      calls: the kernel call of each launch; empty in a recording that was loaded.
      origins: the equation of each site; empty in a recording that was loaded.
    """

    def __init__(self) -> None:
        self.launches: list[Launch] = []
        self.cuts: list[Cut] = []
        self.error: BaseException | str | None = None
        self.sources: dict[str, dict[int, str]] = {}
        self._result: Any = None
        self.calls: dict[Launch, KernelCall] = {}
        self.origins: dict[Site, Equation] = {}

    @property
    def result(self) -> Any:
        """What the recorded function returned; `None` in a recording that was loaded.

        Raises:
          Exception: what the function raised, if it did.
        """
        if isinstance(self.error, BaseException):
            raise self.error
        return self._result

    @property
    def steps(self) -> list[Step]:
        """The programs of all launches, in the order of the launches."""
        return [step for launch in self.launches for step in launch.steps]

    @property
    def equations(self) -> list[RecordedEquation]:
        """The equations that ran, in the order in which they began."""
        found = [equation for step in self.steps for equation in step.equations]
        return sorted(found, key=lambda equation: equation.number)

    def __iter__(self) -> Iterator[RecordedEquation]:
        return iter(self.equations)

    def __len__(self) -> int:
        return sum(len(step.equations) for step in self.steps)

    def filter(
        self,
        *,
        kernel: str | None = None,
        step: Sequence[int] | int | None = None,
        line: int | None = None,
        primitive: str | Collection[str] | None = None,
        ref: str | None = None,
        access: str | None = None,
    ) -> list[RecordedEquation]:
        """The equations that fit all that is given.

            >>> recording.filter(ref="out_ref", access="write", step=(0, 1))

        Args:
          kernel: the kernel function's name.
          step: the grid index.
          line: a line of the user's source: of the equation itself, or of a call that led to it.
          primitive: a primitive's name, or several.
          ref: the name of a ref that it read or wrote.
          access: how it accessed a ref (that ref, if `ref` is given): `"read"`, `"write"`, `"add"` or `"new"`.
        """
        index = None if step is None else (step,) if isinstance(step, int) else tuple(step)
        primitives = {primitive} if isinstance(primitive, str) else primitive

        def fits(equation: RecordedEquation) -> bool:
            touched = [a for a in equation.accesses if ref in (None, a.ref, *a.ref.split("="))]
            return (
                kernel in (None, equation.step.launch.kernel)
                and index in (None, equation.step.index)
                and (line is None or any(line == place.number for place in equation.lines))
                and (primitives is None or equation.primitive in primitives)
                and (ref is None or bool(touched))
                and (access is None or any(a.kind == access for a in touched))
            )

        return [equation for equation in self if fits(equation)]

    def first_difference(
        self,
        other: Recording,
        *,
        rtol: float = 0.0,
        atol: float = 0.0,
        compare: Literal["equations", "writes"] = "equations",
    ) -> Difference | None:
        """Where another recording first differs from this one: in what ran, or in a value.

        Values are compared equation by equation, bit for bit unless a tolerance is given; two NaNs are equal.

        Args:
          other: the other recording, of the same kernels.
          rtol: the tolerance relative to this recording's value, for floats.
          atol: the absolute tolerance, for floats.
          compare: `"equations"`, or only the `"writes"` to refs: two versions of JAX, or of a kernel, may compute the
            same by other equations.

        Returns:
          The first difference; `None` if there is none.

        Raises:
          ValueError: if there is none up to where one of them was cut, so that the rest is unknown.
        """
        return first_difference(self, other, rtol, atol, compare)

    def first_difference_from_interpret(
        self, *, rtol: float = 0.0, atol: float = 0.0, max_bytes: int = MAX_BYTES
    ) -> Difference | None:
        """Where `interpret=True` first differs from this recording, equation by equation.

        Each launch runs again, on the inputs that it had, as JAX runs it with `interpret=True`; the kernel tells the
        result of each equation, in loops and branches too.  This finds which equation gives something else on this
        version of JAX.  Sums and products of matrices may differ in their last bits: give a tolerance.

            >>> print(pallas_np.record(call)(x).first_difference_from_interpret(rtol=1e-5))

        Args:
          rtol: the tolerance relative to this recording's value, for floats.
          atol: the absolute tolerance, for floats.
          max_bytes: how much to keep of JAX's results, in bytes.

        Returns:
          The first difference, in the order of this recording; `None` if there is none.

        Raises:
          ValueError: if there is none up to where either was cut; or if the recording was loaded from a file, which has
            no kernel to run.
          UnsupportedError: if a kernel runs on a mesh of cores.
          Exception: what JAX raises where `interpret=True` cannot run the kernel.
        """
        return first_difference_from_interpret(self, rtol, atol, max_bytes)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Writes the recording to a file, which `Recording.load` reads; the recorded function's result is left out.

        Args:
          path: the file; `.pnrec` is the usual ending.
          overwrite: whether it may replace a file.

        Returns:
          The file's path.

        Raises:
          FileExistsError: if there is such a file, and it is not to be replaced.
        """
        from pallas_np.inspector import saving

        return saving.save(self, Path(path), overwrite)

    @staticmethod
    def load(path: str | Path) -> Recording:
        """Reads what `save` wrote.

        Args:
          path: the file.

        Raises:
          FileNotFoundError: if there is none.
          ValueError: if it is no recording, or a damaged one.
        """
        from pallas_np.inspector import saving

        return saving.load(Path(path))

    def figure(self, each: Literal["equation", "program"] = "equation") -> Figure:
        """A small recording as a figure to step through: the viewer's pictures, without its panes.

        It has buttons, a slider and arrow keys.  On paper, and without scripts, its pictures stand in a column.

            >>> pallas_np.record(call)(x).figure(each="program")

        Args:
          each: what a picture is of: an `"equation"` of the kernel, with what refs and values hold after it; or a
            `"program"` of the grid, with the arrays after it and its blocks lit.  A loop or a branch is one equation.

        Returns:
          HTML, as a `str` that shows itself in a notebook.

        Raises:
          ValueError: if there is nothing to draw, or too much; the recording itself, as a page, draws one equation at
            a time.
        """
        from pallas_np.inspector import figure

        return figure.figure(self, each)

    def _repr_html_(self) -> str:
        from pallas_np.inspector import page

        return page.notebook_html(self)

    def save_html(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Writes the recording as a page to step through: one file, which needs no network.

        Of large arrays the page has the leading part, and of long recordings the beginning; it says so.

        Args:
          path: the file.
          overwrite: whether it may replace a file.

        Returns:
          The file's path.

        Raises:
          FileExistsError: if there is such a file, and it is not to be replaced.
        """
        from pallas_np.inspector import page

        return page.save_html(self, Path(path), overwrite)

    def __repr__(self) -> str:
        lines = [
            f"{launch.kernel}: grid {launch.grid}, {len(launch.steps)} steps, "
            f"{sum(len(step.equations) for step in launch.steps):,} equations"
            for launch in self.launches
        ]
        if self.error is not None:
            text = str(self.error).splitlines()
            kind = f"{type(self.error).__name__}: " if isinstance(self.error, KernelError) else ""
            lines.append(f"failed: {kind}{text[0] if text else ''}")
        lines += map(str, self.cuts)
        number = len(self.launches)
        return "\n  ".join([f"Recording of {number} launch{'es' * (number != 1)}", *lines])
