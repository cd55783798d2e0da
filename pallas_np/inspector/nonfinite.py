"""Where the first NaN or infinity comes from: `Options(check_nans=True)`.

A NaN is made where none of the elements that it depends on is one, an infinity where all of them are finite.  So an
infinity that stands in the kernel, as attention's masks do, is no fault, until an equation makes NaN of it.  The
largest number of a dtype stands for an infinity: kernels mask with it as well, and may let it overflow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from pallas_np import phase5
from pallas_np.errors import NonFiniteError
from pallas_np.frontend import Equation
from pallas_np.frontend import primitives as p
from pallas_np.frontend.primitives import addupdate_p, lax_primitive
from pallas_np.inspector.dependence import Marks, dependent
from pallas_np.inspector.observed import Observed, Observer
from pallas_np.lax_numpy.dtypes import kind_of
from pallas_np.phase5.memory import Place

# A bit pattern is chosen, not computed; the largest of no elements is minus infinity.
_NOT_COMPUTED = frozenset(
    [
        *map(lax_primitive, "bitcast_convert_type reduce_max reduce_min reduce_window_max reduce_window_min".split()),
        *(p.tpu_bitcast_p, p.unpack_elementwise_p),
    ]
)


class NonFiniteDetector(Observer):
    """Raises at the first equation that makes a NaN or an infinity."""

    wants_accesses = False

    def __init__(self) -> None:
        self.before: Any = None

    def equation_begins(self, at: Observed, eqn: Equation, args: Sequence[Any]) -> None:
        if eqn.primitive is addupdate_p:
            self.before = _held(at, eqn, args)

    def equation_ends(self, at: Observed, eqn: Equation, args: Sequence[Any], results: Sequence[Any]) -> None:
        if eqn.primitive is addupdate_p:
            self._refuse_sum(eqn, _held(at, eqn, args), args[1])
        rule = phase5.numpy_rules.get(eqn.primitive)
        if eqn.primitive in _NOT_COMPUTED or getattr(rule, "is_structure", False):
            return  # what structure answers was made by the equations within it, or lay in memory
        if all(_marks(_is_not_finite, result) is None for result in results):
            return
        for test, explains in _TESTS:
            explained = dependent(eqn, args, [_marks(explains, arg) for arg in args], results)
            for result, old in zip(results, explained):
                made = _which(test, result)
                _refuse(eqn, result, made if old is None else made & ~old)

    def _refuse_sum(self, eqn: Equation, sums: np.ndarray, added: Any) -> None:
        made = [_which(test, sums) & ~(_which(old, self.before) | _which(old, added)) for test, old in _TESTS]
        _refuse(eqn, sums, made[0] | made[1])


def _held(at: Observed, eqn: Equation, args: Sequence[Any]) -> np.ndarray:
    """What the ref that an equation adds to holds there."""
    return Place(at, args[0], eqn.params["transforms"], args[2:]).read()


def _is_not_finite(value: Any) -> np.ndarray:
    return ~np.isfinite(value)


def _is_infinite_or_largest(value: Any) -> np.ndarray:
    return ~np.isfinite(value) | (np.abs(value) == ml_dtypes.finfo(value.dtype).max)


_TESTS: tuple[tuple[Callable[[Any], Any], Callable[[Any], Any]], ...] = (
    (np.isnan, np.isnan),
    (np.isinf, _is_infinite_or_largest),
)
"""What is looked for in a result, and what in the operands explains it."""


def _which(test: Callable[[Any], Any], value: Any) -> Any:
    return test(value) if kind_of(value.dtype) in "fc" else np.False_


def _marks(test: Callable[[Any], Any], value: Any) -> Marks:
    found = np.asarray(_which(test, value))
    return found if found.any() else None


def _refuse(eqn: Equation, result: Any, made: Any) -> None:
    """Raises if something was made.

    Raises:
      NonFiniteError: with the first of it.
    """
    if not np.any(made):
        return
    first = tuple(map(int, np.argwhere(np.broadcast_to(made, np.shape(result)))[0]))
    where = f" at {first}, the first of {np.count_nonzero(made)}" if first else ""
    raise NonFiniteError(f"{eqn.name} makes {np.asarray(result)[first]}{where}, and no operand explains it")
