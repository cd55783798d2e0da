"""The suite of kernels as the page of benchmarks shows it: from reports that were kept, never measured by the build.

`python -m benchmarks --json FILE` writes such a report.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import indent

from benchmarks.report import RESULTS, Report, goal_table, goals, ratios, step_costs, table, warm_ratios

QUANTITIES = {
    "cold": "Cold: a fresh kernel, from the call to its result",
    "own": "Cold, without JAX's tracing",
    "second": "The second call, in which the tiered engine compiles what it walked in the first",
    "warm": "Warm: the same callable again",
    "peak": "Growth of the peak memory",
}


def suite(folder: Path = RESULTS) -> str:
    """A section for each report in a folder, that of the newest JAX first."""
    kept = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))]
    if not kept:
        return (
            "No measurements of the suite are kept in this copy of the repository. `python -m benchmarks` makes them."
        )
    kept.sort(key=lambda report: [int(part) for part in report["made_with"]["jax"].split(".")], reverse=True)
    return "\n\n".join("\n\n".join(section(report)) for report in kept)


def section(report: Report) -> Iterator[str]:
    """What a report says, paragraph by paragraph."""
    made, kernels = report["made_with"], report["kernels"].values()
    days = sorted({kernel["date"] for kernel in kernels})
    yield f"### JAX {made['jax']} {{ #suite-jax-{made['jax'].replace('.', '-')} }}"
    yield (
        f"Measured on {' and '.join(days)}, **not when this page was built**, with Python {made['python']}, "
        f"JAX {made['jax']} and NumPy {made['numpy']} on {made['system']}, {made['cores']} cores, {made['processor']}. "
        + spread({kernel["repeats"] for kernel in kernels})
    )
    cold, warm = ratios(report, "own", "interpret", "tiered"), warm_ratios(report, "interpret jit")
    yield from comparison(named(report, cold), "cold, without JAX's tracing, which both have to wait for")
    yield from comparison(named(report, warm), "warm, against the call under `jax.jit`")
    yield from step_chart(report)
    for quantity, title in QUANTITIES.items():
        yield folded(title, table(report, quantity))
    yield from promises(report)
    yield from limits(report)
    yield from left_out(report)


def spread(processes: set[int]) -> str:
    """What a number of the report is made of."""
    if processes == {1}:
        return "One fresh process for each engine on each kernel."
    many = " or ".join(map(str, sorted(processes)))
    return f"Medians of {many} fresh processes for each engine, with the least and the most below."


def comparison(found: Mapping[str, float], measure: str) -> Iterator[str]:
    """A bar for each kernel, and in words where `interpret=True` is the faster one."""
    from pallas_np import workbook

    if not found:
        return
    caption = f"Tiered: times as fast as interpret=True, {measure.replace('`', '')}. Left of the line it is slower."
    yield str(workbook.ratio_bars(found, caption))
    mean = statistics.geometric_mean(found.values())
    lost = [f"{name} ({1 / value:.3g} times)" for name, value in found.items() if value < 1]
    where = f"; `interpret=True` is the faster one on {', '.join(lost)}" if lost else ", and it is slower on none"
    first, _, rest = measure.partition(", ")
    yield (
        f"{first.capitalize()}, {rest}, the tiered engine is {mean:.3g} times as fast "
        f"(geometric mean of {len(found)} kernels){where}."
    )


def step_chart(report: Report) -> Iterator[str]:
    """What a step of the grid costs, in a kernel that copies."""
    from pallas_np import workbook

    costs = step_costs(report)
    engines: tuple[str, ...] = ("interpret jit", "tiered")  # a chart has room for two
    series = {engine: sorted(costs[engine]) for engine in engines if engine in costs}
    if series:
        caption = "A kernel that copies one block in each step, warm: what a step costs, by how many there are."
        yield str(workbook.line_chart(series, "steps of the grid", "µs for each step", caption))


def promises(report: Report) -> Iterator[str]:
    """How many of the promises that were made of the compiler hold in this report, and which do not."""
    all_of_them = goals(report)
    if not all_of_them:
        return
    missed = [goal for goal in all_of_them if not goal.kept]
    far = sum(1 for goal in missed if goal.out_of_reach)
    beyond = f" Of the others, {far} are out of reach: the best that we know misses them, too." if far else ""
    kept = len(all_of_them) - len(missed)
    yield f"Of the {len(all_of_them)} promises made of the compiler, {kept} are kept here.{beyond}"
    if missed:
        yield folded("The promises that are missed", goal_table(report, missed_only=True))
    yield folded("All promises", goal_table(report))


def limits(report: Report) -> Iterator[str]:
    """What NumPy can do, and how far from it the default engine is."""
    floors = named(report, ratios(report, "warm", "interpret jit", "floor"))
    if not floors:
        return
    lost = [f"{name} ({1 / value:.3g} times)" for name, value in floors.items() if value < 1]
    where = f"; `interpret=True` is the faster one on {', '.join(lost)}" if lost else ""
    yield (
        f"What NumPy can do: warm, the floors are {statistics.geometric_mean(floors.values()):.3g} times as fast as "
        f"`interpret=True` under `jax.jit` (geometric mean of {len(floors)} kernels){where}."
    )
    above = warm_ratios(report, "floor")
    if above:
        times = 1 / statistics.geometric_mean(above.values())
        most, name = max((1 / value, name) for name, value in named(report, above).items())
        yield f"The tiered engine takes {times:.3g} times as long as the floors; most on {name}, {most:.3g} times."


def left_out(report: Report) -> Iterator[str]:
    """Which engine did not run which kernel, and why."""
    lines = [
        f"- {result['name']}, {engine}: {reason}"
        for result in report["kernels"].values()
        for engine, reason in result["too_long"].items()
    ]
    if lines:
        yield folded("What was left out, and why", "\n".join(lines))


def named(report: Report, values: Mapping[str, float]) -> dict[str, float]:
    """The same values, by what the tables call the kernels."""
    return {report["kernels"][kernel]["name"]: value for kernel, value in values.items()}


def folded(title: str, text: str) -> str:
    return f'??? abstract "{title}"\n\n{indent(text, "    ")}'
