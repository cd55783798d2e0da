"""Where the first NaN or infinity comes from: `Options(check_nans=True)`.

A NaN is made where none of the elements that it depends on is one, an infinity where all of them are finite.  So an
infinity that stands in the kernel, as attention's masks do, is no fault, until an equation makes NaN of it.  Kernels
mask with very large finite numbers, too, and let them overflow: one that is a constant of the kernel stands for an
infinity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import ml_dtypes
import numpy as np

from pallas_np import phase5
from pallas_np.errors import NonFiniteError
from pallas_np.frontend import Equation, Jaxpr, subjaxprs
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


Test = Callable[[Any], Any]
"""From floats to bools."""


class NonFiniteDetector(Observer):
    """Raises at the first equation that makes a NaN or an infinity."""

    wants_accesses = False

    def __init__(self) -> None:
        self.before: Any = None
        self.masks: dict[Jaxpr, tuple[float, ...]] = {}

    def equation_begins(self, at: Observed, eqn: Equation, args: Sequence[Any]) -> None:
        if eqn.primitive is addupdate_p:
            self.before = _held(at, eqn, args)

    def equation_ends(self, at: Observed, eqn: Equation, args: Sequence[Any], results: Sequence[Any]) -> None:
        if eqn.primitive is addupdate_p:
            self._refuse_sum(at, eqn, args)
        rule = phase5.numpy_rules.get(eqn.primitive)
        if eqn.primitive in _NOT_COMPUTED or getattr(rule, "is_structure", False):
            return  # what structure answers was made by the equations within it, or lay in memory
        if all(_marks(_is_not_finite, result) is None for result in results):
            return
        for test, explains in self._tests(at):
            explained = dependent(eqn, args, [_marks(explains, arg) for arg in args], results)
            for result, old in zip(results, explained):
                made = _which(test, result)
                _refuse(eqn, result, made if old is None else made & ~old)

    def _refuse_sum(self, at: Observed, eqn: Equation, args: Sequence[Any]) -> None:
        sums = _held(at, eqn, args)
        for test, explains in self._tests(at):
            _refuse(eqn, sums, _which(test, sums) & ~(_which(explains, self.before) | _which(explains, args[1])))

    def _tests(self, at: Observed) -> tuple[tuple[Test, Test], ...]:
        """What is looked for in a result, and what in the operands explains it."""
        jaxpr = at.call.jaxpr
        if jaxpr not in self.masks:
            self.masks[jaxpr] = tuple(_large_constants(jaxpr))
        return (np.isnan, np.isnan), (np.isinf, partial(_is_infinite_or_mask, self.masks[jaxpr]))


def _large_constants(jaxpr: Jaxpr) -> Iterator[float]:
    """The magnitudes of the floats in a kernel's text that are larger than a tenth of the largest."""
    for value in (*(literal.value for literal in jaxpr.literals), *jaxpr.consts):
        if np.size(value) == 1 and kind_of(np.asarray(value).dtype) == "f":
            magnitude = abs(float(np.asarray(value).reshape(())))
            if ml_dtypes.finfo(np.asarray(value).dtype).max / 10 < magnitude < np.inf:
                yield magnitude
    for eqn in jaxpr.eqns:
        for inner in subjaxprs(eqn):
            yield from _large_constants(inner)


def _held(at: Observed, eqn: Equation, args: Sequence[Any]) -> np.ndarray:
    """What the ref that an equation adds to holds there."""
    return Place(at, args[0], eqn.params["transforms"], args[2:]).read()


def _is_not_finite(value: Any) -> np.ndarray:
    return ~np.isfinite(value)


def _is_infinite_or_mask(masks: Sequence[float], value: Any) -> np.ndarray:
    """Whether it is not finite, or one of these numbers, give or take what casts and a difference have rounded."""
    found = _is_not_finite(value)
    for mask in masks:
        found = found | (np.abs(np.abs(value).astype(np.float64) - mask) < mask / 100)
    return found


def _which(test: Test, value: Any) -> Any:
    return test(value) if kind_of(value.dtype) in "fc" else np.False_


def _marks(test: Test, value: Any) -> Marks:
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
    value, count = np.asarray(result)[first], np.count_nonzero(made)
    where = f" at {first}" if first else ""
    more = f", the first of {count} elements" if count > 1 else ""
    source = "numbers that are not NaN" if np.isnan(value) else "finite numbers"
    raise NonFiniteError(f"{eqn.name} makes {value}{where}{more}, out of {source}")
