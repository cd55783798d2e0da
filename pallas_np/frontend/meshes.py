"""`pl.kernel` and `core_map`: a kernel on a mesh of cores, as a `KernelCall` whose grid is the mesh.

Both become `mpmd_map` equations.  The cores run one after the other, and each sees the whole arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jax import tree_util
from jax._src.pallas import core as pallas_core
from jax._src.pallas import mpmd

from pallas_np.errors import UnsupportedError
from pallas_np.frontend.kernel_call import KernelCall, jaxpr_name, kernel_call
from pallas_np.frontend.routing import is_ref, route
from pallas_np.frontend.versions import naming_what_is_missing


@naming_what_is_missing()
def mesh_kernel_call(in_avals: Sequence[Any], params: dict[str, Any]) -> KernelCall:
    """Reads the parameters of an `mpmd_map` equation.

    Args:
      in_avals: the operands' abstract values.
      params: the equation's parameters.

    Raises:
      UnsupportedError: if different functions run on different meshes, or cores of another mesh take part.
    """
    if len(params["jaxprs"]) != 1 or params["external_meshes"]:
        names = " and ".join(map(jaxpr_name, params["jaxprs"]))
        raise UnsupportedError(f"kernels on several meshes that run at the same time are not supported: {names}")
    (jaxpr,), (mesh,) = params["jaxprs"], params["meshes"]
    operands = [v.aval.inner_aval if is_ref(v.aval) else v.aval for v in jaxpr.invars]
    num_in, num_out = len(in_avals), len(params["out_avals"])
    whole = pallas_core.BlockSpec(memory_space=mesh.default_memory_space)
    spec = pallas_core.GridSpec(
        grid=tuple(mesh.shape.items()),
        in_specs=(whole,) * num_in,
        out_specs=(whole,) * num_out,
        scratch_shapes=tuple(
            pallas_core.MemoryRef(v.aval.inner_aval, v.aval.memory_space) for v in jaxpr.invars[num_in + num_out :]
        ),
    )
    _, grid_mapping = pallas_core.get_grid_mapping(
        spec,
        operands[:num_in],
        tree_util.tree_structure((0,) * num_in),
        [f"args[{i}]" for i in range(num_in)],
        operands[num_in : num_in + num_out],
        tree_util.tree_structure((0,) * num_out),
        [f"outputs[{i}]" for i in range(num_out)],
    )
    aliases = tuple(params["input_output_aliases"].items())
    return kernel_call({"jaxpr": jaxpr, "grid_mapping": grid_mapping, "input_output_aliases": aliases, "mesh": mesh})


route(mpmd.mpmd_map_p, mesh_kernel_call)
