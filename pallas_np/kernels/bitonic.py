"""A bitonic sort of the rows of a 2-D array: the kernel that every phase runs.

The network (K. E. Batcher, "Sorting networks and their applications", AFIPS 1968) sorts n = 2^k elements in k stages.
Stage s merges sorted runs of 2^(s-1) into runs of 2^s, in s steps: in each, every element is compared with the one
whose position differs in a single bit, and the two change places if they are out of order.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

DTYPES = ("float32", "int32", "bfloat16")
UNROLLED_STAGES = 4  # stages in straight-line code: partners at most 8 apart
Items = tuple[jax.Array, ...]  # the keys, and in a sort of pairs their positions


def bitonic_sort(
    keys: Any,
    values: Any = None,
    *,
    pallas_call: Callable[..., Any],
    descending: bool = False,
    block_rows: int = 8,
) -> Any:
    """Sorts each row of `keys`, and each row of `values` along with its keys.

    NaN stands where `jnp.sort` puts it: last in ascending order, first in descending order.  With `values` the sort is
    stable: equal keys keep their order.

    Args:
      keys: (rows, length) array of float32, int32 or bfloat16; `length` is a power of two, 2 or more.
      values: `None`, or an array of the same shape and one of the same dtypes.
      pallas_call: what runs the kernel: `pallas_np.phase5.pallas_call`, say.
      descending: largest first.
      block_rows: how many rows one program sorts.

    Returns:
      The sorted keys; with `values`, the pair (sorted keys, values in the order of their keys).

    Raises:
      TypeError: for a dtype that is not accepted.
      ValueError: for a rank, a row length or a shape that is not accepted.
    """
    arrays = [jnp.asarray(a) for a in (keys, values) if a is not None]
    check_sortable(*arrays)
    if arrays[0].shape[0] == 0:
        return arrays[0] if values is None else tuple(arrays)
    dtypes = [a.dtype for a in arrays]
    sorter = bitonic_sorter(arrays[0].shape, *dtypes, pallas_call=pallas_call, block_rows=block_rows)
    out = sorter(jnp.full((1,), descending, jnp.int32), *arrays)
    return out if values is None else tuple(out)


def bitonic_argsort(
    keys: Any, *, pallas_call: Callable[..., Any], descending: bool = False, block_rows: int = 8
) -> jax.Array:
    """The positions that sort each row of `keys`: int32, of the shape of `keys`.  The order of equal keys is kept.

    Arguments and errors are those of `bitonic_sort`.
    """
    keys = jnp.asarray(keys)
    check_sortable(keys)
    positions = lax.broadcasted_iota(jnp.int32, keys.shape, 1)
    _, order = bitonic_sort(keys, positions, pallas_call=pallas_call, descending=descending, block_rows=block_rows)
    return order


def bitonic_sorter(
    shape: tuple[int, int],
    dtype: Any,
    value_dtype: Any = None,
    *,
    pallas_call: Callable[..., Any],
    block_rows: int = 8,
) -> Callable[..., Any]:
    """The sort for one shape: a function of `(descending, keys)` or `(descending, keys, values)`, to be called often.

    Args:
      shape: (rows, length) of the keys and values.
      dtype: the keys' dtype.
      value_dtype: the values' dtype, or `None` to sort keys alone.
      pallas_call: what runs the kernel.
      block_rows: how many rows one program sorts.

    Returns:
      A function whose first argument is an int32 array of shape (1,): 1 for descending order, 0 for ascending.
    """
    rows, length = shape
    block = pl.BlockSpec((block_rows, length), lambda i: (i, 0))
    order = pl.BlockSpec((1,), lambda i: (0,), memory_space=pltpu.SMEM)
    pairs = value_dtype is not None
    dtypes = (dtype, value_dtype) if pairs else (dtype,)
    scratch_dtypes = (dtype, jnp.int32) if pairs else (dtype,)
    out_shapes = [jax.ShapeDtypeStruct(shape, d) for d in dtypes]
    return pallas_call(
        functools.partial(_sort_pairs_kernel if pairs else _sort_kernel, rows=rows),
        out_shape=out_shapes if pairs else out_shapes[0],
        grid=(pl.cdiv(rows, block_rows),),
        in_specs=[order, *(block for _ in dtypes)],
        out_specs=[block for _ in dtypes] if pairs else block,
        scratch_shapes=[pltpu.VMEM((block_rows, length), d) for d in scratch_dtypes],
    )


def check_sortable(*arrays: Any) -> None:
    """Refuses what `bitonic_sort` does not accept, and says what it does."""
    keys = arrays[0]
    for name, array in zip(("keys", "values"), arrays):
        if str(array.dtype) not in DTYPES:
            raise TypeError(f"{name} must be {', '.join(DTYPES[:-1])} or {DTYPES[-1]}, not {array.dtype}")
        if array.ndim != 2:
            raise ValueError(f"{name} must have two axes, (rows, length), not shape {array.shape}")
        if array.shape != keys.shape:
            raise ValueError(f"values must have the shape of the keys, {keys.shape}, not {array.shape}")
    length = keys.shape[1]
    if length < 2 or length & (length - 1):
        raise ValueError(f"rows must have a power of two of elements, 2 or more, not {length}; pad them to the next")


def _sort_kernel(descending_ref: Any, keys_ref: Any, out_ref: Any, work_ref: Any, *, rows: int) -> None:
    work_ref[...] = _own_rows(keys_ref, rows)
    _sort_rows(work_ref)
    out_ref[...] = work_ref[...]

    @pl.when(descending_ref[0] == 1)
    def _() -> None:
        out_ref[...] = lax.rev(work_ref[...], (1,))


def _sort_pairs_kernel(
    descending_ref: Any,
    keys_ref: Any,
    values_ref: Any,
    out_keys_ref: Any,
    out_values_ref: Any,
    work_ref: Any,
    positions_ref: Any,
    *,
    rows: int,
) -> None:
    column = lax.broadcasted_iota(jnp.int32, keys_ref.shape, 1)
    work_ref[...] = _own_rows(keys_ref, rows)
    positions_ref[...] = column

    last = keys_ref.shape[1] - 1

    @pl.when(descending_ref[0] == 1)
    def _() -> None:  # counted from the right, so that equal keys are in order once the row is reversed
        positions_ref[...] = last - column

    _sort_rows(work_ref, positions_ref)

    @pl.when(descending_ref[0] == 1)
    def _() -> None:
        work_ref[...] = lax.rev(work_ref[...], (1,))
        positions_ref[...] = last - lax.rev(positions_ref[...], (1,))

    out_keys_ref[...] = work_ref[...]
    out_values_ref[...] = jnp.take_along_axis(values_ref[...], positions_ref[...], axis=1)


def _own_rows(ref: Any, rows: int) -> jax.Array:
    """The block, with zeros for the rows that lie past the end of the array."""
    block_rows = ref.shape[0]
    row = pl.program_id(0) * block_rows + lax.broadcasted_iota(jnp.int32, ref.shape, 0)
    return jnp.where(row < rows, ref[...], jnp.zeros(ref.shape, ref.dtype))


def _sort_rows(*refs: Any) -> None:
    """Sorts the rows of the first ref in place; the second, if any, holds positions that go along."""
    length = refs[0].shape[1]
    stages = length.bit_length() - 1
    unrolled = min(stages, UNROLLED_STAGES)
    column = lax.broadcasted_iota(jnp.int32, refs[0].shape, 1)

    _sort_neighbours(refs)
    items: Items = tuple(ref[...] for ref in refs)
    for stage in range(2, unrolled + 1):
        for step in reversed(range(stage)):
            items = _step_near(items, column, 1 << stage, 1 << step)
    _store(refs, items)

    @pl.loop(unrolled + 1, stages + 1)
    def _(stage: Any) -> None:
        run = jnp.int32(1) << stage

        def step(step: Any, items: Items) -> Items:
            return _step_far(items, column, run, run >> (step + 1))

        _store(refs, lax.fori_loop(0, stage, step, tuple(ref[...] for ref in refs)))


def _sort_neighbours(refs: tuple[Any, ...]) -> None:
    """The first stage, in place: even and odd columns are two strided reads of the ref."""
    rows, length = refs[0].shape
    even, odd = pl.ds(0, length // 2, 2), pl.ds(1, length // 2, 2)
    left: Items = tuple(ref[:, even] for ref in refs)
    right: Items = tuple(ref[:, odd] for ref in refs)
    ascending = (lax.broadcasted_iota(jnp.int32, (rows, length // 2), 1) & 1) == 0
    for ref, item in zip(refs, _exchange(left, right, ascending)):
        ref[:, even] = item
    for ref, item in zip(refs, _exchange(right, left, ~ascending)):
        ref[:, odd] = item


def _store(refs: tuple[Any, ...], items: Items) -> None:
    for ref, item in zip(refs, items):
        ref[...] = item


def _step_near(items: Items, column: jax.Array, run: Any, distance: int) -> Items:
    """A step whose partners are a fixed, small distance apart: two rotations bring them together."""
    lower = (column & distance) == 0
    partners = tuple(lax.select(lower, _rotated(x, distance), _rotated(x, -distance)) for x in items)
    return _exchange(items, partners, lower == ((column & run) == 0))


def _rotated(x: jax.Array, distance: int) -> jax.Array:
    """Each row with its first `distance` elements moved to the end."""
    length = x.shape[1]
    first = distance % length
    return lax.concatenate([lax.slice_in_dim(x, first, length, axis=1), lax.slice_in_dim(x, 0, first, axis=1)], 1)


def _step_far(items: Items, column: jax.Array, run: Any, distance: Any) -> Items:
    """A step at any distance, known only at run time: a gather fetches the partners."""
    partner = column ^ distance
    partners = tuple(jnp.take_along_axis(x, partner, axis=1) for x in items)
    return _exchange(items, partners, ((column & distance) == 0) == ((column & run) == 0))


def _exchange(items: Items, partners: Items, wants_smaller: jax.Array) -> Items:
    """Each place keeps its item or takes its partner's: the smaller one where `wants_smaller`, else the larger."""
    takes_partner = lax.select(wants_smaller, _before(partners, items), _before(items, partners))
    return tuple(lax.select(takes_partner, partner, item) for item, partner in zip(items, partners))


def _before(a: Items, b: Items) -> jax.Array:
    """Whether `a` sorts strictly before `b`: by key, NaN after all others, and equal keys by position."""
    first = _key_before(a[0], b[0])
    if len(a) == 1:
        return first
    equal = ~(first | _key_before(b[0], a[0]))
    return first | (equal & (a[1] < b[1]))


def _key_before(a: jax.Array, b: jax.Array) -> jax.Array:
    if not jnp.issubdtype(a.dtype, jnp.floating):
        return a < b
    return (a < b) | ((b != b) & (a == a))
