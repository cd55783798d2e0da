"""Moving values: shapes, joins, gathers, scatters and dynamic slices, bit for bit against XLA."""

from __future__ import annotations

import jax
import jax.extend.core
import ml_dtypes
import numpy as np
import pytest
from jax import lax
from lax_oracle import BFLOAT16, FLOATS, INTEGERS, NARROW, both, check, edge_values, run

from pallas_np import lax_numpy
from pallas_np.lax_numpy.indexing import group_size, swapped_size

FLOAT32 = np.dtype(np.float32)
DTYPES = [FLOAT32, BFLOAT16, NARROW[0], np.dtype(bool)]
GATHER, SCATTER = lax.GatherDimensionNumbers, lax.ScatterDimensionNumbers


def label(value: object) -> str:
    return value.name if isinstance(value, np.dtype) else str(value)


@pytest.mark.parametrize("size", [1, 2, 4, 8])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, BFLOAT16, np.float32, np.complex64, np.complex128], ids=str)
def test_neighbours_change_places(dtype, size):
    x = np.arange(2 * 3 * 16).reshape(2, 3, 16).astype(dtype)
    for operand in (x, x[:, ::2], x.transpose(2, 0, 1).copy().transpose(1, 2, 0)):
        before = operand.copy()
        wanted = operand.take(np.arange(16) ^ size, axis=-1)
        got = lax_numpy.swap_neighbours(operand, size)
        assert (got.dtype, got.shape, got.tobytes()) == (wanted.dtype, wanted.shape, wanted.tobytes())
        assert not np.shares_memory(got, operand) and operand.tobytes() == before.tobytes()


@pytest.mark.parametrize("dtype", DTYPES, ids=label)
def test_shapes_agree(dtype):
    x = edge_values(dtype).reshape(4, 16)
    cube = x.reshape(4, 4, 4)
    check(lambda x: lax.broadcast_in_dim(x, (3, 4, 16), (1, 2)), x)
    check(lambda x: lax.broadcast_in_dim(x, (4, 5, 16), (0, 2)), x)
    check(lambda x: lax.broadcast_in_dim(x, (4, 16), (0, 1)), x[:, :1])
    check(lambda x: lax.broadcast_in_dim(x, (3, 4), ()), x[0, 0])
    check(lambda x: lax.broadcast_in_dim(x, (1000, 4, 16), (1, 2)), x)
    check(lambda x: lax.reshape_p.bind(x, new_sizes=(2, 32), dimensions=None, sharding=None), x)
    check(lambda x: lax.reshape_p.bind(x, new_sizes=(2, 32), dimensions=(1, 0), sharding=None), x)
    check(lambda x: lax.squeeze(x, (0, 2)), x[None, :, None])
    check(lambda x: lax.transpose(x, (2, 0, 1)), cube)
    check(lambda x: lax.rev(x, (0, 2)), cube)
    check(lambda x: lax.slice(x, (1, 0, 1), (3, 4, 4)), cube)
    check(lambda x: lax.slice(x, (1, 0, 1), (3, 4, 4), (1, 2, 3)), cube)


@pytest.mark.parametrize("dtype", DTYPES, ids=label)
def test_joins_and_splits_agree(dtype):
    x = edge_values(dtype).reshape(4, 16)
    check(lambda a, b: lax.concatenate([a, b, a], 1), x, x[:, :2])
    check(lambda a, b: lax.stack_p.bind(a, b, axis=1), x, x[::-1].copy())
    check(lambda x: lax.split(x, (3, 1, 12), 1), x)
    check(lambda x: lax.unstack_p.bind(x, axis=1), x)
    check(lambda x: lax.tile(x, (2, 3)), x)


@pytest.mark.parametrize(
    "config",
    [
        ((1, 2, 0), (0, 0, 0)),
        ((-1, 2, 1), (1, -3, 0)),
        ((-3, 0, 2), (0, -9, 1)),
        ((-2, -2, 0), (0, 0, 3)),
        ((-3, 2, 1), (-17, 3, 0)),
    ],
    ids=str,
)
def test_pad_adds_cuts_and_spreads(config):
    for dtype in DTYPES:
        x = edge_values(dtype).reshape(4, 16)
        check(lambda x, value: lax.pad(x, value, config), x, x[0, 2])


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS, *NARROW, np.dtype(np.complex64)], ids=label)
def test_iota_counts_in_its_dtype(dtype):
    check(lambda: lax.iota(dtype, 300))
    check(lambda: lax.broadcasted_iota(dtype, (3, 70, 2), 1))


