"""Watching `interpret=True`: a kernel that tells, when JAX runs it, what each of its equations gave."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import jax
import numpy as np
from jax._src import core
from jax._src.pallas import hlo_interpreter

from pallas_np.errors import UnsupportedError
from pallas_np.frontend import primitives as p
from pallas_np.frontend.jaxpr import is_jax_jaxpr
from pallas_np.frontend.kernel_call import KernelCall

Path = tuple[Any, ...]
"""An equation of JAX's, with those before it that it is nested in."""

NESTING = (
    p.jit_p,
    p.closed_call_p,
    p.custom_jvp_call_p,
    p.custom_vjp_call_p,
    p.remat_p,
    p.cond_p,
    p.scan_p,
    p.while_p,
    p.run_scoped_p,
)
"""The primitives whose jaxprs are looked into."""


@dataclass
class Told:
    """What a kernel has told.

    Attributes:
      max_bytes: how much of it is kept.
      num_bytes: how much has been told.
      results: for each equation, for each time that it ran in that order, its results; `None` for one that is no array.
      outputs: the call's outputs.
    """

    max_bytes: int
    num_bytes: int = 0
    results: defaultdict[Path, list[tuple[np.ndarray | None, ...]]] = field(default_factory=lambda: defaultdict(list))
    outputs: list[np.ndarray] = field(default_factory=list)

    @property
    def is_cut(self) -> bool:
        """Whether some of it has not been kept."""
        return self.num_bytes > self.max_bytes

    def tell(self, path: Path, places: Sequence[int], num_results: int, *values: Any) -> tuple[()]:
        """Called when an equation has run, with those of its results that are arrays."""
        arrays = list(map(np.asarray, values))
        self.num_bytes += sum(array.nbytes for array in arrays)
        if not self.is_cut:
            by_place = dict(zip(places, arrays))
            self.results[path].append(tuple(by_place.get(place) for place in range(num_results)))
        return ()


def run_interpret_true(call: KernelCall, operands: Sequence[np.ndarray], max_bytes: int) -> Told:
    """Runs a call as `interpret=True` does, on the CPU, whatever is installed.

    The callbacks of one equation come in the order in which it runs, since the grid and loops are loops of XLA's, which
    run turn by turn.  Those of different equations may come in any order.

    Args:
      call: what to run.
      operands: its operands, dynamic grid bounds first.
      max_bytes: how much of the results to keep.

    Returns:
      What each equation gave.

    Raises:
      UnsupportedError: if `interpret=True` has no such call: of a mesh.
      Exception: what JAX raises where it cannot run the kernel.
    """
    if call.is_mesh or not call.jax_params:
        raise UnsupportedError("interpret=True runs no kernel on a mesh of cores")
    told = Told(max_bytes)
    wanted = inspect.signature(hlo_interpreter.pallas_call_hlo_interpret).parameters
    params = {name: value for name, value in call.jax_params.items() if name in wanted}
    params["jaxpr"] = _telling(call.jax_jaxpr, (), told)
    with jax.default_device(jax.devices("cpu")[0]):
        outputs = jax.jit(partial(hlo_interpreter.pallas_call_hlo_interpret, **params))(*operands)
        told.outputs = list(map(np.asarray, outputs))
        jax.effects_barrier()
    return told


def _telling(jaxpr: Any, path: Path, told: Told) -> Any:
    """The jaxpr with a callback after each equation."""
    inner = jaxpr.jaxpr if hasattr(jaxpr, "jaxpr") else jaxpr
    eqns = []
    for eqn in inner.eqns:
        here = (*path, eqn)
        if eqn.primitive in NESTING:
            eqn = _with_telling_jaxprs(eqn, here, told)
        eqn = eqn.replace(outvars=[core.Var(v.aval) if isinstance(v, core.DropVar) else v for v in eqn.outvars])
        eqns += [eqn, _callback(eqn.outvars, here, told)]
    new = inner.replace(eqns=eqns, effects=inner.effects | _template().effects)
    return new if inner is jaxpr else jaxpr.replace(jaxpr=new)


def _with_telling_jaxprs(eqn: Any, path: Path, told: Told) -> Any:
    def changed(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(changed, value))
        return _telling(value, path, told) if is_jax_jaxpr(value) else value

    params = {name: changed(value) for name, value in eqn.params.items()}
    return eqn.replace(params=params, effects=eqn.effects | _template().effects)


def _callback(variables: Sequence[Any], path: Path, told: Told) -> Any:
    """An equation that tells what the variables hold that are plain arrays."""
    places = [n for n, v in enumerate(variables) if isinstance(getattr(v.aval, "dtype", None), np.dtype)]
    places = [n for n in places if isinstance(variables[n].aval, core.ShapedArray)]
    tell: Callable[..., Any] = partial(told.tell, path, places, len(variables))
    template = _template()
    return template.replace(invars=[variables[n] for n in places], params={**template.params, "callback": tell})


@cache
def _template() -> Any:
    """An equation that calls back."""
    (eqn,) = jax.make_jaxpr(lambda: jax.debug.callback(lambda: None))().eqns
    return eqn
