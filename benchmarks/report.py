"""A report of the suite: run it, keep it as JSON, and read tables and goals off it."""

from __future__ import annotations

import datetime
import itertools
import json
import math
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
ENGINES = (
    *("interpret", "interpret jit", "tpu", "phase 5", "compiled", "tiered", "tiered jit"),
    *("callback", "twin", "floor"),
)
Report = dict[str, Any]


# --- Running ---------------------------------------------------------------------------------------------------------


def run(kernels: Sequence[str], engines: Sequence[str], repeats: int) -> Report:
    """Measures engines on kernels, each measurement in a fresh process; engines take turns on a kernel.

    Args:
      kernels: keys of `suite.CASES`.
      engines: of `ENGINES`.
      repeats: processes for each engine on each kernel.

    Returns:
      What JSON can hold: for each kernel its name, its steps, the day, the processes and, for each engine, the median,
      the least and the most of each time in seconds and of the memory in bytes; and the versions and the machine.
    """
    from tqdm import tqdm

    from benchmarks import measure
    from benchmarks.suite import CASES

    cases = {kernel: CASES[kernel]() for kernel in kernels}
    turns = [
        (kernel, engine)
        for kernel in kernels
        for _ in range(repeats)
        for engine in engines
        if engine not in cases[kernel].too_long
    ]
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    environment = {**os.environ, measure.UNDISTURBED: str(measure.undisturbed())}
    with tqdm(turns, unit="run", file=sys.stderr, disable=None) as bar:
        for kernel, engine in bar:
            bar.set_description(f"{kernel}, {engine}")
            found.setdefault((kernel, engine), []).append(_in_fresh_process(kernel, engine, environment))
    results = {
        kernel: {
            "name": case.name,
            "steps": case.steps,
            "dots": case.dots,
            "library": case.library,
            "too_long": dict(case.too_long),
            "date": datetime.date.today().isoformat(),
            "repeats": repeats,
            "engines": {engine: _spread(found[kernel, engine]) for engine in engines if (kernel, engine) in found},
        }
        for kernel, case in cases.items()
    }
    return {"made_with": made_with(), "kernels": results}


def updated(kept: Report, new: Report) -> Report:
    """A report in which the kernels of a new one take the place of those that were kept.

    A kernel's ratios are of times that were measured together, and stay so.

    Raises:
      ValueError: if the two were not measured with the same versions and on the same kind of machine.
    """
    if kept["made_with"] != new["made_with"]:
        old, now = (", ".join(map(" ".join, made["made_with"].items())) for made in (kept, new))
        raise ValueError(f"it was measured with {old}; this is {now}: measure all kernels, and keep that")
    return {**kept, "kernels": {**kept["kernels"], **new["kernels"]}}


