"""The first call of a kernel: walked, where that is sooner done than making a program.

A program pays for itself at later calls, and it is not known whether there will be any.  So phase 5 walks the first
one, with as many steps of the grid run together as in a program.  If it goes over more equations than could be walked
while the kernel is compiled, nothing of what it did is kept, and the program is made after all; unless the arrays are
what takes the time, which a program needs for them as well.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from pallas_np import frontend, phase5
from pallas_np.compiler.merging import View, merged
from pallas_np.frontend import Atom, Equation, Jaxpr, KernelCall, Var, all_equations
from pallas_np.frontend.primitives import pallas_call_p, scan_p
from pallas_np.options import Options
from pallas_np.phase1 import as_xla_computes
from pallas_np.phase5 import grid
from pallas_np.phase5.reporting import reporting_rules

WALKS_PER_COMPILATION = 16
"""How often an equation can be walked in the time that it takes to compile it (measured on sorts and attention)."""
COMPILATION = 150
"""How many equations can be walked in the time that the compilation of a kernel without equations takes."""
STEP = 8
"""How many equations can be walked in the time that a step of the grid takes."""
HEAVY = 1 << 14
"""So many elements for each equation walked take NumPy about as long as the walk itself takes (measured on sorts)."""
PRODUCTS = 16
"""How many products of a dot take as long as an element of another equation."""


class _Abandoned(Exception):
    """The walk takes longer than the compilation would."""


class _Walker(phase5.Interpreter):
    """Phase 5 with a limit to how many equations it goes over."""

    def __init__(self, options: Options, limit: int):
        super().__init__(phase5.numpy_rules, options)
        self.limit, self.walked = limit, 0
        self._bound: dict[Jaxpr, list[tuple[Equation, Callable[..., Any]]]] = {}
        self._times: Counter[Jaxpr] = Counter()
        self._elements: dict[Jaxpr, int] = {}

    def eval_jaxpr(self, jaxpr: Jaxpr, consts: Sequence[Any], *args: Any) -> list[Any]:
        """The loop of phase 1, on equations for which the table has been asked before."""
        bound = self._bound.get(jaxpr)
        if bound is None:
            bound = self._bound[jaxpr] = [(eqn, self._rule_of(eqn)) for eqn in jaxpr.eqns]
        self.walked += len(bound)
        self._times[jaxpr] += 1
        if self.walked > self.limit and not self._is_heavy():
            raise _Abandoned
        env: dict[Atom, Any] = {literal: literal.value for literal in jaxpr.literals}
        env.update(zip(jaxpr.constvars, consts, strict=True))
        env.update(zip(jaxpr.invars, args, strict=True))
        value = env.__getitem__
        for eqn, rule in bound:
            results = rule(*map(value, eqn.invars))
            if eqn.multiple_results:
                env.update(zip(eqn.outvars, results, strict=True))
            else:
                env[eqn.outvars[0]] = results
            for var in eqn.dead:
                del env[var]
        return [env[atom] for atom in jaxpr.outvars]

    def _is_heavy(self) -> bool:
        """Whether the arrays are what takes the time."""
        for jaxpr in self._times.keys() - self._elements.keys():
            self._elements[jaxpr] = sum(map(_elements, jaxpr.eqns))
        elements = sum(times * self._elements[jaxpr] for jaxpr, times in self._times.items())
        return elements >= HEAVY * self.walked

    def _rule_of(self, eqn: Equation) -> Callable[..., Any]:
        rule = self.rules.get(eqn.primitive)
        if rule is None:
            return partial(self.fall_back, eqn)
        if getattr(rule, "is_structure", False):
            return partial(rule, self, eqn)
        return partial(rule, **eqn.params) if eqn.params else rule


def walked(call: KernelCall, arrays: Sequence[np.ndarray], options: Options) -> list[np.ndarray] | None:
    """The outputs of a call, from a walk; `None` if the kernel had better be compiled.

    That is so if the walk would take longer, and for a kernel that calls something outside of it, which must not be
    called twice.
    """
    equations = all_equations(call.jaxpr)
    if any(eqn.primitive in reporting_rules or eqn.primitive is pallas_call_p for eqn in equations):
        return None
    limit = COMPILATION + WALKS_PER_COMPILATION * len(equations)
    larger, views = merged(call)
    walker = _Walker(options, limit)
    num_bounds, num_prefetch = call.num_dynamic_grid_bounds, len(call.prefetch)
    walker.call, walker.grid = larger, frontend.grid_of(larger, arrays[:num_bounds])
    if math.prod(walker.grid) * (STEP + _least(larger.jaxpr)) > limit:
        return None
    given = arrays[num_bounds:]
    prefetch = [np.array(a) if written else a for a, written in zip(given[:num_prefetch], call.written_prefetch)]
    whole = grid.buffers(walker, call, given)
    try:
        with as_xla_computes():
            grid.run_in_order(walker, larger, prefetch, list(map(_viewed, whole, views)))
    except _Abandoned:
        return None
    return whole[len(call.inputs) :]


def _least(jaxpr: Jaxpr) -> int:
    """How many equations a walk goes over, loops counted whose length stands in the jaxpr."""
    lengths = [eqn.params["length"] * _least(eqn.params["jaxpr"]) for eqn in jaxpr.eqns if eqn.primitive is scan_p]
    return len(jaxpr.eqns) + sum(lengths)


def _elements(eqn: Equation) -> int:
    """How many elements of its arrays an equation goes over, about, those of nested jaxprs aside."""
    atoms = [atom for atom in eqn.invars + eqn.outvars if isinstance(atom, Var) and not atom.is_ref]
    if eqn.name == "dot_general":
        (contracted, _), _ = eqn.params["dimension_numbers"]
        lengths = (atoms[0].shape[axis] for axis in contracted)
        return math.prod(lengths) * math.prod(eqn.outvars[0].shape) // PRODUCTS
    return max((math.prod(atom.shape) for atom in atoms), default=0)


def _viewed(array: np.ndarray, view: View) -> np.ndarray:
    """An array as programs see it that were merged."""
    for method, argument, _ in view.steps:
        array = getattr(array, method)(argument)
    return array
