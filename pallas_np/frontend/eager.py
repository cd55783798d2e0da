"""A kernel's own Python on real values, one primitive at a time.

JAX calls whoever traces a function at each primitive.  Here that one answers at once, with a value instead of a
variable: the function runs as any Python does, and what it holds can be printed.
"""

from __future__ import annotations

import contextlib
import functools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import jax
import numpy as np
from jax import tree_util
from jax._src import api_util, core, source_info_util
from jax._src.lax import control_flow
from jax._src.lax.control_flow import conditionals, loops
from jax._src.pallas import primitives as pallas_primitives
from jax._src.state.types import TransformedRef
from jax.experimental import pallas as pl

from pallas_np.frontend.jaxpr import Equation, Var, as_equation
from pallas_np.frontend.kernel_call import KernelCall
from pallas_np.frontend.routing import PallasCallable, TracedCall, as_numpy, trace


class Evaluator(Protocol):
    """What runs the equations, and makes memory."""

    def eval_equation(self, eqn: Equation, *args: Any) -> Any:
        """The equation's results: a list, or the only one."""

    def fresh(self, ref: Var) -> np.ndarray:
        """Memory for a ref that comes into being."""

    def release(self, ref: Var, memory: np.ndarray) -> None:
        """Called when a ref that `fresh` made memory for is gone."""


class EagerTrace(core.Trace):
    """Evaluates each primitive that a function calls, at once."""

    __slots__ = ("evaluator",)

    def __init__(self, evaluator: Evaluator):
        super().__init__()
        self.evaluator = evaluator

    def stage_value(self, val: Any) -> Any:
        value = self.lifted(val)
        if value is not val:
            value.is_literal = not value.shape
        return value

    def process_primitive(self, primitive: Any, tracers: Sequence[Any], params: dict[str, Any], /) -> Any:
        avals = [core.typeof(x) for x in tracers]
        answer, _ = primitive.abstract_eval(*avals, **params)
        out_avals = answer if primitive.multiple_results else [answer]
        eqn = core.new_jaxpr_eqn(
            list(map(_atom, tracers, avals)),
            [core.Var(aval) for aval in out_avals],
            primitive,
            params,
            core.no_effects,
            source_info_util.current(),
        )
        plain = as_equation(eqn)
        with core.eval_context():
            results = self.evaluator.eval_equation(plain, *map(_value, tracers, avals))
        results = results if plain.multiple_results else [results]
        made = [EagerValue(self, aval, value) for aval, value in zip(out_avals, results, strict=True)]
        return made if primitive.multiple_results else made[0]

    def process_call(self, primitive: Any, fun: Any, tracers: Sequence[Any], params: Any, /) -> Any:
        with core.set_current_trace(self):
            return fun.call_wrapped(*tracers)

    def process_custom_jvp_call(self, primitive: Any, fun: Any, jvp: Any, tracers: Any, /, **_: Any) -> Any:
        return self.process_call(primitive, fun, tracers, {})

    def process_custom_vjp_call(self, primitive: Any, fun: Any, fwd: Any, bwd: Any, tracers: Any, /, **_: Any) -> Any:
        return self.process_call(primitive, fun, tracers, {})

    def lifted(self, x: Any) -> Any:
        """A number or array as a value of this trace; a value of a trace, or a ref, as it is."""
        if isinstance(x, (core.Tracer, TransformedRef)):
            return x
        aval = core.typeof(x)
        return EagerValue(self, aval, _value(x, aval))

    def argument(self, like: Any, memory: np.ndarray) -> Any:
        """A ref of the kernel's, like the one that it was traced with, on `memory`."""
        if isinstance(like, TransformedRef):
            return TransformedRef(self.argument(like.ref, memory), like.transforms)
        return EagerValue(self, getattr(like, "aval", like), memory)


