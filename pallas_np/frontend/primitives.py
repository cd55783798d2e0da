"""The primitives that rules are written for, by name.

`pallas_np` imports primitives from here and from nowhere else, so that a table can be written the same way for every
JAX release.  A primitive that the installed release does not have is a `Missing` stand-in: no equation carries it.
"""

from __future__ import annotations

import functools
from typing import Any

from jax import lax
from jax._src import (
    ad_checkpoint,
    ad_util,
    callback,
    checkify,
    core,
    custom_batching,
    custom_derivatives,
    debugging,
    dispatch,
    hijax,
    pjit,
)
from jax._src.lax import control_flow, parallel, slicing
from jax._src.lax import lax as _lax
from jax._src.lax.control_flow import conditionals
from jax._src.pallas import core as _core
from jax._src.pallas import einshape as _einshape
from jax._src.pallas import pallas_call as _pallas_call
from jax._src.pallas import primitives as _pallas
from jax._src.pallas.fuser import custom_fusion_lib as _fusion
from jax._src.pallas.mosaic import pipeline as _pipeline
from jax._src.pallas.mosaic import primitives as _tpu
from jax._src.pallas.triton import primitives as _triton
from jax._src.state import discharge
from jax._src.state import primitives as _state
from jax.extend.core import primitives as _public

try:
    from jax._src.random import core as _random_core
    from jax._src.random import prng as _prng
except ImportError:  # before JAX 0.12
    from jax._src import prng as _prng
    from jax._src import random as _random_core

_VALUE_MODULES = (lax, _public, _lax, slicing, ad_util, _prng, _random_core)


class Missing:
    """Stands for a primitive that this release of JAX does not have."""

    multiple_results = False

    def __init__(self, name: str):
        self.name = name


def _find(name: str, *modules: Any) -> Any:
    for module in modules:
        if hasattr(module, name):
            return getattr(module, name)
    return Missing(name.removesuffix("_p"))


def value_primitives(name: str) -> list[Any]:
    """The primitive objects that JAX calls `<name>_p`; none if this release has no such primitive."""
    found = [getattr(module, f"{name}_p", None) for module in _VALUE_MODULES]
    return [primitive for primitive in found if primitive is not None]


@functools.cache
def lax_primitive(name: str) -> Any:
    """The primitive of values called `name` (`"add"`), or a `Missing` stand-in."""
    attribute = {"add_any": "add_jaxvals"}.get(name, name).replace("-", "_")
    return next(iter(value_primitives(attribute)), None) or Missing(name)


# Calls and control flow.
jit_p = _find("jit_p", pjit, _public)
call_p = core.call_p
closed_call_p = core.closed_call_p
custom_jvp_call_p = custom_derivatives.custom_jvp_call_p
custom_vjp_call_p = custom_derivatives.custom_vjp_call_p
custom_vmap_call_p = _find("custom_vmap_p", custom_batching)
remat_p = ad_checkpoint.remat_p
composite_p = _find("composite_p", _lax)
custom_fusion_p = _find("custom_fusion_p", _fusion)
cond_p = control_flow.cond_p
scan_p = control_flow.scan_p
while_p = control_flow.while_p
call_hi_primitive_p = _find("call_hi_primitive_p", hijax)
platform_index_p = _find("platform_index_p", conditionals)
axis_index_p = _find("axis_index_p", parallel)


# Values that stay as they are, and values that depend on nothing.
name_p = _find("name_p", ad_checkpoint)
device_put_p = _find("device_put_p", dispatch)
reshard_p = _find("reshard_p", pjit)
relayout_p = _find("relayout_p", pjit)
stage_p = _find("stage_p", core)
empty_p = _find("empty_p", _lax)
iota_2x32_shape_p = _find("iota_2x32_shape_p", _prng)

# State.
get_p = _state.get_p
swap_p = _state.swap_p
addupdate_p = _state.addupdate_p
broadcast_to_p = _state.broadcast_to_p
create_linear_p = _find("create_linear_p", _state)
pin_p = _find("pin_p", _state)
unpin_p = _find("unpin_p", _state)
run_state_p = discharge.run_state_p
new_ref_p = _find("ref_p", core)
empty_ref_p = _find("empty_ref_p", core)
free_ref_p = _find("free_ref_p", core)
freeze_p = _find("freeze_p", core)
with_memory_space_constraint_p = _find("with_memory_space_constraint_p", _state, _core)

# Pallas.
pallas_call_p = _pallas_call.pallas_call_p
program_id_p = _pallas.program_id_p
num_programs_p = _pallas.num_programs_p
multiple_of_p = _pallas.multiple_of_p
run_scoped_p = _pallas.run_scoped_p
masked_load_p = _pallas.load_p
masked_swap_p = _pallas.swap_p
reciprocal_p = _pallas.reciprocal_p
get_global_p = _find("get_global_p", _pallas)
semaphore_read_p = _pallas.semaphore_read_p
semaphore_signal_p = _pallas.semaphore_signal_p
semaphore_wait_p = _pallas.semaphore_wait_p
delay_p = _find("delay_p", _pallas)
einshape_p = _find("einshape_lo_p", _einshape)
debug_print_p = debugging.debug_print_p
debug_callback_p = debugging.debug_callback_p
pure_callback_p = callback.pure_callback_p
io_callback_p = callback.io_callback_p
check_p = checkify.check_p

# Pallas on a TPU.
tpu_roll_p = _tpu.roll_p
tpu_bitcast_p = _tpu.bitcast_p
dma_start_p = _tpu.dma_start_p
dma_wait_p = _tpu.dma_wait_p
get_barrier_semaphore_p = _tpu.get_barrier_semaphore_p
prng_seed_p = _tpu.prng_seed_p
prng_random_bits_p = _tpu.prng_random_bits_p
prng_split_p = _tpu.split_key_p
prng_join_p = _tpu.join_key_p
stochastic_round_p = _find("stochastic_round_p", _tpu)
pack_elementwise_p = _find("pack_elementwise_p", _tpu)
unpack_elementwise_p = _find("unpack_elementwise_p", _tpu)
add_dependency_p = _find("touch_p", _tpu)
trace_value_p = _find("trace_value_p", _tpu)
has_memory_space_p = _find("has_memory_space_p", _tpu)
matmul_push_rhs_p = _find("matmul_push_rhs_p", _tpu)
matmul_acc_lhs_p = _find("matmul_acc_lhs_p", _tpu)
matmul_pop_p = _find("matmul_pop_p", _tpu)
matmul_lhs_fifo_p = _find("matmul_lhs_fifo_p", _tpu)
matmul_pop_fifo_p = _find("matmul_pop_fifo_p", _tpu)
tpu_conv_p = _find("conv_p", _tpu)
emit_pipeline_p = _find("emit_pipeline_p", _pipeline)
pipeline_body_p = _find("pipeline_body_p", _pipeline)

# Pallas on a GPU, by way of Triton.
atomic_rmw_p = _triton.atomic_rmw_p
atomic_cas_p = _triton.atomic_cas_p
debug_barrier_p = _triton.debug_barrier_p
max_contiguous_p = _triton.max_contiguous_p
