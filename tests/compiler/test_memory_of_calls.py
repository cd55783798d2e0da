"""What a warm call takes from the system."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHAPE = (1024, 128)
SCRIPT = f"""
import resource

import numpy as np
import pallas_np
from pallas_np.kernels import bitonic_sorter

keys, order = np.random.default_rng(0).standard_normal({SHAPE}).astype(np.float32), np.zeros(1, np.int32)
sort = bitonic_sorter(keys.shape, keys.dtype, pallas_call=pallas_np.pallas_call)

def page_faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

for call in range(8):
    if call == 3:
        before = page_faults()
    sort(order, keys).block_until_ready()
print(page_faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that gives memory back")
def test_temporaries_are_made_in_memory_that_the_process_has() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    pages = SHAPE[0] * SHAPE[1] * 4 // 4096  # of a single value; a call has hundreds
    assert int(done.stdout) < pages
