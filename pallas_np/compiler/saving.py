"""A program as a file of its own: the source, and what cannot stand in it beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pallas_np.compiler.program import Constant, Program

_SMALL = 16
"""Arrays of at most so many elements are written into the source."""


def full_source(program: Program, function: str, *, needs_machine: bool) -> str:
    """Imports, constants, function."""
    constants = list(program.constants.values())
    stored = [constant for constant in constants if _expression(constant) is None]
    used = [c for c in constants if _mentions(function, c.name)]
    lines = [*(["from pathlib import Path", ""] if any(c in stored for c in used) else []), "import numpy as np"]
    if any("ml_dtypes" in (_expression(c) or _loaded(c)) for c in used):
        lines.append("import ml_dtypes")
    lines += ["", "from pallas_np import lax_numpy as lax"]
    if needs_machine:
        lines += ["", "# `machine` is a `pallas_np.phase5.Interpreter`; the equations are the kernel's own."]
    lines += [""] * bool(used)
    if any(c in stored for c in used):
        lines.append('constants = np.load(Path(__file__).with_suffix(".npz"))')
    lines += [f"{c.name} = {_expression(c) or _loaded(c)}" for c in used]
    return "\n".join([*lines, "", "", function])


def _mentions(text: str, name: str) -> bool:
    import re

    return re.search(rf"\b{re.escape(name)}\b", text) is not None


def _expression(constant: Constant) -> str | None:
    """A constant as an expression; `None` where it has to be stored."""
    value = constant.value
    if isinstance(value, np.dtype):
        return f"np.dtype({_dtype(value)})"
    if not isinstance(value, (np.ndarray, np.generic)) or value.size > _SMALL:
        return None
    text = _number_text(value)
    if text is None:
        return None
    return (
        f"np.array({text}, {_dtype(value.dtype)})"
        if isinstance(value, np.ndarray)
        else f"{_dtype(value.dtype)}({text})"
    )


def _number_text(value: Any) -> str | None:
    if value.dtype.kind in "biu":
        return repr(value.tolist())
    if value.dtype.kind in "fV":
        wide = value.astype(np.float64)
        if np.isnan(wide).any():
            return "np.nan" if wide.ndim == 0 and not np.signbit(wide) else None
        if np.isfinite(wide).all():
            return repr(wide.tolist())
        return f"np.{wide.item()!r}".replace("np.-", "-np.") if wide.ndim == 0 else None
    return None


def _dtype(dtype: Any) -> str:
    module = "np" if dtype.isbuiltin == 1 else "ml_dtypes"
    return f"{module}.{'bool_' if dtype == np.bool_ else dtype.name}"


def _loaded(constant: Constant) -> str:
    value = constant.value
    if not isinstance(value, (np.ndarray, np.generic)):
        return f"...  # {type(value).__name__}, not saved"
    view = "" if value.dtype.isbuiltin == 1 else f".view({_dtype(value.dtype)})"
    return f'constants["{constant.name}"]{view}'


def save(program: Program, source: str, path: Any) -> None:
    """Writes the source, and its large constants beside it.

    Raises:
      ValueError: if the program needs what no file can hold: rules of phase 5, on the kernel's own equations.
    """
    stored = {
        c.name: c.value for c in program.constants.values() if _mentions(source, c.name) and _expression(c) is None
    }
    others = [name for name, value in stored.items() if not isinstance(value, (np.ndarray, np.generic))]
    if others:
        uses = [line.strip() for line in source.splitlines() if any(_mentions(line, name) for name in others)]
        raise ValueError(
            f"{program.name} cannot be saved: some of its lines run rules of phase 5 on the kernel's own equations:\n"
            + "\n".join(uses)
        )
    Path(path).write_text(source, encoding="utf-8")
    if stored:
        plain: dict[str, Any] = {
            n: v if v.dtype.isbuiltin == 1 else v.view(f"u{v.dtype.itemsize}") for n, v in stored.items()
        }
        np.savez(Path(path).with_suffix(".npz"), **plain)
