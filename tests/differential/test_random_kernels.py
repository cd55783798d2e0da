"""Random kernels answer as they do with `interpret=True`.

`PALLAS_NP_EXAMPLES` says how many kernels the long run tries (1,000 unless it is set).  A failure prints the kernel,
shrunk; keep it in `test_found_kernels.py`.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, seed, settings
from kernel_language import kernels
from random_kernel import Kernel, check

EXAMPLES = int(os.environ.get("PALLAS_NP_EXAMPLES", "1000"))
SHARDS = 8


def run(examples: int, shard: int) -> None:
    """Checks that many random kernels, the same for the same shard."""

    @seed(shard)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(kernels())
    def try_one(kernel: Kernel) -> None:
        check(kernel)

    try_one()


def test_some_random_kernels() -> None:
    run(25, SHARDS)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("shard", range(SHARDS))
def test_random_kernels(shard: int) -> None:
    run(-(-EXAMPLES // SHARDS), shard)
