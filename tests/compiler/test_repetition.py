"""Scratch memory that holds the same all along an axis is held once, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from pallas_np import Options, compiler, frontend, phase5
from pallas_np.compiler.repetition import repeated_axes

Kernel = Callable[[Any, Any, Any], None]
ROWS, LANES, BLOCKS = 8, 16, 3


def call_of(kernel: Kernel, dtype: Any = jnp.float32) -> tuple[frontend.TracedCall, np.ndarray]:
    """A kernel that sees block after block of x, and has scratch memory of a block's shape."""
    x = np.random.default_rng(0).standard_normal((ROWS, LANES * BLOCKS)).astype(dtype)
    x[0, 3], x[1, 20], x[2, ::7] = np.nan, np.inf, -0.0
    found = frontend.trace(
        pl.pallas_call(
            kernel,
            jax.ShapeDtypeStruct((ROWS, LANES), dtype),
            grid=(BLOCKS,),
            in_specs=[pl.BlockSpec((ROWS, LANES), lambda i: (0, i))],
            out_specs=pl.BlockSpec((ROWS, LANES), lambda i: (0, 0)),
            scratch_shapes=[pltpu.VMEM((ROWS, LANES), dtype)],
            interpret=True,
        ),
        x,
    )
    assert found is not None
    return found, x


def held(kernel: Kernel, dtype: Any = jnp.float32, **options: Any) -> tuple[int, ...]:
    """The shape of the scratch memory that a program has or would have; its results are checked to be phase 5's."""
    call, x = call_of(kernel, dtype)
    program = compiler.Compiled(call.call, Options(**options))
    (got,) = program.run(call.call, x)
    (wanted,) = phase5.run(call.call, x, options=Options(**options))
    assert got.tobytes() == wanted.tobytes()
    ((ref, repeated),) = repeated_axes(call.call, Options(**options)).items()
    return tuple(1 if axis in repeated else size for axis, size in enumerate(ref.shape))


def per_row(x: Any) -> Any:
    return jnp.max(x, axis=1, keepdims=True)


def at_start(ref: Any, value: float) -> None:
    @pl.when(pl.program_id(0) == 0)
    def _() -> None:
        ref[...] = jnp.full(ref.shape, value, ref.dtype)


# Held once.


def running_maximum(x_ref: Any, out_ref: Any, best_ref: Any) -> None:
    at_start(best_ref, -jnp.inf)
    best_ref[...] = jnp.maximum(best_ref[...], per_row(x_ref[...]))
    out_ref[...] = jnp.exp(x_ref[...] - best_ref[...])


def added_up(x_ref: Any, out_ref: Any, sum_ref: Any) -> None:
    at_start(sum_ref, 0)
    sum_ref[...] += jnp.broadcast_to(per_row(x_ref[...]), sum_ref.shape)
    out_ref[...] = x_ref[...] * jnp.where(sum_ref[...] == 0, 1, sum_ref[...])


def read_before_it_is_written(x_ref: Any, out_ref: Any, last_ref: Any) -> None:
    out_ref[...] = x_ref[...] + last_ref[...]
    last_ref[...] = jnp.broadcast_to(per_row(x_ref[...]), last_ref.shape)


def parts_of_lanes(x_ref: Any, out_ref: Any, best_ref: Any) -> None:
    best_ref[2:6, :] = jnp.broadcast_to(per_row(x_ref[2:6, :]), (4, LANES))
    best_ref[pl.ds(jnp.argmax(x_ref[0]) % 4, 1), :] = jnp.full((1, LANES), 2, best_ref.dtype)
    out_ref[...] = jnp.tile(best_ref[...][:, :8], (1, 2))
    out_ref[:, 4:12] = best_ref[:, 3:11]
    out_ref[:, 0] = best_ref[:, 5]


def inside_a_loop(x_ref: Any, out_ref: Any, best_ref: Any) -> None:
    at_start(best_ref, -jnp.inf)

    def body(i: Any, _: Any) -> Any:
        best_ref[...] = jnp.maximum(best_ref[...], x_ref[:, pl.ds(i, 1)])
        return _

    lax.fori_loop(0, LANES, body, None)
    out_ref[...] = best_ref[...]


