"""Section 3 of the semantics: calls, loops and conditionals, with refs anywhere in them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from pallas_oracle import assert_same, check, ints, run, sds

from pallas_np import phase5


@jax.custom_jvp
def tripled(x: Any) -> Any:
    return x * 3


tripled.defjvp(lambda primals, tangents: (primals[0] * 3, tangents[0] * 3))


@jax.custom_vjp
def halved(x: Any) -> Any:
    return x / 2


halved.defvjp(lambda x: (x / 2, None), lambda _, g: (g / 2,))


def test_functions_that_jax_wraps() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        x = jax.jit(lambda x: x + 1)(x_ref[...])
        x = tripled(x) + halved(x)
        x = jax.checkpoint(lambda x: x * x)(x)
        x = jax.named_call(lambda x: x - 1, name="minus")(x)
        out_ref[...] = jax.nn.relu(x) + jnp.where(x > 0, x, 0)

    check(kernel, sds(8), ints(8, dtype=np.float32) - 4)


@jax.custom_batching.custom_vmap
def fourfold(x: Any) -> Any:
    return x * 4


fourfold.def_vmap(lambda size, batched, x: (x * 4, batched[0]))


def test_functions_that_say_something_of_their_operands() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        x = fourfold(jax.device_put(x_ref[...]))
        x = checkpoint_name(x, "x")
        out_ref[...] = lax.composite(lambda x: x + 1, "my.one_more")(x)

    check(kernel, sds(4), ints(4, dtype=np.float32), wanted=ints(4, dtype=np.float32) * 4 + 1)


def test_a_jitted_function_writes_to_refs_of_the_kernel() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        @jax.jit
        def fill(i: Any) -> None:
            out_ref[i] = x_ref[i] * 2

        fill(0)
        fill(1)

    check(kernel, sds(2, jnp.int32), ints(2) + 5, wanted=(ints(2) + 5) * 2)


def test_functions_without_arguments() -> None:
    def kernel(out_ref: Any) -> None:
        out_ref[...] = jax.jit(lambda: jnp.full((3,), 4, jnp.int32))()

    check(kernel, sds(3, jnp.int32), wanted=np.full(3, 4, np.int32))


def test_cond_and_switch_with_refs() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        i = pl.program_id(0)

        def add(y: Any) -> Any:
            out_ref[1] = x_ref[0] + y
            return y + 1

        def nothing(y: Any) -> Any:
            return y

        def negate(y: Any) -> Any:
            out_ref[1] = -x_ref[0]
            return y * 2

        out_ref[...] = jnp.zeros_like(out_ref)
        out_ref[0] = lax.switch(i - 1, [add, nothing, negate], x_ref[0])
        out_ref[2] = lax.cond(i > 2, add, negate, x_ref[0])

    spec = pl.BlockSpec((None, 3), lambda i: (i, 0))
    check(
        kernel,
        sds((6, 3), jnp.int32),
        ints(6) * 10,
        grid=(6,),
        in_specs=[pl.BlockSpec((1,), lambda i: (i,))],
        out_specs=spec,
    )


def test_cond_on_a_boolean_of_a_ref() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[0] = lax.cond(x_ref[0], lambda: jnp.int32(1), lambda: jnp.int32(2))

    for value in (True, False):
        check(kernel, sds(1, jnp.int32), np.array([value]))


def test_a_while_condition_reads_what_the_body_wrote() -> None:
    """`interpret=True` tests a stale value here and never ends; the oracle is the kernel, read as Python."""

    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...]

        def body(n: Any) -> Any:
            out_ref[0] -= 3
            return n + 1

        out_ref[1] = lax.while_loop(lambda n: out_ref[0] > 0, body, jnp.int32(0))

    assert_same(run(kernel, sds(2, jnp.int32), np.int32([10, 0])), np.int32([-2, 4]))


def test_while_with_constants_and_several_carries() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        limit, step = x_ref[0], x_ref[1]

        def body(carry: Any) -> Any:
            i, total = carry
            out_ref[i] = total
            return i + 1, total + step

        i, total = lax.while_loop(lambda carry: carry[1] < limit, body, (0, jnp.int32(0)))
        out_ref[7] = i * 1000 + total

    check(kernel, sds(8, jnp.int32), np.int32([17, 3]), input_output_aliases={})


def test_while_that_never_starts() -> None:
    def kernel(out_ref: Any) -> None:
        out_ref[0] = lax.while_loop(lambda i: i < 0, lambda i: i + 1, jnp.int32(3))

    check(kernel, sds(1, jnp.int32), wanted=np.int32([3]))


@pytest.mark.parametrize("reverse", [False, True])
def test_scan_with_consts_carry_xs_and_ys(reverse: bool) -> None:
    def kernel(x_ref: Any, out_ref: Any, ys_ref: Any) -> None:
        scale = x_ref[0, 0] + 2

        def step(carry: Any, x: Any) -> Any:
            row, i = x
            out_ref[i] = carry[0] * scale
            return (carry[0] + row, carry[1] + 1), (carry[0][0], row * carry[1])

        (total, n), (firsts, rows) = lax.scan(
            step, (jnp.zeros(4, jnp.int32), 0), (x_ref[...], jnp.arange(3)), reverse=reverse
        )
        ys_ref[0:3] = rows
        ys_ref[3] = total + n
        ys_ref[4, 0:3] = firsts
        ys_ref[4, 3] = 0

    check(kernel, [sds((3, 4), jnp.int32), sds((5, 4), jnp.int32)], ints(3, 4))


def test_scan_of_no_steps() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        total, ys = lax.scan(lambda c, x: (c + x, c), x_ref[0], jnp.zeros((0,), jnp.int32))
        out_ref[0] = total + ys.shape[0]

    check(kernel, sds(1, jnp.int32), ints(1) + 4, wanted=np.int32([4]))


def test_map_and_associative_scan() -> None:
    def kernel(x_ref: Any, out_ref: Any, sums_ref: Any) -> None:
        out_ref[...] = lax.map(lambda row: row[::-1] * 2, x_ref[...])
        sums_ref[...] = lax.associative_scan(jnp.add, x_ref[...], axis=1)

    x = ints(3, 5)
    check(kernel, [sds((3, 5), x.dtype)] * 2, x, wanted=[x[:, ::-1] * 2, np.cumsum(x, 1, dtype=np.int32)])


def test_fori_loop_with_dynamic_bounds() -> None:
    def kernel(n_ref: Any, out_ref: Any) -> None:
        out_ref[...] = jnp.zeros_like(out_ref)

        def body(i: Any, total: Any) -> Any:
            out_ref[i] = total
            return total + i

        out_ref[7] = lax.fori_loop(n_ref[0], n_ref[1], body, jnp.int32(100))

    check(kernel, sds(8, jnp.int32), np.int32([2, 6]))


@pytest.mark.parametrize("unroll", [1, 2, True])
def test_loops_may_be_unrolled(unroll: Any) -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = jnp.zeros_like(out_ref)

        @pl.loop(0, 4, unroll=unroll)
        def _(i: Any) -> None:
            out_ref[i] = x_ref[i] + i

        out_ref[4] = lax.fori_loop(0, 4, lambda i, t: t + x_ref[i] * i, jnp.int32(0), unroll=unroll)

    check(kernel, sds(5, jnp.int32), ints(4) + 3, wanted=np.int32([3, 5, 7, 9, 0 + 4 + 10 + 18]))


def test_loops_with_steps_and_dynamic_ends() -> None:
    def kernel(n_ref: Any, out_ref: Any) -> None:
        out_ref[...] = jnp.zeros_like(out_ref)

        @pl.loop(1, 8, step=3)
        def _(i: Any) -> None:
            out_ref[i] = i * 10

        @pl.loop(0, n_ref[0])
        def _(i: Any) -> None:
            out_ref[i] += 1

    check(kernel, sds(8, jnp.int32), np.int32([5]), wanted=np.int32([1, 11, 1, 1, 41, 0, 0, 70]))


def test_when_nested_in_loops() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = jnp.zeros_like(out_ref)

        @pl.loop(0, 3)
        def _(i: Any) -> None:
            @pl.when(i != 1)
            def _() -> None:
                @pl.loop(0, 3)
                def _(j: Any) -> None:
                    @pl.when((i + j) % 2 == 0)
                    def _() -> None:
                        out_ref[i, j] += x_ref[j, i] + pl.program_id(0)

    x = ints(3, 3)
    got = run(kernel, sds((2, 3, 3), x.dtype), x, grid=(2,), out_specs=pl.BlockSpec((None, 3, 3), lambda b: (b, 0, 0)))
    i, j = np.indices((3, 3))
    assert_same(got, np.stack([np.where((i != 1) & ((i + j) % 2 == 0), x.T + b, 0) for b in range(2)]).astype(np.int32))


def test_run_scoped_nested_with_results() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        def outer(a_ref: Any, b_ref: Any) -> Any:
            a_ref[...] = x_ref[...] * 2
            b_ref[0] = 5

            def inner(c_ref: Any) -> Any:
                c_ref[...] = a_ref[...] + b_ref[0]
                out_ref[0] = c_ref[...]
                return c_ref[...] * 10, b_ref[0]

            ten, five = pl.run_scoped(inner, pltpu.VMEM((4,), jnp.int32))
            return ten + five

        out_ref[1] = pl.run_scoped(outer, pltpu.VMEM((4,), jnp.int32), pltpu.SMEM((1,), jnp.int32))

    x = ints(4)
    check(kernel, sds((2, 4), x.dtype), x, wanted=np.stack([x * 2 + 5, (x * 2 + 5) * 10 + 5]))


def test_run_scoped_with_names_and_in_a_loop() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        @pl.loop(0, 3)
        def _(i: Any) -> None:
            def body(*, row: Any) -> None:
                row[...] = x_ref[i] + i
                out_ref[i] = row[...] * 2

            pl.run_scoped(body, row=pltpu.VMEM((4,), jnp.int32))

    x = ints(3, 4)
    check(kernel, sds((3, 4), x.dtype), x, wanted=(x + ints(3, 1)) * 2)


def test_a_kernel_calls_a_kernel() -> None:
    """Neither peer runs a `pallas_call` in a kernel."""

    def inner(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] * 10 + pl.program_id(0)

    spec = pl.BlockSpec((2,), lambda i: (i,))

    def kernel(x_ref: Any, out_ref: Any) -> None:
        value = pl.pallas_call(inner, sds(4, jnp.int32), grid=(2,), in_specs=[spec], out_specs=spec)(x_ref[...])
        out_ref[...] = value + 100 * pl.program_id(0)

    x = ints(8)
    outer = pl.BlockSpec((4,), lambda i: (i,))
    got = run(kernel, sds(8, x.dtype), x, grid=(2,), in_specs=[outer], out_specs=outer)
    assert_same(got, x * 10 + np.tile(np.repeat(ints(2), 2), 2) + np.repeat(ints(2) * 100, 4))


def test_program_id_anywhere_in_control_flow() -> None:
    """`interpret=True` knows it only outside of loops and conditionals."""

    def kernel(out_ref: Any) -> None:
        def step(carry: Any, _: Any) -> Any:
            return lax.cond(pl.program_id(0) > 1, lambda: carry + pl.program_id(0), lambda: carry - 1), None

        total, _ = lax.scan(step, jnp.int32(0), length=3)
        out_ref[0] = total + pl.num_programs(0)

    got = run(kernel, sds(4, jnp.int32), grid=(4,), out_specs=pl.BlockSpec((1,), lambda i: (i,)))
    assert_same(got, np.int32([1, 1, 10, 13]))


def test_platform_dependent_code_takes_the_default() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = lax.platform_dependent(
            x_ref[...], tpu=lambda x: x + 1, cpu=lambda x: x + 2, default=lambda x: x + 3
        )

    assert_same(run(kernel, sds(3, jnp.int32), ints(3)), ints(3) + 2)


def test_a_reduction_with_a_function_of_its_own() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = lax.reduce(x_ref[...], jnp.int32(1), lambda a, b: a * b, (1,))

    check(kernel, sds(3, jnp.int32), ints(3, 4) + 1, wanted=np.prod(ints(3, 4) + 1, 1, dtype=np.int32))


def test_eval_jaxpr_runs_a_program_with_loops() -> None:
    def program(x: Any) -> Any:
        return lax.fori_loop(0, 5, lambda i, x: jnp.sin(x) + i, x), lax.while_loop(
            lambda x: x.sum() < 100, lambda x: x * 2, x
        )

    x = np.float32([1, 2])
    jaxpr = jax.make_jaxpr(program)(x)
    got = phase5.eval_jaxpr(jaxpr.jaxpr, jaxpr.consts, x)
    np.testing.assert_allclose(got[0], program(x)[0], rtol=1e-6)
    assert_same(got[1], program(x)[1])
