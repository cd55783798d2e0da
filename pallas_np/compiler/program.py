"""The program that the compiler writes: symbols, statements in nested blocks, constants."""

from __future__ import annotations

import builtins
import itertools
import keyword
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pallas_np.compiler.rearrangements import Origin

Interval = tuple[int, int]
Parts = tuple[slice, ...]
"""A part of a ref whose place is known: for each axis start, stop and step."""
Roots = frozenset[str]
EVERYTHING: Roots = frozenset("*")
"""The memory that a statement touches if nobody knows what it touches."""


class Block:
    """A sequence of statements: the program's, a loop's or an arm's.

    Attributes:
      parent: the block it stands in.
      is_arm: whether it is a conditional's arm, out of which nothing is hoisted.
      statements: in the order they run.
      known: the pure values it has computed, by what computes them.
    """

    def __init__(self, parent: Block | None = None, is_arm: bool = False):
        self.parent, self.is_arm = parent, is_arm
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.statements: list[Statement] = []
        self.known: dict[Any, Symbol] = {}

    def all_statements(self) -> Iterator[Statement]:
        """Its statements, and after each one those inside it."""
        for statement in self.statements:
            yield statement
            for arm in statement.arms:
                yield from arm.block.all_statements()


@dataclass(eq=False, slots=True)
class Symbol:
    """A value that is known only when the program runs.

    Attributes:
      name: its variable; of a pure value only what that begins with, until `names.py` has given it one.
      shape: its shape.
      dtype: its dtype.
      block: where it is defined.
      interval: the smallest and largest value of a Python int, or of an array's elements, if they are known.
      is_python: whether it is a Python int or bool, not a NumPy value.
      roots: of a ref: the memory that it is a view of.
      repeated: of scratch memory: the axes along which it holds the same, and has one element; see `repetition`.
      truth: of an int made from a bool: the bool.
      expression: of a pure value: what computes it.
      origin: of a value that holds elements of another one in a fixed order: which; see `rearrangements`.
    """

    name: str
    shape: tuple[int, ...]
    dtype: Any
    block: Block
    interval: Interval | None = None
    is_python: bool = False
    roots: Roots = frozenset()
    repeated: frozenset[int] = frozenset()
    truth: Any = None
    expression: Expression | None = None
    origin: Origin | None = None


@dataclass(eq=False, slots=True)
class Literal:
    """A number written into the text."""

    text: str


@dataclass(eq=False, slots=True)
class Constant:
    """A value that the program has under a name."""

    name: str
    value: Any


Atom = Symbol | Literal | Constant


@dataclass(eq=False, slots=True)
class Expression:
    """What a statement computes.

    Attributes:
      template: its text, operands as `{0}`, `{1}`.
      operands: what stands there.
      is_infix: whether it needs parentheses inside another one.
      ufunc: the function behind it, if it is one that takes `out=`: the name of NumPy's, or `lax.` and the name.
      is_fresh: whether its result shares no memory with an operand.
    """

    template: str
    operands: tuple[Atom, ...] = ()
    is_infix: bool = False
    ufunc: str = ""
    is_fresh: bool = True


