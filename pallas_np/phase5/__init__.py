"""Phase 5, the full interpreter: nothing is JAX's.

Complex primitives join the table, and the fall-back is gone: a primitive without a rule is an error that names it.  The
grid takes everything that a Pallas call may ask for (`grid.py`), and the cores of a mesh run at the same time
(`cores.py`); memory has masks, atomics and options (`memory.py`); semaphores and DMAs work (`semaphores.py`); so do the
primitives of the TPU and GPU dialects (`accelerators.py`, `matrix_units.py`) and a kernel's prints and checks
(`reporting.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pallas_np import frontend, lax_numpy, phase1, phase4
from pallas_np.errors import SynchronizationError, UnsupportedError
from pallas_np.frontend import Equation, Jaxpr, KernelCall, Var
from pallas_np.frontend.primitives import debug_print_p, lax_primitive, pallas_call_p
from pallas_np.options import Options
from pallas_np.phase1 import structure
from pallas_np.phase2 import rules_of, uninitialized
from pallas_np.phase5 import grid
from pallas_np.phase5.accelerators import accelerator_rules
from pallas_np.phase5.copies import Channel
from pallas_np.phase5.cores import Core, Wait
from pallas_np.phase5.failures import told
from pallas_np.phase5.matrix_units import MatrixUnit, matrix_unit_rules
from pallas_np.phase5.memory import Place, memory_rules, nothing
from pallas_np.phase5.reporting import reporting_rules
from pallas_np.phase5.semaphores import semaphore_rules

REFERENCE = "acos acosh asin asinh atan atanh cbrt erf erf_inv erfc".split()  # where lax_reference is right
NUMBERS = """
    add_any atan2 bessel_i0e bessel_i1e clz digamma eq_to igamma igammac le_to lgamma log2 lt_to mulhi nextafter
    one_minus_square optimization_barrier polygamma polynomial reduce_precision regularized_incomplete_beta zeta
""".split()
COMPLEX = "complex conj imag real".split()
INDEXING = """
    dynamic_slice dynamic_update_slice gather scatter-add scatter-max scatter-min scatter-mul scatter-sub stack
    tile unstack
""".split()
REDUCTIONS = """
    argmax argmin reduce_and reduce_max reduce_min reduce_or reduce_prod reduce_sum reduce_xor
""".split()
CUMULATIVE = "cumlogsumexp cummax cummin cumprod cumsum".split()
SORTS = "approx_top_k sort top_k".split()
LINEAR_ALGEBRA = "conv_general_dilated dot_general ragged_dot_general".split()
WINDOWS = """
    reduce_window_max reduce_window_min reduce_window_sum select_and_gather_add select_and_scatter_add
""".split()
RANDOM_NUMBERS = """
    random_bits random_clone random_fold_in random_seed random_split random_unwrap random_wrap rng_bit_generator
    threefry2x32
