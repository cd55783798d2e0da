"""What becomes of memory that nobody has written: `Options(uninitialized="raise")`.

Phase 5, with marks on everything that depends on such memory, element by element.  To read it is no fault: every ragged
block has padding.  It is one if what was read decides on a branch or an index, or is left in an output.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pallas_np import phase5
from pallas_np.errors import SourceLocation, UninitializedError
from pallas_np.frontend import Equation, Jaxpr, KernelCall, Operand, Var, operand_facts
from pallas_np.frontend import primitives as p
from pallas_np.frontend.primitives import lax_primitive
from pallas_np.frontend.refs import Index, Slice, Transform
from pallas_np.frontend.refs import Operand as IndexOperand
from pallas_np.inspector.dependence import Marks, dependent
from pallas_np.inspector.observed import Observed, ObservedPlace, Observer
from pallas_np.inspector.shadows import Origin, Shadows, bits_of_marks, marks_of_bits
from pallas_np.options import Options
from pallas_np.phase1 import structure
from pallas_np.phase3 import read, write
from pallas_np.phase5 import memory
from pallas_np.phase5.memory import lanes_of, operand_of


@dataclass(frozen=True)
class Write:
    """A write of something that depends on memory which nobody has written.

    Attributes:
      equations: those under way, outermost first.
      grid_index: the program that wrote.
      ref: the name of the ref.
      origin: the memory behind it.
    """

    equations: tuple[Equation, ...]
    grid_index: tuple[int, ...]
    ref: str
    origin: Origin

    @property
    def stack(self) -> tuple[SourceLocation, ...]:
        """The user's lines, from the kernel inwards."""
        return tuple(place for eqn in self.equations for place in eqn.locations)

    def place(self) -> dict[str, Any]:
        """What an error about it says of where it is."""
        last = self.equations[-1]
        refs = [getattr(atom, "is_ref", False) for atom in last.invars]
        names = [self.ref if is_ref and sum(refs) == 1 else "" for is_ref in refs]
        return {
            "stack": self.stack,
            "grid_index": self.grid_index,
            "primitive": last.name,
            "operands": tuple(map(operand_facts, last.invars, names)),
        }


class Knowledge:
    """What is known of values and memory, by every interpreter that takes part in a run.

    Attributes:
      memory: the marks of memory.
      values: of values, by identity, their marks and the memory behind them; the first keeps them in step with
        the value's life.
      writes: the writes that have left marks, by number; the first is none.
      numbers: the other way round.
    """

    def __init__(self) -> None:
        self.memory = Shadows()
        self.values: dict[int, tuple[Any, np.ndarray, Origin]] = {}
        self.writes: list[Write | None] = [None]
        self.numbers: dict[Write, int] = {}

    def note(self, value: np.ndarray, marks: np.ndarray, origin: Origin) -> np.ndarray:
        """The value, which has these marks from now on, as an object of its own."""
        value = np.asarray(value)[...]
        key, table = id(value), self.values
        table[key] = weakref.ref(value, lambda _: table.pop(key, None)), marks, origin
        return value

    def forget(self) -> None:
        """Forgets all marks, whose tables refer to themselves: they need not wait for Python's garbage collector."""
        self.memory.forget()
        self.values.clear()

    def number(self, write: Write) -> int:
        if write not in self.numbers:
            self.numbers[write] = len(self.writes)
            self.writes.append(write)
        return self.numbers[write]


class FollowedPlace(ObservedPlace):
    """A part of a ref whose marks follow what is done to it."""

    interp: Following

    def __init__(self, interp: Following, ref: np.ndarray, transforms: Sequence[Transform], operands: Sequence[Any]):
        super().__init__(interp, ref, transforms, operands)
        for position in _dynamic(transforms):
            interp.refuse(operands[position], "an index")

    def read(self) -> np.ndarray:
        value = super().read()
        bits = self.interp.known.memory.bits(self.ref)
        if bits is None:
            return value
        marks = marks_of_bits(read(bits, self.transforms, self.operands))
        if not marks.any():
            return value
        return self.interp.known.note(value, marks, self.interp.origin_of_memory(self.ref, self.positions()[marks]))

    def write(self, value: Any) -> None:
        super().write(value)
        self._mark(value, self.interp.marks(value))

    def add(self, value: Any) -> None:
        super().add(value)
        marks = self.interp.marks(value)
        if marks is not None:  # an element that is named twice keeps the mark of either
            bits = self.interp.known.memory.bits(self.ref)
            old = None if bits is None else marks_of_bits(read(bits, self.transforms, self.operands))
            self._mark(value, marks if old is None else marks | old)

    def _mark(self, value: Any, marks: Marks) -> None:
        bits = self.interp.known.memory.bits(self.ref, make=marks is not None)
        if bits is None:
            return
        shape = read(bits, self.transforms, self.operands).shape
        everywhere = np.broadcast_to(False if marks is None else marks, shape)
        write(bits, self.transforms, self.operands, bits_of_marks(everywhere, self.dtype))
        if marks is not None:
            self.interp.wrote(self.ref, self.positions()[everywhere], self.interp.origin(value))


