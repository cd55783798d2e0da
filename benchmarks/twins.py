"""Each kernel of the suite written by hand in NumPy, over the same blocks and with the same steps.

A twin is what a person would write who had NumPy and no Pallas.  It says how fast a kernel can be expected to get in
NumPy, and it is the answer that every engine's result is compared with.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def add(x: Array, y: Array, block: int) -> Array:
    out = np.empty_like(x)
    for start in range(0, len(x), block):
        own = slice(start, start + block)
        np.add(x[own], y[own], out=out[own])
    return out


def copy(x: Array, block: int) -> Array:
    out = np.empty_like(x)
    for start in range(0, len(x), block):
        out[start : start + block] = x[start : start + block]
    return out


def matmul(x: Array, y: Array, block: int) -> Array:
    (m, k), n = x.shape, y.shape[1]
    out = np.empty((m, n), x.dtype)
    for i in range(0, m, block):
        rows = slice(i, i + block)
        for j in range(0, n, block):
            columns = slice(j, j + block)
            total = np.zeros((block, block), np.float32)
            for s in range(0, k, block):
                total += x[rows, s : s + block] @ y[s : s + block, columns]
            out[rows, columns] = total
    return out


def softmax(x: Array) -> Array:
    out = np.empty_like(x)
    for i in range(len(x)):
        row = x[i : i + 1]
        weights = np.exp(row - row.max(axis=1, keepdims=True))
        np.divide(weights, weights.sum(axis=1, keepdims=True), out=out[i : i + 1])
    return out


def layer_norm(x: Array, scale: Array, shift: Array, epsilon: float) -> Array:
    out = np.empty_like(x)
    for i in range(len(x)):
        row = x[i : i + 1]
        centred = row - row.mean(axis=1, keepdims=True)
        variance = (centred * centred).mean(axis=1, keepdims=True)
        out[i : i + 1] = centred / np.sqrt(variance + np.float32(epsilon)) * scale + shift
    return out


def sort(keys: Array, block_rows: int, unrolled_stages: int) -> Array:
    """The book's sort: rotations fetch near partners, gathers the far ones."""
    out = np.empty_like(keys)
    length = keys.shape[1]
    column = np.arange(length)
    stages = length.bit_length() - 1
    for start in range(0, len(keys), block_rows):
        work = keys[start : start + block_rows].copy()
        for stage in range(1, stages + 1):
            for step in reversed(range(stage)):
                distance = 1 << step
                lower = (column & distance) == 0
                if stage <= unrolled_stages:
                    partner = np.where(lower, np.roll(work, -distance, axis=1), np.roll(work, distance, axis=1))
                else:
                    partner = work.take(column ^ distance, axis=1)
                smaller = lower == ((column & (1 << stage)) == 0)
                takes = np.where(smaller, _before(partner, work), _before(work, partner))
                work = np.where(takes, partner, work)
        out[start : start + block_rows] = work
    return out


def _before(a: Array, b: Array) -> Array:
    return (a < b) | ((b != b) & (a == a))


def sort_in_tiles(keys: Array, tile: int) -> Array:
    """A sort of each row held in tiles of columns: whole tiles change places, and rotations reach within a tile."""
    column = np.arange(tile)
    tiles = [keys[:, start : start + tile] for start in range(0, keys.shape[1], tile)]
    for stage in range(1, keys.shape[1].bit_length()):
        for step in reversed(range(stage)):
            run, distance = 1 << stage, 1 << step
            if distance >= tile:
                apart = distance // tile
                for low in (t for t in range(len(tiles)) if not t & apart):
                    smaller = np.minimum(tiles[low], tiles[low + apart])
                    larger = np.maximum(tiles[low], tiles[low + apart])
                    rising = not (low * tile) & run
                    tiles[low], tiles[low + apart] = (smaller, larger) if rising else (larger, smaller)
            else:
                lower = (column & distance) == 0
                for t, item in enumerate(tiles):
                    partner = np.where(lower, np.roll(item, -distance, axis=1), np.roll(item, distance, axis=1))
                    smaller = lower == (((column + t * tile) & run) == 0)
                    tiles[t] = np.where(smaller, np.minimum(item, partner), np.maximum(item, partner))
    return np.concatenate(tiles, axis=1)


def attention(q: Array, k: Array, v: Array, block: int, scale: float) -> Array:
    """Flash attention: for each block of queries, one pass over the blocks of keys with a running maximum and sum."""
    out = np.empty_like(q)
    for i in range(0, len(q), block):
        rows = q[i : i + block]
        best = np.full((len(rows), 1), -np.inf, np.float32)
        total = np.zeros((len(rows), 1), np.float32)
        mixed = np.zeros((len(rows), v.shape[1]), np.float32)
        for j in range(0, len(k), block):
            scores = (rows @ k[j : j + block].T) * np.float32(scale)
            new = np.maximum(best, scores.max(axis=1, keepdims=True))
            weights, kept = np.exp(scores - new), np.exp(best - new)
            total = total * kept + weights.sum(axis=1, keepdims=True)
            mixed = mixed * kept + weights @ v[j : j + block]
            best = new
        out[i : i + block] = mixed / total
    return out


def heads(q: Array, k: Array, v: Array, block: int, scale: float) -> Array:
    """`attention` for each head of each entry of a batch."""
    out = np.empty_like(q)
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            out[b, h] = attention(q[b, h], k[b, h], v[b, h], block, scale)
    return out


def grouped_matmul(x: Array, y: Array, sizes: Array, block: int) -> Array:
    """The rows of each group times the group's own matrix; a tile that two groups share is visited by both."""
    out = np.zeros((x.shape[0], y.shape[2]), np.float32)
    start = 0
    for group, size in enumerate(sizes):
        end = start + int(size)
        for i in range(start // block * block, end, block):
            rows = np.arange(i, i + block)
            mine = ((rows >= start) & (rows < end))[:, None]
            for j in range(0, y.shape[2], block):
                total = np.zeros((block, block), np.float32)
                for s in range(0, x.shape[1], block):
                    total += x[i : i + block, s : s + block] @ y[group, s : s + block, j : j + block]
                tile = out[i : i + block, j : j + block]
                tile[...] = np.where(mine, total, tile)
        start = end
    return out
