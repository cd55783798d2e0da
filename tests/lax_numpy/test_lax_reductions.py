"""Reductions, cumulative operations, dots, convolutions and windows, against XLA.

Integers, extremes and arguments agree bit for bit. Floating sums agree within units in the last place of the largest
result, since the order of additions differs.
"""

from __future__ import annotations

import jax
import jax.extend.core
import ml_dtypes
import numpy as np
import pytest
from jax import lax
from jax.extend.core import primitives
from lax_oracle import BFLOAT16, FLOATS, INTEGERS, NARROW, aslist, both, check, edge_values, run

from pallas_np import lax_numpy
from pallas_np.frontend.params import value_params

FLOAT32, COMPLEX = np.dtype(np.float32), np.dtype(np.complex64)
NUMBERS = [*FLOATS, *INTEGERS, *NARROW]
AXES = [(2,), (0, 1)]
ULPS_OF_LARGEST = 16


def label(value: object) -> str:
    return value.name if isinstance(value, np.dtype) else str(value)


def check_sum(fn, *args) -> None:
    """Like `check`, with floats equal up to ULPS_OF_LARGEST units in the last place of the largest result."""
    (theirs, *_), (ours, *_) = both(fn, *args)
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    if ours.dtype.kind in "biu" or ours.dtype in NARROW:
        assert np.array_equal(ours, theirs)
        return
    wide = complex if ours.dtype.kind == "c" else float
    ulp = float(ml_dtypes.finfo(np.float32 if ours.dtype.kind == "c" else ours.dtype).eps)
    error = np.abs(ours.astype(wide) - theirs.astype(wide)).max(initial=0)
    assert error <= ULPS_OF_LARGEST * ulp * np.abs(theirs.astype(wide)).max(initial=0), error


