"""Phases measured and compared, as the chapters show them."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pallas_np
from pallas_np import phase_benchmark
from pallas_np.phase_benchmark import Measurement
from pallas_np.workbook.display import Markdown, table
from pallas_np.workbook.sources import diff

SHAPE = (64, 128)
ROOT = Path(pallas_np.__file__).parent.parent


def phase_module(number: int) -> ModuleType:
    return importlib.import_module(f"pallas_np.phase{number}")


def measure(*phases: int, shape: tuple[int, int] = SHAPE, repeats: int = 3) -> list[Measurement]:
    """Measures phases on the sort, each `repeats` times in fresh processes that take turns; returns medians."""
    report = phase_benchmark.run(*shape, repeats, phases=phases, progress=False)
    return phase_benchmark.phases_of(report)


def cost(measurements: Sequence[Measurement]) -> Markdown:
    """The measurements side by side, and in words how each compares with the first."""
    baseline = measurements[0]
    rows = [
        [
            m.label.removeprefix("phase "),
            str(m.numpy_equations),
            str(m.jax_equations),
            milliseconds(m.trace),
            milliseconds(m.compiling),
            milliseconds(m.rest),
            milliseconds(m.cold),
            milliseconds(m.warm),
        ]
        for m in measurements
    ]
    header = ["phase", "equations by NumPy", "by JAX", "tracing", "compiling", "all else", "cold", "warm"]
    lines = [table(header, rows, numbers=7), ""]
    for m in measurements[1:]:
        lines.append(f"- Cold, {_faster(baseline.title, baseline.cold, m.title, m.cold)}.")
        lines.append(f"- Warm, {_faster(baseline.title, baseline.warm, m.title, m.warm)}.")
    if baseline.stages:
        stages = ", ".join(f"{stage} {milliseconds(seconds)}" for stage, seconds in baseline.stages.items())
        lines += ["", f"Where phase {baseline.phase} spends its cold time: {stages}."]
    return Markdown("\n".join(lines))


def _faster(title: str, seconds: float, other: str, other_seconds: float) -> str:
    if seconds < other_seconds:
        return _faster(other, other_seconds, title, seconds)
    ratio = seconds / other_seconds
    return f"{other} is {ratio:{'.0f' if ratio >= 10 else '.2g'}} times as fast as {title}"


def milliseconds(seconds: float) -> str:
    """A time in milliseconds, to two or three figures."""
    value = seconds * 1e3
    return f"{value:.0f} ms" if value >= 10 else f"{value:.2g} ms"


def changes(phase: int) -> Markdown:
    """What a phase has that the one before it has not, read from the two modules and from the sort's equations."""
    before, after = phase_module(phase - 1), phase_module(phase)
    joined = {p.name for p in after.numpy_rules if p not in before.numpy_rules}
    moved = equations_by(sort_kernel().jaxpr, after.numpy_rules)[0]
    moved.subtract(equations_by(sort_kernel().jaxpr, before.numpy_rules)[0])
    names = ", ".join(f"`{name}` × {count}" for name, count in moved.most_common() if count)
    methods = [name for name in vars(after.Interpreter) if callable(getattr(after.Interpreter, name))]
    new = [name for name in methods if not hasattr(before.Interpreter, name)]
    replaced = [name for name in methods if name not in new and not name.startswith("__")]
    lines = [
        f"- **Rules that join the table: {len(joined)}**, of now {len(after.numpy_rules)}{_some(sorted(joined))}",
        f"- **Equations of the sort that move to NumPy: {sum(moved.values())}**: {names}.",
    ]
    anew = [p.name for p, rule in before.numpy_rules.items() if after.numpy_rules[p] is not rule]
    if anew:
        lines.append(f"- **Rules written anew**: {_code(anew)}.")
    if new:
        lines.append(f"- **New methods of `Interpreter`**: {_code(new)}.")
    if replaced:
        lines.append(f"- **Methods of `Interpreter` written anew**: {_code(replaced)}.")
    for name in replaced:
        earlier, later = (_where_defined(module.Interpreter, name) for module in (before, after))
        shown = diff(earlier, later, f"Interpreter.{name}")
        lines += ["", f"<details><summary><code>{name}</code>, line by line</summary>", "", shown, "", "</details>"]
    return Markdown("\n".join(lines))


def _where_defined(interpreter: type, method: str) -> ModuleType:
    """The module of the class that an interpreter has a method from."""
    return sys.modules[next(c for c in interpreter.__mro__ if method in vars(c)).__module__]


def _some(names: Sequence[str], most: int = 12) -> str:
    """The names, folded away if they are many."""
    if len(names) <= most:
        return f": {_code(names)}."
    words = ", ".join(f"<code>{name}</code>" for name in names)
    return f".\n\n<details><summary>Their names</summary>{words}</details>\n"


def _code(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def sort_kernel(shape: tuple[int, int] = SHAPE) -> Any:
    """The `KernelCall` of the sort of float32 rows."""
    import jax.numpy as jnp
    import numpy as np
    from jax.experimental import pallas as pl

    from pallas_np import frontend, kernels

    sorter = kernels.bitonic_sorter(shape, jnp.float32, pallas_call=pl.pallas_call)
    traced = frontend.trace(sorter, np.zeros(1, np.int32), np.zeros(shape, np.float32))
    assert traced is not None
    return traced.call


def equations_by(jaxpr: Any, rules: Mapping[Any, Any]) -> tuple[Counter[str], Counter[str]]:
    """The primitives of a kernel's equations, nested ones included: those a table runs, and those it leaves to JAX."""
    by_numpy: Counter[str] = Counter()
    by_jax: Counter[str] = Counter()
    for name, mine in owners(jaxpr, rules):
        (by_numpy if mine else by_jax)[name] += 1
    return by_numpy, by_jax


def owners(jaxpr: Any, rules: Mapping[Any, Any]) -> list[tuple[str, bool]]:
    """Each equation's primitive, in the order of the program's text, and whether the table runs it."""
    from pallas_np.frontend import subjaxprs

    found: list[tuple[str, bool]] = []
    for eqn in jaxpr.eqns:
        mine = eqn.primitive in rules
        found.append((eqn.name, mine))
        for inner in subjaxprs(eqn):
            found += owners(inner, rules if mine else {})
    return found


def exercises(phase: int | str) -> Markdown:
    """The exercises on a phase, or of another folder, read from the repository if the notebook runs in it.

    Each links to its file, as seen from the chapters; on the site that becomes its page.
    """
    folder = ROOT / "exercises" / (f"phase{phase}" if isinstance(phase, int) else phase)
    rows = []
    for path in sorted(folder.glob("[a-z]*_[0-9][0-9]_*.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        heading = re.match(r"Exercise ([\w.]+): (.*) \((\d+) minutes\)\n\n(.*?)(?:\n\n|$)", docstring, re.DOTALL)
        if heading:
            number, title, minutes, task = heading.groups()
            link = f"[{title}](../../exercises/{folder.name}/{path.name})"
            rows.append([number, link, " ".join(task.split()), minutes])
    command = "`make exercises` checks all exercises, and `python -m exercises next` shows the next one."
    if not rows:
        return Markdown(f"The exercises are in the repository's `exercises/` folder. {command}")
    listed = table(["Number", "Exercise", "What to do", "Minutes"], rows, numbers=1)
    return Markdown(f"In `exercises/{folder.name}`, to be edited in any editor. {command}\n\n{listed}")
