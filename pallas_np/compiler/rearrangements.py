"""Values that hold the elements of another value in a fixed order: slices, rotations, gathers with known indices.

The compiler keeps, for such a value, where each of its elements comes from.  So one rearrangement of another becomes a
single `take`, and a choice, with a known mask, between two rearrangements of the same value does too.

Most rearrangements do the same to every row.  So positions are those of one row, if rows are all alike, or of one of
what the leading axes count.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pallas_np import lax_numpy
from pallas_np.compiler.program import Symbol
from pallas_np.lax_numpy.indexing import group_size, swapped_size

if TYPE_CHECKING:
    from pallas_np.compiler.specialise import Specialiser

_MOST = 1 << 16
"""So many positions, at most, are kept of a value."""


class Origin(NamedTuple):
    """Where the elements of a value come from.

    Attributes:
      root: the value whose elements they are.
      kept: how many leading axes are the root's own.
      positions: what stands at one place on these: positions in the root's flattened elements at the same place.
    """

    root: Symbol
    kept: int
    positions: np.ndarray

    def along(self, kept: int) -> np.ndarray:
        """The positions, with no more than so many leading axes taken for the root's own."""
        shape, positions = self.root.shape, self.positions
        for axis in reversed(range(kept, self.kept)):
            starts = np.arange(shape[axis]) * math.prod(shape[axis + 1 :])
            positions = starts.reshape(-1, *(1,) * positions.ndim) + positions
        return positions


def _is_followed(shape: tuple[int, ...], kept: int) -> bool:
    """Whether it is worth keeping where elements come from: of large values only if all rows are alike."""
    is_by_rows = bool(shape) and kept == len(shape) - 1 and shape[-1] <= _MOST
    return is_by_rows or math.prod(shape) <= _MOST


def leading(stay: Iterable[bool]) -> int:
    """How many axes at the beginning stay as they are."""
    return sum(1 for _ in itertools.takewhile(bool, stay))


def origin(x: Symbol) -> Origin:
    """Where the elements of x come from: from x, if it is no rearrangement of another value."""
    if x.origin is None:
        kept = max(0, len(x.shape) - 1)
        x.origin = Origin(x, kept, np.arange(math.prod(x.shape[kept:])).reshape(x.shape[kept:]))
    return x.origin


def note(result: Any, xs: Sequence[Any], kept: int, rearrange: Callable[..., np.ndarray]) -> Any:
    """Notes that `result` is `rearrange(*xs)` if these hold elements of one value; returns it.

    Args:
      result: the value.
      xs: what it is made of.
      kept: how many leading axes stay as they are.
      rearrange: does the same to arrays whose kept axes are 1s, up to a `reshape`.
    """
    if not isinstance(result, Symbol) or result.origin is not None:
        return result
    if not all(isinstance(x, Symbol) and len(x.shape) == len(xs[0].shape) for x in xs):
        return result
    origins = list(map(origin, xs))
    kept = min(kept, *(o.kept for o in origins))
    if not all(_is_followed(x.shape, kept) for x in (*xs, result)):
        return result
    if all(o.root is origins[0].root for o in origins):
        parts = [np.expand_dims(o.along(kept), tuple(range(kept))) for o in origins]
        result.origin = Origin(origins[0].root, kept, rearrange(*parts).reshape(result.shape[kept:]))
    return result


def taken(spec: Specialiser, shape: tuple[int, ...], found: Origin) -> Symbol:
    """The elements of that origin, in this shape."""
    inner = found.root.origin
    if inner is not None and _is_followed(shape, kept := min(inner.kept, found.kept)):
        found = Origin(inner.root, kept, inner.along(kept).take(found.along(kept)))
    x, kept = found.root, found.kept
    if kept and kept == len(x.shape) - 1 and x.shape == shape:
        text, order = _columns_taken(shape, found.positions, x.dtype.itemsize)
    else:
        text, order = "{0}.take({1})", found.along(0)
    index = [] if order is None else [spec.program.constant(order, "order")]
    result = spec.emit(text, [x, *index], shape, x.dtype)
    if _is_followed(shape, kept):
        result.origin = found
    return result