def normal(*shape: int, dtype: np.dtype = FLOAT32, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    if dtype in NUMBERS and dtype not in FLOATS:
        low, high = (0, 8) if dtype.name.startswith("u") else (-8, 8)
        return random.integers(low, high, shape).astype(np.int8).astype(dtype)
    return (random.standard_normal(shape) * 2).astype(dtype)


@pytest.mark.parametrize("axes", AXES, ids=str)
@pytest.mark.parametrize("dtype", [*NUMBERS, COMPLEX], ids=label)
def test_sums_and_products_agree(dtype, axes):
    x = normal(4, 4, 4, dtype=dtype)
    check_sum(lambda x: lax.reduce_sum(x, axes), x)
    check_sum(lambda x: lax.reduce_prod(x, axes), x)


@pytest.mark.parametrize("axes", AXES, ids=str)
@pytest.mark.parametrize("dtype", NUMBERS, ids=label)
def test_extremes_agree_with_nan_and_signed_zeros(dtype, axes):
    edges = edge_values(dtype)
    ordinary = np.where(np.isnan(edges.astype(np.float32)), edges[2], edges)
    zeros = np.array([0.0, -0.0, -0.0, -0.0] * 16, np.float32).astype(dtype)
    for x in (edges, ordinary, zeros):
        x = x.reshape(4, 4, 4)
        check(lambda x: lax.reduce_max(x, axes), x)
        check(lambda x: lax.reduce_min(x, axes), x)
        if len(axes) == 1:
            check(lambda x: lax.argmax(x, axes[0], np.int32), x)
            check(lambda x: lax.argmin(x, axes[0], np.uint8), x)


# Many rows are reduced by other functions than few.
MANY_ROWS = (2, 48, 5)


@pytest.mark.parametrize("axes", [(1,), (2,)], ids=str)
@pytest.mark.parametrize("dtype", NUMBERS, ids=label)
def test_extremes_of_many_rows_agree(dtype, axes):
    x = np.random.default_rng(0).choice(edge_values(dtype), MANY_ROWS)
    zeros = np.array([0.0, -0.0, -0.0, -0.0, -0.0]) * np.random.default_rng(1).choice([1, -1], (16, 5))
    x[0, :16] = zeros.astype(dtype)
    for operand in (x, x[:, ::-1], x[..., ::2].copy()):
        check(lambda x: lax.reduce_max(x, axes), operand)
        check(lambda x: lax.reduce_min(x, axes), operand)


@pytest.mark.parametrize("dtype", [*NUMBERS, COMPLEX], ids=label)
def test_sums_and_products_of_many_rows_agree(dtype):
    x = normal(*MANY_ROWS, dtype=dtype)
    for operand in (x, x[:, ::-1]):
        check_sum(lambda x: lax.reduce_sum(x, (2,)), operand)
        check_sum(lambda x: lax.reduce_prod(x, (2,)), operand)


@pytest.mark.parametrize("dtype", [*INTEGERS, np.dtype(bool)], ids=label)
def test_bitwise_reductions_agree(dtype):
    for name in ("reduce_and", "reduce_or", "reduce_xor"):
        check(lambda x, name=name: getattr(lax, name)(x, (0, 2)), edge_values(dtype).reshape(4, 4, 4))
        many_rows = np.random.default_rng(0).choice(edge_values(dtype), MANY_ROWS)
        check(lambda x, name=name: getattr(lax, name)(x, (2,)), many_rows)


def test_reductions_of_nothing_give_the_identity():
    for shape, axis in (((0, 3), 0), ((0, 3), 1), ((40, 0), 1)):
        nothing = np.zeros(shape, np.float32)
        for name in ("reduce_sum", "reduce_prod", "reduce_max", "reduce_min"):
            for dtype in (np.float32, np.int32):
                check(lambda x, name=name, axis=axis: getattr(lax, name)(x, (axis,)), nothing.astype(dtype))


def test_narrow_floats_accumulate_in_float32():
    ones = np.ones(4096, BFLOAT16)
    assert lax_numpy.reduce_sum(ones, axes=(0,)) == 4096
    assert lax_numpy.cumsum(ones, axis=0, reverse=False)[-1] == 4096
    assert lax_numpy.dot_general(ones, ones, (((0,), (0,)), ((), ()))) == 4096


@pytest.mark.parametrize("axis, reverse", [(0, False), (2, True)])
@pytest.mark.parametrize("dtype", [*NUMBERS, COMPLEX], ids=label)
def test_cumulative_operations_agree(dtype, axis, reverse):
    x = normal(4, 4, 4, dtype=dtype)
    check_sum(lambda x: lax.cumsum(x, axis, reverse), x)
    check_sum(lambda x: lax.cumprod(x, axis, reverse), x)
    if dtype == COMPLEX:
        return
    edges = edge_values(dtype).reshape(4, 4, 4)
    check(lambda x: lax.cummax(x, axis, reverse), edges)
    check(lambda x: lax.cummin(x, axis, reverse), edges)
    if dtype in FLOATS:
        check_sum(lambda x: lax.cumlogsumexp(x, axis, reverse), x)


DOTS = {
    "matrices": ((5, 7), (7, 3), (((1,), (0,)), ((), ()))),
    "right transposed": ((5, 7), (3, 7), (((1,), (1,)), ((), ()))),
    "left transposed": ((7, 5), (7, 3), (((0,), (0,)), ((), ()))),
    "vectors": ((7,), (7,), (((0,), (0,)), ((), ()))),
    "matrix and vector": ((5, 7), (7,), (((1,), (0,)), ((), ()))),
    "two contracting": ((5, 2, 3), (3, 4, 2), (((1, 2), (2, 0)), ((), ()))),
    "outer": ((3,), (4,), (((), ()), ((), ()))),
    "batch": ((2, 3, 4), (2, 4, 5), (((2,), (1,)), ((0,), (0,)))),
    "two batches": ((4, 2, 3), (3, 4, 5, 2), (((0,), (1,)), ((2, 1), (0, 3)))),
}
DOT_DTYPES = [*FLOATS, *INTEGERS, COMPLEX, np.dtype(ml_dtypes.float8_e4m3fn)]


@pytest.mark.parametrize(
    "pattern, dtype",
    [("matrices", dtype) for dtype in DOT_DTYPES] + [(name, d) for name in DOTS for d in (FLOAT32, BFLOAT16, COMPLEX)],
    ids=label,
)
def test_dots_agree(pattern, dtype):
    left, right, numbers = DOTS[pattern]
    operands = normal(*left, dtype=dtype), normal(*right, dtype=dtype, seed=1)
    check_sum(lambda x, y: lax.dot_general(x, y, numbers), *operands)


@pytest.mark.parametrize(
    "left, right, preferred",
    [
        ("int8", "int8", "int32"),
        ("int8", "uint8", "int32"),
        ("int16", "int16", "float32"),
        ("bfloat16", "bfloat16", "float32"),
        ("float16", "float16", "float32"),
        ("float32", "bfloat16", "float32"),
        ("float32", "float32", "bfloat16"),
        ("float8_e5m2", "float8_e4m3fn", "float32"),
    ],
)
def test_dots_accumulate_in_the_preferred_dtype(left, right, preferred):
    left, right, preferred = (np.dtype(getattr(ml_dtypes, n, None) or n) for n in (left, right, preferred))
    numbers = (((1,), (0,)), ((), ()))
    operands = normal(5, 7, dtype=left), normal(7, 3, dtype=right, seed=1)
    check_sum(lambda x, y: lax.dot_general(x, y, numbers, preferred_element_type=preferred), *operands)


def test_integer_dots_wrap():
    for dtype in INTEGERS:
        x = edge_values(dtype).reshape(8, 8)
        check(lambda x, y: lax.dot_general(x, y, (((1,), (0,)), ((), ()))), x, x.T.copy())


RAGGED = lax.RaggedDotDimensionNumbers


@pytest.mark.parametrize("dtype", [FLOAT32, BFLOAT16, np.dtype(np.int32)], ids=label)
def test_ragged_dots_agree(dtype):
    sizes = np.array([2, 0, 3], np.int32)
    rows = normal(7, 4, dtype=dtype)
    check_sum(lax.ragged_dot, rows, normal(3, 4, 5, dtype=dtype, seed=1), sizes)
    numbers = RAGGED((((0,), (0,)), ((), ())), (0,), ())
    contracted = lambda x, y, g: lax.ragged_dot_general(x, y, g, numbers)  # noqa: E731
    check_sum(contracted, rows, normal(7, 5, dtype=dtype, seed=1), sizes)


CONV_DTYPES = [*FLOATS, np.dtype(np.int32), np.dtype(np.int8), COMPLEX]


@pytest.mark.parametrize("dtype", CONV_DTYPES, ids=label)
def test_convolutions_agree(dtype):
    images, kernels = normal(2, 4, 6, 5, dtype=dtype), normal(8, 4, 3, 2, dtype=dtype, seed=1)
    check_sum(lambda x, w: lax.conv_general_dilated(x, w, (1, 1), "SAME"), images, kernels)
    check_sum(
        lambda x, w: lax.conv_general_dilated(
            x, w, (2, 1), ((1, 0), (-1, 2)), lhs_dilation=(1, 2), rhs_dilation=(2, 1)
        ),
        images,
        kernels,
    )
    grouped = lambda x, w: lax.conv_general_dilated(x, w, (1, 1), "VALID", feature_group_count=2)  # noqa: E731
    check_sum(grouped, images, kernels[:, :2].copy())
    check_sum(lambda x, w: lax.conv_general_dilated(x, w, (1, 1), "VALID", batch_group_count=2), images, kernels)
    channels_last = lambda x, w: lax.conv_general_dilated(  # noqa: E731
        x, w, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    check_sum(channels_last, images.transpose(0, 2, 3, 1).copy(), kernels.transpose(2, 3, 1, 0).copy())


def window(dimensions, strides, padding, base=(1, 1), dilation=(1, 1)) -> dict:
    return {
        "window_dimensions": dimensions,
        "window_strides": strides,
        "padding": padding,
        "base_dilation": base,
        "window_dilation": dilation,
    }


WINDOWS = [
    window((2, 3), (1, 2), ((0, 0), (1, 2))),
    window((3, 2), (2, 1), ((2, 0), (0, 1)), (1, 2), (2, 1)),
    window((9, 2), (2, 1), ((0, 0), (0, 1))),
]


@pytest.mark.parametrize("dtype", [FLOAT32, BFLOAT16, np.dtype(np.int32), np.dtype(np.uint8)], ids=label)
@pytest.mark.parametrize("where", WINDOWS, ids=["strided", "dilated", "no window fits"])
def test_window_reductions_agree(where, dtype):
    x = normal(6, 7, dtype=dtype)
    check_sum(lambda x: lax.reduce_window_sum_p.bind(x, **where), x)
    check(lambda x: lax.reduce_window_max_p.bind(x, **where), x)
    check(lambda x: lax.reduce_window_min_p.bind(x, **where), x)


@pytest.mark.parametrize("select", [lax.ge_p, lax.le_p], ids=str)
def test_select_and_scatter_or_gather_agree(select):
    where = window((2, 3), (1, 2), ((0, 1), (1, 2)))
    both_ways = dict(where, select_prim=select)
    pooled = {name: where[name] for name in ("window_dimensions", "window_strides", "padding")}
    for dtype in (FLOAT32, BFLOAT16):
        x, tangents = normal(6, 7, dtype=dtype), normal(6, 7, dtype=dtype, seed=1)
        check(lambda t, x: lax.select_and_gather_add_p.bind(t, x, **both_ways), tangents, x)
        source = np.arange(6 * 4).reshape(6, 4).astype(np.float32).astype(dtype)
        check(lambda s, x: lax.select_and_scatter_add_p.bind(s, x, select_prim=select, **pooled), source, x)


def with_callable(fn, *args):
    """What `lax_numpy` gives for a primitive with a jaxpr, the jaxpr made a callable; and what JAX gives."""
    jaxpr = jax.make_jaxpr(fn)(*args)
    eqn = jaxpr.jaxpr.eqns[-1]
    known = dict(zip(jaxpr.jaxpr.invars, args))
    operands = [np.asarray(v.val if hasattr(v, "val") else known[v], v.aval.dtype) for v in eqn.invars]
    function = jax.extend.core.jaxpr_as_fun(value_params(eqn.primitive, eqn.params)["jaxpr"])
    ours = run(eqn, operands, jaxpr=lambda *values: [np.asarray(x) for x in function(*values)])
    return ours, aslist(fn(*args))


def test_general_reductions_take_a_callable():
    x, position = normal(6, 7), np.arange(42, dtype=np.int32).reshape(6, 7)

    def larger(a, b):
        return lax.select(b[0] > a[0], b[0], a[0]), lax.select(b[0] > a[0], b[1], a[1])

    def argmax(x, position):
        return lax.reduce((x, position), (np.float32(-np.inf), np.int32(-1)), larger, (1,))

    def product(x):
        return lax.reduce(x, np.float32(1), lambda a, b: a * b + 0, (0, 1))

    def window_product(x):
        return lax.reduce_window(x, np.float32(1), lambda a, b: a * b + 0, (2, 3), (1, 2), ((0, 1), (1, 1)))

    for fn, args in ((argmax, (x, position)), (product, (x,)), (window_product, (x,))):
        ours, theirs = with_callable(fn, *args)
        for mine, other in zip(ours, theirs, strict=True):
            assert (mine.dtype, mine.shape) == (other.dtype, other.shape)
            np.testing.assert_allclose(mine, other, 1e-5)


def test_reduction_of_a_callable_over_nothing_is_the_initial_value():
    ours = lax_numpy.reduce(np.zeros((0, 3), np.float32), np.float32(7), dimensions=(0,), jaxpr=lambda a, b: [a + b])
    assert np.array_equal(ours[0], np.full(3, 7, np.float32))


def test_reduce_primitives_are_found_in_this_release():
    assert {"axes"} == set(value_params(primitives.reduce_max_p, {"axes": (0,), "out_sharding": None}))
