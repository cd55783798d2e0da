"""The cores of a mesh: programs that run at the same time, and may wait for one another.

Each core has a thread, and one of them runs at any moment: until it is done, or until it waits for what another core
has to do.  So a kernel gives the same answer on every run, and a wait that nothing can satisfy is found, not suffered.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pallas_np.errors import SynchronizationError


@dataclass(frozen=True)
class Wait:
    """What a core waits for.

    Attributes:
      satisfied: whether it need not wait any longer.
      text: what it waits for, in words, as things stand.
    """

    satisfied: Callable[[], bool]
    text: Callable[[], str]


class Core:
    """One program of a mesh.

    Attributes:
      index: where it is in the mesh.
      done: whether its program has ended.
      error: what its program raised.
      wait: what it waits for; `None` while it can run.
    """

    def __init__(self, index: tuple[int, ...], program: Callable[[Core], None]):
        self.index = index
        self.done = False
        self.error: BaseException | None = None
        self.wait: Wait | None = None
        self._semaphores: list[np.ndarray] = []
        self._num_taken = 0
        self._turn, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, args=(program,), daemon=True)
        self._abandoned = False

    def can_run(self) -> bool:
        """Whether it need not wait."""
        return self.wait is None or self.wait.satisfied()

    def resume(self) -> None:
        """Lets it run until it waits or is done."""
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._turn.release()
        self._back.acquire()

    def abandon(self) -> None:
        """Ends its thread, wherever its program is."""
        self._abandoned = True
        if self._thread.ident is not None and not self.done:
            self.resume()

    def hand_over(self, wait: Wait | None) -> None:
        """Called by its program: lets other cores run, until the wait is satisfied."""
        self.wait = wait
        self._back.release()
        self._turn.acquire()
        if self._abandoned:
            raise SystemExit
        self.wait = None

    def _run(self, program: Callable[[Core], None]) -> None:
        try:
            program(self)
        except BaseException as error:
            self.error = error
        self.done = True
        self._back.release()

    # A semaphore has the same place in the memory of every core: the n-th that one core makes is another's n-th.

    def semaphore(self, shape: tuple[int, ...]) -> np.ndarray:
        """The next semaphore, or array of them, that this core makes."""
        self._num_taken += 1
        return self._nth_semaphore(self._num_taken - 1, shape)

    def counterpart(self, semaphore: np.ndarray, other: Core) -> np.ndarray:
        """What one of this core's semaphores is in the memory of another."""
        number = next(i for i, mine in enumerate(self._semaphores) if mine is semaphore)
        for i in range(number):
            other._nth_semaphore(i, self._semaphores[i].shape)
        return other._nth_semaphore(number, semaphore.shape)

    def _nth_semaphore(self, number: int, shape: tuple[int, ...]) -> np.ndarray:
        if number == len(self._semaphores):
            self._semaphores.append(np.zeros(shape, np.int32))
        return self._semaphores[number]


def run_together(cores: Sequence[Core]) -> None:
    """Runs the cores in turn, until all are done.

    Raises:
      SynchronizationError: if all that are left wait for one another; it says for what.
      BaseException: what the program of a core raised.
    """
    try:
        while running := [core for core in cores if not core.done]:
            able = [core for core in running if core.can_run()]
            if not able:
                waits = (f"core {core.index}: {core.wait.text()}" for core in running if core.wait is not None)
                why = "each core waits for another" if len(running) > 1 else "no other core is left to signal"
                raise SynchronizationError(f"deadlock, since {why}: {'; '.join(waits)}")
            for core in able:
                core.resume()
                if core.error is not None:
                    raise core.error
    finally:
        for core in cores:
            core.abandon()
