"""`jvp` of a call of which some inputs have no derivative: integers, constants.

JAX's rule makes a call with twice the inputs and outputs. It passes a tangent only for the inputs that have one, but a
block for each, so that the blocks no longer belong to the operands, and `interpret=True` fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jax._src import ad_util
from jax._src.interpreters import ad

from pallas_np.frontend.engines import engine_of
from pallas_np.frontend.primitives import pallas_call_p

_rule_of_jax = ad.primitive_jvps[pallas_call_p]


class _GridMapping:
    """A call's grid mapping, for JAX's rule: what it is replaced with has blocks for the tangents that there are."""

    def __init__(self, mapping: Any, has_tangent: Sequence[bool]):
        self._mapping = mapping
        self._has_tangent = has_tangent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mapping, name)

    def replace(self, **changes: Any) -> Any:
        num_inputs = len(self._has_tangent)
        inputs, outputs = self.block_mappings[:num_inputs], self.block_mappings[num_inputs:]
        tangents = [block for block, has_one in zip(inputs, self._has_tangent, strict=True) if has_one]
        changes["block_mappings"] = (*inputs, *tangents, *outputs, *outputs)
        changes["num_inputs"] = num_inputs + len(tangents)
        return self._mapping.replace(**changes)


def _jvp(primals: Sequence[Any], tangents: Sequence[Any], *, grid_mapping: Any, **params: Any) -> Any:
    if engine_of(params["interpret"]) is not None:
        grid_mapping = _GridMapping(grid_mapping, [not isinstance(t, ad_util.Zero) for t in tangents])
    return _rule_of_jax(primals, tangents, grid_mapping=grid_mapping, **params)


ad.primitive_jvps[pallas_call_p] = _jvp
