"""Running Pallas kernels in NumPy: one call, or every call in the process."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from pallas_np import phase5
from pallas_np.frontend.engines import Engine, Run, last_error, launch_count, serve_options
from pallas_np.frontend.kernel_call import KernelCall
from pallas_np.frontend.routing import pallas_call_on
from pallas_np.frontend.versions import naming_what_is_missing
from pallas_np.options import Options

with naming_what_is_missing():
    from pallas_np.frontend import install as _install

if TYPE_CHECKING:
    from pallas_np.compiler import CompiledCall

__all__ = ["Options", "compile", "install", "installed", "last_error", "launch_count", "pallas_call", "uninstall"]

_DEFAULT = Options()


def _run_watched(call: KernelCall, *arrays: np.ndarray, options: Options) -> Sequence[np.ndarray]:
    from pallas_np.inspector import checks

    return checks.watched(options).run(call, *arrays)


def _run_compiled(call: KernelCall, *arrays: np.ndarray, options: Options) -> Sequence[np.ndarray]:
    return _compiler().run(call, *arrays, options=options)


def _run_tiered(call: KernelCall, *arrays: np.ndarray, options: Options) -> Sequence[np.ndarray]:
    return _compiler().run_tiered(call, *arrays, options=options)


def _run_as(options: Options) -> Run:
    """What runs kernels as the options say."""
    by_name: dict[str, Run] = {"tiered": _run_tiered, "compiled": _run_compiled, "interpreter": phase5.run}
    return _run_watched if options.watched else by_name[options.engine]


def _prepare(call: KernelCall, options: Options) -> None:
    _compiler().prepare(call, options)


@functools.cache
def _compiler() -> ModuleType:
    """The compiler, imported when it is first needed."""
    from pallas_np import compiler

    return compiler


@functools.cache
def engine(options: Options) -> Engine:
    """The engine that runs kernels as `options` say."""
    run = _run_as(options)
    return Engine("NumPy", run, options, prepare=_prepare if run in (_run_tiered, _run_compiled) else None)


serve_options(engine)


def pallas_call(
    kernel: Callable[..., None], out_shape: Any, *, options: Options = _DEFAULT, **pallas_options: Any
) -> Callable[..., Any]:
    """`pl.pallas_call`, with the kernel run by NumPy.

    Called on arrays, the kernel runs at once and nothing is compiled; under `jax.jit` and other transformations it runs
    in one callback.  Its operands stay as they are, also where the kernel writes to its input refs.

        >>> import jax, jax.numpy as jnp, pallas_np
        >>> def double(x_ref, out_ref):
        ...     out_ref[...] = x_ref[...] * 2
        >>> call = pallas_np.pallas_call(double, out_shape=jax.ShapeDtypeStruct((3,), jnp.int32))
        >>> call(jnp.arange(3))
        Array([0, 2, 4], dtype=int32)

    Args:
      kernel: the kernel function; it takes a ref for each input, output and scratch.
      out_shape: a pytree of `jax.ShapeDtypeStruct`: the outputs' shapes and dtypes.
      options: how the kernel runs.
      **pallas_options: `grid`, `in_specs`, `out_specs`, `scratch_shapes` and the others of `pl.pallas_call`;
        `interpret` is ignored.

    Returns:
      A function of the input arrays: JAX or NumPy arrays, or Python numbers.  It returns JAX arrays where its inputs
      live.

    Raises:
      KernelError: when called, if anything goes wrong inside the kernel; each kind is also of the fitting kind of
        Python's.  Under `jit` JAX wraps it: see `last_error`.
    """
    return pallas_call_on(engine(options))(kernel, out_shape, **pallas_options)


def compile(call: Callable[..., Any], *args: Any, options: Options = _DEFAULT) -> CompiledCall:
    """The NumPy program of a Pallas call.

        >>> program = pallas_np.compile(call, jax.ShapeDtypeStruct((3,), jnp.int32))
        >>> print(program.source)
        >>> program(jnp.arange(3))
        Array([0, 2, 4], dtype=int32)

    Args:
      call: what `pallas_np.pallas_call(...)`, or that of a phase, returned.
      *args: its arguments: arrays, or `jax.ShapeDtypeStruct`s in their place.
      options: how the program runs.

    Returns:
      A function of arrays of these shapes and dtypes, which raises a `TypeError` for others.  Its `source` is the
      program; `save(path)` writes it to a file.

    Raises:
      TypeError: if `call` is no such function, or does more than one `pallas_call` on its arguments.
      ValueError: if the options ask for a check that has to watch, which a program cannot have.
    """
    if options.watched:
        raise ValueError(f"a program cannot be watched: call the function itself with {options}")
    return _compiler().compiled_call(call, args, options)


def install(options: Options = _DEFAULT) -> None:
    """Sends every Pallas call in the process to NumPy, until `uninstall`.

    That is `pl.pallas_call`, `pl.kernel` and `core_map`, whatever their `interpret` parameter says and whatever
    platform they were written for, in any library, and in functions that are already jitted.  A call with
    `interpret=pallas_np.Options(...)` has options of its own; it runs in NumPy also when nothing is installed.

    A function that `pl.pallas_call` returned before runs in a callback, which JAX compiles once; one that it returns
    from now on runs at once when it is called on arrays.

    Called again, it changes the options.

    Args:
      options: how kernels run.

    Raises:
      JaxInternalMissing: if this JAX, newer than those tested, lacks what is needed; nothing is installed then.
    """
    _install.install(engine(options))


def uninstall() -> None:
    """Ends what `install` began: JAX is as it was, and its compiled functions are those of before.

    Without effect if nothing is installed, and on `installed` blocks that are open.
    """
    _install.uninstall()


def installed(options: Options = _DEFAULT) -> contextlib.AbstractContextManager[None]:
    """`install(options)` for a `with` block.

    Blocks may be nested, and the innermost one counts.  Each thread has the options of its own block; a thread without
    one has those of the block that was opened last, in any thread, or else of `install`.

        >>> with pallas_np.installed():
        ...     out = some_library_that_uses_pallas(x)

    Args:
      options: how kernels run.

    Raises:
      JaxInternalMissing: as `install` does.
    """
    return _install.installed(engine(options))
