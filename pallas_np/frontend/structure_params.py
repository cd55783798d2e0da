"""Normalised parameters for the primitives that call programs, loop, and touch memory.

A reader turns an equation's parameters into the plain form that rules take.  It also gets the values of the operands
that are literals, so that an index known when the kernel was traced is an integer in the plain form.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jax import tree_util

from pallas_np.frontend import primitives as p
from pallas_np.frontend.jaxpr import ParamReader, as_jaxpr, param_readers
from pallas_np.frontend.params import value_params
from pallas_np.frontend.refs import RefView, leaves_of, ref_transforms, ref_view


def _call(params: dict[str, Any], known: list[Any]) -> dict[str, Any]:
    jaxpr = next(params[key] for key in ("jaxpr", "call_jaxpr", "fun_jaxpr", "call") if key in params)
    return {"jaxpr": as_jaxpr(jaxpr), "name": str(params.get("name", ""))}


def _run_scoped(params: dict[str, Any], known: list[Any]) -> dict[str, Any]:
    return {**_call(params, known), "collective_axes": params["collective_axes"]}


def _scan(params: dict[str, Any], known: list[Any]) -> dict[str, Any]:
    if "ft_in" in params:  # since JAX 0.11 the operands' grouping is a tree
        num_consts, num_carry, _ = map(len, params["ft_in"].unpack())
    else:
        num_consts, num_carry = params["num_consts"], params["num_carry"]
    return {
        "jaxpr": as_jaxpr(params["jaxpr"]),
        "length": params["length"],
        "reverse": params["reverse"],
        "num_consts": num_consts,
        "num_carry": num_carry,
    }


def _while(params: dict[str, Any], known: list[Any]) -> dict[str, Any]:
    return {
        "cond_jaxpr": as_jaxpr(params["cond_jaxpr"]),
        "cond_nconsts": params["cond_nconsts"],
        "body_jaxpr": as_jaxpr(params["body_jaxpr"]),
        "body_nconsts": params["body_nconsts"],
    }


def _cond(params: dict[str, Any], known: list[Any]) -> dict[str, Any]:
    return {"branches": tuple(map(as_jaxpr, params["branches"]))}


def _run_state(params: dict[str, Any], known: list[Any]) -> dict[str, Any]:
    jaxpr = as_jaxpr(params["jaxpr"])
    return {"jaxpr": jaxpr, "is_initialized": tuple(params.get("is_initialized", (True,) * len(jaxpr.invars)))}


def _indexing(first_index: int) -> ParamReader:
    """`get`, `swap` and `addupdate` take a ref, perhaps a value, and then the flat leaves of the indexers."""

    def reader(params: dict[str, Any], known: list[Any]) -> dict[str, Any]:
        return {"transforms": ref_transforms(params["tree"], known[first_index:])}

    return reader


def _masked(*names: str) -> ParamReader:
    """A ref, its transforms, and further operands with these names, all in one tree; an absent one is `None`."""

    def reader(params: dict[str, Any], known: list[Any]) -> dict[str, Any]:
        ref, transforms, *rest = tree_util.tree_unflatten(params["args_tree"], leaves_of(known))
        normalised = {"ref": ref_view(ref, transforms), **dict(zip(names, rest))}
        if "atomic_type" in params:
            normalised["operation"] = params["atomic_type"].value
        return normalised

    return reader


def _dma(params: dict[str, Any], known: list[Any]) -> dict[str, Any]:
    source, target, target_semaphore, source_semaphore, device = params["tree"].unflatten(leaves_of(known))
    return {
        "source": ref_view(source),
        "target": ref_view(target),
        "target_semaphore": _view_or_none(target_semaphore),
        "source_semaphore": _view_or_none(source_semaphore),
        "is_remote": device is not None,
        "add": params.get("add", False),
        "waits_for_source": params.get("is_wait_send", False),
    }


def _view_or_none(ref: Any) -> RefView | None:
    return None if ref is None else ref_view(ref)


def _accumulator(first_index: int) -> ParamReader:
    """A ref of a matrix unit, perhaps a value, and the leaves of the transforms."""

    def reader(params: dict[str, Any], known: list[Any]) -> dict[str, Any]:
        return {
            "transforms": ref_transforms(params["acc_transforms_tree"], known[first_index:]),
            "load_staged_rhs": params.get("load_staged_rhs"),
        }

    return reader


def _tpu_conv(params: dict[str, Any], known: list[Any]) -> dict[str, Any]:
    """Those of `conv_general_dilated`, and the axes along which the kernel is reversed."""
    spatial = params["dimension_numbers"].rhs_spec[2:]
    reversal = params["window_reversal"] or (False,) * len(spatial)
    flipped = tuple(axis for axis, is_reversed in zip(spatial, reversal) if is_reversed)
    return {**value_params(p.lax_primitive("conv_general_dilated"), params), "flipped": flipped}


def _pipeline_body(params: dict[str, Any], known: list[Any]) -> dict[str, Any]:
    step, consts, refs = params["in_tree"].unflatten(leaves_of(known))
    return {
        "jaxpr": as_jaxpr(params["jaxpr"]),
        "grid_index": tuple(step.index),
        "indices": tuple(tree_util.tree_leaves(step)) if params.get("_explicit_indices") else (),
        "consts": tuple(consts),
        "refs": tuple(map(ref_view, refs)),
    }


def _roll(params: dict[str, Any], known: list[Any]) -> dict[str, Any]:
    return {key: params[key] for key in ("axis", "stride", "stride_axis")}


def _dtypes_plain(params: dict[str, Any], known: list[Any]) -> dict[str, Any]:
    """Parameters as they are, dtypes as NumPy's."""
    return {key: np.dtype(value) if "dtype" in key or key == "ty" else value for key, value in params.items()}


