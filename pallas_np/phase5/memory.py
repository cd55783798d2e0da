"""Memory in phase 5: the indexing options, masked accesses, atomics, and refs that a program makes itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from pallas_np import lax_numpy
from pallas_np.frontend import Equation, RefView
from pallas_np.frontend import primitives as p
from pallas_np.frontend.refs import Bitcast, Index, Select, Slice, Transform
from pallas_np.frontend.refs import Operand as IndexOperand
from pallas_np.phase1 import structure
from pallas_np.phase3 import add, read, transformed, write

if TYPE_CHECKING:
    from pallas_np.phase5 import Interpreter


class Place:
    """A part of a ref: what a chain of transforms leads to, its dynamic indices known."""

    def __init__(self, interp: Interpreter, ref: np.ndarray, transforms: Sequence[Transform], operands: Sequence[Any]):
        if interp.options.out_of_bounds == "clamp":
            operands = clamped(ref, transforms, operands)
        self.ref, self.transforms, self.operands = ref, transforms, operands

    @property
    def dtype(self) -> np.dtype:
        """The dtype of what is there."""
        casts = [t.dtype for t in self.transforms if isinstance(t, Bitcast)]
        return casts[-1] if casts else self.ref.dtype

    def with_transforms(self, transforms: Sequence[Transform]) -> Place:
        """Another part of the same ref, its dynamic indices among the same operands."""
        place = copy(self)
        place.transforms = transforms
        return place

    def read(self) -> np.ndarray:
        """A copy of what is there."""
        return read(self.ref, self.transforms, self.operands)

    def write(self, value: Any) -> None:
        """Writes `value` there."""
        write(self.ref, self.transforms, self.operands, value)

    def add(self, value: Any) -> None:
        """Adds `value` to what is there: twice to an element that an array of integers names twice."""
        last = self.transforms[-1] if self.transforms else None
        if isinstance(last, Index) and any(np.ndim(known(i, self.operands)) for i in last.indices):
            add(self.ref, self.transforms, self.operands, value)
        else:
            old = read(self.ref, self.transforms, self.operands)
            write(self.ref, self.transforms, self.operands, lax_numpy.add(old, value))

    def view(self) -> np.ndarray:
        """What is there, as a view where NumPy has one."""
        return transformed(self.ref, self.transforms, self.operands)


def place(interp: Interpreter, view: RefView, args: Sequence[Any]) -> Place:
    """The part of a ref that a view among an equation's operands stands for."""
    if isinstance(view.ref, tuple):
        select, *rest = view.transforms
        assert isinstance(select, Select)
        which = args[select.index.position] if isinstance(select.index, IndexOperand) else select.index
        chosen = view.ref[min(max(int(which), 0), len(view.ref) - 1)]
        return place(interp, RefView(chosen.ref, (*chosen.transforms, *rest)), args)
    return interp.place_type(interp, args[view.ref.position], view.transforms, args)  # type: ignore[arg-type]


def clamped(ref: np.ndarray, transforms: Sequence[Transform], operands: Sequence[Any]) -> list[Any]:
    """The operands with every dynamic index moved inside the ref, as `interpret=True` moves them.

    A negative index counts from the end, once; then it is clamped.
    """
    found = list(operands)
    for n, transform in enumerate(transforms):
        if isinstance(transform, Index):
            shape = transformed(ref, transforms[:n], found).shape
            for part, size in zip(transform.indices, shape):
                start = part.start if isinstance(part, Slice) else part
                if isinstance(start, IndexOperand):
                    span = (int(known(part.size, found)) - 1) * part.stride if isinstance(part, Slice) else 0
                    where = np.asarray(found[start.position])
                    where = np.where(where < 0, where + size, where)
                    found[start.position] = np.clip(where, 0, max(size - 1 - span, 0)).astype(where.dtype)
    return found


def known(part: Any, operands: Sequence[Any]) -> Any:
    """A part of an index that may be dynamic."""
    return operands[part.position] if isinstance(part, IndexOperand) else part


@structure
def get(interp: Interpreter, eqn: Equation, ref: np.ndarray, *indices: Any) -> np.ndarray:
    return interp.place_type(interp, ref, eqn.params["transforms"], indices).read()


@structure
def swap(interp: Interpreter, eqn: Equation, ref: np.ndarray, value: Any, *indices: Any) -> np.ndarray | None:
    where = interp.place_type(interp, ref, eqn.params["transforms"], indices)
    old = None if eqn.outvars[0] in eqn.dead else where.read()
    where.write(value)
    return old


