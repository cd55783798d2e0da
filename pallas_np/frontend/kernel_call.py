"""A Pallas call as plain data: what `pl.pallas_call(kernel, ...)(*args)` asks for, with no JAX object to interpret."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from jax._src.pallas import core as pallas_core
from jax._src.pallas.mosaic import core as mosaic_core
from jax._src.state.types import AccumEffect, WriteEffect

from pallas_np.errors import KernelError, as_kernel_error, kernel_traceback
from pallas_np.frontend.jaxpr import Jaxpr, Var, all_equations, as_jaxpr, param_readers
from pallas_np.frontend.locations import location_of_function
from pallas_np.frontend.primitives import atomic_cas_p, atomic_rmw_p, debug_barrier_p, pallas_call_p
from pallas_np.frontend.refs import Operand as IndexOperand
from pallas_np.frontend.refs import Slice, plain_index


@dataclass(frozen=True, slots=True)
class BlockDim:
    """One axis of a block.

    Attributes:
      kind: how the index map's answer for this axis becomes a position in the array.  `"blocked"`: it counts blocks of
        `size`; `"element"`: it counts elements, with `padding` elements round the array; `"squeezed"`: it counts
        elements, the block takes one, and the ref has no such axis; `"bounded_slice"`: it is a slice of at most `size`;
        `"indirect"`: it is a vector of `size` positions.
      size: the block's length along the axis, in elements.
      padding: elements of padding before and after the array (`"element"` only).
    """

    kind: Literal["blocked", "element", "squeezed", "bounded_slice", "indirect"]
    size: int
    padding: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Operand:
    """An input or output of the call: an array, and the block of it that each program sees.

    Attributes:
      name: what the kernel calls its ref, for messages; where it stands in the call (`"args[0]"`, `"outputs"`), if
        JAX does not know.
      shape: the whole array's shape.
      dtype: its dtype.
      block: one `BlockDim` for each axis of the array.
      index_map: from the grid indices (int32 scalars) and the scalar-prefetch refs to the block's indices.
      indices: for each axis of the array, which of the index map's results is its index; of a `"bounded_slice"`, a
        `Slice` whose start and size may be such results.
      ref: the kernel's ref: the block's shape with squeezed axes dropped, and its memory space.
    """

    name: str
    shape: tuple[int, ...]
    dtype: Any
    block: tuple[BlockDim, ...]
    index_map: Jaxpr
    indices: tuple[IndexOperand | Slice, ...]
    ref: Var

    @property
    def block_shape(self) -> tuple[int, ...]:
        """The block's shape on the array, squeezed axes as 1."""
        return tuple(dim.size for dim in self.block)

    @property
    def squeezed_axes(self) -> tuple[int, ...]:
        """The axes of the array that the kernel's ref does not have."""
        return tuple(axis for axis, dim in enumerate(self.block) if dim.kind == "squeezed")


