"""Equations that JAX itself lowers by tracing a function: they are read as calls of what the function traces to.

An expansion takes one of JAX's equations, and answers with the jaxpr to call on the same operands, or with `None` if
the equation is to be read as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax._src.pallas.mosaic import pipeline
from jax._src.pallas.mosaic.random import is_pallas_impl

from pallas_np.frontend import primitives as p
from pallas_np.frontend.jaxpr import expansions


def _traced(function: Callable[..., Any], *avals: Any) -> Any:
    return jax.make_jaxpr(function)(*(jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in avals))


def _key_function(eqn: Any, impl: Any, function: Callable[..., Any]) -> Any:
    """What a kind of key does in a function of its own; `None` for Threefry, which `lax_numpy` does."""
    if impl.name == "threefry2x32":
        return None
    avals = [v.aval for v in eqn.invars]
    if not is_pallas_impl(impl) and hasattr(avals[0].dtype, "_impl"):  # its functions take the words of keys
        (key, *rest), shape = avals, impl.key_shape
        avals = [jax.ShapeDtypeStruct(key.shape + shape, "uint32"), *rest]
    return _traced(function, *avals)


def _high_level(eqn: Any) -> Any:
    """What a primitive of JAX's upper layer becomes in the lower one."""
    return _traced(lambda *xs: eqn.primitive.to_lojax(*xs, **eqn.params), *(v.aval for v in eqn.invars))


def _random_seed(eqn: Any) -> Any:
    impl = eqn.params["impl"]
    return _key_function(eqn, impl, impl.seed)


def _random_wrap(eqn: Any) -> Any:
    return _key_function(eqn, eqn.params["impl"], lambda words: words)


def _random_bits(eqn: Any) -> Any:
    impl, width, shape = eqn.invars[0].aval.dtype._impl, eqn.params["bit_width"], eqn.params["shape"]
    return _key_function(eqn, impl, lambda key: impl.random_bits(key, width, shape))


def _random_fold_in(eqn: Any) -> Any:
    impl = eqn.invars[0].aval.dtype._impl
    return _key_function(eqn, impl, impl.fold_in)


def _emit_pipeline(eqn: Any) -> Any:
    mapping = eqn.params["grid_mapping"]
    return pipeline.emit_pipeline_to_jaxpr(
        [v.aval for v in eqn.invars], grid_names=mapping.grid_names, grid_sizes=mapping.grid, **eqn.params
    )


expansions.update(
    {
        p.call_hi_primitive_p: _high_level,
        p.lax_primitive("random_seed"): _random_seed,
        p.lax_primitive("random_wrap"): _random_wrap,
        p.lax_primitive("random_bits"): _random_bits,
        p.lax_primitive("random_fold_in"): _random_fold_in,
    }
)
if hasattr(pipeline, "emit_pipeline_to_jaxpr"):  # since JAX 0.11
    expansions[p.emit_pipeline_p] = _emit_pipeline
