"""The program that a compiled kernel leaves: what it looks like, and that it runs by itself."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.experimental import pallas as pl
from kernel_cases import CASES

import pallas_np
from pallas_np import compiler
from pallas_np.kernels.bitonic import bitonic_sorter

ROOT = Path(__file__).resolve().parents[2]


def scaled_sum(a_ref: Any, b_ref: Any, c_ref: Any) -> None:
    c_ref[...] = a_ref[...] * 2 + b_ref[...]


def running_sum(x_ref: Any, out_ref: Any) -> None:
    out_ref[...] = out_ref[...] * 2 + x_ref[...]


def program_of(name: str) -> Any:
    case = next(case for case in CASES if str(case) == name)
    call = pallas_np.pallas_call(case.kernel, case.out_shape, **case.options)
    return pallas_np.compile(call, *case.args)


def body_of(name: str) -> list[str]:
    """The lines of a kernel's program, without its comments."""
    _, function = program_of(name).source.split(f"def {name}(")
    lines = textwrap.dedent(function.split("\n", 1)[1]).splitlines()
    return [line for line in lines if line and not line.strip().startswith("#")]


def test_a_mask_that_holds_everywhere_is_gone() -> None:
    case = next(case for case in CASES if str(case) == "rows_inside")
    call = pallas_np.pallas_call(case.kernel, case.out_shape, **case.options).traced(*case.args)
    source = compiler.Compiled(call.call, merge_steps=False).source
    statements = [line for line in source.splitlines() if "#" not in line]
    masks = [line for line in statements if " < " in line]
    assert len(masks) == 2, source  # a product that wraps, and the last row
    assert not any(gone in line for line in statements for gone in (" > ", " >= ", "rem", "&")), source


def test_columns_that_stay_together_are_taken_together() -> None:
    few, many = (
        pallas_np.compile(pallas_np.pallas_call(case.kernel, case.out_shape), *case.args).source
        for case in CASES
        if str(case) == "columns_in_groups"
    )
    assert "x.take(order, axis=-1)" in few and ".reshape((3, 4, 8)).take(" in few
    assert "lax.swap_neighbours(x, 1)" in many and many.count("swap_neighbours") == 2
    assert many.count(".reshape((128, 8, 8)).take(") == 4 and many.count("take(") == 8


def test_steps_of_a_network_are_one_call_unless_a_result_is_needed_in_between() -> None:
    extrema, choices = (program_of(name).source for name in ("network_of_extrema", "network_of_choices"))
    assert "lax.compare_exchange(x, ((1, -2), (2, -4), (1, -4), (4, -8)), 'extrema')" in extrema
    assert extrema.count("((4, 16), (2, 16), (1, 16)), 'extrema')") == 1 and "lax.min" not in extrema
    assert "((8, 16), (4, 16), (2, 16), (1, 16)), 'less')" in choices
    assert choices.count("compare_exchange") == 1 and choices.count("lax.select(") == 3


def test_a_network_by_way_of_memory_is_one_call_and_needs_no_memory() -> None:
    assert body_of("network_in_memory") == [
        "out[...] = lax.compare_exchange(x, ((1, 2), (2, 4), (1, 4), (4, 8), (2, 8), (1, 8), (8, 16), (4, 16), "
        "(2, 16), (1, 16)), 'less')"
    ]


def test_a_network_of_many_values_is_one_call_where_all_are_known_before_a_result_is_needed() -> None:
    steps = "((1, 2), (2, 4), (1, 4), (4, 8), (2, 8), (1, 8), (8, 16), (4, 16), (2, 16), (1, 16), "
    (line,) = body_of("network_of_blocks")
    assert line.startswith(f"out[...] = lax.compare_exchange(x, {steps}")
    (call,) = (line for line in body_of("network_of_blocks_in_another_order") if "compare_exchange" in line)
    assert f"np.concatenate((x[:, 8:16], x[:, :8], x[:, 16:24], x[:, 24:32]), axis=-1), {steps}" in call
    (call,) = (line for line in body_of("network_of_blocks_that_change") if "compare_exchange" in line)
    assert "np.concatenate((scratch_value, scratch[:, 16:32]), axis=-1), " in call
    late = body_of("network_of_blocks_that_are_read_late")
    assert sum("((4, 8), (2, 8), (1, 8)), 'extrema')" in line for line in late) == 4


