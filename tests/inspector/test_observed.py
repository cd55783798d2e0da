"""What the observed interpreter tells is what happens: applied one after the other, its writes give the contents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jax.experimental.pallas import triton as plt
from recorded_kernels import matmul_arrays, matmul_call

import pallas_np
from pallas_np import phase5
from pallas_np.frontend import Equation, trace
from pallas_np.inspector.observed import Access, Observed, Observer, Ref

I32 = jnp.int32


class Replay(Observer):
    """Keeps each ref as its accesses say, and compares with what it holds, after each equation."""

    def __init__(self) -> None:
        self.held: dict[int, np.ndarray] = {}
        self.accesses: list[Access] = []
        self.equations: list[str] = []

    def step_begins(self, at: Observed, windows: Any, refs: list[Ref]) -> None:
        self.held = {id(ref.array): np.array(ref.array) for ref in refs}

    def accessed(self, at: Observed, access: Access) -> None:
        self.accesses.append(access)
        if access.kind == "new":
            self.held[id(access.ref.array)] = np.array(access.after)
        held = self.held[id(access.ref.array)].reshape(-1)
        if access.before.dtype == held.dtype:
            np.testing.assert_array_equal(held[access.positions], access.before)
        if access.kind != "read":
            held[access.positions] = access.after
        if access.part is not None:
            by_part = np.arange(held.size).reshape(access.ref.array.shape)[(*access.part, ...)]
            np.testing.assert_array_equal(by_part.ravel(), access.positions.ravel())

    def equation_ends(self, at: Observed, eqn: Equation, args: Any, results: Any) -> None:
        self.equations.append(eqn.name)
        for ref in at.refs.values():
            if ref.inside is None:
                np.testing.assert_array_equal(ref.array, self.held[id(ref.array)])


def replay(call: Any, *args: Any) -> Replay:
    with pallas_np.installed():  # a pipeline asks which TPU it runs on
        traced = trace(call, *args)
    assert traced is not None
    observer = Replay()
    operands = [np.asarray(args[o]) if isinstance(o, int) else o for o in traced.operands]
    outputs = Observed(observer).run(traced.call, *operands)
    for output, plain in zip(outputs, phase5.run(traced.call, *operands)):
        np.testing.assert_array_equal(output, plain)
    return observer


def scoped(x_ref: Any, out_ref: Any) -> None:
    def body(temporary_ref: Any) -> None:
        temporary_ref[...] = x_ref[...] * 2
        out_ref[...] = temporary_ref[...]

    pl.run_scoped(body, pltpu.VMEM((2, 4), I32))
    pl.run_scoped(body, pltpu.VMEM((2, 4), I32))


def copied_by_dma(x_ref: Any, out_ref: Any) -> None:
    def body(semaphore: Any) -> None:
        copy = pltpu.make_async_copy(x_ref.at[1], out_ref.at[0], semaphore)
        copy.start()
        copy.wait()
        out_ref[1] = x_ref[0]

    pl.run_scoped(body, pltpu.SemaphoreType.DMA)


def masked(x_ref: Any, out_ref: Any) -> None:
    lanes = jnp.arange(4)
    row = plt.load(x_ref.at[1, pl.ds(0, 4)], mask=lanes < 3, other=0)
    out_ref[...] = jnp.zeros((2, 4), I32)
    plt.store(out_ref.at[0, pl.ds(0, 4)], row, mask=lanes % 2 == 0)


def atomic(x_ref: Any, out_ref: Any) -> None:
    out_ref[...] = x_ref[...]
    plt.atomic_add(out_ref, (0, jnp.minimum(jnp.arange(3), 1)), 10 + jnp.arange(3))


def gathered(x_ref: Any, out_ref: Any) -> None:
    rows = 1 - jnp.arange(2)
    out_ref[...] = x_ref[rows]
    out_ref[rows, :] = x_ref[...]


def seen_through_transforms(x_ref: Any, out_ref: Any) -> None:
    out_ref[...] = x_ref[...]
    flat = out_ref.reshape(8)
    flat[pl.ds(3, 2)] = flat[pl.ds(0, 2)]
    out_ref.bitcast(jnp.float32)[0, 1:3] = jnp.ones(2, jnp.float32)


def pipelined(x_ref: Any, out_ref: Any) -> None:
    def body(x_block: Any, out_block: Any) -> None:
        out_block[...] = x_block[...] + 1

    spec = pl.BlockSpec((1, 4), lambda i: (i, 0))
    pltpu.emit_pipeline(body, grid=(2,), in_specs=[spec], out_specs=[spec])(x_ref, out_ref)


@pytest.mark.parametrize(
    "kernel", [scoped, copied_by_dma, masked, atomic, gathered, seen_through_transforms, pipelined]
)
def test_accesses_replay_to_the_contents(kernel: Callable[..., None]) -> None:
    spec = pl.BlockSpec(memory_space=pl.ANY) if kernel is pipelined else pl.BlockSpec((2, 4))
    call = pl.pallas_call(kernel, out_shape=jax.ShapeDtypeStruct((2, 4), I32), in_specs=[spec], out_specs=spec)
    found = replay(call, np.arange(8, dtype=np.int32).reshape(2, 4))
    written = {access.ref.name for access in found.accesses if access.kind != "read"}
    assert "out_ref" in written and "x_ref" not in written


def test_a_pipelines_blocks_are_parts_of_its_refs() -> None:
    spec = pl.BlockSpec(memory_space=pl.ANY)
    call = pl.pallas_call(pipelined, out_shape=jax.ShapeDtypeStruct((2, 4), I32), in_specs=[spec], out_specs=spec)
    found = replay(call, np.zeros((2, 4), np.int32))
    writes = [access for access in found.accesses if access.kind == "write" and access.ref.name == "out_ref"]
    assert [access.positions.ravel().tolist() for access in writes] == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_scopes_of_the_same_name_are_new_each_time() -> None:
    call = pl.pallas_call(scoped, out_shape=jax.ShapeDtypeStruct((2, 4), I32))
    found = replay(call, np.zeros((2, 4), np.int32))
    assert [a.ref.name for a in found.accesses if a.kind == "new"] == ["temporary_ref", "temporary_ref"]


def test_masked_lanes_are_not_touched() -> None:
    call = pl.pallas_call(masked, out_shape=jax.ShapeDtypeStruct((2, 4), I32))
    found = replay(call, np.arange(8, dtype=np.int32).reshape(2, 4))
    read, _, write = (access.positions.tolist() for access in found.accesses)
    assert read == [4, 5, 6] and write == [0, 2]


def test_an_input_and_its_alias_have_both_names() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] + 1

    call = pl.pallas_call(kernel, out_shape=jax.ShapeDtypeStruct((3,), I32), input_output_aliases={0: 0})
    assert {access.ref.name for access in replay(call, np.zeros(3, np.int32)).accesses} == {"x_ref=out_ref"}


def test_index_maps_are_not_part_of_the_kernel() -> None:
    found = replay(matmul_call(), *matmul_arrays())
    assert found.equations.count("dot_general") == 4 and "mul" not in found.equations


def test_the_cores_of_a_mesh_tell_of_the_same_launch() -> None:
    class Cores(Observer):
        def __init__(self) -> None:
            self.steps: list[tuple[int, tuple[int, ...]]] = []

        def step_ends(self, at: Observed) -> None:
            self.steps.append((at.launch, at.grid_index))

    mesh = pltpu.create_tensorcore_mesh("core", num_cores=2)

    def kernel(x_ref: Any, out_ref: Any) -> None:
        core = jax.lax.axis_index("core")
        pltpu.sync_copy(x_ref.at[core], out_ref.at[core])

    from pallas_np.inspector import everything_watched_by

    cores = Cores()
    x = jnp.arange(8, dtype=I32).reshape(2, 4)
    with everything_watched_by(lambda engine, call, *arrays: Observed(cores).run(call, *arrays)):
        out = pl.kernel(kernel, out_type=jax.ShapeDtypeStruct((2, 4), I32), mesh=mesh)(x)
    np.testing.assert_array_equal(out, x)
    assert sorted(index for _, index in cores.steps) == [(0,), (1,)]
    assert len({launch for launch, _ in cores.steps}) == 1