def test_select_takes_scalar_predicates():
    x = edge_values(np.dtype(np.float32))
    check(lax.select_n, np.bool_(True), x, x[::-1].copy())
    check(lax.select_n, np.int32(2), x, x[::-1].copy(), np.roll(x, 1))


def grid(dtype: np.dtype = FLOAT32) -> np.ndarray:
    return edge_values(dtype).reshape(8, 8)


def indices(*shape: int, low: int = -3, high: int = 12) -> np.ndarray:
    return np.random.default_rng(0).integers(low, high, shape).astype(np.int32)


GATHERS = {
    "rows": (indices(5, 1), GATHER((1,), (0,), (0,)), (1, 8)),
    "rows in bounds": (indices(5, 1, low=0, high=8), GATHER((1,), (0,), (0,)), (1, 8)),
    "columns": (indices(5, 1), GATHER((0,), (1,), (1,)), (8, 1)),
    "rows, transposed": (indices(5, 1), GATHER((0,), (0,), (0,)), (1, 8)),
    "windows": (indices(5, 1), GATHER((0, 2), (), (1,)), (5, 3)),
    "points": (indices(3, 5, 2), GATHER((), (0, 1), (0, 1)), (1, 1)),
    "points, axes swapped": (indices(3, 5, 2), GATHER((0,), (0,), (1, 0)), (1, 4)),
    "windows among points": (indices(3, 5, 2), GATHER((1, 3), (), (0, 1)), (2, 3)),
    "along axis 1": (indices(8, 3, 1), GATHER((), (1,), (1,), (0,), (0,)), (1, 1)),
    "along axis 0": (indices(3, 8, 1), GATHER((), (0,), (0,), (1,), (1,)), (1, 1)),
    "one row": (np.array([9], np.int32), GATHER((0,), (0,), (0,)), (1, 8)),
}


@pytest.mark.parametrize("mode", ["clip", "fill", "promise_in_bounds"])
@pytest.mark.parametrize("pattern", GATHERS)
def test_gather_agrees_in_and_out_of_bounds(pattern, mode):
    places, numbers, sizes = GATHERS[pattern]
    check(lambda x, i: lax.gather(x, i, numbers, sizes, mode=mode), grid(), places)


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS, *NARROW, np.dtype(bool), np.dtype(np.complex64)], ids=label)
def test_gather_fills_with_what_the_dtype_has(dtype):
    places, numbers, sizes = GATHERS["rows"]
    check(lambda x, i: lax.gather(x, i, numbers, sizes, mode="fill"), grid(dtype), places)


def test_gather_takes_indices_of_any_integer_dtype_and_a_fill_value():
    places, numbers, sizes = GATHERS["rows"]
    for dtype in INTEGERS:
        for mode in ("clip", "fill"):
            check(lambda x, i, mode=mode: lax.gather(x, i, numbers, sizes, mode=mode), grid(), places.astype(dtype))
    check(lambda x, i: lax.gather(x, i, numbers, sizes, mode="fill", fill_value=7.0), grid(), places)


def test_gather_batches_over_several_axes():
    cube = grid().reshape(4, 4, 4)
    numbers = GATHER((), (1,), (1,), (0, 2), (0, 2))
    check(lambda x, i: lax.gather(x, i, numbers, (1, 1, 1), mode="fill"), cube, indices(4, 2, 4, 1, low=-1, high=5))
    numbers = GATHER((0,), (1,), (1,), (2,), (0,))
    check(lambda x, i: lax.gather(x, i, numbers, (3, 1, 1), mode="clip"), cube, indices(4, 2, 1, low=-1, high=5))


@pytest.mark.parametrize("mode", ["fill", "clip"])
def test_gather_agrees_where_windows_run_along_the_first_axes(mode):
    cube = grid().reshape(2, 2, 4, 4)
    batched = GATHER((0, 1), (3,), (3,), (2,), (0,))  # each of the 4 rows at places of its own, of all 2 x 2
    places = indices(4, 3, 1, low=-1, high=5)
    check(lambda x, i: lax.gather(x, i, batched, (2, 2, 1, 1), mode=mode), cube, places)
    pairs = GATHER((0, 3), (2,), (1, 2), (), ())
    places = indices(5, 3, 2, low=-1, high=4)
    check(lambda x, i: lax.gather(x, i, pairs, (2, 2, 1), mode=mode), cube.reshape(2, 8, 4), places)
    check(lambda x, i: lax.gather(x, i, pairs, (1, 2, 1), mode=mode), cube.reshape(2, 8, 4), places)


