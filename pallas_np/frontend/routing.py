"""From `pallas_call` to an engine: at once on arrays, or as a callback under `jit`.

A traced `pallas_call` stays the equation that it is, so `vmap`, `jvp` and `jit` treat it as they treat any other; when
it is run or lowered and has an engine (see `engines`), the engine runs it instead.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

import jax
import numpy as np
from jax import tree_util
from jax._src import api_util, callback, config, core, dispatch, dtypes
from jax._src.array import ArrayImpl
from jax._src.interpreters import ad, batching, mlir
from jax._src.lib import xla_client
from jax.experimental import io_callback
from jax.experimental import pallas as pl
from jax.sharding import NamedSharding, PartitionSpec, SingleDeviceSharding

from pallas_np.errors import KernelError, fold_traceback, folded
from pallas_np.frontend.devices import tracing_for
from pallas_np.frontend.engines import Engine, engine_of, run_callback
from pallas_np.frontend.kernel_call import KernelCall, kernel_call
from pallas_np.frontend.primitives import pallas_call_p
from pallas_np.frontend.versions import naming_what_is_missing
from pallas_np.garbage import few_collections
from pallas_np.options import Options


def pallas_call_on(engine: Engine) -> Callable[..., Callable[..., Any]]:
    """A `pallas_call` with Pallas's own signature whose kernels `engine` runs."""

    def pallas_call(kernel: Callable[..., None], out_shape: Any, **options: Any) -> Callable[..., Any]:
        options.pop("interpret", None)
        return call_on(engine, kernel, lambda kernel: pl.pallas_call(kernel, out_shape, interpret=engine, **options))

    pallas_call.__doc__ = f"""`pl.pallas_call`, with kernels run by {engine.name}.

    Takes what `jax.experimental.pallas.pallas_call` takes; `interpret` is ignored.  Called on arrays, the kernel runs
    at once; under `jax.jit` and other transformations it runs in one callback.

    Args:
      kernel: the kernel function; it takes a ref for each input, output and scratch.
      out_shape: a pytree of `jax.ShapeDtypeStruct`: the outputs' shapes and dtypes.
      **options: `grid`, `in_specs`, `out_specs`, `scratch_shapes` and the others of `pl.pallas_call`.

    Returns:
      A function of the input arrays.
    """
    return pallas_call


def call_on(engine: Engine, kernel: Callable[..., Any], make: Callable[..., Any]) -> PallasCallable:
    """What `make(kernel)` returns, where `make` calls `pl.pallas_call`, with kernels run by `engine`."""

    def plain(kernel: Callable[..., Any]) -> Any:
        function = make(kernel)
        return getattr(function, "_function", function)

    return PallasCallable(engine, kernel, plain)


class PallasCallable:
    """What `pallas_call(...)` returns: a function of the input arrays.

    It traces the kernel once for each set of shapes and dtypes.  What else JAX's own function has (`lower`, `trace`) is
    there as well.

    Attributes:
      kernel: the kernel function.
      make: from a kernel function to what JAX's `pl.pallas_call` returns for it, all else being the same.
    """

    def __init__(self, engine: Engine, kernel: Callable[..., Any], make: Callable[..., Any]):
        self.kernel, self.make = kernel, make
        self._engine = engine
        self._function = make(kernel)
        self._traced: dict[Any, TracedCall | None] = {}

    def __call__(self, *args: Any) -> Any:
        try:
            leaves, tree = _flattened(args)
            are_traced = tree is not None and any(isinstance(leaf, core.Tracer) for leaf in leaves)
            if are_traced or not core.trace_ctx.is_top_level():
                # JAX's function is a jit: outside any other it would be compiled, and what it wraps is not.
                function: Any = self._function
                with self.tracing():
                    return (function.__wrapped__ if _runs_at_once(core.trace_ctx.trace) else function)(*args)
            traced = self._remembered(args, leaves, tree)
            return self._function(*args) if traced is None else traced.run(self._engine, leaves)
        except KernelError as error:  # as `folded` does, without a function around this one
            fold_traceback(error)
            raise

    def __deepcopy__(self, memo: Any) -> PallasCallable:
        return self  # as it is with any function

    def __getattr__(self, name: str) -> Any:
        if name == "_function":  # not there yet: a copy or an unpickled one
            raise AttributeError(name)
        return getattr(self._function, name)

    @property
    def options(self) -> Options | None:
        """How its engine runs kernels; `None` for an engine without options."""
        return self._engine.options

    def tracing(self) -> AbstractContextManager[None]:
        """Within it the kernel, which is traced, is told of its engine's TPU."""
        return tracing_for(self._engine)

    def traced(self, *args: Any) -> TracedCall | None:
        """The call traced for these arguments, from memory if it has been; `None` if only JAX can make sense of it."""
        return self._remembered(args, *_flattened(args))

    def _remembered(self, args: Sequence[Any], leaves: Sequence[Any], tree: Any) -> TracedCall | None:
        abstract = _aval_of if tree is None and _JAX_ARRAYS.issuperset(map(type, leaves)) else core.typeof
        key = (tree, tuple(map(abstract, leaves)), config.trace_context())
        traced = self._traced.get(key)
        if traced is None and key not in self._traced:
            with self.tracing():
                traced = self._traced[key] = trace(self._function, *args)
        return traced


