"""Whether a kernel may see in a ref what was there before it ran."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import numpy as np

from pallas_np import phase5
from pallas_np.frontend import CALLS, Equation, Jaxpr, KernelCall, Literal, Operand, Var
from pallas_np.frontend import primitives as p
from pallas_np.frontend.refs import Index, Slice
from pallas_np.frontend.refs import Operand as IndexOperand


class _Found(Enum):
    NOTHING = 0
    WRITTEN = 1
    """All of it is overwritten, in one part or in several, and nothing was read before."""
    READ = 2


def reads_before_it_writes(jaxpr: Jaxpr, ref: Var, program_ids: Mapping[int, Any]) -> bool:
    """Whether the kernel may read a part of the ref that it has not written.

    Args:
      jaxpr: the kernel.
      ref: one of its arguments.
      program_ids: those of its grid indices that are known, by axis of `program_id`.
    """
    return _first_access(jaxpr, ref, {}, program_ids) is _Found.READ


def written_at_first(call: KernelCall) -> frozenset[Var]:
    """The scratch refs all of which the first program writes, and of which it reads nothing before."""
    start = dict.fromkeys(range(len(call.unmapped_axes)), np.int32(0))
    return frozenset(ref for ref in call.scratch if _first_access(call.jaxpr, ref, {}, start) is _Found.WRITTEN)


def overwritten(call: KernelCall) -> frozenset[int]:
    """The outputs, by number, of which the kernel reads nothing before it is written, and writes all."""
    return frozenset(n for n, output in enumerate(call.outputs) if _is_overwritten(call, output))


def _is_overwritten(call: KernelCall, output: Operand) -> bool:
    moving = _covering_axes(call, output)
    first = _first_access(call.jaxpr, output.ref, {}, {})
    if moving is None or first is not _Found.NOTHING:
        return moving is not None and first is _Found.WRITTEN
    last = len(call.grid) - 1
    if last < 0 or last in moving or last in call.vmapped_dims or call.grid[last] is None:
        return False
    at_end = {call.unmapped_axes.index(last): np.int32(call.grid[last] - 1)}  # type: ignore[operator]
    return _first_access(call.jaxpr, output.ref, {}, at_end) is _Found.WRITTEN


def _covering_axes(call: KernelCall, output: Operand) -> set[int] | None:
    """The axes of the grid along which the blocks lie, if they cover the whole array; else `None`."""
    index_map, found = output.index_map, set()
    if len(output.shape) != len(output.block) or 0 in call.grid or output.ref.is_semaphore:
        return None
    for dim, index, size in zip(output.block, output.indices, output.shape):
        place = index_map.outvars[index.position] if isinstance(index, IndexOperand) else None
        if dim.size == size and dim.kind == "blocked" and isinstance(place, Literal) and place.value == 0:
            continue
        axis = next((n for n in range(len(call.grid)) if index_map.invars[n] is place), -1)
        programs = call.grid[axis] if axis >= 0 else None
        if dim.kind not in ("blocked", "squeezed") or programs is None or axis in found or programs * dim.size < size:
            return None
        found.add(axis)
    return found


def decides(jaxpr: Jaxpr, axis: int) -> bool:
    """Whether a conditional of the kernel is decided by where the program lies on an axis of `program_id`."""
    known: dict[Any, Any] = {}
    for eqn in jaxpr.eqns:
        if eqn.primitive is p.cond_p and eqn.invars[0] in known:
            return True
        _evaluate(eqn, known, {axis: np.int32(0)})
    return False


def _first_access(jaxpr: Jaxpr, ref: Var, known: dict[Any, Any], program_ids: Mapping[int, Any]) -> _Found:
    known = {**known, **{literal: literal.value for literal in jaxpr.literals}}
    written: np.ndarray | None = None  # which elements are
    for eqn in jaxpr.eqns:
        if ref in eqn.invars:
            found = _access(eqn, ref, known, program_ids)
            if found is _Found.NOTHING and (part := _written_part(eqn, ref)) is not None:
                written = np.zeros(ref.shape, bool) if written is None else written
                written[part] = True
                found = _Found.WRITTEN if written.all() else found
            if found is not _Found.NOTHING:
                return found
        elif program_ids:
            _evaluate(eqn, known, program_ids)
    return _Found.NOTHING


def _access(eqn: Equation, ref: Var, known: dict[Any, Any], program_ids: Mapping[int, Any]) -> _Found:
    if eqn.primitive is p.swap_p and eqn.invars[0] is ref:
        return _Found.NOTHING if eqn.outvars[0] in eqn.dead else _Found.READ
    if eqn.primitive is p.cond_p:
        index = eqn.invars[0]
        branches = eqn.params["branches"]
        if index in known:
            branches = [branches[min(max(int(known[index]), 0), len(branches) - 1)]]
        found = {_inside(branch, eqn.invars[1:], ref, known, program_ids) for branch in branches}
        return _Found.READ if _Found.READ in found else found.pop() if len(found) == 1 else _Found.NOTHING
    if eqn.primitive in CALLS and eqn.primitive is not p.run_scoped_p:
        return _inside(eqn.params["jaxpr"], eqn.invars, ref, known, program_ids)
    return _Found.READ


def _inside(jaxpr: Jaxpr, args: Any, ref: Var, known: dict[Any, Any], program_ids: Mapping[int, Any]) -> _Found:
    inner = [var for var, arg in zip(jaxpr.invars, args) if arg is ref]
    if not inner:
        return _Found.NOTHING
    values = {var: known[arg] for var, arg in zip(jaxpr.invars, args) if arg in known}
    return _first_access(jaxpr, inner[0], values, program_ids) if len(inner) == 1 else _Found.READ


def _written_part(eqn: Equation, ref: Var) -> tuple[slice | int, ...] | None:
    """Which part of a ref an equation writes, if it is a write and always of the same part."""
    if eqn.primitive is not p.swap_p or eqn.invars[0] is not ref:
        return None
    transforms = eqn.params["transforms"]
    if not transforms:
        return ()
    if len(transforms) > 1 or not isinstance(transforms[0], Index):
        return None
    found: list[slice | int] = []
    for part in transforms[0].indices:
        if isinstance(part, Slice) and isinstance(part.start, int) and isinstance(part.size, int):
            found.append(slice(part.start, part.start + part.size * part.stride, part.stride))
        elif isinstance(part, int):
            found.append(part)
        else:
            return None
    return tuple(found)


def _evaluate(eqn: Equation, known: dict[Any, Any], program_ids: Mapping[int, Any]) -> None:
    """Computes a scalar that depends on what is known."""
    if eqn.primitive is p.program_id_p and eqn.params["axis"] in program_ids:
        known[eqn.outvars[0]] = program_ids[eqn.params["axis"]]
        return
    rule = phase5.numpy_rules.get(eqn.primitive)
    args = [atom.value if isinstance(atom, Literal) else known.get(atom) for atom in eqn.invars]
    if rule is None or getattr(rule, "is_structure", False) or not args or eqn.multiple_results:
        return
    if all(isinstance(arg, np.generic) for arg in args):
        with np.errstate(all="ignore"):
            known[eqn.outvars[0]] = rule(*args, **eqn.params)
