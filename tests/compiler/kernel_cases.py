"""Kernels that the compiler's tests run: each one a name, a kernel, its call's parameters and its arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu


class Case(NamedTuple):
    """A kernel and a call of it."""

    kernel: Callable[..., None]
    out_shape: Any
    args: tuple[Any, ...]
    options: dict[str, Any]

    def __str__(self) -> str:
        return self.kernel.__name__


def _floats(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _whole(*shape: int, seed: int = 0) -> np.ndarray:
    """Small whole numbers: a product of matrices of them is exact, in whatever order BLAS adds up."""
    return np.random.default_rng(seed).integers(-8, 9, shape).astype(np.float32)


def _special(*shape: int) -> np.ndarray:
    special = np.array([np.nan, 0.0, -0.0, np.inf, 1.0, -1.0], np.float32)
    return np.random.default_rng(0).choice(special, shape)


def _like(x: Any) -> Any:
    return jax.ShapeDtypeStruct(x.shape, x.dtype)


def _vmem(*shape: int) -> Any:
    return pltpu.VMEM(shape, jnp.float32)


def swap_halves(x_ref: Any, out_ref: Any, work_ref: Any) -> None:
    work_ref[...] = x_ref[...]
    left = work_ref[:4]
    work_ref[:4] = work_ref[4:]
    work_ref[4:] = left
    out_ref[...] = work_ref[...]


def reversed_in_place(x_ref: Any, out_ref: Any) -> None:
    out_ref[...] = x_ref[...]
    out_ref[...] = lax.rev(out_ref[...], (0,)) + out_ref[...]


def views_of_what_is_written(x_ref: Any, out_ref: Any, work_ref: Any) -> None:
    work_ref[...] = x_ref[...]
    before = work_ref[...].reshape(2, 4).T
    work_ref[...] = jnp.zeros(8)
    out_ref[...] = before.T.reshape(8) + work_ref[...]


def read_before_a_loop_that_writes(x_ref: Any, out_ref: Any, work_ref: Any) -> None:
    work_ref[...] = x_ref[...]
    before = work_ref[...]

    @pl.loop(0, 3000)
    def _(k: Any) -> None:
        work_ref[...] = work_ref[...] * 0.5 + before

    out_ref[...] = work_ref[...]


def carried_read(x_ref: Any, n_ref: Any, out_ref: Any) -> None:
    out_ref[...] = x_ref[...]

    def body(k: Any, carry: Any) -> Any:
        previous, total = carry
        now = out_ref[...]
        out_ref[...] = now + previous
        return now, total + now[0]

    last, total = lax.fori_loop(0, n_ref[0], body, (jnp.zeros(8), jnp.float32(0)))
    out_ref[...] = out_ref[...] + last * total


def carried_values_of_one_kind(x_ref: Any, n_ref: Any, out_ref: Any) -> None:
    def body(k: Any, carry: Any) -> Any:
        p, q = carry
        halved = p * 0.5
        mixed = (halved * q) * 0.25
        other = (mixed * mixed + q) * 1.5
        return halved, other * 0.5 * q

    p, q = lax.fori_loop(0, n_ref[0], body, (x_ref[...], x_ref[...] * 0.5))
    out_ref[...] = p * 100 + q


def while_with_a_limit(x_ref: Any, n_ref: Any, out_ref: Any) -> None:
    def condition(state: Any) -> Any:
        k, x = state
        return (k < n_ref[0]) & (jnp.sum(x) < 1000.0)

    k, x = lax.while_loop(condition, lambda s: (s[0] + 1, s[1] * 2 + 1), (0, x_ref[...]))
    out_ref[...] = x + k.astype(jnp.float32)


def branches(x_ref: Any, n_ref: Any, out_ref: Any) -> None:
    x = x_ref[...]
    picked = lax.switch(n_ref[0], [lambda: x, lambda: x * 2, lambda: jnp.zeros(8)])
    both = lax.cond(n_ref[0] > 1, lambda: (x, 1.0), lambda: (x + 1, 2.0))
    out_ref[...] = picked + both[0] * both[1]


def scan_with_outputs(x_ref: Any, out_ref: Any) -> None:
    def body(total: Any, row: Any) -> Any:
        total = total + row
        return total, total * 2

    _, rows = lax.scan(body, jnp.zeros(4), x_ref[...])
    out_ref[...] = rows


def long_scan(x_ref: Any, out_ref: Any) -> None:
    def body(carry: Any, row: Any) -> Any:
        k, total = carry
        total = total * 0.5 + row + k.astype(jnp.float32)
        return (k + 2, total), total

    (k, _), rows = lax.scan(body, (jnp.int32(3), jnp.float32(0)), x_ref[...])
    out_ref[...] = rows + k.astype(jnp.float32)


def backwards_scan(x_ref: Any, out_ref: Any) -> None:
    def body(carry: Any, row: Any) -> Any:
        k, total = carry
        return (k + 1, total * 0.5 + row), total + k.astype(jnp.float32)

    _, rows = lax.scan(body, (jnp.int32(0), jnp.float32(0)), x_ref[...], reverse=True)
    out_ref[...] = rows


def matmul(a_ref: Any, b_ref: Any, out_ref: Any, sum_ref: Any) -> None:
    @pl.when(pl.program_id(2) == 0)
    def _() -> None:
        sum_ref[...] = jnp.zeros(sum_ref.shape, sum_ref.dtype)

    sum_ref[...] += jnp.dot(a_ref[...], b_ref[...], preferred_element_type=jnp.float32)

    @pl.when(pl.program_id(2) == pl.num_programs(2) - 1)
    def _() -> None:
        out_ref[...] = sum_ref[...]


def softmax(x_ref: Any, out_ref: Any) -> None:
    x = x_ref[...]
    weights = jnp.exp(x - jnp.max(x, axis=-1, keepdims=True))
    out_ref[...] = weights / jnp.sum(weights, axis=-1, keepdims=True)


def ragged_add(x_ref: Any, y_ref: Any, out_ref: Any) -> None:
    out_ref[...] = x_ref[...] + y_ref[...] * 2


def prefetched_blocks(order_ref: Any, x_ref: Any, out_ref: Any) -> None:
    out_ref[...] = x_ref[...] * 2


def aliased(x_ref: Any, out_ref: Any) -> None:
    second = x_ref[1]
    out_ref[...] = x_ref[...] + 1
    out_ref[0] = second


def index_arithmetic(x_ref: Any, out_ref: Any) -> None:
    i = pl.program_id(0)
    row = (i * 3 + 1) % 4
    out_ref[0] = x_ref[row] + (i // 2).astype(jnp.float32) + jnp.where(i > 1, i, -i)


def scoped_memory(x_ref: Any, out_ref: Any) -> None:
    def body(a_ref: Any, b_ref: Any) -> None:
        a_ref[...] = x_ref[...]
        b_ref[...] = a_ref[...] * 2
        a_ref[...] += b_ref[...]
        out_ref[...] = a_ref[...] - b_ref[...] * 3

    pl.run_scoped(body, _vmem(8), _vmem(8))


def repeated_memory_in_scopes(x_ref: Any, out_ref: Any, work_ref: Any) -> None:
    """`work_ref` holds the same in each row."""
    work_ref[...] = jnp.broadcast_to(x_ref[:1, :], work_ref.shape)

    def body(scoped_ref: Any, *semaphores: Any) -> Any:
        scoped_ref[...] = work_ref[1:3] * 2
        return scoped_ref[...]

    doubled = pl.run_scoped(body, _vmem(2, 8))
    out_ref[...] = doubled + pl.run_scoped(body, _vmem(2, 8), pltpu.SemaphoreType.DMA)


def copies_through_dma(x_ref: Any, out_ref: Any, work_ref: Any, semaphore: Any) -> None:
    work_ref[...] = jnp.zeros(8)
    before = work_ref[...]
    copy = pltpu.make_async_copy(x_ref, work_ref, semaphore)
    copy.start()
    copy.wait()
    out_ref[...] = work_ref[...] + before


def masks(x_ref: Any, out_ref: Any) -> None:
    x = x_ref[...]
    row = lax.broadcasted_iota(jnp.int32, x.shape, 0) + pl.program_id(0)
    scale = jnp.arange(4, dtype=jnp.float32)[:, None]
    out_ref[...] = jnp.where((row % 2 == 0) & (x > 0), x * scale, jnp.where(scale > 1, -x, jnp.float32(7)))


def rows_inside(x_ref: Any, out_ref: Any) -> None:
    """Of 8 rows, in blocks of 2; the last comparison alone depends on the row, and the product wraps."""
    x = x_ref[...]
    row = pl.program_id(0) * 2 + lax.broadcasted_iota(jnp.int32, x.shape, 0)
    x = jnp.where(row < 8, x, jnp.float32(7))
    x = jnp.where((row >= 0) & (row * 3 - 30 < 0) & (row % 8 == row), x, -x)
    x = jnp.where(row + 1 > 8, x * 2, jnp.where(row == 9, x * 3, x))
    x = jnp.where(row * 2**30 < 0, x + 1, x)
    out_ref[...] = jnp.where(row < 7, x, jnp.float32(0))


def steps_that_differ(x_ref: Any, out_ref: Any, work_ref: Any) -> None:
    """The third step finds what the second one left, and the first one of the next row what the last one left."""
    j = pl.program_id(1)

    @pl.when(j == 1)
    def _() -> None:
        work_ref[...] = x_ref[...] * 2

    @pl.when((j == 0) & (pl.program_id(0) == 0))
    def _() -> None:
        work_ref[...] = jnp.ones(8)

    out_ref[...] = jnp.where(j == 0, work_ref[...], out_ref[...] + work_ref[...] * j.astype(jnp.float32))

    @pl.when(j == 2)
    def _() -> None:
        work_ref[...] += out_ref[...] + x_ref[...]


def dma_in_the_first_step(x_ref: Any, out_ref: Any, work_ref: Any, semaphore: Any) -> None:
    @pl.when(pl.program_id(0) == 0)
    def _() -> None:
        copy = pltpu.make_async_copy(x_ref, work_ref, semaphore)
        copy.start()
        copy.wait()

    out_ref[...] = work_ref[...] * (pl.program_id(0) + 1).astype(jnp.float32)


def ragged_steps_that_differ(x_ref: Any, out_ref: Any, work_ref: Any) -> None:
    @pl.when(pl.program_id(0) == 0)
    def _() -> None:
        work_ref[...] = jnp.zeros(8)

    out_ref[...] = x_ref[...] + work_ref[...]
    work_ref[...] += 1


def equal_or_not(x_ref: Any, y_ref: Any, out_ref: Any) -> None:
    x, y = x_ref[...], y_ref[...]
    number, nan = x == x, x != x
    out_ref[...] = jnp.where(number & (x != y), x, y) + jnp.where(nan | ~(x == y), y, x) + jnp.where(y != x, 1.0, 2.0)


def rolled(x_ref: Any, out_ref: Any) -> None:
    x = x_ref[...]
    order = (lax.iota(jnp.int32, 4) * 3) % 4
    out_ref[...] = jnp.roll(x, 3, 1) + jnp.take(x, order, axis=0) + x[:, ::-1]


def rearranged(x_ref: Any, out_ref: Any) -> None:
    x = x_ref[...]
    even = lax.broadcasted_iota(jnp.int32, x.shape, 1) % 2 == 0
    turned = jnp.roll(jnp.flip(x, 0), 2, axis=1)
    swapped = jnp.where(even, turned, jnp.flip(turned, 1))
    mixed = jnp.where(even[:, ::-1], swapped, x).reshape(x.shape[::-1]).T
    smaller = (mixed < x) | ((x != x) & (mixed == mixed))
    both = jnp.where(even, smaller, x < 0) ^ jnp.where(smaller, x > 0, mixed > 0)
    out_ref[...] = jnp.where(both, mixed, x + 1)


def rearranged_planes(x_ref: Any, out_ref: Any) -> None:
    """On each axis of three, one after the other, so that ever fewer leading axes stay as they are."""
    x = x_ref[...]
    plane, row, column = (lax.broadcasted_iota(jnp.int32, x.shape, axis) for axis in range(3))
    columns = jnp.where(column % 3 == 0, jnp.roll(x, 1, 2), x[:, :, ::-1])
    rows = jnp.where(row % 2 == 0, jnp.roll(columns, 2, 1), columns)
    both = jnp.where((row + column) % 2 == 0, rows, columns)
    planes = jnp.where(plane == 1, jnp.flip(both, 0), rows)
    ordered = jnp.take_along_axis(columns, (row * 5 + column) % 6, axis=1)
    repeated = jnp.take(columns, (jnp.arange(6) * 5) % 6, axis=1)
    turned = columns.transpose(0, 2, 1).reshape(4, 48)[:, ::-1].reshape(4, 6, 8)
    smaller = jnp.concatenate([rows[1:3, 2:], rows[2:, :4]], axis=0)
    out_ref[...] = planes + 3 * both + 5 * ordered + 7 * repeated + 9 * turned
    out_ref[:, 1:5] += smaller


def columns_in_groups(x_ref: Any, out_ref: Any) -> None:
    """Columns whose numbers differ in one bit change places; then groups of columns rotate."""
    x = x_ref[...]
    column = lax.broadcasted_iota(jnp.int32, x.shape, 1)
    for distance in (1, 2, 4, 8, 16):
        partner = jnp.where((column & distance) == 0, jnp.roll(x, -distance, 1), jnp.roll(x, distance, 1))
        x = x * 0.5 + partner
    for shift in (1, 2, 4, 8, 16):
        turned = jnp.take_along_axis(x, (column + shift) % x.shape[1], axis=1)
        x = x * 0.5 + turned
    out_ref[...] = x


def _with_partner(x: Any, distance: int) -> tuple[Any, Any]:
    """Which columns come first in pairs `distance` apart, and the other column of each pair."""
    column = lax.broadcasted_iota(jnp.int32, x.shape, 1)
    lower = (column & distance) == 0
    return lower, jnp.where(lower, jnp.roll(x, -distance, 1), jnp.roll(x, distance, 1))


def network_of_extrema(x_ref: Any, out_ref: Any) -> None:
    """Falling runs, then rising ones; the fourth step's result is needed twice."""
    x = x_ref[...]
    column = lax.broadcasted_iota(jnp.int32, x.shape, 1)
    for distance, run in ((1, 2), (2, 4), (1, 4), (4, 8)):
        lower, partner = _with_partner(x, distance)
        falls = lower != ((column & run) == 0)
        x = jnp.where(falls, jnp.minimum(x, partner), jnp.maximum(partner, x))
    between = x
    for distance in (4, 2, 1):
        lower, partner = _with_partner(x, distance)
        x = jnp.where(lower, jnp.minimum(partner, x), jnp.maximum(x, partner))
    out_ref[...] = x + between


