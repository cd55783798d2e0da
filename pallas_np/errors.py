"""What a kernel's failure is told as: the kinds of error, their message, and a traceback that ends in the kernel.

A rule that finds a fault raises one of the kinds below, or any exception of Python's; it says what is wrong, and need
not know where.  The interpreter adds the kernel, the line, the grid index and the values when the exception comes out.
"""

from __future__ import annotations

import ast
import functools
import linecache
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, ParamSpec, TypeVar

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class SourceLocation:
    """A place in the user's source.

    Attributes:
      file: the file's full name.
      line: the line, from 1.
      function: the function's qualified name.
      first_line: the line on which the function begins.
      end_line: the last line of the expression that begins on `line`.
      columns: where the expression begins on its first line and ends on its last, in bytes from 0; `None` if unknown.
    """

    file: str
    line: int
    function: str
    first_line: int
    end_line: int
    columns: tuple[int, int] | None = None

    @property
    def text(self) -> str:
        """The line itself; `""` if the file cannot be read."""
        return linecache.getline(self.file, self.line).strip()

    @property
    def short_file(self) -> str:
        """The file as a page may show it: relative to the working directory, or its name alone; `"Cell In[3]"`."""
        cell = _notebook_cell(self.file)
        if cell:
            return cell
        path = Path(self.file)
        here = Path.cwd()
        return path.relative_to(here).as_posix() if path.is_relative_to(here) else path.name

    def __str__(self) -> str:
        function = self.function.rpartition(".")[2]
        cell = _notebook_cell(self.file)
        return f"{cell or f'File {chr(34)}{self.file}{chr(34)}'}, line {self.line}, in {function}"


def _notebook_cell(file: str) -> str:
    """What IPython calls the cell that has this file's name, `"Cell In[3]"`; `""` if it is none."""
    if "IPython" not in sys.modules:
        return ""
    shell = sys.modules["IPython"].get_ipython()
    name = None if shell is None else shell.compile.format_code_name(file)
    return "" if name is None else " ".join(name)


@dataclass(frozen=True)
class OperandFacts:
    """An operand of the equation that failed.

    Attributes:
      shape: its shape.
      dtype: its dtype.
      is_ref: whether it is a ref.
      name: of a ref, its name in the kernel's source; `""` where it has none.
      value: of a scalar, its value.
    """

    shape: tuple[int, ...]
    dtype: Any
    is_ref: bool = False
    name: str = ""
    value: Any = None

    def __str__(self) -> str:
        if self.value is not None:
            return f"{self.dtype} {self.value}"
        text = f"{self.dtype}[{','.join(map(str, self.shape))}]"
        return f"{self.name or 'ref'}: {text}" if self.is_ref else text


class KernelError(Exception):
    """A failure inside a kernel; its message is complete on its own.

    Each kind is also of the fitting kind of Python's: an `OutOfBoundsError` is an `IndexError`.  The traceback ends in
    the kernel's line.  What lies between the call and that line is left out, unless the environment variable
    `PALLAS_NP_FULL_TRACEBACK` is 1.  `pdb.post_mortem` finds there, as local variables, the refs by their names,
    `grid_index`, and `operands`: the values that the failed equation was given.

    Attributes:
      problem: what is wrong.
      advice: what to do.
      kernel: the kernel function's name; `None` outside a kernel.
      stack: the user's lines, from the kernel function inwards.
      grid_index: the program that failed, one integer for each axis of the grid; `None` if none was running.
      primitive: the name of the primitive that failed; `None` if it was no equation, but the grid.
      operands: its operands: shapes, dtypes, names of refs.
      ref: the name of the ref that it is about, from the kernel's signature; `None` if it is about none.
      values: the values behind: refs (as NumPy arrays) and other arguments, by name, `grid_index` and `operands`.
    """

    usual_advice = "correct the line above; `pallas_np.debug(call, at=grid_index)` runs it under a debugger"

    def __init__(
        self,
        problem: str = "",
        *,
        advice: str | None = None,
        stack: Sequence[SourceLocation] = (),
        ref: str | None = None,
    ):
        Exception.__init__(self, problem)
        self.problem = problem
        self.advice = self.usual_advice if advice is None else advice
        self.kernel: str | None = None
        self.stack = tuple(stack)
        self.grid_index: tuple[int, ...] | None = None
        self.primitive: str | None = None
        self.operands: tuple[OperandFacts, ...] = ()
        self.ref = ref
        self.values: dict[str, Any] = {}
        self.kernel_traceback: TracebackType | None = None

    @property
    def file(self) -> str | None:
        """The user's file."""
        return self.stack[-1].file if self.stack else None

    @property
    def line(self) -> int | None:
        """The user's line, from 1."""
        return self.stack[-1].line if self.stack else None

    @property
    def source(self) -> str:
        """The text of the user's line."""
        return self.stack[-1].text if self.stack else ""

    def __str__(self) -> str:
        return "\n  ".join([self.problem, *self._facts()])

    def _facts(self) -> list[str]:
        facts = []
        if self.kernel is not None:
            at = "" if self.grid_index is None else f", at grid index {self.grid_index}"
            facts.append(f"kernel: {self.kernel}{at}")
        if self.stack:
            facts += [str(self.stack[-1]), *([f"  {self.source}"] if self.source else [])]
        if self.primitive is not None:
            facts.append(f"equation: {self.primitive}({', '.join(map(str, self.operands))})")
        if self.ref:
            facts.append(f"ref: {self.ref}")
        return [*facts, f"what to do: {self.advice}"]


