"""From what an observed interpreter tells to a `Profile`: a clock that stands still while the profiler works."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from pallas_np import frontend, phase5
from pallas_np.frontend import Engine, Equation, Jaxpr, KernelCall
from pallas_np.frontend import primitives as p
from pallas_np.garbage import few_collections
from pallas_np.inspector.observed import Observed, Observer, Ref
from pallas_np.inspector.profiling import GRID, PROGRAM, Entry, Profile, ProfiledLaunch, ProfiledStep
from pallas_np.inspector.recording import Line
from pallas_np.options import Options
from pallas_np.phase5.grid import Window
from pallas_np.phase5.memory import nothing

SILENT_RULES = {**phase5.numpy_rules, p.debug_print_p: nothing, p.debug_callback_p: nothing}
"""Phase 5's, for a kernel that the engine has already run: it has printed what it had to."""

EQUATIONS, REPEATS = 500, 5
"""How many equations, and how often, the cost of being told is measured on."""

_Event = Callable[..., None]


def _off_the_clock(event: _Event) -> _Event:
    """What the event takes is the profiler's own time; what passed since the last one is what ran's."""

    @functools.wraps(event)
    def told(self: Profiler, *args: Any) -> None:
        began = perf_counter()
        self.charge(began - self.last)
        self.telling = 0.0
        event(self, *args)
        self.last = perf_counter()
        self.profile.overhead += self.last - began

    return told


class Profiler(Observer):
    """Writes a profile.

    Between two events one entry is under way, and gets the time that passes: the innermost, of the core that runs.

    What it takes to be told of an equation is measured once, and left out too.

    Attributes:
      profile: the profile.
      costs: how long it takes to tell of an equation: out of the equation's time, and of that of what it is nested in.
      last: when the last event ended.
      telling: how much of the time since then is known to be the telling's.
      launch: the launch under way.
      step: the program under way; `None` between programs.
      entry: the entry under way.
      under_way: for each interpreter its program's step, and its entries, outermost first.
      enclosing: launch, step and entry round each launch, by its number.
      grids: the entry of each launch's grid, by its number.
    """

    wants_accesses = False

    def __init__(self, costs: tuple[float, float]) -> None:
        self.profile = Profile()
        self.costs = costs
        self.last = perf_counter()
        self.telling = 0.0
        self.launch: ProfiledLaunch | None = None
        self.step: ProfiledStep | None = None
        self.entry: Entry | None = None
        self.under_way: dict[Observed, tuple[ProfiledStep, list[Entry]]] = {}
        self.enclosing: dict[int, tuple[ProfiledLaunch | None, ProfiledStep | None, Entry | None]] = {}
        self.grids: dict[int, Entry] = {}
        self._entries: dict[tuple[Entry | None, Any], Entry] = {}
        self._next: ProfiledLaunch | None = None

    def run(self, engine: Engine, name: str, call: KernelCall, *arrays: np.ndarray) -> Sequence[np.ndarray]:
        """Runs a kernel on its engine, for its result and its time, and then equation by equation."""
        launch = self._next = _launch_of(call, arrays, name)
        self.profile.launches.append(launch)
        if engine.prepare is not None:
            launch.preparation = -perf_counter()
            engine.prepare(call, engine.options)
            launch.preparation += perf_counter()
        with few_collections():
            began = perf_counter()
            outputs = engine.run_unwatched(call, *arrays)
            launch.time = perf_counter() - began
            Observed(self, SILENT_RULES, engine.options or Options()).run(call, *arrays)
        return outputs

    def charge(self, elapsed: float) -> None:
        """Adds to the time of what is under way."""
        if self.launch is not None and self.entry is not None:
            telling = min(self.telling, elapsed)
            self.profile.overhead += telling
            elapsed -= telling
            self.entry.time += elapsed
            self.launch.interpreted += elapsed
            if self.step is not None:
                self.step.time += elapsed

    def child(self, parent: Entry | None, key: Any, name: str, eqn: Equation | None = None) -> Entry:
        """The entry of this key in another, which has begun once more."""
        entry = self._entries.get((parent, key))
        if entry is None:
            lines = () if eqn is None else tuple(map(Line.at, eqn.locations))
            entry = self._entries[parent, key] = Entry(name, lines, parent)
            self.profile.entries.append(entry)
        entry.count += 1
        return entry

    @_off_the_clock
    def launch_begins(self, at: Observed, arrays: Sequence[np.ndarray]) -> None:
        self.enclosing[at.launch] = self.launch, self.step, self.entry
        if self.launch is None:
            self.launch = self._next
        else:
            self.launch = _launch_of(at.call, arrays, f"within {self.launch.kernel}")
            self.profile.launches.append(self.launch)
        self.step = None
        self.entry = self.grids[at.launch] = self.child(self.entry, at.call.jaxpr, GRID)

    @_off_the_clock
    def launch_ends(self, at: Observed, outputs: Sequence[np.ndarray] | None) -> None:
        ended = self.launch
        self.launch, self.step, self.entry = self.enclosing.pop(at.launch)
        if ended is not None and self.launch is not None:
            self.launch.interpreted += ended.interpreted
            if self.step is not None:
                self.step.time += ended.interpreted
                self.step.count += sum(step.count for step in ended.steps)

    @_off_the_clock
    def step_begins(self, at: Observed, windows: Sequence[Window], refs: Sequence[Ref]) -> None:
        assert self.launch is not None
        self.step = ProfiledStep(tuple(map(int, at.grid_index)))
        self.launch.steps.append(self.step)
        self.entry = self.child(self.grids[at.launch], PROGRAM, PROGRAM)
        self.under_way[at] = self.step, [self.entry]

    @_off_the_clock
    def step_ends(self, at: Observed) -> None:
        del self.under_way[at]
        self.step, self.entry = None, self.grids[at.launch]

    @_off_the_clock
    def equation_begins(self, at: Observed, eqn: Equation, args: Sequence[Any]) -> None:
        self.step, entries = self.under_way[at]
        self.step.count += 1
        self.entry = self.child(entries[-1], eqn, eqn.name, eqn)
        entries.append(self.entry)
        self.telling, _ = self.costs

    @_off_the_clock
    def equation_ends(self, at: Observed, eqn: Equation, args: Sequence[Any], results: Sequence[Any]) -> None:
        self.step, entries = self.under_way[at]
        entries.pop()
        self.entry = entries[-1]
        _, self.telling = self.costs


