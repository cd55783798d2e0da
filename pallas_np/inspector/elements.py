"""Arrays in words: how much is shown of one, and what stands for an element."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

MAX_ROWS, MAX_COLUMNS, MAX_VECTOR = 32, 32, 128
"""How much of an array is shown: of a matrix, and of a vector."""


def as_matrix(array: np.ndarray) -> np.ndarray:
    """The array with all axes but the last as its rows."""
    return array.reshape(-1, array.shape[-1]) if array.ndim > 1 else array.reshape(1, -1)


def extent(shape: Sequence[int]) -> tuple[int, int]:
    """How many rows and columns are shown of an array: all axes but the last make its rows."""
    if len(shape) < 2:
        return 1, min(math.prod(shape), MAX_VECTOR)
    return min(math.prod(shape[:-1]), MAX_ROWS), min(shape[-1], MAX_COLUMNS)


def words(values: np.ndarray) -> str:
    """Elements as words; `-` for what memory holds that nobody has written to, NaN or the smallest integer."""
    kind = values.dtype.kind
    if kind == "b":
        return " ".join("T" if value else "F" for value in values.tolist())
    if kind in "iu":
        unwritten = np.iinfo(values.dtype).min if kind == "i" else None
        return " ".join("-" if value == unwritten else str(value) for value in values.tolist())
    if kind == "c":
        return " ".join(f"{value:.4g}" for value in values.tolist())
    return " ".join("-" if value != value else f"{value:.5g}" for value in values.astype(np.float64).tolist())
