"""Checks that watch a run, asked for by `Options`: each with kernels that have the fault, and with corrected ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import pallas as pl

import pallas_np
from pallas_np import NonFiniteError, Options

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