def network_of_choices(x_ref: Any, out_ref: Any) -> None:
    """NaNs stay where they are, since nothing is less than one; the last masks do not belong to a network."""
    x = x_ref[...]
    for distance in (8, 4, 2, 1):
        lower, partner = _with_partner(x, distance)
        x = jnp.where(jnp.where(lower, partner < x, x < partner), partner, x)
    column = lax.broadcasted_iota(jnp.int32, x.shape, 1)
    for wanted in (column < 8, column % 3 == 0, column >= 0):
        _, partner = _with_partner(x, 1)
        x = jnp.where(jnp.where(wanted, partner < x, x < partner), partner, x)
    out_ref[...] = x


def _with_neighbour(x: Any, even: Any, odd: Any, run: int) -> tuple[Any, Any]:
    """The even and the odd columns after a step between neighbours, in rising and falling runs."""
    column = 2 * lax.broadcasted_iota(jnp.int32, even.shape, 1)
    rises = (column & run) == 0
    takes = jnp.where(rises, odd < even, even < odd)
    return jnp.where(takes, odd, even), jnp.where(takes, even, odd)


def network_in_memory(x_ref: Any, out_ref: Any, work_ref: Any) -> None:
    """The first step is between neighbours; each stage is written to memory, and the next one reads it."""
    work_ref[...] = x_ref[...]
    size = x_ref.shape[1] // 2
    even, odd = (work_ref[:, pl.ds(first, size, stride=2)] for first in (0, 1))
    even, odd = _with_neighbour(x_ref, even, odd, 2)
    work_ref[:, pl.ds(0, size, stride=2)] = even
    work_ref[:, pl.ds(1, size, stride=2)] = odd
    column = lax.broadcasted_iota(jnp.int32, x_ref.shape, 1)
    for stage in (2, 3, 4):
        x = work_ref[...]
        for step in reversed(range(stage)):
            lower, partner = _with_partner(x, 1 << step)
            smaller = lower == ((column & (1 << stage)) == 0)
            x = jnp.where(jnp.where(smaller, partner < x, x < partner), partner, x)
        work_ref[...] = x
    out_ref[...] = work_ref[...]


