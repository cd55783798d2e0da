"""Random bits: the same bits as JAX's, whatever the shape, the width and the counting scheme."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from jax import lax
from jax.extend.core import primitives
from lax_oracle import check, run

from pallas_np import lax_numpy

SHAPES = [(), (5,), (3, 4)]


def key_and_data() -> tuple[jax.Array, np.ndarray]:
    key = jax.random.key(7)
    return key, np.asarray(jax.random.key_data(key))


def by_numpy(fn, key: jax.Array, *operands: np.ndarray) -> np.ndarray:
    """The first equation of `fn(key)` that is about keys, by `lax_numpy` on their data."""
    jaxpr = jax.make_jaxpr(fn)(key)
    (eqn,) = [eqn for eqn in _equations(jaxpr.jaxpr) if eqn.primitive.name.startswith("random_")]
    return run(eqn, list(operands))[0]


def _equations(jaxpr):
    for eqn in jaxpr.eqns:
        inner = eqn.params.get("jaxpr")
        yield from [eqn] if inner is None else _equations(inner.jaxpr)


@pytest.mark.parametrize("partitionable", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_random_bits_agree(shape, partitionable):
    key, data = key_and_data()
    with jax.threefry_partitionable(partitionable):
        for width in (8, 16, 32):
            bits = lambda key, width=width: jax.random.bits(key, shape, f"uint{width}")  # noqa: E731
            ours = by_numpy(bits, key, data)
            assert ours.dtype == f"uint{width}"
            assert np.array_equal(ours, bits(key))


@pytest.mark.parametrize("partitionable", [True, False])
def test_64_random_bits_agree(partitionable):
    key, data = key_and_data()
    with jax.enable_x64(True), jax.threefry_partitionable(partitionable):
        for shape in SHAPES:
            bits = lambda key, shape=shape: jax.random.bits(key, shape, "uint64")  # noqa: E731
            assert np.array_equal(by_numpy(bits, key, data), bits(key))


@pytest.mark.parametrize("partitionable", [True, False])
def test_random_split_agrees(partitionable):
    key, data = key_and_data()
    with jax.threefry_partitionable(partitionable):
        for shape in ((5,), (3, 4)):
            split = lambda key, shape=shape: jax.random.split(key, shape)  # noqa: E731
            assert np.array_equal(by_numpy(split, key, data), jax.random.key_data(split(key)))


def test_keys_are_batched_on_their_leading_axes():
    keys = jax.random.split(jax.random.key(1), 3)
    data = np.asarray(jax.random.key_data(keys))
    theirs = jax.vmap(lambda key: jax.random.bits(key, (2, 2)))(keys)
    assert np.array_equal(lax_numpy.random_bits(data, bit_width=32, shape=(2, 2)), theirs)


@pytest.mark.parametrize("seed", [0, -1, 7, 2**31 - 1])
def test_seeds_and_folds_agree(seed):
    key, data = key_and_data()
    ours = lax_numpy.random_seed(np.int32(seed), impl="threefry2x32")
    assert np.array_equal(ours, jax.random.key_data(jax.random.key(seed)))
    with np.errstate(all="ignore"):
        folded = lax_numpy.random_fold_in(data, np.int32(seed).view(np.uint32))
    assert np.array_equal(folded, jax.random.key_data(jax.random.fold_in(key, np.int32(seed).view(np.uint32))))


def test_64_bit_seeds_fill_both_words():
    with jax.enable_x64(True):
        for seed in (-1, 2**40 + 3):
            ours = lax_numpy.random_seed(np.int64(seed), impl="threefry2x32")
            assert np.array_equal(ours, jax.random.key_data(jax.random.key(seed)))


def test_wrapping_keys_is_the_identity_and_other_generators_are_refused():
    _, data = key_and_data()
    assert lax_numpy.random_unwrap(lax_numpy.random_wrap(data, impl="threefry2x32")) is data
    with pytest.raises(NotImplementedError, match="rbg"):
        lax_numpy.random_wrap(data, impl="rbg")


def test_threefry_agrees_bit_for_bit():
    words = np.random.default_rng(0).integers(0, 2**32, (4, 64), dtype=np.uint32)
    check(lambda *words: primitives.threefry2x32_p.bind(*words), *words)


@pytest.mark.parametrize("algorithm", lax.RandomAlgorithm, ids=str)
def test_rng_bit_generator_agrees(algorithm):
    state = np.array([1, 2, 0xFFFFFFFF, 4], np.uint32)
    cases = [((), np.uint32), ((17,), np.uint8), ((3, 5), np.uint32), ((4, 6), np.uint16), ((3, 4), np.uint32)]
    for shape, dtype in cases:
        check(lambda key, s=shape, d=dtype: lax.rng_bit_generator(key, s, dtype=d, algorithm=algorithm), state)
    with jax.enable_x64(True):
        check(lambda key: lax.rng_bit_generator(key, (3, 5), dtype=np.uint64, algorithm=algorithm), state)
