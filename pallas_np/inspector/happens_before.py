"""Which accesses to memory are ordered, and which may come either way round.

Whatever runs by itself is a `Task`.  Each counts its own time, and knows how far every other had come when it last
heard of it: a vector clock.  An `Event` has happened before what a task does now if the task knows of the time it
happened at.  `Histories` keeps, for each element of memory, the events that a later one may still collide with.

The method is that of Lamport's happened-before relation, as race detectors use it (Flanagan and Freund, "FastTrack",
2009).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pallas_np.errors import SourceLocation
from pallas_np.frontend import Equation

Sharing = Literal["shared", "by core", "by core if read", "own"]
Clock = dict[Any, int]
"""How far each task has come."""

MAX_UNORDERED = 16
"""So many reads or atomics of one element, in any order, are remembered: a collision shows in those as well."""


class Task:
    """What runs by itself: programs that follow one another, a core of a mesh, a DMA's reading, a DMA's writing.

    Attributes:
      runner: for a DMA, the task that started it; else itself.
      known: how far it, and every task that it has heard of, has come.
      ended: of a DMA that has been waited for, when that was, on the clock of the task that started it.
    """

    def __init__(self, runner: Task | None = None, known: Clock | None = None):
        self.runner = runner or self
        self.known: Clock = {**(known or {}), self: 1}
        self.ended: int | None = None

    @property
    def is_dma(self) -> bool:
        """Whether it is a part of a DMA."""
        return self.runner is not self

    def release(self) -> Clock:
        """What whoever hears of this moment then knows."""
        known = dict(self.known)
        self.known[self] += 1
        return known

    def end(self) -> None:
        """The task that started this DMA has waited for it, so that who hears of that knows that it is done."""
        self.ended = self.runner.known[self.runner]

    def acquire(self, known: Clock) -> None:
        """Hears of a moment of another task."""
        for task, time in known.items():
            self.known[task] = max(self.known.get(task, 0), time)


@dataclass(frozen=True, eq=False, slots=True)
class Event:
    """An access, or a signal.

    Attributes:
      task: who did it.
      time: when, on the task's own clock.
      kind: `"read"`, `"write"`, `"add"` (which reads and writes), `"atomic"` or `"signal"`.
      ref: the ref's name.
      eqns: the equation, after those that it is nested in; of a DMA's accesses, the one that starts it.
      grid_index: the program that it belongs to.
    """

    task: Task
    time: int
    kind: Literal["read", "write", "add", "atomic", "signal"]
    ref: str
    eqns: tuple[Equation, ...]
    grid_index: tuple[int, ...]

    @property
    def stack(self) -> tuple[SourceLocation, ...]:
        """The user's lines, from the kernel inwards."""
        return tuple(place for eqn in self.eqns for place in eqn.locations)

    def is_before(self, task: Task) -> bool:
        """Whether it has happened before what the task does now."""
        if self.task.ended is not None:
            return self.task.ended <= task.known.get(self.task.runner, 0)
        return self.time <= task.known.get(self.task, 0)


History = frozenset[Event]


class Histories:
    """The histories that elements of memory have, each by a number; 0 is that of an element nobody has touched."""

    def __init__(self) -> None:
        self._numbers: dict[History, int] = {frozenset(): 0}
        self._histories: list[History] = [frozenset()]

    def __getitem__(self, number: int) -> History:
        return self._histories[number] if number > 0 else frozenset()  # a block's padding holds a negative number

    def after(self, number: int, event: Event) -> int:
        """The number of the history that follows when `event` collides with nothing in it.

        What comes after `event` comes after all that was before it too, so that this can be forgotten.
        """
        history = self[number]
        if event.kind in ("write", "add"):
            return self._number_of(frozenset([event]))
        if len(history) >= MAX_UNORDERED:
            return number
        kept = {e for e in history if not e.is_before(event.task) or (event.kind == "read" and e.kind != "read")}
        return self._number_of(frozenset([*kept, event]))

    def _number_of(self, history: History) -> int:
        number = self._numbers.setdefault(history, len(self._histories))
        if number == len(self._histories):
            self._histories.append(history)
        return number


class Memory:
    """The histories of an array's elements.

    Attributes:
      sharing: who sees what is written there.  `"shared"`: everybody; `"by core"`: each core of a TPU has memory of its
        own, so that a program does not find what one wrote that may run at the same time; `"by core if read"`: that
        once somebody reads it, and until then `"shared"`; `"own"`: one task alone, and the DMAs that it starts.
      numbers: each element's history, by its number: int32, of the array's shape.
    """

    def __init__(self, shape: tuple[int, ...], sharing: Sharing):
        self.sharing: Sharing = sharing
        self.numbers = np.zeros(shape, np.int32)

    def is_read(self) -> None:
        """Somebody reads it."""
        if self.sharing == "by core if read":
            self.sharing = "by core"

    def collide(self, earlier: Event, later: Event) -> bool:
        """Whether two accesses to one element are a fault if nothing orders them."""
        if earlier.kind == later.kind and later.kind in ("read", "atomic"):
            return False
        if self.sharing == "by core" and earlier.task.runner is not later.task.runner:
            return earlier.kind != "read" and later.kind != "write"
        return True


def distinct(numbers: np.ndarray) -> np.ndarray:
    """The values in an array of at least one element."""
    first = numbers.reshape(-1)[:1]
    return first if np.all(numbers == first) else np.unique(numbers)