@pytest.mark.parametrize("dtype", [np.int8, np.float16, np.float32, np.float64, np.complex128], ids=str)
@pytest.mark.parametrize("distance", [1, 2, 4, 8, 64, 3])
def test_gathers_of_many_columns_agree_with_taking_one_by_one(distance, dtype):
    """Columns change places with those `distance` apart, or go round: in all rows alike, but for one."""
    x = np.arange(4 * 8 * 512).reshape(4, 8, 512).astype(dtype)
    order = np.arange(512) ^ distance if distance != 3 else np.roll(np.arange(512), 8)
    alike = np.tile(order.astype(np.int32), (8, 1))
    own, outside = alike.copy(), alike.copy()
    own[3], outside[:, 5] = order[::-1], 600
    along_rows = lax_numpy.GatherDimensionNumbers((0,), (2,), (2,), (1,), (0,))
    for places in (alike, own, outside):
        got = lax_numpy.gather(x, places[..., None], along_rows, (4, 1, 1), "fill_or_drop", 7)
        wanted = np.take_along_axis(x, np.minimum(places, 511)[None], 2)
        assert got.dtype == dtype and np.array_equal(got, np.where(places < 512, wanted, np.array(7, dtype)))
    columns = lax_numpy.GatherDimensionNumbers((0, 1), (2,), (2,))
    got = lax_numpy.gather(x, order[:256, None], columns, (4, 8, 1), "clip")
    assert np.array_equal(got, x[..., order[:256]])


def test_swapped_neighbours_are_known_from_other_orders():
    places = np.arange(16)
    assert [swapped_size(places ^ size) for size in range(16)] == [
        size if size in (1, 2, 4, 8) else 0 for size in range(16)
    ]
    for size in (1, 2, 4, 8):
        for place in range(16):
            other = places ^ size
            other[place] = other[place - 1]
            assert swapped_size(other) == 0
    assert swapped_size(np.arange(12) ^ 2) == 2 and swapped_size((np.arange(16) ^ 8)[:12]) == 0
    assert swapped_size(np.array([16, 1])) == swapped_size(np.array([-1, 0])) == swapped_size(np.array([1])) == 0


