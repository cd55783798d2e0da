"""From the parameters of a JAX equation to the keyword arguments of the function in `lax_numpy`.

`value_params` is looked up by primitive object, since names are shared. What has no bearing on the result (sharding,
accuracy, precision, hints about indices) is dropped; enums become strings, JAX's tuples of dimension numbers our own.
A primitive that one JAX release lacks is simply absent. May import `jax`, `jax._src` and `lax_numpy`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.extend.core
import numpy as np

from pallas_np.frontend.primitives import value_primitives
from pallas_np.lax_numpy import (
    ConvDimensionNumbers,
    GatherDimensionNumbers,
    RaggedDotDimensionNumbers,
    ScatterDimensionNumbers,
)

Params = dict[str, Any]

RIGHT_IN_LAX_REFERENCE: tuple[str, ...] = (
    *("add", "sub", "mul", "eq", "ne", "lt", "le", "gt", "ge", "abs", "sqrt", "floor", "ceil", "is_finite"),
    *("exp", "log", "log1p", "expm1", "cos", "sin", "tan", "acos", "asin", "atan", "cosh", "sinh", "tanh"),
    *("acosh", "asinh", "atanh", "rsqrt", "cbrt", "logistic", "erf", "erfc", "erf_inv", "real", "imag"),
    *("broadcast_in_dim", "concatenate", "transpose", "rev", "slice", "pad", "reshape"),
)
"""Primitives for which `jax._src.lax_reference`'s function was right wherever we tested it (JAX 0.10.2)."""


def value_params(primitive: jax.extend.core.Primitive, params: Params) -> Params:
    """The keyword arguments for `lax_numpy`'s function; `params` as they are for a primitive that is not known here."""
    convert = _CONVERTERS.get(primitive)
    if convert is None:
        return dict(params)
    return convert(params)


def _none(params: Params) -> Params:
    return {}


def _only(*names: str) -> Callable[[Params], Params]:
    return lambda params: {name: params[name] for name in names}


def _present(*names: str) -> Callable[[Params], Params]:
    """Like `_only`, for parameters that some releases lack."""
    return lambda params: {name: params[name] for name in names if name in params}


def _mul(params: Params) -> Params:
    out_dtype = params.get("out_dtype")
    return {} if out_dtype is None else {"out_dtype": np.dtype(out_dtype)}


def _dtype(name: str) -> Callable[[Params], Params]:
    return lambda params: {name: np.dtype(params[name])}


def _argminmax(params: Params) -> Params:
    return {"axes": params["axes"], "index_dtype": np.dtype(params["index_dtype"])}


def _iota(params: Params) -> Params:
    return {"dtype": np.dtype(params["dtype"]), "shape": params["shape"], "dimension": params["dimension"]}


def _reshape(params: Params) -> Params:
    if params["dimensions"] is None:
        return {"new_sizes": params["new_sizes"]}
    return {"new_sizes": params["new_sizes"], "dimensions": params["dimensions"]}


def _round(params: Params) -> Params:
    return {"rounding_method": params["rounding_method"].name.lower()}


def _preferred(params: Params) -> Params:
    dtype = params["preferred_element_type"]
    return {"preferred_element_type": None if dtype is None else np.dtype(dtype)}


def _dot_general(params: Params) -> Params:
    (contracting, batch) = params["dimension_numbers"]
    return {"dimension_numbers": (_tuples(contracting), _tuples(batch)), **_preferred(params)}


