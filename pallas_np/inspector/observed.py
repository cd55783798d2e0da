"""The observed interpreter: phase 5, which says to an observer what it does.

The recorder, the profiler and the checks are observers.  With nobody watching none of this exists: phase 5 calls
nothing for it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from pallas_np import phase5
from pallas_np.frontend import Equation, Jaxpr, KernelCall, Var
from pallas_np.frontend import primitives as p
from pallas_np.frontend.refs import Bitcast, Index
from pallas_np.options import Options
from pallas_np.phase3 import numpy_index, transformed
from pallas_np.phase5.cores import Core
from pallas_np.phase5.failures import told
from pallas_np.phase5.grid import Window
from pallas_np.phase5.memory import Place, lanes_of, operand_of

Part = tuple[slice, ...]
"""Elements of a ref at regular distances: for each axis where they start, stop, and how far they are apart."""


@dataclass(frozen=True, eq=False)
class Ref:
    """A ref of the kernel that runs.

    Attributes:
      array: its contents.
      name: what the kernel calls it; two names, joined by `=`, of an input and its alias that see the same block.
      is_semaphore: whether it holds semaphores.
      inside: of a ref that is a part of another (a pipeline's block), that part; else `None`.
    """

    array: np.ndarray
    name: str
    is_semaphore: bool = False
    inside: ObservedPlace | None = None


@dataclass(frozen=True, eq=False)
class Access:
    """What an equation did to a ref.

    A ref that is a part of another stands for it: `ref` is the one that is a part of none.

    Attributes:
      kind: `"read"`; `"write"`; `"add"`, which reads and writes; `"new"`: a ref of a nested scope has come into being.
      ref: the ref.
      part: the elements; `None` if they lie at no regular distances.  A write
        through a bitcast is one of the whole ref.
      before: what they held before: an array of its own.
      after: what they hold now: an array of its own; of a read, `before` itself.
    """

    kind: str
    ref: Ref
    part: Part | None
    before: np.ndarray
    after: np.ndarray
    find_positions: Callable[[], np.ndarray]

    @cached_property
    def positions(self) -> np.ndarray:
        """The elements, as positions in the flattened ref: an integer array of the shape of what was accessed."""
        return self.find_positions()


class Observer:
    """Is told what an observed interpreter does; a subclass overrides what it wants to hear.

    What it raises, a kernel raises: a `KernelError` gets what it does not say of the kernel, the line, the grid index
    and the equation under way.

    `at` is the interpreter: its `launch`, `call`, `grid_index`, `jaxprs` and `equations` say where it is.  The cores of
    a mesh have an interpreter each, with the same `launch`, and their events interleave where one waits for another.

    Attributes:
      wants_accesses: whether it is told of accesses; each takes copies of what the ref held and holds.
    """

    wants_accesses = True

    def launch_begins(self, at: Observed, arrays: Sequence[np.ndarray]) -> None:
        """A call is about to run on these operands."""

    def launch_ends(self, at: Observed, outputs: Sequence[np.ndarray] | None) -> None:
        """It has run; `None` if it failed: an observer raises nothing then."""

    def step_begins(self, at: Observed, windows: Sequence[Window], refs: Sequence[Ref]) -> None:
        """A program is about to run: one window for each input and output, and the kernel's refs in their order."""

    def step_ends(self, at: Observed) -> None:
        """It has run; what it wrote to blocks that reach past their array's end is not yet copied back."""

    def equation_begins(self, at: Observed, eqn: Equation, args: Sequence[Any]) -> None:
        """An equation of the kernel, or of a jaxpr nested in it, is about to run; a ref among `args` is its array."""

    def equation_ends(self, at: Observed, eqn: Equation, args: Sequence[Any], results: Sequence[Any]) -> None:
        """It has run, with those nested in it before it."""

    def accessed(self, at: Observed, access: Access) -> None:
        """The innermost equation has read or written a ref."""


class Observers(Observer):
    """Several observers, each told in turn."""

    def __init__(self, observers: Sequence[Observer]):
        self.observers = tuple(observers)
        self.wants_accesses = any(observer.wants_accesses for observer in observers)

    def launch_begins(self, at: Observed, arrays: Sequence[np.ndarray]) -> None:
        for observer in self.observers:
            observer.launch_begins(at, arrays)

    def launch_ends(self, at: Observed, outputs: Sequence[np.ndarray] | None) -> None:
        for observer in self.observers:
            observer.launch_ends(at, outputs)

    def step_begins(self, at: Observed, windows: Sequence[Window], refs: Sequence[Ref]) -> None:
        for observer in self.observers:
            observer.step_begins(at, windows, refs)

    def step_ends(self, at: Observed) -> None:
        for observer in self.observers:
            observer.step_ends(at)

    def equation_begins(self, at: Observed, eqn: Equation, args: Sequence[Any]) -> None:
        for observer in self.observers:
            observer.equation_begins(at, eqn, args)

    def equation_ends(self, at: Observed, eqn: Equation, args: Sequence[Any], results: Sequence[Any]) -> None:
        for observer in self.observers:
            observer.equation_ends(at, eqn, args, results)

    def accessed(self, at: Observed, access: Access) -> None:
        for observer in self.observers:
            observer.accessed(at, access)


class ObservedPlace(Place):
    """A part of a ref, which tells what is done to it."""

    def __init__(self, interp: Observed, *args: Any):
        super().__init__(interp, *args)
        self.interp = interp

    def read(self) -> np.ndarray:
        value = super().read()
        self.interp.tell("read", self.ref, self._part(), self.positions, value, value)
        return value

    def write(self, value: Any) -> None:
        self._change("write", super().write, value)

    def add(self, value: Any) -> None:
        self._change("add", super().add, value)

    def _change(self, kind: str, change: Callable[[Any], None], value: Any) -> None:
        if not self.interp.observer.wants_accesses:
            change(value)
            return
        part, positions, held = self._part(), self.positions, super().read
        if any(isinstance(transform, Bitcast) for transform in self.transforms):  # it may touch a part of an element
            shape = self.ref.shape
            part, positions, held = _whole(shape), partial(_all_positions, shape), self.ref.copy
        before = held()
        change(value)
        self.interp.tell(kind, self.ref, part, positions, before, held())

    def view(self) -> np.ndarray:
        view = super().view()
        if view is not self.ref:
            self.interp.views[id(view)] = view, self
        return view

    def _part(self) -> Part | None:
        """The elements, if the chain of transforms leads to some at regular distances with the ref's own axes."""
        if not self.transforms:
            return _whole(self.ref.shape)
        index, *rest = self.transforms
        if rest or not isinstance(index, Index):
            return None
        *parts, _ = numpy_index(index, self.operands, self.ref.shape)
        if any(isinstance(part, np.ndarray) for part in parts):
            return None
        regular = [part if isinstance(part, slice) else slice(part, part + 1, 1) for part in parts]
        return (*regular, *_whole(self.ref.shape[len(regular) :]))

    def positions(self) -> np.ndarray:
        """The elements, as positions in the flattened ref; where a bitcast packs several in one, the first of them."""
        found = _all_positions(self.ref.shape)
        dtype = self.ref.dtype
        for transform in self.transforms:
            if isinstance(transform, Bitcast):
                found, dtype = _bitcast_positions(found, dtype, transform.dtype), transform.dtype
            else:
                found = transformed(found, (transform,), self.operands)
        return found


def _whole(shape: Sequence[int]) -> Part:
    return tuple(slice(0, size, 1) for size in shape)


def _all_positions(shape: Sequence[int]) -> np.ndarray:
    return np.arange(math.prod(shape), dtype=np.int64).reshape(shape)


def _positions_through(outer: ObservedPlace, inner: Callable[[], np.ndarray]) -> np.ndarray:
    """Positions in a part of a ref, as positions in that ref."""
    return outer.positions().reshape(-1)[inner()]


def _bitcast_positions(positions: np.ndarray, dtype: np.dtype, target: np.dtype) -> np.ndarray:
    """Where the elements of a ref seen as another dtype lie in the ref."""
    axis = -2 if positions.ndim > 1 else -1
    if target.itemsize < dtype.itemsize:
        return np.repeat(positions, dtype.itemsize // target.itemsize, axis)
    every = [slice(None)] * positions.ndim
    every[axis] = slice(None, None, target.itemsize // dtype.itemsize)
    return positions[tuple(every)]


_launches = itertools.count()


class Observed(phase5.Interpreter):
    """Phase 5, watched.

    Attributes:
      observer: who watches.
      knows_refs: whether it keeps account of refs: where an observer wants accesses.
      launch: the number of the launch, in the process; the cores of a mesh have the same.
      jaxprs: those under way, from the kernel's inwards; empty while index maps are evaluated.
      equations: those under way, outermost first.
      refs: the refs of the kernel, and of the jaxprs under way, by the identity of their array.
      views: parts of refs that a rule has taken as arrays, by their identity, and where they are.
    """

    place_type: type[Place] = ObservedPlace

    def __init__(
        self,
        observer: Observer,
        rules: Mapping[Any, Callable[..., Any]] = phase5.numpy_rules,
        options: Options = Options(),  # noqa: B008
    ):
        super().__init__(rules, options)
        self.observer = observer
        self.knows_refs = observer.wants_accesses
        if not self.knows_refs:
            self.place_type = Place
        self.launch = -1
        self.jaxprs: list[Jaxpr] = []
        self.equations: list[Equation] = []
        self.refs: dict[int, Ref] = {}
        self.views: dict[int, tuple[np.ndarray, ObservedPlace]] = {}

    def another(self) -> Observed:
        return Observed(self.observer, self.rules, self.options)

    def on_core(self, core: Core, cores: Mapping[tuple[int, ...], Core]) -> Observed:
        own = super().on_core(core, cores)
        assert isinstance(own, Observed)
        own.launch = self.launch
        return own

    def run(self, call: KernelCall, *arrays: np.ndarray) -> list[np.ndarray]:
        self.launch, self.call = next(_launches), call
        self.observer.launch_begins(self, arrays)
        try:
            outputs = super().run(call, *arrays)
        except BaseException:
            self.observer.launch_ends(self, None)
            raise
        try:
            self.finish(outputs)
        except Exception as error:
            raise told(error, call)  # noqa: B904  (it has its cause)
        return outputs

    def finish(self, outputs: Sequence[np.ndarray]) -> None:
        """The call has run: an error has the place that it comes with."""
        self.observer.launch_ends(self, outputs)

    def run_kernel(self, windows: Sequence[Window], refs: Sequence[np.ndarray]) -> None:
        self.refs, self.views = {}, {}
        self.meet(self.call.jaxpr.invars, refs)
        self.observer.step_begins(self, windows, [self.refs[id(ref)] for ref in refs])
        self.jaxprs.append(self.call.jaxpr)
        super().run_kernel(windows, refs)
        self.jaxprs.pop()
        self.observer.step_ends(self)

    def eval_jaxpr(self, jaxpr: Jaxpr, consts: Sequence[Any], *args: Any) -> list[Any]:
        if not self.jaxprs or jaxpr is self.call.jaxpr:
            return super().eval_jaxpr(jaxpr, consts, *args)
        outside = self.refs
        if self.knows_refs:
            self.refs = dict(outside)
            self.meet((*jaxpr.constvars, *jaxpr.invars), (*consts, *args))
        self.jaxprs.append(jaxpr)
        answer = super().eval_jaxpr(jaxpr, consts, *args)
        self.jaxprs.pop()
        self.refs = outside
        return answer

    def eval_equation(self, eqn: Equation, *args: Any) -> Any:
        if not self.jaxprs:
            return super().eval_equation(eqn, *args)
        self.equations.append(eqn)
        self.observer.equation_begins(self, eqn, args)
        answer = self._run_and_tell(eqn, *args)
        results = answer if eqn.multiple_results else [answer]
        if self.knows_refs:
            self.meet(eqn.outvars, results)
        self.observer.equation_ends(self, eqn, args, results)
        self.equations.pop()
        return answer

    def _run_and_tell(self, eqn: Equation, *args: Any) -> Any:
        if not self.knows_refs:
            return super().eval_equation(eqn, *args)
        if eqn.primitive in (p.masked_load_p, p.masked_swap_p, p.atomic_rmw_p):
            return self._run_by_lanes(eqn, *args)
        if eqn.primitive is p.atomic_cas_p:
            return self._run_atomic_cas(eqn, *args)
        return super().eval_equation(eqn, *args)

    def meet(self, variables: Sequence[Var], values: Sequence[Any]) -> None:
        """Notes the refs among these variables' values."""
        for var, value in zip(variables, values):
            if not var.is_ref:
                continue
            known = self.refs.get(id(value))
            if known is None:
                _, inside = self.views.get(id(value), (None, None))
                ref = Ref(value, self._unused(var.name or f"ref{len(self.refs)}"), var.is_semaphore, inside)
                self.refs[id(value)] = ref
                if self.jaxprs and inside is None:
                    contents = np.array(value)
                    positions = partial(_all_positions, value.shape)
                    self.observer.accessed(self, Access("new", ref, _whole(value.shape), contents, contents, positions))
            elif not self.jaxprs and var.name:
                self.refs[id(value)] = Ref(value, f"{known.name}={var.name}", var.is_semaphore)

    def _unused(self, name: str) -> str:
        """The name, or, where another ref has it already, that name with a number."""
        taken = {ref.name for ref in self.refs.values()}
        candidates = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(2)))
        return next(candidate for candidate in candidates if candidate not in taken)

    def _run_by_lanes(self, eqn: Equation, *args: Any) -> Any:
        """Runs an access lane by lane, and tells of the lanes that the mask leaves on."""
        mask = operand_of(eqn, "mask", args)
        if mask is None and eqn.primitive is not p.atomic_rmw_p:  # no lanes: the rule goes through `place_type`
            return super().eval_equation(eqn, *args)
        where, positions, lanes = lanes_of(self, eqn.params["ref"], args, np.True_ if mask is None else mask)
        touched = positions[lanes]
        before = where.view().reshape(-1)[touched]
        answer = super().eval_equation(eqn, *args)
        after = before if eqn.primitive is p.masked_load_p else where.view().reshape(-1)[touched]
        kind = "read" if after is before else "write"
        assert isinstance(where, ObservedPlace)
        self.tell(kind, where.ref, None, lambda: where.positions().reshape(-1)[touched], before, after)
        return answer

    def _run_atomic_cas(self, eqn: Equation, ref: np.ndarray, *args: Any) -> Any:
        before = np.array(ref)
        answer = super().eval_equation(eqn, ref, *args)
        self.tell("write", ref, (), lambda: np.zeros((), np.int64), before, np.array(ref))
        return answer

    def tell(
        self,
        kind: str,
        ref: np.ndarray,
        part: Part | None,
        positions: Callable[[], np.ndarray],
        before: np.ndarray,
        after: np.ndarray,
    ) -> None:
        """Tells the observer of an access; to a ref that is a part of another, in terms of that other."""
        if not self.jaxprs or not self.observer.wants_accesses:  # an index map reads a prefetch ref
            return
        known, found = self.root_of(ref, positions)
        part = None if found is not positions else part
        self.observer.accessed(self, Access(kind, known, part, before, after, found))

    def root_of(self, ref: np.ndarray, positions: Callable[[], np.ndarray]) -> tuple[Ref, Callable[[], np.ndarray]]:
        """The ref that is a part of none behind a ref, and these positions in it."""
        known = self.refs.get(id(ref)) or Ref(ref, "ref")
        while known.inside is not None:
            outer = known.inside
            positions = partial(_positions_through, outer, positions)
            known = self.refs.get(id(outer.ref)) or Ref(outer.ref, "ref")
        return known, positions
