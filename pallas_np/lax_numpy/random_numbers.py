"""Threefry: JAX's counter-based random bits. Imports NumPy only.

A key is two uint32 values on a last axis of size 2. The generator is Threefry-2x32 with 20 rounds (Salmon et al.,
"Parallel random numbers: as easy as 1, 2, 3", SC 2011). How JAX derives counters from shapes is said by its flag
`jax_threefry_partitionable`, on by default since JAX 0.5.
"""

from __future__ import annotations

import math

import numpy as np

from .dtypes import Array

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)


def threefry2x32(key_1: Array, key_2: Array, x_1: Array, x_2: Array) -> list[Array]:
    """One Threefry-2x32 block for each counter (x_1, x_2); all uint32."""
    keys = (key_1, key_2, key_1 ^ key_2 ^ _PARITY)
    x_1, x_2 = x_1 + key_1, x_2 + key_2
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x_1 = x_1 + x_2
            x_2 = (x_2 << np.uint32(rotation) | x_2 >> np.uint32(32 - rotation)) ^ x_1
        x_1 = x_1 + keys[(group + 1) % 3]
        x_2 = x_2 + keys[(group + 2) % 3] + np.uint32(group + 1)
    return [x_1, x_2]


def random_seed(seeds: Array, impl: str) -> Array:
    """Keys from integer seeds: the upper and the lower 32 bits."""
    _require_threefry(impl)
    unsigned = np.asarray(seeds).view(f"u{seeds.dtype.itemsize}")
    upper = (unsigned >> np.uint64(32)).astype(np.uint32) if seeds.dtype.itemsize == 8 else np.zeros_like(unsigned)
    return np.stack([upper.astype(np.uint32), unsigned.astype(np.uint32)], axis=-1)


def random_wrap(base: Array, impl: str) -> Array:
    """Key data as keys, which here are the same thing."""
    _require_threefry(impl)
    return base


def random_unwrap(keys: Array) -> Array:
    """Keys as key data, which here are the same thing."""
    return keys


def random_clone(keys: Array) -> Array:
    """The keys themselves."""
    return keys


