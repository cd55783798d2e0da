"""DMAs under way.

A DMA is copied when it is waited for, so that a missing wait shows.  A DMA semaphore counts the bytes that have
arrived; a regular semaphore, one for each DMA.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import ml_dtypes
import numpy as np

from pallas_np.frontend.refs import Index, Slice
from pallas_np.phase3 import transformed
from pallas_np.phase5.memory import Place, known

LANES = 128
"""How many elements a tile of a TPU's memory has along the last axis."""
SUBLANES = 8
"""How many 32-bit words it has along the second to last."""
INT4 = (ml_dtypes.int4, ml_dtypes.uint4)


@dataclass(frozen=True, slots=True)
class Extent:
    """How far one axis of a `Place` reaches.

    Attributes:
      length: how many elements it names.
      inside: how many of them, from the first, lie inside the ref.
    """

    length: int
    inside: int


def extents(place: Place) -> list[Extent]:
    """How far a DMA's source or target reaches.

    An array in a TPU's memory is padded to whole tiles along its last two axes, and a DMA may reach into the padding:
    pipelines copy the last block of a ragged array so.  What reaches further is left to raise its `IndexError`.
    """
    *before, last = place.transforms or (None,)
    if not isinstance(last, Index) or any(np.ndim(known(i, place.operands)) for i in last.indices):
        return [Extent(length, length) for length in place.view().shape]
    shape = transformed(place.ref, before, place.operands).shape  # type: ignore[arg-type]
    found = []
    for part, size, tile in zip(last.indices, shape, _tile(shape, place.ref.dtype)):
        if isinstance(part, Slice):
            start, length = int(known(part.start, place.operands)), int(known(part.size, place.operands))
            is_padding = part.stride == 1 and start >= 0 and size < start + length <= -(-size // tile) * tile
            found.append(Extent(length, max(size - start, 0) if is_padding else length))
    return found


def nbytes(place: Place) -> int:
    """The size of what a DMA copies from or to a place, in bytes."""
    return math.prod(extent.length for extent in extents(place)) * place.dtype.itemsize


def _tile(shape: tuple[int, ...], dtype: np.dtype) -> list[int]:
    packing = 8 if dtype in INT4 else max(4 // dtype.itemsize, 1)
    if len(shape) < 2:
        return [LANES * packing] * len(shape)
    return [1] * (len(shape) - 2) + [SUBLANES * packing, LANES]


def cut(place: Place, lengths: list[int]) -> Place:
    """The first so many elements of a place along each of its axes."""
    *before, last = place.transforms or (None,)
    if not isinstance(last, Index):
        return place.with_transforms((*place.transforms, Index(tuple(Slice(0, length, 1) for length in lengths))))
    left = iter(lengths)
    indices = tuple(Slice(i.start, next(left), i.stride) if isinstance(i, Slice) else i for i in last.indices)
    return place.with_transforms((*before, Index(indices)))  # type: ignore[arg-type]


@dataclass
class Copy:
    """A DMA that has been started.

    Attributes:
      source: where it reads.
      target: where it writes.
      add: whether it adds to what is there.
      padding: what the padding round an array holds.
      done: whether it has been copied.
    """

    source: Place
    target: Place
    add: bool
    padding: np.ndarray
    done: bool = False

    def finish(self) -> None:
        """Copies, unless that has been done."""
        if self.done:
            return
        self.done = True
        sources, targets = extents(self.source), extents(self.target)
        if all(extent.length == extent.inside for extent in sources + targets):
            (self.target.add if self.add else self.target.write)(self.source.read())
            return
        lengths = [min(source.inside, target.inside) for source, target in zip(sources, targets, strict=True)]
        if not self.add:
            cut(self.target, [target.inside for target in targets]).write(self.padding)
        target = cut(self.target, lengths)
        (target.add if self.add else target.write)(cut(self.source, lengths).read())


@dataclass
class Channel:
    """The DMAs that signal one semaphore.

    Attributes:
      count: the semaphore.
      counts_bytes: whether it is a DMA semaphore.
      credit: of a DMA semaphore, the bytes copied that no wait has asked for yet.
      pending: the DMAs started and not yet copied, oldest first.
      itemsize: of the elements that were copied last, in bytes.
    """

    count: np.ndarray
    counts_bytes: bool
    credit: int
    pending: deque[Copy] = field(default_factory=deque)
    itemsize: int = 1

    def finish_oldest(self) -> None:
        """Copies the DMA that was started first."""
        copy = self.pending.popleft()
        copy.finish()
        self.itemsize = copy.padding.itemsize
        if self.counts_bytes:
            self.credit += nbytes(copy.source)
        else:
            self.count += 1

    def finish_all(self) -> None:
        """Copies every DMA that was started."""
        while self.pending:
            self.finish_oldest()
