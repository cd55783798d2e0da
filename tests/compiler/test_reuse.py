"""Values computed into the memory of others: where nobody can notice, and only there."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from kernel_cases import CASES, Case
from test_compiled_kernels import bits, operands, traced

from pallas_np import compiler, phase5
from pallas_np.compiler import reuse


def chain(x_ref: Any, out_ref: Any) -> None:
    scaled = x_ref[...] * 3
    out_ref[...] = jnp.exp(scaled - 1) * 0.5 + x_ref[...]


def weights(x_ref: Any, out_ref: Any) -> None:
    scores = x_ref[...] * 3
    powers = jnp.exp(scores - jnp.max(scores, axis=1, keepdims=True))
    out_ref[...] = powers / jnp.sum(powers, axis=1, keepdims=True)


def used_again(x_ref: Any, out_ref: Any) -> None:
    scaled = x_ref[...] * 3
    raised = scaled + 1
    out_ref[...] = jnp.exp(raised) * scaled + raised


def used_on_a_later_line(x_ref: Any, out_ref: Any) -> None:
    """`scaled - 2` is used once, on the last line, where a short text may stand; `scaled` is then no more."""
    scaled = x_ref[...] * 3
    lower = scaled - 2
    grown = jnp.exp(scaled)
    out_ref[...] = lower * jnp.sum(grown) + grown


def seen_through_a_view(x_ref: Any, out_ref: Any) -> None:
    scaled = x_ref[...] * 3
    turned = scaled.T
    out_ref[...] = (scaled + 1) * 2 + turned


def both_sides(x_ref: Any, out_ref: Any) -> None:
    scaled = x_ref[...] * 3
    out_ref[...] = (scaled + scaled.T) * 0.5 + 1


def broadcast_operands(x_ref: Any, out_ref: Any) -> None:
    row = x_ref[:1, :] * 2
    column = x_ref[:, :1] * 3
    out_ref[...] = (row + column - row) * 2


def carried(x_ref: Any, out_ref: Any) -> None:
    def turn(k: Any, state: Any) -> Any:
        a, b = state
        grown = a * 0.5 + b
        return b + 1, jnp.sin(grown)

    a, b = lax.fori_loop(0, 3000, turn, (x_ref[...] * 2, x_ref[...] + 1))
    out_ref[...] = a + b


def used_in_a_loop(x_ref: Any, out_ref: Any) -> None:
    scaled = x_ref[...] * 3
    out_ref[...] = lax.fori_loop(0, 3000, lambda k, total: total * 0.5 + scaled, scaled + 1)


def used_in_a_branch(x_ref: Any, out_ref: Any) -> None:
    scaled = x_ref[...] * 3
    picked = lax.cond(scaled[0, 0] > 0, lambda: scaled, lambda: -scaled)
    out_ref[...] = (picked + 1) * scaled


def stored_and_used(x_ref: Any, out_ref: Any) -> None:
    scaled = x_ref[...] * 3
    out_ref[...] = scaled
    out_ref[...] += scaled * 2


def read_written_and_used(x_ref: Any, out_ref: Any) -> None:
    out_ref[...] = x_ref[...]
    before = out_ref[...]
    out_ref[...] = before * 2
    out_ref[...] = (before + 1) * out_ref[...]


def booleans_and_integers(x_ref: Any, out_ref: Any) -> None:
    x = x_ref[...]
    inside = (x > -1) & (x < 1)
    outside = ~inside | (x == 0)
    count = (x * 10).astype(jnp.int32)
    out_ref[...] = jnp.where(inside ^ outside, (count + 1) * 3 - count, count & 7).astype(jnp.float32)


KERNELS = [
    *(chain, weights, used_again, used_on_a_later_line, seen_through_a_view, both_sides, broadcast_operands, carried),
    *(used_in_a_loop, used_in_a_branch, stored_and_used, read_written_and_used, booleans_and_integers),
]
X = np.random.default_rng(0).standard_normal((16, 16)).astype(np.float32)
OWN = [Case(kernel, X, (X,), {}) for kernel in KERNELS]


@pytest.fixture
def all_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reuse, "LARGE", 1)


@pytest.mark.usefixtures("all_is_large")
@pytest.mark.parametrize("elide_copies", [True, False], ids=["views", "copies"])
@pytest.mark.parametrize("case", [*OWN, *CASES], ids=str)
def test_nobody_notices(case: Case, elide_copies: bool) -> None:
    call = traced(case)
    program = compiler.Compiled(call.call, elide_copies=elide_copies)
    for _ in range(2):  # what a program computes into must not be a constant of its
        got = program.run(call.call, *operands(case, call))
        wanted = phase5.run(call.call, *operands(case, call))
        assert list(map(bits, got)) == list(map(bits, wanted)), program.source


def lines(kernel: Any) -> list[str]:
    source = compiler.Compiled(traced(Case(kernel, X, (X,), {})).call).source
    return [line.strip() for line in source.splitlines() if line.startswith("    ") and "#" not in line]


@pytest.mark.usefixtures("all_is_large")
def test_a_chain_has_one_array() -> None:
    assert lines(chain) == [
        "mul = x * 3.0",
        "mul -= 1.0",
        "np.exp(mul, out=mul)",
        "mul *= 0.5",
        "np.add(mul, x, out=out)",
    ]


@pytest.mark.usefixtures("all_is_large")
def test_what_was_reduced_is_free() -> None:
    assert lines(weights) == [
        "mul = x * 3.0",
        "mul -= np.maximum.reduce(mul, 1).reshape((16, 1))",
        "np.exp(mul, out=mul)",
        "np.divide(mul, lax.reduce_sum(mul, axes=(1,)).reshape((16, 1)), out=out)",
    ]


def test_small_values_stay_in_one_expression() -> None:
    assert lines(chain) == ["mul = np.exp((x * 3.0) - 1.0) * 0.5", "np.add(mul, x, out=out)"]
