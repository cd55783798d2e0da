"""A jaxpr as plain data.

The interpreters walk the classes below and never see one of JAX's own.  `as_jaxpr` reads JAX's jaxpr once and keeps
what it made.  Parameters arrive normalised: nested jaxprs are `Jaxpr`s, dtypes are NumPy's, and a ref's indexers are
the plain transforms of `pallas_np.frontend.refs`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax._src import core, dtypes, source_info_util
from jax._src.pallas.core import semaphore_dtype
from jax._src.pallas.mosaic.core import dma_semaphore

from pallas_np.errors import KernelError, OperandFacts, SourceLocation, as_kernel_error
from pallas_np.frontend.locations import location_of_function, locations_of
from pallas_np.frontend.params import value_params


class Var:
    """A variable of a jaxpr: where an equation's result lives.

    Attributes:
      shape: the value's shape (of a ref: its contents'); of PRNG keys, with the axes of their words at the end.
      dtype: the value's NumPy dtype; semaphores are int32, PRNG keys uint32.
      is_ref: whether the variable is a memory reference.
      is_semaphore: whether it holds semaphores.
      is_dma_semaphore: whether it holds semaphores that count what DMAs bring.
      memory_space: a ref's memory space as text (`"vmem"`, `"smem"`, ...), else `None`.
      name: of a jaxpr's argument, what the user calls it; `""` where JAX does not know.
    """

    __slots__ = ("dtype", "is_dma_semaphore", "is_ref", "is_semaphore", "memory_space", "name", "shape")

    def __init__(self, aval: Any, name: str = ""):
        self.name = name
        self.is_ref = hasattr(aval, "inner_aval")
        self.memory_space = str(aval.memory_space) if self.is_ref else None
        self.shape: tuple[int, ...] = tuple(getattr(aval, "shape", ()))
        self.dtype: Any = getattr(aval, "dtype", None)
        self.is_semaphore = self.is_dma_semaphore = False
        if self.dtype is not None and not isinstance(self.dtype, np.dtype):
            self._extended_dtype(self.dtype)

    def _extended_dtype(self, dtype: Any) -> None:
        if dtypes.issubdtype(dtype, semaphore_dtype):
            self.is_semaphore, self.dtype = True, np.dtype(np.int32)
            self.is_dma_semaphore = dtypes.issubdtype(dtype, dma_semaphore)
        elif dtypes.issubdtype(dtype, dtypes.prng_key):
            self.shape, self.dtype = self.shape + dtype._impl.key_shape, np.dtype(np.uint32)

    @staticmethod
    def of(shape: tuple[int, ...], dtype: np.dtype) -> Var:
        """A variable for values of this shape and dtype."""
        return Var(jax.ShapeDtypeStruct(shape, dtype))

    def with_shape(self, shape: tuple[int, ...]) -> Var:
        """A new variable of the same kind, with another shape."""
        new = Var.__new__(Var)
        new.name, new.shape, new.dtype = self.name, shape, self.dtype
        new.is_ref, new.is_semaphore, new.memory_space = self.is_ref, self.is_semaphore, self.memory_space
        return new

    def __repr__(self) -> str:
        dimensions = ",".join(map(str, self.shape))
        return f"Ref{{{self.dtype}[{dimensions}]}}" if self.is_ref else f"{self.dtype}[{dimensions}]"


class Literal:
    """A constant written into an equation.

    Attributes:
      value: a NumPy scalar or array of the literal's exact dtype.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value

    def __repr__(self) -> str:
        return repr(self.value)


Atom = Var | Literal


@dataclass(slots=True, eq=False, weakref_slot=True)
class Equation:
    """One step of a jaxpr: `outvars = primitive[params](*invars)`.

    Attributes:
      primitive: JAX's primitive object; rules are looked up by it.
      invars: what it reads.
      outvars: what it defines.
      params: its static parameters, normalised.
      multiple_results: whether a rule answers with a list or with a single value.
      jax: JAX's own equation, for whoever lets JAX run it; `None` of one that was not read but made.
      dead: the variables that nothing reads any more once it has run, results that nobody reads included.
    """

    primitive: Any
    invars: tuple[Atom, ...]
    outvars: tuple[Var, ...]
    params: dict[str, Any]
    multiple_results: bool
    jax: Any
    dead: tuple[Var, ...] = ()

    @property
    def name(self) -> str:
        """The primitive's name."""
        return self.primitive.name

    @property
    def source(self) -> str:
        """The user's line that made this equation, as `file:line (function)`; `""` if there is none."""
        return "" if self.jax is None else source_info_util.summarize(self.jax.source_info)

    @property
    def locations(self) -> tuple[SourceLocation, ...]:
        """The user's lines behind it, from the function that its jaxpr was traced from inwards."""
        return () if self.jax is None else locations_of(self.jax)


