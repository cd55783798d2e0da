"""The marks of a result are the elements that change when marked elements of the operands do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from pallas_np import phase5
from pallas_np.frontend import as_jaxpr
from pallas_np.inspector.dependence import dependent


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).permutation(int(np.prod(shape))).reshape(shape).astype(np.float32) + 1


X, Y = numbers(4, 6), numbers(4, 6, seed=1)
BOOLS = X > 12
SPARSE, MASK = (np.where(x % 3 == 0, 0, x).astype(np.int16) for x in (X, Y))
ROWS = np.int32([[2], [0], [7]])

EXACT: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "add": (lax.add, (X, Y)),
    "a scalar": (lambda x, y: lax.mul(x, y), (X, np.full(X.shape, 2, np.float32))),
    "convert": (lambda x: lax.convert_element_type(x, jnp.bfloat16), (X,)),
    "transpose": (lambda x: lax.transpose(x, (1, 0)), (X,)),
    "reshape": (lambda x: lax.reshape(x, (3, 8)), (X,)),
    "broadcast": (lambda x: lax.broadcast_in_dim(x, (5, 4, 6), (1, 2)), (X,)),
    "slice": (lambda x: lax.slice(x, (1, 0), (4, 6), (2, 3)), (X,)),
    "reverse": (lambda x: lax.rev(x, (1,)), (X,)),
    "pad": (lambda x, p: lax.pad(x, p, ((1, 0, 1), (0, 2, 0))), (X, np.float32(0))),
    "concatenate": (lambda x, y: lax.concatenate([x, y], 1), (X, Y)),
    "dynamic slice": (lambda x, i: lax.dynamic_slice(x, (i, i), (2, 3)), (X, np.int32(1))),
    "dynamic update": (lambda x, y, i: lax.dynamic_update_slice(x, y[:2, :3], (i, i)), (X, Y, np.int32(1))),
    "select": (lax.select, (BOOLS, X, Y)),
    "sum of rows": (lambda x: lax.reduce_sum_p.bind(x, axes=(1,), out_sharding=None), (X,)),
    "running sum": (lambda x: lax.cumsum(x, 1), (X,)),
    "running sum from the end": (lambda x: lax.cumsum(x, 0, reverse=True), (X,)),
    "dot": (lambda x, y: lax.dot_general(x, y, (((1,), (1,)), ((), ()))), (X, Y)),
    "batched dot": (lambda x, y: lax.dot_general(x, y, (((1,), (1,)), ((0,), (0,)))), (X, Y)),
    "an integer's product": (lax.mul, (SPARSE, MASK)),
    "a dot of integers": (lambda x, y: lax.dot_general(x, y, (((1,), (1,)), ((), ()))), (SPARSE, MASK)),
    "convolution": (lambda x, y: lax.conv(x[None, None], y[None, None, :2, :2], (1, 1), "VALID"), (X, Y)),
    "window sum": (lambda x: lax.reduce_window(x, 0.0, lax.add, (2, 2), (1, 2), "VALID"), (X,)),
    "bitcast": (lambda x: lax.bitcast_convert_type(x, jnp.int32), (X,)),
    "one barrier for each": (lambda x, y: lax.optimization_barrier((x, y)), (X, Y)),
}
COVERED = {  # not every element that may change does so with these numbers
    "maximum": (lax.max, (X, Y)),
    "maxima of rows": (lambda x: lax.reduce_max_p.bind(x, axes=(0,), out_sharding=None), (X,)),
    "sort": (lambda x: lax.sort(x, dimension=1), (X,)),
    "top 2": (lambda x: lax.top_k(x, 2), (X,)),
    "where the maximum is": (lambda x: lax.argmax(x, 1, jnp.int32), (X,)),
    "and": (lax.bitwise_and, (BOOLS, Y > 12)),
    "or": (lax.bitwise_or, (BOOLS, Y > 12)),
    "bits that are split": (lambda x: lax.bitcast_convert_type(x, jnp.int16), (X,)),
    "gather": (lambda x, i: x.at[i[:, 0]].get(mode="clip"), (X, ROWS)),
    "scatter": (lambda x, y, i: x.at[i[:, 0]].set(y[:3]), (X, Y, ROWS)),
    "scatter and add": (lambda x, y, i: x.at[i[:, 0]].add(y[:3]), (X, Y, ROWS)),
}


class Marking(phase5.Interpreter):
    """Carries marks beside values through a jaxpr."""

    def __init__(self) -> None:
        super().__init__(phase5.numpy_rules)
        self.marked: dict[int, tuple[Any, Any]] = {}

    def eval_equation(self, eqn: Any, *args: Any) -> Any:
        answer = super().eval_equation(eqn, *args)
        if getattr(self.rules[eqn.primitive], "is_structure", False) and "jaxpr" in eqn.params:
            return answer
        results = [np.asarray(result)[...] for result in (answer if eqn.multiple_results else [answer])]
        marks = [self.marked.get(id(arg), (None, None))[1] for arg in args]
        for result, mark in zip(results, dependent(eqn, args, marks, results)):
            self.marked[id(result)] = result, mark
        return results if eqn.multiple_results else results[0]


def changes_and_marks(function: Any, args: tuple[Any, ...], seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Which elements change when some of the float operands' do, and which are marked."""
    random = np.random.default_rng(seed)
    jaxpr = as_jaxpr(jax.make_jaxpr(function)(*args))
    given = [np.array(arg) for arg in args]
    interp, others = Marking(), []
    for arg in given:
        marks = (random.random(arg.shape) < 0.15) & (arg.dtype != np.int32)
        interp.marked[id(arg)] = arg, marks if marks.any() else None
        others.append(np.where(marks, ~arg if arg.dtype == bool else arg + 1000, arg).astype(arg.dtype))
    found = interp.eval_jaxpr(jaxpr, jaxpr.consts, *given)
    changed = phase5.eval_jaxpr(jaxpr, jaxpr.consts, *others)
    marks = [interp.marked[id(value)][1] for value in found]
    marks = [np.zeros(value.shape, bool) if mark is None else mark for value, mark in zip(found, marks)]
    return [np.asarray(a != b) for a, b in zip(found, changed)], marks


