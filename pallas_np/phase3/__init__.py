"""Phase 3, state: memory is NumPy's.

A ref is a NumPy array that the kernel writes in place.  A block is a view of its array, scratch is an array that lives
as long as the grid loop, and `get`, `swap` and `addupdate` are NumPy indexing.  Nothing is discharged any more, except
for the loops and conditionals that JAX still runs: their refs' contents are carried in and written back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pallas_np import frontend, phase1, phase2
from pallas_np.frontend import Equation, KernelCall, Operand
from pallas_np.frontend.primitives import addupdate_p, broadcast_to_p, get_p, swap_p
from pallas_np.frontend.refs import Bitcast, Index, Reshape, Slice, Transform, Transpose
from pallas_np.frontend.refs import Operand as IndexOperand
from pallas_np.phase1 import structure
from pallas_np.phase2 import uninitialized, window


@structure
def get(interp: Interpreter, eqn: Equation, ref: np.ndarray, *indices: Any) -> np.ndarray:
    return read(ref, eqn.params["transforms"], indices)


@structure
def swap(interp: Interpreter, eqn: Equation, ref: np.ndarray, value: Any, *indices: Any) -> np.ndarray:
    transforms = eqn.params["transforms"]
    old = read(ref, transforms, indices)
    write(ref, transforms, indices, value)
    return old


@structure
def addupdate(interp: Interpreter, eqn: Equation, ref: np.ndarray, value: Any, *indices: Any) -> list[Any]:
    add(ref, eqn.params["transforms"], indices, value)
    return []


def broadcast_to(x: Any, *, shape: tuple[int, ...], **_: Any) -> np.ndarray:
    return np.broadcast_to(x, shape)


numpy_rules: dict[Any, Callable[..., Any]] = {
    **phase2.numpy_rules,
    get_p: get,
    swap_p: swap,
    addupdate_p: addupdate,
    broadcast_to_p: broadcast_to,
}


def read(ref: np.ndarray, transforms: Sequence[Transform], indices: Sequence[Any]) -> np.ndarray:
    """What the ref holds there: always a copy, since the next write must not change a value already read."""
    return np.array(transformed(ref, transforms, indices))


def write(ref: np.ndarray, transforms: Sequence[Transform], indices: Sequence[Any], value: Any) -> None:
    """Writes `value` there: through a view where NumPy has one, else into a copy that is then put back."""
    if not transforms:
        ref[...] = value
        return
    first, *rest = transforms
    part = transformed(ref, (first,), indices)
    write(part, rest, indices, value)
    if not np.may_share_memory(part, ref):
        put_back(ref, first, indices, part)


def add(ref: np.ndarray, transforms: Sequence[Transform], indices: Sequence[Any], value: Any) -> None:
    """Adds `value` to what is there: twice to an element that an array of integers names twice."""
    *before, last = transforms or (Index(()),)
    if not isinstance(last, Index):
        before, last = [*before, last], Index(())
    part = transformed(ref, before, indices)
    np.add.at(part, numpy_index(last, indices, part.shape), value)
    if not np.may_share_memory(part, ref):
        write(ref, before, indices, part)


def transformed(ref: np.ndarray, transforms: Sequence[Transform], indices: Sequence[Any]) -> np.ndarray:
    """The part of the ref that a chain of transforms leads to: a view wherever NumPy can make one."""
    for transform in transforms:
        match transform:
            case Index():
                ref = ref[numpy_index(transform, indices, ref.shape)]
            case Reshape(shape):
                ref = ref.reshape(shape)
            case Transpose(permutation):
                ref = ref.transpose(permutation)
            case Bitcast(dtype):
                ref = bitcast(ref, dtype)
    return ref


def put_back(ref: np.ndarray, transform: Transform, indices: Sequence[Any], part: np.ndarray) -> None:
    """Undoes one transform: writes the part that it led to into the ref."""
    match transform:
        case Index():
            ref[numpy_index(transform, indices, ref.shape)] = part
        case Reshape():
            ref[...] = part.reshape(ref.shape)
        case Bitcast():
            ref[...] = bitcast(part, ref.dtype)


def numpy_index(index: Index, operands: Sequence[Any], shape: Sequence[int]) -> tuple[Any, ...]:
    """The index as NumPy's, its dynamic parts taken from `operands`.

    Raises:
      IndexError: if it reaches outside `shape`.
    """
    found: list[Any] = []
    for axis, (part, size) in enumerate(zip(index.indices, shape)):
        if isinstance(part, Slice):
            start = int(_value(part.start, operands))
            length = int(_value(part.size, operands))
            stop = start + (length - 1) * part.stride + 1 if length else start
            if start < 0 or stop > size:
                raise IndexError(
                    f"elements {start} to {stop - 1} of axis {axis} lie outside a ref of shape {tuple(shape)}"
                )
            found.append(slice(start, stop, part.stride))
        else:
            where = _value(part, operands)
            if np.any((np.asarray(where) < 0) | (np.asarray(where) >= size)):
                raise IndexError(f"index {where} of axis {axis} lies outside a ref of shape {tuple(shape)}")
            found.append(int(where) if np.ndim(where) == 0 else where)
    return (*found, ...)  # the dots make it a view, also of a single element


def _value(part: Any, operands: Sequence[Any]) -> Any:
    return operands[part.position] if isinstance(part, IndexOperand) else part


def bitcast(x: np.ndarray, dtype: np.dtype, axis: int = -2) -> np.ndarray:
    """The same bits as another dtype.

    Where the width changes, neighbours along `axis` are packed into one element, or one element is unpacked into
    neighbours, as on a TPU; an array with one axis has only that one.
    """
    if x.dtype.itemsize == dtype.itemsize:
        return x.view(dtype)
    axis = axis if x.ndim > 1 else -1
    words = np.moveaxis(x, axis, -1)
    return np.moveaxis(np.ascontiguousarray(words).view(dtype), -1, axis)


class Interpreter(phase2.Interpreter):
    """Runs a kernel over its grid, on refs that are NumPy arrays."""

    phase = 3

    def run_grid(self, call: KernelCall, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        operands = call.inputs + call.outputs
        inputs = [np.array(a) if written else a for a, written in zip(arrays, call.written_inputs)]
        outputs = [uninitialized(out.shape, out.dtype) for out in call.outputs]
        scratch = [self.fresh(ref) for ref in call.scratch]
        for index in np.ndindex(*self.grid):
            self.grid_index = index
            blocks = [
                Block(array, operand, self.block_start(operand)) for array, operand in zip(inputs + outputs, operands)
            ]
            self.eval_jaxpr(call.jaxpr, call.jaxpr.consts, *(block.ref for block in blocks), *scratch)
            for block in blocks:
                block.write_back()
        return outputs

    def fall_back(self, eqn: Equation, *args: Any) -> Any:
        if not frontend.touches_refs(eqn):
            return super().fall_back(eqn, *args)
        self.refuse_program_id_in(eqn)
        return frontend.run_stateful_equation(eqn, *args)


class Block:
    """The block of an operand that one program sees.

    Attributes:
      ref: the array behind the kernel's ref: a view of the whole array, or, where the block is ragged, a padded copy.
    """

    def __init__(self, array: np.ndarray, operand: Operand, start: Sequence[int]):
        part = array[window(operand, start)]
        self._ragged_part = None
        if part.shape != operand.block_shape:
            padded = uninitialized(operand.block_shape, array.dtype)
            self._inside = padded[tuple(map(slice, part.shape))]
            self._inside[...] = part
            self._ragged_part, part = part, padded
        self.ref = np.squeeze(part, operand.squeezed_axes)

    def write_back(self) -> None:
        """Copies what the kernel wrote to a ragged block into the array."""
        if self._ragged_part is not None and self._ragged_part.flags.writeable:
            self._ragged_part[...] = self._inside


def eval_jaxpr(
    jaxpr: Any, consts: Sequence[Any], *args: Any, rules: Mapping[Any, Callable[..., Any]] = numpy_rules
) -> list[Any]:
    """Evaluates a jaxpr, as `phase1.eval_jaxpr` does, with this phase's rules.

    A ref among the arguments is a NumPy array, which the jaxpr writes in place.
    """
    return phase1.evaluate(Interpreter(rules), jaxpr, consts, args)


def _run(call: KernelCall, *arrays: np.ndarray) -> list[np.ndarray]:
    return Interpreter(numpy_rules).run(call, *arrays)


pallas_call = frontend.pallas_call_on(frontend.Engine("phase 3", _run, by_io_callback=True))
