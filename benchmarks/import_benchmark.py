"""What `import pallas_np` adds to `import jax`.

Run as `python -m benchmarks.import_benchmark`.  The package loads its parts on first use, so what a script that runs
kernels pays comes with `pallas_np.pallas_call`; it is shown beside, against what Pallas itself takes to import.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

LIMIT = 0.1
STEPS = {
    "import jax": "import jax",
    "import pallas_np": "import pallas_np",
    "from jax.experimental import pallas": "from jax.experimental import pallas",
    "pallas_np.pallas_call, its first use": "pallas_np.pallas_call",
}
"""What is timed, one after the other in a fresh process: its name, and the statement."""

_PROGRAM = """
import json, sys, time
found = []
for statement in json.loads(sys.argv[1]):
    start = time.perf_counter()
    exec(statement)
    found.append(time.perf_counter() - start)
print(json.dumps(found))
"""


def seconds(repeats: int) -> dict[str, float]:
    """How long each of `STEPS` takes: medians of so many fresh processes."""
    command = [sys.executable, "-c", _PROGRAM, json.dumps(list(STEPS.values()))]
    runs = [
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout) for _ in range(repeats)
    ]
    return {name: statistics.median(times) for name, times in zip(STEPS, zip(*runs, strict=True), strict=True)}


def share(found: dict[str, float]) -> float:
    """What `import pallas_np` takes, as a part of what `import jax` takes."""
    return found["import pallas_np"] / found["import jax"]


def main() -> int:
    """Prints the table; returns 1 if the import adds more than `LIMIT`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="fresh processes (default: 5)")
    found = seconds(parser.parse_args().repeats)
    print("## What importing takes, against `import jax`\n")
    print("| step | time | ratio |\n|---|---:|---:|")
    for name, time in found.items():
        print(f"| {name} | {time * 1e3:.1f} ms | {time / found['import jax']:.3f} |")
    return int(share(found) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
