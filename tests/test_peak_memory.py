"""Large arrays: a kernel needs its inputs, its outputs and one block of each."""

from __future__ import annotations

import pytest

from benchmarks.memory_benchmark import LIMIT, LIMITED, ratio_in_a_process


@pytest.mark.slow
@pytest.mark.parametrize("way", LIMITED)
def test_a_copy_needs_little_more_than_its_arrays(way: str) -> None:
    assert ratio_in_a_process(way, 256) < LIMIT
