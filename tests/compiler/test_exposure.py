"""What a kernel may see of the memory that it is given, and which outputs it surely writes in full."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from pallas_np import compiler, frontend, phase5
from pallas_np.compiler.exposure import decides, overwritten, reads_before_it_writes, written_at_first


def traced(kernel: Any, *, index: Any = lambda i, j: (i, 0), rows: int = 32) -> frontend.KernelCall:
    x = np.zeros((32, 4), np.float32)
    call = pl.pallas_call(
        kernel,
        jax.ShapeDtypeStruct((rows, 4), jnp.float32),
        grid=(4, 3),
        in_specs=[pl.BlockSpec((8, 4), lambda i, j: (i, 0))],
        out_specs=pl.BlockSpec((8, 4), index),
        interpret=True,
    )
    found = frontend.trace(call, x)
    assert found is not None
    return found.call


def writes_all(x_ref: Any, out_ref: Any) -> None:
    out_ref[...] = x_ref[...]
    out_ref[...] += 1


def writes_in_parts(x_ref: Any, out_ref: Any) -> None:
    out_ref[:4] = x_ref[:4]
    out_ref[4:] = x_ref[4:]


def writes_twice_in_one_part(x_ref: Any, out_ref: Any) -> None:
    out_ref[:4] = x_ref[:4]
    out_ref[3:7] = x_ref[4:]


def writes_rows_and_columns(x_ref: Any, out_ref: Any) -> None:
    out_ref[0] = x_ref[0]
    out_ref[pl.ds(1, 4, stride=2)] = x_ref[pl.ds(1, 4, stride=2)]
    out_ref[pl.ds(2, 3, stride=2), :2] = x_ref[pl.ds(2, 3, stride=2), :2]
    out_ref[1:, 2:] = x_ref[1:, 2:]


def writes_somewhere(x_ref: Any, out_ref: Any) -> None:
    out_ref[pl.ds(pl.program_id(1), 8)] = x_ref[...]


def reads_between(x_ref: Any, out_ref: Any) -> None:
    out_ref[:4] = x_ref[:4]
    out_ref[4:] = x_ref[4:] + out_ref[4:]


def writes_at_the_end(x_ref: Any, out_ref: Any) -> None:
    @pl.when(pl.program_id(1) == pl.num_programs(1) - 1)
    def _() -> None:
        out_ref[...] = x_ref[...]


def writes_at_the_start(x_ref: Any, out_ref: Any) -> None:
    @pl.when(pl.program_id(1) == 0)
    def _() -> None:
        out_ref[...] = x_ref[...]

    out_ref[...] = out_ref[...] + 1


def reads_first(x_ref: Any, out_ref: Any) -> None:
    out_ref[...] = out_ref[...] + x_ref[...]


@pytest.mark.parametrize(
    "kernel, reads, writes",
    [
        (writes_all, False, True),
        (writes_in_parts, False, True),
        (writes_twice_in_one_part, False, False),
        (writes_rows_and_columns, False, True),
        (writes_somewhere, False, False),
        (reads_between, True, False),
        (writes_at_the_end, False, True),
        (writes_at_the_start, True, False),
        (reads_first, True, False),
    ],
)
def test_accesses_are_found_in_their_order(kernel: Any, reads: bool, writes: bool) -> None:
    call = traced(kernel)
    assert reads_before_it_writes(call.jaxpr, call.outputs[0].ref, {}) == reads
    assert (0 in overwritten(call)) == writes


@pytest.mark.parametrize(
    "kernel, is_filled",
    [
        (writes_all, False),
        (writes_at_the_start, False),
        (writes_in_parts, False),
        (writes_twice_in_one_part, True),
        (writes_at_the_end, True),
    ],
)
def test_scratch_memory_that_the_first_program_overwrites_is_not_filled(kernel: Any, is_filled: bool) -> None:
    def in_scratch(x_ref: Any, out_ref: Any, scratch_ref: Any) -> None:
        kernel(x_ref, scratch_ref)
        out_ref[...] = scratch_ref[...]

    x = jnp.arange(128, dtype=jnp.float32).reshape(32, 4)
    block = pl.BlockSpec((8, 4), lambda i, j: (i, 0))
    options = {"grid": (4, 3), "in_specs": [block], "out_specs": block, "scratch_shapes": [pltpu.VMEM((8, 4), x.dtype)]}
    call = frontend.trace(pl.pallas_call(in_scratch, x, interpret=True, **options), x)
    assert call is not None
    assert (not written_at_first(call.call)) == is_filled
    program = compiler.Compiled(call.call, merge_steps=False)
    assert ("scratch = np.full((8, 4)" in program.source) == is_filled
    given = np.asarray(x)
    assert program.run(call.call, given)[0].tobytes() == phase5.run(call.call, given)[0].tobytes()


def test_what_is_known_of_the_program_decides_conditionals() -> None:
    call = traced(writes_at_the_start)
    assert not reads_before_it_writes(call.jaxpr, call.outputs[0].ref, {1: np.int32(0)})
    assert reads_before_it_writes(call.jaxpr, call.outputs[0].ref, {1: np.int32(1)})


@pytest.mark.parametrize(
    "kernel, decided", [(writes_all, False), (writes_at_the_start, True), (writes_at_the_end, True)]
)
def test_it_is_known_whether_the_step_decides_what_a_kernel_does(kernel: Any, decided: bool) -> None:
    assert decides(traced(kernel).jaxpr, 1) is decided and not decides(traced(kernel).jaxpr, 0)


@pytest.mark.parametrize("index, rows", [(lambda i, j: (i // 2, 0), 32), (lambda i, j: (i, 0), 40)])
def test_blocks_that_leave_something_out_are_noticed(index: Any, rows: int) -> None:
    call = traced(writes_all, index=index, rows=rows)
    assert not overwritten(call)
    out = compiler.run(call, np.zeros((32, 4), np.float32))[0]
    assert np.isnan(out[-1]).all()