@structure
def addupdate(interp: Interpreter, eqn: Equation, ref: np.ndarray, value: Any, *indices: Any) -> list[Any]:
    interp.place_type(interp, ref, eqn.params["transforms"], indices).add(value)
    return []


# Masked accesses: lanes that the mask turns off touch nothing, and may lie outside.


@structure
def masked_load(interp: Interpreter, eqn: Equation, *args: Any) -> np.ndarray:
    view, mask, other = eqn.params["ref"], operand_of(eqn, "mask", args), operand_of(eqn, "other", args)
    if mask is None:
        return place(interp, view, args).read()
    where, positions, lanes = lanes_of(interp, view, args, mask)
    ref = where.view()
    loaded = ref.reshape(-1)[positions]
    fill = interp.fresh_array((), ref.dtype) if other is None else other
    return np.where(lanes, loaded, np.broadcast_to(fill, lanes.shape)).astype(ref.dtype, copy=False)


@structure
def masked_swap(interp: Interpreter, eqn: Equation, *args: Any) -> np.ndarray:
    view, mask, value = eqn.params["ref"], operand_of(eqn, "mask", args), operand_of(eqn, "value", args)
    if mask is None:
        where = place(interp, view, args)
        old = where.read()
        where.write(value)
        return old
    where, positions, lanes = lanes_of(interp, view, args, mask)
    ref = where.view()
    flat = ref.reshape(-1)
    old = np.where(lanes, flat[positions], value).astype(ref.dtype, copy=False)
    flat[positions[lanes]] = np.broadcast_to(value, lanes.shape)[lanes]
    _return_to(ref, flat, view, args)
    return old


_ATOMIC: dict[str, Callable[[Any, Any], Any]] = {
    "xchg": lambda old, new: new,
    "add": lax_numpy.add,
    "max": lax_numpy.max,
    "min": lax_numpy.min,
    "and": lax_numpy.and_,
    "or": lax_numpy.or_,
    "xor": lax_numpy.xor,
}


@structure
def atomic_rmw(interp: Interpreter, eqn: Equation, *args: Any) -> np.ndarray:
    """Read, change and write each lane in turn, so that lanes at the same address all count."""
    view, mask, value = eqn.params["ref"], operand_of(eqn, "mask", args), operand_of(eqn, "value", args)
    change = _ATOMIC[eqn.params["operation"]]
    where, positions, lanes = lanes_of(interp, view, args, np.True_ if mask is None else mask)
    ref = where.view()
    flat, values = ref.reshape(-1), np.broadcast_to(value, lanes.shape)
    old = np.array(values)
    for lane in np.argwhere(lanes):
        at = tuple(lane)
        old[at] = flat[positions[at]]
        flat[positions[at]] = change(old[at], values[at])
    _return_to(ref, flat, view, args)
    return old


@structure
def atomic_cas(interp: Interpreter, eqn: Equation, ref: np.ndarray, compare: Any, value: Any) -> Any:
    old = ref[()].copy()
    if old == compare:
        ref[...] = value
    return old


def operand_of(eqn: Equation, name: str, args: Sequence[Any]) -> Any:
    value = eqn.params[name]
    return args[value.position] if isinstance(value, IndexOperand) else value


def lanes_of(
    interp: Interpreter, view: RefView, args: Sequence[Any], mask: Any
) -> tuple[Place, np.ndarray, np.ndarray]:
    """A masked access lane by lane: the place that the last index is of, each lane's position in it, and the mask.

    Raises:
      IndexError: if a lane that the mask leaves on lies outside the ref.
    """
    *before, last = view.transforms or (None,)
    if not isinstance(last, Index):
        before, last = list(view.transforms), None  # type: ignore[assignment]
    where = place(interp, RefView(view.ref, tuple(before)), args)
    ref = where.view()
    axes = _lane_indices(last, args, ref.shape)
    shape = np.broadcast_shapes(*(axis.shape for axis in axes))
    lanes = np.broadcast_to(mask, shape)
    inside = np.ones(shape, bool)
    for axis, size in zip(axes, ref.shape):
        inside &= (axis >= 0) & (axis < size)
    if np.any(lanes & ~inside):
        lane = tuple(np.argwhere(lanes & ~inside)[0])
        index = tuple(int(np.broadcast_to(axis, shape)[lane]) for axis in axes)
        raise IndexError(f"the mask leaves on a lane at index {index}, outside a ref of shape {ref.shape}")
    safe = [np.where(inside, axis, 0) for axis in axes]
    positions = np.ravel_multi_index(safe, ref.shape) if axes else np.zeros(shape, np.intp)
    return where, np.asarray(positions), np.asarray(lanes)


