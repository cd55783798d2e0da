"""The kernels that a function calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax._src.pallas import mpmd

from pallas_np.frontend.jaxpr import is_jax_jaxpr
from pallas_np.frontend.kernel_call import KernelCall, kernel_call
from pallas_np.frontend.meshes import mesh_kernel_call
from pallas_np.frontend.primitives import pallas_call_p


def kernel_calls(function: Callable[..., Any], *args: Any) -> list[KernelCall]:
    """The Pallas calls that `function` makes on these arguments, in program order; nothing is run.

    Args:
      function: what `pl.pallas_call(...)` or `pallas_np.pallas_call(...)` returned, or any function that calls it.
      *args: its arguments: arrays, or `jax.ShapeDtypeStruct`s that stand for them.
    """
    return list(_calls_in(jax.make_jaxpr(function)(*args).jaxpr))


def _calls_in(jaxpr: Any) -> Iterator[KernelCall]:
    for eqn in jaxpr.eqns:
        if eqn.primitive is pallas_call_p:
            yield kernel_call(eqn.params)
        elif eqn.primitive is mpmd.mpmd_map_p:
            yield mesh_kernel_call([v.aval for v in eqn.invars], eqn.params)
        else:
            for value in eqn.params.values():
                for item in value if isinstance(value, (tuple, list)) else (value,):
                    if is_jax_jaxpr(item):
                        yield from _calls_in(getattr(item, "jaxpr", item))
