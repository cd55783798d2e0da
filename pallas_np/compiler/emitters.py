"""Structure: what becomes of reads and writes, of conditionals and loops, and of rules that only phase 5 has.

An emitter is called as a structure rule is, `emitter(specialiser, equation, *args)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pallas_np.compiler.expressions import interleaved, sliced
from pallas_np.compiler.holdings import common
from pallas_np.compiler.loops import scan, while_loop
from pallas_np.compiler.program import EVERYTHING, Arm, Atom, Block, Expression, Parts, Roots, Statement, Symbol
from pallas_np.compiler.scalars import interval_of, is_scalar
from pallas_np.compiler.values import Spread, is_known
from pallas_np.frontend import Equation, Jaxpr
from pallas_np.frontend import primitives as p
from pallas_np.frontend.refs import Index, Slice
from pallas_np.frontend.refs import Operand as IndexOperand

if TYPE_CHECKING:
    from pallas_np.compiler.specialise import Specialiser


class Place(NamedTuple):
    """A part of a ref.

    Attributes:
      text: what follows the ref's name, with operands from `{1}` on.
      operands: the operands.
      repeats: for each of the part's axes, whether the ref holds one element for all of them.
      parts: the part as slices, if it is known and has all of the ref's axes.
    """

    text: str
    operands: list[Atom]
    repeats: tuple[bool, ...]
    parts: Parts | None

    def held(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of what is in memory, of a part of this shape."""
        return tuple(1 if repeats else size for repeats, size in zip(self.repeats, shape, strict=True))


def program_id(spec: Specialiser, eqn: Equation) -> Any:
    return spec.grid_symbols[spec.call.unmapped_axes[eqn.params["axis"]]]


def num_programs(spec: Specialiser, eqn: Equation) -> Any:
    axis = spec.call.unmapped_axes[eqn.params["axis"]]
    size = spec.call.grid[axis]
    return spec.bounds[axis] if size is None else np.int32(size)


# Memory.


def get(spec: Specialiser, eqn: Equation, ref: Symbol, *indices: Any) -> Any:
    place = plain_place(spec, eqn, ref, indices)
    return run_by_machine(spec, eqn, ref, *indices, writes=False) if place is None else read(spec, eqn, ref, place)


def read(spec: Specialiser, eqn: Equation, ref: Symbol, place: Place) -> Any:
    """What stands there: a known scalar, or a view that a later pass makes a copy of where it has to."""
    out = eqn.outvars[0]
    held = _held(spec, ref, place)
    if held is not None:
        return held
    shape = place.held(out.shape)
    target = spec.symbol(shape, out.dtype, value_name(ref))
    expression = Expression(f"{{0}}{place.text}", (ref, *place.operands), is_fresh=not out.shape)
    spec.do(Statement([target], expression, reads=ref.roots, is_get=bool(out.shape), parts=place.parts))
    return target if shape == out.shape else Spread(target, out.shape, out.dtype)


def _held(spec: Specialiser, ref: Symbol, place: Place) -> Any:
    """What stands there, if a value is known to."""
    values = spec.held.values(ref)
    if not values or place.parts is None or any(value is None for value in values):
        return None
    if len(values) > 1 and not ref.roots <= spec.program.scratch:  # what is written stays, and can be read
        return None
    return sliced(spec, interleaved(spec, values), place.parts)


def swap(spec: Specialiser, eqn: Equation, ref: Symbol, value: Any, *indices: Any) -> Any:
    place = plain_place(spec, eqn, ref, indices)
    if place is None:
        return run_by_machine(spec, eqn, ref, value, *indices)
    old = None if eqn.outvars[0] in eqn.dead else read(spec, eqn, ref, place)
    write(spec, ref, place, value)
    return old


def write(spec: Specialiser, ref: Symbol, place: Place, value: Any) -> None:
    """`ref[...] = value`."""
    target = f"{{0}}{place.text or '[...]'}"
    template = f"{target} = {{{len(place.operands) + 1}}}"
    inner = _held_part(spec, place, value)
    expression = Expression(template, (ref, *place.operands, spec.weak(inner)))
    is_whole = inner.shape == place.held(value.shape)
    held = spec.held.values(ref)
    store, parts = (target, place.parts) if is_whole else ("", None)
    spec.do(Statement([], expression, writes=ref.roots, has_effect=True, store=store, parts=parts))
    spec.held.put(ref, place.parts, value, held)


def addupdate(spec: Specialiser, eqn: Equation, ref: Symbol, value: Any, *indices: Any) -> list[Any]:
    place = plain_place(spec, eqn, ref, indices)
    if place is None or ref.dtype.isbuiltin != 1:
        return run_by_machine(spec, eqn, ref, value, *indices)
    template = f"{{0}}{place.text or '[...]'} += {{{len(place.operands) + 1}}}"
    expression = Expression(template, (ref, *place.operands, spec.weak(_held_part(spec, place, value))))
    spec.do(Statement([], expression, reads=ref.roots, writes=ref.roots, has_effect=True))
    return []