class EagerValue(core.Tracer):
    """A value of JAX's for a function that runs on real values: an array, or a ref on one.

    Attributes:
      value: the NumPy array.
      is_literal: whether it is a number written in the function's text.
    """

    __slots__ = ("is_literal", "value")

    def __init__(self, trace: EagerTrace, aval: Any, value: Any):
        super().__init__(trace, aval)
        self.value, self.is_literal = value, False

    @property
    def _is_ref(self) -> bool:
        return hasattr(self.aval, "inner_aval")

    # JAX is not told that it is concrete (`to_concrete_value`): a kernel is to mean the same as where it is traced.

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.value, dtype)

    def __bool__(self) -> bool:
        return bool(self.value)

    def __int__(self) -> int:
        return int(self.value)

    def __index__(self) -> int:
        return operator.index(self.value)

    def __float__(self) -> float:
        return float(self.value)

    def __complex__(self) -> complex:
        return complex(self.value)

    def item(self) -> Any:
        """The only element, as a Python number."""
        return self.value.item()

    def tolist(self) -> Any:
        """The elements, as Python numbers in lists."""
        return self.value.tolist()

    def __repr__(self) -> str:
        kind, array = "Ref" if self._is_ref else "Array", np.asarray(self.value)
        return f"{kind}({np.array2string(array, separator=', ')}, dtype={array.dtype})"

    def __str__(self) -> str:
        return repr(self) if self._is_ref else str(self.value)

    def __format__(self, spec: str) -> str:
        return format(self.value, spec) if spec else str(self)


core.pytype_aval_mappings[EagerValue] = lambda x: x.aval


def _value(x: Any, aval: Any) -> Any:
    if isinstance(x, EagerValue):
        return x.value
    array = as_numpy(x)
    return array.astype(aval.dtype) if isinstance(aval.dtype, np.dtype) and array.dtype != aval.dtype else array


def _atom(x: Any, aval: Any) -> Any:
    """What an equation would have for this operand."""
    return core.Literal(x.value, aval) if isinstance(x, EagerValue) and x.is_literal else core.Var(aval)


@contextlib.contextmanager
def running_eagerly(call: KernelCall, evaluator: Evaluator) -> Iterator[EagerTrace]:
    """Within it, JAX's functions called from this thread run at once on `evaluator`, as in the body of `call`.

    Loops and conditionals are Python's own: `jax.disable_jit` is in force.
    """
    eager = EagerTrace(evaluator)
    with call.trace_env(), jax.disable_jit(), contextlib.ExitStack() as replaced, core.set_current_trace(eager):
        for original, instead, modules in _IN_PYTHON:
            replaced.enter_context(_replaced(original, instead, modules))
        yield eager


@contextlib.contextmanager
def _replaced(original: Any, instead: Callable[..., Any], modules: Sequence[Any]) -> Iterator[None]:
    """Within it the modules have `instead` in place of `original`, where an eager trace is in force.

    It is called with the trace, `original` and the arguments.
    """
    name = original.__name__

    @functools.wraps(original)
    def function(*args: Any, **kwargs: Any) -> Any:
        eager = core.trace_ctx.trace
        if not isinstance(eager, EagerTrace):
            return original(*args, **kwargs)
        return instead(eager, original, *args, **kwargs)

    for module in modules:
        setattr(module, name, function)
    try:
        yield
    finally:
        for module in modules:
            setattr(module, name, original)


def _run_scoped(
    eager: EagerTrace, original: Any, f: Callable[..., Any], *types: Any, collective_axes: Any = (), **named: Any
) -> Any:
    """`pl.run_scoped` calls its function with memory: as it is, it traces it."""
    leaves, structure = tree_util.tree_flatten((types, named))
    likes = [leaf.get_ref_aval() for leaf in leaves]
    names = api_util.debug_info("run_scoped", f, types, named).safe_arg_names(len(likes))
    avals = [like.ref if isinstance(like, TransformedRef) else like for like in likes]
    refs = [Var(aval, name) for aval, name in zip(avals, names)]
    memories = [eager.evaluator.fresh(ref) for ref in refs]
    args, kwargs = structure.unflatten(map(eager.argument, likes, memories))
    result = f(*args, **kwargs)
    for ref, memory in zip(refs, memories):
        eager.evaluator.release(ref, memory)
    return result


