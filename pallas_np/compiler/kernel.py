"""The grid: from a kernel call to a program that runs all of it."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from pallas_np import lax_numpy
from pallas_np.compiler.emitters import can_be_index, checked_index, index_of, index_text, is_index
from pallas_np.compiler.exposure import decides, written_at_first
from pallas_np.compiler.loops import size_of
from pallas_np.compiler.merging import View, merged
from pallas_np.compiler.program import EVERYTHING, Arm, Atom, Block, Expression, Program, Statement, Symbol
from pallas_np.compiler.repetition import repeated_axes
from pallas_np.compiler.scalars import answered, index_symbol, interval_of
from pallas_np.compiler.specialise import Specialiser
from pallas_np.compiler.windows import Windows
from pallas_np.frontend import BlockDim, KernelCall, Operand
from pallas_np.options import Options

_INT32_MAX = np.iinfo(np.int32).max

STEPS, EQUATIONS = 8, 256
"""So many steps along the grid's last axis, of so many equations in all, may be written one after the other."""


@np.errstate(all="ignore")  # what is known is computed now
@lax_numpy.flush_denormals()
def specialised(
    call: KernelCall, options: Options, *, merge_steps: bool = True, unroll_steps: bool = True
) -> tuple[Program, Specialiser]:
    """The program of a kernel call: its bounds, prefetch operands, inputs and outputs are its parameters."""
    given = call
    program = Program(re.split(r"\W", call.name.strip("<"))[0] or "kernel")
    spec = Specialiser(program, options)
    names = [re.sub(r"\W", "_", name) or "ref" for name in call.jaxpr.argument_names]
    spec.bounds = [None if size is not None else _bound(program) for size in call.grid]
    prefetch = [program.parameter(name, ref.shape, ref.dtype) for name, ref in zip(names, call.prefetch)]
    arrays = _arrays(program, call, names[len(prefetch) :])
    if merge_steps:
        call, views = merged(call)
        arrays = [_viewed(spec, array, view) for array, view in zip(arrays, views)]
    spec.call = call
    repeated, written = repeated_axes(call, options), written_at_first(call)
    scratch = [spec.fresh(ref, repeated[ref], is_seen=ref not in written) for ref in call.scratch]
    unrolled = _axis_to_unroll(call) if unroll_steps else None
    spec.grid_symbols, loops = _grid_loops(spec, call, unrolled)
    with spec.inside(loops[-1].block if loops else spec.block):
        begins = []
        for step in range(1) if unrolled is None else range(call.grid[unrolled]):  # type: ignore[arg-type]
            if unrolled is not None:
                spec.grid_symbols[unrolled] = np.int32(step)
            begins.append((len(spec.block.statements), tuple(spec.grid_symbols)))
            refs, windows = _blocks(spec, call, prefetch, arrays, names[len(prefetch) :])
            if windows is not None and unrolled is not None:
                return specialised(given, options, merge_steps=merge_steps, unroll_steps=False)
            spec.eval_jaxpr(call.jaxpr, call.jaxpr.consts, *prefetch, *refs, *scratch)
        spec.eqn = None
        if windows is not None:
            leave = Expression("{0}.leave()", (windows,))
            spec.do(Statement([], leave, reads=EVERYTHING, writes=EVERYTHING, has_effect=True))
        if spec.needs_machine:
            for begin, index in reversed(begins):
                _tell_the_machine(spec, begin, index)
    for loop in reversed(loops):  # now, so that what was hoisted stands before it
        assert loop.block.parent is not None
        loop.block.parent.statements.append(Statement([], Expression(""), arms=[loop], is_loop=True))
    return program, spec


def _bound(program: Program) -> Symbol:
    bound = program.parameter("size", (), np.dtype(np.int32))
    bound.is_python, bound.interval = True, (0, _INT32_MAX)
    return bound


def _arrays(program: Program, call: KernelCall, names: Sequence[str]) -> list[Symbol]:
    """The array of each operand; an output that shares an input's buffer has that one."""
    found: list[Symbol] = []
    for n, (operand, name) in enumerate(zip(call.inputs + call.outputs, names)):
        output = n - len(call.inputs)
        if output in call.aliased_inputs:
            found.append(found[call.aliased_inputs[output]])
        else:
            found.append(program.parameter(name.removesuffix("_ref"), operand.shape, operand.dtype))
    return found


def _viewed(spec: Specialiser, array: Symbol, view: View) -> Symbol:
    """An array as programs see it that were merged."""
    name = f"{array.name}_blocks"
    for method, argument, shape in view.steps:
        array = spec.emit(
            f"{{0}}.{method}({argument})", [array], shape, array.dtype, name=name, is_fresh=False, roots=array.roots
        )
    return array


def _axis_to_unroll(call: KernelCall) -> int | None:
    """The grid's last axis, if its steps are few and it depends on the step what the kernel does."""
    axis = max((axis for axis, size in enumerate(call.grid) if size != 1), default=-1)
    if axis not in call.unmapped_axes or not (size := call.grid[axis]) or size > STEPS:
        return None
    pays = size * size_of(call.jaxpr) <= EQUATIONS and decides(call.jaxpr, call.unmapped_axes.index(axis))
    return axis if pays else None


