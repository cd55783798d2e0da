"""`pallas_np.debug`: one program of a kernel's grid in the kernel's own Python, for `breakpoint()` and `print()`."""

from __future__ import annotations

import contextlib
import io
import pdb
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from jax import tree

from pallas_np import frontend, phase5
from pallas_np.errors import KernelError, UnsupportedError, as_kernel_error, folded
from pallas_np.frontend import Equation, KernelCall, Var
from pallas_np.frontend.primitives import get_global_p
from pallas_np.options import Options
from pallas_np.phase5.semaphores import forget_copies


class DebugInterpreter(phase5.Interpreter):
    """Phase 5, except at one grid index, where the kernel function itself is called.

    Attributes:
      at: that index.
      kernel: what to call.
      is_in_python: whether the kernel function is running.
      names: the kernel's names for its refs, by their identity.
    """

    def __init__(self, options: Options, at: tuple[int, ...], kernel: frontend.KernelFunction):
        super().__init__(phase5.numpy_rules, options)
        self.at, self.kernel = at, kernel
        self.is_in_python = False
        self.names: dict[int, str] = {}

    def run(self, call: KernelCall, *arrays: np.ndarray) -> list[np.ndarray]:
        grid = frontend.grid_of(call, arrays[: call.num_dynamic_grid_bounds])
        if len(self.at) != len(grid) or not all(0 <= i < size for i, size in zip(self.at, grid)):
            raise ValueError(f"at={self.at} is no index of the grid {grid}: give one integer for each of its axes")
        return super().run(call, *arrays)

    def eval_jaxpr(self, jaxpr: frontend.Jaxpr, consts: Sequence[Any], *args: Any) -> list[Any]:
        if jaxpr is not self.call.jaxpr or (self.kernel.is_traced and self.grid_index != self.at):
            return super().eval_jaxpr(jaxpr, consts, *args)
        with contextlib.nullcontext() if self.grid_index == self.at else _silently():
            self.call_kernel(args)
        return []

    def call_kernel(self, memories: Sequence[np.ndarray]) -> None:
        """Calls the kernel function on refs to these arrays."""
        names = self.call.jaxpr.argument_names
        self.names = {id(memory): name for memory, name in zip(memories, names)}
        self.is_in_python = True
        try:
            with frontend.running_eagerly(self.call, self) as trace:
                self.kernel(trace, memories)
        except Exception as error:
            raise self.told(error)  # noqa: B904  (it has its cause)
        finally:
            self.is_in_python = False

    def eval_equation(self, eqn: Equation, *args: Any) -> Any:
        try:
            if self.is_in_python and eqn.primitive is get_global_p:  # which equation of the jaxpr it is, nobody knows
                raise UnsupportedError("pl.get_global has no meaning where the kernel's Python runs")
            return super().eval_equation(eqn, *args)
        except Exception as error:
            known = as_kernel_error(error)
            if known.primitive is None:
                known.primitive = eqn.name
                known.operands = tuple(
                    frontend.operand_facts(atom, self.names.get(id(arg), ""), arg)
                    for atom, arg in zip(eqn.invars, args)
                )
            raise known from None

    def release(self, ref: Var, memory: np.ndarray) -> None:
        """A scoped ref is gone: so are the DMAs on its semaphores."""
        if ref.is_semaphore:
            forget_copies(self, memory)

    def told(self, error: Exception) -> KernelError:
        """The error with the user's own frames as its traceback: their variables are alive."""
        known = as_kernel_error(error)
        known.kernel, known.grid_index = self.call.jaxpr.name, tuple(self.grid_index)
        known.stack, known.kernel_traceback = frontend.users_frames(error.__traceback__)
        return known.with_traceback(known.kernel_traceback)


def debug(call: Callable[..., Any], at: int | Sequence[int] = ()) -> Callable[..., Any]:
    """Runs a Pallas call with one program of its grid as plain Python.

    At the grid index `at` the kernel function itself is called, on refs to the blocks' memory.  Every operation is done
    when it is called, by NumPy, loops and conditionals are Python's, and what a variable holds is a value.  So
    `breakpoint()`, `print(x)` and a debugger that steps through the kernel's lines work.  The programs before and after
    it run as they always do.

        >>> pallas_np.debug(call, at=(0, 3))(x, y)

    JAX traces the kernel before anything runs; `breakpoint()` and `print` do nothing then.  A breakpoint that was set
    in an IDE may stop there as well: values are abstract at that time.  A kernel that JAX cannot trace, because of an
    `if x > 0: breakpoint()`, say, is called as Python at every grid index, and says nothing except at this one.

    Args:
      call: what `pallas_np.pallas_call(...)` returned, or, while `pallas_np.install()` is in force,
        `pl.pallas_call(...)`.
      at: the grid index: one integer for each axis of the grid; an integer for a grid of one axis.

    Returns:
      A function of the call's arguments, which returns what the call does.

    Raises:
      TypeError: if `call` is something else, or, when called, if it does more than one `pallas_call`.
      ValueError: when called, if `at` is no index of the grid.
      KernelError: when called, if the kernel fails; the traceback has the kernel's own frames.
    """
    if not isinstance(call, frontend.PallasCallable):
        raise TypeError(
            f"debug takes what pallas_np.pallas_call(...) returned, not {type(call).__name__}: of any other function, "
            "the kernel's Python is not at hand"
        )
    index = tuple(map(int, np.atleast_1d(np.asarray(at, int))))

    @folded
    def run(*args: Any) -> Any:
        with call.tracing():  # at the grid index that is asked for, the kernel's Python runs again
            with _silently():
                traced, kernel = frontend.traced_with_kernel(call, *args)
            interp = DebugInterpreter(call.options or Options(), index, kernel)
            return traced.run(frontend.Engine("the debugger", interp.run), tree.leaves(args))

    return run


@contextlib.contextmanager
def _silently() -> Iterator[None]:
    """Within it a kernel that is traced stops nowhere and prints nothing."""
    hook, set_trace, stepper = sys.breakpointhook, pdb.set_trace, sys.gettrace()
    sys.breakpointhook = pdb.set_trace = lambda *args, **kwargs: None
    sys.settrace(None)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        sys.breakpointhook, pdb.set_trace = hook, set_trace
        sys.settrace(stepper)
