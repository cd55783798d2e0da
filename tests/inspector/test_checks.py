"""Checks that watch a run, asked for by `Options`: each with kernels that have the fault, and with corrected ones."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

import pallas_np
from pallas_np import CheckError, NonFiniteError, Options

F32 = jnp.float32
ENGINES = ["compiled", "interpreter"]


def sds(*shape: int, dtype: Any = F32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def logarithm(x_ref, out_ref):
    shifted = x_ref[...] + 1
    out_ref[...] = jnp.log(shifted)


def logarithm_call(pallas_call: Callable[..., Any], **call: Any) -> Callable[..., Any]:
    block = pl.BlockSpec((4,), lambda i: (i,))
    return pallas_call(logarithm, out_shape=sds(8), grid=(2,), in_specs=[block], out_specs=block, **call)


def assert_says_where(error: BaseException) -> None:
    told = str(error)
    assert "log makes -inf at (2,)" in told
    assert "kernel: logarithm, at grid index (1,)" in told
    assert "out_ref[...] = jnp.log(shifted)" in told
    assert "equation: log(float32[4])" in told


BAD = np.float32([0, 0, 0, 0, 0, 0, -1, 0])


@pytest.mark.parametrize("engine", ENGINES)
def test_the_first_infinity_is_told_where_it_is_made(engine: str) -> None:
    call = logarithm_call(pallas_np.pallas_call, options=Options(engine=engine, check_nans=True))
    assert (call(np.zeros(8, np.float32)) == 0).all()
    with pytest.raises(FloatingPointError) as caught:
        call(BAD)
    assert isinstance(caught.value, NonFiniteError)
    assert caught.value.grid_index == (1,)
    assert caught.value.primitive == "log"
    assert_says_where(caught.value)


def test_under_jit_the_message_is_whole() -> None:
    call = jax.jit(logarithm_call(pallas_np.pallas_call, options=Options(check_nans=True)))
    with pytest.raises(Exception, match="log makes -inf") as caught:
        jax.block_until_ready(call(BAD))
    assert_says_where(caught.value)
    assert isinstance(pallas_np.last_error(), NonFiniteError)


def test_options_in_interpret_and_those_installed_ask_for_checks() -> None:
    call = logarithm_call(pl.pallas_call, interpret=Options(check_nans=True))
    with pytest.raises(Exception, match="log makes -inf") as caught:  # it runs in a callback
        jax.block_until_ready(call(BAD))
    assert_says_where(caught.value)
    with pallas_np.installed(Options(check_nans=True)), pytest.raises(NonFiniteError) as caught:
        logarithm_call(pl.pallas_call)(BAD)
    assert_says_where(caught.value)


def test_a_recording_of_a_checked_call_has_the_fault() -> None:
    call = logarithm_call(pallas_np.pallas_call, options=Options(check_nans=True))
    recording = pallas_np.record(call)(BAD)
    assert isinstance(recording.error, NonFiniteError)
    assert [step.index for step in recording.steps][-1] == (1,)


def test_a_check_is_asked_for_by_a_bool() -> None:
    with pytest.raises(ValueError, match="check_nans must be one of False, True, not 'yes'"):
        Options(check_nans="yes")  # type: ignore[arg-type]


def test_a_program_refuses_to_be_watched() -> None:
    with pytest.raises(ValueError, match="check_nans=True"):
        pallas_np.compile(logarithm_call(pallas_np.pallas_call), sds(8), options=Options(check_nans=True))


def run(kernel: Callable[..., None], out_shape: Any, *args: Any, **call: Any) -> Any:
    return pallas_np.pallas_call(kernel, out_shape, options=Options(check_nans=True), **call)(*args)


def test_a_mask_of_minus_infinity_is_no_fault_until_it_becomes_nan() -> None:
    """Rows of attention: one that is masked altogether is all minus infinity, and so is its maximum."""

    def softmax(x_ref, out_ref, *, guards: bool):
        masked = jnp.where(x_ref[...] > 0, x_ref[...], -jnp.inf)
        largest = jnp.max(masked, axis=1, keepdims=True)
        if guards:
            largest = jnp.where(largest == -jnp.inf, 0, largest)
        weights = jnp.exp(masked - largest)
        out_ref[...] = weights / jnp.maximum(jnp.sum(weights, axis=1, keepdims=True), 1e-9)

    x = np.float32([[1, -1, 2], [-1, -2, -3]])
    answer = run(functools.partial(softmax, guards=True), sds(2, 3), x)
    np.testing.assert_array_equal(np.asarray(answer)[1], 0)
    with pytest.raises(
        NonFiniteError, match=r"sub makes nan at \(1, 0\), the first of 3 elements, out of numbers that are not NaN"
    ) as caught:
        run(functools.partial(softmax, guards=False), sds(2, 3), x)
    assert caught.value.source == "weights = jnp.exp(masked - largest)"


def test_what_comes_in_and_what_nobody_wrote_is_not_made() -> None:
    def kernel(x_ref, out_ref, scratch_ref):
        out_ref[...] = x_ref[...] * 2 + jnp.sum(scratch_ref[...])

    answer = run(kernel, sds(2), np.float32([np.inf, np.nan]), scratch_shapes=[pltpu.VMEM((3,), F32)])
    assert np.isnan(answer).all()


def test_a_fault_beside_padding_is_found() -> None:
    """Elements are told apart: the padding of a ragged block holds NaN as well."""

    def kernel(x_ref, out_ref):
        out_ref[...] = jnp.sqrt(x_ref[...])

    block = pl.BlockSpec((4,), lambda i: (i,))
    call = {"grid": (2,), "in_specs": [block], "out_specs": block}
    run(kernel, sds(6), np.ones(6, np.float32), **call)
    with pytest.raises(NonFiniteError, match=r"sqrt makes nan at \(1,\), out of") as caught:
        run(kernel, sds(6), np.float32([1, 1, 1, 1, 1, -1]), **call)
    assert caught.value.grid_index == (1,)


@pytest.mark.parametrize("step", [1e38, 1e37])
def test_an_overflow_in_memory(step: float) -> None:
    def kernel(x_ref, out_ref):
        out_ref[...] = x_ref[...]
        for _ in range(4):
            out_ref.at[...].addupdate(x_ref[...])

    if step == 1e37:
        assert np.isfinite(run(kernel, sds(2), np.float32([step, 0]))).all()
    else:
        with pytest.raises(NonFiniteError, match=r"addupdate makes inf at \(0,\), out of finite numbers"):
            run(kernel, sds(2), np.float32([step, 0]))


def test_overflow_of_a_narrow_dtype_is_made_by_the_cast() -> None:
    def kernel(x_ref, out_ref):
        out_ref[...] = x_ref[...].astype(jnp.float16)

    with pytest.raises(NonFiniteError, match=r"convert_element_type makes inf at \(1,\)"):
        run(kernel, sds(2, dtype=jnp.float16), np.float32([1, 1e6]))


@pytest.mark.parametrize("largest", [0.7, 1.0])
def test_a_large_constant_to_mask_with_stands_for_an_infinity(largest: float) -> None:
    mask = -largest * float(jnp.finfo(F32).max)

    def weights(scores):
        return jnp.exp2((scores - jnp.max(scores)) * 1.4427)

    def masked(x_ref, out_ref):
        out_ref[...] = weights(jnp.where(x_ref[...] > 0, x_ref[...], mask))

    def unmasked(x_ref, out_ref):
        out_ref[...] = weights(x_ref[...])

    np.testing.assert_array_equal(run(masked, sds(2), np.float32([1, -1])), [1, 0])
    with pytest.raises(NonFiniteError, match=r"(sub|mul) makes -inf at \(1,\)"):
        run(unmasked, sds(2), np.float32([1, mask]))


def test_a_number_that_doubles_until_it_overflows() -> None:
    def kernel(x_ref, out_ref):
        out_ref[...] = jax.lax.fori_loop(0, 20, lambda i, x: x + x, x_ref[...])

    run(kernel, sds(2), np.float32([1e32, 0]))
    with pytest.raises(NonFiniteError, match=r"add makes inf at \(0,\)"):
        run(kernel, sds(2), np.float32([1e33, 0]))


# Checks that are always on.


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("start", [8, 12])
def test_a_hint_that_does_not_hold(engine: str, start: int) -> None:
    def kernel(start_ref, x_ref, out_ref):
        out_ref[...] = x_ref[pl.ds(pl.multiple_of(start_ref[0], 8), 4)]

    call = pallas_np.pallas_call(kernel, sds(4), options=Options(engine=engine))
    x = np.arange(16, dtype=np.float32)
    if start == 8:
        np.testing.assert_array_equal(call(np.int32([8]), x), x[8:12])
    else:
        with pytest.raises(CheckError, match="the hint says that it is a multiple of 8, but it is 12") as caught:
            call(np.int32([12]), x)
        assert isinstance(caught.value, AssertionError)
        assert caught.value.primitive == "multiple_of"
        assert caught.value.source == "out_ref[...] = x_ref[pl.ds(pl.multiple_of(start_ref[0], 8), 4)]"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_hint_on_an_array_is_of_its_first_element(engine: str) -> None:
    """As Triton takes it, where a program's offsets are `pl.multiple_of(pid * 4 + jnp.arange(4), 4)`."""

    def kernel(out_ref):
        out_ref[...] = pl.multiple_of(pl.program_id(0) * 4 + jnp.arange(4), 4)

    call = {"grid": (2,), "out_specs": pl.BlockSpec((4,), lambda i: (i,))}
    answer = pallas_np.pallas_call(kernel, sds(8, dtype=jnp.int32), options=Options(engine=engine), **call)()
    np.testing.assert_array_equal(answer, np.arange(8))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("size", [4, 5])