@pytest.mark.parametrize(
    "name, lines",
    [
        (
            "written_in_an_arm",
            [
                "scratch = np.empty((8,), np.float32)",
                "np.multiply(x, 2.0, out=scratch)",
                "gt = n[0] > 3",
                "if gt:",
                "    np.add(x, 1.0, out=scratch)",
                "    np.multiply(scratch, scratch, out=out)",
                "le = n[0] <= 3",
                "if le:",
                "    out[...] = scratch",
                "np.add(out, scratch, out=out)",
            ],
        ),
        (
            "written_before_a_loop_reads_it",
            [
                "scratch = np.empty((8,), np.float32)",
                "scratch[...] = 0.0",
                "out[...] = 0.0",
                "n_value = n[0]",
                "for k in range(0, n_value):",
                "    np.add(out, scratch, out=out)",
                "    np.multiply(x, np.int32(k).astype(np.float32), out=scratch)",
            ],
        ),
        (
            "written_again_before_the_value_is_used",
            ["add = x + 1.0", "mul = add * add", "out[...] = add", "np.add(add, mul - add, out=out)"],
        ),
        (
            "product_that_is_kept",
            [
                "scratch = np.full((8,), np.nan, np.float32)",
                "add = x + 1.0",
                "mul = add * 0.5",
                "for k in range(3000):",
                "    scratch[...] = mul",
                "np.add(add, scratch, out=out)",
            ],
        ),
    ],
)
def test_what_was_written_is_not_read_and_what_nobody_reads_is_not_written(name: str, lines: list[str]) -> None:
    assert body_of(name) == lines


def test_many_matrices_times_one_are_a_single_product() -> None:
    source = program_of("products_with_one_matrix").source
    assert source.count(" @ ") == 2 and source.count(".reshape((32, 8))") == 2


def test_a_vector_sum_is_the_loop_that_one_would_write() -> None:
    block = pl.BlockSpec((1024,), lambda i: (i,))
    shape = jax.ShapeDtypeStruct((256 * 1024,), jnp.float32)
    call = pallas_np.pallas_call(scaled_sum, shape, grid=(256,), in_specs=[block, block], out_specs=block)
    program = pallas_np.compile(call, shape, shape)
    assert program.source == textwrap.dedent("""\
        import numpy as np

        from pallas_np import lax_numpy as lax


        @np.errstate(all="ignore")
        @lax.flush_denormals()
        def scaled_sum(a, b, c):
            a_blocks = a.reshape((256, 1024))
            b_blocks = b.reshape((256, 1024))
            c_blocks = c.reshape((256, 1024))
            for i in range(2):
                start = 128 * i
                # c_ref[...] = a_ref[...] * 2 + b_ref[...]
                np.add(a_blocks[start:start + 128] * 2.0, b_blocks[start:start + 128], out=c_blocks[start:start + 128])
        """)
    x = np.arange(256 * 1024, dtype=np.float32)
    np.testing.assert_array_equal(program(x, x), 3 * x)


def test_steps_that_follow_one_another_are_a_loop() -> None:
    shape = jax.ShapeDtypeStruct((48,), jnp.float32)
    out = jax.ShapeDtypeStruct((8,), jnp.float32)
    call = pallas_np.pallas_call(
        running_sum,
        out,
        grid=(6,),
        in_specs=[pl.BlockSpec((8,), lambda i: (i,))],
        out_specs=pl.BlockSpec((8,), lambda i: (0,)),
    )
    program = pallas_np.compile(call, shape)
    assert program.source.endswith(
        textwrap.dedent("""\
        def running_sum(x, out):
            for i in range(6):
                # out_ref[...] = out_ref[...] * 2 + x_ref[...]
                np.add(out * 2.0, x[8 * i:8 * i + 8], out=out)
        """)
    )


