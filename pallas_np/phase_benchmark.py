"""The phases, the compiler and the tiered engine on the bitonic sort: what `python -m pallas_np bench` runs.

Each measurement has a fresh process.  There the phase first runs another kernel, so that what JAX sets up once is set
up; then it gets a sort that it has never seen.  The phases take turns, so that noise on the machine meets them all.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PHASES = (1, 2, 3, 4, 5)
COMPILER, TIERED = 6, 7  # what comes after the phases, where a phase's number is asked for
BLOCK_ROWS = 32  # rows that one program of the kernel sorts
FASTER_THAN_BASELINE = 15  # the book's promise for phase 5, cold
NOISE = 0.8  # a promise of an amount counts as broken below this part


@dataclass(frozen=True)
class Measurement:
    """One phase in one process, times in seconds.

    Attributes:
      phase: 1 to 5, `COMPILER`, or `TIERED`.
      cold: a kernel never seen before, from the call to its result.
      trace: the part of `cold` that JAX took to trace the kernel.
      warm: the same callable again, median of several calls.
      correct: whether the result was NumPy's sort.
      numpy_equations: equations of the kernel, nested ones included, that NumPy runs.
      jax_equations: those that JAX runs.
      stages: phase 1's cold time by stage: trace, lower, compile, run.
      compiling: the part of `cold` that XLA took to compile whatever the phase handed to JAX.
    """

    phase: int
    cold: float
    trace: float
    warm: float
    correct: bool
    numpy_equations: int
    jax_equations: int
    stages: dict[str, float]
    compiling: float = 0.0

    @property
    def title(self) -> str:
        """What ran, as it stands in a sentence."""
        return {COMPILER: "the compiler", TIERED: "the tiered engine"}.get(self.phase, f"phase {self.phase}")

    @property
    def label(self) -> str:
        """What ran, for a figure: `phase 1`, `compiler`, `tiered`."""
        return self.title.removeprefix("the ").removesuffix(" engine")

    @property
    def own(self) -> float:
        """The part of `cold` that is not tracing."""
        return self.cold - self.trace

    @property
    def rest(self) -> float:
        """The part of `cold` that is neither tracing nor compiling."""
        return self.own - self.compiling


def measure(phase: int, rows: int, length: int) -> Measurement:
    """Measures one phase in this process, which should have done nothing else."""
    import importlib

    import jax
    import jax.numpy as jnp
    import numpy as np
    from jax.experimental import pallas as pl

    from pallas_np import frontend, kernels, phase5

    names = {COMPILER: "pallas_np.compiler", TIERED: "pallas_np"}
    module = importlib.import_module(names.get(phase, f"pallas_np.phase{phase}"))
    keys = jnp.asarray(np.random.default_rng(0).standard_normal((rows, length), dtype=np.float32))
    ascending = jnp.zeros((1,), jnp.int32)
    jax.block_until_ready(kernels.softmax(keys[:16, :2], pallas_call=module.pallas_call))

    def sorter(pallas_call: Any) -> Any:
        return kernels.bitonic_sorter(keys.shape, keys.dtype, pallas_call=pallas_call, block_rows=BLOCK_ROWS)

    def call_description() -> frontend.KernelCall:
        traced = frontend.trace(sorter(pl.pallas_call), ascending, keys)
        assert traced is not None
        return traced.call

    stages: dict[str, float] = {}
    compiles: list[float] = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, seconds, **_: compiles.append(seconds) if "backend_compile" in event else None
    )
    start = time.perf_counter()
    sort = sorter(module.pallas_call)
    if phase == 1:
        result = jax.block_until_ready(_run_in_stages(sort, stages, ascending, keys))
    else:
        result = jax.block_until_ready(sort(ascending, keys))
    cold, compiling = time.perf_counter() - start, sum(compiles)
    trace = stages["trace"] if phase == 1 else sort.traced(ascending, keys).seconds

    jax.block_until_ready(sort(ascending, keys))  # phase 1's ahead-of-time stages leave the callable itself cold
    warm = statistics.median(_times(lambda: jax.block_until_ready(sort(ascending, keys))))
    rules = module.numpy_rules if phase in PHASES else phase5.numpy_rules
    by_numpy, by_jax = count_equations(call_description().jaxpr, rules)
    correct = bool(np.array_equal(np.asarray(result), np.sort(np.asarray(keys), axis=1)))
    return Measurement(phase, cold, trace, warm, correct, by_numpy, by_jax, stages, compiling)


def _run_in_stages(function: Any, stages: dict[str, float], *args: Any) -> Any:
    """Calls a jitted function in the four stages that a first call goes through, and notes the time of each."""
    last = time.perf_counter()

    def done(stage: str) -> None:
        nonlocal last
        now = time.perf_counter()
        stages[stage], last = now - last, now

    import jax

    traced = function.trace(*args)
    done("trace")
    lowered = traced.lower()
    done("lower")
    compiled = lowered.compile()
    done("compile")
    result = jax.block_until_ready(compiled(*args))
    done("run")
    return result


def _times(function: Any, least: int = 5, most: int = 50, seconds: float = 0.5) -> list[float]:
    times: list[float] = []
    while len(times) < least or (len(times) < most and sum(times) < seconds):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return times


def count_equations(jaxpr: Any, rules: Mapping[Any, Any]) -> tuple[int, int]:
    """How many of the kernel's equations a table runs, and how many it leaves to JAX.

    Counted in the program's text, those of loop bodies and branches included.  What is nested in an equation that JAX
    runs is JAX's too.
    """
    from pallas_np.frontend import subjaxprs

    by_numpy = by_jax = 0
    for eqn in jaxpr.eqns:
        mine = eqn.primitive in rules
        inner = [count_equations(sub, rules if mine else {}) for sub in subjaxprs(eqn)]
        by_numpy += mine + sum(n for n, _ in inner)
        by_jax += (not mine) + sum(j for _, j in inner)
    return by_numpy, by_jax


def run(
    rows: int, length: int, repeats: int, phases: Sequence[int] = (*PHASES, COMPILER, TIERED), progress: bool = True
) -> dict[str, Any]:
    """Measures phases that take turns.

    Args:
      rows: rows of the array to sort.
      length: elements of a row, a power of two.
      repeats: processes for each phase.
      phases: which phases, `COMPILER` and `TIERED` among them.
      progress: whether to show a progress bar, on a terminal.

    Returns:
      A report that JSON can hold: medians for each phase, and what they were measured on.
    """
    try:
        from tqdm import tqdm
    except ImportError:
        raise SystemExit("the benchmark needs tqdm: pip install 'pallas-np[bench]'") from None

    measurements: dict[int, list[Measurement]] = {phase: [] for phase in phases}
    turns = [phase for _ in range(repeats) for phase in phases]
    with tqdm(turns, unit="run", file=sys.stderr, disable=None if progress else True) as bar:
        for phase in bar:
            bar.set_description(f"phase {phase}")
            measurements[phase].append(_in_fresh_process(phase, rows, length))
    return {
        "shape": [rows, length],
        "dtype": "float32",
        "block_rows": BLOCK_ROWS,
        "repeats": repeats,
        "versions": versions(),
        "phases": [asdict(_median(measurements[phase])) for phase in phases],
    }


def _in_fresh_process(phase: int, rows: int, length: int) -> Measurement:
    command = [sys.executable, "-m", "pallas_np.phase_benchmark", str(phase), str(rows), str(length)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"measuring phase {phase} failed:\n{done.stderr}")
    return Measurement(**json.loads(done.stdout.splitlines()[-1]))


def _median(runs: Sequence[Measurement]) -> Measurement:
    first = runs[0]

    def middle(values: Iterable[float]) -> float:
        return statistics.median(values)

    return Measurement(
        first.phase,
        middle(r.cold for r in runs),
        middle(r.trace for r in runs),
        middle(r.warm for r in runs),
        all(r.correct for r in runs),
        first.numpy_equations,
        first.jax_equations,
        {stage: middle(r.stages[stage] for r in runs) for stage in first.stages},
        middle(r.compiling for r in runs),
    )


def versions() -> dict[str, str]:
    """The versions and the machine that a measurement was made with."""
    import jax
    import numpy as np

    return {
        "python": platform.python_version(),
        "jax": jax.__version__,
        "numpy": np.__version__,
        "machine": f"{platform.system()} {platform.machine()} with {os.cpu_count()} CPUs",
    }


def phases_of(report: Mapping[str, Any]) -> list[Measurement]:
    """The measurements in a report that `run` made or that was read from JSON."""
    return [Measurement(**phase) for phase in report["phases"]]


def table(report: Mapping[str, Any]) -> str:
    """The report as a Markdown table, with phase 1's stages and the versions below it."""
    baseline = phases_of(report)[0]
    lines = [
        "| phase | equations by NumPy | by JAX | tracing | compiling | all else | cold | times as fast as phase 1 "
        "| warm | sorted |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    for m in phases_of(report):
        lines.append(
            f"| {m.label.removeprefix('phase ')} | {m.numpy_equations} | {m.jax_equations} | {_ms(m.trace)} "
            f"| {_ms(m.compiling)} | {_ms(m.rest)} | {_ms(m.cold)} "
            f"| {baseline.cold / m.cold:.1f} | {_ms(m.warm)} | {'yes' if m.correct else 'NO'} |"
        )
    stages = ", ".join(f"{stage} {_ms(seconds)}" for stage, seconds in baseline.stages.items())
    names = {"python": "Python", "jax": "JAX", "numpy": "NumPy", "machine": "on"}
    made_with = ", ".join(f"{names.get(name, name)} {version}" for name, version in report["versions"].items())
    shape = tuple(report["shape"])
    return "\n".join(
        [
            *lines,
            "",
            f"Phase 1's cold time: {stages}.",
            f"Sort of {shape} {report['dtype']} in blocks of {report['block_rows']} rows; medians of "
            f"{report['repeats']} processes; {made_with}.",
        ]
    )


def _ms(seconds: float) -> str:
    milliseconds = seconds * 1e3
    return f"{milliseconds:.0f} ms" if milliseconds >= 10 else f"{milliseconds:.2g} ms"


def broken_promises(report: Mapping[str, Any]) -> list[str]:
    """What the book says of the phases and this report does not bear out, noise apart; empty if all is well."""
    broken = [f"{m.title} sorted wrongly" for m in phases_of(report) if not m.correct]
    phases = [m for m in phases_of(report) if m.phase in PHASES]
    for before, after in itertools.pairwise(phases):
        if after.cold >= before.cold:
            broken.append(f"phase {after.phase} is no faster, cold, than phase {before.phase}")
    last = phases[-1]
    if phases[0].cold < NOISE * FASTER_THAN_BASELINE * last.cold:
        broken.append(
            f"phase 5 is {phases[0].cold / last.cold:.1f} times as fast as phase 1, not {FASTER_THAN_BASELINE}"
        )
    if NOISE * last.own > last.trace:
        broken.append("phase 5 spends more time of its own than the tracing takes")
    return broken


def plot(report: Mapping[str, Any], file: Path) -> None:
    """Draws the cold times as stacked bars, tracing below and the rest above, on a logarithmic axis."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise SystemExit("--plot needs matplotlib: pip install 'pallas-np[bench]'") from None
    phases = phases_of(report)
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    labels = [m.label for m in phases]
    axes.bar(labels, [m.cold * 1e3 for m in phases], color="#3f7fbf", label="cold: from the call to the result")
    axes.bar(labels, [m.trace * 1e3 for m in phases], color="#e0a030", label="of which tracing", width=0.5)
    axes.set_yscale("log")
    axes.set_ylabel("milliseconds")
    axes.set_title(f"Bitonic sort of {tuple(report['shape'])} {report['dtype']}")
    axes.legend()
    figure.savefig(file)


if __name__ == "__main__":
    print(json.dumps(asdict(measure(*map(int, sys.argv[1:])))))