@functools.cache
def calibrated() -> tuple[float, float]:
    """How long it takes to tell of an equation, measured on one that does nothing; see `Profiler.costs`."""
    itself, told, outside = (min(times) for times in zip(*(_times_of_nothing() for _ in range(REPEATS))))
    return max(told - itself, 0.0) / EQUATIONS, outside / EQUATIONS


def _times_of_nothing() -> tuple[float, float, float]:
    """How long equations that do nothing take: with nobody watching; profiled, and what they are nested in then."""
    eqn = Equation(p.delay_p, (), (), {}, multiple_results=True, jax=None)
    plain = phase5.Interpreter(phase5.numpy_rules)
    began = perf_counter()
    for _ in range(EQUATIONS):
        plain.eval_equation(eqn)
    itself = perf_counter() - began
    profiler = Profiler((0.0, 0.0))
    watched = Observed(profiler)
    watched.jaxprs.append(Jaxpr((), (), (eqn,), (), (), (), "", ()))
    profiler.launch = ProfiledLaunch("", None, (), {}, "")
    program = profiler.child(None, PROGRAM, PROGRAM)
    profiler.under_way[watched] = ProfiledStep(()), [program]
    for _ in range(EQUATIONS):
        watched.eval_equation(eqn)
    return itself, profiler.profile.entries[-1].time, program.time


def _launch_of(call: KernelCall, arrays: Sequence[np.ndarray], engine: str) -> ProfiledLaunch:
    operands = call.inputs + call.outputs
    return ProfiledLaunch(
        kernel=call.jaxpr.name,
        line=Line.at(call.jaxpr.location) if call.jaxpr.location else None,
        grid=frontend.grid_of(call, arrays[: call.num_dynamic_grid_bounds]),
        blocks={operand.ref.name or f"ref{n}": operand.block_shape for n, operand in enumerate(operands)},
        engine=engine,
    )