_MANY = 1 << 12
"""Of so many elements, slices are copied sooner than elements are taken one by one."""


def _columns_taken(shape: tuple[int, ...], order: np.ndarray, itemsize: int) -> tuple[str, np.ndarray | None]:
    """The text that takes columns in this order, in groups if they stay together, and the order of the groups."""
    if math.prod(shape) >= _MANY and 0 < (size := swapped_size(order)) * itemsize <= 8:
        return f"lax.swap_neighbours({{0}}, {size})", None
    size = group_size(order, len(order), itemsize)
    groups, count = order[::size] // size, len(order) // size
    if size == 1:
        return "{0}.take({1}, axis=-1)", order
    grouped = (*shape[:-1], count, size)
    return f"{{0}}.reshape({grouped}).take({{1}}, axis=-2).reshape({shape})", groups


def chosen(spec: Specialiser, mask: np.ndarray, yes: Any, no: Any) -> Symbol | None:
    """`yes` where a known mask holds, else `no`, if both hold elements of one value; else `None`."""
    if not isinstance(yes, Symbol) or not isinstance(no, Symbol):
        return None
    if yes.shape != no.shape or (yes.origin is None and no.origin is None):
        return None
    first, second = origin(yes), origin(no)
    if first.root is not second.root:
        return None
    rank = len(yes.shape)
    mask = mask.reshape((1,) * (rank - mask.ndim) + mask.shape)
    kept = min(first.kept, second.kept, _alike(mask))
    if not _is_followed(yes.shape, kept):
        return None
    positions = np.where(mask[(0,) * kept], first.along(kept), second.along(kept))
    return taken(spec, yes.shape, Origin(first.root, kept, positions))


def _alike(x: np.ndarray) -> int:
    """Along how many leading axes x is the same everywhere."""
    rows = x.reshape(-1, x.shape[-1])
    if np.array_equal(rows[1:], rows[:-1]):
        return x.ndim - 1
    return next(axis for axis, size in enumerate(x.shape) if size > 1)


def gathered(spec: Specialiser, x: Symbol, indices: np.ndarray, params: dict[str, Any]) -> Origin:
    """What a gather with known indices takes from x; -1 stands for what is outside."""
    key = x.shape, indices.shape, indices.tobytes(), *params.items()
    if key not in spec.gathers:
        spec.gathers[key] = _gathered(x.shape, indices, params)
    return Origin(x, *spec.gathers[key])


def _gathered(shape: tuple[int, ...], indices: np.ndarray, params: dict[str, Any]) -> tuple[int, np.ndarray]:
    """How many axes it keeps, and the positions."""
    numbers, sizes = params["dimension_numbers"], params["slice_sizes"]
    placed = {*numbers.collapsed_slice_dims, *numbers.start_index_map, *numbers.operand_batching_dims}
    kept = leading(
        numbers.offset_dims[n : n + 1] == (n,) and n not in placed and sizes[n] == size for n, size in enumerate(shape)
    )
    one = (1,) * kept
    flat = np.arange(math.prod(shape[kept:])).reshape(one + shape[kept:])
    found = lax_numpy.gather(flat, indices, **{**params, "slice_sizes": one + sizes[kept:], "fill_value": -1})
    positions = found.reshape(found.shape[kept:])
    columns = _common_columns(positions) if positions.shape == shape[kept:] else None
    return (kept, positions) if columns is None else (len(shape) - 1, columns)


def _common_columns(positions: np.ndarray) -> np.ndarray | None:
    """The positions in each row, if rows are kept and are all rearranged alike."""
    if positions.ndim < 2 or not positions.size:
        return None
    rows = positions.reshape(-1, positions.shape[-1])
    columns = rows[0]
    if columns.min() < 0 or columns.max() >= len(columns):
        return None
    steps = np.arange(len(rows))[:, None] * len(columns)
    return columns if np.array_equal(rows, columns + steps) else None
