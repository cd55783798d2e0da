"""Phase 2, the boundary: the kernel leaves XLA.

Under `jit` the whole kernel is one `io_callback`; called on arrays it runs at once.  On our side of the boundary a
Python loop goes over the grid, cuts the blocks out of the arrays, evaluates the kernel's jaxpr, and pastes the blocks
back.  Simple operations are NumPy's.  Memory is not: the kernel is discharged first, so that its refs are values and
its reads and writes are slices and updates, which JAX still runs, along with loops and complex primitives.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from keyword import iskeyword
from typing import Any

import ml_dtypes
import numpy as np

from pallas_np import frontend, lax_numpy, phase1
from pallas_np.frontend import Equation, KernelCall, Operand, Var
from pallas_np.frontend.primitives import lax_primitive, num_programs_p, program_id_p
from pallas_np.phase1 import as_xla_computes, structure

ELEMENTWISE = """
    abs add ceil clamp cos cosh div exp exp2 expm1 floor integer_pow log log1p logistic max min mul neg pow rem round
    rsqrt sign sin sinh sqrt square sub tan tanh
""".split()
COMPARISONS = "eq ge gt is_finite le lt ne select_n".split()
BITWISE = "and not or xor shift_left shift_right_arithmetic shift_right_logical population_count".split()
CASTS_AND_SHAPES = """
    bitcast_convert_type broadcast_in_dim concatenate convert_element_type copy iota pad reshape rev slice
    split squeeze stop_gradient transpose
