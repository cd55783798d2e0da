"""`pallas_np.coverage` and `python -m pallas_np coverage` say of each primitive what the tables say."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax._src.pallas.mosaic import core as tpu_core
from jax.ad_checkpoint import checkpoint_name
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

import pallas_np
from pallas_np import phase5
from pallas_np.__main__ import main
from pallas_np.frontend import lowering_tables
from pallas_np.primitive_coverage import INTERPRET, INTERPRET_ONLY, Row, all_primitives

HERE = Path(__file__).name
X = jnp.arange(8.0)


def rows_of(table: Any) -> dict[str, Row]:
    return {row.primitive: row for row in table.rows}


def kernel(x_ref: Any, out_ref: Any) -> None:
    i = pl.program_id(0)

    @pl.when(i >= 0)
    def _() -> None:
        def step(j: Any, total: Any) -> Any:
            return total + x_ref[j]

        out_ref[...] = lax.fori_loop(0, 4, step, jnp.float32(0)) + jnp.sort(lax.erf(x_ref[...]))


def called(function: Any = kernel, **options: Any) -> Any:
    block = pl.BlockSpec((4,), lambda i: (i + 0 * i,))
    return pl.pallas_call(function, out_shape=X, grid=(2,), in_specs=[block], out_specs=block, **options)


def numpy_call(function: Any = kernel) -> Any:
    block = pl.BlockSpec((4,), lambda i: (i,))
    return pallas_np.pallas_call(function, X, grid=(2,), in_specs=[block], out_specs=block)


# One kernel.


def test_a_row_for_each_primitive_of_the_kernel_with_its_phase() -> None:
    table = pallas_np.coverage(called(), X)
    phases = {row.primitive: row.phase for row in table.rows}
    wanted = {"program_id": 2, "add": 2, "get": 3, "swap": 3, "cond": 4, "scan": 4, "sort": 5, "erf": 5}
    assert wanted.items() <= phases.items()
    assert table.unsupported == ()


def test_what_runs_a_primitive_comes_from_its_rule() -> None:
    rows = rows_of(pallas_np.coverage(called(), X))
    assert (rows["add"].by, rows["add"].function) == ("NumPy", "numpy.add")
    assert (rows["erf"].by, rows["erf"].function) == ("lax_reference", "jax._src.lax_reference.erf")
    assert (rows["sort"].by, rows["sort"].function) == ("pallas_np", "pallas_np.lax_numpy.sorting.sort")
    assert rows["scan"].function == "pallas_np.phase4.scan"


def test_equations_in_loops_conditionals_and_index_maps_count_once_each() -> None:
    rows = rows_of(pallas_np.coverage(called(), X))
    assert rows["erf"].equations == 1
    assert rows["get"].equations == 2  # in the loop and after it
    assert rows["mul"].equations == 2  # in both index maps


def test_lines_are_the_users() -> None:
    rows = rows_of(pallas_np.coverage(called(), X))
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    (line,) = rows["erf"].lines
    path, number = line.split(":")[:2]
    assert Path(path).name == HERE
    assert "lax.erf" in lines[int(number) - 1]
    assert f"{HERE}:{number}" in str(pallas_np.coverage(called(), X))


def test_any_function_that_calls_kernels_will_do() -> None:
    direct = pallas_np.coverage(called(), X)
    for function in (jax.jit(called()), numpy_call(), lambda x: called()(x) + called()(x)):
        assert {row.primitive for row in pallas_np.coverage(function, X).rows} >= {"erf", "sort", "scan"}
    twice = rows_of(pallas_np.coverage(lambda x: called()(x) + called()(x), X))
    assert twice["erf"].equations == 2 * rows_of(direct)["erf"].equations
    by_shape = pallas_np.coverage(called(), jax.ShapeDtypeStruct(X.shape, X.dtype))
    assert by_shape.rows == direct.rows


def test_a_kernel_on_a_mesh() -> None:
    mesh = tpu_core.create_tensorcore_mesh("core", num_cores=1)

    def body(x_ref: Any, out_ref: Any) -> None:
        pltpu.sync_copy(x_ref, out_ref)

    rows = rows_of(pallas_np.coverage(pl.kernel(body, out_type=X, mesh=mesh), X))
    assert rows["dma_start"].function == "pallas_np.phase5.semaphores.dma_start"


def test_an_unsupported_primitive_is_named_and_is_an_error_when_it_runs() -> None:
    def svd(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = jnp.linalg.svd(x_ref[...].reshape(2, 2), compute_uv=False).repeat(2)

    table = pallas_np.coverage(called(svd), X)
    assert [row.primitive for row in table.unsupported] == ["svd"]
    assert rows_of(table)["svd"].by == "unsupported"
    assert f"{len(table.rows) - 1} of {len(table.rows)} primitives run in NumPy" in str(table)
    with pytest.raises(NotImplementedError, match="the primitive svd"):
        numpy_call(svd)(X)


def test_a_function_without_a_kernel_is_an_error() -> None:
    with pytest.raises(ValueError, match="calls no Pallas kernel"):
        pallas_np.coverage(jnp.sin, X)


def test_a_primitive_that_is_read_as_what_jax_traces_for_it() -> None:
    def random(key_ref: Any, out_ref: Any) -> None:
        out_ref[...] = jax.random.bits(key_ref[...], (8,))

    key = jax.random.key(0, impl="rbg")
    table = pallas_np.coverage(pl.pallas_call(random, out_shape=jax.ShapeDtypeStruct((8,), np.uint32)), key)
    row = rows_of(table)["random_bits"]
    assert (row.by, row.phase) == ("JAX's definition", 4)


# All primitives.


def test_every_primitive_of_the_lowering_tables_and_of_the_lists_has_a_row() -> None:
    rows = all_primitives().rows
    tables = lowering_tables.lowered_primitives()
    assert len(tables) > 120
    names = {row.primitive for row in rows}
    assert {primitive.name for primitive in tables} <= names
    resolved = [lowering_tables.primitive_named(name) for name in INTERPRET_ONLY]
    assert {p.name for p in resolved if lowering_tables.is_in_this_release(p)} <= names


def test_the_lists_name_primitives() -> None:
    newer_than_0_10 = {"polynomial", "has_memory_space", "tpu_conv"}
    absent = {
        name for name in INTERPRET_ONLY if not lowering_tables.is_in_this_release(lowering_tables.primitive_named(name))
    }
    assert absent <= newer_than_0_10


def test_support_is_what_phase_5_has() -> None:
    names = {p.name for p in phase5.numpy_rules if lowering_tables.is_in_this_release(p)}
    assert names <= {row.primitive for row in all_primitives().rows}
    rows = rows_of(all_primitives())
    assert rows["add"].supported and rows["add"].phase == 2
    assert not rows["cholesky"].supported and rows["cholesky"].by == "unsupported"
    assert rows["dim_as_value"].compilers == ("TPU",)


def test_what_the_tpu_and_triton_take_is_supported() -> None:
    """What is not has no value on a CPU: a shape that is not known, and a GPU's assembly."""
    cannot = {"dim_as_value", "elementwise_inline_asm", "elementwise_inline_asm_p", "emit_pipeline"}
    for row in all_primitives().unsupported:
        if {"TPU", "Triton"} & set(row.compilers):
            assert row.primitive in cannot, row