def _grid_loops(spec: Specialiser, call: KernelCall, unrolled: int | None) -> tuple[list[Any], list[Arm]]:
    """The grid's indices, and its loops, outermost first; an axis that is unrolled has none."""
    symbols: list[Any] = []
    loops: list[Arm] = []
    block = spec.block
    for axis, size in enumerate(call.grid):
        if size == 1 or axis == unrolled:
            symbols.append(np.int32(0))
            continue
        inner = Block(block)
        with spec.inside(inner):
            high = _INT32_MAX if size is None else max(size - 1, 0)
            index = index_symbol(spec, "ijk"[axis] if axis < 3 else "index", (0, high))
        if size == 0:  # nothing runs, and nothing may be taken for known
            index.interval = (0, 1)
        bound = spec.bounds[axis]
        operands: tuple[Atom, ...] = () if bound is None else (bound,)
        header = Expression(f"for {index.name} in range({'{0}' if size is None else size})", operands)
        loops.append(Arm(header, inner))
        symbols.append(index)
        block = inner
    return symbols, loops


def _blocks(
    spec: Specialiser, call: KernelCall, prefetch: Sequence[Symbol], arrays: Sequence[Symbol], names: Sequence[str]
) -> tuple[list[Symbol], Symbol | None]:
    """The kernel's refs: slices where that is sure to be right, else what phase 5 makes of them when it runs."""
    operands = call.inputs + call.outputs
    spec.is_placing = True
    refs = [_slice(spec, operand, prefetch, array, name) for operand, array, name in zip(operands, arrays, names)]
    spec.is_placing = False
    for n, array in enumerate(arrays):  # an input and its alias are one block
        if any(refs[m] is None for m, other in enumerate(arrays) if other is array):
            refs[n] = None
    rest = [n for n, ref in enumerate(refs) if ref is None]
    if not rest:
        return list(refs), None  # type: ignore[arg-type]
    return _windows(spec, call, prefetch, arrays, names, refs, rest)


def _slice(spec: Specialiser, operand: Operand, prefetch: Sequence[Symbol], array: Symbol, name: str) -> Symbol | None:
    """The block as a slice of the array; `None` if it may reach past the array's ends."""
    index_map = operand.index_map
    if len(operand.shape) != len(operand.block) or any(
        dim.kind not in ("blocked", "squeezed", "element") or any(dim.padding) for dim in operand.block
    ):
        return None
    answer = spec.eval_jaxpr(index_map, index_map.consts, *spec.grid_symbols, *prefetch)
    positions = [answer[index.position] for index in operand.indices]  # type: ignore[union-attr]
    axes = list(zip(operand.block, positions, operand.shape))
    if not all(_lies_inside(spec, *axis) for axis in axes):
        return None
    texts: list[str] = []
    atoms: list[Atom] = []
    for dim, position, size in axes:
        start = _start(spec, dim, checked_index(spec, position, _last(dim, size)))
        texts.append(index_text(start, dim.size, size, 1, atoms, is_slice=dim.kind != "squeezed"))
    if all(text == ":" for text in texts):
        return array
    place = index_of(texts if any(":" in text for text in texts) else [*texts, "..."])
    return spec.emit(
        f"{{0}}{place}", [array, *atoms], operand.ref.shape, operand.dtype, name=name, is_fresh=False, roots=array.roots
    )


def _last(dim: BlockDim, size: int) -> int:
    """The last position on an axis of this size at which a block lies inside."""
    return size // max(dim.size, 1) - 1 if dim.kind == "blocked" else size - dim.size


def _lies_inside(spec: Specialiser, dim: BlockDim, position: Any, size: int) -> bool:
    """Whether a block lies inside its array, or altogether outside, which the program checks."""
    last = _last(dim, size)
    reaches_past = dim.kind == "element" or size % max(dim.size, 1)
    return is_index(position, last) if reaches_past else can_be_index(spec, position, last)


def _start(spec: Specialiser, dim: BlockDim, position: Any) -> Any:
    """The first element of a block."""
    if dim.kind != "blocked" or dim.size == 1:
        return position
    low, high = interval_of(position)
    bounds = (low * dim.size, high * dim.size)
    return answered(spec, f"{dim.size} * {{0}}", [position], bounds, np.dtype(np.int32), name="start")


def _windows(
    spec: Specialiser,
    call: KernelCall,
    prefetch: Sequence[Symbol],
    arrays: Sequence[Symbol],
    names: Sequence[str],
    refs: list[Symbol | None],
    rest: list[int],
) -> tuple[list[Symbol], Symbol]:
    spec.needs_machine = True
    operands = call.inputs + call.outputs
    make = spec.program.constant(functools.partial(Windows, tuple(operands[n] for n in rest)), "windows")
    given: list[Atom] = [make, *prefetch, *(arrays[n] for n in rest)]
    split = 1 + len(prefetch)
    before = ", ".join(f"{{{i}}}" for i in range(1, split))
    after = ", ".join(f"{{{i}}}" for i in range(split, len(given)))
    with spec.inside(spec.program.block):
        windows = spec.symbol((), np.dtype(object), "blocks")
        text = Expression(f"{{0}}(machine, [{before}], [{after}])", tuple(given))
        spec.do(Statement([windows], text, has_effect=True))
    found = [spec.symbol(operands[n].ref.shape, operands[n].dtype, names[n], roots=arrays[n].roots) for n in rest]
    enter = Expression("{0}.enter()" + "[0]" * (len(found) == 1), (windows,))
    spec.do(Statement(found, enter, reads=EVERYTHING, writes=EVERYTHING, has_effect=True))
    for n, ref in zip(rest, found):
        refs[n] = ref
    return list(refs), windows  # type: ignore[arg-type]


def _tell_the_machine(spec: Specialiser, begin: int, index: Sequence[Any]) -> None:
    """The rules of phase 5 ask the machine for the grid's index: that of the step that begins at this statement."""
    atoms = tuple(map(spec.weak, index))
    places = ", ".join(f"{{{i}}}" for i in range(len(atoms)))
    text = f"machine.grid_index = ({places}{',' * (len(atoms) == 1)})"
    spec.block.statements.insert(begin, Statement([], Expression(text, atoms), has_effect=True))