def _sorted_blocks(items: list[Any], column: Any) -> list[Any]:
    """A bitonic sort whose columns are in several values."""
    width = column.shape[1]
    for stage in range(1, (len(items) * width).bit_length()):
        for step in reversed(range(stage)):
            run, distance = 1 << stage, 1 << step
            for n, item in enumerate(items):
                if distance < width:
                    lower, partner = _with_partner(item, distance)
                    smaller = lower == (((column + n * width) & run) == 0)
                    items[n] = jnp.where(smaller, jnp.minimum(item, partner), jnp.maximum(item, partner))
                elif not n & (distance // width):
                    other = n + distance // width
                    pair = jnp.minimum(item, items[other]), jnp.maximum(item, items[other])
                    items[n], items[other] = pair if not (n * width) & run else pair[::-1]
    return items


def network_of_blocks(x_ref: Any, out_ref: Any) -> None:
    column = lax.broadcasted_iota(jnp.int32, (x_ref.shape[0], 8), 1)
    items = _sorted_blocks([x_ref[:, 8 * n : 8 * n + 8] for n in range(4)], column)
    for n, item in enumerate(items):
        out_ref[:, 8 * n : 8 * n + 8] = item


def network_of_blocks_in_another_order(x_ref: Any, out_ref: Any) -> None:
    """Blocks change places, and one of them is used again."""
    column = lax.broadcasted_iota(jnp.int32, (x_ref.shape[0], 8), 1)
    items = _sorted_blocks([x_ref[:, 8 * n : 8 * n + 8] for n in (1, 0, 2, 3)], column)
    for n, item in enumerate([jnp.minimum(items[0], items[2]), items[2], items[1], items[3]]):
        out_ref[:, 8 * n : 8 * n + 8] = item


def network_of_blocks_that_change(x_ref: Any, out_ref: Any, work_ref: Any) -> None:
    """A write between reads of the blocks, and a read between the writes."""
    column = lax.broadcasted_iota(jnp.int32, (x_ref.shape[0], 16), 1)
    work_ref[:, 8:] = x_ref[:, 8:]
    work_ref[:, :8] = x_ref[:, :8]
    first = work_ref[:, :16]
    work_ref[:, 8:24] = x_ref[:, 8:24] * 2
    first, second = _sorted_blocks([first, work_ref[:, 16:]], column)
    out_ref[:, :16] = first
    work_ref[...] = x_ref[...] + out_ref[:, 3:4]
    out_ref[:, 16:] = second
    out_ref[...] += work_ref[...]


def network_of_blocks_that_are_read_late(x_ref: Any, out_ref: Any) -> None:
    """The first block is written before the last two are read, so that the four cannot be taken together."""

    def merged(n: int) -> Any:
        item = x_ref[:, 8 * n : 8 * n + 8]
        for distance in (4, 2, 1):
            lower, partner = _with_partner(item, distance)
            item = jnp.where(lower, jnp.minimum(item, partner), jnp.maximum(item, partner))
        return item

    def in_order(a: Any, b: Any) -> tuple[Any, Any]:
        return jnp.minimum(a, b), jnp.maximum(a, b)

    a, b = in_order(merged(0), merged(1))
    out_ref[:, :8] = a
    c, d = in_order(merged(2), merged(3))
    out_ref[:, 8:16] = c
    b, d = in_order(b, d)
    out_ref[:, 16:24] = b
    out_ref[:, 24:] = d


def pairs_that_are_no_network(x_ref: Any, out_ref: Any) -> None:
    """Minima and maxima of numbers, of narrow floats, and of what a loop carries on."""
    low, high = jnp.minimum(x_ref[0, 0], x_ref[0, 1]), jnp.maximum(x_ref[0, 0], x_ref[0, 1])
    narrow = [x_ref[:, 8 * n : 8 * n + 8].astype(jnp.bfloat16) for n in range(4)]
    for apart in (1, 2, 1):
        for n in (n for n in range(4) if not n & apart):
            pair = narrow[n], narrow[n + apart]
            narrow[n], narrow[n + apart] = jnp.minimum(*pair), jnp.maximum(*pair)

    def turn(k: Any, items: tuple[Any, Any]) -> tuple[Any, Any]:
        merged = []
        for item in (items[0] * 0.5, items[1] + 1):
            for distance in (4, 2, 1):
                lower, partner = _with_partner(item, distance)
                item = jnp.where(lower, jnp.minimum(item, partner), jnp.maximum(item, partner))
            merged.append(item)
        return jnp.minimum(*merged), jnp.maximum(*merged)

    first, second = lax.fori_loop(0, 3000, turn, (x_ref[:, :8], x_ref[:, 8:16]))
    row = x_ref[:1, :]
    lower, partner = _with_partner(jnp.broadcast_to(row, x_ref.shape), 2)
    rows = jnp.where(lower, jnp.minimum(row, partner), jnp.maximum(row, partner))
    parts = [first, second, *(n.astype(jnp.float32) for n in narrow[:2])]
    out_ref[...] = jnp.concatenate(parts, axis=1) + rows + low - high


def written_in_an_arm(x_ref: Any, n_ref: Any, out_ref: Any, work_ref: Any) -> None:
    work_ref[...] = x_ref[...] * 2

    @pl.when(n_ref[0] > 3)
    def _() -> None:
        work_ref[...] = x_ref[...] + 1
        out_ref[...] = work_ref[...] * work_ref[...]

    @pl.when(n_ref[0] <= 3)
    def _() -> None:
        out_ref[...] = work_ref[...]

    out_ref[...] += work_ref[...]


def written_alike_in_both_arms(x_ref: Any, n_ref: Any, out_ref: Any, work_ref: Any) -> None:
    doubled = x_ref[...] * 2

    def one() -> Any:
        work_ref[...] = doubled
        return x_ref[...]

    def other() -> Any:
        work_ref[...] = x_ref[...]
        work_ref[...] = doubled
        return work_ref[...] + 1

    out_ref[...] = lax.cond(n_ref[0] > 3, one, other) + work_ref[...]


def written_in_a_loop_that_may_not_run(x_ref: Any, n_ref: Any, out_ref: Any, work_ref: Any) -> None:
    work_ref[...] = x_ref[...] + 1
    before = work_ref[...]

    def body(k: Any, total: Any) -> Any:
        found = work_ref[...]
        work_ref[...] = found * 0.5
        return total + found - work_ref[...]

    total = lax.fori_loop(0, n_ref[0], body, before)
    out_ref[...] = total * 100 + work_ref[...]


def written_before_a_loop_reads_it(x_ref: Any, n_ref: Any, out_ref: Any, work_ref: Any) -> None:
    """What a turn leaves, the next one finds; a write that nobody reads stands between."""
    work_ref[...] = jnp.zeros(8)
    out_ref[...] = jnp.zeros(8)

    def body(k: Any, _: Any) -> Any:
        out_ref[...] += work_ref[...]
        work_ref[...] = jnp.ones(8)
        work_ref[...] = x_ref[...] * k.astype(jnp.float32)
        return _

    lax.fori_loop(0, n_ref[0], body, None)


def written_again_before_the_value_is_used(x_ref: Any, out_ref: Any, work_ref: Any) -> None:
    total = x_ref[...] + 1
    work_ref[...] = total
    product = work_ref[...] * work_ref[...]
    work_ref[...] = product
    out_ref[...] = total
    out_ref[...] += work_ref[...] - total


def written_in_parts(x_ref: Any, out_ref: Any, work_ref: Any) -> None:
    """Even and odd columns, one of them twice; then a part that is neither."""
    work_ref[...] = jnp.zeros(8)
    work_ref[pl.ds(1, 4, stride=2)] = x_ref[4:]
    out_ref[...] = work_ref[...]
    work_ref[pl.ds(0, 4, stride=2)] = x_ref[:4]
    work_ref[pl.ds(1, 4, stride=2)] = x_ref[pl.ds(0, 4, stride=2)]
    out_ref[...] += work_ref[...] * 10
    out_ref[:4] += work_ref[2:6]
    work_ref[pl.ds(0, 4)] = work_ref[pl.ds(1, 4, stride=2)]
    out_ref[...] += work_ref[...] * 100


def added_to_what_was_written(x_ref: Any, out_ref: Any, work_ref: Any) -> None:
    work_ref[...] = x_ref[...]
    more = work_ref[...] + 1
    work_ref[2:5] = work_ref[3:6]
    jax.ref.addupdate(work_ref, (slice(None),), more)
    out_ref[...] = jax.ref.swap(work_ref, (slice(None),), x_ref[...])
    out_ref[...] += work_ref[...]


def product_that_is_kept(x_ref: Any, out_ref: Any, work_ref: Any) -> None:
    """A value of a loop's outside is stored in it, and used after it."""
    total = x_ref[...] + 1

    @pl.loop(0, 3000)
    def _(k: Any) -> None:
        work_ref[...] = total
        work_ref[...] = work_ref[...] * 0.5

    out_ref[...] = total + work_ref[...]


def products_with_one_matrix(x_ref: Any, y_ref: Any, z_ref: Any, out_ref: Any) -> None:
    """The programs share `y` and `z`; one product is of rows, the other one of columns."""
    first = jnp.dot(x_ref[...], y_ref[...], preferred_element_type=jnp.float32)
    second = lax.dot_general(x_ref[...], z_ref[...], (((0,), (1,)), ((), ())), preferred_element_type=jnp.float32)
    out_ref[...] = first + second


def places_in_memory(x_ref: Any, order_ref: Any, out_ref: Any) -> None:
    first, second = order_ref[0], order_ref[1]
    out_ref[...] = jnp.zeros(8)
    out_ref[pl.ds(first, 4)] = x_ref[pl.ds(second, 4)]
    out_ref[pl.ds(second, 2)] += x_ref[pl.ds(first, 2, stride=3)]
    out_ref[second] = x_ref[first + second]


def _with_nans(*shape: int) -> np.ndarray:
    x = _floats(*shape)
    return np.where(x > 0.7, np.float32(np.nan), np.where(x < -0.7, np.float32(-0.0), x))


_X8, _N = _floats(8), np.array([5], np.int32)
_SMEM = pl.BlockSpec(memory_space=pltpu.SMEM)
_ROWS = {
    "grid": (4,),
    "in_specs": [pl.BlockSpec((1, 64), lambda i: (i, 0))],
    "out_specs": pl.BlockSpec((1, 64), lambda i: (i, 0)),
}
_WORK = {"scratch_shapes": [_vmem(8)]}
_VECTOR = {
    "grid": (3,),
    "in_specs": [pl.BlockSpec((8,), lambda i: (i,))] * 2,
    "out_specs": pl.BlockSpec((8,), lambda i: (i,)),
}


def _scalar_and(*specs: Any) -> dict[str, Any]:
    return {"in_specs": [pl.BlockSpec(), _SMEM], **dict(*specs)}


CASES = [
    *(Case(rearranged, _like(x), (x,), {}) for x in (_with_nans(4, 6), _with_nans(64, 64))),
    Case(rearranged_planes, _like(_floats(4, 6, 8)), (_floats(4, 6, 8),), {}),
    Case(swap_halves, _like(_X8), (_X8,), _WORK),
    Case(reversed_in_place, _like(_X8), (_X8,), {}),
    Case(views_of_what_is_written, _like(_X8), (_X8,), _WORK),
    Case(read_before_a_loop_that_writes, _like(_X8), (_X8,), _WORK),
    Case(carried_read, _like(_X8), (_X8, _N), _scalar_and()),
    Case(carried_values_of_one_kind, _like(_X8), (_X8, _N), _scalar_and()),
    Case(while_with_a_limit, _like(_X8), (_X8, _N), _scalar_and()),
    *(Case(branches, _like(_X8), (_X8, np.array([n], np.int32)), _scalar_and()) for n in (-1, 0, 1, 2, 3)),
    Case(scan_with_outputs, _like(_floats(6, 4)), (_floats(6, 4),), {}),
    Case(long_scan, _like(_floats(3000)), (_floats(3000),), {}),
    Case(backwards_scan, _like(_floats(3000)), (_floats(3000),), {}),
    Case(
        matmul,
        jax.ShapeDtypeStruct((32, 48), jnp.float32),
        (_whole(32, 64), _whole(64, 48, seed=1)),
        {
            "grid": (2, 3, 4),
            "in_specs": [
                pl.BlockSpec((16, 16), lambda i, j, k: (i, k)),
                pl.BlockSpec((16, 16), lambda i, j, k: (k, j)),
            ],
            "out_specs": pl.BlockSpec((16, 16), lambda i, j, k: (i, j)),
            "scratch_shapes": [_vmem(16, 16)],
        },
    ),
    Case(softmax, _like(_floats(4, 64)), (_floats(4, 64),), _ROWS),
    Case(ragged_add, _like(_floats(20)), (_floats(20), _floats(20, seed=1)), _VECTOR),
    Case(
        prefetched_blocks,
        jax.ShapeDtypeStruct((24,), jnp.float32),
        (np.array([2, 0, 1], np.int32), _floats(24)),
        {
            "grid_spec": pltpu.PrefetchScalarGridSpec(
                num_scalar_prefetch=1,
                grid=(3,),
                in_specs=[pl.BlockSpec((8,), lambda i, order: (order[i],))],
                out_specs=pl.BlockSpec((8,), lambda i, order: (i,)),
            )
        },
    ),
    *(Case(columns_in_groups, _like(x), (x,), {}) for x in (_floats(3, 32), _floats(128, 64))),
    *(
        Case(kernel, _like(x), (x,), {})
        for kernel in (network_of_extrema, network_of_choices)
        for x in (_floats(3, 16), _special(4, 16), np.arange(32, dtype=np.int32).reshape(2, 16) * 7 % 11)
    ),
    *(
        Case(network_in_memory, _like(x), (x,), {"scratch_shapes": [pltpu.VMEM(x.shape, x.dtype)]})
        for x in (_floats(3, 16), _special(4, 16), np.arange(32, dtype=np.int32).reshape(2, 16) * 7 % 11)
    ),
    *(
        Case(kernel, _like(x), (x,), {})
        for kernel in (
            network_of_blocks,
            network_of_blocks_in_another_order,
            network_of_blocks_that_are_read_late,
        )
        for x in (_floats(3, 32), _special(4, 32), np.arange(64, dtype=np.int32).reshape(2, 32) * 7 % 31)
    ),
    Case(pairs_that_are_no_network, _like(_floats(3, 32)), (_floats(3, 32),), {}),
    Case(network_of_blocks_that_change, _like(_floats(3, 32)), (_floats(3, 32),), {"scratch_shapes": [_vmem(3, 32)]}),
    *(
        Case(kernel, _like(_X8), (_X8, np.array([n], np.int32)), _scalar_and(_WORK))
        for kernel in (
            written_in_an_arm,
            written_alike_in_both_arms,
            written_in_a_loop_that_may_not_run,
            written_before_a_loop_reads_it,
        )
        for n in (0, 5)
    ),
    *(
        Case(kernel, _like(_X8), (_X8,), _WORK)
        for kernel in (
            written_again_before_the_value_is_used,
            written_in_parts,
            added_to_what_was_written,
            product_that_is_kept,
        )
    ),
    Case(
        products_with_one_matrix,
        _like(_floats(32, 8)),
        (_whole(32, 8), _whole(8, 8, seed=1), _whole(8, 8, seed=2)),
        {
            "grid": (4,),
            "in_specs": [pl.BlockSpec((8, 8), lambda i: (i, 0)), *[pl.BlockSpec((8, 8), lambda i: (0, 0))] * 2],
            "out_specs": pl.BlockSpec((8, 8), lambda i: (i, 0)),
        },
    ),
    Case(places_in_memory, _like(_X8), (_X8, np.array([3, 2], np.int32)), _scalar_and()),
    Case(aliased, _like(_X8), (_X8,), {"input_output_aliases": {0: 0}}),
    Case(
        index_arithmetic,
        jax.ShapeDtypeStruct((4, 8), jnp.float32),
        (_floats(4, 8),),
        {"grid": (4,), "out_specs": pl.BlockSpec((1, 8), lambda i: (i, 0))},
    ),
    Case(scoped_memory, _like(_X8), (_X8,), {}),
    Case(repeated_memory_in_scopes, _like(_floats(2, 8)), (_floats(2, 8),), {"scratch_shapes": [_vmem(4, 8)]}),
    Case(copies_through_dma, _like(_X8), (_X8,), {"scratch_shapes": [_vmem(8), pltpu.SemaphoreType.DMA]}),
    Case(masks, _like(_floats(4, 8)), (_floats(4, 8),), {"grid": (2,)}),
    Case(
        rows_inside,
        _like(_floats(8, 8)),
        (_floats(8, 8),),
        {
            "grid": (4,),
            "in_specs": [pl.BlockSpec((2, 8), lambda i: (i, 0))],
            "out_specs": pl.BlockSpec((2, 8), lambda i: (i, 0)),
        },
    ),
    Case(
        steps_that_differ,
        _like(_floats(2, 8)),
        (_floats(6, 8),),
        {
            "grid": (2, 3),
            "in_specs": [pl.BlockSpec((None, 8), lambda i, j: (3 * i + j, 0))],
            "out_specs": pl.BlockSpec((None, 8), lambda i, j: (i, 0)),
            **_WORK,
        },
    ),
    Case(
        dma_in_the_first_step,
        _like(_floats(3, 8)),
        (_X8,),
        {
            "grid": (3,),
            "out_specs": pl.BlockSpec((None, 8), lambda i: (i, 0)),
            "scratch_shapes": [_vmem(8), pltpu.SemaphoreType.DMA],
        },
    ),
    Case(
        ragged_steps_that_differ,
        _like(_floats(20)),
        (_floats(20),),
        {**_VECTOR, "in_specs": _VECTOR["in_specs"][:1], **_WORK},
    ),
    *(
        Case(equal_or_not, _like(x), (x, np.roll(x, 1, 0)), {**_ROWS, "in_specs": _ROWS["in_specs"] * 2})
        for x in (_floats(4, 64), np.tile(_special(4, 8), (1, 8)))
    ),
    Case(rolled, _like(_floats(4, 8)), (_floats(4, 8),), {}),
]
