"""The grid of phase 5: every kind of block, scalar prefetch, dynamic bounds, aliases."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pallas_np.errors import OutOfBoundsError, UnsupportedError
from pallas_np.frontend import BlockDim, KernelCall, Operand
from pallas_np.frontend.refs import Operand as IndexOperand
from pallas_np.frontend.refs import Slice
from pallas_np.phase1 import as_xla_computes
from pallas_np.phase5.cores import Core, run_together
from pallas_np.phase5.semaphores import land_copies

if TYPE_CHECKING:
    from pallas_np.phase5 import Interpreter

Window = tuple[tuple[int, int], ...]
"""For each axis of an array, where a block starts and how long it is."""

LITTLE = 1 << 14
"""So many bytes JAX copies sooner than we align them: a call took 2 µs less on JAX 0.10.2, and up to 2 on 0.12."""


def run_grid(interp: Interpreter, call: KernelCall, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Runs the kernel on every index of the grid, the last axis fastest, and returns the outputs.

    The grid of a mesh is its cores, which run at the same time.
    """
    num_prefetch = len(call.prefetch)
    prefetch = [np.array(a) if written else a for a, written in zip(arrays[:num_prefetch], call.written_prefetch)]
    whole = buffers(interp, call, arrays)
    run_programs = run_mesh if call.is_mesh else run_in_order
    run_programs(interp, call, prefetch, whole)
    return whole[len(call.inputs) :]


def run_in_order(interp: Interpreter, call: KernelCall, prefetch: Sequence[Any], whole: Sequence[np.ndarray]) -> None:
    """Runs the kernel on every index of the grid, one after the other; all have the same scratch."""
    scratch = [interp.fresh(ref) for ref in call.scratch]
    blocks: Blocks = {}
    for index in np.ndindex(*interp.grid):
        interp.grid_index = index
        blocks = run_program(interp, call, prefetch, whole, scratch, blocks)


def run_mesh(interp: Interpreter, call: KernelCall, prefetch: Sequence[Any], whole: Sequence[np.ndarray]) -> None:
    """Runs the kernel on every core of a mesh at the same time; each has scratch of its own."""

    def program(core: Core) -> None:
        own = interp.on_core(core, cores)
        with as_xla_computes():
            run_program(own, call, prefetch, whole, [own.fresh(ref) for ref in call.scratch])

    cores = {index: Core(index, program) for index in np.ndindex(*interp.grid)}
    run_together(list(cores.values()))


def run_program(
    interp: Interpreter,
    call: KernelCall,
    prefetch: Sequence[np.ndarray],
    whole: Sequence[np.ndarray],
    scratch: Sequence[np.ndarray],
    before: Blocks | None = None,
) -> Blocks:
    """Runs the kernel at the interpreter's grid index, on its blocks of the whole arrays.

    Args:
      interp: the interpreter.
      call: the kernel call.
      prefetch: the scalar-prefetch refs.
      whole: the array behind each operand.
      scratch: the scratch refs.
      before: the blocks of the program before, which stay where they are if this one has them as well: what was
        written past the array's ends is still there.

    Returns:
      Its blocks.
    """
    blocks: Blocks = {}
    refs, windows = [], []
    for array, operand in zip(whole, call.inputs + call.outputs):
        window = block_window(interp, operand, prefetch)
        key = id(array), window, operand.squeezed_axes
        if key not in blocks:  # an input and its alias see the same block
            kept = before.get(key) if before else None
            blocks[key] = Block(interp, array, operand, window) if kept is None else kept.again()
        refs.append(blocks[key].ref)
        windows.append(window)
    interp.run_kernel(windows, [*prefetch, *refs, *scratch])
    for array, operand in zip(whole[len(call.inputs) :], call.outputs):
        if operand.ref.is_semaphore:
            land_copies(interp, array)
    for block in blocks.values():
        block.write_back()
    return blocks


def buffers(interp: Interpreter, call: KernelCall, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The array behind each operand: the caller's where the kernel only reads, else one of our own.

    Args:
      interp: the interpreter.
      call: the kernel call.
      arrays: its operands, scalar prefetch included.
    """
    given, aliases = arrays[len(call.prefetch) :], call.aliased_inputs
    inputs = [
        aligned(interp, array) if changed else array for array, changed in zip(given, call.changed_inputs, strict=True)
    ]
    return inputs + [
        inputs[aliases[i]] if i in aliases else output_memory(interp, out, is_overwritten=False)
        for i, out in enumerate(call.outputs)
    ]


def output_memory(interp: Interpreter, output: Operand, is_overwritten: bool) -> np.ndarray:
    """Memory for an output; if it `is_overwritten` all of it is written, and nothing read before that."""
    memory = aligned_empty(output.shape, output.dtype)
    if output.ref.is_semaphore:
        memory[...] = 0
    elif not is_overwritten:
        interp.leave_unwritten(memory)
    return memory


def aligned(interp: Interpreter, array: np.ndarray) -> np.ndarray:
    """A copy that starts at a multiple of 64 bytes."""
    copy = aligned_empty(array.shape, array.dtype)
    interp.move(array, copy)
    return copy


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Memory that starts at a multiple of 64 bytes, which JAX can take over as it is; a little may start anywhere."""
    size = math.prod(shape) * dtype.itemsize
    if size <= LITTLE:
        return np.empty(shape, dtype)
    memory = np.empty(size + 64, np.uint8)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory.data))  # sooner than `memory.ctypes.data`
    return np.ndarray(shape, dtype, memory, -address % 64)


