"""Sorting networks: comparisons between elements at places that are known beforehand, many in one call."""

from __future__ import annotations

import functools
import math
import threading
from collections import OrderedDict

import numpy as np

from .elementwise import Array, max, min, select

Step = tuple[int, int]
"""How far apart the elements are that are compared, and how many elements a run has."""
Comparison = tuple[Array, Array, Array, Array]
"""Two parts of an array that are compared, and where the smaller and the larger elements go."""


def compare_exchange(x: Array, steps: tuple[Step, ...], order: str) -> Array:
    """x, with pairs of elements along its last axis put in order, in one step after the other.

    In a step `(distance, run)` the partner of the element at position p stands at `p ^ distance`.  The smaller of the
    two comes first in the first `run` elements, last in the next `run`, and so on in turn; of a negative `run` it comes
    last in the first.

    If there is no NaN, and no zero but 0.0, equal elements cannot be told apart.  Then what the steps have sorted is
    what `np.sort` sorts: the stages that a bitonic sort begins with are left to it.  Each step after these is a minimum
    and a maximum.  With a NaN, a -0.0 or, where denormals count as zeros, one of those, all steps compare and choose.
    For them rows are laid next to each other, so that all parts are contiguous.

    Args:
      x: integers, float32 or float64; its last axis is a multiple of `2 * distance`, and of `run` where that is less.
      steps: what is compared in each step; powers of two.
      order: "less" exchanges if the second is less than the first; "before" does, too, where only the first is NaN;
        "extrema" makes them `min` and `max`, which are NaN where either is.

    Returns:
      An array of x's shape and dtype.
    """
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    found = _minima_and_maxima(rows, steps) if _has_one_zero(rows) else None
    if found is None:
        first, last, comparisons = _networks.get(len(rows), rows.shape[-1], x.dtype, steps)
        first[...] = rows.T
        for low, high, smaller, larger in comparisons:
            smaller[...], larger[...] = _in_order(low, high, order)
        found = last.T.copy()
    return found.reshape(x.shape)


def _has_one_zero(x: Array) -> bool:
    """Whether x has no zero but 0.0; where denormals count as zeros, they are others."""
    if x.dtype.kind != "f":
        return True
    zeros = x == 0
    return not np.count_nonzero(zeros) or not x.view(f"i{x.itemsize}")[zeros].any()


def _minima_and_maxima(rows: Array, steps: tuple[Step, ...]) -> Array | None:
    """The rows after these steps, if equal elements are the same; `None` if there is a NaN."""
    size, run, rest = _stages(steps)
    runs = rows.reshape(-1, size)
    if size > 1:
        counts = rows.itemsize == 1  # a stable sort of bytes counts them, which is quicker
        runs = runs.copy()
        runs.sort(axis=-1, stable=counts)
    last_of_each = runs[:, -1]  # a sort puts NaNs last
    if rows.dtype.kind == "f" and np.count_nonzero(last_of_each != last_of_each):
        return None
    found = runs.reshape(rows.shape)
    if size > 1:
        _turn(found, size, run)
    if rest or size == 1:
        first, last, comparisons = _networks.get(len(rows), rows.shape[-1], rows.dtype, rest)
        first[...] = found.T
        for low, high, smaller, larger in comparisons:
            np.minimum(low, high, out=smaller)
            np.maximum(low, high, out=larger)
        found = last.T.copy()
    return found


@functools.lru_cache(1024)
def _stages(steps: tuple[Step, ...]) -> tuple[int, int, tuple[Step, ...]]:
    """How many elements are sorted by the stages of a bitonic sort at the beginning, in what runs, and what follows.

    A stage makes sorted sequences of n elements of those of n / 2: it compares elements that are n / 2 apart, n / 4,
    and so on.  The two halves have to run in opposite directions.
    """
    size, run, done = 1, 1, 0
    while abs(run) == size:
        stage = steps[done : done + size.bit_length()]
        distances = [distance for distance, _ in stage]
        runs = {run for _, run in stage}
        if distances != [size >> n for n in range(size.bit_length())] or len(runs) > 1 or abs(stage[0][1]) < 2 * size:
            break
        size, run, done = 2 * size, stage[0][1], done + len(stage)
    return size, run, steps[done:]


def _turn(rows: Array, size: int, run: int) -> None:
    """Turns round each `size` elements, in place: not those of the first `run`, but of the next, and so on in turn."""
    if abs(run) < rows.shape[-1]:
        falling = rows.reshape(-1, 2, abs(run) // size, size)[:, 1 if run > 0 else 0]
    elif run < 0:
        falling = rows.reshape(-1, size)
    else:
        return
    falling[...] = falling[..., ::-1].copy()


def _in_order(low: Array, high: Array, order: str) -> tuple[Array, Array]:
    if order == "extrema":
        return min(low, high), max(low, high)
    changes = high < low if order == "less" else (high == high) > (low <= high)
    return select(changes, high, low), select(changes, low, high)


_Network = tuple[Array, Array, list[Comparison]]
"""Memory for the columns, where they are in the end, and the comparisons in between."""


class _Networks(threading.local):
    """The networks that a thread used last, whose memory and views of it took some time to make."""

    most = 32
    largest = 1 << 20
    """Memory of more bytes is not kept."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple, _Network] = OrderedDict()

    def get(self, rows: int, length: int, dtype: np.dtype, steps: tuple[Step, ...]) -> _Network:
        key = rows, length, dtype, steps
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
            return found
        made = _network(*key)
        if made[0].nbytes <= self.largest // 2:
            self._kept[key] = made
            if len(self._kept) > self.most:
                self._kept.popitem(last=False)
        return made


_networks = _Networks()


def _network(rows: int, length: int, dtype: np.dtype, steps: tuple[Step, ...]) -> _Network:
    arrays = np.empty((2, length, rows), dtype)
    comparisons: list[Comparison] = []
    for n, step in enumerate(steps):
        before, after = (_parts(arrays[(n + turn) % 2], *step) for turn in range(2))
        comparisons += [(*pair, *results) for pair, results in zip(before, after)]
    return arrays[0], arrays[len(steps) % 2], comparisons


def _parts(x: Array, distance: int, run: int) -> list[tuple[Array, Array]]:
    """Pairs of parts of x, `distance` apart: those of the first runs, and of the others, in which they are turned."""
    length, rows = x.shape
    if abs(run) >= length:
        pairs = x.reshape(-1, 2, distance, rows)
        found = [(pairs[:, 0], pairs[:, 1])]
    else:
        pairs = x.reshape(-1, 2, abs(run) // (2 * distance), 2, distance, rows)
        found = [(pairs[:, 0, :, 0], pairs[:, 0, :, 1]), (pairs[:, 1, :, 1], pairs[:, 1, :, 0])]
    return found if run > 0 else [(high, low) for low, high in found]