@dataclass(slots=True, eq=False, weakref_slot=True)
class Jaxpr:
    """A program: inputs, equations in order, outputs.

    Attributes:
      constvars: variables of the captured constants.
      invars: variables of the arguments.
      eqns: the equations, in the order they run.
      outvars: what the program answers.
      literals: the literals among its atoms.
      consts: values for `constvars` where the jaxpr carries them (a closed jaxpr), else `()`.
      name: the traced function's name.
      argument_names: the names its arguments have in the user's source; `""` where JAX does not know.
      location: where the traced function begins in the user's source; `None` where JAX does not know.
    """

    constvars: tuple[Var, ...]
    invars: tuple[Var, ...]
    eqns: tuple[Equation, ...]
    outvars: tuple[Atom, ...]
    literals: tuple[Literal, ...]
    consts: tuple[np.ndarray, ...]
    name: str
    argument_names: tuple[str, ...]
    location: SourceLocation | None = None


ParamReader = Callable[[dict[str, Any], list[Any]], dict[str, Any]]
"""From an equation's parameters, and its operands' values where they are literal, to normalised parameters."""

param_readers: dict[Any, ParamReader] = {}
"""Readers for the primitives that touch memory or hold programs; `params.value_params` reads all others."""

expansions: dict[Any, Callable[[Any], Any]] = {}
"""From one of JAX's equations to the jaxpr that it is read as a call of; see `pallas_np.frontend.expansions`."""

_jaxprs: weakref.WeakKeyDictionary[Any, Jaxpr] = weakref.WeakKeyDictionary()


def as_jaxpr(jaxpr: Any) -> Jaxpr:
    """The plain `Jaxpr` of one of JAX's, open or closed; a `Jaxpr` is returned as it is.

    Raises:
      TypeError: if it is no jaxpr.
    """
    if isinstance(jaxpr, Jaxpr):
        return jaxpr
    if not is_jax_jaxpr(jaxpr):
        raise TypeError(f"expected a jaxpr, such as jax.make_jaxpr(f)(x) returns, but got {type(jaxpr).__name__}")
    found = _jaxprs.get(jaxpr)
    if found is None:
        found = _jaxprs[jaxpr] = _read_jaxpr(jaxpr)
    return found


def is_jax_jaxpr(value: Any) -> bool:
    """Whether `value` is one of JAX's jaxprs: a class pair up to JAX 0.10, one class since."""
    return isinstance(value, _JAXPR_TYPES)


_JAXPR_TYPES = tuple({core.Jaxpr, getattr(core, "ClosedJaxpr", core.Jaxpr)})


def subjaxprs(eqn: Equation) -> Iterator[Jaxpr]:
    """The jaxprs nested in an equation: a loop's body, a conditional's branches."""
    for value in eqn.params.values():
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, Jaxpr):
                yield item


def all_equations(jaxpr: Jaxpr) -> list[Equation]:
    """A jaxpr's equations, followed by those of the jaxprs nested in them."""
    found = list(jaxpr.eqns)
    for eqn in jaxpr.eqns:
        if eqn.params:
            for inner in subjaxprs(eqn):
                found += all_equations(inner)
    return found


