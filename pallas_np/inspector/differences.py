"""Where two recordings first differ."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from pallas_np.inspector.recording import RecordedEquation, Recording, Step


@dataclass(frozen=True, eq=False)
class Difference:
    """The first difference between two recordings.

    Attributes:
      what: what differs, in words.
      here: the equation of the first recording; `None` if it is about no equation, or there is none any more.
      there: that of the other one.
      value_here: the value of the first recording, if values differ; else `None`.
      value_there: that of the other one.
      index: the first element that differs.
      count: how many elements differ.
      largest: by how much they differ at most, for numbers; else `None`.
    """

    what: str
    here: RecordedEquation | None = None
    there: RecordedEquation | None = None
    value_here: np.ndarray | None = None
    value_there: np.ndarray | None = None
    index: tuple[int, ...] = ()
    count: int = 0
    largest: float | None = None

    def __str__(self) -> str:
        lines = [self.what]
        if self.here is not None:
            step = self.here.step
            lines.append(f"kernel: {step.launch.kernel}, at grid index {step.index}")
            lines += [f"{self.here.line}: {self.here.line.text}"] if self.here.line else []
            lines.append(f"equation {self.here.number}: {self.here.site.text}")
        if self.there is not None and (self.here is None or self.there.site.text != self.here.site.text):
            lines.append(f"there, equation {self.there.number}: {self.there.site.text}")
        if self.value_here is not None and self.value_there is not None:
            at = f" at {self.index}" if self.index else ""
            here, there = self.value_here[self.index], self.value_there[self.index]
            lines.append(f"{self.count} of {self.value_here.size} elements differ; the first{at}: {here} and {there}")
            lines += [f"largest difference: {self.largest:.3g}"] if self.largest is not None else []
        return "\n  ".join(lines)


def first_difference(
    one: Recording,
    other: Recording,
    rtol: float,
    atol: float,
    compare: Literal["equations", "writes"],
) -> Difference | None:
    """See `Recording.first_difference`.

    Raises:
      ValueError: if there is none up to where one of them was cut.
    """
    found = next(_differences(one, other, Tolerance(rtol, atol), compare), None)
    cuts = [*one.cuts, *other.cuts]
    first_cut = min((cut.equation for cut in cuts), default=None)
    if found is None and first_cut is not None:
        raise ValueError(f"no difference was found in what both recordings have, but {min(cuts, key=_number)}")
    return found


def _number(cut: Any) -> int:
    return cut.equation


@dataclass(frozen=True)
class Tolerance:
    """How far apart two floats may be: `atol + rtol * abs(the first)`; with neither, they are the same bits or NaN."""

    rtol: float = 0.0
    atol: float = 0.0

    def differs(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """For each element, whether it differs."""
        if a.dtype.kind in "biu" or not (self.rtol or self.atol):
            return _other_bits(a, b) & ~((a != a) & (b != b))
        wide = np.complex128 if a.dtype.kind == "c" else np.float64
        x, y = a.astype(wide), b.astype(wide)
        with np.errstate(all="ignore"):
            near = np.abs(x - y) <= self.atol + self.rtol * np.abs(x)
        return ~(near | (x == y) | ((x != x) & (y != y)))

    def difference(self, what: str, here: Any, there: Any, a: Any, b: Any) -> Difference | None:
        """The difference between two values; `None` if there is none, or one of them was not kept."""
        if a.shape != b.shape or a.dtype != b.dtype:
            kinds = (f"{x.dtype}[{','.join(map(str, x.shape))}]" for x in (a, b))
            return Difference(f"{what} is of another kind: {' and '.join(kinds)}", here, there)
        if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)):
            return None
        mask = self.differs(a, b)
        if not mask.any():
            return None
        index = tuple(map(int, np.argwhere(mask)[0]))
        return Difference(f"{what} differs", here, there, a, b, index, int(mask.sum()), _largest(a[mask], b[mask]))


def _other_bits(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    words = (np.ascontiguousarray(x).reshape(*x.shape, 1).view(np.uint8) for x in (a, b))
    return np.asarray(np.not_equal(*words).any(-1))


def _largest(a: np.ndarray, b: np.ndarray) -> float | None:
    wide = np.complex128 if a.dtype.kind == "c" else np.float64
    with np.errstate(all="ignore"):
        apart = np.abs(a.astype(wide) - b.astype(wide))
    return float(apart.max()) if np.isfinite(apart).all() else None


def _differences(one: Recording, other: Recording, within: Tolerance, compare: str) -> Iterator[Difference]:
    for number, (a, b) in enumerate(zip(one.launches, other.launches)):
        if (a.kernel, a.grid) != (b.kernel, b.grid):
            yield Difference(f"launch {number} is {a.kernel} on grid {a.grid}, and there {b.kernel} on grid {b.grid}")
        for operand, x, y in zip(a.operands, a.inputs, b.inputs):
            yield from _some(within.difference(f"the input {operand.name} of {a.kernel}", None, None, x, y))
    if compare == "writes":
        yield from _differences_of_writes(one, other, within)
    else:
        yield from _differences_of_equations(one, other, within)
    if len(one.launches) != len(other.launches):
        yield Difference(f"there are {len(one.launches)} launches, and there {len(other.launches)}")
    for a, b in zip(one.launches, other.launches):
        outputs = [operand.name for operand in a.operands if operand.role == "output"]
        for name, x, y in zip(outputs, a.outputs, b.outputs):
            yield from _some(within.difference(f"the output {name} of {a.kernel}", None, None, x, y))


def _some(difference: Difference | None) -> Sequence[Difference]:
    return () if difference is None else (difference,)


def _differences_of_equations(one: Recording, other: Recording, within: Tolerance) -> Iterator[Difference]:
    for a, b in itertools.zip_longest(one.equations, other.equations):
        if a is None or b is None:
            yield Difference("one of them ends here", a, b)
            return
        if (a.step.index, a.site.text) != (b.step.index, b.site.text):
            yield Difference(f"there another equation runs, at grid index {b.step.index}", a, b)
            return
        yield from _differences_of_blocks(a.step, b.step)
        for name, x, y in zip(a.site.results, a.outputs, b.outputs):
            if hasattr(x, "dtype") and hasattr(y, "dtype"):
                yield from _some(within.difference(f"the result {name}", a, b, x, y))
        yield from _differences_of_accesses(a, b, a.accesses, b.accesses, within)
        if a.ended != b.ended:
            yield Difference("one of them fails here", a, b)


def _differences_of_blocks(a: Step, b: Step) -> Iterator[Difference]:
    for name, block in a.blocks.items():
        if block != b.blocks.get(name):
            where = f"in {a.launch.kernel}, at grid index {a.index}, {name} sees"
            yield Difference(f"{where} {_extent(block)} of its array, and there {_extent(b.blocks.get(name, ()))}")


def _extent(block: Sequence[tuple[int, int]]) -> str:
    return f"[{', '.join(f'{start}:{start + length}' for start, length in block)}]"


def _differences_of_accesses(a: Any, b: Any, mine: Any, others: Any, within: Tolerance) -> Iterator[Difference]:
    for access, counterpart in zip(mine, others):
        if (access.kind, access.ref) != (counterpart.kind, counterpart.ref):
            yield Difference(f"there is a {access.kind} of {access.ref}, and there one of {counterpart.ref}", a, b)
        elif access.part != counterpart.part or not np.array_equal(access.positions, counterpart.positions):
            yield Difference(f"the {access.kind} of {access.ref} is of other elements", a, b)
        else:
            what = f"what the {access.kind} of {access.ref} leaves"
            yield from _some(within.difference(what, a, b, access.after, counterpart.after))


def _differences_of_writes(one: Recording, other: Recording, within: Tolerance) -> Iterator[Difference]:
    mine, others = ([(e, a) for e in rec for a in e.accesses if a.kind in ("write", "add")] for rec in (one, other))
    for here, there in itertools.zip_longest(mine, others):
        if here is None or there is None:
            yield Difference("one of them writes no more", here and here[0], there and there[0])
            return
        (a, x), (b, y) = here, there
        if a.step.index != b.step.index:
            yield Difference(f"there the next write is at grid index {b.step.index}", a, b)
            return
        yield from _differences_of_accesses(a, b, [x], [y], within)
