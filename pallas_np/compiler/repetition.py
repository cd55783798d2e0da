"""Scratch memory that holds the same all along an axis, of which one element for each repetition will do.

A kernel for the TPU keeps a number for each row, such as a running maximum, in every lane of that row.  An analysis of
the kernel finds such memory: it takes every axis for one along which values repeat, and gives up those that a write, or
a use for which a repeated value would have to be made whole, speaks against.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from pallas_np.compiler.expressions import ELEMENTWISE
from pallas_np.frontend import CALLS, Atom, Equation, Jaxpr, KernelCall, Literal, Var
from pallas_np.frontend import primitives as p
from pallas_np.frontend.refs import Index, Slice
from pallas_np.frontend.refs import Operand as IndexOperand
from pallas_np.options import Options

Axes = frozenset[int]
_NONE: Axes = frozenset()


class _Value(NamedTuple):
    """What is known of a value, or that it is a scratch ref.

    Attributes:
      axes: those longer than 1 along which it repeats.
      sources: the scratch refs that it was computed from, if there are such axes.
      ref: of a ref: the kernel's own.
    """

    axes: Axes = _NONE
    sources: frozenset[Var] = frozenset()
    ref: Var | None = None


_UNKNOWN = _Value()


def repeated_axes(call: KernelCall, options: Options) -> dict[Var, Axes]:
    """For each scratch ref the axes along which it holds the same whenever it is read."""
    found = {ref: _NONE if _is_special(ref) else _long_axes(ref.shape) for ref in call.scratch}
    while any(found.values()):
        analysis = _Analysis(found, options)
        first = len(call.jaxpr.invars) - len(call.scratch)
        args = [_UNKNOWN] * first + [_Value(ref=ref) for ref in call.scratch]
        analysis.jaxpr(call.jaxpr, args)
        if analysis.left == found:
            break
        found = analysis.left
    return found


def _is_special(ref: Var) -> bool:
    return ref.is_semaphore or str(ref.memory_space).startswith("ACC")


def _long_axes(shape: Sequence[int]) -> Axes:
    return frozenset(axis for axis, size in enumerate(shape) if size > 1)


class _Analysis:
    """One pass over a kernel.

    Attributes:
      assumed: for each scratch ref the axes along which it is taken to repeat.
      left: those of them that nothing has spoken against.
    """

    def __init__(self, assumed: dict[Var, Axes], options: Options):
        self.assumed, self.left, self.options = assumed, dict(assumed), options

    def jaxpr(self, jaxpr: Jaxpr, args: Sequence[_Value], consts: Sequence[_Value] = ()) -> list[_Value]:
        """What is known of a jaxpr's results."""
        env: dict[Atom, _Value] = {**dict(zip(jaxpr.constvars, consts)), **dict(zip(jaxpr.invars, args, strict=True))}
        for eqn in jaxpr.eqns:
            values = [env.get(atom, _UNKNOWN) for atom in eqn.invars]
            env.update(zip(eqn.outvars, _rule(eqn)(self, eqn, values), strict=True))
        return [env.get(atom, _UNKNOWN) for atom in jaxpr.outvars]

    def give_up(self, values: Sequence[_Value]) -> None:
        """These have to be whole."""
        for value in values:
            for ref in value.sources | ({value.ref} if value.ref is not None else frozenset()):
                self.left[ref] = _NONE


Rule = Callable[[_Analysis, Equation, list[_Value]], list[_Value]]


def _rule(eqn: Equation) -> Rule:
    if eqn.name in ELEMENTWISE:
        return _elementwise
    return _structure_rules.get(eqn.primitive) or _value_rules.get(eqn.name, _anything)


def _anything(analysis: _Analysis, eqn: Equation, values: list[_Value]) -> list[_Value]:
    analysis.give_up(values)
    return [_UNKNOWN] * len(eqn.outvars)


# Values.


def _made(values: Sequence[_Value], axes: set[int]) -> list[_Value]:
    sources = frozenset().union(*(value.sources for value in values)) if axes else frozenset()
    return [_Value(frozenset(axes), sources)]


def _shape(atom: Atom) -> tuple[int, ...]:
    return np.shape(atom.value) if isinstance(atom, Literal) else atom.shape


def _repeats(atom: Atom, value: _Value, axis: int) -> bool:
    return _shape(atom)[axis] == 1 or axis in value.axes


def _elementwise(analysis: _Analysis, eqn: Equation, values: list[_Value]) -> list[_Value]:
    """What NumPy's broadcasting repeats, and what all operands repeat."""
    shape = eqn.outvars[0].shape
    axes = set(_long_axes(shape))
    for atom, value in zip(eqn.invars, values):
        missing = len(shape) - len(_shape(atom))
        axes -= {axis for axis in axes if axis >= missing and not _repeats(atom, value, axis - missing)}
    return _made(values, axes)


def _broadcast_in_dim(analysis: _Analysis, eqn: Equation, values: list[_Value]) -> list[_Value]:
    (atom, *_), (value, *_) = eqn.invars, values
    kept = {axis: n for n, axis in enumerate(eqn.params["broadcast_dimensions"])}
    long = _long_axes(eqn.outvars[0].shape)
    return _made(values, {axis for axis in long if axis not in kept or _repeats(atom, value, kept[axis])})


