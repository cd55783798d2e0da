"""The memory that a kernel over large arrays needs, against the sum of its arrays.

Run as `python -m benchmarks.memory_benchmark`.  Called on arrays, a kernel needs its inputs, its outputs and one block
of each.  Each way to run it has a process of its own, since the most memory that a process has held never falls.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

import pallas_np
from benchmarks.measure import peak_memory

WAYS = {
    "interpreter": pallas_np.Options(engine="interpreter"),
    "compiled": pallas_np.Options(engine="compiled"),
    "tiered": pallas_np.Options(engine="tiered"),
    "interpret=True": None,
}
LIMITED = ("interpreter", "compiled", "tiered")
LIMIT = 1.2
COLUMNS = 8192
BLOCK = 256


def copy_kernel(x_ref: Any, out_ref: Any) -> None:
    """Copies a block."""
    out_ref[...] = x_ref[...]


def copied(x: jax.Array, way: str) -> jax.Array:
    """A copy of x, [rows, COLUMNS], that a kernel makes, BLOCK rows in each program."""
    options = WAYS[way]
    block = pl.BlockSpec((BLOCK, COLUMNS), lambda i: (i, 0))
    call: dict[str, Any] = {"out_shape": x, "grid": (x.shape[0] // BLOCK,), "in_specs": [block], "out_specs": block}
    if options is None:
        return pl.pallas_call(copy_kernel, interpret=True, **call)(x)
    return pallas_np.pallas_call(copy_kernel, options=options, **call)(x)


def ratio(way: str, megabytes: int) -> float:
    """By what the process's peak grows when a kernel copies an array of this size, as a multiple of both arrays."""
    jax.block_until_ready(copied(jnp.ones((BLOCK, COLUMNS)), way))
    before = peak_memory()
    rows = megabytes * 2**20 // (4 * COLUMNS)
    x = jax.block_until_ready(jnp.ones((rows, COLUMNS)))
    out = jax.block_until_ready(copied(x, way))
    return (peak_memory() - before) / (x.nbytes + out.nbytes)


def ratio_in_a_process(way: str, megabytes: int) -> float:
    """`ratio`, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory_benchmark", "--way", way, "--megabytes", str(megabytes)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> int:
    """Prints the table; returns 1 if a way that has to keep the limit does not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=256, help="the size of the array (default: 256)")
    parser.add_argument("--way", choices=WAYS, help="measure this one, in this process, and print the number alone")
    options = parser.parse_args()
    if options.way:
        print(ratio(options.way, options.megabytes))
        return 0
    ratios = {way: ratio_in_a_process(way, options.megabytes) for way in WAYS}
    print(f"## Peak memory of a copy of {options.megabytes} MB, against both arrays\n")
    print("| way | ratio |\n|---|---:|")
    for way, value in ratios.items():
        print(f"| {way} | {value:.2f} |")
    return int(any(ratios[way] > LIMIT for way in LIMITED))


if __name__ == "__main__":
    sys.exit(main())