@dataclass(frozen=True, eq=False)
class KernelCall:
    """A traced `pallas_call`.

    The call takes `num_dynamic_grid_bounds` grid bounds, then the scalar-prefetch operands, then the inputs.  The
    kernel takes the prefetch refs, the input refs, the output refs and the scratch refs, in this order.

    Attributes:
      name: the kernel's name and source, `"add_kernel at add.py:3"`.
      grid: the number of programs along each axis; `None` where it comes as a leading operand.
      vmapped_dims: axes of the grid that `vmap` added and `program_id` does not count.
      prefetch: the scalar-prefetch refs.
      inputs: the inputs with their blocks.
      outputs: the outputs with their blocks.
      scratch: the scratch refs.
      aliases: pairs (input, output) that share one buffer; inputs are counted with the prefetch operands before them.
      written_prefetch: for each scalar-prefetch ref, whether the kernel writes to it.
      written_inputs: for each input, whether the kernel writes to its ref.
      jaxpr: the kernel.
      axis_names: the names of the grid's axes; `()` if they have none.
      is_mesh: whether the grid is a mesh: its programs run on cores of their own, at the same time.
      is_gpu: whether it is for a GPU, where a block is a part of the array itself, and not a copy.  A call that says
        nothing of its compiler is, if it uses what only a GPU has.
      parallel_axes: axes of the grid along which programs may run at the same time.  On a TPU they are those that
        `dimension_semantics` declares parallel, and those that `vmap` added; on a GPU, all.
      jax_params: the parameters of JAX's own equation; empty if there is none.
      latest: a weak reference to the program that an engine made of the call and ran last, which has its `options`, and
        a `run` like the engine's; `None` if there is none.
    """

    name: str
    grid: tuple[int | None, ...]
    vmapped_dims: tuple[int, ...]
    prefetch: tuple[Var, ...]
    inputs: tuple[Operand, ...]
    outputs: tuple[Operand, ...]
    scratch: tuple[Var, ...]
    aliases: tuple[tuple[int, int], ...]
    written_prefetch: tuple[bool, ...]
    written_inputs: tuple[bool, ...]
    jaxpr: Jaxpr
    trace_env: Callable[[], Any] = field(repr=False)
    jax_jaxpr: Any = field(repr=False)
    axis_names: tuple[Any, ...] = ()
    is_mesh: bool = False
    is_gpu: bool = False
    parallel_axes: tuple[int, ...] = ()
    jax_params: Mapping[str, Any] = field(default_factory=dict, repr=False)
    latest: Callable[[], Any] | None = field(default=None, init=False, repr=False)

    def latest_with(self, options: Any) -> Any:
        """The `latest`, if there still is one and these very options are its own; else `None`."""
        program = self.latest and self.latest()
        return program if program is not None and program.options is options else None

    def keep_latest(self, program: Any) -> None:
        """Makes `program` the `latest`, which lasts as long as somebody else keeps it."""
        object.__setattr__(self, "latest", weakref.ref(program))

    @cached_property
    def num_dynamic_grid_bounds(self) -> int:
        """How many leading operands of the call are grid bounds."""
        return sum(size is None for size in self.grid)

    @property
    def num_programs(self) -> int:
        """How many programs a static grid has."""
        return math.prod(size for size in self.grid if size is not None)

    @cached_property
    def aliased_inputs(self) -> dict[int, int]:
        """For each output that has an input's buffer, by number, that input, prefetch operands not counted."""
        return {output: given - len(self.prefetch) for given, output in self.aliases}

    @cached_property
    def changed_inputs(self) -> tuple[bool, ...]:
        """For each input, whether its buffer is written to: through its own ref, or an output's."""
        aliased = self.aliased_inputs.values()
        return tuple(written or n in aliased for n, written in enumerate(self.written_inputs))

    @cached_property
    def unmapped_axes(self) -> tuple[int, ...]:
        """The grid's axis that each axis of `program_id` stands for: all but the vmapped ones."""
        return tuple(axis for axis in range(len(self.grid)) if axis not in self.vmapped_dims)


def kernel_call(params: dict[str, Any]) -> KernelCall:
    """Reads the parameters of a `pallas_call` equation.

    Raises:
      UnsupportedError: for an equation, or a kind of block, that cannot be read.
    """
    try:
        return _read_call(params)
    except (KernelError, NotImplementedError) as error:
        raise _naming(params["jaxpr"].debug_info, as_kernel_error(error)) from None


def _naming(kernel: Any, error: KernelError) -> KernelError:
    """The error with the kernel's name, and a traceback that ends in it."""
    where = location_of_function(kernel)
    error.kernel = error.kernel or kernel.func_name
    error.stack = error.stack or (() if where is None else (where,))
    error.kernel_traceback = kernel_traceback(error.stack, {})
    return error.with_traceback(error.kernel_traceback)


