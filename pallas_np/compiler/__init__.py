"""The compiler: phase 5's rules and a kernel become a NumPy program that a person can read.

An interpreter that evaluates its program once, on values of which some are known, leaves a program behind: what it
could not compute yet.  (Y. Futamura, 1971.)  `specialise.py` is that interpreter.  `emitters.py` and `loops.py` say
what becomes of structure, `expressions.py` and `scalars.py` what becomes of values, `kernel.py` what becomes of the
grid.  `passes.py` improves the program, `text.py` writes it down, `saving.py` makes a file of it.
`first_call.py` runs a kernel that has no program yet, where that is done sooner than making one.
"""

from __future__ import annotations

import contextlib
import linecache
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
from jax import tree, typeof

from pallas_np import frontend, lax_numpy, phase5
from pallas_np.compiler.exposure import overwritten
from pallas_np.compiler.first_call import walked
from pallas_np.compiler.kernel import specialised
from pallas_np.compiler.passes import optimise
from pallas_np.compiler.saving import full_source, save
from pallas_np.compiler.text import function_source
from pallas_np.errors import folded
from pallas_np.frontend import Jaxpr, KernelCall
from pallas_np.garbage import few_collections
from pallas_np.options import Options
from pallas_np.phase5 import grid


def _keep_freed_memory() -> None:
    """Has glibc keep memory that is freed, up to 32 MiB, for the next array.

    It hands back to the system what is more than twice as large as the largest block that was mapped and freed
    (`mallopt(3)`, `M_TRIM_THRESHOLD`), and each page of an array in new memory costs a page fault.  A sort of
    (1024, 128) had 480 of them in each call and took 7.5 ms; without them it took 6.3 ms.
    """
    np.empty(1 << 24, np.uint8)


_keep_freed_memory()


class Compiled:
    """A kernel call as a NumPy program.

    Attributes:
      name: the function's name.
      options: how it runs.
    """

    def __init__(
        self,
        call: KernelCall,
        options: Options = Options(),  # noqa: B008
        *,
        elide_copies: bool = True,
        merge_steps: bool = True,
        reuse_memory: bool = True,
    ):
        with few_collections():
            self._program, spec = specialised(call, options, merge_steps=merge_steps)
            optimise(self._program, elide_copies=elide_copies, reuse_memory=reuse_memory)
            self.options, self._needs_machine = options, spec.needs_machine
            self.name = self._program.name
            self._place_operands(call)
            self._idle_machine = None if self._needs_machine else phase5.Interpreter(phase5.numpy_rules, options)
            self._text = function_source(self._program, needs_machine=self._needs_machine)
            self._function = self._executed()

    def _place_operands(self, call: KernelCall) -> None:
        """Notes which of the function's arguments are what: bounds, prefetch, inputs, and the outputs that are new."""
        self._num_bounds = call.num_dynamic_grid_bounds
        changed = [False] * self._num_bounds + [*call.written_prefetch, *call.changed_inputs]
        self._copied = [n for n, is_changed in enumerate(changed) if is_changed]
        self._overwritten, aliases = overwritten(call), {output: given for given, output in call.aliases}
        self._new = [n for n in range(len(call.outputs)) if n not in aliases]
        places = {n: len(changed) + place for place, n in enumerate(self._new)}
        places.update((n, self._num_bounds + given) for n, given in aliases.items())
        self._outputs = [places[n] for n in range(len(call.outputs))]
        # Most programs take their operands as they come, and after them memory for outputs all of which they write.
        takes_others = self._needs_machine or self._num_bounds or self._copied or aliases
        self._is_plain = len(self._overwritten) == len(call.outputs) and not takes_others

    def _executed(self) -> Any:
        file = f"<pallas_np {self.name} {id(self):x}>"
        weakref.finalize(self, linecache.cache.pop, file, None)
        namespace: dict[str, Any] = {"np": np, "lax": lax_numpy}
        namespace.update((constant.name, constant.value) for constant in self._program.constants.values())
        linecache.cache[file] = len(self._text), None, self._text.splitlines(keepends=True), file
        exec(compile(self._text, file, "exec"), namespace)
        return namespace[self.name]

    @property
    def source(self) -> str:
        """The program: imports, constants, and the function, with the kernel's own lines as comments."""
        function = function_source(self._program, needs_machine=self._needs_machine, comments=True)
        return full_source(self._program, function, needs_machine=self._needs_machine)

    def save(self, path: Any) -> None:
        """Writes the source to `path`, and its large constants beside it, as `.npz`."""
        save(self._program, self.source, path)

    def run(self, call: KernelCall, *arrays: np.ndarray) -> list[np.ndarray]:
        """Runs the program on a call's operands, which stay as they are, and returns its outputs.

        A program does not keep track of where it is.  When it fails, phase 5 runs the call again, up to the same error,
        and says where that is; a callback in the kernel is called again, too.

        Raises:
          KernelError: whatever goes wrong.
        """
        try:
            if self._is_plain:
                outputs = [grid.aligned_empty(output.shape, output.dtype) for output in call.outputs]
                self._function(*arrays, *outputs)
                return outputs
            machine = self._idle_machine or self._machine(call, arrays[: self._num_bounds])
            operands: list[Any] = list(arrays)
            for n in range(self._num_bounds):
                operands[n] = int(arrays[n])
            for n in self._copied:
                operands[n] = grid.aligned(machine, arrays[n])
            operands += [grid.output_memory(machine, call.outputs[n], n in self._overwritten) for n in self._new]
            self._function(*operands, *[machine] * self._needs_machine)
        except Exception:
            phase5.run_to_the_error(call, *arrays, options=self.options)
            raise
        return [operands[n] for n in self._outputs]

    def _machine(self, call: KernelCall, bounds: Sequence[np.ndarray]) -> phase5.Interpreter:
        """What runs the rules of phase 5 in one run of the program."""
        machine = phase5.Interpreter(phase5.numpy_rules, self.options)
        machine.call, machine.grid = call, frontend.grid_of(call, bounds)
        return machine


