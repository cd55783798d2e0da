"""Steps of the grid that run together: fewer, larger programs that do the same.

Along an axis of the grid whose programs share no memory that any of them writes, a number of them can run as one, on
values with one more axis.  That they share none is proved: an operand that is written has, for each position on that
axis, blocks of its own, and scratch memory is not read before it is written.  What cannot be proved stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from pallas_np.compiler.batching import Batcher, NotBatchable, require
from pallas_np.compiler.exposure import reads_before_it_writes
from pallas_np.frontend import BlockDim, Equation, Jaxpr, KernelCall, Literal, Operand, Var, all_equations
from pallas_np.frontend.primitives import lax_primitive
from pallas_np.frontend.refs import Operand as IndexOperand

MOST_BYTES = 1 << 19
"""How large the values of programs that run together may be."""


class ViewStep(NamedTuple):
    """One of NumPy's methods that gives a view of an array: its name, its argument, and the view's shape."""

    method: str
    argument: tuple[int, ...]
    shape: tuple[int, ...]


class View(NamedTuple):
    """An operand's array as merged programs see it: the array, then these views of it, one of the other."""

    steps: tuple[ViewStep, ...] = ()


class Merged(NamedTuple):
    """A call with fewer, larger programs, and how it sees the arrays of its inputs and outputs."""

    call: KernelCall
    views: tuple[View, ...]


def merged(call: KernelCall, most_bytes: int = MOST_BYTES) -> Merged:
    """The call with as many programs run together as is proved to be right, with values of `most_bytes` at most.

    First along the axes on which their blocks follow one another in memory: of those, views need no other axis order.
    """
    found = Merged(call, (View(),) * len(call.inputs + call.outputs))
    if 0 in call.grid:
        return found
    for axis in sorted(range(len(call.grid)), key=lambda axis: (_blocks_apart(call, axis), -axis)):
        try:
            found = _along(found, axis, most_bytes)
        except NotBatchable:
            continue
    return found


def _blocks_apart(call: KernelCall, axis: int) -> int:
    """Of how many operands the blocks of programs along an axis do not follow one another in memory."""
    length = call.grid[axis]
    if length is None:
        return 0
    try:
        return sum(1 for operand in call.inputs + call.outputs if _place(operand, axis, length))
    except NotBatchable:
        return 0