def test_steps_that_differ_are_written_one_after_the_other() -> None:
    lines = body_of("steps_that_differ")
    assert [line for line in lines if line.startswith("for ")] == ["for i in range(2):"]
    assert [line.strip() for line in lines if "if " in line] == ["if eq:"]  # of the first row, in the first step
    assert "    out_ref[...] = scratch" in lines and "    np.add(out_ref, mul * 2.0, out=out_ref)" in lines


def test_many_steps_stay_a_loop_even_if_they_differ() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        @pl.when(pl.program_id(0) == 0)
        def _() -> None:
            out_ref[...] = x_ref[...]

        out_ref[...] += x_ref[...]

    x = np.arange(8.0, dtype=np.float32)
    for steps, is_loop in ((8, False), (9, True)):
        call = pallas_np.pallas_call(kernel, jax.ShapeDtypeStruct(x.shape, x.dtype), grid=(steps,))
        program = pallas_np.compile(call, x)
        assert ("for i in range" in program.source) is is_loop
        assert program(x).tolist() == (x * (steps + 1)).tolist()


def test_what_a_kernel_knows_is_not_in_its_program() -> None:
    source = program_of("index_arithmetic").source
    assert "program_id" not in source
    assert "machine" not in source


def test_a_number_that_is_repeated_is_written_as_a_number() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        column = jnp.full((8, 1), 3, jnp.float32)
        out_ref[...] = x_ref[...] * column + jnp.tile(column, (1, 16))[:, :4]

    shape = jax.ShapeDtypeStruct((8, 4), jnp.float32)
    source = pallas_np.compile(pallas_np.pallas_call(kernel, shape), shape).source
    assert source.endswith("np.add(x * 3.0, 3.0, out=out)\n")


@pytest.mark.parametrize("loop", ["fori_loop", "scan", "while_loop"])
@pytest.mark.parametrize("by_mask", [False, True], ids=["a place", "a mask"])
def test_a_loop_unrolls_if_that_makes_arrays_known(loop: str, by_mask: bool) -> None:
    """A place is as good computed from the loop's index; a mask would be made again in each turn."""

    def kernel(x_ref: Any, out_ref: Any) -> None:
        column = lax.broadcasted_iota(jnp.int32, (8, 128), 1)

        def turn(i: Any, total: Any) -> Any:
            part = x_ref[pl.ds(8 * i, 8), :]
            part = jnp.where(column < i, part, -part) if by_mask else part
            return jnp.sin(jnp.maximum(total, part) * 2) + jnp.cos(part)

        start = jnp.zeros((8, 128), jnp.float32)
        if loop == "fori_loop":
            out_ref[...] = lax.fori_loop(0, 12, turn, start)
        elif loop == "scan":
            out_ref[...], _ = lax.scan(lambda total, i: (turn(i, total), None), start, jnp.arange(12))
        else:
            *_, out_ref[...] = lax.while_loop(
                lambda state: state[0] < state[1],
                lambda state: (state[0] + 1, state[1], turn(state[0], state[2])),
                (jnp.int32(0), jnp.int32(12), start),
            )

    x = np.random.default_rng(0).standard_normal((96, 128)).astype(np.float32)
    call = pallas_np.pallas_call(kernel, jax.ShapeDtypeStruct((8, 128), x.dtype))
    program = pallas_np.compile(call, x)
    assert ("for k in range(" in program.source) != by_mask
    options = pallas_np.Options(engine="interpreter")
    walked = pallas_np.pallas_call(kernel, jax.ShapeDtypeStruct((8, 128), x.dtype), options=options)(x)
    assert np.asarray(program(x)).tobytes() == np.asarray(walked).tobytes()


def test_a_block_whose_place_is_in_memory_is_a_slice() -> None:
    program = program_of("prefetched_blocks")
    assert program.source.endswith(
        textwrap.dedent("""\
        def prefetched_blocks(order_ref, x, out):
            for i in range(3):
                # in_specs=[pl.BlockSpec((8,), lambda i, order: (order[i],))],
                place = int(order_ref[i])
                if not 0 <= place <= 2: raise IndexError(place)
                # out_ref[...] = x_ref[...] * 2
                np.multiply(x[8 * place:8 * place + 8], 2.0, out=out[8 * i:8 * i + 8])
        """)
    )


