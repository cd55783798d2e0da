"""Equations as one would write them: names for a jaxpr's variables, and a line for each equation."""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pallas_np.frontend import Equation, Jaxpr
from pallas_np.frontend.refs import Index, Slice

STATE = {"get": "=", "swap": "=", "addupdate": "+="}


def names_in(jaxpr: Jaxpr) -> dict[Any, str]:
    """A name for each variable of a jaxpr: its own name where it has one, else a letter; a literal's is the number."""
    names: dict[Any, str] = {literal: f"{literal.value}" for literal in jaxpr.literals}
    taken = {var.name for var in jaxpr.invars}
    letters = (letter for letter in _letters() if letter not in taken)
    for number, var in enumerate(jaxpr.invars):
        names[var] = var.name or (f"ref{number}" if var.is_ref else next(letters))
    values = [var for eqn in jaxpr.eqns for var in eqn.outvars if eqn.name != "swap" or var not in eqn.dead]
    for var in (*jaxpr.constvars, *values):
        names[var] = next(letters)
    return names


def _letters() -> Iterator[str]:
    """a, b, ... z, v26, v27, ..."""
    yield from string.ascii_lowercase
    yield from (f"v{number}" for number in itertools.count(26))


def equation_text(eqn: Equation, names: Mapping[Any, str]) -> str:
    """An equation as one would write it: `a = x_ref[0:2]`, `out_ref[...] = a`, `b = mul a 2`."""
    operands = [names.get(atom, "_") for atom in eqn.invars]
    results = ", ".join(names.get(var, "_") for var in eqn.outvars)
    if eqn.name not in STATE:
        return f"{results} = {eqn.name} {' '.join(operands)}" if results else f"{eqn.name} {' '.join(operands)}".strip()
    num_values = 1 if eqn.name == "get" else 2
    place = operands[0] + index_text(eqn.params["transforms"], operands[num_values:])
    if eqn.name == "get":
        return f"{results} = {place}"
    change = f"{place} {STATE[eqn.name]} {operands[1]}"
    return f"{results}, {change}" if results.strip("_") else change


def index_text(transforms: Sequence[Any], operands: Sequence[str]) -> str:
    """What stands after a ref's name: `[0:2]`, `[ds(i, 4), ...]`, `.reshape(2, 4)`."""
    return "".join(_transform_text(transform, operands) for transform in transforms) or "[...]"


def _transform_text(transform: Any, operands: Sequence[str]) -> str:
    if isinstance(transform, Index):
        return f"[{', '.join(_part_text(part, operands) for part in transform.indices)}]"
    inside = next(getattr(transform, name) for name in ("shape", "permutation", "dtype") if hasattr(transform, name))
    inside = ", ".join(map(str, inside)) if isinstance(inside, tuple) else inside
    return f".{type(transform).__name__.lower()}({inside})"


def _part_text(part: Any, operands: Sequence[str]) -> str:
    if isinstance(part, Slice) and isinstance(part.start, int) and isinstance(part.size, int):
        stop = part.start + (part.size - 1) * part.stride + 1
        return f"{part.start}:{stop}" + (f":{part.stride}" if part.stride != 1 else "")
    if isinstance(part, Slice):
        return f"ds({_value_text(part.start, operands)}, {_value_text(part.size, operands)})"
    return _value_text(part, operands)


def _value_text(value: Any, operands: Sequence[str]) -> str:
    return operands[value.position] if hasattr(value, "position") else str(value)