def _held_part(spec: Specialiser, place: Place, value: Any) -> Any:
    """What is written of a value, once for each repetition."""
    inner = value.inner if isinstance(value, Spread) else value
    held = place.held(value.shape)[len(value.shape) - len(inner.shape) :]
    shape = tuple(map(min, inner.shape, held))
    if shape == inner.shape:
        return inner
    parts = [slice(size) if size < whole else slice(None) for size, whole in zip(shape, inner.shape)]
    if is_known(inner):
        return inner[tuple(parts)]
    text = ", ".join(":" if part.stop is None else f":{part.stop}" for part in parts)
    return spec.emit(f"{{0}}[{text}]", [inner], shape, inner.dtype, is_fresh=False)


def value_name(ref: Symbol) -> str:
    """A name for what is read from a ref."""
    return ref.name.removesuffix("_ref") + "_value"


def plain_place(spec: Specialiser, eqn: Equation, ref: Symbol, indices: Sequence[Any]) -> Place | None:
    """The place as a NumPy index; `None` where it may lie outside the ref and no check can tell, or is no view."""
    transforms = eqn.params["transforms"]
    if not transforms:
        repeats = tuple(axis in ref.repeated for axis in range(len(ref.shape)))
        return Place("" if ref.shape else "[()]", [], repeats, tuple(slice(0, size, 1) for size in ref.shape))
    if len(transforms) > 1 or not isinstance(transforms[0], Index) or len(transforms[0].indices) != len(ref.shape):
        return None
    found = (_part(part, size, indices) for part, size in zip(transforms[0].indices, ref.shape))
    parts = [part for part in found if part is not None and can_be_index(spec, part.first, part.most)]
    if len(parts) < len(ref.shape):
        return None
    texts: list[str] = []
    operands: list[Atom] = []
    for axis, (part, size) in enumerate(zip(parts, ref.shape)):
        if axis in ref.repeated:
            texts.append(":" if part.is_slice else "0")
            continue
        first = checked_index(spec, part.first, part.most)
        texts.append(index_text(first, part.span, size, part.stride, operands, is_slice=part.is_slice))
    repeats = tuple(axis in ref.repeated for axis, part in enumerate(parts) if part.is_slice)
    is_known_part = all(part.is_slice and is_known(part.first) for part in parts)
    return Place(index_of(texts), operands, repeats, tuple(map(_slice, parts)) if is_known_part else None)


class _Part(NamedTuple):
    """A part of an index: elements from `first` on, which may be 0 to `most`."""

    first: Any
    most: int
    span: int
    stride: int
    is_slice: bool


def _part(part: Any, size: int, indices: Sequence[Any]) -> _Part | None:
    start, length, stride = (part.start, part.size, part.stride) if isinstance(part, Slice) else (part, None, 1)
    first = indices[start.position] if isinstance(start, IndexOperand) else np.asarray(start)
    if isinstance(length, IndexOperand) or length == 0:
        return None
    span = 1 if length is None else (length - 1) * stride + 1
    return _Part(first, size - span, span, stride, length is not None)


def _slice(part: _Part) -> slice:
    first = int(part.first)
    return slice(first, first + part.span, part.stride)


def index_of(texts: Sequence[str]) -> str:
    """An index, without the whole axes at its end."""
    kept = list(texts)
    while len(kept) > 1 and kept[-1] == ":":
        kept.pop()
    return f"[{', '.join(kept)}]"


def index_text(first: Any, span: int, size: int, stride: int, operands: list[Atom], *, is_slice: bool) -> str:
    """`first`, or `first : first + span : stride`, as an index of an axis of this size."""
    tail = "" if stride == 1 else f":{stride}"
    if is_known(first):
        low = int(first)
        if not is_slice:
            return str(low)
        return ":" if span == size and not tail else f"{low or ''}:{low + span}{tail}"
    operands.append(first)
    name = f"{{{len(operands)}}}"
    return f"{name}:{name} + {span}{tail}" if is_slice else name


def is_index(first: Any, most: int) -> bool:
    """Whether a value is sure to be one of 0 to `most`."""
    if not is_scalar(first):
        return False
    low, high = interval_of(first)
    return low >= 0 and high <= most


def can_be_index(spec: Specialiser, first: Any, most: int) -> bool:
    """Whether a value is one of 0 to `most`, or an error that the program can raise."""
    may_raise = isinstance(first, Symbol) and first.shape == () and most >= 0
    return is_index(first, most) or (may_raise and spec.options.out_of_bounds == "raise")