class OutOfBoundsError(KernelError, IndexError):
    """An index outside its ref, or a block outside its array."""

    usual_advice = (
        "keep the index inside, or mask the access; Options(out_of_bounds='clamp') moves it inside, "
        "as interpret=True does"
    )


class UnsupportedError(KernelError, NotImplementedError):
    """Something that NumPy does not run."""

    usual_advice = "write it another way; `python -m pallas_np coverage` lists what is supported"


class SynchronizationError(KernelError, RuntimeError):
    """A wait that nothing can satisfy, a semaphore left signalled."""

    usual_advice = "give each wait one start or signal, on the same semaphore"


class RaceError(KernelError, RuntimeError):
    """Memory that two may touch at the same time."""

    usual_advice = "wait for the one before the other begins, or give each memory of its own"


class UninitializedError(KernelError, ValueError):
    """A value that nobody wrote is used."""

    usual_advice = "write to the ref before it is read; a ragged block's padding wants a mask"


class NonFiniteError(KernelError, FloatingPointError):
    """A NaN or an infinity where there was none."""

    usual_advice = "look at the operands: `pdb.post_mortem()` has their values"


class CheckError(KernelError, AssertionError):
    """A `pl.debug_check` or a hint of the kernel's own that does not hold."""

    usual_advice = "the kernel's author stated it: look for what broke it before this line"


_KIND_OF: dict[type[Exception], type[KernelError]] = {
    IndexError: OutOfBoundsError,
    NotImplementedError: UnsupportedError,
}


@functools.cache
def _kind_of(python_kind: Any) -> type[KernelError]:
    """The kind for an exception that is none of ours: also of its own kind, so that who catches that, catches this."""
    if python_kind in _KIND_OF:
        return _KIND_OF[python_kind]
    doc = f"A {python_kind.__name__} inside a kernel."
    return type(f"Kernel{python_kind.__name__}", (KernelError, python_kind), {"__doc__": doc, "__module__": __name__})


def as_kernel_error(error: Exception) -> KernelError:
    """The error as a `KernelError`: itself, or one of its kind with what it says."""
    if isinstance(error, KernelError):
        return error
    text = str(error) or type(error).__name__
    try:
        python_kind: Any = type(error)
        told: KernelError = _kind_of(python_kind)(text)
    except TypeError:  # a class that cannot be combined with another, or be made from a text
        told = KernelError(f"{type(error).__name__}: {text}")
    vars(told).update({name: value for name, value in vars(error).items() if name not in vars(told)})
    return told


def full_tracebacks() -> bool:
    """Whether the environment asks for tracebacks with all that lies between."""
    return os.environ.get("PALLAS_NP_FULL_TRACEBACK", "0") not in ("", "0")


def folded(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Makes the traceback of a `KernelError` that comes out of `function` lead from its caller to the kernel."""

    @functools.wraps(function)
    def fold(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        try:
            return function(*args, **kwargs)
        except KernelError as error:
            fold_traceback(error)
            raise  # which, unlike `raise error`, does not add this frame

    return fold


def fold_traceback(error: KernelError) -> None:
    """Makes the traceback of an error that is being raised lead from here to the kernel."""
    if not full_tracebacks():
        error.__context__ = None
        error.__traceback__ = error.kernel_traceback


def kernel_traceback(stack: Sequence[SourceLocation], values: Mapping[str, Any]) -> TracebackType | None:
    """A traceback through these places in the user's source, with `values` as the local variables of each."""
    entries: TracebackType | None = None
    for place in reversed(stack):
        frame = _frame_at(place, dict(values))
        entries = TracebackType(entries, frame, frame.f_lasti, place.line)
    return entries


def _frame_at(place: SourceLocation, values: dict[str, Any]) -> FrameType:
    """The frame of a statement that raised, compiled under the place's file name, function and line."""
    statement = ast.parse("raise KernelError").body[0]
    start, end = place.columns or (0, 0)
    before = place.first_line - 1  # the lines of code count from the line on which its function begins
    for node in ast.walk(statement):
        if isinstance(node, (ast.stmt, ast.expr)):
            node.lineno, node.end_lineno = place.line - before, place.end_line - before
            node.col_offset, node.end_col_offset = start, end
    code = compile(ast.Module([statement], []), place.file, "exec")
    name = place.function.rpartition(".")[2]
    code = code.replace(co_name=name, co_qualname=place.function, co_firstlineno=place.first_line)
    try:
        exec(code, {"__name__": name, "KernelError": KernelError}, values)
    except KernelError as error:
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame
