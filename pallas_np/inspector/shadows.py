"""Which bytes of the arrays that a kernel runs on hold something that nobody has written.

An array's marks lie beside its memory, byte by byte, so that every view of it, and every bitcast, finds them.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pallas_np.errors import SourceLocation
from pallas_np.frontend import Equation


@dataclass(frozen=True)
class Origin:
    """What is behind a mark: memory that nobody has written, and what read it first.

    Attributes:
      memory: the element, in words: `"acc_ref[0]"`.
      ref: the name of its ref; `None` if it has none.
      advice: what to do about it.
      read: the equation that read it, after those that it is nested in.
    """

    memory: str
    ref: str | None
    advice: str
    read: tuple[Equation, ...]

    def told(self, stack: Sequence[SourceLocation]) -> str:
        """It in words, with the line that read it, unless that is the last of `stack`."""
        places = [place for eqn in self.read for place in eqn.locations]
        if not places or (stack and (places[-1].file, places[-1].line) == (stack[-1].file, stack[-1].line)):
            return self.memory
        text = f" ({places[-1].text})" if places[-1].text else ""
        return f"{self.memory}, read at {places[-1].short_file}:{places[-1].line}{text}"


class Shadow:
    """The marks of one piece of memory.

    Attributes:
      bytes: for each byte of it 255 if it is marked, else 0.
      writers: for each byte the number of the write that marked it, 0 where there was none; `None` if there never was.
      origin: the memory behind marks that no write has left; `None` if it is this.
    """

    def __init__(self, nbytes: int):
        self.bytes = np.zeros(nbytes, np.uint8)
        self.writers: np.ndarray | None = None
        self.origin: Origin | None = None


class Shadows:
    """The marks of all memory; what it does not know is not marked."""

    def __init__(self) -> None:
        self._shadows: dict[int, tuple[Any, Shadow]] = {}

    def bits(self, array: np.ndarray, *, make: bool = False) -> np.ndarray | None:
        """An array of the same shape, dtype and strides whose bits are set where `array` is marked.

        It is a view: what is written to it, marks or clears.  Memory that has no marks yet gets some if `make`, and
        otherwise answers `None`.
        """
        memory, shadow = self._of(array, make)
        if shadow is None:
            return None
        start = _address(array) - _address(memory) if array.size else 0
        return np.ndarray(array.shape, array.dtype, shadow.bytes, start, array.strides)

    def marks(self, array: np.ndarray) -> np.ndarray | None:
        """Bools of the array's shape: which elements are marked; `None` if none is."""
        bits = self.bits(array)
        if bits is None:
            return None
        found = marks_of_bits(bits)
        return found if found.any() else None

    def mark_new(self, array: np.ndarray, marks: Any, origin: Origin) -> None:
        """Marks elements of memory that has just been made, from a value; `origin` is the memory behind that."""
        self.mark(array, marks)
        _, shadow = self._of(array, make=True)
        assert shadow is not None
        shadow.origin = origin

    def origin(self, array: np.ndarray) -> Origin | None:
        """The memory behind marks that no write has left; `None` if it is the array's own."""
        _, shadow = self._of(array, make=False)
        return None if shadow is None else shadow.origin

    def mark(self, array: np.ndarray, marks: Any) -> None:
        """Marks these elements of the array, and clears the others."""
        bits = self.bits(array, make=bool(np.any(marks)))
        if bits is not None:
            bits[...] = bits_of_marks(np.broadcast_to(marks, array.shape), array.dtype)

    def writers(self, array: np.ndarray, *, make: bool = False) -> np.ndarray | None:
        """For each element of the array the number of the write that marked it, as a view; `None` if none did."""
        memory, shadow = self._of(array, make)
        if shadow is None:
            return None
        if shadow.writers is None:
            if not make:
                return None
            shadow.writers = np.zeros(shadow.bytes.size, np.int32)
        start = _address(array) - _address(memory) if array.size else 0
        return np.ndarray(array.shape, np.int32, shadow.writers, 4 * start, [4 * step for step in array.strides])

    def move(self, source: np.ndarray, target: np.ndarray) -> None:
        """The marks of memory that was copied to memory of the same shape and dtype."""
        bits = self.bits(source)
        here = self.bits(target, make=bits is not None)
        if here is not None:
            here[...] = np.zeros((), target.dtype) if bits is None else bits
        writers = self.writers(source)
        if writers is not None:
            there = self.writers(target, make=True)
            assert there is not None
            there[...] = writers

    def forget(self) -> None:
        """Forgets all marks."""
        self._shadows.clear()

    def _of(self, array: np.ndarray, make: bool) -> tuple[np.ndarray, Shadow | None]:
        memory = array
        while isinstance(memory.base, np.ndarray):
            memory = memory.base
        known = self._shadows.get(id(memory))
        if known is None and make:
            key, table = id(memory), self._shadows
            known = weakref.ref(memory, lambda _: table.pop(key, None)), Shadow(memory.nbytes)
            table[key] = known
        return memory, None if known is None else known[1]


def marks_of_bits(bits: np.ndarray) -> np.ndarray:
    """Which elements have any bit set."""
    as_bytes = np.ascontiguousarray(bits).reshape(-1).view(np.uint8)
    size = math.prod(bits.shape)
    if not size:
        return np.zeros(bits.shape, bool)
    return np.asarray(as_bytes.reshape(size, -1).any(1)).reshape(bits.shape)


def bits_of_marks(marks: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Elements of a dtype, all of whose bits are set where `marks` is true."""
    as_bytes = np.repeat(np.where(marks, np.uint8(255), np.uint8(0)).reshape(-1), dtype.itemsize)
    return as_bytes.view(dtype).reshape(marks.shape)


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]
