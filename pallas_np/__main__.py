"""The command line: `python -m pallas_np bench`, `... coverage`, `... run SCRIPT`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from pallas_np import phase_benchmark
from pallas_np.options import ACCEPTED, Options


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m pallas_np", description="Pallas in NumPy")
    commands = parser.add_subparsers(dest="command", required=True)
    bench = commands.add_parser("bench", help="run the bitonic sort through the five phases and compare them")
    bench.add_argument("--shape", nargs=2, type=int, default=(64, 128), metavar=("ROWS", "LENGTH"))
    bench.add_argument("--repeats", type=_positive, default=5, help="processes for each phase (default: 5)")
    bench.add_argument("--json", type=Path, metavar="FILE", help="write the measurements to FILE")
    bench.add_argument("--plot", type=Path, metavar="FILE", help="draw them to FILE (.png, .svg, .pdf)")
    bench.add_argument("--check", action="store_true", help="fail unless the phases keep the book's promises")
    bench.set_defaults(function=_bench)
    coverage = commands.add_parser("coverage", help="list every primitive, and what runs it in NumPy")
    coverage.add_argument("--json", type=Path, metavar="FILE", help="write the table to FILE")
    coverage.set_defaults(function=_coverage)
    _add_run(commands)
    options = parser.parse_args(arguments)
    return options.function(options)


def _add_run(commands: Any) -> None:
    run = commands.add_parser(
        "run",
        help="run a script with every Pallas call in NumPy",
        usage="%(prog)s [options] (SCRIPT | -m MODULE) [ARGUMENTS ...]",
        description="Runs a script or a module, unedited, with every Pallas call in NumPy. Options come before it.",
    )
    run.add_argument("--verbose", action="store_true", help="say at the end how many kernels ran in NumPy")
    for field in fields(Options):
        accepted = ACCEPTED.get(field.name)
        flag = f"--{field.name.replace('_', '-')}"
        if accepted == (False, True):
            run.add_argument(flag, action="store_true", help="a check; off by default")
        elif accepted is None or len(accepted) > 1:
            run.add_argument(flag, choices=accepted, default=field.default, help=f"default: {field.default}")
    run.add_argument("-m", dest="module", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    run.add_argument("script", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    run.set_defaults(function=_run, parser=run)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _bench(options: argparse.Namespace) -> int:
    rows, length = options.shape
    if rows < 16 or length < 2 or length & (length - 1):
        print("--shape takes at least 16 rows and a power of two of columns", file=sys.stderr)
        return 2
    report = phase_benchmark.run(rows, length, options.repeats)
    if options.check and phase_benchmark.broken_promises(report):
        print("A promise is broken, or the machine is busy: measuring again, three times as often.", file=sys.stderr)
        report = phase_benchmark.run(rows, length, 3 * options.repeats)
    print(phase_benchmark.table(report))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    if options.plot:
        phase_benchmark.plot(report, options.plot)
    broken = phase_benchmark.broken_promises(report) if options.check else []
    for promise in broken:
        print(promise, file=sys.stderr)
    return 1 if broken else 0


def _coverage(options: argparse.Namespace) -> int:
    from pallas_np.primitive_coverage import all_primitives  # loads JAX

    table = all_primitives()
    print(table)
    for compiler, (supported, total) in table.by_compiler().items():
        print(f"  {compiler}: {supported} of {total}")
    if options.json:
        options.json.write_text(table.as_json())
    return 0


def _run(options: argparse.Namespace) -> int:
    target = options.module or options.script
    if not target or target[0].startswith("-"):
        options.parser.error("name a script, or a module after -m" + (f", not {target[0]}" if target else ""))
    from pallas_np import script  # loads JAX

    run = script.run_module if options.module else script.run_script
    given = {field.name: getattr(options, field.name) for field in fields(Options) if hasattr(options, field.name)}
    return run(target[0], target[1:], replace(Options(), **given), options.verbose)


if __name__ == "__main__":
    sys.exit(main())
