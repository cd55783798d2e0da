"""The kernels that are measured: each with its arguments, its twin in NumPy, and what is too long to run."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from benchmarks import floors, twins
from pallas_np.kernels import bitonic

PallasCall = Callable[..., Callable[..., Any]]


@dataclass(frozen=True)
class Case:
    """A kernel to measure.

    Attributes:
      name: what the tables call it.
      make: from a `pallas_call` to the call of a fresh kernel function.
      args: the call's arguments, JAX arrays.
      twin: the same in NumPy, of NumPy arrays.
      floor: the least that NumPy has to do for it, of NumPy arrays; its result goes to `out`.
      steps: programs of the grid.
      tolerance: how far a result may be from the twin's, relative and absolute; 0 means equal.
      dots: whether the arithmetic of large dots takes most of the time.
      library: whether the kernel lies in a function with operations of JAX's own, which are called under `jit`.
      too_long: engines that are left out, with the reason.
    """

    name: str
    make: Callable[[PallasCall], Callable[..., Any]]
    args: tuple[Any, ...]
    twin: Callable[..., Any]
    floor: Callable[..., Any]
    steps: int
    tolerance: float = 0.0
    dots: bool = False
    library: bool = False
    too_long: Mapping[str, str] = field(default_factory=dict)


def floats(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def like(x: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype)


def vector_add(steps: int = 97, block: int = 1024) -> Case:
    x, y = floats(steps * block), floats(steps * block, seed=1)
    spec = pl.BlockSpec((block,), lambda i: (i,))

    def make(pallas_call: PallasCall) -> Callable[..., Any]:
        def add_kernel(x_ref: Any, y_ref: Any, out_ref: Any) -> None:
            out_ref[...] = x_ref[...] + y_ref[...]

        return pallas_call(add_kernel, like(x), grid=(steps,), in_specs=[spec, spec], out_specs=spec)

    return Case("vector add", make, (x, y), functools.partial(twins.add, block=block), np.add, steps)


def copy(steps: int, block: int = 128) -> Case:
    x, spec = floats(steps * block), pl.BlockSpec((block,), lambda i: (i,))

    def make(pallas_call: PallasCall) -> Callable[..., Any]:
        def copy_kernel(x_ref: Any, out_ref: Any) -> None:
            out_ref[...] = x_ref[...]

        return pallas_call(copy_kernel, like(x), grid=(steps,), in_specs=[spec], out_specs=spec)

    too_long = {}
    if steps > 1000:
        too_long = dict.fromkeys(("interpret", "interpret jit", "tpu"), "its cost for each step grows with the array")
    twin = functools.partial(twins.copy, block=block)
    return Case(f"copy, {steps:,} steps", make, (x,), twin, floors.copy, steps, too_long=too_long)


def matmul(size: int, block: int = 128) -> Case:
    x, y = floats(size, size), floats(size, size, seed=1)

    def make(pallas_call: PallasCall) -> Callable[..., Any]:
        def matmul_kernel(x_ref: Any, y_ref: Any, out_ref: Any, sum_ref: Any) -> None:
            @pl.when(pl.program_id(2) == 0)
            def _() -> None:
                sum_ref[...] = jnp.zeros_like(sum_ref)

            sum_ref[...] += jnp.dot(x_ref[...], y_ref[...], preferred_element_type=jnp.float32)

            @pl.when(pl.program_id(2) == pl.num_programs(2) - 1)
            def _() -> None:
                out_ref[...] = sum_ref[...]

        square = (block, block)
        return pallas_call(
            matmul_kernel,
            like(x),
            grid=(size // block,) * 3,
            in_specs=[pl.BlockSpec(square, lambda i, j, s: (i, s)), pl.BlockSpec(square, lambda i, j, s: (s, j))],
            out_specs=pl.BlockSpec(square, lambda i, j, s: (i, j)),
            scratch_shapes=[pltpu.VMEM(square, jnp.float32)],
        )

    twin = functools.partial(twins.matmul, block=block)
    return Case(f"matmul {size:,}", make, (x, y), twin, np.matmul, (size // block) ** 3, 1e-3, dots=True)


def softmax(rows: int = 256, length: int = 512) -> Case:
    x, spec = floats(rows, length), pl.BlockSpec((1, length), lambda i: (i, 0))

    def make(pallas_call: PallasCall) -> Callable[..., Any]:
        def softmax_kernel(x_ref: Any, out_ref: Any) -> None:
            weights = jnp.exp(x_ref[...] - jnp.max(x_ref[...], axis=1, keepdims=True))
            out_ref[...] = weights / jnp.sum(weights, axis=1, keepdims=True)

        return pallas_call(softmax_kernel, like(x), grid=(rows,), in_specs=[spec], out_specs=spec)

    return Case(f"softmax {rows} × {length}", make, (x,), twins.softmax, floors.softmax, rows, 1e-5)


def layer_norm(rows: int = 256, length: int = 512, epsilon: float = 1e-5) -> Case:
    x, scale, shift = floats(rows, length), floats(1, length, seed=1), floats(1, length, seed=2)
    row, whole = pl.BlockSpec((1, length), lambda i: (i, 0)), pl.BlockSpec((1, length), lambda i: (0, 0))

    def make(pallas_call: PallasCall) -> Callable[..., Any]:
        def layer_norm_kernel(x_ref: Any, scale_ref: Any, shift_ref: Any, out_ref: Any) -> None:
            centred = x_ref[...] - jnp.mean(x_ref[...], axis=1, keepdims=True)
            variance = jnp.mean(centred * centred, axis=1, keepdims=True)
            out_ref[...] = centred * lax.rsqrt(variance + epsilon) * scale_ref[...] + shift_ref[...]

        return pallas_call(layer_norm_kernel, like(x), grid=(rows,), in_specs=[row, whole, whole], out_specs=row)

    twin, floor = (functools.partial(by_hand.layer_norm, epsilon=epsilon) for by_hand in (twins, floors))
    return Case(f"layer norm {rows} × {length}", make, (x, scale, shift), twin, floor, rows, 1e-4)


def sort(rows: int, length: int) -> Case:
    """The book's sort."""
    block_rows = 8

    def make(pallas_call: PallasCall) -> Callable[..., Any]:
        return bitonic.bitonic_sorter((rows, length), jnp.float32, pallas_call=pallas_call, block_rows=block_rows)

    def twin(descending: Any, keys: np.ndarray) -> np.ndarray:
        return twins.sort(keys, block_rows, bitonic.UNROLLED_STAGES)

    def floor(descending: Any, keys: np.ndarray, out: np.ndarray) -> None:
        floors.sort(keys, out)

    args = (jnp.zeros(1, jnp.int32), floats(rows, length))
    return Case(f"sort {rows:,} × {length:,}", make, args, twin, floor, -(-rows // block_rows))


def unrolled_sort(tiles: int = 8, tile: tuple[int, int] = (8, 128)) -> Case:
    """A sort with every stage unrolled and every tile in a variable of its own: thousands of equations, no loop."""
    rows, width = tile
    length = tiles * width
    x = floats(rows, length)

    def make(pallas_call: PallasCall) -> Callable[..., Any]:
        def unrolled_sort_kernel(x_ref: Any, out_ref: Any) -> None:
            column = lax.broadcasted_iota(jnp.int32, tile, 1)
            items = [x_ref[:, t * width : (t + 1) * width] for t in range(tiles)]
            for stage in range(1, length.bit_length()):
                for step in reversed(range(stage)):
                    _unrolled_step(items, column, 1 << stage, 1 << step)
            for t, item in enumerate(items):
                out_ref[:, t * width : (t + 1) * width] = item

        return pallas_call(unrolled_sort_kernel, like(x))

    reason = "its compilation takes minutes"
    twin = functools.partial(twins.sort_in_tiles, tile=width)
    return Case(f"unrolled sort {rows} × {length:,}", make, (x,), twin, floors.sort, 1, too_long={"tpu": reason})


def _unrolled_step(items: list[Any], column: Any, run: int, distance: int) -> None:
    """One step of the network on all the tiles: across tiles, or within each."""
    width = column.shape[1]
    if distance >= width:
        apart = distance // width
        for low in (t for t in range(len(items)) if not t & apart):
            pair = (jnp.minimum(items[low], items[low + apart]), jnp.maximum(items[low], items[low + apart]))
            rising = not (low * width) & run
            items[low], items[low + apart] = pair if rising else pair[::-1]
        return
    lower = (column & distance) == 0
    for t, item in enumerate(items):
        partner = jnp.where(lower, jnp.roll(item, -distance, axis=1), jnp.roll(item, distance, axis=1))
        smaller = lower == (((column + t * width) & run) == 0)
        items[t] = jnp.where(smaller, jnp.minimum(item, partner), jnp.maximum(item, partner))


def attention(length: int, width: int = 64, block: int = 128) -> Case:
    """Flash attention with a loop over the blocks of keys inside the kernel."""
    q, k, v = (floats(length, width, seed=seed) for seed in range(3))
    scale = width**-0.5

    def make(pallas_call: PallasCall) -> Callable[..., Any]:
        def attention_kernel(q_ref: Any, k_ref: Any, v_ref: Any, out_ref: Any) -> None:
            queries = q_ref[...]

            def visit(j: Any, state: Any) -> Any:
                best, total, mixed = state
                keys, values = k_ref[pl.ds(j * block, block), :], v_ref[pl.ds(j * block, block), :]
                scores = jnp.dot(queries, keys.T, preferred_element_type=jnp.float32) * scale
                new = jnp.maximum(best, jnp.max(scores, axis=1, keepdims=True))
                weights, kept = jnp.exp(scores - new), jnp.exp(best - new)
                total = total * kept + jnp.sum(weights, axis=1, keepdims=True)
                mixed = mixed * kept + jnp.dot(weights, values, preferred_element_type=jnp.float32)
                return new, total, mixed

            column = jnp.zeros((block, 1), jnp.float32)
            start = (column - jnp.inf, column, jnp.zeros((block, width), jnp.float32))
            _, total, mixed = lax.fori_loop(0, length // block, visit, start)
            out_ref[...] = mixed / total

        rows, whole = pl.BlockSpec((block, width), lambda i: (i, 0)), pl.BlockSpec((length, width), lambda i: (0, 0))
        return pallas_call(
            attention_kernel, like(q), grid=(length // block,), in_specs=[rows, whole, whole], out_specs=rows
        )

    twin = functools.partial(twins.attention, block=block, scale=scale)
    floor = functools.partial(floors.attention, scale=scale)
    return Case(
        f"attention {length:,} × {width}", make, (q, k, v), twin, floor, length // block, 1e-4, dots=length > 512
    )


def shipped(module: ModuleType, function: Callable[..., Any]) -> Callable[[PallasCall], Callable[..., Any]]:
    """A library's function, with another `pallas_call` in the place of the one that its module calls.

    The function makes a kernel function anew whenever it is called.  What `pallas_call` made of the first one is called
    again by later calls: as in the other cases, only the first call traces the kernel.
    """

    def make(pallas_call: PallasCall) -> Callable[..., Any]:
        made: list[Callable[..., Any]] = []

        def ours(*args: Any, interpret: Any = None, **options: Any) -> Any:  # the library's own `interpret` is dropped
            if not made:
                made.append(pallas_call(*args, **options))
            return made[0]

        def call(*args: Any) -> Any:
            with mock.patch.object(module, "pl", SimpleNamespace(**{**vars(pl), "pallas_call": ours})):
                return function(*args)

        return call

    return make


def flash_attention(length: int = 256, width: int = 64, block: int = 128) -> Case:
    """JAX's own flash attention for the TPU."""
    module = importlib.import_module("jax.experimental.pallas.ops.tpu.flash_attention")

    arrays = tuple(floats(1, 2, length, width, seed=seed) for seed in range(3))
    sizes = module.BlockSizes(block_q=block, block_k_major=block, block_k=block, block_b=1)

    def function(q: Any, k: Any, v: Any) -> Any:
        return module.flash_attention.__wrapped__(q, k, v, sm_scale=width**-0.5, block_sizes=sizes)

    twin = functools.partial(twins.heads, block=block, scale=width**-0.5)
    floor = functools.partial(floors.heads, scale=width**-0.5)
    name = f"JAX's flash attention {length} × {width}"
    return Case(name, shipped(module, function), arrays, twin, floor, 2 * (length // block) ** 2, 1e-4, library=True)


def grouped_matmul(rows: int = 384, inner: int = 256, columns: int = 256, block: int = 128) -> Case:
    """JAX's own grouped matmul for the TPU, with groups that share tiles."""
    module = importlib.import_module("jax.experimental.pallas.ops.tpu.megablox.gmm")

    sizes = jnp.asarray([100, 156, 128], jnp.int32)

    def function(x: Any, y: Any, sizes: Any) -> Any:
        return module.gmm.__wrapped__(x, y, sizes, jnp.float32, (block, block, block))

    twin = functools.partial(twins.grouped_matmul, block=block)
    args = (floats(rows, inner), floats(3, inner, columns, seed=1), sizes)
    steps = (columns // block) * 5 * (inner // block)
    name = f"JAX's grouped matmul {rows} × {inner}"
    return Case(name, shipped(module, function), args, twin, floors.grouped_matmul, steps, 1e-3, library=True)


CASES: dict[str, Callable[[], Case]] = {
    "add": vector_add,
    **{f"copy{steps}": functools.partial(copy, steps) for steps in (10, 100, 1_000, 10_000, 100_000)},
    **{f"matmul{size}": functools.partial(matmul, size) for size in (256, 1024)},
    "softmax": softmax,
    "layer_norm": layer_norm,
    **{f"sort{r}x{n}": functools.partial(sort, r, n) for r, n in ((8, 128), (64, 128), (1024, 128), (64, 1024))},
    "unrolled_sort": unrolled_sort,
    **{f"attention{length}": functools.partial(attention, length) for length in (256, 1024)},
    "flash_attention": flash_attention,
    "grouped_matmul": grouped_matmul,
}