def test_a_debug_check_that_does_not_hold(engine: str, size: int) -> None:
    def kernel(x_ref, out_ref):
        with pl.enable_debug_checks():
            pl.debug_check(jnp.sum(x_ref[...]) < 10, "the sum is too large")
        out_ref[...] = x_ref[...]

    call = pallas_np.pallas_call(kernel, sds(size), options=Options(engine=engine))
    x = np.arange(size, dtype=np.float32)
    if size == 4:
        np.testing.assert_array_equal(call(x), x)
    else:
        with pytest.raises(CheckError, match="the sum is too large") as caught:
            call(x)
        assert caught.value.source.startswith("pl.debug_check")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("places", ["a block", "a slice"])
@pytest.mark.parametrize("start", [1, 2])
def test_an_access_out_of_bounds(engine: str, places: str, start: int) -> None:
    def kernel(start_ref, x_ref, out_ref):
        out_ref[...] = x_ref[pl.ds(start_ref[0], 2)] if places == "a slice" else x_ref[:2]

    grid_spec = pltpu.PrefetchScalarGridSpec(
        num_scalar_prefetch=1,
        grid=(1,),
        in_specs=[pl.BlockSpec(*(((3,), lambda i, s: (s[0],)) if places == "a block" else ()))],
    )
    x = np.arange(6 if places == "a block" else 3, dtype=np.float32)
    call = pallas_np.pallas_call(kernel, sds(2), grid_spec=grid_spec, options=Options(engine=engine))
    if start == 1:
        np.testing.assert_array_equal(call(np.int32([1]), x), x[3:5] if places == "a block" else x[1:])
    else:
        with pytest.raises(IndexError, match="outside"):
            call(np.int32([2]), x)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "tests, least",
    [
        ("phase5", 300),
        ("shipped", 80),
        (
            "compiler/test_compiled_kernels.py differential/test_found_kernels.py test_install.py -k not phase_5_pass",
            200,
        ),
        ("test_phases.py test_bitonic_sort.py -k phase5 and not bit_for_bit", 50),
    ],
    ids=["phase5", "shipped", "compiler", "phases"],
)
def test_no_kernel_of_the_tests_gives_a_false_alarm(tests: str, least: int) -> None:
    """Every check is on; the kernels that have a fault on purpose are listed, with the reason, and have to be found.

    The sorts are compared with NumPy's only: what `interpret=True` answers is the same, and takes XLA minutes.  Random
    kernels are in `tests/differential/test_random_alarms.py`.
    """
    here = Path(__file__).parent
    files, _, expression = tests.partition(" -k ")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "checked_engine"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parents[1])])}
    done = subprocess.run(
        [*command, "-k", expression, *(str(here.parent / file) for file in files.split())],
        cwd=here.parents[1],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    kernels = re.search(r"(\d+) kernels ran with every check", done.stdout)
    assert kernels is not None and int(kernels[1]) > least
