"""Letting JAX do what an early phase does not: run one equation, or discharge a kernel's state.

Everything here runs on the CPU, whatever accelerator is present.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax._src import core
from jax._src.state import discharge as state_discharge
from jax._src.state.types import AbstractRef

from pallas_np.frontend.jaxpr import Equation, Jaxpr, Var, all_equations, as_jaxpr
from pallas_np.frontend.kernel_call import KernelCall, written_refs
from pallas_np.frontend.primitives import num_programs_p, program_id_p


def run_equation(eqn: Equation, *args: Any) -> Any:
    """Runs one equation that touches no ref with JAX; the answer is a NumPy array, or a list of them.

    JAX compiles a primitive once for each set of parameters, shapes and dtypes, and remembers what it compiled.
    """
    primitive, params = eqn.jax.primitive, eqn.jax.params
    with jax.default_device(jax.devices("cpu")[0]), eqn.jax.ctx.manager:
        answer = primitive.bind(*args, **primitive.get_bind_params(params))
    answers = list(map(np.asarray, answer if primitive.multiple_results else [answer]))
    return answers if eqn.multiple_results else answers[0]


def run_stateful_equation(eqn: Equation, *args: Any) -> list[Any]:
    """Runs one equation that touches refs with JAX.

    The refs' contents go in as values; their new contents come out and are written back into the arrays.

    Args:
      eqn: the equation: a loop, a conditional.
      *args: its operands; a ref is the NumPy array that holds its contents.

    Returns:
      The equation's results, as NumPy arrays.
    """
    function = _discharged_equations.get(eqn)
    if function is None:
        function = _discharged_equations[eqn] = _discharge_equation(eqn)
    written = written_refs(eqn.jax.effects)
    with jax.default_device(jax.devices("cpu")[0]):
        answer = function(*(arg for atom, arg in zip(eqn.invars, args) if isinstance(atom, Var)))
    results, contents = answer[: len(eqn.outvars)], iter(answer[len(eqn.outvars) :])
    for atom, arg in zip(eqn.jax.invars, args):
        if isinstance(atom.aval, AbstractRef):
            new = next(contents)
            if atom in written:
                arg[...] = np.asarray(new)
    return list(map(np.asarray, results))


_discharged_equations: weakref.WeakKeyDictionary[Equation, Callable[..., Any]] = weakref.WeakKeyDictionary()


def _discharge_equation(eqn: Equation) -> Callable[..., Any]:
    """A jitted pure function: from the operands that are variables to the results and the refs' new contents."""
    inputs = [atom for atom in eqn.jax.invars if not isinstance(atom, core.Literal)]
    fresh = [core.Var(atom.aval) for atom in inputs]  # an operand may stand in the equation twice
    renamed = iter(fresh)
    invars = [atom if isinstance(atom, core.Literal) else next(renamed) for atom in eqn.jax.invars]
    jaxpr = core.Jaxpr(
        constvars=(),
        invars=fresh,
        outvars=eqn.jax.outvars,
        eqns=[eqn.jax.replace(invars=invars)],
        effects=core.no_effects,
        debug_info=_no_debug_info(len(fresh), len(eqn.jax.outvars)),
    )
    return jax.jit(core.jaxpr_as_fun(_discharge_state(jaxpr)))


def _no_debug_info(num_inputs: int, num_results: int) -> Any:
    return core.DebugInfo("equation", "equation", ("",) * num_inputs, ("",) * num_results)


def discharge(call: KernelCall) -> Jaxpr:
    """The kernel as a pure jaxpr: refs become values, and their new contents follow as its results.

    Reading and writing a ref become slices and updates of whole arrays, which is what `interpret=True` compiles.
    """
    found = _discharged_kernels.get(call)
    if found is None:
        with call.trace_env():
            found = _discharged_kernels[call] = as_jaxpr(_discharge_state(call.jax_jaxpr))
    return found


_discharged_kernels: weakref.WeakKeyDictionary[KernelCall, Jaxpr] = weakref.WeakKeyDictionary()


def _discharge_state(jaxpr: Any) -> Any:
    if hasattr(core, "ClosedJaxpr"):  # an alias in JAX 0.11, gone in 0.12
        jaxpr = core.ClosedJaxpr(jaxpr, ())
    return state_discharge.discharge_state(jaxpr, **_DISCHARGE_OPTIONS)


# Since JAX 0.12 a value remembers the memory space of the ref it came from, unless told not to.
_DISCHARGE_OPTIONS = (
    {"strip_memory_space": True}
    if "strip_memory_space" in inspect.signature(state_discharge.discharge_state).parameters
    else {}
)


def asks_for_grid(jaxpr: Jaxpr) -> bool:
    """Whether a `program_id` or a dynamic `num_programs` stands anywhere in `jaxpr`."""
    return any(eqn.primitive in (program_id_p, num_programs_p) for eqn in all_equations(jaxpr))


def touches_refs(eqn: Equation) -> bool:
    """Whether one of the equation's operands is a ref."""
    return any(isinstance(var, Var) and var.is_ref for var in eqn.invars)