class CompiledCall:
    """What `pallas_np.compile` returns: a function of the call's arguments.

    Called with arguments of another pytree, shape or dtype than it was compiled for, it raises a `TypeError`.

    Attributes:
      source: the program.
    """

    def __init__(self, traced: frontend.TracedCall, args: Sequence[Any], options: Options):
        self._traced = traced
        leaves, self._structure = tree.flatten(tuple(args))
        self._avals = list(map(typeof, leaves))
        self._compiled = Compiled(traced.call, options)
        self._engine = frontend.Engine("NumPy, compiled", self._compiled.run)

    @folded
    def __call__(self, *args: Any) -> Any:
        leaves, structure = tree.flatten(args)
        avals = list(map(typeof, leaves))
        if structure != self._structure or any(map(_differ, avals, self._avals)):
            own = tree.unflatten(self._structure, map(str, self._avals))
            given = tree.unflatten(structure, map(str, avals))
            raise TypeError(f"{self._compiled.name} is compiled for {own}, not for {given}: compile it for these")
        return self._traced.run(self._engine, leaves)

    @property
    def source(self) -> str:
        """The program, as Python source."""
        return self._compiled.source

    def save(self, path: Any) -> None:
        """Writes the source to `path`, and its large constants beside it, as `.npz`.

        The function in the file takes the call's operands, and after them an array for each output, to write to.  It
        writes into an input whose memory is an output's (`input_output_aliases`) as well.

        Raises:
          ValueError: if it runs rules of phase 5, which work on the kernel's own equations: for blocks that reach past
            their array, for random keys, and for the primitives that have no NumPy function of their own.
        """
        self._compiled.save(path)


def _differ(a: Any, b: Any) -> bool:
    """Whether the two abstract values are of arrays of another shape or dtype."""
    return (a.shape, a.dtype) != (b.shape, b.dtype)


