"""From what an observed interpreter tells to a `Recording`."""

from __future__ import annotations

import linecache
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from pallas_np import frontend
from pallas_np.errors import SourceLocation
from pallas_np.frontend import Equation, Jaxpr, KernelCall, Literal
from pallas_np.inspector.observed import Access, Observed, Observer, Ref
from pallas_np.inspector.recording import (
    Cut,
    Launch,
    Line,
    Operand,
    RecordedAccess,
    RecordedEquation,
    Recording,
    RefName,
    Site,
    Step,
    Unkept,
    Value,
)
from pallas_np.inspector.text import equation_text, names_in
from pallas_np.phase5.grid import Window


class Values:
    """Keeps values, each once, up to a limit.

    Attributes:
      max_bytes: the limit.
      num_bytes: the size of what is kept.
      full: whether something has not been kept; nothing is from then on.
    """

    def __init__(self, max_bytes: int):
        self.max_bytes = max_bytes
        self.num_bytes = 0
        self.full = False
        self._kept: dict[int, tuple[weakref.ref[np.ndarray], np.ndarray]] = {}

    def keep(self, value: Any) -> Value:
        """A value that nobody changes any more, or a copy of the part of a larger array that it is."""
        array = np.asarray(value)
        known, kept = self._kept.get(id(array), (None, None))
        if known is not None and kept is not None and known() is array:
            return kept
        if self.full or self.num_bytes + array.nbytes > self.max_bytes:
            self.full = True
            return Unkept(array.shape, array.dtype)
        kept = array if array.base is None else np.array(array)
        self.num_bytes += array.nbytes
        if array.ndim:
            self._kept[id(array)] = weakref.ref(array), kept
        return kept

    def keep_copy(self, array: np.ndarray) -> Value:
        """What an array holds now, that may change later."""
        if self.full or self.num_bytes + array.nbytes > self.max_bytes:
            return self.keep(array)
        return self.keep(np.array(array))