def _choose(eager: EagerTrace, original: Any, chosen_by: Any, *args: Any, **kwargs: Any) -> Any:
    """`lax.cond` and `lax.switch` on a value that JAX takes for concrete."""
    value = chosen_by.value if isinstance(chosen_by, EagerValue) else chosen_by
    return original(value, *args, **kwargs)


def _scan(
    eager: EagerTrace, original: Any, f: Any, init: Any, xs: Any = None, length: Any = None, *args: Any, **kwargs: Any
) -> Any:
    """`lax.scan` with values of JAX's for Python's numbers, as a body that is traced has them.

    One of no steps has to be traced: only so do its results have a shape.
    """
    lengths = [length, *(np.shape(x)[0] for x in tree_util.tree_leaves(xs))]
    with jax.disable_jit(0 not in lengths):
        return original(f, *tree_util.tree_map(eager.lifted, (init, xs)), length, *args, **kwargs)


def _while_loop(eager: EagerTrace, original: Any, cond_fun: Any, body_fun: Any, init_val: Any) -> Any:
    """`lax.while_loop`, as `lax.scan`; a pipeline's carries refs, of which JAX's would make arrays."""
    carry = tree_util.tree_map(eager.lifted, init_val)
    while cond_fun(carry):
        carry = tree_util.tree_map(eager.lifted, body_fun(carry))
    return carry


_IN_PYTHON: list[tuple[Any, Callable[..., Any], tuple[Any, ...]]] = [
    (pallas_primitives.run_scoped, _run_scoped, (pl, pallas_primitives)),
    (conditionals.cond, _choose, (jax.lax, control_flow, conditionals)),
    (conditionals.switch, _choose, (jax.lax, control_flow, conditionals)),
    (loops.scan, _scan, (jax.lax, control_flow, loops)),
    (loops.while_loop, _while_loop, (jax.lax, control_flow, loops)),
]
"""What runs in Python where an eager trace is in force, and where users and JAX find it."""


class KernelFunction:
    """A kernel function, as `pallas_call` calls it: with its refs in the structure that it takes them in.

    Attributes:
      is_traced: whether JAX could trace it.  If not, its call has no equations, and it is the function that has to be
        called at every index of the grid: one with `if x > 0:` runs on values only.
    """

    def __init__(self, call: PallasCallable):
        self.is_traced = True
        self._call = call
        self._likes: list[Any] = []
        self._structure: Any = None

    def to_trace(self) -> Callable[..., Any]:
        """The function for JAX to trace; it takes note of the refs that it is given."""

        @functools.wraps(self._call.kernel)
        def kernel(*args: Any, **kwargs: Any) -> Any:
            self._likes, self._structure = tree_util.tree_flatten((args, kwargs))
            return self._run(args, kwargs) if self.is_traced else None

        return kernel

    def __call__(self, eager: EagerTrace, memories: Sequence[np.ndarray]) -> None:
        """Calls the kernel on refs to these arrays; it must have been traced before."""
        args, kwargs = self._structure.unflatten(map(eager.argument, self._likes, memories))
        self._run(args, kwargs)

    def _run(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        with self._call.tracing():
            return self._call.kernel(*args, **kwargs)


def traced_with_kernel(call: PallasCallable, *args: Any) -> tuple[TracedCall, KernelFunction]:
    """The call traced for these arguments, and its kernel function.

    Raises:
      TypeError: if it is more than one `pallas_call` on its arguments.
    """
    kernel = KernelFunction(call)
    try:
        traced = trace(call.make(kernel.to_trace()), *args)
    except Exception:
        kernel.is_traced = False
        traced = trace(call.make(kernel.to_trace()), *args)
    if traced is None:
        raise TypeError("the function does more than one pallas_call on its arguments, or takes mutable arrays")
    return (traced if kernel.is_traced else _that_may_write(traced)), kernel


def _that_may_write(traced: TracedCall) -> TracedCall:
    """The call, of whose kernel nothing is known: it may write to any of its operands."""
    call = traced.call
    call = replace(call, written_prefetch=(True,) * len(call.prefetch), written_inputs=(True,) * len(call.inputs))
    return replace(traced, call=call)