def _runs_at_once(trace: Any) -> bool:
    """Whether what is done under this trace happens now: transformations outside any `jit`."""
    if isinstance(trace, (batching.BatchTrace, ad.JVPTrace, ad.LinearizeTrace)):
        return _runs_at_once(trace.parent_trace)
    return isinstance(trace, core.EvalTrace)


_ARRAYS = {ArrayImpl, np.ndarray, jax.ShapeDtypeStruct}
_JAX_ARRAYS = {ArrayImpl}


def _flattened(args: Sequence[Any]) -> tuple[Sequence[Any], Any]:
    """The leaves of the arguments, and their pytree; of arguments that are all arrays, themselves and `None`."""
    return (args, None) if _ARRAYS.issuperset(map(type, args)) else tree_util.tree_flatten(args)


_aval_of, _is_committed = attrgetter("aval"), attrgetter("committed")


@dataclass(frozen=True)
class TracedCall:
    """A call of the function that `pallas_call` returned, traced.

    Attributes:
      call: the kernel and its grid.
      operands: for each operand of the kernel call, the position of the argument it is, or its constant value.
      out_avals: the outputs' abstract values.
      out_tree: the outputs' pytree.
      seconds: how long JAX took to trace it.
    """

    call: KernelCall
    operands: tuple[int | np.ndarray, ...]
    out_avals: tuple[Any, ...]
    out_tree: Any
    seconds: float

    def run(self, engine: Engine, leaves: Sequence[Any]) -> Any:
        """Runs the kernel on the arguments and returns JAX arrays where the arguments live.

        Raises:
          ValueError: if the arguments are committed to different devices; the kernel does not run then.
        """
        are_jax = _JAX_ARRAYS.issuperset(map(type, leaves))
        home = _home(leaves if are_jax else list(filter(_is_jax, leaves)))
        if are_jax and self._takes_its_arguments:
            args: Any = map(np.asarray, leaves)
        else:
            given = [leaves[o] if isinstance(o, int) else o for o in self.operands]
            args = map(as_numpy, given, self._dtypes)
        outs = _to_jax(engine.launch(self.call, *args), home)
        if self._is_one_array:
            return outs[0]
        return tree_util.tree_unflatten(self.out_tree, _with_keys(outs, self.out_avals))

    @functools.cached_property
    def _dtypes(self) -> list[Any]:
        """The operands' dtypes."""
        call = self.call
        bounds = [np.dtype(np.int32)] * call.num_dynamic_grid_bounds
        return bounds + [ref.dtype for ref in call.prefetch] + [operand.dtype for operand in call.inputs]

    @functools.cached_property
    def _takes_its_arguments(self) -> bool:
        """Whether the kernel call's operands are the arguments, in their order."""
        return all(isinstance(o, int) and o == n for n, o in enumerate(self.operands))

    @functools.cached_property
    def _is_one_array(self) -> bool:
        """Whether there is one output, outside any pytree, and no key."""
        is_one = len(self.out_avals) == 1 and tree_util.treedef_is_leaf(self.out_tree)
        return is_one and not _is_key(self.out_avals[0].dtype)