def _dynamic(transforms: Sequence[Transform]) -> list[int]:
    """The operands that say where a chain of transforms leads."""
    parts = [part for t in transforms if isinstance(t, Index) for part in t.indices]
    found = [x for part in parts for x in ((part.start, part.size) if isinstance(part, Slice) else (part,))]
    return [x.position for x in found if isinstance(x, IndexOperand)]


class Following(Observed):
    """The observed interpreter, which follows what nobody has written.

    Attributes:
      known: the marks.
      is_inside: whether it runs a kernel that another kernel calls.
    """

    def __init__(
        self,
        observer: Observer,
        rules: Mapping[Any, Callable[..., Any]] | None = None,
        options: Options = Options(),  # noqa: B008
        known: Knowledge | None = None,
    ):
        self.known, self.is_inside = known or Knowledge(), known is not None
        super().__init__(observer, {**phase5.numpy_rules, **_following_rules} if rules is None else rules, options)
        self.knows_refs, self.place_type = True, FollowedPlace

    def another(self) -> Following:
        return Following(self.observer, self.rules, self.options, self.known)

    # Memory.

    def leave_unwritten(self, memory: np.ndarray) -> None:
        super().leave_unwritten(memory)
        self.known.memory.mark(memory, True)

    def memory_of(self, value: Any) -> np.ndarray:
        memory = super().memory_of(value)
        marks = self.marks(value)
        if marks is not None:
            self.known.memory.mark_new(memory, marks, self.origin(value))
        return memory

    def move(self, source: np.ndarray, target: np.ndarray) -> None:
        super().move(source, target)
        self.known.memory.move(source, target)

    def read_from(self, ref: np.ndarray, value: np.ndarray, marks: np.ndarray) -> np.ndarray:
        """The value of a whole ref, with its marks."""
        return self.known.note(value, marks, self.origin_of_memory(ref, np.flatnonzero(marks)))

    def origin_of_memory(self, ref: np.ndarray, positions: np.ndarray) -> Origin:
        """The memory behind the first of these marks, which lie in a ref: itself, or that behind what was written."""
        index = tuple(map(int, np.unravel_index(positions.flat[0], ref.shape)))
        writers = self.known.memory.writers(ref)
        write = None if writers is None else self.known.writes[int(writers[index])]
        if write is not None:
            return write.origin
        return self.known.memory.origin(ref) or self._itself(ref, index)

    def _itself(self, ref: np.ndarray, index: tuple[int, ...]) -> Origin:
        known, read = self.refs.get(id(ref)), tuple(self.equations)
        if known is None:
            return Origin("an empty array, or the padding of one", None, UninitializedError.usual_advice, read)
        element = f"{known.name}{list(index) if index else ''}"
        if any(known.name == operand.ref.name for operand in self.call.inputs):
            return Origin(element, known.name, f"mask the padding of {known.name}'s block", read)
        advice = f"write to {known.name} before it is read; a ragged block's padding wants a mask"
        return Origin(element, known.name, advice, read)

    def turned_off(self, ref: np.ndarray) -> Origin:
        """What a masked load answers for the lanes that its mask turns off."""
        name = self._name(ref)
        return Origin(
            f"a lane of {name} that the mask turns off", name, "give the load an `other`", tuple(self.equations)
        )

    def _name(self, ref: np.ndarray) -> str:
        known = self.refs.get(id(ref))
        return known.name if known else "a ref"

    def wrote(self, ref: np.ndarray, positions: np.ndarray, origin: Origin) -> None:
        """Notes that the innermost equation has written marked elements to a ref."""
        write = Write(tuple(self.equations), tuple(map(int, self.grid_index)), self._name(ref), origin)
        writers = self.known.memory.writers(ref, make=True)
        assert writers is not None
        writers[np.unravel_index(positions, ref.shape) if ref.shape else ...] = self.known.number(write)

    # Values.

    def marks(self, value: Any) -> Marks:
        """Which elements of a value depend on what nobody has written."""
        if not isinstance(value, np.ndarray):
            return None
        known = self.known.values.get(id(value))
        return self.known.memory.marks(value) if known is None else known[1]

    def origin(self, value: Any) -> Origin:
        """The memory behind a value that has marks."""
        known = self.known.values.get(id(value))
        if known is not None:
            return known[2]
        marks = self.marks(value)
        assert marks is not None
        return self.origin_of_memory(value, np.flatnonzero(marks))

    def part(self, value: Any, i: int) -> Any:
        """`value[i]`, with its marks."""
        marks = self.marks(value)
        if marks is None or not marks[i].any():
            return value[i]
        return self.known.note(value[i], marks[i], self.origin(value))

    def refuse(self, value: Any, what: str, eqn: Equation | None = None, stack: Sequence[SourceLocation] = ()) -> None:
        """Raises if what decides on something depends on memory that nobody has written.

        Args:
          value: what decides.
          what: what it is, in words.
          eqn: the equation that it decides on, if that is not yet under way.
          stack: the user's lines, where there is no equation.

        Raises:
          UninitializedError: with the memory.
        """
        if self.marks(value) is None:
            return
        origin = self.origin(value)
        under_way = [*self.equations, *([] if eqn is None else [eqn])]
        here = stack or [line for eqn in under_way for line in eqn.locations]
        raise UninitializedError(
            f"{what} depends on memory that nobody has written: {origin.told(here)}",
            advice=origin.advice,
            ref=origin.ref,
            stack=stack,
        )

    # Evaluation.

    def eval_equation(self, eqn: Equation, *args: Any) -> Any:
        for position in _decisive(eqn):
            self.refuse(args[position], "which branch is taken" if eqn.primitive is p.cond_p else "an index", eqn)
        answer = super().eval_equation(eqn, *args)
        if eqn.primitive in _FOLLOWED_WITHIN:
            return answer
        marks = [None if getattr(atom, "is_ref", False) else self.marks(arg) for atom, arg in zip(eqn.invars, args)]
        if all(mark is None for mark in marks):
            return answer
        origin = next(self.origin(arg) for arg, mark in zip(args, marks) if mark is not None)
        results = answer if eqn.multiple_results else [answer]
        found = [
            result if mark is None else self.known.note(result, mark, origin)
            for result, mark in zip(results, dependent(eqn, args, marks, results))
        ]
        return found if eqn.multiple_results else found[0]

    def eval_jaxpr(self, jaxpr: Jaxpr, consts: Sequence[Any], *args: Any) -> list[Any]:
        answer = super().eval_jaxpr(jaxpr, consts, *args)
        if not self.jaxprs and jaxpr is not self.call.jaxpr:
            for index in answer:
                self.refuse(index, "a block's place", stack=(jaxpr.location,) if jaxpr.location else ())
        elif self.equations and self.equations[-1].params.get("cond_jaxpr") is jaxpr:
            self.refuse(answer[0], "whether a loop goes on")
        return answer

    # Outputs.

    def run(self, call: KernelCall, *arrays: np.ndarray) -> list[np.ndarray]:
        for array in arrays:
            marks = self.marks(array)
            if marks is not None:  # a value of the kernel that calls this one is memory here
                self.known.memory.mark_new(array, marks, self.origin(array))
        try:
            return super().run(call, *arrays)
        finally:
            if not self.is_inside:
                self.known.forget()

    def finish(self, outputs: Sequence[np.ndarray]) -> None:
        super().finish(outputs)
        if not self.is_inside:
            for array, output in zip(outputs, self.call.outputs):
                self._refuse_kept(array, output)

    def _refuse_kept(self, array: np.ndarray, output: Operand) -> None:
        """Raises if an output holds what nobody has written.

        Raises:
          UninitializedError: with the elements, and who wrote the first of them.
        """
        marks = self.known.memory.marks(array)
        if marks is None:
            return
        first = tuple(map(int, np.argwhere(marks)[0]))
        name, count = output.ref.name or output.name, f"{np.count_nonzero(marks)} of {marks.size} elements"
        writers = self.known.memory.writers(array)
        write = None if writers is None else self.known.writes[int(writers[first])]
        if write is None:
            raise UninitializedError(
                f"{count} of the output {name} were never written; the first is at {first}",
                advice="let the grid's blocks cover the output, and every program write all of its block",
                ref=name,
            )
        error = UninitializedError(
            f"{count} of the output {name} depend on memory that nobody has written: "
            f"the first, at {first}, on {write.origin.told(write.stack)}",
            advice=write.origin.advice,
            ref=write.origin.ref,
        )
        vars(error).update(write.place())
        raise error