def _no_params(params: dict[str, Any], known: list[Any]) -> dict[str, Any]:
    return {}


def _same(params: dict[str, Any], known: list[Any]) -> dict[str, Any]:
    return dict(params)


CALLS = (
    p.jit_p,
    p.call_p,
    p.closed_call_p,
    p.custom_jvp_call_p,
    p.custom_vjp_call_p,
    p.custom_vmap_call_p,
    p.remat_p,
    p.composite_p,
    p.run_scoped_p,
)
"""Primitives whose equations evaluate one jaxpr on their operands."""

param_readers.update(
    {
        **dict.fromkeys(CALLS, _call),
        p.run_scoped_p: _run_scoped,
        p.scan_p: _scan,
        p.while_p: _while,
        p.cond_p: _cond,
        p.run_state_p: _run_state,
        p.get_p: _indexing(1),
        p.swap_p: _indexing(2),
        p.addupdate_p: _indexing(2),
        p.masked_load_p: _masked("mask", "other"),
        p.masked_swap_p: _masked("value", "mask"),
        p.atomic_rmw_p: _masked("value", "mask"),
        p.atomic_cas_p: _no_params,
        p.semaphore_read_p: _masked(),
        p.semaphore_signal_p: _masked("increment", "device", "core"),
        p.semaphore_wait_p: _masked("value", "decrement"),
        p.dma_start_p: _dma,
        p.dma_wait_p: _dma,
        p.get_global_p: _no_params,
        p.get_barrier_semaphore_p: _no_params,
        p.debug_print_p: _no_params,
        **dict.fromkeys(
            (p.debug_callback_p, p.pure_callback_p, p.io_callback_p),
            lambda params, known: {"callback": params["callback"]},
        ),
        p.check_p: _no_params,
        p.platform_index_p: _no_params,
        p.matmul_acc_lhs_p: _accumulator(2),
        p.matmul_pop_p: _accumulator(1),
        p.tpu_conv_p: _tpu_conv,
        p.has_memory_space_p: lambda params, known: {"memory_space": str(params["memory_space"])},
        p.pipeline_body_p: _pipeline_body,
        p.tpu_roll_p: _roll,
        p.tpu_bitcast_p: _dtypes_plain,
        p.stochastic_round_p: _dtypes_plain,
        p.pack_elementwise_p: _dtypes_plain,
        p.unpack_elementwise_p: _dtypes_plain,
        p.program_id_p: _same,
        p.num_programs_p: _same,
    }
)