def _along(before: Merged, axis: int, most_bytes: int) -> Merged:
    """Merges programs along one axis of the grid."""
    call, (length, operands) = before.call, (before.call.grid[axis], before.call.inputs + before.call.outputs)
    if length is None or length < 2:
        raise NotBatchable
    placed = [_place(operand, axis, length) for operand in operands]
    exposed = _exposed(call, axis)
    _require_own_memory(call, placed, exposed)
    size = _programs_together(call, length, most_bytes, divides=bool(exposed & _written(call)))
    chunks = -(-length // size)
    batcher = Batcher(size, _program_id_axis(call, axis), length)
    flags = [False] * len(call.prefetch) + [place is not None for place in placed] + [True] * len(call.scratch)
    jaxpr, _ = batcher.jaxpr(call.jaxpr, flags)
    refs = jaxpr.invars[len(call.prefetch) :]
    new = [
        operand if place is None else _merged_operand(operand, place, axis, size, length, ref)
        for operand, place, ref in zip(operands, placed, refs)
    ]
    grid = tuple(chunks if n == axis else programs for n, programs in enumerate(call.grid))
    num_inputs = len(call.inputs)
    larger = replace(
        call,
        grid=grid,
        inputs=tuple(new[:num_inputs]),
        outputs=tuple(new[num_inputs:]),
        scratch=refs[len(operands) :],
        jaxpr=jaxpr,
    )
    views = tuple(
        view if place is None else View((*view.steps, *_view(operand, place, length)))
        for view, operand, place in zip(before.views, operands, placed)
    )
    return Merged(larger, views)


def _program_id_axis(call: KernelCall, axis: int) -> int:
    return call.unmapped_axes.index(axis) if axis in call.unmapped_axes else -1


# What programs share.


def _place(operand: Operand, axis: int, length: int) -> int | None:
    """The axis of the operand's array on which the grid's axis chooses the block, one after the other.

    `None` if the block is the same all along the grid's axis.

    Raises:
      NotBatchable: if it is neither.
    """
    index_map = operand.index_map
    moving = _depends_on(index_map, index_map.invars[axis])
    found = [
        n
        for n, index in enumerate(operand.indices)
        if not isinstance(index, IndexOperand) or index_map.outvars[index.position] in moving
    ]
    if not found:
        return None
    require(len(found) == 1 and len(operand.shape) == len(operand.block))
    (place,) = found
    dim, index = operand.block[place], operand.indices[place]
    require(isinstance(index, IndexOperand) and index_map.outvars[index.position] is index_map.invars[axis])
    require(dim.kind in ("blocked", "squeezed") and operand.shape[place] == dim.size * length)
    # NumPy adds along the axis whose elements lie closest: that has to be the same one as in a single program.
    require(place < len(operand.shape) - 1 or dim.size > 1 or len(operand.ref.shape) == 0)
    return place


def _depends_on(jaxpr: Jaxpr, var: Var) -> set[Any]:
    """The variables that are computed from this one."""
    found: set[Any] = {var}
    for eqn in jaxpr.eqns:
        if not found.isdisjoint(eqn.invars):
            found.update(eqn.outvars)
    return found


def _written(call: KernelCall) -> set[Var]:
    """The refs of operands that the kernel writes, or that share their memory with one that it writes."""
    inputs = [operand.ref for operand, written in zip(call.inputs, call.written_inputs) if written]
    aliased = [call.inputs[n].ref for n in call.aliased_inputs.values()]
    return {*inputs, *aliased, *(operand.ref for operand in call.outputs)}


def _exposed(call: KernelCall, axis: int) -> set[Var]:
    """The refs in which a program may see what another one left there.

    With scratch memory that is first written where the last axis of the grid begins, that other program is one at the
    same place on all axes but the last.
    """
    last = len(call.grid) - 1
    known = {_program_id_axis(call, last): np.int32(0)} if axis != last and last not in call.vmapped_dims else {}
    aliased = {call.inputs[n].ref for n in call.aliased_inputs.values()}
    refs = [*(operand.ref for operand in call.inputs + call.outputs), *call.scratch]
    found = set()
    for ref in refs:
        at_start = known if ref in call.scratch else {}
        if ref in aliased or reads_before_it_writes(call.jaxpr, ref, at_start):
            found.add(ref)
    return found


def _require_own_memory(call: KernelCall, placed: Sequence[int | None], exposed: set[Var]) -> None:
    require(not any(call.written_prefetch) and exposed.isdisjoint(call.scratch))
    require(not any(v.is_semaphore or str(v.memory_space).startswith("ACC") for v in call.scratch))
    operands, num_inputs = call.inputs + call.outputs, len(call.inputs)
    written = _written(call)
    for operand, place in zip(operands, placed):
        require(place is not None or operand.ref not in written)
    for given, output in call.aliases:
        first, second = given - len(call.prefetch), num_inputs + output
        same = placed[first] == placed[second] and operands[first].block == operands[second].block
        require(same and given >= len(call.prefetch))


# How many.


def _programs_together(call: KernelCall, length: int, most_bytes: int, *, divides: bool) -> int:
    """How many programs run at once; where the last ones may not run twice, their number divides that of all."""
    most = min(length, most_bytes // max(1, _largest(call)))
    require(most >= 2)
    size = -(-length // -(-length // most))
    if divides:
        size = max(n for n in range(1, most + 1) if length % n == 0)
        require(size >= 2)
    return size


def _largest(call: KernelCall) -> int:
    """How many bytes the largest value has; a block is none, since it lies in its array, however many programs run."""
    values = [*call.scratch, *(var for var in call.jaxpr.invars if not var.is_ref)]
    values += [var for eqn in all_equations(call.jaxpr) for var in eqn.outvars]
    sizes = {(var.shape, var.dtype.itemsize) for var in values if var.dtype is not None}
    return max((math.prod(shape) * itemsize for shape, itemsize in sizes), default=0)


# The larger blocks.


def _merged_operand(operand: Operand, place: int, axis: int, size: int, length: int, ref: Var) -> Operand:
    """The operand, of an array whose first axis counts the blocks."""
    dim = operand.block[place]
    is_squeezed = dim.kind == "squeezed"
    kept = [n for n in range(len(operand.shape)) if not (is_squeezed and n == place)]
    chunked, index_map = _chunk_map(operand, axis, size, length)
    zero = IndexOperand(len(index_map.outvars) - 1)
    shape = (length, *(dim.size if n == place else operand.shape[n] for n in kept))
    indices = [zero if n == place else _moved(operand.indices[n]) for n in kept]
    return replace(
        operand,
        shape=shape,
        block=(chunked, *(operand.block[n] for n in kept)),
        index_map=index_map,
        indices=(IndexOperand(0), *indices),
        ref=ref,
    )


def _moved(index: Any) -> IndexOperand:
    require(isinstance(index, IndexOperand))
    return IndexOperand(index.position + 1)


def _chunk_map(operand: Operand, axis: int, size: int, length: int) -> tuple[BlockDim, Jaxpr]:
    """The index map with the chunk's place before its answers, and a zero after them."""
    index_map, index = operand.index_map, operand.index_map.invars[axis]
    eqns, literals, zero = list(index_map.eqns), list(index_map.literals), Literal(np.int32(0))
    chunk, place = BlockDim("blocked", size), index
    if length % size:  # the last chunk begins earlier, so that it is as long as the others
        chunk = BlockDim("element", size)
        factor, last = Literal(np.int32(size)), Literal(np.int32(length - size))
        start, place = index.with_shape(()), index.with_shape(())
        for name, operands, result in (("mul", (index, factor), start), ("min", (start, last), place)):
            eqns.append(Equation(lax_primitive(name), operands, (result,), {}, False, None))
        literals += [factor, last]
    outvars = (place, *index_map.outvars, zero)
    literals.append(zero)
    dead = [replace(eqn, dead=()) for eqn in eqns]
    return chunk, replace(index_map, eqns=tuple(dead), outvars=outvars, literals=tuple(literals))


def _view(operand: Operand, place: int, length: int) -> Iterator[ViewStep]:
    """The array with the blocks counted on its first axis."""
    size, shape = operand.block[place].size, operand.shape
    if operand.block[place].kind == "blocked":
        shape = (*shape[:place], length, size, *shape[place + 1 :])
        yield ViewStep("reshape", shape, shape)
    if place:
        order = (place, *(n for n in range(len(shape)) if n != place))
        yield ViewStep("transpose", order, tuple(shape[n] for n in order))
