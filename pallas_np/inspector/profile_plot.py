"""A profile as a picture, by matplotlib, which the extra `bench` brings."""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape
from typing import Any
from urllib.parse import quote

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from pallas_np.inspector.profiling import Cost, Profile

MAX_BARS = 12
SELF, NESTED = "#3f7fbf", "#b9cfe6"


class Plot(Figure):
    """A figure that a notebook shows, whether or not the notebook uses pyplot.

    Attributes:
      description: what it shows, in words.
    """

    description = ""

    def _repr_html_(self) -> str:
        file = io.StringIO()
        with matplotlib.rc_context({"svg.fonttype": "none"}):  # text as text, not as outlines, which are long
            self.savefig(file, format="svg", metadata={"Date": None})
        picture = quote(file.getvalue(), safe=" /:=;,()'!?&@+*\n")
        return f'<img alt="{escape(self.description)}" style="max-width:100%" src="data:image/svg+xml,{picture}">'


def figure_of(profile: Profile) -> Figure:
    """Bars for the costliest lines and primitives, and below them the steps of the kernel that took longest."""
    figure = Plot(figsize=(11, 7), layout="constrained")
    figure.description = "The time by line, by primitive and by step, as bars; the profile's tables have the numbers."
    parts = figure.subplot_mosaic([["lines", "primitives"], ["steps", "steps"]], height_ratios=[3, 2])
    bars = _draw_bars(parts["lines"], profile.lines, "by line")
    _draw_bars(parts["primitives"], profile.primitives, "by primitive")
    figure.legend(handles=bars, loc="outside upper right", ncols=2)
    _draw_steps(figure, parts["steps"], profile)
    return figure


def _draw_bars(axes: Any, costs: Sequence[Cost], title: str) -> list[Any]:
    """Draws them, the costliest at the top; returns what a legend explains."""
    shown = costs[:MAX_BARS]
    places = range(len(shown))
    bars = [
        axes.barh(places, [cost.time * 1e3 for cost in shown], color=SELF, label="itself", zorder=2),
        axes.barh(places, [cost.total * 1e3 for cost in shown], color=NESTED, label="with what is nested in it"),
    ]
    axes.set_yticks(places, map(_bar_label, shown), fontsize=8, parse_math=False)
    axes.invert_yaxis()
    axes.set_title(title if len(costs) <= MAX_BARS else f"{title}: {MAX_BARS} of {len(costs)}")
    axes.set_xlabel("milliseconds")
    return bars


def _bar_label(cost: Cost) -> str:
    if cost.line is None:
        return cost.label
    text = cost.line.text
    return f"{text if len(text) <= 40 else text[:39] + '…'}  {cost.line.number}"


def _draw_steps(figure: Figure, axes: Any, profile: Profile) -> None:
    """The programs of the grid: bars along its only axis, else cells, its last axis to the right."""
    if not profile.launches:
        axes.set_axis_off()
        return
    longest = max(profile.launches, key=lambda launch: launch.interpreted)
    times = np.zeros(longest.grid or (1,))
    for step in longest.steps:
        times[step.index or 0] = step.time * 1e3
    axes.set_title(f"by step: {longest.kernel} on grid {longest.grid}")
    axes.xaxis.get_major_locator().set_params(integer=True)
    if times.ndim == 1:
        axes.bar(range(times.size), times, color=SELF)
        axes.set_xlabel("grid index")
        axes.set_ylabel("milliseconds")
        return
    image = axes.imshow(times.reshape(-1, times.shape[-1]), aspect="auto", cmap="viridis", vmin=0)
    figure.colorbar(image, ax=axes, label="milliseconds")
    axes.set_xlabel("the grid's last axis")
    axes.set_ylabel("its other axes")
    axes.yaxis.get_major_locator().set_params(integer=True)