def _tuples(pair: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return tuple(pair[0]), tuple(pair[1])


def _ragged_dot_general(params: Params) -> Params:
    numbers = params["ragged_dot_dimension_numbers"]
    contracting, batch = numbers.dot_dimension_numbers
    return {
        "ragged_dot_dimension_numbers": RaggedDotDimensionNumbers(
            (_tuples(contracting), _tuples(batch)),
            tuple(numbers.lhs_ragged_dimensions),
            tuple(numbers.rhs_group_dimensions),
        ),
        **_preferred(params),
    }


def _conv_general_dilated(params: Params) -> Params:
    numbers = params["dimension_numbers"]
    return {
        **{
            name: params[name]
            for name in (
                "window_strides",
                "padding",
                "lhs_dilation",
                "rhs_dilation",
                "feature_group_count",
                "batch_group_count",
            )
        },
        "dimension_numbers": ConvDimensionNumbers(*(tuple(spec) for spec in numbers)),
        **_preferred(params),
    }


def _gather(params: Params) -> Params:
    numbers = params["dimension_numbers"]
    return {
        "dimension_numbers": GatherDimensionNumbers(
            tuple(numbers.offset_dims),
            tuple(numbers.collapsed_slice_dims),
            tuple(numbers.start_index_map),
            tuple(numbers.operand_batching_dims),
            tuple(numbers.start_indices_batching_dims),
        ),
        "slice_sizes": tuple(params["slice_sizes"]),
        "mode": params["mode"].name.lower(),
        "fill_value": params["fill_value"],
    }


def _scatter_variant(params: Params) -> Params:
    numbers = params["dimension_numbers"]
    return {
        "dimension_numbers": ScatterDimensionNumbers(
            tuple(numbers.update_window_dims),
            tuple(numbers.inserted_window_dims),
            tuple(numbers.scatter_dims_to_operand_dims),
            tuple(numbers.operand_batching_dims),
            tuple(numbers.scatter_indices_batching_dims),
        ),
        "mode": params["mode"].name.lower(),
    }


def _scatter(params: Params) -> Params:
    """With `update_jaxpr` where there is one (`lax.scatter_apply`): a closed jaxpr, the frontend's to make callable."""
    if params["update_jaxpr"] is None:
        return _scatter_variant(params)
    update_jaxpr = jax.extend.core.ClosedJaxpr(params["update_jaxpr"], params["update_consts"])
    return {**_scatter_variant(params), "update_jaxpr": update_jaxpr}


def _reduce_window(params: Params) -> Params:
    """With `jaxpr` closed, and the frontend's to make callable."""
    return {"jaxpr": jax.extend.core.ClosedJaxpr(params["jaxpr"], params["consts"]), **_WINDOW(params)}


def _select_and_scatter_add(params: Params) -> Params:
    """`select_prim`, a primitive, becomes its name, 'ge' or 'le'."""
    return {**params, "select_prim": params["select_prim"].name}


def _rng_bit_generator(params: Params) -> Params:
    return {
        "shape": params["shape"],
        "dtype": np.dtype(params["dtype"]),
        "algorithm": params["algorithm"].name.removeprefix("RNG_").lower(),
    }


def _key_kind(params: Params) -> Params:
    return {"impl": params["impl"].name}


def _random(*names: str) -> Callable[[Params], Params]:
    """With the flag that decides how counters are made, as it stands when the equation is read."""
    return lambda params: {
        **{name: params[name] for name in names},
        "partitionable": bool(jax.config.jax_threefry_partitionable),
    }


_WINDOW = _only("window_dimensions", "window_strides", "padding", "base_dilation", "window_dilation")

_BY_NAME: dict[str, Callable[[Params], Params]] = {
    **dict.fromkeys(
        "abs acos acosh add and asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt ceil clamp clz complex"
        " conj copy cos cosh digamma div dynamic_update_slice eq eq_to erf erf_inv erfc exp exp2 expm1 floor"
        " ge gt igamma igammac imag is_finite le le_to lgamma log log1p log2 logistic lt lt_to max min mulhi"
        " ne neg nextafter not one_minus_square optimization_barrier or polygamma polynomial population_count"
        " pow random_clone random_fold_in random_unwrap real regularized_incomplete_beta rem rsqrt select_n"
        " shift_left shift_right_arithmetic shift_right_logical sign sin sinh sqrt square stop_gradient sub"
        " tan tanh threefry2x32 xor zeta add_jaxvals".split(),
        _none,
    ),
    **dict.fromkeys("cumsum cumprod cummax cummin cumlogsumexp".split(), _only("axis", "reverse")),
    **dict.fromkeys(
        "reduce_sum reduce_prod reduce_max reduce_min reduce_and reduce_or reduce_xor".split(), _only("axes")
    ),
    **dict.fromkeys("reduce_window_sum reduce_window_max reduce_window_min".split(), _WINDOW),
    **dict.fromkeys("scatter_add scatter_sub scatter_mul scatter_min scatter_max".split(), _scatter_variant),
    **dict.fromkeys("argmax argmin".split(), _argminmax),
    **dict.fromkeys("bitcast_convert_type convert_element_type".split(), _dtype("new_dtype")),
    **dict.fromkeys("random_seed random_wrap".split(), _key_kind),
    **dict.fromkeys("select_and_scatter_add select_and_gather_add".split(), _select_and_scatter_add),
    "approx_top_k": _only("k", "reduction_dimension", "is_max_k", "aggregate_to_topk"),
    "broadcast_in_dim": _only("shape", "broadcast_dimensions"),
    "concatenate": _only("dimension"),
    "conv_general_dilated": _conv_general_dilated,
    "dot_general": _dot_general,
    "dynamic_slice": _only("slice_sizes"),
    "gather": _gather,
    "integer_pow": _only("y"),
    "iota": _iota,
    "mul": _mul,
    "pad": _only("padding_config"),
    "ragged_dot_general": _ragged_dot_general,
    "random_bits": _random("bit_width", "shape"),
    "random_split": _random("shape"),
    "reduce": _only("jaxpr", "dimensions"),
    "reduce_precision": _only("exponent_bits", "mantissa_bits"),
    "reduce_window": _reduce_window,
    "reshape": _reshape,
    "rev": _only("dimensions"),
    "rng_bit_generator": _rng_bit_generator,
    "round": _round,
    "scatter": _scatter,
    "slice": _only("start_indices", "limit_indices", "strides"),
    "sort": _only("dimension", "num_keys"),
    "split": _only("sizes", "axis"),
    "squeeze": _only("dimensions"),
    "stack": _only("axis"),
    "tile": _only("reps"),
    "top_k": _present("k", "axis"),
    "transpose": _only("permutation"),
    "unstack": _only("axis"),
}


_CONVERTERS = {primitive: convert for name, convert in _BY_NAME.items() for primitive in value_primitives(name)}
