"""Sorting networks against pairs of elements compared one by one."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest

from pallas_np import lax_numpy

SPECIAL = np.array([np.nan, 0.0, -0.0, np.inf, -np.inf, 1e-40, -1e-40, 1.0, 2.0])
STEPS = {
    "one step": ((1, 16),),
    "a merge": ((8, 16), (4, 16), (2, 16), (1, 16)),
    "a sort": ((1, 2), (2, 4), (1, 4), (4, 8), (2, 8), (1, 8), (8, 16), (4, 16), (2, 16), (1, 16)),
    "a falling sort": ((1, -2), (2, 4), (1, 4), (4, -8), (2, -8), (1, -8), (8, -16), (4, -16), (2, -16), (1, -16)),
    "sorted fours": ((1, 2), (2, 16), (1, 16)),
    "fours in pairs": ((1, 2), (2, -8), (1, -8), (4, 8)),
    "falling": ((1, -2), (2, -4), (1, -4), (8, -16)),
}


def one_by_one(x: np.ndarray, steps: tuple[tuple[int, int], ...], order: str) -> np.ndarray:
    rows = x.reshape(-1, x.shape[-1]).copy()
    for (distance, run), row in itertools.product(steps, rows):
        for first in range(len(row)):
            second = first ^ distance
            if second < first:
                continue
            rises = (first // abs(run)) % 2 == 0
            low, high = (first, second) if rises == (run > 0) else (second, first)
            a, b = row[low].copy(), row[high].copy()
            if order == "extrema":
                row[low], row[high] = lax_numpy.min(a, b), lax_numpy.max(a, b)
            elif b < a or (order == "before" and a != a and b == b):
                row[low], row[high] = b, a
    return rows.reshape(x.shape)


@pytest.mark.parametrize("order", ["less", "before", "extrema"])
@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.uint8], ids=lambda dtype: dtype.__name__)
def test_a_network_compares_each_pair(dtype, steps, order):
    rng = np.random.default_rng(0)
    shape = (2, 3, 16)
    if np.dtype(dtype).kind == "f":
        inputs = [rng.standard_normal(shape), rng.choice(SPECIAL[3:], shape), rng.choice(SPECIAL, shape)]
        inputs += [np.where(rng.random(shape) < 0.05, special, inputs[0]) for special in (np.nan, 0.0, -0.0)]
    else:
        inputs = [rng.integers(0, 9, shape)]
    with np.errstate(all="ignore"), lax_numpy.flush_denormals():
        for x in [np.asarray(x, dtype) for x in inputs]:
            for operand in (x, x.transpose(2, 0, 1).copy().transpose(1, 2, 0), x[:, ::2]):
                before = operand.copy()
                wanted, got = one_by_one(operand, steps, order), lax_numpy.compare_exchange(operand, steps, order)
                assert (got.dtype, got.shape, got.tobytes()) == (wanted.dtype, wanted.shape, wanted.tobytes())
                assert operand.tobytes() == before.tobytes() and not np.shares_memory(got, operand)


@pytest.mark.parametrize("seed", range(8))
def test_stages_of_any_length_and_direction(seed):
    rng = np.random.default_rng(seed)
    for _ in range(10):
        steps = []
        for size in (1, 2, 4, 8)[: rng.integers(1, 5)]:
            longest = rng.choice([2 * size, 2 * size, 2 * size, 16])
            run = int(longest * rng.choice([-1, 1]))
            steps += [(size >> n, run) for n in range(size.bit_length())]
        if rng.random() < 0.5:
            del steps[rng.integers(len(steps))]
        x = rng.permutation(48).reshape(3, 16).astype(rng.choice(["float32", "int32", "uint8"]))
        assert np.array_equal(one_by_one(x, steps, "less"), lax_numpy.compare_exchange(x, tuple(steps), "less"))


@pytest.mark.parametrize("rows", [1, 4])
def test_an_answer_is_not_overwritten_by_the_next(rows):
    x = np.random.default_rng(0).standard_normal((rows, 16))
    first = lax_numpy.compare_exchange(x, STEPS["a sort"], "less")
    lax_numpy.compare_exchange(-x, STEPS["a sort"], "less")
    assert np.array_equal(first, np.sort(x))


def test_threads_have_networks_of_their_own():
    x = np.random.default_rng(0).standard_normal((8, 64, 256)).astype(np.float32)
    steps = tuple((1 << step, 1 << stage) for stage in range(1, 9) for step in reversed(range(stage)))
    wrong: list[int] = []

    def sort(n: int) -> None:
        for _ in range(5):
            if not np.array_equal(lax_numpy.compare_exchange(x[n], steps, "before"), np.sort(x[n])):
                wrong.append(n)

    threads = [threading.Thread(target=sort, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_only_so_many_networks_are_kept():
    networks = type(lax_numpy.networks._networks)()
    for rows in range(1, 2 * networks.most):
        networks.get(rows, 16, np.dtype(np.float32), STEPS["one step"])
    networks.get(networks.largest, 16, np.dtype(np.float32), STEPS["one step"])
    assert len(networks._kept) == networks.most
    assert all(first.nbytes <= networks.largest for first, _, _ in networks._kept.values())
