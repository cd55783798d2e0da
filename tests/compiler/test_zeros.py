"""Extrema of floats: NumPy's own where nobody can tell which zero they take, and only there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from kernel_cases import Case
from test_compiled_kernels import bits, operands, traced

from pallas_np import compiler, phase5


def weights(x_ref: Any, y_ref: Any, out_ref: Any) -> None:
    powers = jnp.exp(x_ref[...] - jnp.max(x_ref[...], axis=1, keepdims=True))
    out_ref[...] = powers / jnp.sum(powers, axis=1, keepdims=True)


def smallest(x_ref: Any, y_ref: Any, out_ref: Any) -> None:
    out_ref[...] = jnp.cos(jnp.minimum(x_ref[...], y_ref[...]) * jnp.min(x_ref[...], axis=1, keepdims=True))


def of_columns(x_ref: Any, y_ref: Any, out_ref: Any) -> None:
    out_ref[...] = jnp.exp(x_ref[...] - jnp.max(y_ref[...], axis=0))


def of_rows_that_lie_in_columns(x_ref: Any, y_ref: Any, out_ref: Any) -> None:
    out_ref[...] = jnp.exp(x_ref[...] - jnp.max(y_ref[...].T, axis=1))


def of_other_axes(x_ref: Any, y_ref: Any, out_ref: Any) -> None:
    x, y = x_ref[...].reshape(48, 8, 6), y_ref[...].reshape(6, 8, 48)
    middle, both = jnp.max(x, axis=1), jnp.min(y, axis=(0, 2))
    out_ref[...] = jnp.exp(x - middle[:, None] - both[:, None]).reshape(48, 48)


def carried(x_ref: Any, y_ref: Any, out_ref: Any) -> None:
    def turn(k: Any, state: Any) -> Any:
        best, total = state
        new = jnp.maximum(best, jnp.max(x_ref[...] * k, axis=1, keepdims=True))
        return new, total * jnp.exp(best - new)

    out_ref[...] = lax.fori_loop(0, 3000, turn, (x_ref[:, :1], y_ref[...]))[1]


def chosen(x_ref: Any, y_ref: Any, out_ref: Any) -> None:
    larger = jnp.maximum(x_ref[...], y_ref[...])
    picked = lax.cond(x_ref[0, 0] > 0, lambda: larger, lambda: -larger)
    out_ref[...] = jnp.exp(jnp.where(x_ref[...] == 0, picked, larger))


def compared(x_ref: Any, y_ref: Any, out_ref: Any) -> None:
    out_ref[...] = jnp.where(jnp.maximum(x_ref[...], y_ref[...]) >= 0, y_ref[...], 1.0)


RELAXED = [weights, smallest, of_columns, of_rows_that_lie_in_columns, of_other_axes, carried, chosen, compared]


def stored(x_ref: Any, y_ref: Any, out_ref: Any) -> None:
    out_ref[...] = jnp.maximum(x_ref[...], y_ref[...])


def divided_by(x_ref: Any, y_ref: Any, out_ref: Any) -> None:
    out_ref[...] = 1 / jnp.max(x_ref[...] - 1, axis=1, keepdims=True) + y_ref[...]


def as_bits(x_ref: Any, y_ref: Any, out_ref: Any) -> None:
    larger = jnp.minimum(x_ref[...], y_ref[...]) * 2
    out_ref[...] = (lax.bitcast_convert_type(larger, jnp.int32) >> 24).astype(jnp.float32)


def carried_and_stored(x_ref: Any, y_ref: Any, out_ref: Any) -> None:
    def turn(k: Any, best: Any) -> Any:
        return jnp.maximum(best, y_ref[...] * k)

    out_ref[...] = lax.fori_loop(0, 3000, turn, x_ref[...])


def chosen_and_stored(x_ref: Any, y_ref: Any, out_ref: Any) -> None:
    larger = jnp.maximum(x_ref[...], y_ref[...])
    out_ref[...] = lax.cond(x_ref[0, 0] > 0, lambda: larger, lambda: -larger)


def summed(x_ref: Any, y_ref: Any, out_ref: Any) -> None:
    out_ref[...] = jnp.sum(jnp.minimum(x_ref[...], y_ref[...]), axis=1, keepdims=True) + y_ref[...] * 0


KEPT = [stored, divided_by, as_bits, carried_and_stored, chosen_and_stored, summed]


def cases(kernels: list[Callable[..., None]]) -> list[Case]:
    """The kernels on many rows, of which some have zeros of both signs only."""
    random = np.random.default_rng(0)
    found = []
    for kernel in kernels:
        values = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 0.0, -0.0], np.float32)
        x, y = random.choice(values, (2, 48, 48))
        x[::2], y[::3] = random.choice(values[:2], (24, 48)), random.choice(values[:2], (16, 48))
        x[1::4] -= 1
        found.append(Case(kernel, jax.ShapeDtypeStruct(x.shape, x.dtype), (x, y), {}))
    return found


def program_of(case: Case) -> str:
    """Its source; it answers as phase 5 does."""
    call = traced(case)
    program = compiler.Compiled(call.call)
    got, wanted = (run(call.call, *operands(case, call)) for run in (program.run, phase5.run))
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(a, b)
        assert bits(a[~np.isnan(a)]) == bits(b[~np.isnan(b)]), program.source
    return program.source


@pytest.mark.parametrize("case", cases(RELAXED), ids=str)
def test_numpy_takes_either_zero_where_nobody_can_tell(case: Case) -> None:
    source = program_of(case)
    assert not any(name in source for name in ("lax.max", "lax.min", "lax.reduce_m")), source


@pytest.mark.parametrize("case", cases(KEPT), ids=str)
def test_the_zero_is_the_right_one_where_somebody_can_tell(case: Case) -> None:
    source = program_of(case)
    assert any(name in source for name in ("lax.max", "lax.min", "lax.reduce_m")), source


def test_rows_are_reduced_by_one_call_each() -> None:
    source = program_of(cases([weights])[0])
    assert "np.maximum.reduceat(x.reshape(-1), np.arange(0, 2304, 48))" in source
    assert 'np.einsum("ij->i", exp)' in source
    assert "np.maximum.reduce(y, 0)" in program_of(cases([of_columns])[0])
    assert "np.maximum.reduce(y.T, 1)" in program_of(cases([of_rows_that_lie_in_columns])[0])