def _in_fresh_process(kernel: str, engine: str, environment: dict[str, str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.measure", kernel, engine]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, env=environment)
    if done.returncode:
        raise RuntimeError(f"measuring {engine} on {kernel} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def _spread(measurements: list[dict[str, Any]]) -> dict[str, Any]:
    spread: dict[str, Any] = {"correct": all(m.pop("correct") for m in measurements)}
    for quantity in measurements[0]:
        values = [m[quantity] for m in measurements]
        spread[quantity] = {"median": statistics.median(values), "least": min(values), "most": max(values)}
    return spread


def made_with() -> dict[str, str]:
    """The versions and the machine of a measurement."""
    import jax
    import numpy as np

    return {
        "python": platform.python_version(),
        "jax": jax.__version__,
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": str(os.cpu_count()),
    }


def _processor() -> str:
    """Its name, and on x86 the family and the model as well, since virtual machines often have but half of the name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    first: dict[str, str] = {}
    for line in lines:
        what, _, value = line.partition(":")
        first.setdefault(what.strip(), value.strip())
    name = first.get("model name", "unknown")
    return f"{name} (family {first['cpu family']}, model {first['model']})" if "cpu family" in first else name


# --- Reading ---------------------------------------------------------------------------------------------------------


def time_of(report: Report, kernel: str, engine: str, quantity: str) -> float | None:
    """The median of a quantity, or `None` where the engine was left out."""
    found = report["kernels"][kernel]["engines"].get(engine)
    return found and found[quantity]["median"]


def ratio(report: Report, kernel: str, quantity: str, slow: str, fast: str) -> float | None:
    """How many times as much `slow` takes as `fast`; infinite if that took too little to be measured."""
    a, b = time_of(report, kernel, slow, quantity), time_of(report, kernel, fast, quantity)
    if a is None or b is None:
        return None
    return a / b if b > 0 else math.inf


def ratios(report: Report, quantity: str, slow: str, fast: str) -> dict[str, float]:
    """`ratio` for each kernel that both engines ran, if it is finite."""
    found = ((kernel, ratio(report, kernel, quantity, slow, fast)) for kernel in report["kernels"])
    return {kernel: value for kernel, value in found if value is not None and math.isfinite(value)}


def warm_ratios(report: Report, slow: str) -> dict[str, float]:
    """How many times as much `slow` takes, warm, as the default engine: under `jit` if the kernel is a library's."""
    engines = {kernel: "tiered jit" if of["library"] else "tiered" for kernel, of in report["kernels"].items()}
    found = ((kernel, ratio(report, kernel, "warm", slow, engine)) for kernel, engine in engines.items())
    return {kernel: value for kernel, value in found if value is not None}


def step_costs(report: Report) -> dict[str, list[tuple[float, float]]]:
    """For each engine that copies: (steps, microseconds for each step), warm, from the copy kernels of the suite."""
    costs: dict[str, list[tuple[float, float]]] = {}
    for kernel, result in report["kernels"].items():
        for engine in ("interpret jit", "phase 5", "tiered"):
            time = time_of(report, kernel, engine, "warm")
            if kernel.startswith("copy") and time is not None:
                costs.setdefault(engine, []).append((result["steps"], time / result["steps"] * 1e6))
    return costs


def table(report: Report, quantity: str, engines: Sequence[str] = ENGINES) -> str:
    """A Markdown table of one quantity: a line for each kernel, a column for each engine."""
    shown = [e for e in engines if any(time_of(report, k, e, quantity) is not None for k in report["kernels"])]
    lines = ["| kernel | " + " | ".join(shown) + " |", "|---|" + "---:|" * len(shown)]
    for result in report["kernels"].values():
        cells = [_cell(result["engines"].get(engine), quantity) for engine in shown]
        lines.append(f"| {result['name']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(found: dict[str, Any] | None, quantity: str) -> str:
    if found is None or (quantity in ("cold", "own", "second") and not found[quantity]["median"]):
        return "–"
    show = _bytes if quantity == "peak" else _time
    middle, least, most = (show(found[quantity][part]) for part in ("median", "least", "most"))
    spread = "" if least == most else f"<br><small>{least} to {most}</small>"
    return f"{middle}{'' if found['correct'] else ' (wrong)'}{spread}"


def _time(seconds: float) -> str:
    if seconds <= 0:  # the difference of two times, too small to be measured
        return "≈ 0"
    for unit, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds * 1e6:.2g} µs"


def _bytes(size: float) -> str:
    return f"{size / 2**20:.0f} MB"


# --- Goals -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Goal:
    """What is promised of a kernel, or of all.

    Attributes:
      text: the promise.
      kernel: the kernel's name, or what the promise is about.
      wanted: the ratio that is promised.
      measured: the ratio in the report.
      at_most: whether the promise is an upper limit.
      best: the ratio of what no engine can do without, if that was measured: of the kernel's floor, or of what JAX
        itself takes.
    """

    text: str
    kernel: str
    wanted: float
    measured: float
    at_most: bool = False
    best: float | None = None

    @property
    def kept(self) -> bool:
        return self._meets(self.measured)

    @property
    def out_of_reach(self) -> bool:
        """Whether it is missed, and the best that there can be misses it, too."""
        return not self.kept and self.best is not None and not self._meets(self.best)

    def _meets(self, ratio: float) -> bool:
        return ratio <= self.wanted if self.at_most else ratio >= self.wanted


def goals(report: Report) -> list[Goal]:
    """What the default engine is to reach, and what it reached in this report."""
    return [*itertools.chain(_cold_goals(report), _warm_goals(report), _step_goals(report))]


def _cold_goals(report: Report) -> Iterator[Goal]:
    for kernel, result in report["kernels"].items():
        name = result["name"]
        theirs = ratio(report, kernel, "own", "interpret", "tiered")
        own, trace = time_of(report, kernel, "tiered", "own"), time_of(report, kernel, "tiered", "trace")
        twin = time_of(report, kernel, "twin", "warm")
        if theirs is None or own is None or trace is None:
            continue
        if result["dots"] and twin is not None and twin > trace:
            yield Goal("cold, own share: within 1.3 of the twin", name, 1.3, own / twin, True)
        else:
            yield Goal("cold, own share: 30 times smaller than interpret=True's", name, 30, theirs)
            yield Goal("cold, own share: no more than the tracing", name, 1.0, own / trace, True)
    for kernel, value in ratios(report, "cold", "interpret jit", "tiered jit").items():
        name = report["kernels"][kernel]["name"]
        yield Goal("cold under jit, installed: 5 times faster", name, 5, value, best=_best_under_jit(report, kernel))


def _best_under_jit(report: Report, kernel: str) -> float | None:
    """How many times as fast as `interpret=True`, cold under `jit`, tracing and a callback alone are."""
    whole, callback = (time_of(report, kernel, engine, "cold") for engine in ("interpret jit", "callback"))
    trace = time_of(report, kernel, "interpret jit", "trace")
    return None if whole is None or callback is None or trace is None else whole / (trace + callback)


def _warm_goals(report: Report) -> Iterator[Goal]:
    warm, best = warm_ratios(report, "interpret jit"), ratios(report, "warm", "interpret jit", "floor")
    if warm:
        mean = statistics.geometric_mean(warm.values())
        at_best = statistics.geometric_mean(best.values()) if best.keys() == warm.keys() else None
        name = f"geometric mean of {len(warm)}"
        yield Goal("warm: 5 times faster than jitted interpret=True", name, 5, mean, best=at_best)
    for kernel, value in warm.items():
        name = report["kernels"][kernel]["name"]
        yield Goal("warm: no slower than jitted interpret=True", name, 1, value, best=best.get(kernel))
    floor_by_twin = ratios(report, "warm", "floor", "twin")
    for kernel, value in warm_ratios(report, "twin").items():
        name = report["kernels"][kernel]["name"]
        yield Goal("warm: within 1.3 of the twin", name, 1.3, 1 / value, True, floor_by_twin.get(kernel))
    if "unrolled_sort" in warm:
        name = report["kernels"]["unrolled_sort"]["name"]
        cold = ratio(report, "unrolled_sort", "cold", "interpret", "tiered")
        if cold is not None:
            yield Goal("a large generated kernel, cold: 25 times faster", name, 25, cold)
        at_best = best.get("unrolled_sort")
        yield Goal("a large generated kernel, warm: 10 times faster", name, 10, warm["unrolled_sort"], best=at_best)


def _step_goals(report: Report) -> Iterator[Goal]:
    floor_by_twin = ratios(report, "warm", "floor", "twin")
    for kernel, value in warm_ratios(report, "twin").items():
        if kernel.startswith("copy") and report["kernels"][kernel]["steps"] >= 100:
            name, text = report["kernels"][kernel]["name"], "a grid step: at most 1.5 times a bare NumPy loop's"
            yield Goal(text, name, 1.5, 1 / value, True, floor_by_twin.get(kernel))
    best = ratios(report, "warm", "tpu", "floor")
    for kernel, value in warm_ratios(report, "tpu").items():
        if report["kernels"][kernel]["steps"] >= 64:
            name, text = report["kernels"][kernel]["name"], "warm, many steps: 100 times faster than TPU interpret mode"
            yield Goal(text, name, 100, value, best=best.get(kernel))


def goal_table(report: Report, missed_only: bool = False) -> str:
    """The goals as a Markdown table: one line for each kernel and promise."""
    lines = ["| promise | kernel | measured | at best | outcome |", "|---|---|---:|---:|---|"]
    for goal in goals(report):
        if missed_only and goal.kept:
            continue
        mark = "kept" if goal.kept else "out of reach" if goal.out_of_reach else "missed"
        best = "" if goal.best is None else f"{goal.best:.2f}"
        lines.append(f"| {goal.text} | {goal.kernel} | {goal.measured:.2f} | {best} | {mark} |")
    return "\n".join(lines)