""".split()


@structure
def pallas_call_inside(interp: Interpreter, eqn: Equation, *args: Any) -> list[Any]:
    """A kernel called from a kernel: a grid of its own, on the values it is given."""
    return interp.another().run(eqn.params["call"], *map(np.asarray, args))


def with_computation(function: Callable[..., Any]) -> Callable[..., Any]:
    """A rule for a primitive that carries a small program: `function` gets it as a callable."""

    @structure
    def rule(interp: Interpreter, eqn: Equation, *args: Any) -> Any:
        def callable_of(jaxpr: Jaxpr) -> Callable[..., list[Any]]:
            return lambda *xs: interp.eval_jaxpr(jaxpr, jaxpr.consts, *xs)

        params = {k: callable_of(v) if isinstance(v, Jaxpr) else v for k, v in eqn.params.items()}
        return function(*args, **params)

    return rule


numpy_rules: dict[Any, Callable[..., Any]] = {
    **phase4.numpy_rules,
    **{lax_primitive(name): frontend.reference_rule(name) for name in REFERENCE},
    **rules_of(NUMBERS + COMPLEX + INDEXING + REDUCTIONS + CUMULATIVE + SORTS + LINEAR_ALGEBRA + WINDOWS),
    **rules_of(RANDOM_NUMBERS),
    **memory_rules,
    **semaphore_rules,
    **accelerator_rules,
    **matrix_unit_rules,
    **reporting_rules,
    lax_primitive("reduce"): with_computation(lax_numpy.reduce),
    lax_primitive("reduce_window"): with_computation(lax_numpy.reduce_window),
    lax_primitive("scatter"): with_computation(lax_numpy.scatter),
    pallas_call_p: pallas_call_inside,
}


class Interpreter(phase4.Interpreter):
    """Runs a kernel over its grid with no JAX.

    Attributes:
      options: how it runs.
      place_type: what an access to a ref is made of.
      channels: the DMAs under way, by the address of the semaphore that they signal.
      globals: the memory that each `get_global` equation made.
      barrier: the barrier semaphore.
      semaphore_names: what the user calls each array of semaphores, by its identity.
      core: the core of a mesh that this interpreter runs; `None` where programs run one after the other.
      cores: all cores of the mesh, by their index.
      matrix_units: the TPU's matrix units, by number.
      pipeline_index: where the innermost pipeline is on its grid, while its body runs; else `None`.
      random: the generator behind the TPU's random numbers, once it is seeded.
    """

    phase = 5
    place_type: type[Place] = Place

    def __init__(self, rules: Mapping[Any, Callable[..., Any]], options: Options = Options()):  # noqa: B008
        super().__init__(rules)
        self.options = options
        self.channels: dict[int, Channel] = {}
        self.globals: dict[Equation, np.ndarray] = {}
        self.semaphore_names: dict[int, str] = {}
        self.core: Core | None = None
        self.cores: Mapping[tuple[int, ...], Core] = {}
        self.barrier = self.fresh_semaphore((), "the barrier semaphore")
        self.matrix_units: defaultdict[int, MatrixUnit] = defaultdict(MatrixUnit)
        self.pipeline_index: tuple[Any, ...] | None = None
        self.random: np.random.Generator | None = None

    def refuse_unsupported(self, call: KernelCall) -> None:
        """Phase 5 takes every call."""

    def run(self, call: KernelCall, *arrays: np.ndarray) -> list[np.ndarray]:
        """Runs `call` on its operands, which stay as they are, and returns its outputs.

        Raises:
          KernelError: whatever goes wrong.
        """
        try:
            return super().run(call, *arrays)
        except Exception as error:
            raise told(error, call, self)  # noqa: B904  (it has its cause)

    def run_grid(self, call: KernelCall, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        return grid.run_grid(self, call, arrays)

    def run_kernel(self, windows: Sequence[grid.Window], refs: Sequence[np.ndarray]) -> None:
        """Runs the kernel at the grid index, on its refs; the windows say where its blocks lie, for who watches."""
        self.eval_jaxpr(self.call.jaxpr, self.call.jaxpr.consts, *refs)

    def another(self) -> Interpreter:
        """An interpreter like this one that has run nothing yet."""
        return Interpreter(self.rules, self.options)

    def fresh(self, ref: Var) -> np.ndarray:
        if ref.is_semaphore:
            return self.fresh_semaphore(ref.shape, ref.name)
        if str(ref.memory_space).startswith("ACC"):  # a matrix unit's accumulator is zero before and after its use
            return np.zeros(ref.shape, ref.dtype)
        return self.fresh_array(ref.shape, ref.dtype)

    def fresh_semaphore(self, shape: tuple[int, ...], name: str) -> np.ndarray:
        semaphore = np.zeros(shape, np.int32) if self.core is None else self.core.semaphore(shape)
        self.semaphore_names[id(semaphore)] = name
        return semaphore

    def fresh_array(self, shape: Sequence[int], dtype: Any) -> np.ndarray:
        """Memory that nobody has written to."""
        memory = np.empty(tuple(shape), dtype)
        self.leave_unwritten(memory)
        return memory

    def leave_unwritten(self, memory: np.ndarray) -> None:
        """Fills memory that nobody has written to, as `options.uninitialized` says."""
        memory[...] = 0 if self.options.uninitialized == "zero" else uninitialized((), memory.dtype)

    def memory_of(self, value: Any) -> np.ndarray:
        """Memory of its own that holds a value."""
        return np.array(value)

    def move(self, source: np.ndarray, target: np.ndarray) -> None:
        """Copies memory to memory of the same shape."""
        target[...] = source

    def on_core(self, core: Core, cores: Mapping[tuple[int, ...], Core]) -> Interpreter:
        """An interpreter for one core of the mesh that runs this one's call."""
        own = self.another()
        own.call, own.grid, own.globals = self.call, self.grid, self.globals
        own.core, own.cores, own.grid_index = core, cores, core.index
        own.barrier = own.fresh_semaphore((), "the barrier semaphore")
        return own

    def wait_until(self, wait: Wait) -> None:
        """Waits for other cores.

        Raises:
          SynchronizationError: if there are none.
        """
        if not wait.satisfied():
            if self.core is None:
                raise SynchronizationError(f"deadlock: {wait.text()}, and no program is left that could signal it")
            self.core.hand_over(wait)

    def fall_back(self, eqn: Equation, *args: Any) -> Any:
        raise UnsupportedError(f"the primitive {eqn.name} is not supported")


def run(call: KernelCall, *arrays: np.ndarray, options: Options = Options()) -> list[np.ndarray]:  # noqa: B008
    """Runs a kernel call.

    Args:
      call: what to run.
      *arrays: its operands, in the call's order, of the dtypes it says; they stay as they are.
      options: how to run it.

    Returns:
      Its outputs, in arrays of their own.
    """
    return Interpreter(numpy_rules, options).run(call, *arrays)


def run_to_the_error(call: KernelCall, *arrays: np.ndarray, options: Options) -> None:
    """Runs a call that failed where nobody could say where, for the `KernelError` that does; prints nothing again.

    Args:
      call: what failed.
      *arrays: its operands.
      options: how it ran.

    Raises:
      KernelError: what went wrong.
    """
    Interpreter({**numpy_rules, debug_print_p: nothing}, options).run(call, *arrays)


def eval_jaxpr(
    jaxpr: Any, consts: Sequence[Any], *args: Any, rules: Mapping[Any, Callable[..., Any]] = numpy_rules
) -> list[Any]:
    """Evaluates a jaxpr with NumPy alone.

    Args:
      jaxpr: a jaxpr, as `jax.make_jaxpr(f)(x).jaxpr` has it.
      consts: values for its constants, `jax.make_jaxpr(f)(x).consts`.
      *args: its arguments: arrays or Python numbers; a ref is a NumPy array, which is written in place.
      rules: the table.

    Returns:
      A list of the results, as NumPy arrays.

    Raises:
      KernelError: if an equation fails; `UnsupportedError` for a primitive that is not in the table.
    """
    try:
        return phase1.evaluate(Interpreter(rules), jaxpr, consts, args)
    except Exception as error:
        raise told(error, None)  # noqa: B904  (it has its cause)


pallas_call = frontend.pallas_call_on(frontend.Engine("phase 5", run))