@dataclass(eq=False, slots=True)
class Arm:
    """A block under a header, and what its last line assigns."""

    header: Expression
    block: Block
    assigned: list[tuple[Symbol, Atom]] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Statement:
    """One step of the program.

    Attributes:
      targets: what it defines.
      expression: what it computes, or the effect it has.
      reads: the memory it reads.
      writes: the memory it writes.
      has_effect: whether it has to run though nobody needs its result.
      is_get: whether it reads a part of a ref, of which it has to be a copy.
      store: of a write to a ref: the template of the place, if the value has its shape.
      parts: of a read or such a write: the place as slices, if it is known and has all of the ref's axes.
      eqn: the equation it comes from.
      arms: of a loop or a conditional: its blocks.
      before: of a loop: what is assigned before it.
      is_loop: whether its arm runs again and again.
      is_inlined: whether its text stands where its result is used.
      into: the operand into whose memory it computes, and which gives the result its name.
    """

    targets: list[Symbol]
    expression: Expression
    reads: Roots = frozenset()
    writes: Roots = frozenset()
    has_effect: bool = False
    is_get: bool = False
    store: str = ""
    parts: Parts | None = None
    eqn: Any = None
    arms: Sequence[Arm] = ()
    before: Sequence[tuple[Symbol, Atom]] = ()
    is_loop: bool = False
    is_inlined: bool = False
    into: Symbol | None = None

    def operands(self) -> Sequence[Atom]:
        """What it uses itself, the statements in its blocks aside."""
        if not self.arms:
            return self.expression.operands
        carried = [atom for _, atom in self.before]
        in_arms = [[*arm.header.operands, *(atom for _, atom in arm.assigned)] for arm in self.arms]
        return [*self.expression.operands, *carried, *itertools.chain(*in_arms)]

    def symbols(self) -> list[Symbol]:
        """The symbols that it uses, and those in its blocks."""
        used = [atom for atom in self.operands() if isinstance(atom, Symbol)]
        for arm in self.arms:
            for inner in arm.block.statements:
                used += inner.symbols()
        return used

    @property
    def keeps_operands(self) -> bool:
        """Whether a value that it uses may live on under a name that is not followed."""
        if self.arms:
            return True
        return self.has_effect and not (self.writes and not self.targets and self.writes != EVERYTHING)


def touch(a: Roots, b: Roots) -> bool:
    """Whether the two may be the same memory."""
    return bool(a and b) and (a is EVERYTHING or b is EVERYTHING or not a.isdisjoint(b))


_TAKEN = dict.fromkeys([*dir(builtins), *keyword.kwlist, "np", "lax"], 1)
"""Names that no variable may have."""


class Program:
    """A function in the making: its parameters, constants and statements.

    Attributes:
      scratch: the names of memory that it makes itself, and that nobody else sees but by statements that say so.
    """

    def __init__(self, name: str):
        self.block = Block()
        self.scratch: set[str] = set()
        self.parameters: list[Symbol] = []
        self.constants: dict[Any, Constant] = {}
        self._used = dict(_TAKEN)
        self.name = self.unique(name)

    def unique(self, base: str) -> str:
        """A name that nothing has yet, `base` if that is free."""
        if base not in self._used:
            self._used[base] = 1
            return base
        while (name := f"{base}_{self._used[base]}") in self._used:
            self._used[base] += 1
        self._used[base] += 1
        self._used[name] = 1
        return name

    def parameter(self, base: str, shape: Sequence[int] = (), dtype: Any = None) -> Symbol:
        """A new parameter of the function."""
        name = self.unique(base)
        self.parameters.append(Symbol(name, tuple(shape), dtype, self.block, roots=frozenset({name})))
        return self.parameters[-1]

    def constant(self, value: Any, base: str = "c") -> Constant:
        """The constant of this value; equal arrays are one constant."""
        key: Any = ("id", id(value))
        if isinstance(value, (np.ndarray, np.generic)) and value.nbytes <= _LARGE:
            key = (value.dtype, value.shape, value.tobytes())
        found = self.constants.get(key)
        if found is None:
            found = self.constants[key] = Constant(self.unique(base), value)
        return found


_LARGE = 1 << 20
"""Constants of more bytes are not compared with others."""


def literal(value: Any) -> Literal | None:
    """A scalar as text that NumPy reads with its other operand's dtype; `None` where there is none."""
    if np.ndim(value) or np.dtype(value.dtype).isbuiltin != 1 or value.dtype.kind not in "biuf":
        return None
    number = value.item()
    if isinstance(number, float) and not math.isfinite(number):
        return None if math.isnan(number) else Literal("np.inf" if number > 0 else "-np.inf")
    return Literal(repr(number))