def as_numpy(x: Any, dtype: Any = None) -> np.ndarray:
    """An array, or a Python scalar, as NumPy's, of this dtype if there is one; keys as their words."""
    is_key = not isinstance(x, ArrayImpl) and isinstance(x, jax.Array) and _is_key(x.dtype)
    return np.asarray(jax.random.key_data(x) if is_key else x, dtype)


def trace(function: Callable[..., Any], *args: Any) -> TracedCall | None:
    """Traces what `pl.pallas_call` returned.  `None` if it is more than one `pallas_call` on its arguments."""
    with few_collections():
        return _traced(function, args)


def _traced(function: Callable[..., Any], args: Sequence[Any]) -> TracedCall | None:
    start = time.perf_counter()
    traced = function.trace(*args)  # type: ignore[attr-defined]
    seconds = time.perf_counter() - start
    jaxpr = traced.jaxpr.jaxpr
    if [eqn.primitive for eqn in jaxpr.eqns] != [pallas_call_p] or jaxpr.outvars != jaxpr.eqns[0].outvars:
        return None
    eqn = jaxpr.eqns[0]
    if any(is_ref(core.typeof(c)) for c in traced.jaxpr.consts) or any(is_ref(v.aval) for v in eqn.invars):
        return None
    where: dict[Any, int | np.ndarray] = {v: i for i, v in enumerate(jaxpr.invars)}
    where.update((v, as_numpy(c)) for v, c in zip(jaxpr.constvars, traced.jaxpr.consts))
    operands = tuple(np.asarray(v.val) if isinstance(v, core.Literal) else where[v] for v in eqn.invars)
    return TracedCall(_read((), eqn.params), operands, tuple(v.aval for v in eqn.outvars), traced.out_tree, seconds)


def is_ref(aval: Any) -> bool:
    """Whether a value of this abstract value is a mutable array, `jax.new_ref(x)`: JAX makes it pure first."""
    return hasattr(aval, "inner_aval")


Home = tuple[Any, bool]
"""Where outputs go: a sharding, and whether they are committed to it, as an operation's results can be in JAX."""


def _to_jax(outs: Sequence[np.ndarray], home: Home) -> list[jax.Array]:
    """The outputs as JAX arrays, without a copy where JAX allows it."""
    sharding, is_committed = home
    if not isinstance(sharding, SingleDeviceSharding):
        results = jax.device_put(list(outs), sharding)
    else:  # what `jax.device_put` comes to, in a tenth of its time
        put, devices, results = xla_client.batched_device_put, [sharding._device], []
        for out in outs:
            results.append(put(_aval(out.shape, out.dtype), sharding, [out], devices, is_committed))
    if dispatch.needs_check_special():
        _check_special(results)
    return results


def _with_keys(outs: Sequence[jax.Array], out_avals: Sequence[Any]) -> list[jax.Array]:
    """The outputs, those that are words of keys as keys."""
    return [
        jax.random.wrap_key_data(out, impl=aval.dtype._impl.name) if _is_key(aval.dtype) else out
        for out, aval in zip(outs, out_avals)
    ]


def _check_special(results: Sequence[jax.Array]) -> None:
    """Looks for what `jax_debug_nans` and `jax_debug_infs` forbid, as JAX's own operations do."""
    try:
        dispatch.check_special("pallas_call", results)
    except api_util.InternalFloatingPointError as error:
        raise FloatingPointError(f"invalid value ({error.ty}) encountered in {error.name}") from None