def block_window(interp: Interpreter, operand: Operand, prefetch: Sequence[np.ndarray]) -> Window:
    """Where this program's block lies on the operand's array; it may reach past the array's ends.

    Raises:
      OutOfBoundsError: if it lies outside altogether, and `out_of_bounds` is `"raise"`.
      UnsupportedError: for a kind of block that is not supported.
    """
    index_map = operand.index_map
    answer = interp.eval_jaxpr(index_map, index_map.consts, *map(np.int32, interp.grid_index), *prefetch)
    window = tuple(
        _placed(operand, dim, index, answer) for dim, index in zip(operand.block, operand.indices, strict=True)
    )
    if interp.options.out_of_bounds == "clamp":
        return tuple(_clamped(*place) for place in zip(window, operand.block, operand.shape))
    for (start, length), dim, size in zip(window, operand.block, operand.shape):
        low, high = dim.padding
        if not -low <= start < max(size + high, 1 - low) or (dim.kind == "bounded_slice" and start + length > size):
            raise OutOfBoundsError(
                f"the index map of {operand.name} puts a block of shape {operand.block_shape} at "
                f"{tuple(start for start, _ in window)}, outside the array of shape {operand.shape}",
                advice="check what the index map returns (blocks, not elements, in the order of the array's axes) and "
                "the grid's size; Options(out_of_bounds='clamp') moves the block inside, as interpret=True does",
                **_of_index_map(operand),
            )
    return window


def _of_index_map(operand: Operand) -> dict[str, Any]:
    """What an error about an operand's index map says of where it is."""
    where = operand.index_map.location
    return {"stack": () if where is None else (where,), "ref": operand.ref.name or None}


def _placed(operand: Operand, dim: BlockDim, index: IndexOperand | Slice, answer: Sequence[Any]) -> tuple[int, int]:
    if isinstance(index, Slice):
        start, length = (
            int(answer[p.position]) if isinstance(p, IndexOperand) else p for p in (index.start, index.size)
        )
        if not 0 <= length <= dim.size:
            raise OutOfBoundsError(
                f"the index map asks for a slice of {length} elements, but its bound is {dim.size}",
                advice="let the index map return a shorter slice, or give the block a larger bound",
                **_of_index_map(operand),
            )
        return start, length
    position = int(answer[index.position])
    match dim.kind:
        case "blocked":
            return position * dim.size, dim.size
        case "element":
            return position - dim.padding[0], dim.size
        case "squeezed":
            return position, 1
    raise UnsupportedError(f"{dim.kind} block dimensions are not supported", **_of_index_map(operand))


def _clamped(place: tuple[int, int], dim: BlockDim, size: int) -> tuple[int, int]:
    """As `interpret=True` places a block that lies outside: on the nearest whole block of the padded array.

    A negative start counts from the padded array's end, once.
    """
    start, length = place
    low, high = dim.padding
    padded = -(-(size + low + high) // length) * length if length else size
    start = start + low if start + low >= 0 else start + low + padded
    return min(max(start, 0), max(padded - length, 0)) - low, length


class Block:
    """The block of an operand that one program sees.

    Attributes:
      ref: the array behind the kernel's ref: a view of the whole array, or, where the block reaches past its ends, a
        padded copy.
    """

    def __init__(self, interp: Interpreter, array: np.ndarray, operand: Operand, window: Window):
        inside = [
            slice(max(start, 0), max(min(start + length, size), start, 0))
            for (start, length), size in zip(window, array.shape)
        ]
        part = array[_view_of(inside)]
        self._interp, self._part = interp, None
        bounds = operand.block_shape + array.shape[len(operand.block_shape) :]
        if part.shape != bounds:
            padded = interp.fresh_array(bounds, array.dtype)
            offsets = [max(-start, 0) for start, _ in window]
            self._inside = padded[_view_of([slice(o, o + n) for o, n in zip(offsets, part.shape)])]
            interp.move(part, self._inside)
            self._part, part = part, padded
        self.ref = np.squeeze(part, operand.squeezed_axes)

    def again(self) -> Block:
        """The block for the next program: a padded copy has what the array holds now."""
        if self._part is not None:
            self._interp.move(self._part, self._inside)
        return self

    def write_back(self) -> None:
        """Copies what the kernel wrote to a padded block into the array; what lies past the ends is dropped."""
        if self._part is not None and self._part.flags.writeable:
            self._interp.move(self._inside, self._part)


Blocks = dict[Any, Block]
"""A program's blocks, by array, window and squeezed axes."""


def _view_of(parts: list[slice]) -> tuple[Any, ...]:
    return (*parts, ...)  # the dots make it a view, also of an array without axes
