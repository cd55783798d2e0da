"""Compiled kernels answer as phase 5 and `interpret=True` do, bit for bit, with and without the copies left out."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import pallas as pl
from kernel_cases import CASES, Case

import pallas_np
from pallas_np import compiler, frontend, phase5
from pallas_np.kernels.bitonic import bitonic_argsort, bitonic_sort


def traced(case: Case) -> frontend.TracedCall:
    call = pl.pallas_call(case.kernel, case.out_shape, interpret=True, **case.options)
    found = frontend.trace(call, *map(jnp.asarray, case.args))
    assert found is not None
    return found


def operands(case: Case, call: frontend.TracedCall) -> list[np.ndarray]:
    return [np.asarray(case.args[o]) if isinstance(o, int) else o for o in call.operands]


def bits(x: Any) -> bytes:
    return np.asarray(x).tobytes()


@pytest.mark.parametrize("elide_copies", [True, False], ids=["views", "copies"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_compiled_kernel_answers_as_phase_5_does(case: Case, elide_copies: bool) -> None:
    call = traced(case)
    program = compiler.Compiled(call.call, elide_copies=elide_copies)
    got = program.run(call.call, *operands(case, call))
    wanted = phase5.run(call.call, *operands(case, call))
    assert list(map(bits, got)) == list(map(bits, wanted))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_compiled_kernel_answers_as_interpret_true_does(case: Case) -> None:
    arrays = list(map(jnp.asarray, case.args))
    got = pallas_np.pallas_call(
        case.kernel, case.out_shape, options=pallas_np.Options(engine="compiled"), **case.options
    )(*arrays)
    wanted = pl.pallas_call(case.kernel, case.out_shape, interpret=True, **case.options)(*arrays)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)  # sums and products may round otherwise


@pytest.mark.parametrize("dtype", ["float32", "int32", "bfloat16"])
@pytest.mark.parametrize("rows, length", [(8, 128), (13, 16), (24, 64)])
@pytest.mark.parametrize("descending", [False, True])
def test_the_sort_sorts(rows: int, length: int, dtype: str, descending: bool) -> None:
    random = np.random.default_rng(length)
    keys = random.standard_normal((rows, length)) * 100
    if dtype != "int32":
        keys = np.where(random.random(keys.shape) < 0.3, random.choice([0.0, -0.0, np.nan, np.inf], keys.shape), keys)
    keys = jnp.asarray(keys).astype(dtype)
    got = bitonic_sort(keys, pallas_call=compiler.pallas_call, descending=descending)
    wanted = bitonic_sort(keys, pallas_call=phase5.pallas_call, descending=descending)
    assert bits(got) == bits(wanted)


def test_the_sort_of_pairs_is_stable() -> None:
    keys = jnp.asarray(np.random.default_rng(1).integers(0, 4, (16, 32)), jnp.int32)
    got = bitonic_argsort(keys, pallas_call=compiler.pallas_call)
    np.testing.assert_array_equal(got, np.argsort(keys, axis=1, stable=True))


def test_operands_stay_as_they_are() -> None:
    case = next(case for case in CASES if str(case) == "aliased")
    call = traced(case)
    given = [array.copy() for array in operands(case, call)]
    compiler.run(call.call, *given)
    assert list(map(bits, given)) == list(map(bits, operands(case, call)))


@pytest.mark.parametrize("transform", [jax.jit, lambda f: f], ids=["jit", "plain"])
def test_a_call_is_compiled_once(monkeypatch: pytest.MonkeyPatch, transform: Any) -> None:
    made: list[Any] = []
    whole = compiler.Compiled

    def counted(*args: Any) -> Any:
        made.append(args)
        return whole(*args)

    monkeypatch.setattr(compiler, "Compiled", counted)
    case = CASES[1]
    options = pallas_np.Options(engine="compiled")
    call = pallas_np.pallas_call(case.kernel, case.out_shape, options=options, **case.options)
    for _ in range(3):
        transform(call)(*map(jnp.asarray, case.args)).block_until_ready()
    assert len(made) == 1


def test_a_call_does_not_keep_a_program_that_was_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[compiler.Compiled]] = []
    whole = compiler.Compiled

    def noted(*args: Any) -> compiler.Compiled:
        program = whole(*args)
        made.append(weakref.ref(program))
        return program

    monkeypatch.setattr(compiler, "Compiled", noted)
    monkeypatch.setattr(compiler, "_MOST", 1)
    call = traced(CASES[1])
    given, other = operands(CASES[1], call), replace(call.call)
    clamping = pallas_np.Options(out_of_bounds="clamp")
    compiler.run(call.call, *given)
    compiler.run(other, *given, options=clamping)
    for _ in range(2):
        compiler.run(call.call, *given)
    gc.collect()
    assert [program() is None for program in made] == [True, True, False]


def test_a_call_runs_with_the_options_it_is_given() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[0] = x_ref[x_ref[0]]

    call = frontend.trace(pl.pallas_call(kernel, jax.ShapeDtypeStruct((4,), jnp.int32), interpret=True), jnp.arange(4))
    assert call is not None
    x = np.array([9, 1, 2, 3], np.int32)
    clamping, strict = pallas_np.Options(out_of_bounds="clamp"), pallas_np.Options()
    for _ in range(2):
        assert compiler.run(call.call, x, options=clamping)[0][0] == 3
        with pytest.raises(IndexError):
            compiler.run(call.call, x, options=strict)


@pytest.mark.parametrize("order", [[0, 3, 1], [0, -1, 1]], ids=["past the end", "negative"])
def test_a_block_outside_its_array_is_an_error(order: list[int]) -> None:
    case = next(case for case in CASES if str(case) == "prefetched_blocks")
    call = pallas_np.pallas_call(
        case.kernel, case.out_shape, options=pallas_np.Options(engine="compiled"), **case.options
    )
    with pytest.raises(IndexError, match="outside the array"):
        call(jnp.array(order), *case.args[1:])


@pytest.mark.parametrize("order", [[5, 2], [-1, 2], [4, 7]], ids=["past the end", "negative", "last"])
def test_an_index_outside_its_ref_is_an_error_or_is_clamped(order: list[int]) -> None:
    case = next(case for case in CASES if str(case) == "places_in_memory")
    args = case.args[0], np.array(order, np.int32)
    with pytest.raises(IndexError, match="outside a ref"):
        pallas_np.pallas_call(case.kernel, case.out_shape, **case.options)(*args)
    got, wanted = (
        pallas_np.pallas_call(
            case.kernel,
            case.out_shape,
            options=pallas_np.Options(engine=engine, out_of_bounds="clamp"),
            **case.options,
        )(*args)
        for engine in ("compiled", "interpreter")
    )
    assert bits(got) == bits(wanted)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["compiled_engine", "tiered_engine"])
def test_the_tests_of_phase_5_pass_on_the_compiler(engine: str) -> None:
    here = Path(__file__).parent
    command = [sys.executable, "-m", "pytest", "-q", "-p", engine, str(here.parent / "phase5")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parents[1])])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout
