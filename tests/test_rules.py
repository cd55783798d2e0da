"""Each phase's table, rule by rule: an equation of each primitive, evaluated with the table, against JAX.

The edge values of every primitive and dtype are in `tests/lax_numpy`; here it is the tables that are checked, so each
rule gets one telling input, and an evaluator that cannot fall back to JAX.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from five_phases import phase_module
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from pallas_np import frontend, lax_numpy, phase1
from pallas_np.frontend import Jaxpr
from pallas_np.frontend.primitives import Missing

F = np.array([[-2.5, 1.5, np.nan, 0.5], [3.0, -0.0, np.inf, -7.25]], np.float32)
G = np.array([[0.5, -1.5, 2.0, 0.5], [-3.0, 0.0, 1.0, 2.5]], np.float32)
P = np.abs(G) + np.float32(0.25)  # positive
I = np.array([[6, -7, 0, 2**31 - 1], [-(2**31), 5, 12, -1]], np.int32)  # noqa: E741
J = np.array([[4, 2, 0, 1], [-1, -3, 31, 35]], np.int32)
B = np.array([[True, False, True, True], [False, False, True, False]])

UNARY_FLOAT = "ceil cos cosh exp exp2 expm1 floor is_finite logistic round sin sinh sqrt square tan tanh".split()
POSITIVE_FLOAT = "log log1p rsqrt".split()
REFERENCE = "acos asin asinh atan atanh cbrt erf erf_inv erfc".split()
BINARY = "add sub mul div rem max min eq ne lt le gt ge".split()
BITWISE = {"and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor"}
SHIFTS = "shift_left shift_right_arithmetic shift_right_logical".split()
REDUCTIONS = {f"reduce_{op}": f"reduce_{op}" for op in "max min prod sum".split()}
SCATTERS = {
    "scatter": "set",
    "scatter-add": "add",
    "scatter-mul": "multiply",
    "scatter-max": "max",
    "scatter-min": "min",
}

Question = tuple[Callable[..., Any], tuple[Any, ...]]
QUESTIONS: dict[str, list[Question]] = {
    **{name: [(getattr(lax, name), (F,))] for name in UNARY_FLOAT},
    **{name: [(getattr(lax, name), (P,))] for name in POSITIVE_FLOAT},
    **{
        name: [(getattr(lax, name), (P / 4,)), (getattr(lax, name), (P.astype(jnp.bfloat16) / 4,))]
        for name in REFERENCE
    },
    "acosh": [(lax.acosh, (P + 1,))],
    **{name: [(getattr(lax, name), (F, G)), (getattr(lax, name), (I, J))] for name in BINARY},
    **{name: [(getattr(lax, f), (I, J)), (getattr(lax, f), (B, ~B))] for name, f in BITWISE.items()},
    **{name: [(getattr(lax, name), (I, J))] for name in SHIFTS},
    **{name: [(functools.partial(getattr(jnp, name[7:]), axis=1), (G,))] for name in REDUCTIONS},
    **{
        name: [(lambda x, u, op=op: getattr(x.at[jnp.array([1, 9, 0])], op)(u), (G, np.vstack([P, P[:1]])))]
        for name, op in SCATTERS.items()
    },
    "abs": [(lax.abs, (F,)), (lax.abs, (I,))],
    "neg": [(lax.neg, (F,)), (lax.neg, (I,))],
    "sign": [(lax.sign, (F,)), (lax.sign, (I,))],
    "not": [(lax.bitwise_not, (I,)), (lax.bitwise_not, (B,))],
    "population_count": [(lax.population_count, (I,))],
    "pow": [(lax.pow, (P, G))],
    "integer_pow": [(lambda x: lax.integer_pow(x, 3), (G,)), (lambda x: lax.integer_pow(x, -2), (P,))],
    "clamp": [(lax.clamp, (np.float32(-1), F, np.float32(1)))],
    "select_n": [(lax.select, (B, F, G)), (lambda w, *xs: lax.select_n(w, *xs), (J[0] % 3, I[0], J[0], I[1]))],
    "convert_element_type": [
        (lambda x: lax.convert_element_type(x, jnp.int32), (F,)),
        (lambda x: lax.convert_element_type(x, jnp.bfloat16), (F,)),
        (lambda x: lax.convert_element_type(x, jnp.bool_), (I,)),
    ],
    "bitcast_convert_type": [(lambda x: lax.bitcast_convert_type(x, jnp.int32), (G,))],
    "broadcast_in_dim": [(lambda x: lax.broadcast_in_dim(x, (3, 2, 4), (1, 2)), (I,))],
    "concatenate": [(lambda x, y: lax.concatenate([x, y], 1), (I, J))],
    "copy": [(lambda x: jnp.array(x, copy=True), (I,))],
    "iota": [(lambda: lax.broadcasted_iota(jnp.int32, (3, 4), 1), ())],
    "pad": [(lambda x: lax.pad(x, jnp.int32(9), [(1, 2, 0), (-1, 0, 2)]), (I,))],
    "reshape": [(lambda x: lax.reshape(x, (4, 2)), (I,))],
    "rev": [(lambda x: lax.rev(x, (1,)), (I,))],
    "slice": [(lambda x: lax.slice(x, (0, 1), (2, 4), (1, 2)), (I,))],
    "split": [(lambda x: lax.split(x, (1, 3), axis=1), (I,))],
    "squeeze": [(lambda x: lax.squeeze(x, (0,)), (I[:1],))],
    "transpose": [(lambda x: lax.transpose(x, (1, 0)), (I,))],
    "dynamic_slice": [(lambda x, i: lax.dynamic_slice(x, (i, i), (1, 3)), (I, np.int32(7)))],
    "dynamic_update_slice": [(lambda x, u, i: lax.dynamic_update_slice(x, u, (i, i)), (I, J[:1, :2], np.int32(-1)))],
    "gather": [
        (lambda x, i: jnp.take_along_axis(x, i, axis=1), (G, np.array([[3, 0, 9], [1, 1, -1]], np.int32))),
        (lambda x: x[jnp.array([1, 0, 1])], (G,)),
    ],
    "reduce_and": [(lambda x: jnp.all(x, axis=0), (B,))],
    "reduce_or": [(lambda x: jnp.any(x, axis=1), (B,))],
    "reduce_xor": [(lambda x: lax.reduce_xor(x, (1,)), (I,))],
    "argmax": [(lambda x: lax.argmax(x, 1, jnp.int32), (F,))],
    "argmin": [(lambda x: lax.argmin(x, 1, jnp.int32), (F,))],
    "cumsum": [(lambda x: lax.cumsum(x, 1), (I,))],
    "cumprod": [(lambda x: lax.cumprod(x, 1, reverse=True), (J,))],
    "cummax": [(lambda x: lax.cummax(x, 1), (F,))],
    "cummin": [(lambda x: lax.cummin(x, 1), (F,))],
    "cumlogsumexp": [(lambda x: lax.cumlogsumexp(x, 1), (G,))],
    "sort": [(lambda x, y: lax.sort((x, y), dimension=1, num_keys=1), (F, I))],
    "top_k": [(lambda x: lax.top_k(x, 2), (F,))],
    "dot_general": [(lambda x, y: jnp.dot(x, y.T, precision="highest"), (G, P))],
    "jit": [(lambda x: jnp.where(x > 0, x, 0), (I,))],
    "custom_jvp_call": [(jax.nn.relu, (G,))],
    "remat2": [(jax.checkpoint(lambda x: x * 2), (I,))],
    "cond": [(lambda i, x: lax.switch(i, [lambda x: x, lambda x: x + 1, lambda x: x * 2], x), (np.int32(9), I))],
    "while": [(lambda x: lax.while_loop(lambda c: c[0] < 5, lambda c: (c[0] + 1, c[1] + c[0]), (0, x)), (I,))],
    "scan": [
        (lambda x: lax.scan(lambda c, row: (c + row, c), x[0], x), (J,)),
        (lambda x: lax.scan(lambda c, row: (c - row, c * 2), x[0], x, reverse=True), (J,)),
    ],
}


@jax.custom_vjp
def _doubled(x: Any) -> Any:
    return x * 2


_doubled.defvjp(lambda x: (x * 2, None), lambda _, g: (g,))
QUESTIONS["custom_vjp_call"] = [(_doubled, (I,))]

# Primitives whose equations come only from kernels or from other transformations; tested below or in test_phases.py.
ELSEWHERE = set(
    """
    addupdate broadcast_to closed_call eval_jaxpr get multiple_of num_programs program_id run_scoped stop_gradient swap
    """.split()
)


class NoFallBack(phase1.Interpreter):
    """Turns the fall-back to JAX into a failure, in whichever phase's interpreter it is mixed."""

    def fall_back(self, eqn: Any, *args: Any) -> Any:
        raise AssertionError(f"{eqn.name} fell back to JAX")