def random_bits(keys: Array, bit_width: int, shape: tuple[int, ...], partitionable: bool = True) -> Array:
    """Unsigned integers of 8, 16, 32 or 64 bits: for each key an array of `shape`."""
    size = math.prod(shape)
    dtype = np.dtype(f"u{bit_width // 8}")
    if partitionable:
        upper, lower = _blocks(keys, size)
        if bit_width == 64:
            bits = upper.astype(dtype) << np.uint64(32) | lower
        else:
            bits = (upper ^ lower).astype(dtype)
    else:
        words = _stream(keys, -(-size * bit_width // 32))
        if bit_width == 64:
            bits = words[..., :size].astype(dtype) << np.uint64(32) | words[..., size:]
        else:
            bits = words.view(dtype)[..., :size]
    return bits.reshape((*keys.shape[:-1], *shape))


def random_split(keys: Array, shape: tuple[int, ...], partitionable: bool = True) -> Array:
    """For each key an array of `shape` of new ones."""
    size = math.prod(shape)
    words = np.stack(_blocks(keys, size), axis=-1) if partitionable else _stream(keys, 2 * size)
    return words.reshape((*keys.shape[:-1], *shape, 2))


def random_fold_in(keys: Array, messages: Array) -> Array:
    """A new key from each key and a uint32 message."""
    block = threefry2x32(keys[..., 0], keys[..., 1], np.zeros_like(messages), messages)
    return np.stack(block, axis=-1)


def _blocks(keys: Array, size: int) -> list[Array]:
    """Blocks number 0, 1, ... for each key, the 64-bit number being the counter."""
    numbers = np.arange(size, dtype=np.uint64)
    upper, lower = (numbers >> np.uint64(32)).astype(np.uint32), numbers.astype(np.uint32)
    return threefry2x32(keys[..., 0, None], keys[..., 1, None], upper, lower)


def _stream(keys: Array, size: int) -> Array:
    """JAX's first scheme: the 32-bit counters 0, 1, ..., of which the second half joins the first in its blocks."""
    counters = np.arange(size + size % 2, dtype=np.uint32)
    counters[size:] = 0
    half = len(counters) // 2
    words = threefry2x32(keys[..., 0, None], keys[..., 1, None], counters[:half], counters[half:])
    return np.concatenate(words, axis=-1)[..., :size]


def _require_threefry(impl: str) -> None:
    if impl != "threefry2x32":
        raise NotImplementedError(f"random keys of kind {impl!r}; supported are 'threefry2x32'")


def rng_bit_generator(key: Array, shape: tuple[int, ...], dtype: np.dtype, algorithm: str) -> list[Array]:
    """The generator's next state, and unsigned integers of `shape`.

    `key` is uint32[4], words of a 64-bit key and of a 64-bit counter, low ones first. `algorithm` is 'three_fry',
    'philox' or 'default', which is Philox on a CPU. An integer of 16 bits or fewer is the low part of one word, one of
    64 bits takes two words, the low one first. (Found by comparing with XLA.)
    """
    first = np.array(key[2:]).view(np.uint64)
    generate = _three_fry_words if algorithm == "three_fry" else _philox_words
    blocks, bits = generate(key, first, shape, dtype.itemsize == 8)
    state = np.concatenate([key[:2], (first + np.uint64(blocks)).view(np.uint32)])
    return [state, bits.astype(dtype).reshape(shape)]


def _counters(first: np.ndarray, blocks: int) -> tuple[np.ndarray, np.ndarray]:
    numbers = first + np.arange(blocks, dtype=np.uint64)
    return numbers.astype(np.uint32), (numbers >> np.uint64(32)).astype(np.uint32)


def _three_fry_words(key: Array, first: np.ndarray, shape: tuple[int, ...], wide: bool) -> tuple[int, np.ndarray]:
    """How many blocks were used, and their words: the two of a block are neighbours along the first even axis.

    If no axis is even it is the longest one, and the last words on it go unused.
    """
    if wide:
        low, high = threefry2x32(key[0], key[1], *_counters(first, math.prod(shape)))
        return low.size, np.stack([low, high], axis=-1).view(np.uint64)
    sizes = shape or (1,)
    axis = next((axis for axis, size in enumerate(sizes) if size % 2 == 0), int(np.argmax(sizes)))
    halved = [-(-size // 2) if dim == axis else size for dim, size in enumerate(sizes)]
    pair = threefry2x32(key[0], key[1], *_counters(first, math.prod(halved)))
    doubled = [2 * size if dim == axis else size for dim, size in enumerate(halved)]
    words = np.stack([word.reshape(halved) for word in pair], axis=axis + 1).reshape(doubled)
    return pair[0].size, words[(slice(None),) * axis + (slice(sizes[axis]),)]


def _philox_words(key: Array, first: np.ndarray, shape: tuple[int, ...], wide: bool) -> tuple[int, np.ndarray]:
    """How many blocks were used, and as many words of theirs, or pairs of words, as `shape` has places."""
    size = math.prod(shape)
    low, high = _counters(first, -(-size * (2 if wide else 1) // 4))
    words = _philox4x32(key[0], key[1], [low, high, np.full_like(low, key[0]), np.full_like(low, key[1])])
    stream = np.stack(words, axis=-1).reshape(-1)
    return low.size, (stream.view(np.uint64) if wide else stream)[:size]


def _philox4x32(key_1: Array, key_2: Array, counter: list[np.ndarray]) -> list[np.ndarray]:
    """Ten rounds of Philox-4x32 (Salmon et al., as above), the constants from that paper."""
    half = np.uint64(32)
    for _ in range(10):
        product_1 = counter[0].astype(np.uint64) * np.uint64(0xD2511F53)
        product_2 = counter[2].astype(np.uint64) * np.uint64(0xCD9E8D57)
        counter = [
            (product_2 >> half).astype(np.uint32) ^ counter[1] ^ key_1,
            product_2.astype(np.uint32),
            (product_1 >> half).astype(np.uint32) ^ counter[3] ^ key_2,
            product_1.astype(np.uint32),
        ]
        key_1, key_2 = key_1 + np.uint32(0x9E3779B9), key_2 + np.uint32(0xBB67AE85)
    return counter