def _decisive(eqn: Equation) -> Sequence[int]:
    """The operands that decide on a branch or an index.

    A gather that fills or clips takes any index; what it answers depends on it.
    """
    if eqn.primitive in _STARTS_FROM:
        return range(_STARTS_FROM[eqn.primitive], len(eqn.invars))
    if eqn.primitive in _INDICES:
        return [1]
    if eqn.primitive is lax_primitive("gather") and eqn.params["mode"] == "promise_in_bounds":
        return [1]
    return [0] if eqn.primitive is p.cond_p else []


_STARTS_FROM = {lax_primitive("dynamic_slice"): 1, lax_primitive("dynamic_update_slice"): 2}
_INDICES = frozenset(map(lax_primitive, "scatter scatter-add scatter-max scatter-min scatter-mul scatter-sub".split()))


# What structure does with values and memory, beyond what places and nested equations tell.


@structure
def scan(interp: Following, eqn: Equation, *args: Any) -> list[Any]:
    """Phase 4's, with the marks of what it cuts and stacks."""
    body, length = eqn.params["jaxpr"], eqn.params["length"]
    num_consts, num_carry = eqn.params["num_consts"], eqn.params["num_carry"]
    consts, carry, xs = args[:num_consts], args[num_consts:][:num_carry], args[num_consts + num_carry :]
    ys = [Stack(var) for var in eqn.outvars[num_carry:]]
    for i in reversed(range(length)) if eqn.params["reverse"] else range(length):
        results = interp.eval_jaxpr(body, body.consts, *consts, *carry, *(interp.part(x, i) for x in xs))
        carry = tuple(results[:num_carry])
        for y, result in zip(ys, results[num_carry:]):
            y.put(interp, i, result)
    return [*carry, *(y.value(interp) for y in ys)]


