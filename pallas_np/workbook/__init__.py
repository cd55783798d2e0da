"""What the book's notebooks share: sources to show, phases to measure and compare, and figures of what ran.

Not part of the public face.  What these functions return draws itself in a notebook, and is Markdown or HTML as `str`.
"""

from pallas_np.inspector.stepping import stepper
from pallas_np.phase_benchmark import COMPILER, TIERED
from pallas_np.workbook.comparison import changes, cost, equations_by, exercises, measure, sort_kernel
from pallas_np.workbook.figures import (
    Row,
    cost_bars,
    grid_figure,
    grid_stepper,
    line_chart,
    network_figure,
    network_stepper,
    ratio_bars,
    rows_figure,
    who_runs,
)
from pallas_np.workbook.recording import equation_stepper, record
from pallas_np.workbook.sources import diff, show, source

__all__ = [
    "COMPILER",
    "TIERED",
    "Row",
    "changes",
    "cost",
    "cost_bars",
    "diff",
    "equation_stepper",
    "equations_by",
    "exercises",
    "grid_figure",
    "grid_stepper",
    "line_chart",
    "measure",
    "network_figure",
    "network_stepper",
    "ratio_bars",
    "record",
    "rows_figure",
    "show",
    "sort_kernel",
    "source",
    "stepper",
    "who_runs",
]