""".split()


def rules_of(names: Sequence[str]) -> dict[Any, Callable[..., Any]]:
    """A table from the lax primitives of these names to the functions of `lax_numpy` that do them."""
    return {lax_primitive(name): getattr(lax_numpy, name.replace("-", "_") + "_" * iskeyword(name)) for name in names}


@structure
def program_id(interp: Interpreter, eqn: Equation) -> np.int32:
    return np.int32(interp.grid_index[interp.call.unmapped_axes[eqn.params["axis"]]])


@structure
def num_programs(interp: Interpreter, eqn: Equation) -> np.int32:
    return np.int32(interp.grid[interp.call.unmapped_axes[eqn.params["axis"]]])


numpy_rules: dict[Any, Callable[..., Any]] = {
    **rules_of(ELEMENTWISE + COMPARISONS + BITWISE + CASTS_AND_SHAPES),
    program_id_p: program_id,
    num_programs_p: num_programs,
}


class Interpreter(phase1.Interpreter):
    """Runs a kernel over its grid.

    Attributes:
      call: the kernel call that runs.
      grid: its grid, in programs along each axis.
      grid_index: the program that runs now.
    """

    phase = 2
    unsupported_blocks = ("element", "bounded_slice", "indirect")

    def run(self, call: KernelCall, *arrays: np.ndarray) -> list[np.ndarray]:
        """Runs `call` on its operands, which stay as they are, and returns its outputs."""
        self.refuse_unsupported(call)
        self.call = call
        self.grid = frontend.grid_of(call, arrays[: call.num_dynamic_grid_bounds])
        with as_xla_computes():
            return self.run_grid(call, arrays[call.num_dynamic_grid_bounds :])

    def run_grid(self, call: KernelCall, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        kernel = frontend.discharge(call)
        operands = call.inputs + call.outputs
        outputs = [uninitialized(out.shape, out.dtype) for out in call.outputs]
        whole = [np.array(a) for a in arrays] + outputs
        scratch = [self.fresh(ref) for ref in call.scratch]
        for index in np.ndindex(*self.grid):
            self.grid_index = index
            starts = [self.block_start(operand) for operand in operands]
            blocks = [cut(*place) for place in zip(whole, operands, starts)]
            results = self.eval_jaxpr(kernel, kernel.consts, *blocks, *scratch)
            for array, operand, start, old, new in zip(whole, operands, starts, blocks, results):
                if new is not old:
                    paste(array, operand, start, new)
            scratch = results[len(operands) :]
        return outputs

    def block_start(self, operand: Operand, *prefetch: Any) -> tuple[int, ...]:
        """Where on its array this program's block begins: the index map's answer, in elements."""
        index_map = operand.index_map
        answer = self.eval_jaxpr(index_map, index_map.consts, *map(np.int32, self.grid_index), *prefetch)
        return tuple(int(i) * dim.size if dim.kind == "blocked" else int(i) for i, dim in zip(answer, operand.block))

    def fresh(self, ref: Var) -> np.ndarray:
        """Memory for a ref that comes into being with nothing written to it."""
        return uninitialized(ref.shape, ref.dtype)

    def fall_back(self, eqn: Equation, *args: Any) -> Any:
        self.refuse_program_id_in(eqn)
        return super().fall_back(eqn, *args)

    def refuse_unsupported(self, call: KernelCall) -> None:
        """Says what this phase cannot run, and which one can."""
        kinds = {dim.kind for operand in call.inputs + call.outputs for dim in operand.block}
        refused = [
            (bool(call.prefetch), "scalar prefetch"),
            (bool(call.aliases), "input_output_aliases"),
            (any(ref.is_semaphore for ref in call.scratch), "semaphores"),
            *((kind in kinds, f"{kind} block dimensions") for kind in self.unsupported_blocks),
        ]
        for present, what in refused:
            if present:
                raise NotImplementedError(
                    f"phase {self.phase} does not handle {what}, which {call.name} uses; phase 5 does"
                )

    def refuse_program_id_in(self, eqn: Equation) -> None:
        if any(map(frontend.asks_for_grid, frontend.subjaxprs(eqn))):
            raise NotImplementedError(
                f"phase {self.phase} lets JAX run the {eqn.name} at {eqn.source}, where program_id has no meaning: "
                "call program_id before it, or use phase 4"
            )


def uninitialized(shape: Sequence[int], dtype: Any) -> np.ndarray:
    """An array that nobody has written to yet: NaN, or the smallest integer, so that using it shows."""
    return np.full(tuple(shape), _poison(np.dtype(dtype)), dtype)


@functools.cache
def _poison(dtype: np.dtype) -> Any:
    if dtype == np.bool_:
        return False
    try:
        return ml_dtypes.iinfo(dtype).min
    except ValueError:
        return np.nan


def window(operand: Operand, start: Sequence[int]) -> tuple[Any, ...]:
    """The part of the array that the block at `start` covers; a ragged last block reaches past the array's end.

    Raises:
      IndexError: if the block lies outside the array.
    """
    if any(not 0 <= s < max(size, 1) for s, size in zip(start, operand.shape)):
        raise IndexError(
            f"the index map of {operand.name} puts a block of shape {operand.block_shape} at {tuple(start)}, outside "
            f"the array of shape {operand.shape}"
        )
    parts = (slice(s, min(s + b, size)) for s, b, size in zip(start, operand.block_shape, operand.shape))
    return (*parts, ...)  # the dots make it a view, also of an array without axes


def cut(array: np.ndarray, operand: Operand, start: Sequence[int]) -> np.ndarray:
    """A copy of the block at `start`, padded with uninitialised elements where it is ragged."""
    part = array[window(operand, start)]
    block = uninitialized(operand.block_shape, array.dtype)
    block[tuple(map(slice, part.shape))] = part
    return np.squeeze(block, operand.squeezed_axes)


def paste(array: np.ndarray, operand: Operand, start: Sequence[int], block: np.ndarray) -> None:
    """Writes the block at `start` back; what reaches past the array's end is dropped."""
    part = array[window(operand, start)]
    part[...] = np.expand_dims(block, operand.squeezed_axes)[tuple(map(slice, part.shape))]


def eval_jaxpr(
    jaxpr: Any, consts: Sequence[Any], *args: Any, rules: Mapping[Any, Callable[..., Any]] = numpy_rules
) -> list[Any]:
    """Evaluates a jaxpr without refs, as `phase1.eval_jaxpr` does, with this phase's rules."""
    return phase1.evaluate(Interpreter(rules), jaxpr, consts, args)


def _run(call: KernelCall, *arrays: np.ndarray) -> list[np.ndarray]:
    return Interpreter(numpy_rules).run(call, *arrays)


pallas_call = frontend.pallas_call_on(frontend.Engine("phase 2", _run, by_io_callback=True))