def _lane_indices(index: Index | None, args: Sequence[Any], shape: Sequence[int]) -> list[np.ndarray]:
    """For each axis of a ref, the index of every lane, in arrays that broadcast together."""
    if index is None:
        return list(np.indices(tuple(shape), sparse=True))
    arrays = [known(part, args) for part in index.indices if not isinstance(part, Slice)]
    array_ndim = max((np.ndim(a) for a in arrays), default=0)
    slices = [axis for axis, part in enumerate(index.indices) if isinstance(part, Slice)]
    # NumPy puts the axes of integer arrays where the first one stands, or first of all if a slice stands between two.
    integers = [axis for axis in range(len(index.indices)) if axis not in slices]
    together = not integers or integers == list(range(integers[0], integers[-1] + 1))
    first = sum(axis < integers[0] for axis in slices) if integers and together else 0
    ndim = array_ndim + len(slices)
    found = []
    for axis, part in enumerate(index.indices):
        if isinstance(part, Slice):
            vector = int(known(part.start, args)) + np.arange(int(known(part.size, args))) * part.stride
            rank = slices.index(axis)
            at = rank if rank < first else rank + array_ndim
            found.append(vector.reshape([-1 if i == at else 1 for i in range(ndim)]))
        else:
            values = np.asarray(known(part, args))
            found.append(values.reshape(values.shape + (1,) * (ndim - first - values.ndim)))
    return found


def _return_to(ref: np.ndarray, flat: np.ndarray, view: RefView, args: Sequence[Any]) -> None:
    """Puts the changed elements back where flattening the ref had to copy it."""
    if not np.may_share_memory(ref, flat):
        ref[...] = flat.reshape(ref.shape)


# Refs that a program makes itself.


@structure
def new_ref(interp: Interpreter, eqn: Equation, value: Any) -> np.ndarray:
    return interp.memory_of(value)


@structure
def empty_ref(interp: Interpreter, eqn: Equation) -> np.ndarray:
    return interp.fresh(eqn.outvars[0])


@structure
def freeze(interp: Interpreter, eqn: Equation, ref: np.ndarray) -> np.ndarray:
    return np.array(ref)


@structure
def unchanged(interp: Interpreter, eqn: Equation, x: Any) -> Any:
    """For a primitive that says something of its operand, and answers with it."""
    return [x] if eqn.multiple_results else x


@structure
def nothing(interp: Interpreter, eqn: Equation, *args: Any) -> list[Any]:
    """For a primitive whose effect has no meaning here."""
    return []


@structure
def run_state(interp: Interpreter, eqn: Equation, *args: Any) -> list[Any]:
    """A body on refs that start as the operands, and end as the results."""
    jaxpr, given = eqn.params["jaxpr"], iter(args)
    refs = [
        interp.memory_of(next(given)) if initialized else interp.fresh(var)
        for var, initialized in zip(jaxpr.invars, eqn.params["is_initialized"], strict=True)
    ]
    interp.eval_jaxpr(jaxpr, jaxpr.consts, *refs)
    return refs


@structure
def get_global(interp: Interpreter, eqn: Equation) -> np.ndarray:
    """Memory of this equation's own, the same at every step of the grid."""
    if eqn not in interp.globals:
        interp.globals[eqn] = interp.fresh(eqn.outvars[0])
    return interp.globals[eqn]


memory_rules: dict[Any, Callable[..., Any]] = {
    p.get_p: get,
    p.swap_p: swap,
    p.addupdate_p: addupdate,
    p.masked_load_p: masked_load,
    p.masked_swap_p: masked_swap,
    p.atomic_rmw_p: atomic_rmw,
    p.atomic_cas_p: atomic_cas,
    p.new_ref_p: new_ref,
    p.empty_ref_p: empty_ref,
    p.create_linear_p: empty_ref,
    p.freeze_p: freeze,
    p.free_ref_p: nothing,
    p.pin_p: unchanged,
    p.unpin_p: unchanged,
    p.with_memory_space_constraint_p: unchanged,
    p.run_state_p: run_state,
    p.get_global_p: get_global,
}