def test_missing_compilers_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lowering_tables, "TABLES", (*lowering_tables.TABLES, ("jax._src.pallas.nowhere", "rules")))
    found = lowering_tables.lowered_primitives.__wrapped__()
    assert found == lowering_tables.lowered_primitives()


def test_totals_by_compiler_add_up() -> None:
    table = all_primitives()
    counts = table.by_compiler()
    assert {"TPU", "Triton", "SparseCore", INTERPRET} <= counts.keys()
    for compiler, (supported, total) in counts.items():
        of_it = [row for row in table.rows if compiler in (row.compilers or (INTERPRET,))]
        assert (supported, total) == (sum(row.supported for row in of_it), len(of_it))


def test_the_command_prints_the_table_and_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["coverage", "--json", str(tmp_path / "table.json")]) == 0
    printed = capsys.readouterr().out
    table = all_primitives()
    assert table.summary in printed
    assert [line.split()[0] for line in printed.splitlines()[1 : len(table.rows) + 1]] == [
        row.primitive for row in table.rows
    ]
    written = json.loads((tmp_path / "table.json").read_text())
    assert written["total"] == len(table.rows) == len(written["primitives"])
    assert written["supported"] == len(table.supported) == sum(row["supported"] for row in written["primitives"])
    assert written["jax"] == jax.__version__


# Primitives that leave a value as it is, or call a program: as with `interpret=True`.


@jax.custom_batching.custom_vmap
def doubled(x: Any) -> Any:
    return x * 2


doubled.def_vmap(lambda size, batched, x: (doubled(x), batched[0]))


def composed(x: Any) -> Any:
    return lax.composite(lambda y: y * 3 + 1, "tests.composed")(x)


SIMPLE = {
    "name": lambda x: checkpoint_name(x + 1, "a name"),
    "device_put": lambda x: jax.device_put({"a": x, "b": x + 1})["b"],
    "composite": composed,
    "custom_vmap_call": doubled,
}


@pytest.mark.parametrize("primitive", SIMPLE)
def test_simple_primitive(primitive: str) -> None:
    def body(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = SIMPLE[primitive](x_ref[...])

    assert rows_of(pallas_np.coverage(called(body), X))[primitive].supported
    got = pallas_np.pallas_call(body, X)(X)
    np.testing.assert_array_equal(got, pl.pallas_call(body, out_shape=X, interpret=True)(X))


def test_iota_2x32_shape() -> None:
    from pallas_np.frontend import primitives

    def numbers(shape: tuple[int, ...]) -> Any:
        return primitives.iota_2x32_shape_p.bind(shape=shape)

    traced = jax.make_jaxpr(functools.partial(numbers, (3, 5)))()
    got, wanted = phase5.eval_jaxpr(traced.jaxpr, traced.consts), numbers((3, 5))
    for g, w in zip(got, wanted, strict=True):
        assert g.dtype == w.dtype
        np.testing.assert_array_equal(g, w)


def test_empty_holds_what_nobody_wrote() -> None:
    def body(out_ref: Any) -> None:
        out_ref[...] = lax.empty((4,), jnp.float32)

    assert np.isnan(pallas_np.pallas_call(body, jax.ShapeDtypeStruct((4,), jnp.float32))()).all()
    zeros = pallas_np.pallas_call(
        body, jax.ShapeDtypeStruct((4,), jnp.float32), options=pallas_np.Options(uninitialized="zero")
    )()
    np.testing.assert_array_equal(zeros, np.zeros(4, np.float32))


def test_custom_fusion_calls_its_function() -> None:
    fuser = pytest.importorskip("jax.experimental.pallas.fuser")

    @fuser.custom_fusion
    def half(x: Any) -> Any:
        return x / 2

    half.def_pull_block_spec(lambda specs: specs)
    half.def_push_block_spec(lambda specs: specs)
    half.def_eval_rule(lambda ctx, x: (x / 2,))

    def body(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = half(x_ref[...])

    np.testing.assert_array_equal(pallas_np.pallas_call(body, X)(X), X / 2)