def _read_call(params: dict[str, Any]) -> KernelCall:
    mapping = params["grid_mapping"]
    jaxpr = as_jaxpr(params["jaxpr"])
    blocks = mapping.block_mappings
    first = mapping.num_index_operands
    refs = jaxpr.invars[first : first + len(blocks)]
    effects = written_refs(params["jaxpr"].effects)
    written = tuple(v in effects for v in params["jaxpr"].invars)
    operands = [_operand(block, ref) for block, ref in zip(blocks, refs)]
    compiler_params = params.get("compiler_params")
    is_gpu = _is_gpu(compiler_params, jaxpr)
    return KernelCall(
        name=jaxpr_name(params["jaxpr"]),
        grid=tuple(size if isinstance(size, int) else None for size in mapping.grid),
        vmapped_dims=tuple(mapping.vmapped_dims),
        prefetch=jaxpr.invars[:first],
        inputs=tuple(operands[: mapping.num_inputs]),
        outputs=tuple(operands[mapping.num_inputs :]),
        scratch=jaxpr.invars[first + len(blocks) :],
        aliases=tuple(params["input_output_aliases"]),
        written_prefetch=written[:first],
        written_inputs=written[first : first + mapping.num_inputs],
        jaxpr=jaxpr,
        trace_env=mapping.trace_env,
        jax_jaxpr=params["jaxpr"],
        axis_names=tuple(mapping.grid_names or ()),
        is_mesh=params["mesh"] is not None,
        is_gpu=is_gpu,
        parallel_axes=_parallel_axes(compiler_params, mapping, is_gpu),
        jax_params=params,
    )


GPU_PRIMITIVES = frozenset([atomic_cas_p, atomic_rmw_p, debug_barrier_p])


def _is_gpu(compiler_params: Any, jaxpr: Jaxpr) -> bool:
    if compiler_params is None:
        return any(eqn.primitive in GPU_PRIMITIVES for eqn in all_equations(jaxpr))
    return not isinstance(compiler_params, mosaic_core.CompilerParams)


def _parallel_axes(compiler_params: Any, mapping: Any, is_gpu: bool) -> tuple[int, ...]:
    axes, added = range(len(mapping.grid)), tuple(mapping.vmapped_dims)
    semantics = getattr(compiler_params, "dimension_semantics", None)
    if semantics is None:
        return tuple(axes) if is_gpu else added
    declared = iter(str(getattr(kind, "value", kind)) for kind in semantics)
    return tuple(axis for axis in axes if axis in added or "parallel" in next(declared, ""))


param_readers[pallas_call_p] = lambda params, known: {"call": kernel_call(params)}


def jaxpr_name(jaxpr: Any) -> str:
    """The name and source of the function that a JAX jaxpr was traced from."""
    return str(jaxpr.debug_info.func_src_info)


def written_refs(effects: Any) -> set[Any]:
    """The JAX variables of the refs that a jaxpr's or an equation's effects write to."""
    return {effect.input for effect in effects if isinstance(effect, (WriteEffect, AccumEffect))}


def _operand(block: Any, ref: Var) -> Operand:
    aval = block.array_aval
    dims = tuple(map(_block_dim, block.block_shape))
    index_map = as_jaxpr(block.index_map_jaxpr)
    results = [IndexOperand(i) for i in range(len(index_map.outvars))]
    indices = tuple(map(plain_index, block.index_map_out_tree.unflatten(results)))
    return Operand(ref.name or str(block.origin), Var(aval).shape, Var(aval).dtype, dims, index_map, indices, ref)


def _block_dim(dim: Any) -> BlockDim:
    match dim:
        case pallas_core.Squeezed():
            return BlockDim("squeezed", 1)
        case pallas_core.Element():
            return BlockDim("element", dim.block_size, tuple(dim.padding))
        case pallas_core.Blocked():
            return BlockDim("blocked", dim.block_size)
        case pallas_core.BoundedSlice():
            return BlockDim("bounded_slice", dim.block_size)
        case pallas_core.Indirect():
            return BlockDim("indirect", dim.block_size)
    raise NotImplementedError(f"a block dimension of type {type(dim).__name__} is not supported")


def grid_of(call: KernelCall, bounds: Sequence[Any]) -> tuple[int, ...]:
    """The grid of one run, its dynamic bounds filled in from the call's leading operands."""
    given = iter(bounds)
    return tuple(int(np.asarray(next(given))) if size is None else size for size in call.grid)