class Recorder(Observer):
    """Writes a recording.

    Attributes:
      recording: the recording.
      engine: what the next launch would have run on.
    """

    def __init__(self, max_bytes: int, max_equations: int):
        self.recording = Recording()
        self.engine = ""
        self.values = Values(max_bytes)
        self.max_equations = max_equations
        self.num_equations = 0
        self.launches: dict[int, Launch] = {}
        self.steps: dict[Observed, Step | None] = {}
        self.under_way: dict[Observed, list[RecordedEquation | None]] = {}
        self.names: dict[Jaxpr, dict[Any, str]] = {}
        self.sites: dict[tuple[Equation, tuple[str, ...]], Site] = {}

    def launch_begins(self, at: Observed, arrays: Sequence[np.ndarray]) -> None:
        call = at.call
        given = arrays[call.num_dynamic_grid_bounds :]
        launch = Launch(
            kernel=call.jaxpr.name,
            line=self._line(call.jaxpr.location) if call.jaxpr.location else None,
            grid=frontend.grid_of(call, arrays[: call.num_dynamic_grid_bounds]),
            engine=self.engine,
            operands=_operands(call),
            inputs=tuple(map(self.values.keep_copy, given)),
        )
        self.launches[at.launch] = launch
        self.recording.calls[launch] = call
        self.recording.launches.append(launch)

    def launch_ends(self, at: Observed, outputs: Sequence[np.ndarray] | None) -> None:
        launch = self.launches.pop(at.launch)
        launch.outputs = tuple(map(self.values.keep_copy, outputs or ()))

    def step_begins(self, at: Observed, windows: Sequence[Window], refs: Sequence[Ref]) -> None:
        self.under_way[at] = []
        if self.num_equations >= self.max_equations:
            self.steps[at] = None
            return
        first = len(at.call.prefetch)
        blocks = {ref.name: tuple(window) for ref, window in zip(refs[first:], windows)}
        contents = {ref.name: self.values.keep_copy(ref.array) for ref in refs}
        step = Step(self.launches[at.launch], tuple(map(int, at.grid_index)), blocks, contents)
        step.launch.steps.append(step)
        self.steps[at] = step

    def equation_begins(self, at: Observed, eqn: Equation, args: Sequence[Any]) -> None:
        under_way, step = self.under_way[at], self.steps[at]
        number, self.num_equations = self.num_equations, self.num_equations + 1
        if step is None or number >= self.max_equations:
            self._note_cut("equations", number, at, self.max_equations)
            under_way.append(None)
            return
        inputs = tuple(self._operand(at, atom, arg) for atom, arg in zip(eqn.invars, args))
        parent = under_way[-1] if under_way else None
        recorded = RecordedEquation(number, self._site(at, eqn, args), step, parent, inputs)
        step.equations.append(recorded)
        under_way.append(recorded)

    def equation_ends(self, at: Observed, eqn: Equation, args: Sequence[Any], results: Sequence[Any]) -> None:
        recorded = self.under_way[at].pop()
        if recorded is not None:
            recorded.outputs = tuple(self._operand(at, var, result) for var, result in zip(eqn.outvars, results))
            recorded.ended = True
            if self.values.full:
                self._note_cut("values", recorded.number, at, self.values.max_bytes)

    def accessed(self, at: Observed, access: Access) -> None:
        recorded = self.under_way[at][-1] if self.under_way[at] else None
        if recorded is None:
            return
        positions = None if access.part is not None or self.values.full else access.positions
        before = self.values.keep(access.before)
        after = before if access.after is access.before else self.values.keep(access.after)
        recorded.accesses.append(RecordedAccess(access.kind, access.ref.name, access.part, positions, before, after))

    def _operand(self, at: Observed, atom: Any, value: Any) -> Value | RefName:
        if not isinstance(atom, Literal) and atom.is_ref:
            return RefName(_ref_name(at, value))
        if value is None:  # a result that nobody reads
            return Unkept(atom.shape, atom.dtype)
        return self.values.keep(value)

    def _note_cut(self, what: str, number: int, at: Observed, limit: int) -> None:
        if all(cut.what != what for cut in self.recording.cuts):
            index = tuple(map(int, at.grid_index))
            self.recording.cuts.append(Cut(what, number, at.call.jaxpr.name, index, limit))

    def _site(self, at: Observed, eqn: Equation, args: Sequence[Any]) -> Site:
        """The equation, with its refs by the names that the kernel has for them."""
        refs = {
            atom: _ref_name(at, arg)
            for atom, arg in zip(eqn.invars, args)
            if not isinstance(atom, Literal) and atom.is_ref
        }
        key = eqn, tuple(refs.values())
        if key not in self.sites:
            jaxpr = at.jaxprs[-1]
            if jaxpr not in self.names:
                self.names[jaxpr] = names_in(jaxpr)
            names = self.names[jaxpr] | refs
            self.sites[key] = Site(
                primitive=eqn.name,
                text=equation_text(eqn, names),
                lines=tuple(map(self._line, eqn.locations)),
                operands=tuple(names.get(atom, "_") for atom in eqn.invars),
                results=tuple(names.get(var, "_") for var in eqn.outvars),
            )
            self.recording.origins[self.sites[key]] = eqn
        return self.sites[key]

    def _line(self, place: SourceLocation) -> Line:
        file = place.short_file
        source = self.recording.sources.setdefault(file, {})
        for number in range(place.first_line, place.end_line + 1):
            source.setdefault(number, linecache.getline(place.file, number).rstrip("\n"))
        return Line.at(place)


def _ref_name(at: Observed, array: np.ndarray) -> str:
    ref = at.refs.get(id(array))
    return ref.name if ref else "ref"


def _operands(call: KernelCall) -> tuple[Operand, ...]:
    names = [var.name or f"ref{number}" for number, var in enumerate(call.jaxpr.invars)]
    plain = [("prefetch", ref.shape, ref.dtype) for ref in call.prefetch]
    plain += [("input", operand.shape, operand.dtype) for operand in call.inputs]
    plain += [("output", operand.shape, operand.dtype) for operand in call.outputs]
    plain += [("scratch", ref.shape, ref.dtype) for ref in call.scratch]
    return tuple(Operand(name, *facts) for name, facts in zip(names, plain, strict=True))