def _read_jaxpr(closed: Any) -> Jaxpr:
    jaxpr = closed.jaxpr if hasattr(closed, "jaxpr") else closed
    consts = tuple(getattr(closed, "consts", ()))
    if any(isinstance(c, core.Tracer) for c in consts):  # the equation's operands supply them: run_scoped, since 0.12
        consts = ()
    env: dict[Any, Var] = {}
    literals: list[Literal] = []

    def define(v: Any, name: str = "") -> Var:
        var = env[v] = Var(v.aval, name)
        return var

    def read(atom: Any) -> Atom:
        if not isinstance(atom, core.Literal):
            return env[atom]
        literals.append(Literal(_literal(atom)))
        return literals[-1]

    constvars = tuple(map(define, jaxpr.constvars))
    names = _argument_names(jaxpr)
    invars = tuple(map(define, jaxpr.invars, names))
    eqns = []
    for eqn in jaxpr.eqns:
        operands = tuple(map(read, eqn.invars))
        results = tuple(map(define, eqn.outvars))
        primitive, params = _primitive_and_params(eqn, operands)
        eqns.append(Equation(primitive, operands, results, params, primitive.multiple_results, eqn))
    outvars = tuple(map(read, jaxpr.outvars))
    mark_dead(eqns, outvars)
    info = jaxpr.debug_info
    return Jaxpr(
        constvars,
        invars,
        tuple(eqns),
        outvars,
        tuple(literals),
        tuple(map(np.asarray, consts)),
        info.func_name if info.func_src_info else "<unknown>",
        names,
        location_of_function(info),
    )


def as_equation(eqn: Any) -> Equation:
    """The plain form of one of JAX's equations by itself."""
    operands = tuple(Literal(_literal(v)) if isinstance(v, core.Literal) else Var(v.aval) for v in eqn.invars)
    results = tuple(Var(v.aval) for v in eqn.outvars)
    primitive, params = _primitive_and_params(eqn, operands)
    return Equation(primitive, operands, results, params, primitive.multiple_results, eqn)


def _argument_names(jaxpr: Any) -> tuple[str, ...]:
    names = tuple(jaxpr.debug_info.arg_names or ())
    return names if len(names) == len(jaxpr.invars) else ("",) * len(jaxpr.invars)


def mark_dead(eqns: list[Equation], outvars: tuple[Atom, ...]) -> None:
    """Fills in what is dead after each of these equations, of which `outvars` is the answer."""
    needed = set(outvars)
    for eqn in reversed(eqns):
        dead = [var for var in eqn.outvars if var not in needed]
        for atom in eqn.invars:
            if atom not in needed:
                needed.add(atom)
                if type(atom) is Var:
                    dead.append(atom)
        eqn.dead = tuple(dead)


def _literal(atom: Any) -> Any:
    value = np.asarray(atom.val, dtype=atom.aval.dtype)
    return value[()] if value.ndim == 0 else value


def _primitive_and_params(eqn: Any, operands: tuple[Atom, ...]) -> tuple[Any, dict[str, Any]]:
    try:
        expanded = expansions[eqn.primitive](eqn) if eqn.primitive in expansions else None
        if expanded is None:
            return eqn.primitive, _params(eqn, operands)
        return core.closed_call_p, {"jaxpr": as_jaxpr(expanded), "name": eqn.primitive.name}
    except (KernelError, NotImplementedError) as error:
        raise _naming(eqn, operands, as_kernel_error(error)) from None


def _naming(eqn: Any, operands: tuple[Atom, ...], error: KernelError) -> KernelError:
    """The error of an equation that cannot be read, or of one nested in it, with the lines that lead there."""
    error.stack = locations_of(eqn) + error.stack
    if error.primitive is None:
        error.primitive = eqn.primitive.name
        error.operands = tuple(map(operand_facts, operands))
    return error


def operand_facts(atom: Atom, name: str = "", value: Any = None) -> OperandFacts:
    """What an error says of an operand: of a scalar, its value, if it is known."""
    if isinstance(atom, Literal):
        value = atom.value
        return OperandFacts(np.shape(value), np.asarray(value).dtype, value=value if np.ndim(value) == 0 else None)
    scalar = None if atom.is_ref or np.ndim(value) else value
    return OperandFacts(atom.shape, atom.dtype, atom.is_ref, name, scalar)


def _params(eqn: Any, operands: tuple[Atom, ...]) -> dict[str, Any]:
    """The equation's parameters in the form our rules take."""
    if not eqn.params:
        return {}
    reader = param_readers.get(eqn.primitive)
    if reader is not None:
        return reader(eqn.params, [atom.value if isinstance(atom, Literal) else None for atom in operands])
    return {name: _plain(value) for name, value in value_params(eqn.primitive, eqn.params).items()}


def _plain(value: Any) -> Any:
    if is_jax_jaxpr(value):
        return as_jaxpr(value)
    if isinstance(value, tuple) and any(is_jax_jaxpr(item) for item in value):
        return tuple(_plain(item) for item in value)
    return value