def primitives_in(jaxpr: Jaxpr) -> Iterator[Any]:
    for eqn in jaxpr.eqns:
        yield eqn.primitive
        for inner in frontend.subjaxprs(eqn):
            yield from primitives_in(inner)


RULES = [
    pytest.param(phase_module(n), primitive, id=f"phase{n}-{primitive.name}")
    for n in (2, 3, 4, 5)
    for primitive in phase_module(n).numpy_rules
    if not isinstance(primitive, Missing) and primitive.name in QUESTIONS
]


@functools.cache
def answers(name: str) -> list[tuple[Any, Any, list[np.ndarray]]]:
    found = []
    for function, args in QUESTIONS[name]:
        jaxpr = jax.make_jaxpr(function)(*args)
        found.append((jaxpr, args, [np.asarray(out) for out in jax.tree.leaves(jax.jit(function)(*args))]))
    return found


@pytest.mark.parametrize("phase, primitive", RULES)
def test_a_rule_gives_what_the_primitive_gives(phase: ModuleType, primitive: Any) -> None:
    interpreter = type("Strict", (NoFallBack, phase.Interpreter), {})
    asked = False
    for jaxpr, args, wanted in answers(primitive.name):
        plain = frontend.as_jaxpr(jaxpr)
        if primitive not in set(primitives_in(plain)) or not set(primitives_in(plain)) <= set(phase.numpy_rules):
            continue  # this release of JAX or this phase says it with other primitives
        asked = True
        got = phase1.evaluate(interpreter(phase.numpy_rules), jaxpr, jaxpr.consts, args)
        for g, w in zip(got, wanted, strict=True):
            assert (np.shape(g), np.asarray(g).dtype) == (w.shape, w.dtype)
            rtol = 1e-2 if w.dtype == jnp.bfloat16 else 2e-6
            np.testing.assert_allclose(np.asarray(g, np.float64), np.asarray(w, np.float64), rtol=rtol, atol=1e-7)
    if phase is phase_module(5):
        assert asked, f"no question asks for {primitive.name}"