def _home(arrays: Sequence[jax.Array]) -> Home:
    """Where the outputs of a call on these arrays go: where the arrays live; the CPU if there are none.

    They are committed to a device only if an array is.

    Raises:
      ValueError: if the arrays are committed to different devices.
    """
    if any(map(_is_committed, arrays)):
        first, *others = filter(_is_committed, arrays)
        for other in others:
            if other.sharding.device_set != first.sharding.device_set:
                places = [", ".join(sorted(map(str, array.sharding.device_set))) for array in (first, other)]
                raise ValueError(
                    f"incompatible devices: one argument is committed to {places[0]}, another to {places[1]}; move "
                    "them to the same with jax.device_put"
                )
        return _whole_on(first), True
    default = config.default_device.value
    if default is None and arrays:
        return _whole_on(arrays[0]), False
    if default is None or isinstance(default, str):
        default = jax.local_devices(backend=default or "cpu")[0]
    return _only_on(default), False


def _is_jax(x: Any) -> bool:
    return isinstance(x, jax.Array)


def _whole_on(array: jax.Array) -> Any:
    """A sharding that has a copy on each of the array's devices, or one on its first."""
    sharding = array.sharding
    if isinstance(sharding, SingleDeviceSharding):
        return sharding
    if isinstance(sharding, NamedSharding):
        return NamedSharding(sharding.mesh, PartitionSpec())
    return _only_on(next(iter(array.devices())))


_aval = functools.lru_cache(core.ShapedArray)
_only_on = functools.cache(SingleDeviceSharding)


def _is_key(dtype: Any) -> bool:
    return not isinstance(dtype, np.dtype) and dtypes.issubdtype(dtype, dtypes.prng_key)


# Where JAX runs or lowers a `pallas_call`.

ReadCall = Callable[[Sequence[Any], dict[str, Any]], KernelCall]


def _read(in_avals: Sequence[Any], params: dict[str, Any]) -> KernelCall:
    with few_collections(), naming_what_is_missing():
        return kernel_call(params)


def _lower_to_callback(ctx: Any, in_nodes: Sequence[Any], engine: Engine, call: KernelCall) -> Any:
    """Makes a kernel one callback that `engine` runs.

    `io_callback` puts the arguments on a device before it calls back, which on two devices that use up the CPU's
    threads (in a `shard_map`) never ended; so only an engine that asks for it gets it.
    """
    if engine.by_io_callback:
        shapes = [jax.ShapeDtypeStruct(out.shape, out.dtype) for out in map(core.physical_aval, ctx.avals_out)]
        on_our_side = partial(io_callback, partial(run_callback, engine, call), shapes)
        return mlir.lower_fun(on_our_side, multiple_results=True)(ctx, *in_nodes)
    results, _, _ = callback.emit_python_callback(
        ctx,
        partial(run_callback, engine, call),
        None,
        list(in_nodes),
        list(map(core.physical_aval, ctx.avals_in)),
        list(map(core.physical_aval, ctx.avals_out)),
        has_side_effect=True,
        returns_token=False,
        sharding=callback._callback_op_sharding(ctx.module_context.axis_context, None, ctx.avals_out),
    )
    ctx.set_tokens_out(ctx.tokens_in)
    return results


def route(primitive: Any, read: ReadCall) -> None:
    """Lets a call's engine, if it has one, run it wherever JAX runs or lowers `primitive`.

    Args:
      primitive: `pallas_call` or one like it.
      read: from the operands' abstract values and the equation's parameters to the `KernelCall`.
    """
    run_in_jax, lower_in_jax = primitive.impl, mlir._lowerings[primitive].rule

    @folded
    def run(*args: Any, **params: Any) -> Any:
        engine, avals = engine_of(params["interpret"]), list(map(core.typeof, args))
        if engine is None or any(map(is_ref, avals)):
            return run_in_jax(*args, **params)
        home = _home(list(filter(_is_jax, args)))
        outs = _to_jax(engine.launch(read(avals, params), *map(as_numpy, args)), home)
        return _with_keys(outs, params["out_avals"])

    @folded
    def lower(ctx: Any, *in_nodes: Any, **params: Any) -> Any:
        engine = engine_of(params["interpret"])
        if engine is None:
            return lower_in_jax(ctx, *in_nodes, **params)
        return _lower_to_callback(ctx, in_nodes, engine, read(ctx.avals_in, params))

    primitive.def_impl(run)
    mlir.register_lowering(primitive, lower)


route(pallas_call_p, _read)
