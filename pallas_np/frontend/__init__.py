"""The one door to JAX's internals.

Nothing else in the package imports `jax._src`.  A Pallas call comes out of here as plain dataclasses (`KernelCall`,
`Jaxpr`, `Equation`), with parameters normalised, so that supporting a new JAX release means editing this folder only.
"""

from pallas_np.frontend import versions

versions.warn_if_untested()
with versions.naming_what_is_missing():
    from pallas_np.frontend import derivatives, expansions, primitives
    from pallas_np.frontend.eager import KernelFunction, running_eagerly, traced_with_kernel
    from pallas_np.frontend.fallback import asks_for_grid, discharge, run_equation, run_stateful_equation, touches_refs
    from pallas_np.frontend.interpret import Told, run_interpret_true
    from pallas_np.frontend.jaxpr import (
        Atom,
        Equation,
        Jaxpr,
        Literal,
        Var,
        all_equations,
        as_jaxpr,
        mark_dead,
        operand_facts,
        subjaxprs,
    )
    from pallas_np.frontend.kernel_call import BlockDim, KernelCall, Operand, grid_of
    from pallas_np.frontend.locations import users_frames
    from pallas_np.frontend.reference import reference_rule
    from pallas_np.frontend.refs import RefView
    from pallas_np.frontend.reporting import failed_check, platform_branch, printed
    from pallas_np.frontend.routing import Engine, PallasCallable, TracedCall, pallas_call_on, trace
    from pallas_np.frontend.structure_params import CALLS

__all__ = [
    "CALLS",
    "Atom",
    "BlockDim",
    "Engine",
    "Equation",
    "Jaxpr",
    "KernelCall",
    "KernelFunction",
    "Literal",
    "Operand",
    "PallasCallable",
    "RefView",
    "Told",
    "TracedCall",
    "Var",
    "all_equations",
    "as_jaxpr",
    "asks_for_grid",
    "derivatives",
    "discharge",
    "expansions",
    "failed_check",
    "grid_of",
    "mark_dead",
    "operand_facts",
    "pallas_call_on",
    "platform_branch",
    "primitives",
    "printed",
    "reference_rule",
    "run_equation",
    "run_interpret_true",
    "run_stateful_equation",
    "running_eagerly",
    "subjaxprs",
    "touches_refs",
    "trace",
    "traced_with_kernel",
    "users_frames",
]