def test_every_rule_of_the_early_phases_is_asked_about() -> None:
    rules = {p.name for p in phase_module(4).numpy_rules if not isinstance(p, Missing)}
    assert rules - set(QUESTIONS) == ELSEWHERE & rules


def test_a_value_rule_of_phase5_is_the_function_of_its_name() -> None:
    """So that the tests of `tests/lax_numpy`, which go by name, speak for the table."""
    named = 0
    for primitive, rule in phase_module(5).numpy_rules.items():
        name = primitive.name.replace("-", "_")
        if getattr(rule, "__module__", "").startswith("pallas_np.lax_numpy"):
            assert rule in (getattr(lax_numpy, name, None), getattr(lax_numpy, f"{name}_", None))
            named += 1
    assert named > 60


def test_integer_indexers_are_broadcast(phase: ModuleType) -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        rows = 2 * lax.broadcasted_iota(jnp.int32, (2, 1), 0)
        columns = 3 - lax.broadcasted_iota(jnp.int32, (1, 3), 1)
        out_ref[...] = x_ref[rows, columns]

    call = phase.pallas_call(kernel, out_shape=jax.ShapeDtypeStruct((2, 3), jnp.int32))
    x = np.arange(16, dtype=np.int32).reshape(4, 4)
    np.testing.assert_array_equal(call(jnp.asarray(x)), x[[[0], [2]], [3, 2, 1]])


def test_swap_returns_the_old_value_and_addupdate_adds(phase: ModuleType) -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...]
        old = jax.ref.swap(out_ref, (pl.ds(0, 2),), 50 + 10 * lax.iota(jnp.int32, 2))
        jax.ref.addupdate(out_ref, (pl.ds(2, 2),), old)

    call = phase.pallas_call(kernel, out_shape=jax.ShapeDtypeStruct((4,), jnp.int32))
    np.testing.assert_array_equal(call(jnp.arange(1, 5)), [50, 60, 4, 6])


def test_addupdate_counts_an_element_each_time_that_it_is_named(phase: ModuleType) -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = jnp.zeros_like(out_ref)
        jax.ref.addupdate(out_ref, (x_ref[...], pl.ds(0, 2)), jnp.ones((4, 2), jnp.int32))

    call = phase.pallas_call(kernel, out_shape=jax.ShapeDtypeStruct((3, 3), jnp.int32))
    named = jnp.array([2, 0, 2, 2], jnp.int32)
    np.testing.assert_array_equal(call(named), [[1, 1, 0], [0, 0, 0], [3, 3, 0]])


@pytest.mark.parametrize("number", [4, 5])
def test_run_scoped_gives_fresh_memory_at_each_entry(number: int) -> None:
    def kernel(out_ref: Any) -> None:
        def body(buffer: Any) -> None:
            out_ref[...] = buffer[...]
            buffer[...] = jnp.full((2,), 7, jnp.int32)

        pl.run_scoped(body, pltpu.VMEM((2,), jnp.int32))

    call = phase_module(number).pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((6,), jnp.int32),
        grid=(3,),
        out_specs=pl.BlockSpec((2,), lambda i: (i,)),
    )
    np.testing.assert_array_equal(call(), np.full(6, np.iinfo(np.int32).min))


def test_num_programs_of_each_axis(phase: ModuleType) -> None:
    def kernel(out_ref: Any) -> None:
        out_ref[0, 0] = pl.num_programs(0) * 100 + pl.num_programs(1) * 10 + pl.program_id(1)

    call = phase.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((2, 3), jnp.int32),
        grid=(2, 3),
        out_specs=pl.BlockSpec((1, 1), lambda i, j: (i, j)),
    )
    np.testing.assert_array_equal(call(), [[230, 231, 232]] * 2)