def in_every_row(x_ref: Any, out_ref: Any, best_ref: Any) -> None:
    best_ref[...] = jnp.broadcast_to(jnp.max(x_ref[...], axis=0, keepdims=True), best_ref.shape)
    out_ref[...] = best_ref[...] + x_ref[...]


@pytest.mark.parametrize(
    "kernel, shape",
    [
        (running_maximum, (ROWS, 1)),
        (added_up, (ROWS, 1)),
        (read_before_it_is_written, (ROWS, 1)),
        (parts_of_lanes, (ROWS, 1)),
        (inside_a_loop, (ROWS, 1)),
        (in_every_row, (1, LANES)),
    ],
)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=["float32", "bfloat16"])
def test_what_repeats_is_held_once(kernel: Kernel, shape: tuple[int, ...], dtype: Any) -> None:
    assert held(kernel, dtype) == shape


# Whole.


def another_value_in_one_lane(x_ref: Any, out_ref: Any, best_ref: Any) -> None:
    best_ref[...] = jnp.zeros(best_ref.shape, best_ref.dtype)
    best_ref[:, 3] = x_ref[:, 3]
    out_ref[...] = best_ref[...]


def other_values_in_the_last_program(x_ref: Any, out_ref: Any, best_ref: Any) -> None:
    at_start(best_ref, 0)

    @pl.when(pl.program_id(0) == BLOCKS - 1)
    def _() -> None:
        best_ref[...] = x_ref[...]

    out_ref[...] = best_ref[...]


def what_is_added_differs(x_ref: Any, out_ref: Any, sum_ref: Any) -> None:
    at_start(sum_ref, 0)
    sum_ref[...] += x_ref[...]
    out_ref[...] = sum_ref[...]


def summed(x_ref: Any, out_ref: Any, best_ref: Any) -> None:
    best_ref[...] = jnp.broadcast_to(per_row(x_ref[...]) * jnp.float32(0.1).astype(x_ref.dtype), best_ref.shape)
    out_ref[...] = x_ref[...] + jnp.sum(best_ref[...] * 3, axis=1, keepdims=True)


def multiplied(x_ref: Any, out_ref: Any, best_ref: Any) -> None:
    best_ref[...] = jnp.broadcast_to(per_row(x_ref[...]), best_ref.shape)
    out_ref[...] = x_ref[...] + jnp.dot(best_ref[...], x_ref[...].T, precision="highest")[:, :1]


def carried_round(x_ref: Any, out_ref: Any, best_ref: Any) -> None:
    best_ref[...] = jnp.broadcast_to(per_row(x_ref[...]), best_ref.shape)
    out_ref[...] = lax.fori_loop(0, 3000, lambda i, best: best * 0.5 + 1, best_ref[...])


def of_two_branches(x_ref: Any, out_ref: Any, best_ref: Any) -> None:
    best_ref[...] = jnp.broadcast_to(per_row(x_ref[...]), best_ref.shape)
    best = lax.cond(x_ref[3, 3] > 0, lambda: best_ref[...], lambda: best_ref[...] * 2)
    out_ref[...] = x_ref[...] + best


def lane_in_memory(x_ref: Any, out_ref: Any, best_ref: Any) -> None:
    best_ref[...] = jnp.broadcast_to(per_row(x_ref[...]), best_ref.shape)
    lane = jnp.argmax(x_ref[3])
    out_ref[...] = x_ref[...] + best_ref[:, pl.ds(lane, 1)]


@pytest.mark.parametrize(
    "kernel",
    [
        another_value_in_one_lane,
        other_values_in_the_last_program,
        what_is_added_differs,
        summed,
        multiplied,
        carried_round,
        of_two_branches,
        lane_in_memory,
    ],
)
def test_what_does_not_repeat_or_is_needed_whole_is_whole(kernel: Kernel) -> None:
    assert held(kernel) == (ROWS, LANES)


def test_a_clamped_place_is_in_whole_memory() -> None:
    assert held(parts_of_lanes, out_of_bounds="clamp") == (ROWS, LANES)
