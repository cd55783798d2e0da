"""What is known to be in memory: a value that was written to all of a ref, or two whose elements its rows have in turn.

A read then is that value, and nothing has to be read; what nobody reads any more need not be written (`dead.py`).
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from typing import Any

from pallas_np.compiler.program import Parts, Roots, Symbol, touch


class Held:
    """What refs hold.

    Args:
      values: for each ref the value that all of it holds, or two of which its rows have elements in turn.
    """

    def __init__(self, values: Mapping[Symbol, tuple[Any, ...]] | None = None):
        self._values = dict(values or {})

    def forget(self, roots: Roots) -> None:
        """Somebody may write to this memory."""
        if roots and self._values:
            self._values = {ref: values for ref, values in self._values.items() if not touch(ref.roots, roots)}

    def values(self, ref: Symbol) -> tuple[Any, ...]:
        """The one value, or the two, of which `None` stands for one that is not known."""
        return self._values.get(ref, ())

    def put(self, ref: Symbol, parts: Parts | None, value: Any, before: tuple[Any, ...]) -> None:
        """Notes that a value was written to a part of a ref, which had held the values `before`."""
        if not parts or value.dtype != ref.dtype or ref.repeated or not all(map(_is_all, parts[:-1], ref.shape)):
            return
        first, size, stride = parts[-1].start, ref.shape[-1], parts[-1].step
        if stride > 2 or first >= stride or size % stride or value.shape != (*ref.shape[:-1], size // stride):
            return
        values = list(before if len(before) == stride else [None] * stride)
        values[first] = value
        self._values[ref] = tuple(values)

    def copy(self) -> Held:
        return Held(self._values)


def common(states: Collection[Held]) -> Held:
    """What is held in all of these."""
    first, *others = (held._values for held in states)
    return Held({ref: values for ref, values in first.items() if all(_are_same(values, o.get(ref)) for o in others)})


def _are_same(values: tuple[Any, ...], others: tuple[Any, ...] | None) -> bool:
    return others is not None and all(a is b for a, b in itertools.zip_longest(values, others))


def _is_all(part: slice, size: int) -> bool:
    return part == slice(0, size, 1)
