"""A ref's indexers and transforms as plain data.

JAX flattens `ref.at[i].reshape(4, 2)[j, pl.ds(k, 8)]` into operands (here `i`, `j`, `k`) and a tree.
`ref_transforms` puts them back together as a chain of the classes below, in which a dynamic value is an `Operand` that
says where to find it among the equation's index operands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jax import tree_util
from jax._src.state import indexing
from jax._src.state import types as state_types


@dataclass(frozen=True, slots=True)
class Operand:
    """A value known only when the equation runs: its `position` among the equation's index operands."""

    position: int


@dataclass(frozen=True, slots=True)
class Slice:
    """`size` elements from `start`, `stride` apart: `pl.ds(start, size, stride)`."""

    start: int | Operand
    size: int | Operand
    stride: int

    def __str__(self) -> str:
        return f"pl.ds({self.start}, {self.size}, {self.stride})"


@dataclass(frozen=True, slots=True)
class Index:
    """`ref[indices]`: for each axis a `Slice`, an integer, or an array of integers (NumPy's advanced indexing)."""

    indices: tuple[Slice | int | Operand, ...]


@dataclass(frozen=True, slots=True)
class Reshape:
    """`ref.reshape(shape)`."""

    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Transpose:
    """`ref.transpose(permutation)`."""

    permutation: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Bitcast:
    """`ref.bitcast(dtype)`."""

    dtype: np.dtype


@dataclass(frozen=True, slots=True)
class Select:
    """One of several refs, by number."""

    index: int | Operand


Transform = Index | Reshape | Transpose | Bitcast


@dataclass(frozen=True, slots=True)
class RefView:
    """A ref among an equation's operands, seen through transforms.

    Attributes:
      ref: the operand that is the ref, or several views of which the first transform, a `Select`, takes one.
      transforms: the chain of transforms; their dynamic values are found by position among all the operands.
    """

    ref: Operand | tuple[RefView, ...]
    transforms: tuple[Transform | Select, ...]


def leaves_of(known: Sequence[Any]) -> list[Any]:
    """For each operand its literal value, or, where that is `None`, the `Operand` that stands for it."""
    return [Operand(i) if value is None else _static(value) for i, value in enumerate(known)]


def ref_view(ref: Any, transforms: Sequence[Any] = ()) -> RefView:
    """The plain form of a ref among an equation's operands, or of JAX's `TransformedRef` of one."""
    if isinstance(ref, state_types.TransformedRef):
        inner = ref_view(ref.ref)
        return RefView(inner.ref, inner.transforms + _chain([*ref.transforms, *transforms]))
    if isinstance(ref, (tuple, list)):
        return RefView(tuple(map(ref_view, ref)), _chain(transforms))
    return RefView(ref, _chain(transforms))


def ref_transforms(tree: Any, known: Sequence[Any]) -> tuple[Transform, ...]:
    """The chain of transforms behind an access to a ref; `()` if it is the whole ref.

    Args:
      tree: JAX's tree of the flattened transforms.
      known: for each index operand its literal value, or `None` where it is known only at run time.

    Raises:
      NotImplementedError: for a transform that has no plain form.
    """
    return _chain(tree_util.tree_unflatten(tree, leaves_of(known)))


def _chain(transforms: Sequence[Any]) -> tuple[Any, ...]:
    plain = map(_transform, transforms)
    return tuple(t for t in plain if t is not None)


def _static(value: Any) -> Any:
    return int(value) if np.ndim(value) == 0 and np.asarray(value).dtype.kind in "iu" else value


def _transform(transform: Any) -> Transform | Select | None:
    if isinstance(transform, indexing.NDIndexer):
        indices = tuple(_from_the_start(plain_index(i), size) for i, size in zip(transform.indices, transform.shape))
        whole = all(i == Slice(0, size, 1) for i, size in zip(indices, transform.shape))
        return None if whole else Index(indices)
    if isinstance(transform, state_types.ReshapeTransform):
        return Reshape(tuple(transform.shape))
    if isinstance(transform, state_types.TransposeTransform):
        return Transpose(tuple(transform.permutation))
    if isinstance(transform, state_types.BitcastTransform):
        return Bitcast(np.dtype(transform.dtype))
    if isinstance(transform, _SELECT):
        return Select(transform.idx)
    if type(transform).__name__ in _IDENTITIES:
        return None
    raise NotImplementedError(f"the ref transform {type(transform).__name__} is not supported")


def plain_index(index: Any) -> Any:
    """One axis of an index in its plain form: JAX's own slice becomes a `Slice`, anything else stays as it is."""
    if isinstance(index, indexing.Slice):
        return Slice(index.start, index.size, index.stride)
    return index


def _from_the_start(index: Any, size: int) -> Any:
    """An integer known when the kernel was traced may count from the end, as Python's do."""
    return index + size if isinstance(index, int) and -size <= index < 0 else index


_SELECT: Any = getattr(state_types, "SelectTransform", ())
_IDENTITIES = ("AccessAssumptionTransform", "MemorySpaceCastTransform")