def checked_index(spec: Specialiser, first: Any, most: int) -> Any:
    """The value as one of 0 to `most`, which the program checks where it is not sure."""
    if is_index(first, most):
        return first
    key = "checked", first
    index = spec.known(key)
    if index is None or not is_index(index, most):
        index = Symbol("place", (), np.dtype(np.int32), spec.block, interval=(0, most), is_python=True)
        index.expression = Expression("{0}" if first.is_python else "int({0})", (first,))
        spec.do(Statement([index], index.expression))
        check = Expression(f"if not 0 <= {{0}} <= {most}: raise IndexError({{0}})", (index,))
        spec.do(Statement([], check, has_effect=True))
        spec.block.known[key] = index
    return index


# Conditionals.


def cond(spec: Specialiser, eqn: Equation, index: Any, *args: Any) -> list[Any]:
    branches: tuple[Jaxpr, ...] = eqn.params["branches"]
    if is_known(index):
        branch = branches[min(max(int(index), 0), len(branches) - 1)]
        return spec.eval_jaxpr(branch, branch.consts, *args)
    held, ends, found = spec.held, [], []
    for branch in branches:
        spec.held = held.copy()
        found.append(_arm(spec, branch, args))
        ends.append(spec.held)
    spec.held = common([held, *ends])
    blocks, answers = [block for block, _ in found], [results for _, results in found]
    results = [_merged(spec, blocks, var, list(values)) for var, values in zip(eqn.outvars, zip(*answers))]
    arms = [
        Arm(header, block, [(target, atom) for target, atoms in results if atoms for atom in [atoms[number]]])
        for number, header, block in _headers(spec, index, blocks)
    ]
    targets = [target for target, atoms in results if atoms]
    spec.eqn = eqn
    spec.do(Statement(targets, Expression(""), arms=arms))
    return [target for target, _ in results]


def _arm(spec: Specialiser, branch: Jaxpr, args: Sequence[Any]) -> tuple[Block, list[Any]]:
    block = Block(spec.block, is_arm=True)
    with spec.inside(block):
        return block, spec.eval_jaxpr(branch, branch.consts, *args)


def _merged(spec: Specialiser, blocks: list[Block], var: Any, values: list[Any]) -> tuple[Any, list[Atom]]:
    """One result: the same in all arms, or a variable that each arm assigns."""
    if all(value is values[0] for value in values) and not _inside(values[0], blocks):
        return values[0], []
    atoms = []
    for block, value in zip(blocks, values):
        with spec.inside(block):
            atoms.append(spec.strong(value))
    return spec.symbol(var.shape, var.dtype), atoms


def _inside(value: Any, blocks: list[Block]) -> bool:
    inner = value.inner if isinstance(value, Spread) else value
    return isinstance(inner, Symbol) and inner.block in blocks


def _headers(spec: Specialiser, index: Any, blocks: list[Block]) -> list[tuple[int, Expression, Block]]:
    """The arms in the order of their tests: number, header, block."""
    if len(blocks) == 1:
        return [(0, Expression("if True"), blocks[0])]
    if len(blocks) == 2:
        truth = index.truth if index.truth is not None else None
        test = Expression("if {0}", (truth,)) if truth is not None else Expression("if {0} >= 1", (index,))
        return [(1, test, blocks[1]), (0, Expression("else"), blocks[0])]
    last = len(blocks) - 1
    middle = [(n, Expression(f"{'elif' if n else 'if'} {{0}} <= {n}", (index,)), blocks[n]) for n in range(last)]
    return [*middle, (last, Expression("else"), blocks[last])]


# What has no emitter of its own.


def run_by_machine(spec: Specialiser, eqn: Equation, *args: Any, writes: bool = True) -> Any:
    """Phase 5's rule, at run time; it is taken to read and to write all memory, unless its one ref is known."""
    if eqn.primitive is p.platform_index_p:
        return spec.rules[eqn.primitive](spec, eqn, *args)
    spec.needs_machine = True
    atoms: list[Atom] = [spec.program.constant(eqn, f"{eqn.name.replace('-', '_')}_equation"), *map(spec.strong, args)]
    places = ", ".join(f"{{{i}}}" for i in range(len(atoms)))
    memory: Roots = frozenset().union(*(arg.roots for arg in args if isinstance(arg, Symbol)))
    reached = memory if eqn.primitive in (p.get_p, p.swap_p, p.addupdate_p) else EVERYTHING
    targets = [
        spec.symbol(var.shape, var.dtype, roots=memory | {"made"} if var.is_ref else Roots()) for var in eqn.outvars
    ]
    text = f"machine.eval_equation({places})"
    expression = Expression(
        f"{text}[0]" if eqn.multiple_results and len(targets) == 1 else text, tuple(atoms), is_fresh=False
    )
    spec.do(Statement(targets, expression, reads=reached, writes=reached if writes else Roots(), has_effect=True))
    return targets if eqn.multiple_results else targets[0]


emitters: dict[Any, Callable[..., Any]] = {
    p.program_id_p: program_id,
    p.num_programs_p: num_programs,
    p.get_p: get,
    p.swap_p: swap,
    p.addupdate_p: addupdate,
    p.cond_p: cond,
    p.while_p: while_loop,
    p.scan_p: scan,
}