class Stack:
    """What a scan stacks up, with its marks."""

    def __init__(self, var: Var):
        self.array, self.marks = np.empty(var.shape, var.dtype), np.zeros(var.shape, bool)
        self.origin: Origin | None = None

    def put(self, interp: Following, i: int, result: Any) -> None:
        self.array[i] = result
        marks = interp.marks(result)
        if marks is not None:
            self.marks[i], self.origin = marks, interp.origin(result)

    def value(self, interp: Following) -> np.ndarray:
        return self.array if self.origin is None else interp.known.note(self.array, self.marks, self.origin)


@structure
def freeze(interp: Following, eqn: Equation, ref: np.ndarray) -> np.ndarray:
    marks = interp.known.memory.marks(ref)
    value = memory.freeze(interp, eqn, ref)
    return value if marks is None else interp.read_from(ref, value, marks)


@structure
def masked_load(interp: Following, eqn: Equation, *args: Any) -> np.ndarray:
    value = memory.masked_load(interp, eqn, *args)
    mask, other = operand_of(eqn, "mask", args), operand_of(eqn, "other", args)
    if mask is None:
        return value
    lanes = Lanes(interp, eqn, args, mask)
    rest = np.True_ if other is None else _known_marks(interp, other)
    marks = np.where(lanes.on, lanes.held, rest) | _known_marks(interp, mask)
    return lanes.answer(value, marks, other, mask)


@structure
def masked_swap(interp: Following, eqn: Equation, *args: Any) -> np.ndarray:
    old = memory.masked_swap(interp, eqn, *args)
    mask, value = operand_of(eqn, "mask", args), operand_of(eqn, "value", args)
    if mask is None:
        return old
    lanes = Lanes(interp, eqn, args, mask)
    given = np.broadcast_to(_known_marks(interp, value) | _known_marks(interp, mask), lanes.on.shape)
    answer = lanes.answer(old, np.where(lanes.on, lanes.held, given), value, mask)
    lanes.leave(given, value, mask)
    return answer


