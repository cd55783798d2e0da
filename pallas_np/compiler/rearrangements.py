"""Values that hold the elements of another value in a fixed order: slices, rotations, gathers with known indices.

The compiler keeps, for such a value, where each of its elements comes from.  So one rearrangement of another becomes a
single `take`, and a choice, with a known mask, between two rearrangements of the same value does too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pallas_np import lax_numpy
from pallas_np.compiler.program import Symbol

if TYPE_CHECKING:
    from pallas_np.compiler.specialise import Specialiser

_MOST = 1 << 16
"""Of values with more elements it is not kept where they come from."""


def origin(x: Symbol) -> tuple[Symbol, np.ndarray]:
    """The value whose elements x holds, and their positions in it when it is flattened."""
    if x.origin is None:
        x.origin = x, np.arange(math.prod(x.shape)).reshape(x.shape)
    return x.origin


def note(result: Any, xs: Sequence[Any], rearrange: Callable[..., np.ndarray]) -> Any:
    """Notes that `result` is `rearrange(*xs)`, if all of these hold elements of one value; returns it."""
    if not isinstance(result, Symbol) or result.origin is not None or math.prod(result.shape) > _MOST:
        return result
    if not all(isinstance(x, Symbol) and math.prod(x.shape) <= _MOST for x in xs):
        return result
    roots, positions = zip(*map(origin, xs))
    if all(root is roots[0] for root in roots):
        result.origin = roots[0], rearrange(*positions)
    return result


def taken(spec: Specialiser, x: Symbol, positions: np.ndarray) -> Symbol:
    """The elements of x at these positions, counted in x when it is flattened."""
    if x.origin is not None and positions.size <= _MOST:
        x, own = origin(x)
        positions = own.take(positions)
    columns = _columns(spec, x, positions)
    if columns is None:
        text, index = "{0}.take({1})", positions
    else:
        text, index = "{0}.take({1}, axis=-1)", columns
    found = spec.emit(text, [x, spec.program.constant(index, "order")], positions.shape, x.dtype)
    if positions.size <= _MOST:
        found.origin = x, positions
    return found


def chosen(spec: Specialiser, mask: np.ndarray, yes: Any, no: Any) -> Symbol | None:
    """`yes` where a known mask holds, else `no`, if both hold elements of one value; else `None`."""
    if not isinstance(yes, Symbol) or not isinstance(no, Symbol) or math.prod(yes.shape) > _MOST:
        return None
    if yes.shape != no.shape or (yes.origin is None and no.origin is None):
        return None
    (root, first), (other, second) = origin(yes), origin(no)
    return taken(spec, root, np.where(mask, first, second)) if root is other else None


def gathered(spec: Specialiser, shape: tuple[int, ...], indices: np.ndarray, params: dict[str, Any]) -> np.ndarray:
    """The positions that a gather with known indices takes from an operand of this shape; -1 for one outside."""
    key = shape, indices.shape, indices.tobytes(), *params.items()
    found = spec.gathers.get(key)
    if found is None:
        flat = np.arange(math.prod(shape)).reshape(shape)
        found = spec.gathers[key] = lax_numpy.gather(flat, indices, **{**params, "fill_value": -1})
    return found


def _columns(spec: Specialiser, x: Symbol, positions: np.ndarray) -> np.ndarray | None:
    """The positions in each row, if rows are kept and are all rearranged alike."""
    if positions.shape != x.shape or len(x.shape) < 2 or not positions.size:
        return None
    key = id(positions)
    if key not in spec.columns:
        spec.columns[key] = positions, _common_columns(positions)
    return spec.columns[key][1]


def _common_columns(positions: np.ndarray) -> np.ndarray | None:
    rows = positions.reshape(-1, positions.shape[-1])
    columns = rows[0]
    if columns.min() < 0 or columns.max() >= len(columns):
        return None
    steps = np.arange(len(rows))[:, None] * len(columns)
    return columns if np.array_equal(rows, columns + steps) else None
