"""What the checks that watch cost, against the interpreter without them: `python -m benchmarks.checks_benchmark`."""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable
from typing import Any

import jax

import pallas_np
from benchmarks.suite import CASES, Case
from pallas_np import Options

CHECKS = {
    "no check": Options(engine="interpreter"),
    "check_nans": Options(check_nans=True),
    "uninitialized": Options(uninitialized="raise"),
    "detect_races": Options(detect_races=True),
    "all three": Options(check_nans=True, uninitialized="raise", detect_races=True),
}
KERNELS = ("add", "copy100", "matmul256", "softmax", "layer_norm", "sort8x128", "attention256")


def measured(case: Case, repeats: int) -> list[float]:
    """With each of `CHECKS`, the least time in seconds of a call that is not the first; they take turns."""
    calls = [case.make(functools.partial(pallas_np.pallas_call, options=checks)) for checks in CHECKS.values()]
    times = [[seconds(call, case.args) for call in calls] for _ in range(repeats + 1)]
    return [min(column) for column in zip(*times[1:])]


def seconds(call: Callable[..., Any], args: tuple[Any, ...]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    jax.block_until_ready(call(*args))
    return time.perf_counter() - start


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--kernels", nargs="+", choices=CASES, default=KERNELS, metavar="KERNEL", help="of: %(choices)s"
    )
    parser.add_argument(
        "--repeats", type=int, default=5, help="calls of each, of which the fastest counts (default: 5)"
    )
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error("--repeats must be 1 or more")
    print("## What the checks cost: times, and multiples of the time without a check\n")
    print("| kernel | " + " | ".join(CHECKS) + " |\n|---|" + "---:|" * len(CHECKS))
    for name in options.kernels:
        without, *others = measured(CASES[name](), options.repeats)
        ratios = " | ".join(f"{other / without:.1f}" for other in others)
        print(f"| {name} | {1e3 * without:.1f} ms | {ratios} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