def test_a_place_in_memory_is_checked_once() -> None:
    source = program_of("places_in_memory").source
    assert "machine" not in source
    assert source.count("raise IndexError") == 3


def test_a_kernel_with_dmas_runs_the_rules_of_phase_5() -> None:
    program = program_of("copies_through_dma")
    assert "machine.eval_equation(dma_start_equation" in program.source
    with pytest.raises(ValueError, match="cannot be saved"):
        program.save("nowhere.py")


@pytest.mark.parametrize("rows", [8, 1024])
def test_a_sort_of_large_blocks_is_one_call_too(rows: int) -> None:
    sort = bitonic_sorter((rows, 128), jnp.float32, pallas_call=pallas_np.pallas_call, block_rows=rows)
    keys = np.random.default_rng(0).standard_normal((rows, 128), np.float32)
    program = pallas_np.compile(sort, np.zeros(1, np.int32), keys)
    calls = [line for line in program.source.splitlines() if "lax." in line and "#" not in line]
    assert len(calls) == 2 and "lax.compare_exchange(keys, ((1, 2), " in calls[1], calls
    assert np.array_equal(program(np.zeros(1, np.int32), keys), np.sort(keys))


def test_the_sort_runs_where_there_is_no_jax(tmp_path: Path) -> None:
    sort = bitonic_sorter((8, 128), jnp.float32, pallas_call=pallas_np.pallas_call)
    program = pallas_np.compile(
        sort, jax.ShapeDtypeStruct((1,), jnp.int32), jax.ShapeDtypeStruct((8, 128), jnp.float32)
    )
    program.save(tmp_path / "sort.py")
    script = """
        import sys
        sys.modules["jax"] = None
        import numpy as np
        import sort
        keys = np.random.default_rng(0).standard_normal((8, 128)).astype(np.float32)
        out = np.empty_like(keys)
        for descending in (0, 1):
            sort._sort_kernel(np.array([descending], np.int32), keys, out)
            wanted = np.sort(keys, axis=1)
            assert np.array_equal(out, wanted[:, ::-1] if descending else wanted)
        print("sorted")
    """
    environment = {"PYTHONPATH": f"{ROOT}:{tmp_path}", "PATH": ""}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.stdout == "sorted\n", done.stderr


def test_a_program_takes_what_it_was_compiled_for_and_nothing_else() -> None:
    shape = jax.ShapeDtypeStruct((4, 8), np.float32)
    call = pallas_np.pallas_call(_add, shape)
    program = pallas_np.compile(call, shape, shape)
    x = np.arange(32, dtype=np.float32).reshape(4, 8)
    np.testing.assert_array_equal(program(x, jnp.asarray(x)), x + x)
    np.testing.assert_array_equal(program(x, x.astype(np.float64)), x + x)  # float32 to JAX, without `jax_enable_x64`
    for wrong in [(x,), (x, x, x), (x[:1], x), (x, x.astype(np.int32)), (x, 1.0), ((x, x),), ({"x": x}, x), ()]:
        with pytest.raises(TypeError, match=r"compiled for \('float32\[4,8\]', 'float32\[4,8\]'\), not for"):
            program(*wrong)


def _add(x_ref: Any, y_ref: Any, out_ref: Any) -> None:
    out_ref[...] = x_ref[...] + y_ref[...]


def test_a_program_is_compiled_for_keys_of_which_only_the_dtype_is_known() -> None:
    def kernel(key_ref: Any, out_ref: Any) -> None:
        out_ref[...] = jax.random.bits(key_ref[...], (4,))

    key = jax.random.key(3)
    call = pallas_np.pallas_call(kernel, jax.ShapeDtypeStruct((4,), jnp.uint32))
    program = pallas_np.compile(call, jax.ShapeDtypeStruct((), key.dtype))
    np.testing.assert_array_equal(program(key), jax.random.bits(key, (4,)))
    with pytest.raises(ValueError, match="cannot be saved: some of its lines"):
        program.save("nowhere.py")


def test_compile_takes_what_pallas_call_returned() -> None:
    with pytest.raises(TypeError, match=r"takes what pallas_np\.pallas_call"):
        pallas_np.compile(np.sin, np.ones(3))
