"""The kinds of value that the evaluator computes with: known ones, symbols, and what is yet to be repeated."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pallas_np.compiler.program import Atom, Literal, Program


class Spread(NamedTuple):
    """A value repeated to a shape, which nobody has done yet: `inner` is a scalar, or has 1s where it is repeated."""

    inner: Any
    shape: tuple[int, ...]
    dtype: Any


_KNOWN = (np.ndarray, np.generic)


def is_known(value: Any) -> bool:
    """Whether a value is known now."""
    return isinstance(value, _KNOWN)


def dtype_atom(program: Program, dtype: Any) -> Atom:
    """A dtype as it stands in a call."""
    if dtype.isbuiltin == 1:
        return Literal("np.bool_" if dtype == np.bool_ else f"np.{dtype.name}")
    return program.constant(dtype, dtype.name)