@structure
def atomic_rmw(interp: Following, eqn: Equation, *args: Any) -> np.ndarray:
    old = memory.atomic_rmw(interp, eqn, *args)
    mask, value = operand_of(eqn, "mask", args), operand_of(eqn, "value", args)
    lanes = Lanes(interp, eqn, args, np.True_ if mask is None else mask)
    given = np.broadcast_to(_known_marks(interp, value), lanes.on.shape)
    answer = lanes.answer(old, np.where(lanes.on, lanes.held, given), value)
    lanes.leave(given if eqn.params["operation"] == "xchg" else given | lanes.held, value)
    return answer


@structure
def atomic_cas(interp: Following, eqn: Equation, ref: np.ndarray, compare: Any, value: Any) -> Any:
    """Whether it writes depends on what it compares."""
    held = interp.known.memory.marks(ref)
    old = memory.atomic_cas(interp, eqn, ref, compare, value)
    for given in (compare, value):
        if interp.marks(given) is not None:
            interp.known.memory.mark(ref, True)
            interp.wrote(ref, np.zeros(1, np.intp), interp.origin(given))
    return old if held is None else interp.read_from(ref, old, held)


def _known_marks(interp: Following, value: Any) -> np.ndarray | np.bool_:
    marks = interp.marks(value)
    return np.False_ if marks is None else marks


class Lanes:
    """The lanes of a masked access, and their marks.

    Attributes:
      ref: the ref that it is in.
      on: the mask.
      held: which lanes' memory is marked; none of those that the mask turns off.
    """

    def __init__(self, interp: Following, eqn: Equation, args: Sequence[Any], mask: Any):
        view = eqn.params["ref"]
        where, self.positions, self.on = lanes_of(interp, view, args, mask)
        for position in _dynamic(view.transforms[-1:]):
            self._refuse(interp, args[position])
        self.interp, self.ref, self.memory = interp, where.ref, where.view()
        marks = interp.known.memory.marks(self.memory)
        self.held = np.False_ & self.on if marks is None else marks.reshape(-1)[self.positions] & self.on

    def _refuse(self, interp: Following, index: Any) -> None:
        """An index may be anything where the mask turns its lane off."""
        marks = interp.marks(index)
        used = marks is not None and np.any(marks & self.on if marks.shape == self.on.shape else self.on.any())
        if used:
            interp.refuse(index, "an index")

    def origin(self, *given: Any) -> Origin:
        """What is behind their marks: this memory, what they are given, or nothing at all."""
        if self.held.any():
            return self.interp.origin_of_memory(self.memory, self.positions[self.held])
        marked = [value for value in given if self.interp.marks(value) is not None]
        return self.interp.origin(marked[0]) if marked else self.interp.turned_off(self.ref)

    def leave(self, marks: np.ndarray, *given: Any) -> None:
        """Marks the memory of the lanes that are on as given."""
        known = self.interp.known.memory.marks(self.memory)
        flat = np.zeros(self.memory.size, bool) if known is None else known.reshape(-1).copy()
        flat[self.positions[self.on]] = marks[self.on]
        if (marks & self.on).any():
            self.interp.wrote(self.memory, self.positions[marks & self.on], self.origin(*given))
        self.interp.known.memory.mark(self.memory, flat.reshape(self.memory.shape))

    def answer(self, old: np.ndarray, marks: np.ndarray, *given: Any) -> np.ndarray:
        """What the lanes held, with its marks."""
        return self.interp.known.note(old, marks, self.origin(*given)) if marks.any() else old


_following_rules: dict[Any, Callable[..., Any]] = {
    p.scan_p: scan,
    p.freeze_p: freeze,
    p.masked_load_p: masked_load,
    p.masked_swap_p: masked_swap,
    p.atomic_rmw_p: atomic_rmw,
    p.atomic_cas_p: atomic_cas,
}

_FOLLOWED_WITHIN = frozenset(
    [
        *(p.jit_p, p.call_p, p.closed_call_p, p.custom_jvp_call_p, p.custom_vjp_call_p, p.custom_vmap_call_p),
        *(p.remat_p, p.composite_p, p.custom_fusion_p, p.cond_p, p.scan_p, p.while_p, p.pallas_call_p),
        *(p.run_scoped_p, p.run_state_p, p.pipeline_body_p, p.get_p, p.swap_p, p.addupdate_p),
        *(p.masked_load_p, p.masked_swap_p, p.atomic_rmw_p, p.atomic_cas_p, p.freeze_p, p.new_ref_p),
    ]
)
"""Whose results have their marks from places, from nested equations, or from the rules above."""
