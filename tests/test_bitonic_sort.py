"""Every phase sorts: all dtypes, lengths, orders and payloads, bit for bit as `interpret=True`, by value as NumPy."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from five_phases import PHASES, phase_module

from pallas_np import kernels, phase1

ROWS = 13  # with 8 rows to a block the last block is ragged


class Case(NamedTuple):
    dtype: str
    length: int
    pairs: bool

    def __str__(self) -> str:
        return f"{self.dtype}-{self.length}{'-pairs' if self.pairs else ''}"


CASES = [
    *(Case("float32", 2**k, pairs=False) for k in range(1, 11)),
    *(Case("float32", n, pairs=True) for n in (4, 64)),
    *(Case("int32", n, pairs) for n, pairs in ((2, False), (128, False), (16, True))),
    *(Case("bfloat16", n, pairs) for n, pairs in ((8, False), (128, False), (16, True))),
]


def awkward_rows(dtype: str, length: int) -> np.ndarray:
    """Rows of every kind that a sort may trip over."""
    rng = np.random.default_rng(length)
    column = np.arange(length)
    if dtype == "int32":
        low, high = np.iinfo(np.int32).min, np.iinfo(np.int32).max
        special = [np.where(column % 2, low, high), rng.choice([low, low + 1, -1, 0, 1, high], length)]
        smooth = rng.integers(low, high, (ROWS - 8, length))
    else:
        special = [
            np.where(column % 3, rng.standard_normal(length), np.nan),
            rng.choice([0.0, -0.0], length),
        ]
        smooth = rng.standard_normal((ROWS - 8, length)) * 10
        smooth[0] = rng.choice([np.inf, -np.inf, np.nan, -0.0, 0.0, 1e-40, -3e38], length)
        smooth[1] = np.copysign(np.nan, rng.choice([-1, 1], length))
    duplicates = rng.integers(0, 3, length)
    rows = [*special, duplicates, column, column[::-1], np.full(length, 7), column % 2, (column // 2)[::-1], *smooth]
    return np.array(rows).astype(jnp.dtype(dtype))


@functools.cache
def baseline(case: Case, descending: bool) -> list[np.ndarray]:
    return sort_with(phase1, case, descending)


@functools.cache
def sorter(phase: ModuleType, case: Case) -> Any:
    value_dtype = "int32" if case.pairs else None
    return kernels.bitonic_sorter((ROWS, case.length), case.dtype, value_dtype, pallas_call=phase.pallas_call)


def sort_with(phase: ModuleType, case: Case, descending: bool) -> list[np.ndarray]:
    keys = awkward_rows(case.dtype, case.length)
    positions = np.broadcast_to(np.arange(case.length, dtype=np.int32), keys.shape)
    arrays = (keys, positions) if case.pairs else (keys,)
    out = sorter(phase, case)(jnp.full((1,), descending, jnp.int32), *map(jnp.asarray, arrays))
    return [np.asarray(o) for o in jax.tree.leaves(out)]


def bits(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x).view(f"u{x.dtype.itemsize}")


def without_denormals(x: np.ndarray) -> np.ndarray:
    """XLA, and so every phase, takes a denormal for a zero, which it may leave on either side of one."""
    if x.dtype == np.int32:
        return x
    x = x.astype(np.float32)
    return np.where(np.abs(x) < np.finfo(np.float32).smallest_normal, np.float32(0), x)


CASE_AND_PHASE = [
    pytest.param(case, phase_module(n), id=f"phase{n}-{case}", marks=pytest.mark.xdist_group(str(case)))
    for case in CASES
    for n in PHASES
]


@pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
@pytest.mark.parametrize("case, phase", CASE_AND_PHASE)
def test_sorts_as_interpret_true_does_bit_for_bit(case: Case, phase: ModuleType, descending: bool) -> None:
    for got, wanted in zip(sort_with(phase, case, descending), baseline(case, descending), strict=True):
        assert got.dtype == wanted.dtype
        np.testing.assert_array_equal(bits(got), bits(wanted))


@pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
@pytest.mark.parametrize("case, phase", CASE_AND_PHASE)
def test_sorts_as_numpy_does_by_value(case: Case, phase: ModuleType, descending: bool) -> None:
    wide = without_denormals(awkward_rows(case.dtype, case.length))
    order = np.argsort(wide[:, ::-1] if descending else wide, axis=1, kind="stable")
    if descending:
        order = case.length - 1 - order[:, ::-1]
    got = sort_with(phase, case, descending)
    np.testing.assert_array_equal(without_denormals(got[0]), np.take_along_axis(wide, order, axis=1))
    if case.pairs:
        np.testing.assert_array_equal(got[1], order)


def test_the_smallest_example_of_a_wrong_sort(phase: ModuleType) -> None:
    keys = jnp.array([[3.0, 1.0, 2.0, np.inf]])
    np.testing.assert_array_equal(kernels.bitonic_sort(keys, pallas_call=phase.pallas_call), [[1.0, 2.0, 3.0, np.inf]])


@pytest.mark.parametrize("rows", [1, 7, 8, 9])
def test_any_number_of_rows(phase: ModuleType, rows: int) -> None:
    keys = np.random.default_rng(rows).integers(0, 99, (rows, 4), dtype=np.int32)
    np.testing.assert_array_equal(kernels.bitonic_sort(keys, pallas_call=phase.pallas_call), np.sort(keys, axis=1))


def test_no_rows_at_all(phase: ModuleType) -> None:
    assert kernels.bitonic_sort(jnp.zeros((0, 8)), pallas_call=phase.pallas_call).shape == (0, 8)


def test_nan_stands_where_jax_puts_it(phase: ModuleType) -> None:
    keys = jnp.array([[np.nan, 1.0, -np.inf, np.nan, np.inf, 0.0, -1.0, 2.0]])
    for descending in (False, True):
        got = kernels.bitonic_sort(keys, pallas_call=phase.pallas_call, descending=descending)
        np.testing.assert_array_equal(got, jnp.sort(keys, axis=1, descending=descending))


@pytest.mark.parametrize("descending", [False, True])
def test_argsort_keeps_the_order_of_equal_keys(phase: ModuleType, descending: bool) -> None:
    keys = np.array([[2, 1, 2, 1, 0, 2, 0, 1]], np.int32)
    got = kernels.bitonic_argsort(keys, pallas_call=phase.pallas_call, descending=descending)
    np.testing.assert_array_equal(got, jnp.argsort(keys, axis=1, stable=True, descending=descending))


def test_values_of_another_dtype_go_along(phase: ModuleType) -> None:
    keys = jnp.array([[3, 1, 2, 0]], jnp.int32)
    values = jnp.array([[0.5, np.nan, -0.0, 1.5]], jnp.bfloat16)
    got_keys, got_values = kernels.bitonic_sort(keys, values, pallas_call=phase.pallas_call)
    np.testing.assert_array_equal(got_keys, [[0, 1, 2, 3]])
    np.testing.assert_array_equal(bits(np.asarray(got_values)), bits(np.asarray(values[:, [3, 1, 2, 0]])))


@pytest.mark.parametrize(
    "keys, values, error, message",
    [
        (np.zeros((4, 6), np.float32), None, ValueError, "power of two"),
        (np.zeros((4, 1), np.float32), None, ValueError, "2 or more, not 1"),
        (np.zeros(4, np.float32), None, ValueError, r"two axes.*not shape \(4,\)"),
        (np.zeros((4, 8), np.float16), None, TypeError, "float32, int32 or bfloat16, not float16"),
        (np.zeros((4, 8), np.int32), np.zeros((4, 8), bool), TypeError, "values must be .* not bool"),
        (np.zeros((4, 8), np.int32), np.zeros((4, 4), np.int32), ValueError, "shape of the keys"),
    ],
)
def test_wrong_input_is_refused(keys: Any, values: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        kernels.bitonic_sort(keys, values, pallas_call=phase1.pallas_call)