@pytest.mark.parametrize("name", EXACT)
def test_marks_are_what_changes(name: str) -> None:
    function, args = EXACT[name]
    seen = False
    for seed in range(5):
        for changed, marks in zip(*changes_and_marks(function, args, seed)):
            np.testing.assert_array_equal(changed, marks)
            seen |= marks.any() and not marks.all()
    assert seen


@pytest.mark.parametrize("name", COVERED)
def test_what_changes_is_marked(name: str) -> None:
    function, args = COVERED[name]
    seen = False
    for seed in range(5):
        for changed, marks in zip(*changes_and_marks(function, args, seed)):
            assert not np.any(changed & ~marks)
            seen |= bool(changed.any()) and not marks.all()
    assert seen


def test_zero_and_anything_is_known() -> None:
    interp = Marking()
    for function, dtype, wanted in (
        (lax.bitwise_and, bool, [True, False]),
        (lax.bitwise_or, bool, [False, True]),
        (lax.bitwise_and, np.uint8, [True, False]),
        (lax.bitwise_or, np.uint8, [False, True]),
    ):
        valid, unknown = ~np.array([0, 0], dtype) * np.array([1, 0], dtype), np.array([1, 1], dtype)
        interp.marked[id(unknown)] = unknown, np.array([True, True])
        jaxpr = as_jaxpr(jax.make_jaxpr(function)(valid, unknown))
        (result,) = interp.eval_jaxpr(jaxpr, (), valid, unknown)
        np.testing.assert_array_equal(interp.marked[id(result)][1], wanted)


def test_a_float_times_zero_may_be_nan() -> None:
    zeros, unknown = np.zeros(2, np.float32), np.ones(2, np.float32)
    interp = Marking()
    interp.marked[id(unknown)] = unknown, np.array([True, False])
    jaxpr = as_jaxpr(jax.make_jaxpr(lax.mul)(zeros, unknown))
    (result,) = interp.eval_jaxpr(jaxpr, (), zeros, unknown)
    np.testing.assert_array_equal(interp.marked[id(result)][1], [True, False])


def test_a_primitive_without_a_rule_depends_on_everything() -> None:
    square = np.eye(3, dtype=np.float32)
    marks = np.zeros((3, 3), bool)
    marks[0, 0] = True
    interp = Marking()
    interp.marked[id(square)] = square, marks
    jaxpr = as_jaxpr(jax.make_jaxpr(lambda x: lax.ragged_dot(x, x[None], jnp.array([3])))(square))
    (result,) = interp.eval_jaxpr(jaxpr, jaxpr.consts, square)
    assert interp.marked[id(result)][1].all()