def _same_axes(analysis: _Analysis, eqn: Equation, values: list[_Value]) -> list[_Value]:
    """A slice, or a tile of as many axes."""
    (atom,), (value,), shape = eqn.invars, values, eqn.outvars[0].shape
    if len(_shape(atom)) != len(shape):
        return _anything(analysis, eqn, values)
    return _made(values, {axis for axis in _long_axes(shape) if _repeats(atom, value, axis)})


_value_rules: dict[str, Rule] = {
    "broadcast_in_dim": _broadcast_in_dim,
    "slice": _same_axes,
    "tile": _same_axes,
}


# Memory.


def _access(analysis: _Analysis, eqn: Equation, values: list[_Value]) -> list[_Value]:
    """`get`, `swap` and `addupdate`."""
    ref, num_stored = values[0].ref, int(eqn.primitive is not p.get_p)
    if ref is None:
        return [_UNKNOWN] * len(eqn.outvars)
    parts = _parts(analysis, eqn, ref, eqn.invars[1 + num_stored :])
    if parts is None or (eqn.primitive is p.addupdate_p and ref.dtype.isbuiltin != 1):
        return _anything(analysis, eqn, values)
    kept = [axis for axis, part in enumerate(parts) if isinstance(part, Slice)]
    if num_stored:
        whole = {axis for axis in kept if parts[axis] == Slice(0, ref.shape[axis], 1)}
        stored = {axis for n, axis in enumerate(kept) if _repeats(eqn.invars[1], values[1], n)}
        analysis.left[ref] &= whole & stored
    axes = {n for n, axis in enumerate(kept) if axis in analysis.assumed[ref]}
    return [_Value(frozenset(axes), frozenset([ref] if axes else [])) for _ in eqn.outvars]


def _parts(analysis: _Analysis, eqn: Equation, ref: Var, indices: Sequence[Atom]) -> Sequence[Any] | None:
    """What is read or written of each axis; `None` if the compiler may leave that to phase 5."""
    transforms = eqn.params["transforms"]
    if not transforms:
        return [Slice(0, size, 1) for size in ref.shape]
    if len(transforms) > 1 or not isinstance(transforms[0], Index) or len(transforms[0].indices) != len(ref.shape):
        return None
    parts = transforms[0].indices
    for axis, part in enumerate(parts):
        first, length, stride = (part.start, part.size, part.stride) if isinstance(part, Slice) else (part, 1, 1)
        if not isinstance(length, int) or length < 1:
            return None
        if isinstance(first, IndexOperand):
            if _shape(indices[first.position]) != () or analysis.options.out_of_bounds != "raise":
                return None
            analysis.left[ref] -= {axis}
        elif not 0 <= first <= ref.shape[axis] - (length - 1) * stride - 1:
            return None
    return parts


# Programs inside.


def _call(analysis: _Analysis, eqn: Equation, values: list[_Value]) -> list[_Value]:
    return analysis.jaxpr(eqn.params["jaxpr"], values)


def has_semaphores(eqn: Equation) -> bool:
    """Whether memory of its own that a `run_scoped` makes has semaphores in it: phase 5's rule runs it then."""
    return any(ref.is_semaphore for ref in eqn.params["jaxpr"].invars)


def _run_scoped(analysis: _Analysis, eqn: Equation, values: list[_Value]) -> list[_Value]:
    if has_semaphores(eqn):
        return _anything(analysis, eqn, values)
    jaxpr = eqn.params["jaxpr"]
    return analysis.jaxpr(jaxpr, [_UNKNOWN] * len(jaxpr.invars), values)


def _cond(analysis: _Analysis, eqn: Equation, values: list[_Value]) -> list[_Value]:
    for branch in eqn.params["branches"]:
        analysis.give_up(analysis.jaxpr(branch, values[1:]))
    return [_UNKNOWN] * len(eqn.outvars)


def _scan(analysis: _Analysis, eqn: Equation, values: list[_Value]) -> list[_Value]:
    num_consts = eqn.params["num_consts"]
    consts, carried = values[:num_consts], values[num_consts:]
    analysis.give_up([*carried, *analysis.jaxpr(eqn.params["jaxpr"], [*consts, *[_UNKNOWN] * len(carried)])])
    return [_UNKNOWN] * len(eqn.outvars)


def _while(analysis: _Analysis, eqn: Equation, values: list[_Value]) -> list[_Value]:
    split = eqn.params["cond_nconsts"], eqn.params["cond_nconsts"] + eqn.params["body_nconsts"]
    carried = values[split[1] :]
    analysis.give_up(carried)
    for name, consts in (("cond_jaxpr", values[: split[0]]), ("body_jaxpr", values[split[0] : split[1]])):
        analysis.give_up(analysis.jaxpr(eqn.params[name], [*consts, *[_UNKNOWN] * len(carried)]))
    return [_UNKNOWN] * len(eqn.outvars)


_structure_rules: dict[Any, Rule] = {
    **dict.fromkeys((p.get_p, p.swap_p, p.addupdate_p), _access),
    **dict.fromkeys(CALLS, _call),
    p.run_scoped_p: _run_scoped,
    p.cond_p: _cond,
    p.scan_p: _scan,
    p.while_p: _while,
}