def compiled_call(call: Any, args: Sequence[Any], options: Options) -> CompiledCall:
    """The program of what `pallas_call(...)` returned, for arguments of these shapes and dtypes.

    Raises:
      TypeError: if that is not one Pallas call.
    """
    if not isinstance(call, frontend.PallasCallable):
        raise TypeError(f"compile takes what pallas_np.pallas_call(...) returned, not {type(call).__name__}")
    traced = call.traced(*args)
    if traced is None:
        raise TypeError("compile takes a function that does one pallas_call on its arguments; this one does more")
    return CompiledCall(traced, args, options)


_Programs = OrderedDict[Any, Compiled | None]
_programs: weakref.WeakKeyDictionary[Jaxpr, _Programs] = weakref.WeakKeyDictionary()
"""The programs of each kernel, for as long as there is the kernel; `None` where it was walked, and has none yet."""
_MOST = 16
"""How many programs of one kernel are kept: for so many grids and blocks."""


def run(call: KernelCall, *arrays: np.ndarray, options: Options = Options()) -> Sequence[np.ndarray]:  # noqa: B008
    """Runs a kernel call, compiled at its first run.

    Args:
      call: what to run.
      *arrays: its operands, in the call's order, of the dtypes it says; they stay as they are.
      options: how to run it.

    Returns:
      Its outputs, in arrays of their own.
    """
    if (known := call.latest_with(options)) is not None:
        return known.run(call, *arrays)
    if not _has_program(call):
        return phase5.Interpreter(phase5.numpy_rules, options).run(call, *arrays)
    try:
        program = _program(call, options)
    except Exception:
        phase5.run_to_the_error(call, *arrays, options=options)
        raise
    return program.run(call, *arrays)


def run_tiered(
    call: KernelCall,
    *arrays: np.ndarray,
    options: Options = Options(),  # noqa: B008
) -> Sequence[np.ndarray]:
    """Runs a kernel call as `run` does, but walks it at its first run where that is done sooner than compiling.

    Arguments and result are those of `run`.
    """
    if _has_program(call) and _is_new(call, options):
        try:
            with few_collections():
                outputs = walked(call, arrays, options)
        except Exception:
            phase5.run_to_the_error(call, *arrays, options=options)
            raise
        if outputs is not None:
            return outputs
    return run(call, *arrays, options=options)


def _is_new(call: KernelCall, options: Options) -> bool:
    """Whether the call was not run before; it has been now."""
    programs, key = _programs_of(call), _key(call, options)
    if key in programs:
        return False
    _keep(programs, key, None)
    return True


def prepare(call: KernelCall, options: Options) -> None:
    """Makes a call's program, so that its next run finds it; whatever is wrong with the kernel, that run will say."""
    if _has_program(call):
        with contextlib.suppress(Exception):
            _program(call, options)


def _has_program(call: KernelCall) -> bool:
    """Whether a program runs the call, and not phase 5.

    The cores of a mesh run at the same time, and wait for one another; a later kernel waits for an output semaphore.
    """
    return not (call.is_mesh or any(output.ref.is_semaphore for output in call.outputs))


def _program(call: KernelCall, options: Options) -> Compiled:
    """The call's program: the one that was made before, also for another reading of the same call.

    The next run of this very call finds it without a key.
    """
    programs, key = _programs_of(call), _key(call, options)
    program = programs.get(key)
    if program is None:
        program = Compiled(call, options)
        _keep(programs, key, program)
    call.keep_latest(program)
    return program


def _programs_of(call: KernelCall) -> _Programs:
    return _programs.setdefault(call.jaxpr, OrderedDict())


def _keep(programs: _Programs, key: Any, program: Compiled | None) -> None:
    programs[key] = program
    if len(programs) > _MOST:
        programs.popitem(last=False)


def _key(call: KernelCall, options: Options) -> Any:
    """What a program depends on, the kernel aside."""
    operands = tuple((o.shape, o.dtype, o.block, o.index_map, o.indices) for o in call.inputs + call.outputs)
    split = len(call.prefetch), len(call.inputs)
    return options, call.grid, call.vmapped_dims, call.aliases, split, operands


pallas_call = frontend.pallas_call_on(frontend.Engine("the compiler", run))
