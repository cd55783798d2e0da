"""Attributes of JAX that are replaced for as long as somebody needs them to be."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

from pallas_np.frontend.versions import naming_what_is_missing

Replacement = tuple[Any, str, Callable[[Any], Any]]
"""Whose attribute it is, its name, and what makes the new from the old."""


class Replacements:
    """A context in which some attributes are replaced, for all threads; the last to leave it puts them back."""

    def __init__(self, find: Callable[[], list[Replacement]]):
        self._find = find
        self._lock = threading.RLock()
        self._users = 0
        self._replaced: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> None:
        """Replaces them.

        Raises:
          JaxInternalMissing: if this JAX does not have one of them.
        """
        with self._lock:
            if not self._users:
                self._replaced = self._replace()
            self._users += 1

    def __exit__(self, *_: Any) -> None:
        with self._lock:
            self._users -= 1
            while not self._users and self._replaced:
                setattr(*self._replaced.pop())

    @naming_what_is_missing()
    def _replace(self) -> list[tuple[Any, str, Any]]:
        found = [(owner, name, getattr(owner, name), wrap) for owner, name, wrap in self._find()]
        for owner, name, value, wrap in found:
            setattr(owner, name, functools.wraps(value)(wrap(value)))
        return [(owner, name, value) for owner, name, value, _ in found]
