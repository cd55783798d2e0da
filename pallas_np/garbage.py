"""Python's garbage collector, and when it had better wait."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator

MANY = 1 << 20
"""For so many new objects it waits; so many empty lists are 56 MiB."""

_lock = threading.Lock()
_inside = 0
_before: tuple[int, int, int]


@contextlib.contextmanager
def few_collections() -> Iterator[None]:
    """Within it Python looks for objects that only refer to each other only once there are `MANY` new ones.

    Every so many new objects it looks at the youngest, and now and then at all there are; where JAX is loaded that
    takes a tenth of a second.  A jaxpr and a program are thousands of new objects, none of them garbage: a sort of
    4,083 equations was compiled in 130 ms, and in 200 ms with collections.  Memory is freed as ever where nothing
    refers to it any more.  The collector is the whole process's, so other threads have few collections meanwhile, too.
    One that the user has turned off stays off.
    """
    global _inside, _before
    with _lock:
        _inside += 1
        if _inside == 1:
            _before = gc.get_threshold()
            if 0 < _before[0] < MANY:
                gc.set_threshold(MANY, *_before[1:])
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                gc.set_threshold(*_before)
