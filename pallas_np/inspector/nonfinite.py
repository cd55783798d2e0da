"""Where the first NaN or infinity comes from: `Options(check_nans=True)`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pallas_np import phase5
from pallas_np.errors import NonFiniteError
from pallas_np.frontend import Equation
from pallas_np.frontend.primitives import lax_primitive
from pallas_np.inspector.observed import Observed, Observer
from pallas_np.lax_numpy.dtypes import kind_of

# A bit pattern is chosen, not computed; the largest of no elements is minus infinity.
_NOT_COMPUTED = frozenset(map(lax_primitive, "bitcast_convert_type reduce_max reduce_min".split()))


class NonFiniteDetector(Observer):
    """Raises at the first equation that makes a NaN or an infinity out of finite numbers."""

    def equation_ends(self, at: Observed, eqn: Equation, args: Sequence[Any], results: Sequence[Any]) -> None:
        rule = phase5.numpy_rules.get(eqn.primitive)
        if eqn.primitive in _NOT_COMPUTED or getattr(rule, "is_structure", False):
            return  # what structure answers was made by the equations within it, or lay in memory
        for result in results:
            if not _all_finite(result) and all(map(_all_finite, args)):
                raise NonFiniteError(_problem(eqn, np.asarray(result)))


def _all_finite(value: Any) -> bool:
    return kind_of(value.dtype) not in "fc" or bool(np.all(np.isfinite(value)))


def _problem(eqn: Equation, result: np.ndarray) -> str:
    bad = ~np.isfinite(result)
    first = tuple(map(int, np.argwhere(bad)[0]))
    where = f"at {first}, the first of {bad.sum()} elements" if result.ndim else "as its result"
    return f"{eqn.name} makes {result[first]} {where}, out of finite operands"
