"""The command line: `python -m pallas_np bench`, `... coverage`, and `... run`, `record` or `profile SCRIPT`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from pallas_np import phase_benchmark, script, script_inspection
from pallas_np.options import ACCEPTED, MAX_BYTES, MAX_EQUATIONS, Options


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m pallas_np", description="Pallas in NumPy")
    commands = parser.add_subparsers(dest="command", required=True)
    bench = commands.add_parser(
        "bench", help="run the bitonic sort through the five phases and the compiler, and compare them"
    )
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
    _add_record(commands)
    _add_profile(commands)
    options = parser.parse_args(arguments)
    return options.function(options)


def _add_run(commands: Any) -> None:
    run = _add_script_command(
        commands, "run", "run a script with every Pallas call in NumPy", "Runs a script or a module, unedited"
    )
    run.add_argument("--verbose", action="store_true", help="say at the end how many kernels ran in NumPy")
    run.set_defaults(function=_run)


def _add_record(commands: Any) -> None:
    record = _add_script_command(
        commands,
        "record",
        "run a script and write down what its kernels do, to step through",
        "Runs a script or a module, unedited, and records its kernels: steps, equations, reads, writes, and values",
        without=("engine",),
    )
    record.add_argument(
        "-o",
        "--output",
        action="append",
        type=_recording_file,
        metavar="FILE",
        help="a page to step through (.html), or a recording for Recording.load (.pnrec); may be given more than once "
        "(default: the script's name with .html, in the working directory)",
    )
    record.add_argument("--overwrite", action="store_true", help="replace files that exist")
    limits = [
        ("--max-bytes", MAX_BYTES, "how many bytes of values"),
        ("--max-equations", MAX_EQUATIONS, "how many equations"),
    ]
    for flag, default, what in limits:
        record.add_argument(flag, type=_positive, default=default, help=f"{what} to keep (default: {default:,})")
    record.set_defaults(function=_record)


def _add_profile(commands: Any) -> None:
    profile = _add_script_command(
        commands,
        "profile",
        "run a script and say where its kernels' time goes",
        "Runs a script or a module, unedited, and prints its kernels' time by line, primitive, step and launch",
    )
    profile.add_argument("--rows", type=_positive, default=20, help="how many rows each table has (default: 20)")
    profile.add_argument("--plot", type=Path, metavar="FILE", help="draw it to FILE (.png, .svg, .pdf)")
    profile.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    profile.set_defaults(function=_profile)


def _add_script_command(
    commands: Any, name: str, summary: str, description: str, without: Sequence[str] = ()
) -> argparse.ArgumentParser:
    """A command that runs a script, with the flags of `Options` and without those named."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        usage="%(prog)s [options] (SCRIPT | -m MODULE) [ARGUMENTS ...]",
        description=f"{description}, with every Pallas call in NumPy. Options come before it.",
    )
    for field in fields(Options):
        accepted = ACCEPTED.get(field.name)
        flag = f"--{field.name.replace('_', '-')}"
        if field.name in without:
            continue
        if accepted == (False, True):
            parser.add_argument(flag, action="store_true", help="a check; off by default")
        elif accepted is None or len(accepted) > 1:
            parser.add_argument(flag, choices=accepted, default=field.default, help=f"default: {field.default}")
    parser.add_argument("-m", dest="module", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    parser.add_argument("script", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    parser.set_defaults(parser=parser)
    return parser


def _recording_file(text: str) -> Path:
    if Path(text).suffix not in (script_inspection.PAGE, script_inspection.RECORDING):
        raise argparse.ArgumentTypeError(f"{text!r} ends in neither .html nor .pnrec")
    return Path(text)


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
    return _start(options, script.Run(_kernel_options(options), options.verbose))


def _record(options: argparse.Namespace) -> int:
    target, *_ = _target(options)
    files = options.output or [Path(f"{Path(target).stem if options.script else target}{script_inspection.PAGE}")]
    _refuse_to_replace(options, files)
    limits = options.max_bytes, options.max_equations
    return _start(
        options, script_inspection.RecordedRun(_kernel_options(options), False, files, options.overwrite, *limits)
    )


def _profile(options: argparse.Namespace) -> int:
    _refuse_to_replace(options, [options.plot] if options.plot else [])
    kernels = _kernel_options(options)
    return _start(options, script_inspection.ProfiledRun(kernels, False, options.rows, options.plot, options.overwrite))


def _start(options: argparse.Namespace, run: script.Run) -> int:
    target, *arguments = _target(options)
    start = script.run_module if options.module else script.run_script
    return start(target, arguments, run)


def _target(options: argparse.Namespace) -> list[str]:
    target = options.module or options.script
    if not target or target[0].startswith("-"):
        options.parser.error("name a script, or a module after -m" + (f", not {target[0]}" if target else ""))
    return target


def _kernel_options(options: argparse.Namespace) -> Options:
    given = {field.name: getattr(options, field.name) for field in fields(Options) if hasattr(options, field.name)}
    return replace(Options(), **given)


def _refuse_to_replace(options: argparse.Namespace, files: Sequence[Path]) -> None:
    fault = script_inspection.cannot_write(files, options.overwrite)
    if fault:
        options.parser.error(fault)


if __name__ == "__main__":
    sys.exit(main())
