"""The tiered engine: the first call is walked where that is done sooner, and nobody can tell from the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.experimental import pallas as pl
from kernel_cases import CASES, Case

import pallas_np
from pallas_np import compiler, frontend, phase5
from pallas_np.compiler.first_call import walked
from pallas_np.kernels import bitonic_sorter
from pallas_np.options import Options

ROW = pl.BlockSpec((1, 128), lambda i: (i, 0))
X = np.random.default_rng(0).standard_normal((64, 128)).astype(np.float32)


def traced(call: Callable[..., Any], *args: Any) -> tuple[frontend.KernelCall, list[np.ndarray]]:
    found = frontend.trace(call, *map(jnp.asarray, args))
    assert found is not None
    return found.call, [np.asarray(args[o]) if isinstance(o, int) else o for o in found.operands]


def call_of(kernel: Callable[..., None], x: np.ndarray = X, **options: Any) -> Any:
    return pl.pallas_call(kernel, jax.ShapeDtypeStruct(x.shape, x.dtype), interpret=True, **options)


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The programs that are made."""
    made: list[Any] = []
    whole = compiler.Compiled
    monkeypatch.setattr(compiler, "Compiled", lambda *args: made.append(whole(*args)) or made[-1])
    return made


def double(x_ref: Any, out_ref: Any) -> None:
    out_ref[...] = x_ref[...] * 2


def halved_until_small(x_ref: Any, out_ref: Any) -> None:
    """How many turns its loop takes does not stand in the jaxpr."""
    out_ref[...] = lax.while_loop(lambda x: jnp.max(x) > 1, lambda x: x * 0.999, x_ref[...])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_walk_answers_as_phase_5_does(case: Case) -> None:
    call = pl.pallas_call(case.kernel, case.out_shape, interpret=True, **case.options)
    found, arrays = traced(call, *case.args)
    given = [array.copy() for array in arrays]
    got = walked(found, given, Options())
    wanted = phase5.run(found, *arrays)
    assert got is None or [x.tobytes() for x in got] == [x.tobytes() for x in wanted]
    assert [x.tobytes() for x in given] == [x.tobytes() for x in arrays]


def test_most_of_these_kernels_are_walked() -> None:
    calls = [traced(pl.pallas_call(c.kernel, c.out_shape, interpret=True, **c.options), *c.args) for c in CASES]
    assert sum(walked(call, arrays, Options()) is not None for call, arrays in calls) > 0.8 * len(calls)


@pytest.mark.parametrize("transform", [jax.jit, lambda f: f], ids=["jit", "plain"])
def test_the_second_call_makes_the_program(programs: list[Any], transform: Any) -> None:
    call = transform(pallas_np.pallas_call(double, jax.ShapeDtypeStruct(X.shape, X.dtype)))
    for made in (0, 1, 1):
        np.testing.assert_array_equal(call(X), 2 * X)
        assert len(programs) == made


def test_the_sort_is_walked_at_first(programs: list[Any]) -> None:
    sort = bitonic_sorter(X.shape, jnp.float32, pallas_call=pallas_np.pallas_call)
    order = jnp.zeros(1, jnp.int32)
    for made in (0, 1):
        np.testing.assert_array_equal(sort(order, X), np.sort(X, axis=1))
        assert len(programs) == made


