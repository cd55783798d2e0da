"""Section 4 of the semantics: what a kernel prints, calls back and checks."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import checkify
from jax.experimental import pallas as pl
from pallas_oracle import assert_same, interpreted, ints, run, sds

import pallas_np


def test_prints_in_program_order(capsys: pytest.CaptureFixture[str]) -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        i = pl.program_id(0)
        pl.debug_print("start {}", i)

        @pl.loop(0, 2)
        def _(j: Any) -> None:
            pl.debug_print("  at {} of {}", j, x_ref[j])

        out_ref[...] = x_ref[...]

    run(kernel, sds(2, jnp.int32), ints(2) + 7, grid=(2,))
    program = ["start {0}", "  at 0 of 7", "  at 1 of 8"]
    wanted = [f"({i},): {line.format(i)}" for i in range(2) for line in program]
    assert capsys.readouterr().out.splitlines() == wanted


def test_prints_what_interpret_prints(capfd: pytest.CaptureFixture[str]) -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        jax.debug.print("x = {x}, {:.3f} and {y}", x_ref[0] / 3, x=x_ref[...], y=x_ref[1] > 0)
        pl.debug_print("no placeholders", x_ref[0])
        jax.debug.print("a static {s}", s="word")
        jax.debug.print("a brace {{}} and {0} {0}", x_ref[2])
        out_ref[...] = x_ref[...]

    x = np.float32([1, -2, 0.1, 12345.678])
    run(kernel, sds(4), x)
    ours = capfd.readouterr().out
    jax.block_until_ready(interpreted(kernel, sds(4), x))
    jax.effects_barrier()
    theirs = capfd.readouterr().out
    assert sorted(ours.splitlines()) == sorted(theirs.splitlines()) and ours.count("\n") == 4


def test_nothing_is_printed_by_a_branch_not_taken(capsys: pytest.CaptureFixture[str]) -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        @pl.when(x_ref[0] > 0)
        def _() -> None:
            pl.debug_print("positive")

        out_ref[...] = x_ref[...]

    run(kernel, sds(1, jnp.int32), np.int32([0]))
    assert capsys.readouterr().out == ""


def test_callbacks_see_values_as_they_are() -> None:
    seen = []

    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] * 2
        jax.debug.callback(lambda i, x: seen.append((int(i), np.array(x))), pl.program_id(0), x=out_ref[...])
        out_ref[...] = out_ref[...] + 1

    spec = pl.BlockSpec((2,), lambda i: (i,))
    run(kernel, sds(4, jnp.int32), ints(4), grid=(2,), in_specs=[spec], out_specs=spec)
    assert [i for i, _ in seen] == [0, 1]
    assert_same([x for _, x in seen], [np.int32([0, 2]), np.int32([4, 6])])


def test_pure_and_io_callbacks() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        shape = jax.ShapeDtypeStruct((4,), jnp.int32)
        pure = jax.pure_callback(lambda x: np.flip(x), shape, x_ref[...])
        out_ref[...] = pure + jax.experimental.io_callback(lambda x: x * 10, shape, x_ref[...])

    assert_same(run(kernel, sds(4, jnp.int32), ints(4)), ints(4)[::-1] + ints(4) * 10)


def positive(x_ref: Any, out_ref: Any) -> None:
    pl.debug_check(jnp.all(x_ref[...] > 0), "x is not positive")
    out_ref[...] = x_ref[...]


def test_a_debug_check_that_fails_raises_with_the_grid_index() -> None:
    """Both peers ignore it."""
    spec = pl.BlockSpec((1, 2), lambda i, j: (i, j))
    call = {"grid": (2, 2), "in_specs": [spec], "out_specs": spec}
    x = np.int32([[1, 2, 3, 4], [5, 6, 7, 0]])
    with (
        pl.enable_debug_checks(True),
        pytest.raises(AssertionError, match=r"(?s)x is not positive.* grid index \(1, 1\).*test_reporting\.py"),
    ):
        run(positive, sds((2, 4), jnp.int32), x, **call)
    assert_same(run(positive, sds((2, 4), jnp.int32), x + 1, **call), x + 1)


def test_checkify_checks_raise_too() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        @pl.loop(0, 3)
        def _(i: Any) -> None:
            checkify.check(x_ref[i] < 2, "element {i} is {x}", i=i, x=x_ref[i])

        out_ref[...] = x_ref[...]

    with pytest.raises(AssertionError, match=r"(?s)element 2 is 2.*grid index \(\)"):
        run(kernel, sds(3, jnp.int32), ints(3))


@pytest.mark.parametrize("engine", ["interpreter", "compiled"])
def test_a_print_says_at_which_grid_index(engine: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        pl.debug_print("x is {}", x_ref[0, 0])
        out_ref[...] = x_ref[...]

    spec = pl.BlockSpec((1, 2), lambda i, j: (i, j))
    options = pallas_np.Options(engine=engine)
    call = pallas_np.pallas_call(
        kernel, sds((2, 4), jnp.int32), grid=(2, 2), in_specs=[spec], out_specs=spec, options=options
    )
    call(ints(2, 4))
    assert capsys.readouterr().out.splitlines() == [
        "(0, 0): x is 0",
        "(0, 1): x is 2",
        "(1, 0): x is 4",
        "(1, 1): x is 6",
    ]
