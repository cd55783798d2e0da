"""Phase 1, the baseline: JAX runs everything.

`pallas_call` is Pallas's own with `interpret=True`: the kernel becomes one XLA program.  `eval_jaxpr` is the skeleton
that every later phase keeps: it walks a jaxpr's equations, looks each primitive up in a table, and lets JAX run what
the table does not have.  Here the table is empty.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jax.experimental import pallas as pl

from pallas_np import frontend, lax_numpy
from pallas_np.frontend import Atom, Equation, Jaxpr

numpy_rules: dict[Any, Callable[..., Any]] = {}


def pallas_call(kernel: Callable[..., None], out_shape: Any, **options: Any) -> Callable[..., Any]:
    """`pl.pallas_call(kernel, out_shape, **options)` with `interpret=True`."""
    return pl.pallas_call(kernel, out_shape, **{**options, "interpret": True})


def structure(rule: Callable[..., Any]) -> Callable[..., Any]:
    """Marks a rule that needs the interpreter: it is called as `rule(interpreter, equation, *args)`.

    A rule without the mark is a plain function of arrays: it is called as `rule(*args, **equation.params)`.
    """
    rule.is_structure = True  # type: ignore[attr-defined]
    return rule


class Interpreter:
    """Walks jaxprs with a table of rules."""

    def __init__(self, rules: Mapping[Any, Callable[..., Any]]):
        self.rules = rules

    def eval_jaxpr(self, jaxpr: Jaxpr, consts: Sequence[Any], *args: Any) -> list[Any]:
        env: dict[Atom, Any] = {literal: literal.value for literal in jaxpr.literals}
        env.update(zip(jaxpr.constvars, consts, strict=True))
        env.update(zip(jaxpr.invars, args, strict=True))
        for eqn in jaxpr.eqns:
            results = self.eval_equation(eqn, *[env[atom] for atom in eqn.invars])
            if eqn.multiple_results:
                env.update(zip(eqn.outvars, results, strict=True))
            else:
                env[eqn.outvars[0]] = results
            for var in eqn.dead:
                del env[var]
        return [env[atom] for atom in jaxpr.outvars]

    def eval_equation(self, eqn: Equation, *args: Any) -> Any:
        rule = self.rules.get(eqn.primitive)
        if rule is None:
            return self.fall_back(eqn, *args)
        if getattr(rule, "is_structure", False):
            return rule(self, eqn, *args)
        return rule(*args, **eqn.params)

    def fall_back(self, eqn: Equation, *args: Any) -> Any:
        """What happens to an equation that the table does not have: JAX runs it."""
        return frontend.run_equation(eqn, *args)


def eval_jaxpr(
    jaxpr: Any, consts: Sequence[Any], *args: Any, rules: Mapping[Any, Callable[..., Any]] = numpy_rules
) -> list[Any]:
    """Evaluates a jaxpr, one equation at a time.

    Args:
      jaxpr: a jaxpr, as `jax.make_jaxpr(f)(x).jaxpr` has it.
      consts: values for its constants, `jax.make_jaxpr(f)(x).consts`.
      *args: its arguments: arrays or Python numbers.
      rules: the table; JAX runs what is not in it.

    Returns:
      A list of the results.
    """
    return evaluate(Interpreter(rules), jaxpr, consts, args)


@contextlib.contextmanager
def as_xla_computes() -> Iterator[None]:
    """Within it NumPy computes as XLA does: without a warning, and with denormal floats as zeros."""
    with np.errstate(all="ignore"), lax_numpy.flush_denormals():
        yield


def evaluate(interpreter: Interpreter, jaxpr: Any, consts: Sequence[Any], args: Sequence[Any]) -> list[Any]:
    """Makes the arguments NumPy arrays of the jaxpr's dtypes, and lets `interpreter` evaluate it without warnings."""
    plain = frontend.as_jaxpr(jaxpr)
    if len(args) != len(plain.invars):
        raise TypeError(f"the jaxpr takes {len(plain.invars)} arguments, but {len(args)} were given")
    consts = list(consts) or list(plain.consts)
    with as_xla_computes():
        return interpreter.eval_jaxpr(
            plain, [np.asarray(c) for c in consts], *(np.asarray(a, v.dtype) for a, v in zip(args, plain.invars))
        )