@pytest.mark.parametrize("pallas_call", [pallas_np.pallas_call, compiler.pallas_call])
def test_later_calls_find_the_program_without_a_key(pallas_call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    call = pallas_call(double, jax.ShapeDtypeStruct(X.shape, X.dtype))
    call(X), call(X)
    monkeypatch.setattr(compiler, "_key", lambda *_: pytest.fail("a key was made"))
    np.testing.assert_array_equal(call(X), 2 * X)


def test_programs_are_walked_together(monkeypatch: pytest.MonkeyPatch) -> None:
    call, arrays = traced(call_of(double, grid=(64,), in_specs=[ROW], out_specs=ROW), X)
    runs: list[tuple[int, ...]] = []
    run_kernel = phase5.Interpreter.run_kernel

    def noted(interp: phase5.Interpreter, *args: Any) -> None:
        runs.append(interp.grid_index)
        run_kernel(interp, *args)

    monkeypatch.setattr(phase5.Interpreter, "run_kernel", noted)
    outputs = walked(call, arrays, Options())
    assert outputs is not None and np.array_equal(outputs[0], 2 * X)
    assert runs == [(0,)]


def test_a_long_walk_is_abandoned(programs: list[Any]) -> None:
    x = np.full((8, 128), 2.0, np.float32)
    call, arrays = traced(call_of(halved_until_small, x), x)
    assert walked(call, arrays, Options()) is None
    (got,), (wanted,) = compiler.run_tiered(call, *arrays), phase5.run(call, *arrays)
    assert got.tobytes() == wanted.tobytes() and len(programs) == 1
    short = np.full((8, 128), 1.0005, np.float32)
    assert walked(call, [short], Options()) is not None


def test_a_long_walk_over_large_arrays_is_not_abandoned() -> None:
    """A program would need the time for them, too, and what was done would be done again."""

    def squared(x_ref: Any, out_ref: Any) -> None:
        def turn(state: Any) -> Any:
            n, x = state
            return n + 1, jnp.dot(x, x) + x

        _, out_ref[...] = lax.while_loop(lambda state: state[0] < turns_in(x_ref), turn, (0, x_ref[...]))

    def turns_in(x_ref: Any) -> Any:
        return x_ref[0, 0].astype(jnp.int32)

    x = np.zeros((256, 256), np.float32)
    x[0, 0] = 150
    call, arrays = traced(call_of(squared, x), x)
    assert walked(call, arrays, Options()) is not None
    small = np.full((8, 8), 0, np.float32)
    small[0, 0] = 150
    call, arrays = traced(call_of(squared, small), small)
    assert walked(call, arrays, Options()) is None


def test_a_walk_that_is_known_to_be_long_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    def summed(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = lax.fori_loop(0, 1000, lambda i, total: total + x_ref[...], x_ref[...])

    monkeypatch.setattr(phase5.Interpreter, "run_kernel", lambda *_: pytest.fail("it was begun"))
    for kernel, options in ((summed, {}), (running, {"grid": (64,), "in_specs": [ROW], "out_specs": HERE})):
        call, arrays = traced(call_of(kernel, **options), X)
        assert walked(call, arrays, Options()) is None


HERE = pl.BlockSpec((64, 128), lambda i: (0, 0))


def running(x_ref: Any, out_ref: Any) -> None:
    out_ref[pl.ds(pl.program_id(0), 1), :] = x_ref[...] + out_ref[pl.ds(0, 1), :]


def test_a_kernel_that_prints_is_compiled_at_once(programs: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    def printing(x_ref: Any, out_ref: Any) -> None:
        jax.debug.print("here")
        halved_until_small(x_ref, out_ref)

    x = np.full((8, 128), 2.0, np.float32)
    jax.block_until_ready(pallas_np.pallas_call(printing, jax.ShapeDtypeStruct(x.shape, x.dtype))(x))
    jax.effects_barrier()
    assert capsys.readouterr().out == "here\n" and len(programs) == 1


def _writes_outside(x_ref: Any, n_ref: Any, out_ref: Any) -> None:
    out_ref[...] = x_ref[...]
    out_ref[0, n_ref[pl.program_id(0)]] = 1.0


def _writes_outside_in_a_loop(x_ref: Any, n_ref: Any, out_ref: Any) -> None:
    out_ref[...] = x_ref[...]

    def turn(k: Any, total: Any) -> Any:
        out_ref[0, n_ref[pl.program_id(0)] - k] = total
        return total + 1.0

    lax.fori_loop(0, 3, turn, 0.0)


@pytest.mark.parametrize("kernel", [_writes_outside, _writes_outside_in_a_loop])
def test_an_error_says_what_phase_5_says(kernel: Any) -> None:
    n = np.full(64, 5, np.int32)
    n[40] = 130
    whole = pl.BlockSpec((64,), lambda i: (0,))

    def error_on(engine: Any) -> pallas_np.KernelError:
        call = pallas_np.pallas_call(
            kernel,
            jax.ShapeDtypeStruct(X.shape, X.dtype),
            grid=(64,),
            in_specs=[ROW, whole],
            out_specs=ROW,
            options=Options(engine=engine),
        )
        with pytest.raises(pallas_np.OutOfBoundsError) as caught:
            call(X, n)
        return caught.value

    tiered, walk = error_on("tiered"), error_on("interpreter")
    assert str(tiered) == str(walk) and tiered.grid_index == (40,)
