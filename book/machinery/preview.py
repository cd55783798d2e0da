"""The picture that stands for the site where somebody shares a link to it: the five phases, as they were measured."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

WIDTH, HEIGHT = 1200, 630  # pixels: what those who show previews ask for
PAPER, INK, FAINT, NUMPY, JAX = "#12253c", "#ffffff", "#b8c7d9", "#4f8fd9", "#e0812f"
LEFT, ROOM, TOP, ROW, BAR = 190, 760, 268, 62, 36


def draw(measurements: Sequence[Any], path: Path) -> None:
    """Writes a PNG: for each phase the sort's equations, coloured by who runs them, and the time of a first call.

    Args:
      measurements: the benchmark's, phase by phase.
      path: the file to write.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    from pallas_np.workbook.comparison import milliseconds, owners, phase_module, sort_kernel

    figure = Figure(figsize=(WIDTH / 100, HEIGHT / 100), dpi=100, facecolor=PAPER)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(HEIGHT, 0))
    axes.set_axis_off()
    axes.text(70, 110, "Pallas in NumPy", color=INK, size=44, weight="bold")
    axes.text(70, 168, "One sort, five interpreters that you build yourself", color=FAINT, size=22)
    for x, who, colour in ((LEFT, "run by JAX", JAX), (LEFT + 190, "run by NumPy", NUMPY)):
        axes.add_patch(Rectangle((x, 222), 18, 18, color=colour))
        axes.text(x + 28, 238, who, color=FAINT, size=14)
    axes.text(LEFT + ROOM + 24, 238, "first call", color=FAINT, size=14)
    kernel = sort_kernel().jaxpr
    for row, measured in enumerate(measurements):
        y = TOP + row * ROW
        axes.text(70, y + 26, f"phase {measured.phase}", color=INK, size=17)
        by_numpy = [mine for _, mine in owners(kernel, phase_module(measured.phase).numpy_rules)]
        at, unit = float(LEFT), ROOM / len(by_numpy)
        for mine, equations in groupby(by_numpy):
            width = unit * len(list(equations))
            axes.add_patch(Rectangle((at, y), width, BAR, linewidth=0, color=NUMPY if mine else JAX))
            at += width
        axes.text(LEFT + ROOM + 24, y + 26, milliseconds(measured.cold), color=INK, size=18, weight="bold")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
