"""The suite from the command line: `python -m benchmarks`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks import report as reports
from benchmarks.plots import plot
from benchmarks.suite import CASES

TITLES = {
    "cold": "Cold",
    "own": "Cold, without JAX's tracing",
    "second": "Second call",
    "warm": "Warm",
    "peak": "Growth of the peak memory",
}


def main() -> int:
    """Runs the suite, prints its tables, and writes what is asked for; returns the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--kernels", nargs="+", choices=CASES, default=list(CASES), metavar="KERNEL", help="of: %(choices)s"
    )
    parser.add_argument(
        "--engines", nargs="+", choices=reports.ENGINES, default=list(reports.ENGINES), metavar="ENGINE"
    )
    parser.add_argument("--repeats", type=int, default=3, help="processes for each engine on each kernel (default: 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the measurements to FILE")
    parser.add_argument(
        "--update", type=Path, metavar="FILE", help="put the kernels that are measured in the place of those in FILE"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw them to FILE (.png, .svg, .pdf)")
    parser.add_argument("--from", type=Path, dest="source", metavar="FILE", help="read a report from FILE; run nothing")
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error("--repeats must be 1 or more")
    if options.update:
        if options.source or set(options.engines) != set(reports.ENGINES):
            parser.error("--update takes kernels that are measured now, on all engines")
        if not options.update.is_file():
            parser.error(f"there is no {options.update} to be updated: --json writes a new report")
        kept = json.loads(options.update.read_text())
        try:
            reports.updated(kept, {"made_with": reports.made_with(), "kernels": {}})
        except ValueError as error:
            parser.error(f"{options.update} cannot be updated: {error}")
    if options.source:
        report = json.loads(options.source.read_text())
    else:
        report = reports.run(options.kernels, options.engines, options.repeats)
    if options.update:
        report = reports.updated(kept, report)
    for file in filter(None, (options.json, options.update)):
        file.write_text(json.dumps(report, indent=1) + "\n")
    for quantity, title in TITLES.items():
        print(f"## {title}\n\n{reports.table(report, quantity)}\n")
    print(f"## Goals\n\n{reports.goal_table(report)}\n")
    print(", ".join(f"{name} {version}" for name, version in report["made_with"].items()))
    if options.plot:
        plot(report, options.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