def test_groups_are_the_widest_that_stay_together():
    rng = np.random.default_rng(0)
    for _ in range(300):
        length, size = int(rng.choice([8, 12, 16, 24])), int(rng.choice([1, 2, 4]))
        places = (rng.permutation(length // size)[:, None] * size + np.arange(size)).reshape(-1)
        places = places[: int(rng.integers(1, length + 1))]
        widths = [w for w in (1, 2, 4, 8) if length % w == 0 and len(places) % w == 0]
        wanted = max(w for w in widths if all(p[0] % w == 0 and (np.diff(p) == 1).all() for p in places.reshape(-1, w)))
        assert group_size(places, length, 4) == wanted


@pytest.mark.parametrize("start", [(0, 0), (3, 2), (-1, 7), (100, -100)], ids=str)
def test_dynamic_slices_are_moved_inside(start):
    start = [np.int32(index) for index in start]
    check(lambda x, *s: lax.dynamic_slice_p.bind(x, *s, slice_sizes=(3, 4)), grid(), *start)
    check(lambda x, u, *s: lax.dynamic_update_slice_p.bind(x, u, *s), grid(), np.ones((3, 4), np.float32), *start)


def test_dynamic_slice_takes_unsigned_starts():
    start = (np.uint8(3), np.uint8(200))
    check(lambda x, *s: lax.dynamic_slice_p.bind(x, *s, slice_sizes=(3, 4)), grid(), *start)


SCATTERS = ["scatter", "scatter_add", "scatter_sub", "scatter_mul", "scatter_min", "scatter_max"]


@pytest.mark.parametrize("mode", ["clip", "drop", "promise_in_bounds"])
@pytest.mark.parametrize("name", SCATTERS)
def test_scatters_of_rows_agree(name, mode):
    """With rows out of bounds and rows that are hit several times."""
    places = np.array([[2], [-1], [2], [9], [5]], np.int32)
    numbers = SCATTER((1,), (0,), (0,))
    others = [np.dtype(np.int32), np.dtype(np.int8), BFLOAT16, np.dtype(np.float16), NARROW[0]]
    for dtype in [FLOAT32, *others] if mode == "drop" else [FLOAT32]:
        updates = np.roll(grid(dtype), 11)[:5]
        check(lambda x, i, u: getattr(lax, name)(x, i, u, numbers, mode=mode), grid(dtype), places, updates)


@pytest.mark.parametrize("mode", ["clip", "drop"])
@pytest.mark.parametrize("name", SCATTERS)
def test_scatters_of_other_shapes_agree(name, mode):
    random = np.random.default_rng(1)
    for places, shape, numbers in (
        (indices(5, 1), (8, 5), SCATTER((0,), (0,), (0,))),
        (indices(3, 5, 2), (3, 5), SCATTER((), (0, 1), (0, 1))),
        (indices(3, 5, 2), (3, 2, 5, 3), SCATTER((1, 3), (), (0, 1))),
        (indices(8, 3, 1), (8, 3), SCATTER((), (1,), (1,), (0,), (0,))),
        (np.array([3], np.int32), (8,), SCATTER((0,), (0,), (0,))),
    ):
        updates = random.standard_normal(shape).astype(np.float32)
        check(lambda x, i, u, n=numbers: getattr(lax, name)(x, i, u, n, mode=mode), grid(), places, updates)


def test_scatter_applies_a_function_as_often_as_a_row_is_hit():
    numbers = SCATTER((1,), (0,), (0,))
    places = np.array([[0], [3], [3], [9], [-1]], np.int32)
    x = np.arange(64, dtype=np.float32).reshape(8, 8)

    def apply(x, i):
        return lax.scatter_apply(x, i, lambda value: value * 2 + 1, numbers, update_shape=(5, 8))

    eqn = jax.make_jaxpr(apply)(x, places).jaxpr.eqns[-1]
    function = lambda old, update: [old * np.float32(2) + np.float32(1)]  # noqa: E731
    operands = [x, places, np.zeros((5, 8), np.float32)]
    (ours,) = run(eqn, operands, update_jaxpr=function)
    assert np.array_equal(ours, apply(x, places))


def test_results_may_be_views_but_updates_are_copies():
    x = grid()
    assert np.shares_memory(lax_numpy.transpose(x, permutation=(1, 0)), x)
    start = (np.int32(0), np.int32(0))
    assert not np.shares_memory(lax_numpy.dynamic_update_slice(x, x[:2, :2], *start), x)


@pytest.mark.parametrize("dimension", [0, 1])
@pytest.mark.parametrize(
    "dtype",
    [*FLOATS, *INTEGERS, *NARROW, np.dtype(bool), np.dtype(np.complex64), np.dtype(ml_dtypes.float8_e4m3fn)],
    ids=label,
)
def test_sorts_are_stable_with_equal_zeros_and_nan_last(dtype, dimension):
    x = grid(dtype)
    x = np.concatenate([x[:, :4], x[:, :2], np.zeros((8, 1), dtype), (-np.zeros((8, 1))).astype(dtype)], 1)
    position = np.arange(64, dtype=np.int32).reshape(8, 8)
    keys = {"dimension": dimension, "is_stable": True}
    check(lambda x: lax.sort_p.bind(x, num_keys=1, **keys), x)
    check(lambda x, y: lax.sort_p.bind(x, y, num_keys=1, **keys), x, position)
    check(lambda x, y, z: lax.sort_p.bind(x, y, z, num_keys=2, **keys), x, np.roll(x, 3), position)


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS], ids=label)
def test_top_k_agrees(dtype):
    check(lambda x: lax.top_k(x, 5), grid(dtype))
    check(lambda x: lax.top_k(x, 5, axis=0), grid(dtype))


@pytest.mark.parametrize("dtype", FLOATS, ids=label)
def test_approximate_top_k_agrees(dtype):
    """Without NaN: XLA's comparison is no order on them, and what comes out depends on its sorting algorithm."""
    x = np.where(np.isnan(grid(dtype)), dtype.type(3), grid(dtype))
    check(lambda x: lax.approx_max_k(x, 5), x)
    check(lambda x: lax.approx_min_k(x, 5), x)


def test_both_finds_the_equation_of_interest():
    """The oracle itself: a wrong answer is noticed."""
    (theirs,), (ours,) = both(lax.neg, np.float32(1))
    assert theirs == ours == -1
    with pytest.raises(AssertionError, match="differ"):
        check(lax.exp2, np.float32([100.3]))
