"""Plots of a report, with Matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.report import Report, ratios, step_costs, warm_ratios

BLUE, ORANGE, GREY = "#3f7fbf", "#e0a030", "#888888"


def plot(report: Report, file: Path) -> None:
    """Draws how many times as fast the default engine is, cold and warm, and the cost of a grid step."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 11), layout="constrained")
    cold, warm, step = figure.subplots(3, 1)
    _bars(cold, report, ratios(report, "own", "interpret", "tiered"), "cold, without the tracing")
    _bars(warm, report, warm_ratios(report, "interpret jit"), "warm, against the jitted call")
    _steps(step, report)
    figure.savefig(file)


def _bars(axes: Any, report: Report, values: dict[str, float], title: str) -> None:
    names = [report["kernels"][kernel]["name"] for kernel in values]
    colours = [BLUE if value >= 1 else ORANGE for value in values.values()]
    axes.barh(names, list(values.values()), color=colours)
    axes.axvline(1, color=GREY, linewidth=1)
    axes.set_xscale("log")
    axes.invert_yaxis()
    axes.set_title(f"Tiered engine: times as fast as interpret=True, {title}")


def _steps(axes: Any, report: Report) -> None:
    for engine, points in step_costs(report).items():
        axes.plot(*zip(*points), marker="o", label=engine)
    axes.set(xscale="log", yscale="log", xlabel="steps of the grid", ylabel="µs for each step")
    axes.set_title("A copy kernel: the cost of a grid step, warm")
    axes.legend()
